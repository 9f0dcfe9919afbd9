//! How many retries a cluster may have under way, and why it is not simply a number: under overload a fixed limit lets
//! retries take an ever larger share of the work, a budget keeps them in proportion to it.

use crate::{
    Nanos, Percent, Time,
    config::{RetryBudget, Thresholds, TokenBudget},
};

/// Slots of the sliding window of a budget with an interval.
const SLOTS: usize = 10;

/// The configured limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum RetryLimit {
    /// Envoy's `max_retries`.
    Fixed(u32),
    /// Envoy's budget: a share of active and pending requests, or of the requests started in the last `interval`.
    Share { percent: Percent, min: u32, interval: Nanos },
    /// Linkerd's and Finagle's budget: first tries deposit, retries withdraw.
    Tokens { ratio: Percent, min_per_second: u32, ttl: Nanos },
}

impl Default for RetryLimit {
    fn default() -> Self {
        Self::Fixed(3)
    }
}

impl RetryLimit {
    /// Applies Envoy's defaults: 3 retries; a budget is 20 %, and 3 retries at least.
    pub(crate) fn new(thresholds: &Thresholds) -> Self {
        if let Some(TokenBudget { retry_ratio, min_retries_per_second, ttl }) = thresholds.token_budget {
            return Self::Tokens { ratio: retry_ratio, min_per_second: min_retries_per_second, ttl };
        }
        match thresholds.retry_budget {
            Some(RetryBudget { budget_percent, min_retry_concurrency, budget_interval }) => Self::Share {
                percent: budget_percent.unwrap_or(Percent::new(20)),
                min: min_retry_concurrency.unwrap_or(3),
                interval: budget_interval.unwrap_or(Nanos::ZERO),
            },
            None => Self::Fixed(thresholds.max_retries.unwrap_or(3)),
        }
    }
}

/// A retry limit and what it has counted.
#[derive(Clone, Debug, Default)]
pub(crate) struct RetryAllowance {
    limit: RetryLimit,
    window: Window,
    withdrawn: Window,
}

impl RetryAllowance {
    pub(crate) fn configure(&mut self, limit: RetryLimit) {
        self.limit = limit;
    }

    /// Counts a try that starts on a connection. Linkerd's ratio is one of retries to original requests, Envoy's of
    /// retries to all that is under way.
    pub(crate) fn on_request(&mut self, now: Time, is_retry: bool) {
        match self.limit {
            RetryLimit::Fixed(_) => {}
            RetryLimit::Share { interval, .. } => self.window.add(now, interval),
            RetryLimit::Tokens { .. } if is_retry => {}
            RetryLimit::Tokens { ttl, .. } => self.window.add(now, ttl),
        }
    }

    /// Counts a retry that was decided on.
    pub(crate) fn on_retry(&mut self, now: Time) {
        if let RetryLimit::Tokens { ttl, .. } = self.limit {
            self.withdrawn.add(now, ttl);
        }
    }

    /// Whether one more retry may be decided on, with `retries` under way and `load` requests active or pending.
    pub(crate) fn can_create(&mut self, now: Time, retries: u32, load: u32) -> bool {
        match self.limit {
            RetryLimit::Fixed(max) => retries < max,
            RetryLimit::Share { percent, min, interval } => {
                let base = if interval.is_zero() { u64::from(load) } else { self.window.sum(now, interval) };
                u64::from(retries) < percent.of(base).max(u64::from(min))
            }
            RetryLimit::Tokens { ratio, min_per_second, ttl } => {
                let reserve = u64::from(min_per_second) * ttl.get() / 1_000_000_000;
                let deposits = ratio.of(self.window.sum(now, ttl)) + reserve;
                self.withdrawn.sum(now, ttl) < deposits
            }
        }
    }
}

/// Counts events over a sliding interval, in ten slots.
#[derive(Clone, Debug, Default)]
struct Window {
    counts: [u64; SLOTS],
    /// Number of the newest slot, counted from time zero.
    newest: u64,
}

impl Window {
    fn add(&mut self, now: Time, interval: Nanos) {
        if !interval.is_zero() {
            self.advance(now, interval);
            self.counts[slot(self.newest)] += 1;
        }
    }

    fn sum(&mut self, now: Time, interval: Nanos) -> u64 {
        self.advance(now, interval);
        self.counts.iter().sum()
    }

    /// Empties the slots that have left the interval.
    fn advance(&mut self, now: Time, interval: Nanos) {
        let current = now.as_nanos() / (interval.get() / SLOTS as u64).max(1);
        for number in (self.newest + 1..=current).take(SLOTS) {
            self.counts[slot(number)] = 0;
        }
        self.newest = self.newest.max(current);
    }
}

/// Where a slot with this number is kept.
fn slot(number: u64) -> usize {
    usize::try_from(number % SLOTS as u64).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: u64) -> Time {
        Time::START + Nanos::from_millis(ms)
    }

    fn share(percent: u32, min: u32, interval_ms: u64) -> RetryAllowance {
        let mut allowance = RetryAllowance::default();
        let interval = Nanos::from_millis(interval_ms);
        allowance.configure(RetryLimit::Share { percent: Percent::new(percent), min, interval });
        allowance
    }

    #[test]
    fn a_budget_is_a_share_of_the_load() {
        // percent, minimum, retries under way, load, allowed
        let table = [
            (20, 0, 0, 1, false),
            (100, 0, 0, 1, true),
            (20, 0, 1, 10, true),
            (20, 0, 2, 10, false),
            (20, 3, 2, 0, true),
            (20, 3, 3, 0, false),
        ];
        for (percent, min, retries, load, allowed) in table {
            let got = share(percent, min, 0).can_create(at(0), retries, load);
            assert_eq!(got, allowed, "{percent} % of {load}, at least {min}, {retries} under way");
        }
    }

    #[test]
    fn a_budget_with_an_interval_counts_what_started_in_it() {
        let mut allowance = share(50, 0, 5_000);
        allowance.on_request(at(0), false);
        assert!(!allowance.can_create(at(0), 0, 9), "50 % of one request");
        allowance.on_request(at(1_000), true);
        assert!(allowance.can_create(at(1_000), 0, 9), "50 % of two requests");
        assert!(!allowance.can_create(at(6_500), 0, 9), "both have left the interval");
    }

    #[test]
    fn tokens_are_deposited_by_requests_and_withdrawn_by_retries() {
        let mut allowance = RetryAllowance::default();
        let ttl = Nanos::from_secs(10);
        allowance.configure(RetryLimit::Tokens { ratio: Percent::new(20), min_per_second: 0, ttl });
        for _ in 0..10 {
            allowance.on_request(at(0), false);
        }
        for expect in [true, true, false] {
            assert_eq!(allowance.can_create(at(0), 0, 0), expect);
            allowance.on_retry(at(0));
            allowance.on_request(at(0), true);
        }
        assert!(!allowance.can_create(at(20_000), 0, 0), "deposits fade");
    }
}
