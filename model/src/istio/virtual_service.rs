//! Istio: networking.v1.VirtualService.

use meshproof_proxy::Nanos;

use crate::{Labels, Located, Location, Meta};

/// Routes for a set of hosts.
#[derive(Clone, Debug, PartialEq)]
pub struct VirtualService {
    /// Its name and place.
    pub meta: Meta,
    /// Hosts as written (`H-1` completes short ones).
    pub hosts: Vec<Located<String>>,
    /// Gateways as written; empty: `mesh` (`VS-1`).
    pub gateways: Vec<Located<String>>,
    /// Namespaces that see it; empty: the mesh's default (`VS-2`).
    pub export_to: Vec<Located<String>>,
    /// HTTP rules in order.
    pub http: Vec<HttpRoute>,
    /// TLS rules in order.
    pub tls: Vec<L4Route>,
    /// TCP rules in order.
    pub tcp: Vec<L4Route>,
}

/// One HTTP rule.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRoute {
    /// Where it begins.
    pub at: Location,
    /// Its name.
    pub name: Option<Located<String>>,
    /// Any of these; empty: every request (`RT-1`).
    pub matches: Vec<HttpMatch>,
    /// Where to.
    pub route: Vec<Destination>,
    /// Answers with a redirect.
    pub redirect: Option<HttpRedirect>,
    /// Answers itself.
    pub direct_response: Option<DirectResponse>,
    /// Takes the rules of another VirtualService (`VS-11`).
    pub delegate: Option<Delegate>,
    /// Changes path and authority.
    pub rewrite: Option<HttpRewrite>,
    /// Limit on the whole response (`RT-10`).
    pub timeout: Option<Located<Nanos>>,
    /// Retries (`RT-11` to `RT-16`).
    pub retries: Option<Retries>,
    /// Delays and aborts (`RT-18`).
    pub fault: Option<HttpFault>,
    /// Copies (`RT-19`).
    pub mirrors: Vec<Mirror>,
    /// Header changes (`RT-21`).
    pub headers: Headers,
}

/// One match block: all conditions hold (`RT-2`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct HttpMatch {
    /// Where it begins.
    pub at: Option<Location>,
    /// Its name.
    pub name: Option<String>,
    /// On the path.
    pub uri: Option<Located<StringMatch>>,
    /// Whether the case of the path is ignored.
    pub ignore_uri_case: bool,
    /// On the scheme.
    pub scheme: Option<Located<StringMatch>>,
    /// On the method.
    pub method: Option<Located<StringMatch>>,
    /// On the authority.
    pub authority: Option<Located<StringMatch>>,
    /// On headers.
    pub headers: Vec<(String, Located<StringMatch>)>,
    /// On headers, turned round.
    pub without_headers: Vec<(String, Located<StringMatch>)>,
    /// On query parameters.
    pub query_params: Vec<(String, Located<StringMatch>)>,
    /// The port that was dialled.
    pub port: Option<Located<u16>>,
    /// Labels of the client.
    pub source_labels: Labels,
    /// Namespace of the client.
    pub source_namespace: Option<Located<String>>,
    /// Gateways in place of the VirtualService's.
    pub gateways: Vec<Located<String>>,
}

/// How a text is compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StringMatch {
    /// The whole value.
    Exact(String),
    /// The value's beginning.
    Prefix(String),
    /// RE2, over the whole value.
    Regex(String),
    /// Anything (`{}`): the value is there.
    Present,
}

/// Where requests go.
#[derive(Clone, Debug, PartialEq)]
pub struct Destination {
    /// Where it begins.
    pub at: Location,
    /// The host as written.
    pub host: Located<String>,
    /// The subset.
    pub subset: Option<Located<String>>,
    /// The port.
    pub port: Option<Located<u16>>,
    /// Its weight (`RT-9`).
    pub weight: Option<Located<u32>>,
    /// Header changes.
    pub headers: Headers,
}

/// An answer with a redirect (`RT-20`).
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRedirect {
    /// Where it begins.
    pub at: Location,
    /// A new path.
    pub uri: Option<String>,
    /// A new authority.
    pub authority: Option<String>,
    /// A new port.
    pub port: Option<u16>,
    /// Where a port comes from: `FROM_PROTOCOL_DEFAULT` or `FROM_REQUEST_PORT`.
    pub derive_port: Option<String>,
    /// A new scheme.
    pub scheme: Option<String>,
    /// The status; absent: 301.
    pub redirect_code: Option<u16>,
}

/// An answer of the proxy itself.
#[derive(Clone, Debug, PartialEq)]
pub struct DirectResponse {
    /// Where it begins.
    pub at: Location,
    /// The status.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Another VirtualService whose rules are taken.
#[derive(Clone, Debug, PartialEq)]
pub struct Delegate {
    /// Its name.
    pub name: Located<String>,
    /// Its namespace; absent: the root's.
    pub namespace: Option<Located<String>>,
}

/// Changes of path and authority.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpRewrite {
    /// Where it begins.
    pub at: Location,
    /// The new path, or what replaces the matched prefix.
    pub uri: Option<String>,
    /// The new authority.
    pub authority: Option<String>,
    /// Pattern and replacement.
    pub uri_regex: Option<(String, String)>,
}

/// `retries`.
#[derive(Clone, Debug, PartialEq)]
pub struct Retries {
    /// Where it begins.
    pub at: Location,
    /// Tries after the first; absent: none at all (`RT-13`).
    pub attempts: Option<Located<i64>>,
    /// Limit on one try (`RT-15`).
    pub per_try_timeout: Option<Located<Nanos>>,
    /// Conditions (`RT-14`).
    pub retry_on: Option<Located<String>>,
    /// Whether other localities are tried (`RT-16`).
    pub retry_remote_localities: Option<Located<bool>>,
    /// Whether hosts that were tried are avoided (`RT-16`).
    pub retry_ignore_previous_hosts: Option<Located<bool>>,
    /// First interval of the back-off.
    pub backoff: Option<Located<Nanos>>,
}

/// Delays and aborts. A percentage that is absent is 0 (`RT-18`); percentages are in parts per million.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpFault {
    /// Where it begins.
    pub at: Location,
    /// How long, and for how many.
    pub delay: Option<(Nanos, u32)>,
    /// The answer, and for how many.
    pub abort: Option<(AbortStatus, u32)>,
}

/// The answer of an abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AbortStatus {
    /// An HTTP status.
    Http(u16),
    /// A gRPC status.
    Grpc(u32),
}

/// A copy of requests; the percentage is in parts per million.
#[derive(Clone, Debug, PartialEq)]
pub struct Mirror {
    /// Where to.
    pub destination: Destination,
    /// How many.
    pub percentage: u32,
}

/// Header changes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    /// Of the request.
    pub request: HeaderOperations,
    /// Of the response.
    pub response: HeaderOperations,
}

/// Changes of one message's headers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HeaderOperations {
    /// Replaced or added.
    pub set: Vec<(String, String)>,
    /// Added beside what is there.
    pub add: Vec<(String, String)>,
    /// Removed.
    pub remove: Vec<String>,
}

/// A TLS or TCP rule.
#[derive(Clone, Debug, PartialEq)]
pub struct L4Route {
    /// Where it begins.
    pub at: Location,
    /// Any of these; empty: every connection.
    pub matches: Vec<L4Match>,
    /// Where to.
    pub route: Vec<Destination>,
}

/// One match block of a TLS or TCP rule.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct L4Match {
    /// Names that the client asks for; TLS only.
    pub sni_hosts: Vec<Located<String>>,
    /// Addresses that are dialled.
    pub destination_subnets: Vec<String>,
    /// The port that is dialled.
    pub port: Option<Located<u16>>,
    /// Labels of the client.
    pub source_labels: Labels,
    /// Namespace of the client.
    pub source_namespace: Option<String>,
    /// Gateways in place of the VirtualService's.
    pub gateways: Vec<Located<String>>,
}
