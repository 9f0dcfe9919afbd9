//! `MP0801` slow-rollback, `MP0802` blind-analysis, `MP0803` coarse-weight (`P7`): how much a bad build gets, and for
//! how long, before the controller of its rollout takes it back.
//!
//! **Statement.** A build is bad from some moment on: every request to it fails, and every measurement that is made
//! after that moment says so. Over all moments at which it can go bad and at which some measurement still takes it back,
//! the share of requests that it gets, summed up over the time until then, is at most a tenth of what may fail in a
//! month at 99.9 % (`MP0801`). A build that is bad from its first request on is taken back (`MP0802`). A share that pods
//! stand for is less than twice the one that is written (`MP0803`).
//!
//! **Decided by** going through the moments that can be the worst, which are the start and the moment after each
//! measurement: between two of them a later one only leaves less. **Checked by** Z3: is there a moment that leaves more?
//! The oracle in the tests plays every second of small rollouts with every moment to go bad at, and asks
//! `AnalysisMetric::phase` after each measurement.

mod argo;
mod course;
mod flagger;
mod played;
mod sight;
#[cfg(test)]
mod tests;

use meshproof_model::{
    BLIND_ANALYSIS, COARSE_WEIGHT, Finding, Location, Nanos, ResourceRef, SLOW_ROLLBACK, Severity, Subject,
    delivery::{AnalysisMetric, Canary, CanaryStrategy, Measurement, Rollout, RolloutStrategy, StepAction},
};

pub(crate) use course::{Course, course};

use super::{Check, Judge};
use crate::{
    Engine, Proof, Report,
    assumption::{CONTROLLER_AT_ONCE, GOES_BAD},
    term::{Bool, Int, Query},
};

/// Requests that may fail in a month of 99.9 %: 30 days' worth of seconds, in percent times seconds.
const MONTHLY_BUDGET: u64 = 30 * 24 * 3600 / 10;

/// One release that fails may take this part of it.
const PART: u64 = 10;

// BOUND: moments whose sums are put to Z3 again, those with the greatest.
const CHECKED_MAX: usize = 16;

/// How a rollout ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    /// The build is taken back at this moment.
    Aborted(Nanos),
    /// It gets everything at this moment.
    Promoted(Nanos),
    /// A person has to go on.
    Waits,
}

/// What becomes of a bad build.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Fate {
    /// Shares in percent, each from a moment on.
    line: Vec<(Nanos, u32)>,
    /// Since when it is bad.
    since: Nanos,
    /// How it ends.
    ending: Ending,
    /// The greatest share that it gets while it is bad, in percent.
    weight: u32,
    /// Its shares until the end, in percent times milliseconds.
    exposure: u64,
}

impl Fate {
    fn of(line: &[(Nanos, u32)], since: Nanos, ending: Ending) -> Self {
        let mut fate = Self { line: line.to_vec(), since, ending, weight: 0, exposure: 0 };
        for (from, until, share) in fate.pieces() {
            let from = from.max(since);
            if from < until {
                fate.weight = fate.weight.max(share);
                let time = Nanos::new(until.get() - from.get()).as_millis();
                fate.exposure = fate.exposure.saturating_add(time.saturating_mul(share.into()));
            }
        }
        if matches!(ending, Ending::Promoted(_)) {
            fate.weight = 100;
        }
        fate
    }

    /// Beginning, end and share of each piece of the line up to the end.
    fn pieces(&self) -> Vec<(Nanos, Nanos, u32)> {
        let end = self.end();
        let next = self.line.iter().skip(1).map(|(from, _)| *from).chain([end]);
        self.line.iter().zip(next).map(|((from, share), until)| (*from, until.min(end), *share)).collect()
    }

    fn end(&self) -> Nanos {
        match self.ending {
            Ending::Aborted(at) | Ending::Promoted(at) => at,
            Ending::Waits => self.line.last().map_or(Nanos::ZERO, |(from, _)| *from),
        }
    }

    /// From the moment that it is bad until the end.
    fn time(&self) -> Nanos {
        Nanos::new(self.end().get().saturating_sub(self.since.get()))
    }
}

/// Judges every Rollout and every Canary.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let mut report = Report::default();
    let delivery = &judge.mesh.delivery;
    for rollout in &delivery.rollouts {
        let RolloutStrategy::Canary(canary) = &rollout.strategy else { continue };
        coarse_weights(judge, rollout, canary, &mut report);
        if let Some(plan) = argo::Plan::of(rollout, canary, &delivery.analyses)
            && plan.steps.iter().any(|step| matches!(step, argo::Step::Share(share) if *share > 0))
        {
            judge_plan(judge, rollout, canary, &plan, &mut report);
        }
    }
    for canary in delivery.canaries.iter().filter(|canary| !canary.skip_analysis) {
        judge_canary(judge, canary, &mut report);
    }
    report
}

fn judge_plan(
    judge: &Judge<'_>,
    rollout: &Rollout,
    canary: &CanaryStrategy,
    plan: &argo::Plan<'_>,
    report: &mut Report,
) {
    let resource = &rollout.meta.resource;
    if plan.is_too_long() {
        let reason = "there are thousands of measurements before its share changes for the last time";
        return report.undecided(&SLOW_ROLLBACK, Subject::Resource(resource.clone()), reason);
    }
    let first = plan.bad_from_the_start();
    if judge.options.paranoid && plays_otherwise(plan, &first) {
        let subject = Subject::Resource(resource.clone());
        return report.disagree(&SLOW_ROLLBACK, &subject, "played measurement by measurement, it ends otherwise");
    }
    let at = place(canary).unwrap_or_else(|| rollout.meta.at.clone());
    match first.ending {
        Ending::Promoted(_) if plan.is_measured() => report.findings.push(blind(resource, at, plan)),
        Ending::Promoted(_) => report.findings.push(unmeasured(resource, at)),
        // What waits for a person is that person's to judge.
        Ending::Waits => {}
        Ending::Aborted(_) => {
            let Some(worst) = plan.worst_caught() else { return };
            let fates: Vec<Fate> = plan.fates().filter(|fate| matches!(fate.ending, Ending::Aborted(_))).collect();
            let proof = proof(resource, &first, &worst);
            let help = "lower `interval` or `failureLimit`, or let it wait at a smaller weight";
            conclude(judge, resource, &at, (&fates, &worst), (proof, help), report);
        }
    }
}

/// Whether a build that is bad from the start, or at the worst moment, ends otherwise when the plan is played.
fn plays_otherwise(plan: &argo::Plan<'_>, first: &Fate) -> bool {
    let differs = |bad, ending| played::ending(plan, bad).is_some_and(|played| played != ending);
    let worst = plan.worst_caught().filter(|worst| worst != first);
    differs(argo::Bad::From(first.since), first.ending)
        || worst.is_some_and(|worst| differs(argo::Bad::After(worst.since), worst.ending))
}

fn judge_canary(judge: &Judge<'_>, canary: &Canary, report: &mut Report) {
    let analysis = &canary.analysis;
    // Users of blue/green and A/B see the canary as a whole or by their own choice.
    if analysis.iterations.is_some() || analysis.mirror {
        return;
    }
    let Some(at) = analysis.threshold.as_ref().map(|threshold| threshold.at.clone()).or(analysis.at.clone()) else {
        return;
    };
    let fates: Vec<Fate> = flagger::fates(analysis).collect();
    let (Some(first), Some(worst)) = (fates.first(), fates.iter().max_by_key(|fate| fate.exposure)) else { return };
    let proof =
        proof(&canary.meta.resource, first, worst).value("failed_checks_tolerated", flagger::tolerated(analysis));
    let help = "lower `threshold`, `interval` or `maxWeight`: it is rolled back after interval x (threshold + 1)";
    conclude(judge, &canary.meta.resource, &at, (&fates, worst), (proof, help), report);
}

/// Tells whether the worst fate is within the limit, once Z3 has found no worse one.
fn conclude(
    judge: &Judge<'_>,
    resource: &ResourceRef,
    at: &Location,
    (fates, worst): (&[Fate], &Fate),
    (proof, help): (Proof, &str),
    report: &mut Report,
) {
    let subject = Subject::Resource(resource.clone());
    let mut greatest: Vec<&Fate> = fates.iter().collect();
    greatest.sort_by_key(|fate| std::cmp::Reverse(fate.exposure));
    let queries: Vec<Query> =
        greatest.into_iter().take(CHECKED_MAX).map(|fate| exceeds(fate, worst.exposure)).collect();
    match judge.none_satisfiable(&queries) {
        Check::Undecided(reason) => return report.undecided(&SLOW_ROLLBACK, subject, &reason),
        Check::Refuted => return report.disagree(&SLOW_ROLLBACK, &subject, "Z3 finds a worse moment to go bad"),
        Check::Confirmed => {}
    }
    let spent = worst.exposure / 1000;
    if spent <= MONTHLY_BUDGET / PART {
        report.proofs.push(proof);
        return;
    }
    let share = spent * 100 / MONTHLY_BUDGET;
    let message = format!(
        "a version that fails keeps up to {} % of the requests for {}: that alone is {share} % of what may fail in a \
         month at 99.9 %",
        worst.weight,
        worst.time()
    );
    let finding = Finding::new(&SLOW_ROLLBACK, subject, message).at(at.clone()).help(help);
    report.findings.push(
        finding
            .value("weight_percent", worst.weight)
            .value("time_until_rollback_ms", super::millis(worst.time()))
            .value("exposure_percent_s", spent),
    );
}

fn proof(resource: &ResourceRef, first: &Fate, worst: &Fate) -> Proof {
    Proof::new(&SLOW_ROLLBACK, Subject::Resource(resource.clone()), Engine::Fixpoint, Some(Engine::Z3))
        .value("weight_percent", worst.weight)
        .value("time_until_rollback_ms", super::millis(worst.time()))
        .value("exposure_percent_s", worst.exposure / 1000)
        .value("bad_from_the_start_weight_percent", first.weight)
        .value("bad_from_the_start_time_ms", super::millis(first.time()))
        .assuming([CONTROLLER_AT_ONCE, GOES_BAD])
}

/// Is there a moment from that of a fate on, and shares no greater than the line's, that leave more?
fn exceeds(fate: &Fate, claimed: u64) -> Query {
    let mut query = Query::default();
    let since = query.int("since");
    query.assert(Int::Const(fate.since.as_millis()).le(since.clone()));
    let mut exposure = Vec::new();
    for (number, (from, until, share)) in fate.pieces().into_iter().enumerate() {
        let (from, until) = (from.as_millis(), until.as_millis());
        let time = query.int(format!("time{number}"));
        query.assert(time.clone().le(Int::Const(until.saturating_sub(from))));
        let ends = Int::Sum(vec![time.clone(), since.clone()]).le(Int::Const(until));
        query.assert(Bool::Or(vec![time.clone().le(Int::Const(0)), ends]));
        exposure.push(time.times(share.into()));
    }
    query.assert(Int::Sum(exposure).gt(Int::Const(claimed)));
    query
}

/// The first step that gives the build a share.
fn place(canary: &CanaryStrategy) -> Option<Location> {
    let is_share = |action: &StepAction| matches!(action, StepAction::Weight(weight) if *weight > 0);
    canary.steps.iter().find(|step| is_share(&step.action)).map(|step| step.at.clone())
}

fn unmeasured(resource: &ResourceRef, at: Location) -> Finding {
    let message = "nothing measures a new version: one that fails every request gets all of them";
    let mut finding = Finding::new(&BLIND_ANALYSIS, Subject::Resource(resource.clone()), message).at(at).help(
        "an `analysis` beside the steps takes a bad version back; a `pause` without a time leaves it to a person",
    );
    // That something optional is absent is news at most.
    finding.severity = Severity::Info;
    finding
}

fn blind(resource: &ResourceRef, at: Location, plan: &argo::Plan<'_>) -> Finding {
    let message = "a version that fails every request gets all of them: no measurement can take it back";
    let mut finding = Finding::new(&BLIND_ANALYSIS, Subject::Resource(resource.clone()), message)
        .at(at)
        .help("let some metric fail a version that fails: within its `count`, with a condition, while the steps last");
    for metric in plan.gates().into_iter().map(|gate| gate.metric) {
        finding = finding.related(metric.at.clone(), why_blind(metric));
    }
    finding
}

/// Why a metric lets a build through that always fails.
fn why_blind(metric: &AnalysisMetric) -> String {
    let name = &metric.name;
    if metric.judge(false, true) != Measurement::Failure {
        return format!("`{name}` has no condition: every measurement is a success");
    }
    match (&metric.failure_limit, &metric.count) {
        (Some(limit), _) if limit.value < 0 => format!("`{name}` allows any number of failures"),
        (Some(limit), Some(count)) if limit.value >= i64::from(count.value) => {
            format!("`{name}` allows {} failures and is measured {} times", limit.value, count.value)
        }
        _ => format!("`{name}` is not measured often enough while the version gets requests"),
    }
}

/// Weights that pods stand for, and that are much more than what is written (`AR-2`).
fn coarse_weights(judge: &Judge<'_>, rollout: &Rollout, canary: &CanaryStrategy, report: &mut Report) {
    let replicas = rollout.replicas.as_ref().map_or(1, |replicas| replicas.value);
    if canary.traffic.is_some() || replicas == 0 {
        return;
    }
    let subject = Subject::Resource(rollout.meta.resource.clone());
    let (mut worst, mut most) = (None, 0);
    for step in &canary.steps {
        let StepAction::Weight(weight @ 1..100) = step.action else { continue };
        let counts = canary.counts(replicas, weight);
        match judge.none_satisfiable(&nearer(replicas, weight, counts)) {
            Check::Confirmed => {}
            Check::Undecided(reason) => return report.undecided(&COARSE_WEIGHT, subject, &reason),
            Check::Refuted => return report.disagree(&COARSE_WEIGHT, &subject, "Z3 finds pods that are nearer"),
        }
        let share = counts.share();
        most = most.max(share.saturating_sub(weight));
        if share >= weight.saturating_mul(2) && worst.is_none() {
            worst = Some((step, weight, counts));
        }
    }
    let Some((step, weight, counts)) = worst else {
        if canary.steps.iter().any(|step| matches!(step.action, StepAction::Weight(1..100))) {
            let proof = Proof::new(&COARSE_WEIGHT, subject, Engine::Fixpoint, Some(Engine::Z3));
            report.proofs.push(proof.value("most_above_percent_points", most).assuming([CONTROLLER_AT_ONCE]));
        }
        return;
    };
    let (share, total) = (counts.share(), counts.canary + counts.stable);
    let message = format!(
        "`setWeight` {weight} means {share} % of the requests: without traffic routing it is {} of {total} pods",
        counts.canary
    );
    let finding = Finding::new(&COARSE_WEIGHT, subject, message)
        .at(step.at.clone())
        .help("share the requests by `trafficRouting`, or run more `replicas`")
        .value("weight_percent", weight)
        .value("share_percent", share)
        .value("replicas", replicas);
    report.findings.push(match &rollout.replicas {
        Some(replicas) => finding.related(replicas.at.clone(), "what it is shared among"),
        None => finding,
    });
}

/// Are there numbers of pods, with both sides kept, whose share is nearer to the weight than these?
fn nearer(replicas: u32, weight: u32, found: meshproof_model::delivery::ReplicaCounts) -> Vec<Query> {
    let (all, mine) = (u64::from(found.canary + found.stable), u64::from(found.canary));
    // |canary / total - weight / 100| of the pods that were found, times 100 · total.
    let off = (mine * 100).abs_diff(u64::from(weight) * all);
    let of_total = |total: u64| {
        let mut query = Query::default();
        let canary = query.int("canary");
        query.assert(Int::Const(1).le(canary.clone()));
        query.assert(canary.clone().gt(Int::Const(0)));
        query.assert(Int::Const(total).gt(canary.clone()));
        // The same distance over the common denominator, on both sides of the weight.
        let (share, wanted) = (canary.times(100 * all), u64::from(weight) * total * all);
        let bound = off * total;
        query.assert(Int::Const(wanted + bound).gt(share.clone()));
        query.assert(Int::Sum(vec![share, Int::Const(bound)]).gt(Int::Const(wanted)));
        query
    };
    let replicas = u64::from(replicas);
    // A surge is not always possible; the total that was found is.
    if all == replicas { vec![of_total(replicas)] } else { vec![of_total(replicas), of_total(replicas + 1)] }
}
