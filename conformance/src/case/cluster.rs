//! Clusters, hosts and zones.

use std::collections::BTreeMap;

use meshproof_proxy::config;
use serde::Deserialize;

use super::{
    LowerError, Millis, Ports,
    route::Priority,
    tls,
    unit::{milli, nanos, percent},
};

/// A group of hosts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Cluster {
    pub(crate) name: String,
    hosts: Vec<Host>,
    connect_timeout_ms: Option<Millis>,
    #[serde(default)]
    lb_policy: LbPolicy,
    #[serde(default)]
    circuit_breakers: Vec<Thresholds>,
    outlier_detection: Option<OutlierDetection>,
    panic_threshold_percent: Option<f64>,
    #[serde(default)]
    fail_traffic_on_panic: bool,
    update_merge_window_ms: Option<Millis>,
    overprovisioning_factor: Option<u32>,
    #[serde(default)]
    locality_weighted: bool,
    subset: Option<Subset>,
    health_check: Option<HealthCheck>,
    max_stream_duration_ms: Option<Millis>,
    #[serde(default)]
    protocol: Protocol,
    #[serde(default)]
    http2: Http2,
    max_requests_per_connection: Option<u32>,
    idle_timeout_ms: Option<Millis>,
    slow_start: Option<SlowStart>,
    least_request: Option<LeastRequest>,
    zone_aware: Option<ZoneAware>,
    tls: Option<tls::Upstream>,
    #[serde(default)]
    transport_matches: Vec<TransportMatch>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum LbPolicy {
    #[default]
    RoundRobin,
    LeastRequest,
    Random,
    RingHash,
    Maglev,
}

/// What carries requests to the hosts.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Protocol {
    #[default]
    Http1,
    Http2,
    Auto,
    Downstream,
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Http2 {
    max_concurrent_streams: Option<u32>,
}

/// One host.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Host {
    pub(crate) name: String,
    #[serde(default)]
    priority: u32,
    weight: Option<u32>,
    #[serde(default)]
    health: Health,
    #[serde(default)]
    metadata: BTreeMap<String, String>,
    #[serde(default)]
    transport_metadata: BTreeMap<String, String>,
    #[serde(default)]
    locality: String,
    locality_weight: Option<u32>,
    #[serde(default)]
    pub(crate) listen: Listen,
    pub(crate) proxy: Option<String>,
    pub(crate) speaks: Option<Protocol>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Health {
    #[default]
    Healthy,
    Unhealthy,
    Degraded,
}

/// What a scripted host does with connections.
#[derive(Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Listen {
    #[default]
    Open,
    Closed,
    Blackhole,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Thresholds {
    #[serde(default)]
    priority: Priority,
    max_connections: Option<u32>,
    max_pending_requests: Option<u32>,
    max_requests: Option<u32>,
    max_retries: Option<u32>,
    retry_budget: Option<RetryBudget>,
    #[serde(default)]
    per_host: bool,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct RetryBudget {
    budget_percent: Option<f64>,
    budget_interval_ms: Option<Millis>,
    min_retry_concurrency: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OutlierDetection {
    consecutive_5xx: Option<u32>,
    enforcing_consecutive_5xx_percent: Option<u32>,
    consecutive_gateway_failure: Option<u32>,
    enforcing_consecutive_gateway_failure_percent: Option<u32>,
    consecutive_local_origin_failure: Option<u32>,
    enforcing_consecutive_local_origin_failure_percent: Option<u32>,
    interval_ms: Option<Millis>,
    base_ejection_time_ms: Option<Millis>,
    max_ejection_time_ms: Option<Millis>,
    max_ejection_percent: Option<u32>,
    #[serde(default)]
    always_eject_one_host: bool,
    #[serde(default)]
    split_external_local_origin_errors: bool,
    success_rate_minimum_hosts: Option<u32>,
    success_rate_request_volume: Option<u32>,
    success_rate_stdev_factor: Option<u32>,
    enforcing_success_rate_percent: Option<u32>,
    enforcing_local_origin_success_rate_percent: Option<u32>,
    failure_percentage_threshold: Option<u32>,
    failure_percentage_minimum_hosts: Option<u32>,
    failure_percentage_request_volume: Option<u32>,
    enforcing_failure_percentage_percent: Option<u32>,
    enforcing_failure_percentage_local_origin_percent: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Subset {
    selectors: Vec<Selector>,
    #[serde(default)]
    fallback: Fallback,
    #[serde(default)]
    default_subset: BTreeMap<String, String>,
    #[serde(default)]
    panic_mode_any: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Selector {
    keys: Vec<String>,
    fallback: Option<Fallback>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Fallback {
    #[default]
    NoFallback,
    AnyEndpoint,
    DefaultSubset,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HealthCheck {
    timeout_ms: Millis,
    interval_ms: Millis,
    unhealthy_threshold: u32,
    healthy_threshold: u32,
    path: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SlowStart {
    window_ms: Millis,
    aggression: Option<f64>,
    min_weight_percent: Option<f64>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct LeastRequest {
    choice_count: Option<u32>,
    active_request_bias: Option<f64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ZoneAware {
    routing_enabled_percent: Option<f64>,
    min_cluster_size: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TransportMatch {
    name: String,
    #[serde(rename = "match")]
    matches: BTreeMap<String, String>,
    tls: Option<tls::Upstream>,
}

/// The first proxy's zone.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Zone {
    name: String,
    own_cluster_hosts: BTreeMap<String, u32>,
}

impl Cluster {
    /// The hosts in Envoy's order: by priority and locality, then as listed.
    pub(crate) fn hosts(&self) -> Vec<&Host> {
        let mut hosts: Vec<_> = self.hosts.iter().collect();
        hosts.sort_by_key(|host| (host.priority, &host.locality));
        hosts
    }

    /// Whether a scripted host of this cluster speaks HTTP/2.
    pub(crate) fn speaks_http2(&self, host: &Host) -> bool {
        host.speaks.unwrap_or(self.protocol) == Protocol::Http2
    }

    pub(crate) fn lower(&self, identities: &tls::Identities, ports: &mut Ports) -> Result<config::Cluster, LowerError> {
        let addresses: BTreeMap<_, _> =
            self.hosts.iter().map(|host| (host.name.as_str(), ports.next_address())).collect();
        let hosts = self
            .hosts()
            .into_iter()
            .map(|host| host.lower(addresses.get(host.name.as_str()).cloned().unwrap_or_default()))
            .collect();
        let mut cluster = config::Cluster::new(&self.name, hosts);
        cluster.connect_timeout = Some(self.connect_timeout_ms.unwrap_or(Millis::new(1000)).nanos());
        cluster.lb_policy = self.lower_policy();
        cluster.thresholds = self.lower_thresholds();
        cluster.outlier_detection = self.outlier_detection.as_ref().map(OutlierDetection::lower);
        cluster.health_check = self.health_check.as_ref().map(HealthCheck::lower);
        cluster.common_lb = self.lower_common();
        cluster.subsets = self.subset.as_ref().map(Subset::lower);
        cluster.max_stream_duration = nanos(self.max_stream_duration_ms);
        cluster.protocol = match self.protocol {
            Protocol::Http1 => config::UpstreamProtocol::Http1,
            Protocol::Http2 => config::UpstreamProtocol::Http2,
            Protocol::Auto => config::UpstreamProtocol::Auto,
            Protocol::Downstream => config::UpstreamProtocol::Downstream,
        };
        cluster.max_concurrent_streams = self.http2.max_concurrent_streams;
        cluster.max_requests_per_connection = self.max_requests_per_connection;
        cluster.idle_timeout = nanos(self.idle_timeout_ms);
        cluster.tls = self.tls.as_ref().map(|tls| tls.lower(identities)).transpose()?;
        cluster.transport_matches = self
            .transport_matches
            .iter()
            .map(|transport| {
                Ok(config::TransportMatch {
                    name: transport.name.clone(),
                    matches: transport.matches.clone().into_iter().collect(),
                    tls: transport.tls.as_ref().map(|tls| tls.lower(identities)).transpose()?,
                })
            })
            .collect::<Result<_, LowerError>>()?;
        Ok(cluster)
    }

    fn lower_policy(&self) -> config::LbPolicy {
        match self.lb_policy {
            LbPolicy::RoundRobin => config::LbPolicy::RoundRobin,
            LbPolicy::LeastRequest => config::LbPolicy::LeastRequest(config::LeastRequest {
                choice_count: self.least_request.and_then(|options| options.choice_count),
                active_request_bias_milli: milli(self.least_request.and_then(|options| options.active_request_bias)),
            }),
            LbPolicy::Random => config::LbPolicy::Random,
            LbPolicy::RingHash => config::LbPolicy::RingHash { minimum_ring_size: None, maximum_ring_size: None },
            LbPolicy::Maglev => config::LbPolicy::Maglev { table_size: None },
        }
    }

    /// The schema lists limits per host apart; the configuration keeps both in one entry of a priority.
    fn lower_thresholds(&self) -> Vec<config::Thresholds> {
        let mut lowered: Vec<config::Thresholds> = Vec::new();
        for entry in self.circuit_breakers.iter().filter(|entry| !entry.per_host) {
            lowered.push(config::Thresholds {
                priority: entry.priority.lower(),
                max_connections: entry.max_connections,
                max_pending_requests: entry.max_pending_requests,
                max_requests: entry.max_requests,
                max_retries: entry.max_retries,
                retry_budget: entry.retry_budget.map(|budget| config::RetryBudget {
                    budget_percent: percent(budget.budget_percent),
                    min_retry_concurrency: budget.min_retry_concurrency,
                    budget_interval: budget.budget_interval_ms.map(Millis::nanos),
                }),
                ..config::Thresholds::default()
            });
        }
        for entry in self.circuit_breakers.iter().filter(|entry| entry.per_host) {
            let priority = entry.priority.lower();
            match lowered.iter_mut().find(|thresholds| thresholds.priority == priority) {
                Some(thresholds) => thresholds.max_connections_per_host = entry.max_connections,
                None => lowered.push(config::Thresholds {
                    priority,
                    max_connections_per_host: entry.max_connections,
                    ..config::Thresholds::default()
                }),
            }
        }
        lowered
    }

    fn lower_common(&self) -> config::CommonLb {
        config::CommonLb {
            healthy_panic_threshold: percent(self.panic_threshold_percent),
            fail_traffic_on_panic: self.fail_traffic_on_panic,
            update_merge_window: nanos(self.update_merge_window_ms),
            overprovisioning_factor: self.overprovisioning_factor,
            locality_weighted: self.locality_weighted,
            zone_aware: self.zone_aware.as_ref().map(|zone| config::ZoneAware {
                routing_enabled: percent(zone.routing_enabled_percent),
                min_cluster_size: zone.min_cluster_size,
            }),
            slow_start: self.slow_start.as_ref().map(|start| config::SlowStart {
                window: start.window_ms.nanos(),
                aggression_milli: milli(start.aggression),
                min_weight_percent: percent(start.min_weight_percent),
            }),
        }
    }
}

impl Host {
    fn lower(&self, address: String) -> config::Host {
        config::Host {
            name: self.name.clone(),
            address,
            priority: self.priority,
            weight: self.weight.unwrap_or(1),
            health: match self.health {
                Health::Healthy => config::HostHealth::Healthy,
                Health::Unhealthy => config::HostHealth::Unhealthy,
                Health::Degraded => config::HostHealth::Degraded,
            },
            metadata: self.metadata.clone().into_iter().collect(),
            transport_metadata: self.transport_metadata.clone().into_iter().collect(),
            locality: self.locality.clone(),
            locality_weight: self.locality_weight,
        }
    }
}

impl OutlierDetection {
    fn lower(&self) -> config::OutlierDetection {
        config::OutlierDetection {
            consecutive_5xx: self.consecutive_5xx,
            enforcing_consecutive_5xx: self.enforcing_consecutive_5xx_percent,
            consecutive_gateway_failure: self.consecutive_gateway_failure,
            enforcing_consecutive_gateway_failure: self.enforcing_consecutive_gateway_failure_percent,
            consecutive_local_origin_failure: self.consecutive_local_origin_failure,
            enforcing_consecutive_local_origin_failure: self.enforcing_consecutive_local_origin_failure_percent,
            interval: nanos(self.interval_ms),
            base_ejection_time: nanos(self.base_ejection_time_ms),
            max_ejection_time: nanos(self.max_ejection_time_ms),
            max_ejection_time_jitter: None,
            max_ejection_percent: self.max_ejection_percent,
            always_eject_one_host: self.always_eject_one_host,
            split_external_local_origin_errors: self.split_external_local_origin_errors,
            success_rate: config::SuccessRate {
                minimum_hosts: self.success_rate_minimum_hosts,
                request_volume: self.success_rate_request_volume,
                stdev_factor: self.success_rate_stdev_factor,
                enforcing: self.enforcing_success_rate_percent,
                enforcing_local_origin: self.enforcing_local_origin_success_rate_percent,
            },
            failure_percentage: config::FailurePercentage {
                threshold: self.failure_percentage_threshold,
                minimum_hosts: self.failure_percentage_minimum_hosts,
                request_volume: self.failure_percentage_request_volume,
                enforcing: self.enforcing_failure_percentage_percent,
                enforcing_local_origin: self.enforcing_failure_percentage_local_origin_percent,
            },
            successful_active_health_check_uneject_host: None,
        }
    }
}

impl HealthCheck {
    fn lower(&self) -> config::HealthCheck {
        config::HealthCheck {
            timeout: self.timeout_ms.nanos(),
            interval: self.interval_ms.nanos(),
            unhealthy_threshold: self.unhealthy_threshold,
            healthy_threshold: self.healthy_threshold,
            path: self.path.clone().unwrap_or_else(|| "/healthz".to_owned()),
            no_traffic_interval: Some(self.interval_ms.nanos()),
        }
    }
}

impl Subset {
    fn lower(&self) -> config::Subsets {
        config::Subsets {
            selectors: self
                .selectors
                .iter()
                .map(|selector| config::SubsetSelector {
                    keys: selector.keys.clone(),
                    fallback: selector.fallback.map(Fallback::lower),
                })
                .collect(),
            fallback: self.fallback.lower(),
            default_subset: self.default_subset.clone().into_iter().collect(),
            panic_mode_any: self.panic_mode_any,
        }
    }
}

impl Fallback {
    fn lower(self) -> config::SubsetFallback {
        match self {
            Self::NoFallback => config::SubsetFallback::NoFallback,
            Self::AnyEndpoint => config::SubsetFallback::AnyEndpoint,
            Self::DefaultSubset => config::SubsetFallback::DefaultSubset,
        }
    }
}

impl Zone {
    pub(crate) fn lower(&self) -> config::Zone {
        config::Zone {
            name: self.name.clone(),
            own_cluster_hosts: self.own_cluster_hosts.clone().into_iter().collect(),
        }
    }
}
