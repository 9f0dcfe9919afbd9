//! Retry policies.

use meshproof_proxy::config;
use serde::Deserialize;

use super::{LowerError, Millis, matcher::Header, unit::nanos};

/// When and how often a request is tried again.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retry {
    on: String,
    num_retries: Option<u32>,
    per_try_timeout_ms: Option<Millis>,
    per_try_idle_timeout_ms: Option<Millis>,
    #[serde(default)]
    retriable_status_codes: Vec<u16>,
    #[serde(default)]
    retriable_headers: Vec<Header>,
    #[serde(default)]
    retriable_request_headers: Vec<Header>,
    backoff: Option<BackOff>,
    rate_limited_backoff: Option<RateLimitedBackOff>,
    #[serde(default)]
    host_predicates: Vec<HostPredicate>,
    host_selection_max_attempts: Option<u32>,
    priority_previous_frequency: Option<u32>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct BackOff {
    base_ms: Millis,
    max_ms: Option<Millis>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RateLimitedBackOff {
    reset_headers: Vec<ResetHeader>,
    max_ms: Option<Millis>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResetHeader {
    name: String,
    format: ResetFormat,
}

#[derive(PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum ResetFormat {
    Seconds,
    UnixTimestamp,
}

#[derive(PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
enum HostPredicate {
    PreviousHosts,
}

impl Retry {
    pub(crate) fn lower(&self) -> Result<config::RetryPolicy, LowerError> {
        Ok(config::RetryPolicy {
            retry_on: self.on.split(',').map(|condition| condition.trim().to_owned()).collect(),
            num_retries: self.num_retries,
            per_try_timeout: nanos(self.per_try_timeout_ms),
            per_try_idle_timeout: nanos(self.per_try_idle_timeout_ms),
            retriable_status_codes: self.retriable_status_codes.clone(),
            retriable_headers: Header::lower_all(&self.retriable_headers)?,
            retriable_request_headers: Header::lower_all(&self.retriable_request_headers)?,
            base_interval: self.backoff.map(|back_off| back_off.base_ms.nanos()),
            max_interval: self.backoff.and_then(|back_off| nanos(back_off.max_ms)),
            rate_limited_back_off: self.rate_limited_backoff.as_ref().map(RateLimitedBackOff::lower),
            previous_hosts: self.host_predicates.contains(&HostPredicate::PreviousHosts),
            host_selection_retry_max_attempts: self.host_selection_max_attempts,
            previous_priorities_update_frequency: self.priority_previous_frequency,
        })
    }
}

impl RateLimitedBackOff {
    fn lower(&self) -> config::RateLimitedBackOff {
        config::RateLimitedBackOff {
            reset_headers: self
                .reset_headers
                .iter()
                .map(|header| config::ResetHeader {
                    name: header.name.to_ascii_lowercase(),
                    unix_timestamp: header.format == ResetFormat::UnixTimestamp,
                })
                .collect(),
            max_interval: nanos(self.max_ms),
        }
    }
}
