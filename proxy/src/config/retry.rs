//! When a request is tried again.

use serde::{Deserialize, Serialize};

use super::HeaderMatcher;
use crate::Nanos;

/// When and how often a request is tried again (Envoy: `RetryPolicy`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RetryPolicy {
    /// Conditions, as Envoy's `retry_on` spells them; unknown ones are ignored.
    pub retry_on: Vec<String>,
    /// Tries after the first. `None`: 1.
    pub num_retries: Option<u32>,
    /// Limit on one try; zero: none.
    pub per_try_timeout: Option<Nanos>,
    /// Limit on one try's silence; zero: none.
    pub per_try_idle_timeout: Option<Nanos>,
    /// Codes for the condition `retriable-status-codes`.
    pub retriable_status_codes: Vec<u16>,
    /// Response headers for the condition `retriable-headers`.
    pub retriable_headers: Vec<HeaderMatcher>,
    /// Only requests that match one of these are retried; empty: all.
    pub retriable_request_headers: Vec<HeaderMatcher>,
    /// First interval of the exponential back-off. `None`: 25 ms.
    pub base_interval: Option<Nanos>,
    /// Longest interval of the exponential back-off. `None`: 10 times the first.
    pub max_interval: Option<Nanos>,
    /// Back-off that the upstream asks for.
    pub rate_limited_back_off: Option<RateLimitedBackOff>,
    /// Whether hosts that were tried are avoided (Envoy: `retry_host_predicate` `previous_hosts`).
    pub previous_hosts: bool,
    /// How often a host is picked anew when a predicate refuses it. `None`: 1.
    pub host_selection_retry_max_attempts: Option<u32>,
    /// After so many attempts, priorities that were tried are left out (Envoy: `previous_priorities`).
    pub previous_priorities_update_frequency: Option<u32>,
}

/// Back-off that a response header asks for (Envoy: `RateLimitedRetryBackOff`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimitedBackOff {
    /// Headers in order of precedence.
    pub reset_headers: Vec<ResetHeader>,
    /// Longer intervals are ignored. `None`: 300 s.
    pub max_interval: Option<Nanos>,
}

/// A response header that says when to try again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResetHeader {
    /// Lower-case name.
    pub name: String,
    /// Whether the value is a point in Unix time rather than a number of seconds.
    pub unix_timestamp: bool,
}
