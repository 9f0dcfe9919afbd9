//! `MP0805` hasty-rollback (`P7`): where an analysis cannot tell a good version from a bad one.
//!
//! **Statement.** A version that is as good as the one that runs, failing as many of its requests as `mesh.ron` says of
//! the workload and taking as long, is taken back with a probability of at most 5 %. Flagger's check of the success rate
//! fails if more requests of its window fail than the threshold lets; how many requests there are follows from the load
//! that scenarios send and from the weight. A good version is taken back for certain if it fails more than the threshold
//! lets on the average, or if the 99th percentile of its own time is above the threshold on durations.
//!
//! **Decided by** the binomial distribution of failed requests in a window, and by the chance of as many failed checks as
//! the threshold allows before every weight has passed one. The oracle in the tests goes through all sequences of failed
//! requests and of failed checks.

use meshproof_model::{
    Distribution, Finding, HASTY_ROLLBACK, Mesh, Nanos, Subject, WorkloadBehaviour,
    delivery::{Canary, CanaryMetric},
};

use super::Judge;
use crate::{
    Engine, Proof, Report,
    assumption::{CALLS_COMPLETE, CONTROLLER_AT_ONCE, SENT_BY_SCENARIOS},
    availability,
    flow::sure_rate,
};

/// The chance, above which a finding is made.
const CHANCE_MAX: f64 = 0.05;

/// Judges every canary whose workload `mesh.ron` describes.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let mut report = Report::default();
    let canaries = judge.mesh.delivery.canaries.iter();
    for canary in canaries.filter(|canary| !canary.skip_analysis && canary.analysis.iterations.is_none()) {
        let Some(known) = behaviour(judge.mesh, canary) else { continue };
        for metric in &canary.analysis.metrics {
            match metric.name.value.as_str() {
                "request-success-rate" => judge_failures(judge, canary, metric, known, &mut report),
                "request-duration" => judge_durations(canary, metric, known, &mut report),
                _ => {}
            }
        }
    }
    report
}

/// What `mesh.ron` says of the version that runs.
fn behaviour<'m>(mesh: &'m Mesh, canary: &Canary) -> Option<&'m WorkloadBehaviour> {
    let name = format!("{}/{}", canary.meta.namespace(), canary.target.value.1);
    let workloads = &mesh.behaviour.workloads;
    workloads.get(&format!("{name}-primary")).or_else(|| workloads.get(&name))
}

fn judge_failures(
    judge: &Judge<'_>,
    canary: &Canary,
    metric: &CanaryMetric,
    known: &WorkloadBehaviour,
    report: &mut Report,
) {
    let Some(least) = metric.min.or(metric.threshold).filter(|least| (0.0..=100.0).contains(least)) else { return };
    let failing: f64 = known.errors.iter().map(|error| f64::from(error.share.ppm()) / 1e6).sum();
    let subject = Subject::Resource(canary.meta.resource.clone());
    if failing * 100.0 > 100.0 - least {
        let message = format!(
            "a version as good as the one that runs is taken back: it fails {} % of its requests, and the analysis wants \
             {least} % to succeed",
            rounded(failing * 100.0)
        );
        report.findings.push(
            Finding::new(&HASTY_ROLLBACK, subject, message)
                .at(metric.name.at.clone())
                .help("lower `thresholdRange.min` below what the service does")
                .value("failing_percent", rounded(failing * 100.0))
                .value("least_success_percent", least),
        );
        return;
    }
    let rate = rate(judge, canary);
    if rate == 0 || failing <= 0.0 {
        return;
    }
    let window = metric.interval.as_ref().map_or(Nanos::from_secs(60), |interval| interval.value);
    let weights = canary.analysis.weights();
    let requests = |weight: u32| {
        let seen = u128::from(rate) * u128::from(window.as_millis()) * u128::from(weight) / 100_000_000;
        u32::try_from(seen).unwrap_or(u32::MAX).min(REQUESTS_MAX)
    };
    let chances: Vec<f64> = weights.iter().map(|weight| failed_check(requests(*weight), failing, least)).collect();
    let chance = rolled_back(&chances, canary.analysis.threshold());
    let first = weights.first().map_or(0, |weight| requests(*weight));
    if chance > CHANCE_MAX {
        let message = format!(
            "one of {} versions as good as the one that runs is taken back: a check at {} % sees {first} requests, of \
             which {} % fail anyway",
            rounded(1.0 / chance),
            weights.first().copied().unwrap_or(0),
            rounded(failing * 100.0)
        );
        report.findings.push(
            Finding::new(&HASTY_ROLLBACK, subject, message)
                .at(metric.name.at.clone())
                .help("a longer window, a greater first weight, a higher `threshold` or a lower `thresholdRange.min`")
                .value("chance", chance)
                .value("requests_in_a_check", first)
                .value("failing_percent", rounded(failing * 100.0)),
        );
    } else {
        let again = |weight: &u32| failed_again(requests(*weight), failing, least);
        if judge.options.paranoid
            && (rolled_back_forwards(&weights.iter().map(again).collect::<Vec<_>>(), canary.analysis.threshold())
                - chance)
                .abs()
                > 1e-6
        {
            return report.disagree(&HASTY_ROLLBACK, &subject, "counted the other way round, the chance is another");
        }
        report.proofs.push(
            Proof::new(&HASTY_ROLLBACK, subject, Engine::Fixpoint, judge.second(Engine::Fixpoint))
                .value("chance", chance)
                .value("requests_in_a_check", first)
                .assuming([CONTROLLER_AT_ONCE, SENT_BY_SCENARIOS, CALLS_COMPLETE]),
        );
    }
}

// BOUND: requests of a window that are counted one by one; with more of them the chance is no greater.
const REQUESTS_MAX: u32 = 5_000;

/// Requests per second for what the canary stands for, in thousandths.
fn rate(judge: &Judge<'_>, canary: &Canary) -> u64 {
    let name = canary.service.name.as_ref().map_or(canary.target.value.1.as_str(), |name| name.value.as_str());
    let names = [name.to_owned(), format!("{name}-primary"), format!("{name}-canary")];
    let full: Vec<String> = names.iter().map(|name| format!("{}/{name}", canary.meta.namespace())).collect();
    sure_rate(judge.graph, &judge.options.demand, |hop| {
        hop.arm.service.is_some_and(|service| full.contains(&judge.graph.services[service]))
    })
}

/// The chance that a check fails of so many requests, each of which fails by itself.
fn failed_check(requests: u32, failing: f64, least: f64) -> f64 {
    let allowed = (0..requests).take_while(|failed| {
        // The rate of successes with one more failure is not below the threshold.
        100.0 * f64::from(requests - failed - 1) >= least * f64::from(requests)
    });
    let allowed = u32::try_from(allowed.count()).unwrap_or(u32::MAX);
    if requests == 0 { 0.0 } else { availability(requests, allowed + 1, failing) }
}

/// The same as [`failed_check`], as what is left by the terms of the binomial distribution up to what is allowed.
fn failed_again(requests: u32, failing: f64, least: f64) -> f64 {
    let (mut term, mut passes) = ((1.0 - failing).powi(requests.cast_signed()), 0.0);
    for failed in 0..=requests {
        if 100.0 * f64::from(requests - failed) < least * f64::from(requests) {
            break;
        }
        passes += term;
        term *= f64::from(requests - failed) / f64::from(failed + 1) * failing / (1.0 - failing);
    }
    // Where nothing is left of the first term there is nothing to count from.
    if term == 0.0 && passes == 0.0 { failed_check(requests, failing, least) } else { 1.0 - passes }
}

/// The same as [`rolled_back`], from the first weight on: how many checks have failed by then.
fn rolled_back_forwards(chances: &[f64], threshold: u32) -> f64 {
    let mut by_failed = vec![0.0; threshold as usize + 1];
    by_failed[0] = 1.0;
    for chance in chances {
        // At this weight checks fail until one passes, or enough have failed.
        for failed in 0..threshold as usize {
            let here = by_failed[failed];
            by_failed[failed + 1] += here * chance;
            by_failed[failed] = here * (1.0 - chance);
        }
    }
    by_failed.last().copied().unwrap_or(0.0)
}

/// The chance of so many failed checks before each weight has passed one.
fn rolled_back(chances: &[f64], threshold: u32) -> f64 {
    // By the number of failed checks so far: the chance of a rollback from the weights that are left.
    let mut after = vec![0.0; threshold as usize];
    for chance in chances.iter().rev() {
        let mut here = vec![0.0; threshold as usize];
        for failed in (0..threshold as usize).rev() {
            let next = here.get(failed + 1).copied().unwrap_or(1.0);
            here[failed] = chance * next + (1.0 - chance) * after[failed];
        }
        after = here;
    }
    after.first().copied().unwrap_or(0.0)
}

fn judge_durations(canary: &Canary, metric: &CanaryMetric, known: &WorkloadBehaviour, report: &mut Report) {
    let Some(most) = metric.max.or(metric.threshold) else { return };
    let own = match &known.service_time {
        Distribution::Constant(time) | Distribution::LogNormal { p99: time, .. } => *time,
        Distribution::Exponential { mean } => Nanos::new(mean.get().saturating_mul(460_517) / 100_000),
        // Of the others the percentile is not written down.
        _ => return,
    };
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    let millis = own.get() as f64 / 1e6;
    if known.cache.is_none() && millis > most {
        let message = format!(
            "a version as good as the one that runs is taken back: its 99th percentile is {own} or more, and the analysis \
             wants at most {most} ms"
        );
        report.findings.push(
            Finding::new(&HASTY_ROLLBACK, Subject::Resource(canary.meta.resource.clone()), message)
                .at(metric.name.at.clone())
                .help("raise `thresholdRange.max` above what the service takes")
                .value("own_p99_ms", super::millis(own))
                .value("most_ms", most),
        );
    }
}

/// Two digits behind the point.
fn rounded(value: f64) -> f64 {
    (value * 100.0).round() / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::Draws;

    /// The sum over every sequence of failed requests that fails the check.
    fn over_all_requests(requests: u32, failing: f64, least: f64) -> f64 {
        let mut sum = 0.0;
        for bits in 0..1_u32 << requests {
            let failed = bits.count_ones();
            if requests > 0 && 100.0 * f64::from(requests - failed) / f64::from(requests) < least {
                sum += failing.powi(failed.cast_signed()) * (1.0 - failing).powi((requests - failed).cast_signed());
            }
        }
        sum
    }

    /// The sum over every sequence of checks, long enough that all end.
    fn over_all_checks(chances: &[f64], threshold: u32) -> f64 {
        let length = chances.len() + threshold as usize;
        let mut sum = 0.0;
        for bits in 0..1_u32 << length {
            let (mut place, mut failed, mut chance) = (0, 0, 1.0);
            for check in 0..length {
                if place == chances.len() || failed == threshold {
                    // What comes after the end may be anything.
                    chance *= 0.5;
                } else if bits >> check & 1 == 1 {
                    chance *= chances[place];
                    failed += 1;
                } else {
                    chance *= 1.0 - chances[place];
                    place += 1;
                }
            }
            if failed == threshold {
                sum += chance;
            }
        }
        sum
    }

    #[test]
    fn chances_are_the_sums_over_all_sequences() {
        let cases = crate::testing::cases(300);
        let mut draws = Draws::new(23);
        let (mut hasty, mut calm) = (0, 0);
        for _ in 0..cases {
            let mut number = |bound: u64| u32::try_from(draws.below(bound)).unwrap_or(0);
            let (requests, failing) = (number(9), f64::from(number(40)) / 100.0);
            let least = f64::from(50 + number(50));
            let found = failed_check(requests, failing, least);
            assert!((found - over_all_requests(requests, failing, least)).abs() < 1e-9, "{requests} {failing} {least}");
            let chances: Vec<f64> = (0..=number(4)).map(|_| f64::from(number(20)) / 100.0).collect();
            let threshold = 1 + number(3);
            let found = rolled_back(&chances, threshold);
            assert!((found - over_all_checks(&chances, threshold)).abs() < 1e-9, "{chances:?} {threshold}");
            assert!((found - rolled_back_forwards(&chances, threshold)).abs() < 1e-9, "{chances:?} {threshold}");
            let again = failed_again(requests, failing, least);
            assert!((again - over_all_requests(requests, failing, least)).abs() < 1e-9, "{requests} {failing} {least}");
            *(if found > CHANCE_MAX { &mut hasty } else { &mut calm }) += 1;
        }
        assert!(hasty * 4 >= cases && calm * 4 >= cases, "{hasty} {calm}");
    }
}
