//! Linkerd's estimate of a host's load: a moving average of latency that jumps up at once and decays with time,
//! times the requests in flight (tower: `load::PeakEwma`).
#![expect(clippy::float_arithmetic, reason = "Linkerd keeps the average in doubles")]

use crate::hosts::table::Policy;
use crate::{Nanos, Time};

/// The moving average of one host's latency.
#[derive(Clone, Copy, Debug)]
pub(in crate::hosts) struct Ewma {
    /// Nanoseconds.
    latency: f64,
    /// When that was right.
    at: Time,
}

impl Ewma {
    /// A host that nothing is known of has the default latency, which fades as well.
    pub(in crate::hosts) fn new(policy: Policy, now: Time) -> Self {
        let latency = match policy {
            Policy::PeakEwma { default_rtt, .. } => as_f64(default_rtt),
            _ => 0.0,
        };
        Self { latency, at: now }
    }

    /// Takes in the latency of a response.
    pub(in crate::hosts) fn observe(&mut self, policy: Policy, now: Time, latency: Nanos) {
        let Policy::PeakEwma { decay, .. } = policy else {
            return;
        };
        let latency = as_f64(latency);
        if self.latency < latency {
            self.latency = latency;
        } else {
            let kept = kept(now.since(self.at), decay);
            self.latency = self.latency * kept + latency * (1.0 - kept);
        }
        self.at = now;
    }

    /// The load: the decayed average times one more than the requests in flight.
    pub(super) fn cost(&self, policy: Policy, now: Time, active: u32) -> f64 {
        let Policy::PeakEwma { decay, .. } = policy else {
            return 0.0;
        };
        self.latency * kept(now.since(self.at), decay) * (f64::from(active) + 1.0)
    }
}

/// The share of the old average that is left after `elapsed`.
fn kept(elapsed: Nanos, decay: Nanos) -> f64 {
    libm::exp(-as_f64(elapsed) / as_f64(decay).max(1.0))
}

#[expect(clippy::cast_precision_loss, reason = "nanoseconds below a hundred days are exact in a double")]
fn as_f64(time: Nanos) -> f64 {
    time.get() as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn averages_rise_at_once_and_fall_slowly() {
        let policy = Policy::PeakEwma { default_rtt: Nanos::from_millis(30), decay: Nanos::from_secs(10) };
        let at = |seconds: u64| Time::from_nanos(seconds * 1_000_000_000);
        let mut ewma = Ewma::new(policy, at(0));
        let cost = |ewma: &Ewma, seconds, active| ewma.cost(policy, at(seconds), active) / 1e6;
        assert!((cost(&ewma, 0, 0) - 30.0).abs() < 1e-9);
        assert!((cost(&ewma, 0, 2) - 90.0).abs() < 1e-9);
        ewma.observe(policy, at(0), Nanos::from_millis(100));
        assert!((cost(&ewma, 0, 0) - 100.0).abs() < 1e-9);
        assert!((cost(&ewma, 10, 0) - 100.0 / std::f64::consts::E).abs() < 1e-9);
        ewma.observe(policy, at(10), Nanos::from_millis(10));
        let expect = 100.0 / std::f64::consts::E + 10.0 * (1.0 - 1.0 / std::f64::consts::E);
        assert!((cost(&ewma, 10, 0) - expect).abs() < 1e-6);
    }
}
