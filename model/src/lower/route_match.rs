//! Match blocks of HTTP rules: which are for this proxy at all, and what they ask of requests.

use meshproof_proxy::config::{
    HeaderMatcher, HeaderValueMatcher, PathMatcher, QueryMatcher, QueryValueMatcher, RouteMatch, StringMatcher,
};

use super::{claim::claim_matcher, client::Client};
use crate::{
    complete_gateway, is_subset,
    istio::{HttpMatch, StringMatch},
};

/// For whom routes are made.
#[derive(Clone, Copy, Debug)]
pub(super) struct Scope<'a> {
    pub(super) client: &'a Client<'a>,
    /// The port that is dialled, or a gateway's port.
    pub(super) port: u16,
    /// `mesh`, or the Gateway as `namespace/name`.
    pub(super) gateway: &'a str,
}

impl Scope<'_> {
    /// Whether a block is for this proxy (`RT-5`): the port that is dialled; then either the block's gateways, or the
    /// labels and namespace of the client. These are decided here, never by a request.
    pub(super) fn admits(&self, block: &HttpMatch, namespace: &str) -> bool {
        if block.port.as_ref().is_some_and(|port| port.value != 0 && port.value != self.port) {
            return false;
        }
        // A waypoint acts for every client, and asks for nothing else (`AB-5`).
        if self.client.waypoint().is_some() {
            return true;
        }
        if !block.gateways.is_empty() {
            return block.gateways.iter().any(|name| complete_gateway(&name.value, namespace) == self.gateway);
        }
        let in_namespace = |wanted: &str| wanted.is_empty() || wanted == self.client.namespace();
        is_subset(&block.source_labels, self.client.labels())
            && block.source_namespace.as_ref().is_none_or(|wanted| in_namespace(&wanted.value))
    }
}

/// What a block asks of a request: all conditions hold (`RT-2`). Without a block every request is meant. A block of
/// Gateway API compares prefixes element by element, and has no names of headers for itself (`G-4`).
pub(super) fn route_match(block: Option<&HttpMatch>, is_gateway_api: bool) -> RouteMatch {
    let Some(block) = block else { return RouteMatch::prefix("/") };
    let mut headers = Vec::new();
    let pseudo = [(":method", &block.method), (":authority", &block.authority), (":scheme", &block.scheme)];
    for (name, condition) in pseudo {
        headers.extend(condition.as_ref().map(|condition| header(name, &condition.value)));
    }
    // These names are fields of the block; as headers they are ignored (`RT-3`).
    let is_field = |name: &str| !is_gateway_api && matches!(name, "uri" | "scheme" | "method" | "authority");
    headers
        .extend(block.headers.iter().filter(|(n, _)| !is_field(n)).map(|(n, condition)| header(n, &condition.value)));
    for (name, condition) in block.without_headers.iter().filter(|(name, _)| !is_field(name)) {
        let matcher = header(name, &condition.value);
        // A header that is missing counts as an empty value, except where only its presence is asked for.
        let treat_missing_as_empty = matches!(matcher.value, HeaderValueMatcher::Text(_));
        headers.push(HeaderMatcher { invert: true, treat_missing_as_empty, ..matcher });
    }
    RouteMatch {
        path: path(block.uri.as_ref().map(|uri| &uri.value), is_gateway_api),
        case_sensitive: !block.ignore_uri_case,
        headers,
        query: block.query_params.iter().map(|(name, condition)| query(name, &condition.value)).collect(),
        grpc: false,
        runtime_fraction: None,
    }
}

/// Whether a match leaves nothing for later routes (`RT-1`, `VS-8`).
pub(super) fn is_catch_all(matches: &RouteMatch) -> bool {
    let any_path = match &matches.path {
        PathMatcher::Prefix(prefix) | PathMatcher::PathSeparatedPrefix(prefix) => prefix == "/",
        PathMatcher::Regex(pattern) => pattern == ".*",
        PathMatcher::Path(_) | PathMatcher::UriTemplate(_) => false,
    };
    any_path && matches.headers.is_empty() && matches.query.is_empty()
}

/// A VirtualService's prefix is one of bytes, not of elements (`RT-2`).
fn path(uri: Option<&StringMatch>, by_elements: bool) -> PathMatcher {
    match uri {
        Some(StringMatch::Prefix(prefix)) if by_elements && prefix != "/" => {
            PathMatcher::PathSeparatedPrefix(prefix.clone())
        }
        None | Some(StringMatch::Present) => PathMatcher::Prefix("/".to_owned()),
        Some(StringMatch::Exact(path)) => PathMatcher::Path(path.clone()),
        Some(StringMatch::Prefix(prefix)) => PathMatcher::Prefix(prefix.clone()),
        Some(StringMatch::Regex(pattern)) => PathMatcher::Regex(pattern.clone()),
    }
}

fn header(name: &str, condition: &StringMatch) -> HeaderMatcher {
    if let Some(claim) = claim_matcher(name, condition) {
        return claim;
    }
    let value = text(condition).map_or(HeaderValueMatcher::Present(true), HeaderValueMatcher::Text);
    HeaderMatcher { name: name.to_ascii_lowercase(), value, invert: false, treat_missing_as_empty: false }
}

fn query(name: &str, condition: &StringMatch) -> QueryMatcher {
    let value = text(condition).map_or(QueryValueMatcher::Present(true), QueryValueMatcher::Text);
    QueryMatcher { name: name.to_owned(), value }
}

/// `None` where only presence is asked for: `{}`, or the regular expression `*` (`RT-3`, `RT-4`).
fn text(condition: &StringMatch) -> Option<StringMatcher> {
    match condition {
        StringMatch::Exact(value) => Some(StringMatcher::exact(value)),
        StringMatch::Prefix(value) => Some(StringMatcher::prefix(value)),
        StringMatch::Regex(pattern) if pattern == "*" => None,
        StringMatch::Regex(pattern) => Some(StringMatcher::regex(pattern)),
        StringMatch::Present => None,
    }
}
