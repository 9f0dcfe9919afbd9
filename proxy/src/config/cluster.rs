//! Clusters and their hosts (Envoy: `config.cluster.v3`, `config.endpoint.v3`).

use serde::{Deserialize, Serialize};

use super::{FailureAccrual, HealthCheck, OutlierDetection, RoutingPriority, TransportMatch, UpstreamTls};
use crate::{Nanos, Percent};

/// A group of hosts that requests are balanced over (Envoy: `Cluster`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Cluster {
    /// Istio's form is `outbound|PORT|SUBSET|HOST`.
    pub name: String,
    /// The hosts, in endpoint order; a [`HostId`](crate::HostId) indexes this list.
    pub hosts: Vec<Host>,
    /// `None`: 5 s.
    pub connect_timeout: Option<Nanos>,
    /// Which host is chosen.
    pub lb_policy: LbPolicy,
    /// Limits, per routing priority; the first entry of a priority counts.
    pub thresholds: Vec<Thresholds>,
    /// `None`: no outlier detection.
    pub outlier_detection: Option<OutlierDetection>,
    /// `None`: no active checks.
    pub health_check: Option<HealthCheck>,
    /// Linkerd's circuit breaker for single hosts; `None`: none.
    pub failure_accrual: Option<FailureAccrual>,
    /// Linkerd's queue before the balancer; `None`: a request that finds no host fails at once, as with Envoy.
    pub queue: Option<RequestQueue>,
    /// Options of all balancers.
    pub common_lb: CommonLb,
    /// Subsets by metadata; Istio does not use them.
    pub subsets: Option<Subsets>,
    /// Limit on one attempt's stream.
    pub max_stream_duration: Option<Nanos>,
    /// How requests travel.
    pub protocol: UpstreamProtocol,
    /// Streams at a time on one HTTP/2 connection. `None`: 1024.
    pub max_concurrent_streams: Option<u32>,
    /// A connection closes after so many requests; `None` or 0: never.
    pub max_requests_per_connection: Option<u32>,
    /// A connection without requests closes after this. `None`: 1 h.
    pub idle_timeout: Option<Nanos>,
    /// TLS to hosts that no entry of `transport_matches` takes; `None`: plaintext.
    pub tls: Option<UpstreamTls>,
    /// The first entry whose `matches` the host's `transport_metadata` contains decides the transport.
    pub transport_matches: Vec<TransportMatch>,
}

impl Cluster {
    /// A cluster of these hosts, with Envoy's defaults for all else.
    pub fn new(name: impl Into<String>, hosts: Vec<Host>) -> Self {
        Self {
            name: name.into(),
            hosts,
            connect_timeout: None,
            lb_policy: LbPolicy::RoundRobin,
            thresholds: Vec::new(),
            outlier_detection: None,
            health_check: None,
            failure_accrual: None,
            queue: None,
            common_lb: CommonLb::default(),
            subsets: None,
            max_stream_duration: None,
            protocol: UpstreamProtocol::Http1,
            max_concurrent_streams: None,
            max_requests_per_connection: None,
            idle_timeout: None,
            tls: None,
            transport_matches: Vec::new(),
        }
    }
}

/// One endpoint of a cluster.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// The driver's name for it: a pod and port, or the rig's host name.
    pub name: String,
    /// `ip:port`, which ring hash and Maglev hash.
    pub address: String,
    /// 0 is the first choice.
    pub priority: u32,
    /// At least 1.
    pub weight: u32,
    /// What the endpoint configuration says of it.
    pub health: HostHealth,
    /// Labels for subsets.
    pub metadata: Vec<(String, String)>,
    /// Labels for `transport_matches`.
    pub transport_metadata: Vec<(String, String)>,
    /// Region/zone; empty: none.
    pub locality: String,
    /// Weight of the locality; the first host of a locality that has one decides.
    pub locality_weight: Option<u32>,
}

impl Host {
    /// A healthy host of weight 1 in priority 0.
    pub fn new(name: impl Into<String>, address: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            address: address.into(),
            priority: 0,
            weight: 1,
            health: HostHealth::Healthy,
            metadata: Vec::new(),
            transport_metadata: Vec::new(),
            locality: String::new(),
            locality_weight: None,
        }
    }
}

/// What the endpoint configuration says of a host (Envoy: `HealthStatus`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostHealth {
    /// Used.
    #[default]
    Healthy,
    /// Used only in panic.
    Unhealthy,
    /// Used when the healthy ones do not suffice.
    Degraded,
}

/// Which host is chosen.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LbPolicy {
    /// In turn, by weight.
    RoundRobin,
    /// The least busy of a few random ones.
    LeastRequest(LeastRequest),
    /// At random, weights ignored.
    Random,
    /// By a hash on a ring.
    RingHash {
        /// `None`: 1024.
        minimum_ring_size: Option<u64>,
        /// `None`: 8,388,608.
        maximum_ring_size: Option<u64>,
    },
    /// By a hash in Maglev's table.
    Maglev {
        /// A prime. `None`: 65,537.
        table_size: Option<u64>,
    },
    /// The address that the client dialled (Envoy: `ORIGINAL_DST`).
    OriginalDst,
    /// Linkerd's: the lower of two by moving average of latency times load.
    PeakEwma {
        /// Latency assumed of a new host.
        default_rtt: Nanos,
        /// Time in which an observation fades.
        decay: Nanos,
    },
}

/// Options of least request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct LeastRequest {
    /// How many are compared. `None`: 2.
    pub choice_count: Option<u32>,
    /// Strength of the load with unequal weights, in thousandths. `None`: 1000.
    pub active_request_bias_milli: Option<u32>,
}

/// Options of all balancers (Envoy: `CommonLbConfig`, `ClusterLoadAssignment.Policy`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct CommonLb {
    /// Below this share of usable hosts all are used. `None`: 50; with Linkerd's balancer or breaker 0.
    pub healthy_panic_threshold: Option<Percent>,
    /// Whether there is no host at all in panic.
    pub fail_traffic_on_panic: bool,
    /// Health changes after the first wait for this. `None`: 1 s.
    pub update_merge_window: Option<Nanos>,
    /// How much of a priority may fail before the next one helps, in percent. `None`: 140.
    pub overprovisioning_factor: Option<u32>,
    /// Whether localities share the load by their weights.
    pub locality_weighted: bool,
    /// Whether the proxy prefers its own zone.
    pub zone_aware: Option<ZoneAware>,
    /// New hosts get less at first.
    pub slow_start: Option<SlowStart>,
}

/// Options of zone-aware balancing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ZoneAware {
    /// `None`: 100.
    pub routing_enabled: Option<Percent>,
    /// `None`: 6.
    pub min_cluster_size: Option<u32>,
}

/// New hosts get less at first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowStart {
    /// For how long.
    pub window: Nanos,
    /// Curve of the growth, in thousandths. `None`: 1000.
    pub aggression_milli: Option<u32>,
    /// Least share of the weight. `None`: 10.
    pub min_weight_percent: Option<Percent>,
}

/// Limits of one routing priority (Envoy: `CircuitBreakers.Thresholds`). They hold per proxy and cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Thresholds {
    /// Which requests.
    pub priority: RoutingPriority,
    /// `None`: 1024.
    pub max_connections: Option<u32>,
    /// `None`: 1024.
    pub max_pending_requests: Option<u32>,
    /// `None`: 1024.
    pub max_requests: Option<u32>,
    /// `None`: 3.
    pub max_retries: Option<u32>,
    /// Replaces `max_retries`.
    pub retry_budget: Option<RetryBudget>,
    /// Linkerd's budget; replaces `max_retries` and `retry_budget`.
    pub token_budget: Option<TokenBudget>,
    /// Connections to one host (Envoy: `per_host_thresholds`). `None`: no limit.
    pub max_connections_per_host: Option<u32>,
}

/// A limit on retries in proportion to the load (Envoy: `RetryBudget`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryBudget {
    /// Of active and pending requests, or of those started in `budget_interval`. `None`: 20.
    pub budget_percent: Option<Percent>,
    /// Always allowed. `None`: 3.
    pub min_retry_concurrency: Option<u32>,
    /// `None` or zero: active and pending requests count.
    pub budget_interval: Option<Nanos>,
}

/// A limit on retries in proportion to the number of requests (Linkerd: `ServiceProfile.retryBudget`): each request
/// deposits `retry_ratio` of a retry, each retry withdraws one, and both are forgotten after `ttl`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenBudget {
    /// Linkerd's default is 20 %.
    pub retry_ratio: Percent,
    /// Always allowed. Linkerd's default is 10.
    pub min_retries_per_second: u32,
    /// Linkerd's default is 10 s.
    pub ttl: Nanos,
}

/// How requests travel to the hosts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum UpstreamProtocol {
    /// One request at a time on a connection.
    #[default]
    Http1,
    /// Many requests at a time on a connection.
    Http2,
    /// What ALPN decides.
    Auto,
    /// What the client speaks.
    Downstream,
}

/// Subsets of hosts by metadata (Envoy: `LbSubsetConfig`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Subsets {
    /// Sets of keys.
    pub selectors: Vec<SubsetSelector>,
    /// When no selector or no subset matches.
    pub fallback: SubsetFallback,
    /// For [`SubsetFallback::DefaultSubset`].
    pub default_subset: Vec<(String, String)>,
    /// Whether panic in a subset uses any host.
    pub panic_mode_any: bool,
}

/// One set of keys.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SubsetSelector {
    /// Metadata keys.
    pub keys: Vec<String>,
    /// `None`: the cluster's.
    pub fallback: Option<SubsetFallback>,
}

/// What happens when no subset matches.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum SubsetFallback {
    /// No host.
    #[default]
    NoFallback,
    /// Any host.
    AnyEndpoint,
    /// The default subset.
    DefaultSubset,
}

/// Linkerd's queue before the balancer: requests wait in it while no host is ready, up to a limit in number and time.
///
/// Source: `default_queue_config` of Linkerd's policy controller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RequestQueue {
    /// Requests that wait at most; further ones are shed with 503. Linkerd: 100.
    pub capacity: u32,
    /// When no host has been ready for so long, those that wait and all further ones fail with 503, until a host is
    /// ready. Linkerd: 3 s.
    pub failfast: Nanos,
}
