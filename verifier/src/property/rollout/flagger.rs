//! A canary of Flagger (`FL-3`): the threshold is looked at before the checks of a tick, and a failed check keeps the
//! weight.

use meshproof_model::{Nanos, delivery::CanaryAnalysis};

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

/// How many checks may fail of a build that is promoted all the same.
pub(super) fn tolerated(analysis: &CanaryAnalysis) -> u32 {
    analysis.threshold() - 1
}
