//! Retries of annotations (`L-5`).

use meshproof_proxy::config::RetryPolicy;

use super::super::retry::Lowered;
use crate::{
    Origin,
    linkerd::{Retry, RetryBudget},
};

/// A route's retries; `None`: none at all (`L-3`).
pub(super) fn of_route(written: Option<&Retry>) -> Lowered {
    let Some(retry) = written else { return Lowered::none("L-3") };
    let mut codes: Vec<u16> = Vec::new();
    for (from, to) in retry.http.iter().flat_map(|ranges| &ranges.value) {
        codes.extend(*from..=*to);
    }
    codes.sort_unstable();
    codes.dedup();
    // A stream that the server refused is always tried again.
    let mut on = vec!["refused-stream".to_owned()];
    if !codes.is_empty() {
        on.push("retriable-status-codes".to_owned());
    }
    on.extend(retry.grpc.iter().flat_map(|conditions| conditions.value.iter().cloned()));
    if retry.timeout.is_some() {
        // A try whose headers did not come in time is tried again; Envoy's word for that is `reset`.
        on.push("reset".to_owned());
    }
    let policy = RetryPolicy {
        retry_on: on,
        num_retries: Some(retry.attempts()),
        per_try_timeout: retry.timeout.as_ref().map(|limit| limit.value),
        retriable_status_codes: codes,
        ..RetryPolicy::default()
    };
    let at = |written: Option<&crate::Location>| match written {
        Some(at) => Origin::Written(at.clone()),
        None => Origin::Default("L-5"),
    };
    Lowered {
        policy: Some(policy),
        retries: at(Some(&retry.at)),
        // A limit that is not written is 1 as soon as any of the annotations is.
        attempts: at(Some(retry.limit.as_ref().map_or(&retry.at, |limit| &limit.at))),
        retry_on: at(retry.http.as_ref().map(|on| &on.at).or(retry.grpc.as_ref().map(|on| &on.at))),
        per_try_timeout: at(retry.timeout.as_ref().map(|limit| &limit.at)),
        back_off: at(None),
    }
}

/// A profile's budget with its defaults: 20 %, 10 a second, 10 s; of one that is written, numbers that are missing
/// are 0, and without a `ttl` it does not count (`L-6`).
pub(super) fn budget(written: Option<&RetryBudget>) -> meshproof_proxy::config::TokenBudget {
    use meshproof_proxy::{Nanos, Percent, config::TokenBudget};
    let default = TokenBudget { retry_ratio: Percent::new(20), min_retries_per_second: 10, ttl: Nanos::from_secs(10) };
    let Some((written, ttl)) = written.and_then(|budget| Some((budget, budget.ttl.as_ref()?))) else { return default };
    TokenBudget {
        retry_ratio: Percent::from_ppm(written.retry_ratio.as_ref().map_or(0, |ratio| ratio.value)),
        min_retries_per_second: written.min_retries_per_second.as_ref().map_or(0, |count| count.value),
        ttl: ttl.value,
    }
}
