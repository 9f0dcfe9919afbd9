//! Linkerd: `policy.linkerd.io` Server and `HTTPLocalRateLimitPolicy` (`L-9`).

use super::InboundPolicy;
use crate::{Located, Meta, TargetPort, kubernetes::LabelSelector};

/// A port of some pods with a policy of its own.
#[derive(Clone, Debug, PartialEq)]
pub struct Server {
    /// Its name and place.
    pub meta: Meta,
    /// Pods of its namespace; `None`: it selects workloads outside the cluster.
    pub pods: Option<LabelSelector>,
    /// The port of the pods.
    pub port: Located<TargetPort>,
    /// `proxyProtocol`; absent: detected.
    pub protocol: Option<Located<ServerProtocol>>,
    /// `accessPolicy`: what is added to its authorizations; absent: nobody.
    pub access_policy: Option<Located<InboundPolicy>>,
}

/// `proxyProtocol`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ServerProtocol {
    /// Detected.
    Unknown,
    /// HTTP/1.1.
    Http1,
    /// HTTP/2.
    Http2,
    /// gRPC.
    Grpc,
    /// Bytes.
    Opaque,
    /// TLS that is passed through.
    Tls,
}

/// A limit on the requests to a Server, for each proxy.
#[derive(Clone, Debug, PartialEq)]
pub struct HttpLocalRateLimitPolicy {
    /// Its name and place.
    pub meta: Meta,
    /// The Server.
    pub server: Located<String>,
    /// `total.requestsPerSecond`: of all clients together.
    pub total: Option<Located<u32>>,
    /// `identity.requestsPerSecond`: of each client.
    pub identity: Option<Located<u32>>,
    /// `overrides`: of clients by ServiceAccount, `namespace/name`.
    pub overrides: Vec<(Vec<String>, Located<u32>)>,
}
