//! Weights that move: slow start, and load in least request (Envoy: `applySlowStartFactor`, `hostWeight`).
#![expect(clippy::float_arithmetic, reason = "Envoy computes these weights in doubles")]

use super::World;
use crate::hosts::state::{Health, HostState};
use crate::hosts::table::{Policy, SlowStartOptions};
use crate::{Nanos, Time};

/// A host's present weight in an EDF schedule; always greater than zero.
pub(super) fn weight(world: &World<'_>, host: &HostState) -> f64 {
    let weight = f64::from(host.weight.max(1));
    let weight = match world.options.policy {
        Policy::LeastRequest { bias_milli: 0, .. } => weight,
        Policy::LeastRequest { bias_milli: 1000, .. } => weight / (f64::from(host.active) + 1.0),
        Policy::LeastRequest { bias_milli, .. } => {
            weight / libm::pow(f64::from(host.active) + 1.0, f64::from(bias_milli) / 1000.0)
        }
        _ => weight,
    };
    match (&world.options.slow_start, host.healthy_since, host.flags.health()) {
        (Some(options), Some(since), Health::Healthy) => weight * factor(options, world.now.since(since)),
        _ => weight,
    }
}

/// The share of its weight that a host gets after having been healthy for so long.
fn factor(options: &SlowStartOptions, healthy_for: Nanos) -> f64 {
    let (elapsed, window) = (healthy_for.as_millis(), options.window.as_millis());
    if elapsed >= window {
        return 1.0;
    }
    #[expect(clippy::cast_precision_loss, reason = "milliseconds of a window stay far below 2^53")]
    let time = elapsed.max(1) as f64 / window as f64;
    let curved = match options.aggression_milli {
        1000 => time,
        milli => libm::pow(time, 1000.0 / f64::from(milli)),
    };
    curved.max(f64::from(options.min_weight.ppm()) / 1_000_000.0)
}

/// Whether some host may still be warming up, so that equal weights need a schedule as well.
///
/// `latest` is when the last host came.
pub(super) fn is_on(options: Option<&SlowStartOptions>, now: Time, latest: Time) -> bool {
    options.is_some_and(|options| now.since(latest).as_millis() <= options.window.as_millis())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Percent;

    #[test]
    fn weights_grow_with_time() {
        // Aggression in thousandths, elapsed milliseconds of a window of one second, expected share.
        let table = [
            (1000, 0, 0.1),
            (1000, 50, 0.1),
            (1000, 250, 0.25),
            (1000, 999, 0.999),
            (1000, 1000, 1.0),
            (2000, 250, 0.5),
            (500, 500, 0.25),
        ];
        for (aggression_milli, elapsed, share) in table {
            let options =
                SlowStartOptions { window: Nanos::from_secs(1), aggression_milli, min_weight: Percent::new(10) };
            let got = factor(&options, Nanos::from_millis(elapsed));
            assert!((got - share).abs() < 1e-9, "{aggression_milli} after {elapsed} ms: {got}");
        }
    }
}
