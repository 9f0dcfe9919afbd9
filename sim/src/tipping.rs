//! Whether a run ends in a collapse: most requests are no longer answered well by their first try.

use serde::Serialize;

use crate::{
    measure::{BIN, Measure},
    plan::Plan,
    statistics::{Mean, wilson},
};

/// At least so many seconds at the end of a run are judged.
const LEAST_S: usize = 5;

/// How often runs of two meshes end in a collapse.
///
/// A change that tips a mesh shows here; means over tipped and other runs say little.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Tipping {
    /// Of the first mesh.
    pub base: TippedShare,
    /// Of the second mesh.
    pub head: TippedShare,
    /// The second share minus the first.
    pub difference: f64,
    /// The 95 % interval of the paired difference; absent for one pair.
    pub interval: Option<[f64; 2]>,
}

/// A share of runs and its 95 % interval by Wilson's score.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TippedShare {
    /// The share that was seen.
    pub value: f64,
    /// The interval's lower end.
    pub lo: f64,
    /// The interval's upper end.
    pub hi: f64,
}

/// Whether in the last tenth of a run, and in five seconds at least, less than half of what ended was answered well by
/// its first try.
pub(crate) fn has_tipped(plan: &Plan, measure: &Measure) -> bool {
    let seconds = usize::try_from(plan.horizon.saturating_sub(plan.warm_up) / BIN).unwrap_or(usize::MAX);
    let last = (seconds / 10).max(LEAST_S);
    let (mut ended, mut good) = (0_u64, 0_u64);
    for series in &measure.client_series {
        for bin in series.bins.iter().rev().take(last) {
            ended += u64::from(bin.requests);
            good += u64::from(bin.first_try_ok);
        }
    }
    2 * good < ended
}

/// The shares of pairs of runs, and how they differ.
pub(crate) fn tipping(base: &[bool], head: &[bool]) -> Tipping {
    let changes: Vec<f64> =
        base.iter().zip(head).map(|(base, head)| f64::from(u8::from(*head)) - f64::from(u8::from(*base))).collect();
    let change = Mean::of(&changes);
    Tipping {
        base: share(base),
        head: share(head),
        difference: change.map_or(0.0, |change| change.mean),
        interval: change
            .filter(|_| changes.len() > 1)
            .map(|change| [change.mean - change.half, change.mean + change.half]),
    }
}

fn share(tipped: &[bool]) -> TippedShare {
    let (part, whole) = (tipped.iter().filter(|tipped| **tipped).count() as u64, tipped.len() as u64);
    let [lo, hi] = wilson(part, whole);
    TippedShare { value: part as f64 / whole.max(1) as f64, lo, hi }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_that_tips_half_of_the_runs_is_seen() {
        let before = [false; 20];
        let after: Vec<bool> = (0..20).map(|run| run % 2 == 0).collect();
        let found = tipping(&before, &after);
        assert!((found.difference - 0.5).abs() < 1e-12 && found.base.value < 1e-12);
        let [lo, hi] = found.interval.unwrap_or_default();
        assert!(lo > 0.2 && hi < 0.8, "{lo} {hi}");
        assert!(found.base.hi < 0.2 && found.head.lo > 0.29, "{found:?}");
        assert_eq!(tipping(&[true], &[true]).interval, None);
    }
}
