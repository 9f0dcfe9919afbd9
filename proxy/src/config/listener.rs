//! Where downstream requests arrive, and what the HTTP connection manager does before routing.

use serde::{Deserialize, Serialize};

use super::{DownstreamTls, Filter, RouteConfiguration};
use crate::Nanos;

/// One listener with one HTTP connection manager.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// A name for people; Istio's is `ADDRESS_PORT`.
    pub name: String,
    /// What connections are accepted.
    pub tls: DownstreamTls,
    /// Options of the HTTP connection manager.
    pub connection_manager: ConnectionManager,
    /// Options of the router filter, the last of the chain.
    pub router: RouterOptions,
    /// HTTP filters in order, the router left out.
    pub filters: Vec<Filter>,
    /// Virtual hosts and their routes.
    pub route_config: RouteConfiguration,
}

/// Options of Envoy's `HttpConnectionManager`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ConnectionManager {
    /// Whether the peer's address is the client's, whatever `x-forwarded-for` says.
    pub use_remote_address: bool,
    /// Addresses that count as internal, as CIDR blocks; empty: none.
    pub internal_cidrs: Vec<String>,
    /// The proxy's own address, which `x-forwarded-for` shows in place of a loopback peer's. `None`: the peer's.
    pub node_address: Option<String>,
    /// RFC 3986 normalisation of the path before matching.
    pub normalize_path: bool,
    /// `//` becomes `/`.
    pub merge_slashes: bool,
    /// What happens to `%2F` and `%5C`.
    pub escaped_slashes: EscapedSlashes,
    /// Whether the port is removed from the authority.
    pub strip_any_host_port: bool,
    /// A stream without activity ends after this. `None`: 5 minutes; zero: never.
    pub stream_idle_timeout: Option<Nanos>,
    /// The whole request must arrive within this. `None` or zero: no limit.
    pub request_timeout: Option<Nanos>,
    /// A stream ends after this. `None` or zero: no limit.
    pub max_stream_duration: Option<Nanos>,
}

/// Options of Envoy's router filter.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouterOptions {
    /// Leaves out most `x-envoy-*` headers.
    pub suppress_envoy_headers: bool,
    /// Takes `x-envoy-expected-rq-timeout-ms` as the timeout.
    pub respect_expected_rq_timeout: bool,
    /// Control headers whose malformed values are refused with 400.
    pub strict_check_headers: Vec<String>,
}

/// What happens to `%2F` and `%5C` in a path (Envoy: `path_with_escaped_slashes_action`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum EscapedSlashes {
    /// They stay.
    #[default]
    KeepUnchanged,
    /// The request is refused with 400.
    RejectRequest,
    /// The client is redirected to the unescaped path.
    UnescapeAndRedirect,
    /// The path is unescaped, then normalised if that is on.
    UnescapeAndForward,
}
