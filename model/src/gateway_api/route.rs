//! Gateway API: HTTPRoute, GRPCRoute, TLSRoute, TCPRoute, UDPRoute.

use meshproof_proxy::Nanos;

use crate::{
    Located, Location, Meta,
    istio::{HeaderOperations, StringMatch},
};

/// What a route, or a set of listeners, attaches to (Gateway API: `ParentReference`).
#[derive(Clone, Debug, PartialEq)]
pub struct ParentRef {
    /// Where it begins.
    pub at: Location,
    /// The group; absent: that of Gateway API.
    pub group: Option<Located<String>>,
    /// The kind; absent: `Gateway`.
    pub kind: Option<Located<String>>,
    /// The namespace; absent: the route's.
    pub namespace: Option<Located<String>>,
    /// The name.
    pub name: Located<String>,
    /// Only the listener, or the port, of that name.
    pub section: Option<Located<String>>,
    /// Only that port.
    pub port: Option<Located<u16>>,
}

impl ParentRef {
    /// Its group.
    pub fn group(&self) -> &str {
        self.group.as_ref().map_or(super::GROUP, |group| group.value.as_str())
    }

    /// Its kind.
    pub fn kind(&self) -> &str {
        self.kind.as_ref().map_or("Gateway", |kind| kind.value.as_str())
    }

    /// Its namespace, for a reference in an object of `own`.
    pub fn namespace<'a>(&'a self, own: &'a str) -> &'a str {
        self.namespace.as_ref().map_or(own, |namespace| namespace.value.as_str())
    }
}

/// What requests are sent to (Gateway API: `BackendRef`, `HTTPBackendRef`).
#[derive(Clone, Debug, PartialEq)]
pub struct BackendRef {
    /// Where it begins.
    pub at: Location,
    /// The group; absent: the core group.
    pub group: Option<Located<String>>,
    /// The kind; absent: `Service`.
    pub kind: Option<Located<String>>,
    /// The namespace; absent: the route's.
    pub namespace: Option<Located<String>>,
    /// The name.
    pub name: Located<String>,
    /// The port; required for a Service.
    pub port: Option<Located<u16>>,
    /// Its weight; absent: 1 (`G-5`).
    pub weight: Option<Located<u32>>,
    /// What is done to requests for it.
    pub filters: Vec<Filter>,
}

impl BackendRef {
    /// Its group.
    pub fn group(&self) -> &str {
        self.group.as_ref().map_or("", |group| group.value.as_str())
    }

    /// Its kind.
    pub fn kind(&self) -> &str {
        self.kind.as_ref().map_or("Service", |kind| kind.value.as_str())
    }

    /// Its namespace, for a reference in an object of `own`.
    pub fn namespace<'a>(&'a self, own: &'a str) -> &'a str {
        self.namespace.as_ref().map_or(own, |namespace| namespace.value.as_str())
    }

    /// Its weight (`G-5`).
    pub fn weight(&self) -> u32 {
        self.weight.as_ref().map_or(1, |weight| weight.value)
    }
}

/// Routes for requests: an HTTPRoute, or a GRPCRoute, whose kind `meta` says.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRoute {
    /// Its name and place.
    pub meta: Meta,
    /// What it attaches to.
    pub parents: Vec<ParentRef>,
    /// Hosts; empty: those of the listeners (`G-2`).
    pub hostnames: Vec<Located<String>>,
    /// Its rules.
    pub rules: Vec<HttpRule>,
}

impl HttpRoute {
    /// Whether some rule leaves its limit or its retries to the implementation (`G-13`).
    pub fn leaves_open(&self) -> bool {
        self.rules.iter().any(|rule| rule.request_timeout.is_none() || rule.retry.is_none())
    }
}

impl HttpRoute {
    /// Whether it is a GRPCRoute.
    pub fn is_grpc(&self) -> bool {
        self.meta.resource.kind == "GRPCRoute"
    }
}

/// One rule of a route for requests.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRule {
    /// Where it begins.
    pub at: Location,
    /// Its name.
    pub name: Option<Located<String>>,
    /// Any of these; empty: every request.
    pub matches: Vec<RouteMatch>,
    /// What is done to requests.
    pub filters: Vec<Filter>,
    /// Where to.
    pub backends: Vec<BackendRef>,
    /// Limit on the whole transaction (`G-6`); zero: none.
    pub request_timeout: Option<Located<Nanos>>,
    /// Limit on one try (`G-6`); zero: none.
    pub backend_timeout: Option<Located<Nanos>>,
    /// Retries (`G-7`).
    pub retry: Option<Retry>,
}

/// Which requests: all conditions hold (Gateway API: `HTTPRouteMatch`, `GRPCRouteMatch`).
#[derive(Clone, Debug, PartialEq)]
pub struct RouteMatch {
    /// Where it begins.
    pub at: Location,
    /// On the path; absent: every path (`G-4`).
    pub path: Option<Located<PathMatch>>,
    /// On the method.
    pub method: Option<Located<String>>,
    /// On the method of gRPC (`G-9`).
    pub rpc: Option<Located<RpcMatch>>,
    /// On headers; of one name the first counts.
    pub headers: Vec<(String, Located<StringMatch>)>,
    /// On query parameters; of one name the first counts.
    pub query: Vec<(String, Located<StringMatch>)>,
}

/// How a path is compared (`G-4`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathMatch {
    /// The whole path.
    Exact(String),
    /// Its first elements.
    Prefix(String),
    /// RE2, over the whole path.
    Regex(String),
}

/// Which method of gRPC (Gateway API: `GRPCMethodMatch`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RpcMatch {
    /// The service.
    pub service: Option<String>,
    /// The method.
    pub method: Option<String>,
    /// Whether both are regular expressions.
    pub regex: bool,
}

/// What is done to requests or responses (`G-8`).
#[derive(Clone, Debug, PartialEq)]
pub struct Filter {
    /// Where it begins.
    pub at: Location,
    /// What it does.
    pub action: FilterAction,
}

/// What a filter does (`G-8`).
#[derive(Clone, Debug, PartialEq)]
pub enum FilterAction {
    /// Changes headers of requests.
    RequestHeaders(HeaderOperations),
    /// Changes headers of responses.
    ResponseHeaders(HeaderOperations),
    /// Sends copies, for so many parts per million of the requests.
    Mirror(Box<BackendRef>, u32),
    /// Answers with a redirect.
    Redirect(Redirect),
    /// Changes host and path.
    Rewrite(Rewrite),
    /// Answers for other origins; what it does is not modelled.
    Cors,
    /// What an implementation adds: group, kind and name of the object.
    Extension(String, String, String),
    /// Another type, by its name: nobody is known to carry it out.
    Unknown(String),
}

/// An answer with a redirect (Gateway API: `HTTPRequestRedirectFilter`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Redirect {
    /// A new scheme.
    pub scheme: Option<String>,
    /// A new host.
    pub hostname: Option<String>,
    /// A new path.
    pub path: Option<PathModifier>,
    /// A new port; absent: that of the new scheme, else that of the listener.
    pub port: Option<u16>,
    /// The status; absent: 302.
    pub status: Option<u16>,
}

/// A change of host and path (Gateway API: `HTTPURLRewriteFilter`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rewrite {
    /// A new host.
    pub hostname: Option<String>,
    /// A new path.
    pub path: Option<PathModifier>,
}

/// A new path (Gateway API: `HTTPPathModifier`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PathModifier {
    /// In place of the whole path.
    Full(String),
    /// In place of the elements that matched.
    Prefix(String),
}

/// Retries (Gateway API: `HTTPRouteRetry`).
#[derive(Clone, Debug, PartialEq)]
pub struct Retry {
    /// Where it begins.
    pub at: Location,
    /// Statuses that are retried.
    pub codes: Vec<Located<u16>>,
    /// Tries after the first; absent: the implementation's own.
    pub attempts: Option<Located<i64>>,
    /// Least time between two tries.
    pub backoff: Option<Located<Nanos>>,
}

/// Routes for connections: a TLSRoute, TCPRoute or UDPRoute, whose kind `meta` says.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionRoute {
    /// Its name and place.
    pub meta: Meta,
    /// What it attaches to.
    pub parents: Vec<ParentRef>,
    /// Names that clients ask for by TLS; empty: those of the listeners.
    pub hostnames: Vec<Located<String>>,
    /// Its rules; the first decides.
    pub rules: Vec<ConnectionRule>,
}

/// One rule of a route for connections.
#[derive(Clone, Debug, PartialEq)]
pub struct ConnectionRule {
    /// Where it begins.
    pub at: Location,
    /// Its name.
    pub name: Option<Located<String>>,
    /// Where to.
    pub backends: Vec<BackendRef>,
}
