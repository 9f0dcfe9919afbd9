//! Two meshes under the same scenario and the same draws: what differs is what the change did.

use std::collections::BTreeMap;

use meshproof_model::{Figure, Mesh, ObjectiveSubject, Scenario, ServiceId};
use serde::Serialize;

use crate::{
    SetupError, SimOptions,
    digest::Digest,
    figure::figure,
    measure::Measure,
    plan::Plan,
    replay,
    simulate::{Experiment, Stages},
    statistics::Mean,
    tipping::{Tipping, has_tipped, tipping},
};

/// Two meshes compared under common random numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Comparison {
    /// 1.
    pub schema_version: u32,
    /// The scenario's name.
    pub scenario: String,
    /// Every draw follows from it.
    pub seed: u64,
    /// How many pairs of runs.
    pub replications: u32,
    /// Of the runs of the first mesh.
    pub base_digest: Digest,
    /// Of the runs of the second mesh.
    pub head_digest: Digest,
    /// Figures that both have, in the order of clients, then services.
    pub figures: Vec<Difference>,
    /// How often runs end in a collapse.
    pub tipping: Tipping,
    /// What to know before trusting the figures.
    pub warnings: Vec<String>,
    /// Violations of what must always hold: faults of the simulator.
    #[serde(skip)]
    pub internal_errors: Vec<String>,
}

/// A figure before and after.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Difference {
    /// Whose which figure, such as `browser.p99`.
    pub name: String,
    /// Its mean in the first mesh.
    pub base: f64,
    /// Its mean in the second mesh.
    pub head: f64,
    /// The mean of the paired differences, second minus first.
    pub difference: f64,
    /// The 95 % confidence interval of the difference; absent for one pair.
    pub interval: Option<[f64; 2]>,
    /// Whether the interval leaves out zero; absent for one pair.
    pub significant: Option<bool>,
}

/// Figures that are compared.
const FIGURES: [(&str, Figure); 17] = [
    ("success_ratio", Figure::Success),
    ("p50", Figure::Quantile(500)),
    ("p90", Figure::Quantile(900)),
    ("p99", Figure::Quantile(990)),
    ("mean", Figure::Mean),
    ("goodput_rps", Figure::Goodput),
    ("first_try_ratio", Figure::FirstTry),
    ("tries_per_request", Figure::TriesPerRequest),
    ("attempts", Figure::Attempts),
    ("attempts_per_request", Figure::AttemptsPerRequest),
    ("utilisation", Figure::Utilisation),
    ("queue_max", Figure::QueueMax),
    ("queue_wait_ms", Figure::QueueWait),
    ("connections", Figure::Connections),
    ("retry_overflow", Figure::RetryOverflow),
    ("breaker_overflow", Figure::BreakerOverflow),
    ("ejections", Figure::Ejections),
];

/// Runs a scenario on two meshes with the same seeds.
///
/// # Errors
/// As [`simulate`](crate::simulate), for either mesh.
pub fn compare(base: &Mesh, head: &Mesh, scenario: &Scenario, options: &SimOptions) -> Result<Comparison, SetupError> {
    let side = |mesh: &Mesh, name: &str, stages: &Stages| -> Result<Side, SetupError> {
        let options = &SimOptions { stages: stages.clone(), ..options.clone() };
        let experiment = Experiment::new(&replay::staged(mesh, scenario), scenario, options)?;
        let mut side = Side::default();
        for outcome in experiment.run(options)? {
            side.digests.push(outcome.digest);
            side.tipped.push(has_tipped(&experiment.plan, &outcome.measure));
            side.figures.push(figures(&experiment.plan, &outcome.measure));
            side.errors.extend(outcome.checker.violations().into_iter().map(|what| format!("{name}: {what}")));
        }
        side.names = names(&experiment.plan);
        side.warnings = experiment.warnings(name);
        Ok(side)
    };
    let (before, after) = (side(base, "base", &options.stages)?, side(head, "head", &options.head_stages)?);
    let figures = before.names.iter().filter_map(|name| difference(name, &before.figures, &after.figures));
    Ok(Comparison {
        schema_version: 1,
        scenario: options.name.clone(),
        seed: options.seed.unwrap_or(scenario.seed),
        replications: u32::try_from(before.digests.len()).unwrap_or(u32::MAX),
        base_digest: Digest::of_all(&before.digests),
        head_digest: Digest::of_all(&after.digests),
        figures: figures.collect(),
        tipping: tipping(&before.tipped, &after.tipped),
        warnings: [before.warnings, after.warnings].concat(),
        internal_errors: [before.errors, after.errors].concat(),
    })
}

/// The runs of one mesh.
#[derive(Default)]
struct Side {
    digests: Vec<Digest>,
    tipped: Vec<bool>,
    names: Vec<String>,
    /// By replication.
    figures: Vec<BTreeMap<String, f64>>,
    warnings: Vec<String>,
    errors: Vec<String>,
}

fn subjects(plan: &Plan) -> impl Iterator<Item = (&str, ObjectiveSubject)> {
    let clients =
        plan.clients.iter().enumerate().map(|(at, client)| (client.name.as_str(), ObjectiveSubject::Client(at)));
    let services = plan
        .services
        .iter()
        .zip(0..)
        .map(|(service, at)| (service.full_name.as_str(), ObjectiveSubject::Service(ServiceId(at))));
    clients.chain(services)
}

fn names(plan: &Plan) -> Vec<String> {
    subjects(plan).flat_map(|(name, _)| FIGURES.iter().map(move |(figure, _)| format!("{name}.{figure}"))).collect()
}

fn figures(plan: &Plan, measure: &Measure) -> BTreeMap<String, f64> {
    let mut figures = BTreeMap::new();
    for (name, subject) in subjects(plan) {
        for (key, wanted) in &FIGURES {
            if let Some(value) = figure(plan, measure, subject, wanted).value() {
                figures.insert(format!("{name}.{key}"), value);
            }
        }
    }
    figures
}

fn difference(name: &str, base: &[BTreeMap<String, f64>], head: &[BTreeMap<String, f64>]) -> Option<Difference> {
    let pairs: Vec<(f64, f64)> =
        base.iter().zip(head).filter_map(|(b, h)| Some((*b.get(name)?, *h.get(name)?))).collect();
    let of = |pick: fn(&(f64, f64)) -> f64| Mean::of(&pairs.iter().map(pick).collect::<Vec<_>>());
    let (before, after, change) = (of(|pair| pair.0)?, of(|pair| pair.1)?, of(|pair| pair.1 - pair.0)?);
    let ends = [change.mean - change.half, change.mean + change.half];
    let interval = (pairs.len() > 1).then_some(ends);
    Some(Difference {
        name: name.to_owned(),
        base: before.mean,
        head: after.mean,
        difference: change.mean,
        interval,
        significant: interval.map(|[lo, hi]| lo > 0.0 || hi < 0.0),
    })
}
