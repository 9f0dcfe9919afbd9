//! Istio: networking.v1.DestinationRule.

use meshproof_proxy::Nanos;

use crate::{Labels, Located, Location, Meta};

/// What clients do for a host.
#[derive(Clone, Debug, PartialEq)]
pub struct DestinationRule {
    /// Its name and place.
    pub meta: Meta,
    /// The host as written.
    pub host: Located<String>,
    /// For every subset.
    pub traffic_policy: Option<TrafficPolicy>,
    /// Named groups of endpoints.
    pub subsets: Vec<Subset>,
    /// Namespaces that see it; empty: the mesh's default (`DR-5`).
    pub export_to: Vec<Located<String>>,
    /// Only clients with these labels (`DR-4`).
    pub workload_selector: Labels,
}

/// A named group of endpoints.
#[derive(Clone, Debug, PartialEq)]
pub struct Subset {
    /// Its name.
    pub name: Located<String>,
    /// Endpoints with all of them.
    pub labels: Labels,
    /// In place of the rule's, block by block (`DR-7`); most subsets have none.
    pub traffic_policy: Option<Box<TrafficPolicy>>,
}

/// What clients do.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct TrafficPolicy {
    /// Where it begins.
    pub at: Option<Location>,
    /// Which endpoint.
    pub load_balancer: Option<LoadBalancer>,
    /// Limits.
    pub connection_pool: Option<ConnectionPool>,
    /// Ejection.
    pub outlier_detection: Option<OutlierDetection>,
    /// TLS.
    pub tls: Option<ClientTls>,
    /// In place of all four blocks for a port (`DR-6`).
    pub port_level: Vec<(Located<u16>, TrafficPolicy)>,
    /// A retry budget.
    pub retry_budget: Option<RetryBudget>,
}

/// `loadBalancer` (`DR-16`).
#[derive(Clone, Debug, PartialEq)]
pub struct LoadBalancer {
    /// Where it begins.
    pub at: Location,
    /// `simple`.
    pub simple: Option<Located<SimpleLb>>,
    /// `consistentHash`.
    pub consistent_hash: Option<ConsistentHash>,
    /// `localityLbSetting` is written.
    pub locality: Option<LocalityLb>,
    /// `warmup.duration` or `warmupDurationSecs`.
    pub warmup: Option<Located<Nanos>>,
}

/// `loadBalancer.simple`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum SimpleLb {
    /// Least request, as `LEAST_CONN` too.
    LeastRequest,
    /// Round robin.
    RoundRobin,
    /// Random.
    Random,
    /// The address that was dialled.
    Passthrough,
}

/// `loadBalancer.consistentHash`.
#[derive(Clone, Debug, PartialEq)]
pub struct ConsistentHash {
    /// Where it begins.
    pub at: Location,
    /// What is hashed.
    pub key: HashKey,
    /// Maglev and its table's size, in place of a ring.
    pub maglev: Option<u64>,
    /// Least size of the ring.
    pub minimum_ring_size: Option<u64>,
}

/// What is hashed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKey {
    /// A header.
    Header(String),
    /// A cookie and its lifetime.
    Cookie(String, Option<Nanos>),
    /// The client's address.
    SourceIp,
    /// A query parameter.
    QueryParameter(String),
}

/// `localityLbSetting` (`DR-14`, `DR-15`).
#[derive(Clone, Debug, PartialEq)]
pub struct LocalityLb {
    /// Where it begins.
    pub at: Location,
    /// Whether it is on.
    pub enabled: Option<bool>,
    /// From localities to others in percent, `*` for the rest of a name.
    pub distribute: Vec<(String, Vec<(String, u32)>)>,
    /// From one region to another.
    pub failover: Vec<(String, String)>,
    /// Labels in order of precedence.
    pub failover_priority: Vec<String>,
}

/// `connectionPool`; values of zero or below count as absent.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ConnectionPool {
    /// Where it begins.
    pub at: Option<Location>,
    /// `tcp.maxConnections`.
    pub max_connections: Option<Located<u32>>,
    /// `tcp.connectTimeout`.
    pub connect_timeout: Option<Located<Nanos>>,
    /// `tcp.idleTimeout`.
    pub tcp_idle_timeout: Option<Located<Nanos>>,
    /// `http.http1MaxPendingRequests`.
    pub http1_max_pending_requests: Option<Located<u32>>,
    /// `http.http2MaxRequests`.
    pub http2_max_requests: Option<Located<u32>>,
    /// `http.maxRequestsPerConnection`.
    pub max_requests_per_connection: Option<Located<u32>>,
    /// `http.maxRetries`.
    pub max_retries: Option<Located<u32>>,
    /// `http.idleTimeout`.
    pub idle_timeout: Option<Located<Nanos>>,
    /// `http.h2UpgradePolicy`: true for `UPGRADE`.
    pub h2_upgrade: Option<Located<bool>>,
    /// `http.maxConcurrentStreams`.
    pub max_concurrent_streams: Option<Located<u32>>,
}

/// `outlierDetection`.
#[derive(Clone, Debug, PartialEq)]
pub struct OutlierDetection {
    /// Where it begins.
    pub at: Location,
    /// `consecutive5xxErrors`; 0 switches it off.
    pub consecutive_5xx_errors: Option<Located<u32>>,
    /// `consecutiveGatewayErrors`; 0 switches it off.
    pub consecutive_gateway_errors: Option<Located<u32>>,
    /// `interval`.
    pub interval: Option<Located<Nanos>>,
    /// `baseEjectionTime`.
    pub base_ejection_time: Option<Located<Nanos>>,
    /// `maxEjectionPercent`; 0 counts as absent.
    pub max_ejection_percent: Option<Located<u32>>,
    /// `minHealthPercent`.
    pub min_health_percent: Option<Located<u32>>,
    /// `splitExternalLocalOriginErrors`.
    pub split_external_local_origin_errors: Option<Located<bool>>,
    /// `consecutiveLocalOriginFailures`.
    pub consecutive_local_origin_failures: Option<Located<u32>>,
}

/// `tls`.
#[derive(Clone, Debug, PartialEq)]
pub struct ClientTls {
    /// Where it begins.
    pub at: Location,
    /// `mode`.
    pub mode: Located<ClientTlsMode>,
    /// `sni`.
    pub sni: Option<String>,
    /// `subjectAltNames`.
    pub subject_alt_names: Vec<String>,
    /// `credentialName`.
    pub credential_name: Option<String>,
}

/// `tls.mode` (`DR-17`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ClientTlsMode {
    /// Plaintext.
    Disable,
    /// TLS without a client certificate.
    Simple,
    /// TLS with a client certificate of one's own.
    Mutual,
    /// Istio's mutual TLS.
    IstioMutual,
}

/// `retryBudget`.
#[derive(Clone, Debug, PartialEq)]
pub struct RetryBudget {
    /// Where it begins.
    pub at: Location,
    /// `percent` in parts per million.
    pub percent: Option<Located<u32>>,
    /// `minRetryConcurrency`.
    pub min_retry_concurrency: Option<Located<u32>>,
}
