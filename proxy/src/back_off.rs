//! How long a retry waits (Envoy: `JitteredExponentialBackOffStrategy`, `RateLimitedRetryBackOff`).

use crate::{Nanos, config::RateLimitedBackOff};

/// One millisecond: Envoy's back-offs are whole milliseconds.
const MS: u64 = 1_000_000;

/// The limits of an exponential back-off.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct BackOffLimits {
    base_ms: u64,
    max_ms: u64,
}

impl BackOffLimits {
    /// Applies Envoy's defaults: 25 ms, and ten times the base. Parts of a millisecond are rounded up.
    pub(crate) fn new(base: Option<Nanos>, max: Option<Nanos>) -> Self {
        let base_ms = base.map_or(25, |base| base.get().div_ceil(MS)).max(1);
        let max_ms = max.map_or(base_ms.saturating_mul(10), |max| max.get().div_ceil(MS));
        Self { base_ms, max_ms: max_ms.max(base_ms) }
    }

    /// The longest wait before retry `k` (from 1), exclusive, in milliseconds.
    pub(crate) fn interval_ms(self, k: u32) -> u64 {
        (1..k).fold(self.base_ms, |next, _| if next < self.max_ms / 2 { next * 2 } else { self.max_ms })
    }
}

impl Default for BackOffLimits {
    fn default() -> Self {
        Self::new(None, None)
    }
}

/// An exponential back-off under way.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct BackOff {
    used: u32,
}

impl BackOff {
    /// The next wait: uniform in `0..interval`, whole milliseconds.
    pub(crate) fn next(&mut self, limits: BackOffLimits, draw: u64) -> Nanos {
        self.used += 1;
        Nanos::from_millis(draw % limits.interval_ms(self.used))
    }
}

/// The wait that a response asks for, if one of `policy`'s headers does and is within its limit: uniform in
/// `interval..1.5 * interval`.
pub(crate) fn asked_for<'a>(
    policy: &RateLimitedBackOff,
    header: impl Fn(&str) -> Option<&'a str>,
    unix_now_s: u64,
    draw: u64,
) -> Option<Nanos> {
    let max_ms = policy.max_interval.map_or(300_000, Nanos::as_millis);
    let interval = policy.reset_headers.iter().find_map(|reset| {
        let value: u64 = header(&reset.name)?.parse().ok()?;
        let seconds = if reset.unix_timestamp { value.checked_sub(unix_now_s)? } else { value };
        let ms = seconds.checked_mul(1000)?;
        (0 < ms && ms <= max_ms).then_some(ms)
    })?;
    Some(Nanos::from_millis(interval + draw % (interval / 2).max(1)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::ResetHeader;

    #[test]
    fn intervals_double_up_to_half_of_the_longest() {
        let ms = |n| Some(Nanos::from_millis(n));
        let table = [
            (None, None, [25, 50, 100, 200, 250, 250]),
            (ms(100), ms(400), [100, 200, 400, 400, 400, 400]),
            (ms(1), ms(1), [1, 1, 1, 1, 1, 1]),
            (Some(Nanos::new(1)), None, [1, 2, 4, 8, 10, 10]),
        ];
        for (base, max, expect) in table {
            let limits = BackOffLimits::new(base, max);
            assert_eq!([1, 2, 3, 4, 5, 6].map(|k| limits.interval_ms(k)), expect, "{base:?} {max:?}");
        }
    }

    #[test]
    fn a_response_may_ask_for_a_wait() {
        let header = |name: &str, unix_timestamp| ResetHeader { name: name.to_owned(), unix_timestamp };
        let policy = RateLimitedBackOff {
            reset_headers: vec![header("retry-after", false), header("x-reset", true)],
            max_interval: Some(Nanos::from_secs(10)),
        };
        // retry-after, x-reset, wait in ms at time 100 s with a draw of 1501
        let table = [
            (Some("1"), None, Some(1_001)),
            (Some("0"), None, None),
            (Some("1000"), None, None),
            (Some("1000"), Some("102"), Some(2_501)),
            (Some("soon"), Some("99"), None),
            (None, None, None),
        ];
        for (retry_after, reset, expect) in table {
            let value = |name: &str| if name == "retry-after" { retry_after } else { reset };
            let got = asked_for(&policy, value, 100, 1501);
            assert_eq!(got, expect.map(Nanos::from_millis), "{retry_after:?} {reset:?}");
        }
    }
}
