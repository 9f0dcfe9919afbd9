//! How a proxy learns that a host is not well.

use serde::{Deserialize, Serialize};

use crate::Nanos;

/// Passive health checks (Envoy: `OutlierDetection`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutlierDetection {
    /// `None`: 5.
    pub consecutive_5xx: Option<u32>,
    /// `None`: 100.
    pub enforcing_consecutive_5xx: Option<u32>,
    /// `None`: 5.
    pub consecutive_gateway_failure: Option<u32>,
    /// `None`: 0.
    pub enforcing_consecutive_gateway_failure: Option<u32>,
    /// `None`: 5.
    pub consecutive_local_origin_failure: Option<u32>,
    /// `None`: 100.
    pub enforcing_consecutive_local_origin_failure: Option<u32>,
    /// `None`: 10 s.
    pub interval: Option<Nanos>,
    /// `None`: 30 s.
    pub base_ejection_time: Option<Nanos>,
    /// `None`: 300 s, or the base if that is longer.
    pub max_ejection_time: Option<Nanos>,
    /// `None`: zero.
    pub max_ejection_time_jitter: Option<Nanos>,
    /// `None`: 10.
    pub max_ejection_percent: Option<u32>,
    /// Whether the first ejection is always allowed.
    pub always_eject_one_host: bool,
    /// Whether failures of the connection are counted apart.
    pub split_external_local_origin_errors: bool,
    /// Outliers by success rate.
    pub success_rate: SuccessRate,
    /// Outliers by failure percentage.
    pub failure_percentage: FailurePercentage,
    /// `None`: true.
    pub successful_active_health_check_uneject_host: Option<bool>,
}

/// Outliers by success rate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SuccessRate {
    /// `None`: 5.
    pub minimum_hosts: Option<u32>,
    /// `None`: 100.
    pub request_volume: Option<u32>,
    /// In thousandths of a standard deviation. `None`: 1900.
    pub stdev_factor: Option<u32>,
    /// `None`: 100.
    pub enforcing: Option<u32>,
    /// `None`: 100.
    pub enforcing_local_origin: Option<u32>,
}

/// Outliers by failure percentage.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailurePercentage {
    /// `None`: 85.
    pub threshold: Option<u32>,
    /// `None`: 5.
    pub minimum_hosts: Option<u32>,
    /// `None`: 50.
    pub request_volume: Option<u32>,
    /// `None`: 0.
    pub enforcing: Option<u32>,
    /// `None`: 0.
    pub enforcing_local_origin: Option<u32>,
}

/// Active health checks over HTTP (Envoy: `core.v3.HealthCheck`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HealthCheck {
    /// Limit on one check.
    pub timeout: Nanos,
    /// Time between checks.
    pub interval: Nanos,
    /// Failures in a row that make a host unhealthy; a bad answer does so at once.
    pub unhealthy_threshold: u32,
    /// Successes in a row that make a host healthy; the very first does so at once.
    pub healthy_threshold: u32,
    /// What is asked for.
    pub path: String,
    /// Time between checks while the cluster had no traffic. `None`: 60 s.
    pub no_traffic_interval: Option<Nanos>,
}

/// Linkerd's circuit breaker: a host rests after failures in a row, then one request probes it.
///
/// Source: annotations `balancer.linkerd.io/failure-accrual*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FailureAccrual {
    /// Failures in a row that close the host. Linkerd: 7.
    pub max_failures: u32,
    /// The first rest; each further one is twice as long. Linkerd: 1 s.
    pub min_penalty: Nanos,
    /// The longest rest. Linkerd: 60 s.
    pub max_penalty: Nanos,
    /// Share of the rest that is added at random at most, in thousandths. Linkerd: 500.
    pub jitter_ratio_milli: u32,
}
