//! Rules of routes in the terms of Istio, and what Istio cannot say.

use std::borrow::Cow;

use super::{
    order::Precedence,
    rewrite::{self, Answer},
};
use crate::{
    Invalid, Located, Mesh, Missing, Nanos,
    gateway_api::{
        BackendRef, ConnectionRoute, Filter, FilterAction, HttpRoute, HttpRule, Implementation, PathMatch, Retry,
        RouteMatch, RpcMatch,
    },
    istio::{Destination, Headers, HttpMatch, HttpRoute as IstioRule, L4Route, MeshConfig, Mirror, StringMatch},
    lower::{delegate::Rule, retry},
};

/// What Gateway API says of a rule and a VirtualService cannot.
#[derive(Clone, Debug)]
pub(in crate::lower) struct Beyond<'m> {
    /// Which match of the rule it is; `None`: the rule has none.
    pub(in crate::lower) block: Option<usize>,
    /// Why destinations may not be used, parallel to them (`G-5`).
    pub(in crate::lower) refused: Vec<Option<Missing>>,
    /// A redirect.
    pub(in crate::lower) redirect: Option<Answer>,
    /// Why the rule is answered 500.
    pub(in crate::lower) invalid: Option<Invalid>,
    retry: Option<&'m Retry>,
    per_try: Option<&'m Located<Nanos>>,
    /// The status where a destination does not exist.
    pub(in crate::lower) not_found: u16,
    implementation: Implementation,
}

impl Beyond<'_> {
    /// What an Ingress says.
    pub(super) fn of_ingress(block: Option<usize>, refused: Option<Missing>, is_istio: bool) -> Self {
        Self {
            block,
            refused: vec![refused],
            redirect: None,
            invalid: None,
            retry: None,
            per_try: None,
            not_found: 503,
            implementation: if is_istio { Implementation::Istio } else { Implementation::Generic },
        }
    }

    /// The retries of the rule (`G-7`); without a stanza what the implementation does (`G-13`).
    pub(in crate::lower) fn retries(&self, mesh: &MeshConfig, hashes: bool) -> retry::Lowered {
        match (self.retry, self.implementation) {
            (_, Implementation::Linkerd) => retry::Lowered::none("G-7"),
            (Some(written), _) => retry::of_stanza(written, self.per_try, hashes),
            (None, Implementation::Istio) => retry::of_route(None, mesh, hashes),
            (None, Implementation::GenericMost) => retry::open("G-13", hashes),
            (None, _) => retry::Lowered::none("G-13"),
        }
    }

    /// Whether the whole response has no limit where none is written; else it is Envoy's own, 15 s.
    pub(in crate::lower) fn is_unlimited(&self) -> bool {
        !matches!(self.implementation, Implementation::EnvoyGateway | Implementation::GenericMost)
    }

    /// Whether Istio carries it out.
    pub(in crate::lower) fn is_istio(&self) -> bool {
        self.implementation == Implementation::Istio
    }
}

/// The matches of a route, each a rule of its own (`G-3`). `port`: the service's port that it is for.
pub(super) fn http<'m>(
    mesh: &'m Mesh,
    route: &'m HttpRoute,
    is_mesh: bool,
    port: Option<&Located<u16>>,
) -> Vec<(Precedence<'m>, Rule<'m>)> {
    let implementation = mesh.gateway_api.implementation;
    let mut made = Vec::new();
    for (number, rule) in route.rules.iter().enumerate() {
        let blocks: Vec<Option<&RouteMatch>> =
            if rule.matches.is_empty() { vec![None] } else { rule.matches.iter().map(Some).collect() };
        let backends = Backends::new(mesh, &rule.backends, &route.meta.resource.kind, route.meta.namespace(), is_mesh);
        for (index, block) in blocks.into_iter().enumerate() {
            let translated = Translated { mesh, route, rule, block, is_mesh, backends: &backends };
            let (written, mut beyond) = translated.rule(port);
            beyond.block = block.map(|_| index);
            let written = Cow::Owned(written);
            let resource = &route.meta.resource;
            let precedence = Precedence::new(route, number, index, block, implementation);
            made.push((precedence, Rule { written, resource, number, beyond: Some(beyond) }));
        }
    }
    made
}

/// The rule of a route for connections; `None` where nothing has traffic.
pub(super) fn connection<'m>(mesh: &Mesh, route: &'m ConnectionRoute, is_mesh: bool) -> Option<(L4Route, Beyond<'m>)> {
    let rule = route.rules.first()?;
    let kind = &route.meta.resource.kind;
    let backends = Backends::new(mesh, &rule.backends, kind, route.meta.namespace(), is_mesh);
    let beyond = Beyond {
        block: None,
        refused: backends.refused,
        redirect: None,
        invalid: None,
        retry: None,
        per_try: None,
        not_found: 500,
        implementation: mesh.gateway_api.implementation,
    };
    let written = L4Route { at: rule.at.clone(), matches: Vec::new(), route: backends.destinations };
    (!written.route.is_empty()).then_some((written, beyond))
}

/// Backends with a weight, and why those that are invalid are (`G-5`).
struct Backends {
    destinations: Vec<Destination>,
    refused: Vec<Option<Missing>>,
}

impl Backends {
    fn new(mesh: &Mesh, written: &[BackendRef], kind: &str, namespace: &str, is_mesh: bool) -> Self {
        let with_weight = || written.iter().filter(|backend| backend.weight() > 0);
        let invalid = |backend: &BackendRef| {
            let unknown = |filter: &Filter| {
                !matches!(filter.action, FilterAction::RequestHeaders(_) | FilterAction::ResponseHeaders(_))
            };
            let found = mesh.backend(backend, kind, namespace, is_mesh);
            if backend.filters.iter().any(unknown) { Some(Missing::Kind) } else { found.err() }
        };
        Self {
            destinations: with_weight().map(|backend| destination(mesh, backend, namespace)).collect(),
            refused: with_weight().map(invalid).collect(),
        }
    }
}

/// A backend as a destination, by the full name of its host.
fn destination(mesh: &Mesh, backend: &BackendRef, namespace: &str) -> Destination {
    let name = &backend.name.value;
    let host = match backend.kind() {
        "Hostname" => name.to_ascii_lowercase(),
        _ => format!("{name}.{}.svc.{}", backend.namespace(namespace), mesh.domain()),
    };
    Destination {
        at: backend.at.clone(),
        host: Located::new(host, backend.name.at.clone()),
        subset: None,
        port: backend.port.clone(),
        weight: backend.weight.clone(),
        headers: header_changes(&backend.filters),
    }
}

fn header_changes(filters: &[Filter]) -> Headers {
    let mut headers = Headers::default();
    for filter in filters {
        match &filter.action {
            FilterAction::RequestHeaders(changes) => headers.request = changes.clone(),
            FilterAction::ResponseHeaders(changes) => headers.response = changes.clone(),
            _ => {}
        }
    }
    headers
}

/// One match of a rule while it is translated.
struct Translated<'a, 'm> {
    mesh: &'m Mesh,
    route: &'m HttpRoute,
    rule: &'m HttpRule,
    block: Option<&'m RouteMatch>,
    is_mesh: bool,
    backends: &'a Backends,
}

impl<'m> Translated<'_, 'm> {
    fn rule(&self, port: Option<&Located<u16>>) -> (IstioRule, Beyond<'m>) {
        let rule = self.rule;
        let mut beyond = Beyond {
            block: None,
            refused: self.backends.refused.clone(),
            redirect: None,
            invalid: None,
            retry: rule.retry.as_ref(),
            per_try: rule.backend_timeout.as_ref(),
            not_found: 500,
            implementation: self.mesh.gateway_api.implementation,
        };
        let mut written = IstioRule {
            at: rule.at.clone(),
            name: rule.name.clone(),
            matches: self.matches(port),
            route: self.backends.destinations.clone(),
            redirect: None,
            direct_response: None,
            delegate: None,
            rewrite: None,
            timeout: self.timeout(),
            retries: None,
            fault: None,
            mirrors: Vec::new(),
            headers: header_changes(&rule.filters),
        };
        for filter in &rule.filters {
            self.filter(filter, &mut written, &mut beyond);
        }
        if beyond.invalid.is_none() && beyond.redirect.is_none() && written.route.is_empty() {
            beyond.invalid = Some(Invalid::NoBackend);
        }
        if beyond.invalid.is_some() {
            beyond.redirect = None;
            let at = rule.at.clone();
            written.direct_response = Some(crate::istio::DirectResponse { at, status: 500, body: String::new() });
        }
        (written, beyond)
    }

    fn filter(&self, filter: &Filter, written: &mut IstioRule, beyond: &mut Beyond<'m>) {
        let unknown = match &filter.action {
            FilterAction::RequestHeaders(_) | FilterAction::ResponseHeaders(_) | FilterAction::Cors => return,
            FilterAction::Mirror(backend, percentage) => {
                let (kind, namespace) = (&self.route.meta.resource.kind, self.route.meta.namespace());
                if self.mesh.backend(backend, kind, namespace, self.is_mesh).is_ok() {
                    let destination = destination(self.mesh, backend, namespace);
                    written.mirrors.push(Mirror { destination, percentage: *percentage });
                }
                return;
            }
            FilterAction::Redirect(redirect) => {
                beyond.redirect = Some(Answer::new(redirect, self.block));
                return;
            }
            FilterAction::Rewrite(change) => {
                written.rewrite = Some(rewrite::rewrite(change, self.block, &filter.at));
                return;
            }
            FilterAction::Extension(group, kind, _) => format!("{group}/{kind}"),
            FilterAction::Unknown(kind) => kind.clone(),
        };
        beyond.invalid = Some(Invalid::Filter(unknown));
    }

    /// `G-6`: the limit on one try is the whole response's where nothing is retried.
    fn timeout(&self) -> Option<Located<Nanos>> {
        let written = |limit: &&Located<Nanos>| !limit.value.is_zero();
        let one_try = self.rule.backend_timeout.as_ref().filter(written).filter(|_| self.rule.retry.is_none());
        one_try.or(self.rule.request_timeout.as_ref()).cloned()
    }

    fn matches(&self, port: Option<&Located<u16>>) -> Vec<HttpMatch> {
        let Some(block) = self.block else {
            let only_port = |port: &Located<u16>| HttpMatch { port: Some(port.clone()), ..HttpMatch::default() };
            return port.map(only_port).into_iter().collect();
        };
        let path = block.path.as_ref().map(|path| path.clone().map(path_match));
        let call = block.rpc.as_ref().and_then(|rpc| Some(Located::new(call_match(&rpc.value)?, rpc.at.clone())));
        vec![HttpMatch {
            at: Some(block.at.clone()),
            uri: call.or(path),
            method: block.method.clone().map(|method| method.map(StringMatch::Exact)),
            headers: block.headers.clone(),
            query_params: block.query.clone(),
            port: port.cloned(),
            ..HttpMatch::default()
        }]
    }
}

fn path_match(path: PathMatch) -> StringMatch {
    match path {
        PathMatch::Exact(path) => StringMatch::Exact(path),
        PathMatch::Prefix(path) => StringMatch::Prefix(rewrite::prefix(&path).to_owned()),
        PathMatch::Regex(pattern) => StringMatch::Regex(pattern),
    }
}

/// A method of gRPC is the path `/service/method` (`G-9`); `None`: every method.
fn call_match(rpc: &RpcMatch) -> Option<StringMatch> {
    Some(match (&rpc.service, &rpc.method, rpc.regex) {
        (None, None, _) => return None,
        (Some(service), Some(method), false) => StringMatch::Exact(format!("/{service}/{method}")),
        (Some(service), None, false) => StringMatch::Prefix(format!("/{service}")),
        (None, Some(method), _) => StringMatch::Regex(format!("/[^/]+/{method}")),
        (Some(service), None, true) => StringMatch::Regex(format!("/{service}/.+")),
        (Some(service), Some(method), true) => StringMatch::Regex(format!("/{service}/{method}")),
    })
}
