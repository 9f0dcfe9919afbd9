//! Judging a scenario's objectives.

use meshproof_model::{Comparison, Expectation, Figure, Mesh, Objective, ObjectiveSubject, Scenario};
use serde::Serialize;

use crate::{
    ReplayOutcome,
    figure::{figure, of_client, of_service},
    measure::{BIN, ClientTally, Grid, Kept, Measure, Merge, ServiceTally},
    number::Number,
    plan::Plan,
    statistics::{BATCHES, batch_means},
};

/// How an objective came out.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ObjectiveResult {
    /// Whose which figure, such as `browser.p99`.
    pub name: String,
    /// The objective as written.
    pub expression: String,
    /// What was observed: a ratio, milliseconds, requests per second or a number; for `recovers within`, the longest
    /// recovery in seconds, absent if there was none.
    pub observed: Number,
    /// The 95 % confidence interval: over replications, or, of a single run, from the means of its batches.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interval: Option<[f64; 2]>,
    /// Whether it was met.
    pub met: bool,
}

/// A figure's objective, with its subject found.
struct Judged {
    subject: ObjectiveSubject,
    figure: Figure,
    comparison: Comparison,
    bound: f64,
}

/// The width of the window over which objectives are judged during recovery, in bins of a second.
const WINDOW: usize = 10;

/// Parses objectives; those that [`Mesh::check_scenario`] would refuse are left out.
fn parse(mesh: &Mesh, scenario: &Scenario) -> Vec<(String, Objective, Option<ObjectiveSubject>)> {
    let parsed = scenario.objectives.iter().filter_map(|text| {
        let objective: Objective = text.parse().ok()?;
        let subject = objective.resolve(mesh).ok()?;
        Some((text.clone(), objective, subject))
    });
    parsed.collect()
}

/// The figures that a scenario's objectives judge.
pub(crate) fn figures(mesh: &Mesh, scenario: &Scenario) -> Vec<(ObjectiveSubject, Figure)> {
    let parsed = parse(mesh, scenario).into_iter();
    parsed
        .filter_map(|(_, objective, subject)| match objective {
            Objective::Figure { figure, .. } => Some((subject?, figure)),
            Objective::RecoversWithin(_) => None,
        })
        .collect()
}

/// Whose figures must be kept over time: by second to judge recovery, else, of a single run, by batch for intervals.
pub(crate) fn kept(mesh: &Mesh, scenario: &Scenario, plan: &Plan, is_single: bool) -> Kept {
    let objectives = parse(mesh, scenario);
    let mut kept = Kept::default();
    let recovers = objectives.iter().any(|(_, objective, _)| matches!(objective, Objective::RecoversWithin(_)));
    if !recovers && !is_single {
        return kept;
    }
    for (_, _, subject) in &objectives {
        match subject {
            Some(ObjectiveSubject::Client(client)) => kept.clients.push(*client),
            Some(ObjectiveSubject::Service(service)) => kept.services.push(service.index()),
            Some(ObjectiveSubject::Queue(_) | ObjectiveSubject::Release(_)) | None => {}
        }
    }
    kept.grid = if recovers {
        Grid { from: 0, width: BIN, count: usize::try_from(plan.horizon.div_ceil(BIN)).unwrap_or(usize::MAX) }
    } else {
        Grid {
            from: plan.warm_up,
            width: plan.horizon.saturating_sub(plan.warm_up).div_ceil(BATCHES as u64).max(1),
            count: BATCHES,
        }
    };
    kept
}

/// The interval of a figure of a single run, from the means of its batches.
fn batched(run: &Measure, warm_up: u64, subject: ObjectiveSubject, wanted: &Figure) -> Option<[f64; 2]> {
    let batches: Vec<Option<f64>> = match subject {
        ObjectiveSubject::Client(client) => {
            let series = &run.client_series[client];
            series
                .batches(BATCHES, warm_up)
                .map(|(tally, seconds)| of_client(&tally, wanted, seconds).value())
                .collect()
        }
        ObjectiveSubject::Service(service) => {
            let series = &run.service_series[service.index()];
            series.batches(BATCHES, warm_up).map(|(tally, _)| of_service(&tally, wanted).value()).collect()
        }
        ObjectiveSubject::Queue(_) | ObjectiveSubject::Release(_) => return None,
    };
    let found = batch_means(&batches)?;
    wanted.is_intensive().then_some([found.mean - found.half, found.mean + found.half])
}

/// Whether the replay of a witness has shown what it should, in every replication.
pub(crate) fn of_replay(expectation: &Expectation, outcomes: &[ReplayOutcome]) -> ObjectiveResult {
    let showed = outcomes.iter().filter(|outcome| outcome.shown).count();
    ObjectiveResult {
        name: "witness".to_owned(),
        expression: expectation.to_string(),
        observed: Number::Count(showed as u64),
        interval: None,
        met: showed == outcomes.len(),
    }
}

/// Judges every objective over all replications.
pub(crate) fn judge(mesh: &Mesh, scenario: &Scenario, plan: &Plan, runs: &[&Measure]) -> Vec<ObjectiveResult> {
    let objectives = parse(mesh, scenario);
    let figures: Vec<Judged> = objectives
        .iter()
        .filter_map(|(_, objective, subject)| {
            let Objective::Figure { figure, comparison, bound, .. } = objective else { return None };
            let bound = bound.value();
            Some(Judged { subject: (*subject)?, figure: figure.clone(), comparison: *comparison, bound })
        })
        .collect();
    let result = |(expression, objective, subject): &(String, Objective, Option<ObjectiveSubject>)| match objective {
        Objective::Figure { subject: name, figure: wanted, comparison, bound } => {
            let of_run = |run: &&Measure| subject.map_or(Number::ABSENT, |subject| figure(plan, run, subject, wanted));
            let observed = Number::of(runs.iter().map(of_run));
            // No requests, no promise broken.
            let met = observed.value().is_none_or(|value| comparison.holds(value, bound.value()));
            let name = format!("{name}.{wanted}");
            let interval = match (runs, subject) {
                ([only], Some(subject)) => batched(only, plan.warm_up, *subject, wanted),
                _ => observed.interval(),
            };
            ObjectiveResult { name, expression: expression.clone(), observed, interval, met }
        }
        Objective::RecoversWithin(limit) => {
            let times: Vec<Option<u64>> = runs.iter().map(|run| recovery(plan, run, &figures)).collect();
            let limit = limit.get().div_ceil(BIN);
            let met = times.iter().all(|time| time.is_some_and(|time| time <= limit));
            let longest = times.iter().copied().collect::<Option<Vec<_>>>().and_then(|times| times.into_iter().max());
            let observed = longest.map_or(Number::ABSENT, Number::Count);
            let name = "recovery_s".to_owned();
            ObjectiveResult { name, expression: expression.clone(), observed, interval: None, met }
        }
    };
    objectives.iter().map(result).collect()
}

/// The longest time in seconds from the end of a fault until all objectives hold for good, judged over windows of ten
/// seconds up to the next fault; `None`: they never do.
fn recovery(plan: &Plan, run: &Measure, objectives: &[Judged]) -> Option<u64> {
    let mut longest = 0;
    for fault in &plan.faults {
        let end = fault.until.min(plan.horizon);
        let next = plan.faults.iter().map(|fault| fault.from).filter(|from| *from >= end).min();
        let from = usize::try_from(end.div_ceil(BIN)).ok()?;
        let until = usize::try_from(next.unwrap_or(plan.horizon).min(plan.horizon) / BIN).ok()?;
        let windows = from..(until + 1).saturating_sub(WINDOW);
        let mut recovered_at = from;
        for window in windows.clone() {
            if !objectives.iter().all(|objective| holds(run, objective, window..window + WINDOW)) {
                recovered_at = window + 1;
            }
        }
        if !windows.is_empty() && recovered_at == windows.end {
            return None;
        }
        longest = longest.max((recovered_at - from) as u64);
    }
    Some(longest)
}

/// Whether an objective holds over some bins. One that has no figure there holds.
fn holds(run: &Measure, objective: &Judged, bins: std::ops::Range<usize>) -> bool {
    let seconds = bins.len() as f64;
    let observed = match objective.subject {
        ObjectiveSubject::Client(client) => {
            let mut sum = ClientTally::default();
            run.client_series[client].tallies[bins].iter().for_each(|tally| sum.merge(tally));
            of_client(&sum, &objective.figure, seconds)
        }
        ObjectiveSubject::Service(service) => {
            let mut sum = ServiceTally::default();
            run.service_series[service.index()].tallies[bins].iter().for_each(|tally| sum.merge(tally));
            of_service(&sum, &objective.figure)
        }
        // Messages and releases are judged over the whole run.
        ObjectiveSubject::Queue(_) | ObjectiveSubject::Release(_) => return true,
    };
    observed.value().is_none_or(|value| objective.comparison.holds(value, objective.bound))
}
