//! Linkerd's objects and annotations as typed data, each leaf with its place. What they mean together is decided in
//! `lower`.

mod authorization;
mod profile;
mod proxy;
mod route;
mod server;

use std::collections::BTreeMap;

pub use authorization::*;
pub use profile::*;
pub use proxy::*;
pub use route::*;
pub use server::*;

use crate::gateway_api::HttpRoute;

/// Everything that is Linkerd's.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Linkerd {
    /// Annotations of namespaces, which their workloads and services inherit.
    pub namespaces: BTreeMap<String, ProxyOptions>,
    /// Routes, retries and splits of a service, in the older form (`L-6`).
    pub profiles: Vec<ServiceProfile>,
    /// Retries, timeouts and breakers that annotations of an object ask for (`L-5`, `L-7`).
    pub policies: Vec<AnnotatedPolicy>,
    /// HTTPRoutes of `policy.linkerd.io`, of the same form as Gateway API's.
    pub http_routes: Vec<HttpRoute>,
    /// Ports of servers with a policy (`L-9`).
    pub servers: Vec<Server>,
    /// Who may call, in the older form (`L-9`).
    pub server_authorizations: Vec<ServerAuthorization>,
    /// Who may call (`L-9`).
    pub authorization_policies: Vec<AuthorizationPolicy>,
    /// Identities that policies name.
    pub mesh_tls_authentications: Vec<MeshTlsAuthentication>,
    /// Networks that policies name.
    pub network_authentications: Vec<NetworkAuthentication>,
    /// Limits on the rate of requests to a server.
    pub rate_limits: Vec<HttpLocalRateLimitPolicy>,
    /// Shares of services, in the form of the Service Mesh Interface (`L-8`).
    pub traffic_splits: Vec<TrafficSplit>,
}
