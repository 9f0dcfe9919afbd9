//! Adaptive concurrency: admits as many requests at a time as the latency shows to be harmless
//! (Envoy: `GradientController`). The gradient is a double, as in Envoy.
#![allow(
    clippy::float_arithmetic,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    clippy::cast_precision_loss,
    reason = "Envoy decides in doubles here"
)]

use crate::{Nanos, Percent, Time, config::AdaptiveConcurrency};

/// After so many updates in a row at the least limit, the latency is measured anew.
const UPDATES_AT_MINIMUM: u32 = 5;

/// The state of one controller.
#[derive(Clone, Debug)]
pub(crate) struct ConcurrencyState {
    limit: u32,
    outstanding: u32,
    /// Latencies of the current window.
    samples: Vec<Nanos>,
    min_rtt: Nanos,
    /// The limit before the measurement under way; `None`: no measurement is.
    measuring: Option<u32>,
    at_minimum: u32,
    next_update: Time,
    next_measurement: Option<Time>,
}

impl ConcurrencyState {
    /// Begins with a measurement unless the least latency is given.
    pub(crate) fn new(config: &AdaptiveConcurrency, now: Time) -> Self {
        let fixed = config.fixed_min_rtt;
        Self {
            limit: min_concurrency(config),
            outstanding: 0,
            samples: Vec::new(),
            min_rtt: fixed.unwrap_or_default(),
            measuring: fixed.is_none().then(|| min_concurrency(config)),
            at_minimum: 0,
            next_update: now + config.update_interval,
            next_measurement: None,
        }
    }

    /// Whether one more request may run; if so, it counts until [`Self::ended`].
    pub(crate) fn admits(&mut self) -> bool {
        let admits = self.outstanding < self.limit;
        self.outstanding += u32::from(admits);
        admits
    }

    /// An admitted request is over. `latency`: of a complete answer. `jitter` delays the next measurement.
    pub(crate) fn ended(&mut self, config: &AdaptiveConcurrency, now: Time, latency: Option<Nanos>, jitter: u64) {
        self.outstanding = self.outstanding.saturating_sub(1);
        self.samples.extend(latency);
        let Some(previous) = self.measuring else { return };
        if self.samples.len() < config.min_rtt_request_count.unwrap_or(50) as usize {
            return;
        }
        self.min_rtt = self.percentile(config);
        self.samples.clear();
        self.measuring = None;
        self.limit = previous;
        if let Some(interval) = config.min_rtt_interval {
            // Envoy: jitter of 15 % of the interval at most.
            let range = (interval.as_millis() * 15).div_ceil(100).max(1);
            self.next_measurement = Some(now + interval + Nanos::from_millis(jitter % range));
        }
    }

    /// When the driver should call [`Self::tick`] next.
    pub(crate) const fn next_tick(&self) -> Time {
        self.next_update
    }

    /// The end of a window: the limit follows the gradient of the latency.
    pub(crate) fn tick(&mut self, config: &AdaptiveConcurrency, now: Time) {
        self.next_update = now + config.update_interval;
        if self.measuring.is_some() {
            return;
        }
        if self.next_measurement.is_some_and(|at| at <= now) {
            return self.measure(config);
        }
        if self.samples.is_empty() {
            return;
        }
        let sample = self.percentile(config);
        self.samples.clear();
        self.limit = next_limit(config, self.limit, self.min_rtt, sample);
        if self.limit > min_concurrency(config) {
            self.at_minimum = 0;
            return;
        }
        self.at_minimum += 1;
        if self.at_minimum >= UPDATES_AT_MINIMUM && config.fixed_min_rtt.is_none() {
            self.at_minimum = 0;
            self.measure(config);
        }
    }

    fn measure(&mut self, config: &AdaptiveConcurrency) {
        self.next_measurement = None;
        self.samples.clear();
        self.measuring = Some(self.limit);
        self.limit = min_concurrency(config);
    }

    fn percentile(&mut self, config: &AdaptiveConcurrency) -> Nanos {
        self.samples.sort_unstable();
        let share = config.sample_percentile.unwrap_or(Percent::new(50));
        let last = self.samples.len().saturating_sub(1);
        let index = usize::try_from(share.of(self.samples.len() as u64)).unwrap_or(last).min(last);
        self.samples.get(index).copied().unwrap_or_default()
    }
}

fn min_concurrency(config: &AdaptiveConcurrency) -> u32 {
    config.min_concurrency.unwrap_or(3)
}

/// `trunc(x + sqrt(x))` with `x = limit * gradient`, between the configured limits.
fn next_limit(config: &AdaptiveConcurrency, limit: u32, min_rtt: Nanos, sample: Nanos) -> u32 {
    let buffer = f64::from(config.buffer.unwrap_or(Percent::new(25)).ppm()) / 1e6;
    let gradient = min_rtt.get() as f64 * (1.0 + buffer) / (sample.get().max(1) as f64);
    let scaled = f64::from(limit) * gradient.clamp(0.5, 2.0);
    let next = (scaled + libm::sqrt(scaled)) as u32;
    next.clamp(min_concurrency(config), config.max_concurrency.unwrap_or(1000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config() -> AdaptiveConcurrency {
        AdaptiveConcurrency {
            max_concurrency: None,
            update_interval: Nanos::from_millis(100),
            min_rtt_interval: Some(Nanos::from_secs(60)),
            min_rtt_request_count: Some(2),
            fixed_min_rtt: None,
            min_concurrency: None,
            buffer: None,
            sample_percentile: None,
            status: None,
        }
    }

    #[test]
    fn the_limit_follows_the_gradient() {
        let ms = Nanos::from_millis;
        // limit, least latency, sample, next limit
        let table =
            [(3, 100, 100, 5), (100, 100, 100, 136), (100, 100, 500, 57), (3, 100, 900, 3), (1000, 100, 100, 1000)];
        for (limit, min_rtt, sample, expect) in table {
            assert_eq!(next_limit(&config(), limit, ms(min_rtt), ms(sample)), expect, "{limit} {min_rtt} {sample}");
        }
    }

    #[test]
    fn few_requests_run_while_the_latency_is_measured() {
        let config = config();
        let mut state = ConcurrencyState::new(&config, Time::START);
        assert_eq!([0; 4].map(|_| state.admits()), [true, true, true, false]);
        let latency = Some(Nanos::from_millis(10));
        for _ in 0..2 {
            state.ended(&config, Time::START, latency, 0);
        }
        assert!(state.admits());
        state.ended(&config, Time::START, latency, 0);
        state.tick(&config, state.next_tick());
        assert_eq!(state.limit, 5);
        assert_eq!(state.outstanding, 1);
    }
}
