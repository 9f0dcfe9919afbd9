//! Admission control: the more requests fail, the more are refused before they cost anything
//! (Envoy: `AdmissionControlFilter`). The probability is a double, as in Envoy.
#![allow(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "Envoy decides in doubles here")]

use std::collections::VecDeque;

use crate::{Nanos, Percent, Time, config::AdmissionControl};

/// Width of a bucket of the sliding window.
const BUCKET: Nanos = Nanos::from_secs(1);

/// Admitted requests of the sampling window and how many of them succeeded, in buckets of a second.
#[derive(Clone, Debug, Default)]
pub(crate) struct AdmissionState {
    buckets: VecDeque<Sample>,
    total: Sample,
}

#[derive(Clone, Copy, Debug, Default)]
struct Sample {
    start: Time,
    requests: u64,
    successes: u64,
}

impl AdmissionState {
    /// Whether a request with this draw is refused.
    pub(crate) fn rejects(&mut self, config: &AdmissionControl, now: Time, draw: u64) -> bool {
        if !config.enabled.unwrap_or(true) {
            return false;
        }
        self.forget(config, now);
        let seconds = (window(config).get() / BUCKET.get()).max(1);
        if self.total.requests / seconds < u64::from(config.rps_threshold.unwrap_or(0)) {
            return false;
        }
        // Envoy compares in steps of 1/10,000.
        let probability = rejection_probability(config, self.total.requests, self.total.successes);
        probability > (draw % 10_000) as f64 / 10_000.0
    }

    /// Counts the answer to an admitted request.
    pub(crate) fn record(&mut self, config: &AdmissionControl, now: Time, success: bool) {
        self.forget(config, now);
        if self.buckets.back().is_none_or(|last| now.since(last.start) >= BUCKET) {
            self.buckets.push_back(Sample { start: now, ..Sample::default() });
        }
        if let Some(last) = self.buckets.back_mut() {
            for sample in [last, &mut self.total] {
                sample.requests += 1;
                sample.successes += u64::from(success);
            }
        }
    }

    fn forget(&mut self, config: &AdmissionControl, now: Time) {
        let window = window(config);
        while let Some(first) = self.buckets.front().filter(|first| now.since(first.start) >= window) {
            self.total.requests -= first.requests;
            self.total.successes -= first.successes;
            self.buckets.pop_front();
        }
    }
}

fn window(config: &AdmissionControl) -> Nanos {
    config.sampling_window.unwrap_or(Nanos::from_secs(30))
}

fn fraction(percent: Percent) -> f64 {
    f64::from(percent.ppm()) / 1e6
}

/// `((n - ok / threshold) / (n + 1)) ^ (1 / aggression)`, capped.
fn rejection_probability(config: &AdmissionControl, requests: u64, successes: u64) -> f64 {
    let threshold = fraction(config.success_rate_threshold.unwrap_or(Percent::new(95)));
    let cap = fraction(config.max_rejection_probability.unwrap_or(Percent::new(80)));
    let aggression = f64::from(config.aggression_milli.unwrap_or(1000)) / 1000.0;
    let base = (requests as f64 - successes as f64 / threshold) / (requests as f64 + 1.0);
    let base = base.max(0.0);
    let probability = if aggression > 1.0 { libm::pow(base, 1.0 / aggression) } else { base };
    probability.min(cap)
}

/// Whether an answer counts as a success. gRPC answers count by their gRPC status.
pub(crate) fn is_success(config: &AdmissionControl, status: u16, grpc_status: Option<u32>) -> bool {
    if let Some(grpc_status) = grpc_status {
        // Envoy: the codes that blame the client, or nobody.
        return matches!(grpc_status, 0 | 1 | 2 | 3 | 5 | 6 | 7 | 9 | 11 | 12 | 16);
    }
    match config.http_success.as_slice() {
        [] => (100..500).contains(&status),
        ranges => ranges.iter().any(|(start, end)| (*start..*end).contains(&status)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rejection_grows_with_failures() {
        let config = AdmissionControl::default();
        let quarter = AdmissionControl { aggression_milli: Some(2000), ..AdmissionControl::default() };
        let table = [
            (&config, 0, 0, 0.0),
            (&config, 100, 100, 0.0),
            (&config, 99, 95, 0.0),
            (&config, 99, 0, 0.8),
            (&config, 3, 0, 0.75),
            (&quarter, 3, 2, libm::sqrt((3.0 - 2.0 / 0.95) / 4.0)),
        ];
        for (config, requests, successes, expect) in table {
            let got = rejection_probability(config, requests, successes);
            assert!((got - expect).abs() < 0.011, "{requests} {successes}: {got} is not {expect}");
        }
    }

    #[test]
    fn samples_leave_the_window() {
        let config = AdmissionControl::default();
        let at = |s| Time::START + Nanos::from_secs(s);
        let mut state = AdmissionState::default();
        for second in 0..10 {
            state.record(&config, at(second), false);
        }
        assert!(state.rejects(&config, at(10), 0));
        assert!(!state.rejects(&config, at(60), 0));
    }
}
