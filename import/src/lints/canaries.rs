//! Canaries that a failing version keeps for long (`FL-4`).

use meshproof_model::{Finding, Mesh, SLOW_ROLLBACK, Subject};

/// Requests that may fail for good in a month, of 99.9 %: 30 days' worth of seconds, in percent times seconds.
const MONTHLY_BUDGET: u64 = 30 * 24 * 3600 / 10;

/// One release that fails may take this part of it.
const PART: u64 = 10;

pub(super) fn check(mesh: &Mesh, findings: &mut Vec<Finding>) {
    for canary in mesh.delivery.canaries.iter().filter(|canary| !canary.skip_analysis) {
        let analysis = &canary.analysis;
        let weight = u64::from(analysis.weights().into_iter().max().unwrap_or(100));
        let time = analysis.rollback_time();
        let spent = weight * (time.get() / 1_000_000_000);
        // Users of blue/green and A/B see the canary as a whole or by their own choice.
        let stepped = analysis.iterations.is_none() && !analysis.mirror;
        let Some(at) = analysis.threshold.as_ref().map(|threshold| threshold.at.clone()).or(analysis.at.clone()) else {
            continue;
        };
        if stepped && spent > MONTHLY_BUDGET / PART {
            let share = spent * 100 / MONTHLY_BUDGET;
            let message = format!(
                "a version that fails keeps up to {weight} % of the requests for {time}: that alone is {share} % of what \
                 may fail in a month at 99.9 %"
            );
            let finding =
                Finding::new(&SLOW_ROLLBACK, Subject::Resource(canary.meta.resource.clone()), message).at(at).help(
                    "lower `threshold`, `interval` or `maxWeight`: it is rolled back after interval x (threshold + 1)",
                );
            findings.push(finding);
        }
    }
}
