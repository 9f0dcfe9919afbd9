//! A canary of Flagger (`FL-3`): the threshold is looked at before the checks of a tick, and a failed check keeps the
//! weight.

use meshproof_model::{
    Nanos,
    delivery::{Canary, CanaryAnalysis},
};

use super::{Ending, Fate};

/// What becomes of a build all of whose checks fail after so many good ones; for each number of good ones that leaves
/// another check. Who passes all is promoted, and nobody looks any more.
pub(super) fn fates(analysis: &CanaryAnalysis) -> impl Iterator<Item = Fate> {
    let (interval, threshold) = (analysis.interval(), u64::from(analysis.threshold()));
    analysis.weights().into_iter().enumerate().map(move |(good, weight)| {
        // The weight is set at the tick of the last good check; the first one without a check, a tick after scale-up.
        let since = interval.times(good as u64 + 1);
        let until = since + interval.times(threshold + 1);
        Fate::of(&[(Nanos::ZERO, 0), (since, weight)], since, Ending::Aborted(until))
    })
}

/// The shares of a build that no check fails: a weight at each tick after the scale-up, and everything at the tick at
/// which it is copied to the primary.
pub(super) fn promoted(canary: &Canary) -> Vec<(Nanos, u32)> {
    let interval = canary.analysis.interval();
    let weights = if canary.skip_analysis { Vec::new() } else { canary.analysis.weights() };
    let ticks = (1..).map(|tick| interval.times(tick));
    [(Nanos::ZERO, 0)].into_iter().chain(ticks.zip(weights.into_iter().chain([100]))).collect()
}

/// How many checks may fail of a build that is promoted all the same.
pub(super) fn tolerated(analysis: &CanaryAnalysis) -> u32 {
    analysis.threshold() - 1
}
