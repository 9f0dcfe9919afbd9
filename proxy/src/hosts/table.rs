//! One cluster, compiled: Envoy's defaults applied in one place.

use std::collections::BTreeMap;

use crate::config::{
    Cluster, FailureAccrual, Host, HostHealth, LbPolicy, RequestQueue, RoutingPriority, Subsets, Thresholds,
    UpstreamProtocol, Zone,
};
use crate::{ClusterId, Nanos, Percent, budget::RetryLimit};

/// Largest table that Envoy accepts for Maglev.
const MAGLEV_LARGEST: u64 = 5_000_011;

/// Envoy: `OutlierDetection.base_ejection_time`.
const BASE_EJECTION_TIME: Nanos = Nanos::from_secs(30);

/// Why a cluster cannot be compiled.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ClusterError {
    /// The smallest ring is larger than the largest.
    #[error("cluster `{cluster}`: minimum_ring_size {minimum} is greater than maximum_ring_size {maximum}")]
    RingSizes {
        /// Which cluster.
        cluster: String,
        /// Least number of entries.
        minimum: u64,
        /// Greatest number of entries.
        maximum: u64,
    },
    /// Maglev needs a prime up to 5,000,011.
    #[error("cluster `{cluster}`: the Maglev table size {size} is not a prime up to 5000011")]
    MaglevTableSize {
        /// Which cluster.
        cluster: String,
        /// What was given.
        size: u64,
    },
    /// The longest ejection is shorter than the first one.
    #[error("cluster `{cluster}`: max_ejection_time is less than base_ejection_time")]
    MaxEjectionTime {
        /// Which cluster.
        cluster: String,
    },
    /// A weight of zero or a sum of weights that exceeds 32 bits.
    #[error("cluster `{cluster}`: weights of hosts must be at least 1 and sum up to less than 2^32 in a priority")]
    HostWeights {
        /// Which cluster.
        cluster: String,
    },
}

/// A cluster with every default applied.
#[derive(Clone, Debug)]
pub(crate) struct ClusterTable {
    pub(crate) id: ClusterId,
    pub(crate) name: Box<str>,
    /// The hosts of the configuration; a live set of hosts starts from them.
    pub(crate) hosts: Vec<Host>,
    /// Limits; index with [`ClusterTable::limits`].
    thresholds: [Limits; 2],
    pub(crate) connect_timeout: Nanos,
    /// `None`: no limit on an attempt's stream.
    pub(crate) max_stream_duration: Option<Nanos>,
    pub(crate) protocol: UpstreamProtocol,
    pub(crate) max_concurrent_streams: u32,
    /// `None`: connections are not retired by use.
    pub(crate) max_requests_per_connection: Option<u32>,
    /// `None`: connections are kept for ever.
    pub(crate) idle_timeout: Option<Nanos>,
    pub(crate) balancing: BalancingOptions,
    pub(crate) outlier: Option<OutlierOptions>,
    pub(crate) health_check: Option<HealthCheckOptions>,
    pub(crate) failure_accrual: Option<FailureAccrual>,
    pub(crate) queue: Option<RequestQueue>,
}

/// The circuit breakers of one routing priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Limits {
    pub(crate) max_connections: u32,
    pub(crate) max_pending_requests: u32,
    pub(crate) max_requests: u32,
    pub(crate) retries: RetryLimit,
    /// `None`: no limit per host.
    pub(crate) max_connections_per_host: Option<u32>,
}

/// How hosts are chosen.
#[derive(Clone, Debug)]
pub(crate) struct BalancingOptions {
    pub(crate) policy: Policy,
    /// In whole percent, at most 100 (Envoy rounds to an integer).
    pub(crate) panic_threshold: u32,
    pub(crate) fail_traffic_on_panic: bool,
    pub(crate) update_merge_window: Nanos,
    pub(crate) overprovisioning_factor: u32,
    pub(crate) locality_weighted: bool,
    pub(crate) zone_aware: Option<ZoneOptions>,
    /// The proxy's own zone; its hosts come first.
    pub(crate) own_zone: Option<String>,
    pub(crate) slow_start: Option<SlowStartOptions>,
    pub(crate) subsets: Option<Subsets>,
}

/// The balancer and its options.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    RoundRobin,
    LeastRequest { choice_count: u32, bias_milli: u32 },
    Random,
    RingHash { minimum: u64, maximum: u64 },
    Maglev { table_size: u64 },
    OriginalDst,
    PeakEwma { default_rtt: Nanos, decay: Nanos },
}

/// Zone-aware balancing: its options, and where the proxy's peers are.
#[derive(Clone, Debug)]
pub(crate) struct ZoneOptions {
    /// In whole percent.
    pub(crate) routing_enabled: u32,
    pub(crate) min_cluster_size: u32,
    /// Proxies of the own cluster in each zone.
    pub(crate) own_cluster_hosts: Vec<(String, u32)>,
}

/// Slow start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SlowStartOptions {
    pub(crate) window: Nanos,
    pub(crate) aggression_milli: u32,
    pub(crate) min_weight: Percent,
}

/// Outlier detection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OutlierOptions {
    pub(crate) consecutive_5xx: u32,
    pub(crate) consecutive_gateway_failure: u32,
    pub(crate) consecutive_local_origin_failure: u32,
    /// Percent, by cause, in the order of Envoy's fields.
    pub(crate) enforcing: [u32; 7],
    pub(crate) interval: Nanos,
    pub(crate) base_ejection_time: Nanos,
    pub(crate) max_ejection_time: Nanos,
    pub(crate) max_ejection_time_jitter: Nanos,
    pub(crate) max_ejection_percent: u32,
    pub(crate) always_eject_one_host: bool,
    pub(crate) split: bool,
    pub(crate) success_rate_minimum_hosts: u32,
    pub(crate) success_rate_request_volume: u32,
    pub(crate) success_rate_stdev_factor: u32,
    pub(crate) failure_percentage_threshold: u32,
    pub(crate) failure_percentage_minimum_hosts: u32,
    pub(crate) failure_percentage_request_volume: u32,
    pub(crate) health_check_unejects: bool,
}

/// Active health checks.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct HealthCheckOptions {
    pub(crate) timeout: Nanos,
    pub(crate) interval: Nanos,
    pub(crate) no_traffic_interval: Nanos,
    pub(crate) unhealthy_threshold: u32,
    pub(crate) healthy_threshold: u32,
}

impl ClusterTable {
    /// Applies the defaults to a cluster; `zone` is where the proxy itself runs.
    pub(crate) fn compile(id: ClusterId, cluster: &Cluster, zone: Option<&Zone>) -> Result<Self, Vec<ClusterError>> {
        let faults = faults(cluster);
        if !faults.is_empty() {
            return Err(faults);
        }
        Ok(Self {
            id,
            name: cluster.name.as_str().into(),
            hosts: cluster.hosts.clone(),
            thresholds: [
                limits(&cluster.thresholds, RoutingPriority::Default),
                limits(&cluster.thresholds, RoutingPriority::High),
            ],
            connect_timeout: cluster.connect_timeout.unwrap_or(Nanos::from_secs(5)),
            max_stream_duration: cluster.max_stream_duration.filter(|limit| !limit.is_zero()),
            protocol: cluster.protocol,
            max_concurrent_streams: cluster.max_concurrent_streams.unwrap_or(1024),
            max_requests_per_connection: cluster.max_requests_per_connection.filter(|count| *count > 0),
            idle_timeout: Some(cluster.idle_timeout.unwrap_or(Nanos::from_secs(3600))).filter(|time| !time.is_zero()),
            balancing: balancing(cluster, zone),
            outlier: cluster.outlier_detection.as_ref().map(outlier),
            health_check: cluster.health_check.as_ref().map(health_check),
            failure_accrual: cluster.failure_accrual,
            queue: cluster.queue,
        })
    }

    /// The limits of one routing priority.
    pub(crate) const fn limits(&self, priority: RoutingPriority) -> &Limits {
        &self.thresholds[priority as usize]
    }
}

fn faults(cluster: &Cluster) -> Vec<ClusterError> {
    let mut faults = Vec::new();
    let name = || cluster.name.clone();
    match policy(&cluster.lb_policy) {
        Policy::RingHash { minimum, maximum } if minimum > maximum => {
            faults.push(ClusterError::RingSizes { cluster: name(), minimum, maximum });
        }
        Policy::Maglev { table_size: size } if size > MAGLEV_LARGEST || !is_prime(size) => {
            faults.push(ClusterError::MaglevTableSize { cluster: name(), size });
        }
        _ => {}
    }
    if !weights_are_sound(&cluster.hosts) {
        faults.push(ClusterError::HostWeights { cluster: name() });
    }
    if let Some(detection) = &cluster.outlier_detection {
        let base = detection.base_ejection_time.unwrap_or(BASE_EJECTION_TIME);
        if detection.max_ejection_time.is_some_and(|longest| longest < base) {
            faults.push(ClusterError::MaxEjectionTime { cluster: name() });
        }
    }
    faults
}

/// Whether every weight is at least 1 and no priority's sum exceeds 32 bits.
fn weights_are_sound(hosts: &[Host]) -> bool {
    let mut sums = BTreeMap::<u32, u32>::new();
    hosts.iter().all(|host| {
        let sum = sums.entry(host.priority).or_default();
        let next = sum.checked_add(host.weight).filter(|_| host.weight > 0);
        *sum = next.unwrap_or(*sum);
        next.is_some()
    })
}

fn is_prime(n: u64) -> bool {
    n >= 2 && (2..=n.isqrt()).all(|divisor| !n.is_multiple_of(divisor))
}

fn limits(thresholds: &[Thresholds], priority: RoutingPriority) -> Limits {
    let own = thresholds.iter().find(|entry| entry.priority == priority).cloned().unwrap_or_default();
    Limits {
        max_connections: own.max_connections.unwrap_or(1024),
        max_pending_requests: own.max_pending_requests.unwrap_or(1024),
        max_requests: own.max_requests.unwrap_or(1024),
        retries: RetryLimit::new(&own),
        max_connections_per_host: own.max_connections_per_host,
    }
}

fn policy(policy: &LbPolicy) -> Policy {
    match *policy {
        LbPolicy::RoundRobin => Policy::RoundRobin,
        LbPolicy::LeastRequest(options) => Policy::LeastRequest {
            choice_count: options.choice_count.unwrap_or(2).max(2),
            bias_milli: options.active_request_bias_milli.unwrap_or(1000),
        },
        LbPolicy::Random => Policy::Random,
        LbPolicy::RingHash { minimum_ring_size, maximum_ring_size } => Policy::RingHash {
            minimum: minimum_ring_size.unwrap_or(1024),
            maximum: maximum_ring_size.unwrap_or(8_388_608),
        },
        LbPolicy::Maglev { table_size } => Policy::Maglev { table_size: table_size.unwrap_or(65_537) },
        LbPolicy::OriginalDst => Policy::OriginalDst,
        LbPolicy::PeakEwma { default_rtt, decay } => Policy::PeakEwma { default_rtt, decay },
    }
}

fn balancing(cluster: &Cluster, zone: Option<&Zone>) -> BalancingOptions {
    let common = &cluster.common_lb;
    // Linkerd knows no panic: without a ready host there is none.
    let is_linkerd = matches!(cluster.lb_policy, LbPolicy::PeakEwma { .. }) || cluster.failure_accrual.is_some();
    let panic_threshold = if is_linkerd { 0 } else { 50 };
    let zone_aware = common.zone_aware.zip(zone).filter(|_| !common.locality_weighted);
    BalancingOptions {
        policy: policy(&cluster.lb_policy),
        panic_threshold: common.healthy_panic_threshold.map_or(panic_threshold, rounded).min(100),
        fail_traffic_on_panic: common.fail_traffic_on_panic,
        update_merge_window: common.update_merge_window.unwrap_or(Nanos::from_secs(1)),
        overprovisioning_factor: common.overprovisioning_factor.unwrap_or(140),
        // Envoy drops the weights of localities in subsets unless told otherwise.
        locality_weighted: common.locality_weighted && cluster.subsets.is_none(),
        zone_aware: zone_aware.map(|(options, zone)| ZoneOptions {
            routing_enabled: options.routing_enabled.map_or(100, rounded),
            min_cluster_size: options.min_cluster_size.unwrap_or(6),
            own_cluster_hosts: zone.own_cluster_hosts.clone(),
        }),
        own_zone: zone.map(|zone| zone.name.clone()),
        slow_start: common.slow_start.filter(|slow| !slow.window.is_zero()).map(|slow| SlowStartOptions {
            window: slow.window,
            aggression_milli: slow.aggression_milli.filter(|value| *value > 0).unwrap_or(1000),
            min_weight: slow.min_weight_percent.unwrap_or(Percent::new(10)),
        }),
        subsets: cluster.subsets.clone(),
    }
}

/// Whole percent, half up (Envoy: `PROTOBUF_PERCENT_TO_ROUNDED_INTEGER`).
const fn rounded(percent: Percent) -> u32 {
    percent.ppm().saturating_add(5_000) / 10_000
}

fn outlier(config: &crate::config::OutlierDetection) -> OutlierOptions {
    let base = config.base_ejection_time.unwrap_or(BASE_EJECTION_TIME);
    let (rate, percentage) = (&config.success_rate, &config.failure_percentage);
    OutlierOptions {
        consecutive_5xx: config.consecutive_5xx.unwrap_or(5),
        consecutive_gateway_failure: config.consecutive_gateway_failure.unwrap_or(5),
        consecutive_local_origin_failure: config.consecutive_local_origin_failure.unwrap_or(5),
        enforcing: [
            config.enforcing_consecutive_5xx.unwrap_or(100),
            config.enforcing_consecutive_gateway_failure.unwrap_or(0),
            config.enforcing_consecutive_local_origin_failure.unwrap_or(100),
            rate.enforcing.unwrap_or(100),
            rate.enforcing_local_origin.unwrap_or(100),
            percentage.enforcing.unwrap_or(0),
            percentage.enforcing_local_origin.unwrap_or(0),
        ],
        interval: config.interval.unwrap_or(Nanos::from_secs(10)),
        base_ejection_time: base,
        max_ejection_time: config.max_ejection_time.unwrap_or(Nanos::from_secs(300)).max(base),
        max_ejection_time_jitter: config.max_ejection_time_jitter.unwrap_or_default(),
        max_ejection_percent: config.max_ejection_percent.unwrap_or(10).min(100),
        always_eject_one_host: config.always_eject_one_host,
        split: config.split_external_local_origin_errors,
        success_rate_minimum_hosts: rate.minimum_hosts.unwrap_or(5),
        success_rate_request_volume: rate.request_volume.unwrap_or(100),
        success_rate_stdev_factor: rate.stdev_factor.unwrap_or(1900),
        failure_percentage_threshold: percentage.threshold.unwrap_or(85),
        failure_percentage_minimum_hosts: percentage.minimum_hosts.unwrap_or(5),
        failure_percentage_request_volume: percentage.request_volume.unwrap_or(50),
        health_check_unejects: config.successful_active_health_check_uneject_host.unwrap_or(true),
    }
}

fn health_check(config: &crate::config::HealthCheck) -> HealthCheckOptions {
    HealthCheckOptions {
        timeout: config.timeout,
        interval: config.interval,
        no_traffic_interval: config.no_traffic_interval.unwrap_or(Nanos::from_secs(60)),
        unhealthy_threshold: config.unhealthy_threshold,
        healthy_threshold: config.healthy_threshold,
    }
}

/// Whether the endpoint configuration lets a host be used, and how.
pub(crate) const fn eds_flags(health: HostHealth) -> super::state::Flags {
    use super::state::Flags;
    match health {
        HostHealth::Healthy => Flags::NONE,
        HostHealth::Unhealthy => Flags::FAILED_EDS,
        HostHealth::Degraded => Flags::DEGRADED_EDS,
    }
}
