//! Which of several rules for one host decides (`G-3`, `G-9`).

use std::cmp::Reverse;

use crate::Meta;
use crate::gateway_api::{HttpRoute, Implementation, PathMatch, RouteMatch, age};

/// The place of a match among all of one host; less is earlier.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Precedence<'m> {
    /// What it asks for, the more the earlier: the kind of path, its length, the method, headers, query parameters;
    /// of a GRPCRoute the lengths of service and method.
    asks: Reverse<[usize; 5]>,
    age: (bool, &'m str, &'m str, &'m str),
    rule: usize,
    block: usize,
}

impl<'m> Precedence<'m> {
    /// The place of a path of an Ingress.
    pub(super) fn of(meta: &'m Meta, asks: [usize; 5], rule: usize, block: usize) -> Self {
        Self { asks: Reverse(asks), age: age(meta), rule, block }
    }

    pub(super) fn new(
        route: &'m HttpRoute,
        rule: usize,
        block: usize,
        written: Option<&RouteMatch>,
        implementation: Implementation,
    ) -> Self {
        let asks = match written {
            Some(written) if route.is_grpc() => asks_of_call(written),
            Some(written) => asks_of_request(written, implementation),
            None if route.is_grpc() => [0; 5],
            None => [rank(&PathMatch::Prefix("/".to_owned()), implementation), 1, 0, 0, 0],
        };
        Self { asks: Reverse(asks), age: age(&route.meta), rule, block }
    }
}

fn asks_of_request(written: &RouteMatch, implementation: Implementation) -> [usize; 5] {
    let root = PathMatch::Prefix("/".to_owned());
    let path = written.path.as_ref().map_or(&root, |path| &path.value);
    let method = usize::from(written.method.is_some());
    [rank(path, implementation), length(path), method, written.headers.len(), written.query.len()]
}

/// A call of a GRPCRoute: the characters of the service, then those of the method.
fn asks_of_call(written: &RouteMatch) -> [usize; 5] {
    let length = |text: Option<&String>| text.map_or(0, String::len);
    let rpc = written.rpc.as_ref().map(|rpc| &rpc.value);
    let (service, method) = (rpc.and_then(|rpc| rpc.service.as_ref()), rpc.and_then(|rpc| rpc.method.as_ref()));
    [length(service), length(method), written.headers.len(), 0, 0]
}

/// Where regular expressions stand is each implementation's own: Istio has them last, Envoy Gateway before prefixes.
const fn rank(path: &PathMatch, implementation: Implementation) -> usize {
    match (path, implementation) {
        (PathMatch::Exact(_), _) => 4,
        (PathMatch::Regex(_), Implementation::EnvoyGateway) => 3,
        (PathMatch::Prefix(_), _) => 2,
        (PathMatch::Regex(_), _) => 1,
    }
}

fn length(path: &PathMatch) -> usize {
    match path {
        PathMatch::Exact(path) | PathMatch::Regex(path) => path.len(),
        PathMatch::Prefix(path) => super::rewrite::prefix(path).len(),
    }
}
