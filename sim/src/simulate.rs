//! Running a scenario: once, or as replications over threads, with the same result for any number of them.

use std::{collections::BTreeMap, ops::Range, sync::Arc};

use meshproof_model::{Bounds, Figure, Mesh, ObjectiveSubject, Scenario, Stage, WarmUp};
use rayon::prelude::*;

use crate::{
    Run, SetupError, aftermath, bounds,
    checker::Checker,
    digest::Digest,
    engine::{Engine, Observer, Outcome},
    entropy::Keys,
    figure::figure,
    measure::{BIN, Kept, Measure},
    number::Number,
    objective,
    plan::Plan,
    replay,
    report::Reporter,
    statistics::mser5,
};

/// How a scenario is run.
#[derive(Clone, Debug, Default)]
pub struct SimOptions {
    /// The scenario's name, for the report.
    pub name: String,
    /// Overrides the scenario's seed.
    pub seed: Option<u64>,
    /// Overrides the scenario's number of replications.
    pub replications: Option<u32>,
    /// As many replications as it takes, at least four and at most [`REPLICATIONS_MAX`] or what `replications` says:
    /// until the interval of each objective's figure, or without objectives of each client's mean latency, reaches to
    /// both sides at most this part of the figure.
    pub precision: Option<f64>,
    /// Threads for replications; 0: as many as there are processors. The result does not depend on it.
    pub threads: usize,
    /// What no run may exceed; a run that does is an internal error.
    pub bounds: Option<Bounds>,
    /// Arrivals of recorded loads in nanoseconds, ascending, by the name that the scenario gives them.
    pub recorded: BTreeMap<String, Arc<[u64]>>,
    /// The mesh after each step of the rollout that changes manifests.
    pub stages: Stages,
    /// For [`compare`](crate::compare): the same of the second mesh.
    pub head_stages: Stages,
}

/// Meshes by the number of the step of the rollout that they follow.
pub type Stages = BTreeMap<usize, Arc<Stage>>;

/// BOUND: more replications are not made to reach a precision.
pub const REPLICATIONS_MAX: u32 = 256;
/// The replications before a precision is judged for the first time.
const FIRST_REPLICATIONS: u32 = 4;

/// Runs a scenario.
///
/// # Errors
/// If the mesh's behaviour or the scenario asks for what cannot be, or a proxy would refuse its configuration.
pub fn simulate(mesh: &Mesh, scenario: &Scenario, options: &SimOptions) -> Result<Run, SetupError> {
    let mesh = &*replay::staged(mesh, scenario);
    let experiment = Experiment::new(mesh, scenario, options)?;
    let outcomes = experiment.run(options)?;
    Ok(experiment.report(mesh, scenario, options, outcomes))
}

/// A scenario that is ready to run, as often as wanted.
pub(crate) struct Experiment {
    pub(crate) plan: Plan,
    kept: Kept,
    seed: u64,
    replications: u32,
    /// The figures whose precision is asked for.
    judged: Vec<(ObjectiveSubject, Figure)>,
    warnings: Vec<String>,
    /// Whether a witness is replayed.
    is_replay: bool,
}

impl Experiment {
    /// `mesh`: as [`replay::staged`] makes it for the scenario.
    pub(crate) fn new(mesh: &Mesh, scenario: &Scenario, options: &SimOptions) -> Result<Self, SetupError> {
        let mut plan = Plan::new(mesh, scenario, options)?;
        let mut warnings = std::mem::take(&mut plan.warnings);
        let seed = options.seed.unwrap_or(scenario.seed);
        if scenario.warm_up == WarmUp::Mser5 {
            let pilot = run_one(&plan, &Kept::default(), Keys::new(seed, 0), false);
            plan.warm_up = warm_up(&pilot.measure) * BIN;
            let seconds = plan.warm_up / BIN;
            warnings.push(format!("MSER-5 leaves out the first {seconds} s"));
        }
        let wanted = match options.precision {
            Some(_) => options.replications.unwrap_or(REPLICATIONS_MAX),
            None => options.replications.unwrap_or(scenario.replications),
        };
        let mut judged = objective::figures(mesh, scenario);
        if judged.is_empty() {
            judged = (0..plan.clients.len()).map(|at| (ObjectiveSubject::Client(at), Figure::Mean)).collect();
        }
        let replications = wanted.max(1);
        Ok(Self {
            kept: objective::kept(mesh, scenario, &plan, replications == 1),
            plan,
            seed,
            replications,
            judged,
            warnings,
            is_replay: scenario.shows.is_some(),
        })
    }

    /// Every replication, in seed order.
    pub(crate) fn run(&self, options: &SimOptions) -> Result<Vec<Outcome>, SetupError> {
        let observes = options.bounds.is_some() || self.is_replay;
        let keys = |replication: u32| {
            let keys = Keys::new(self.seed, replication);
            if self.is_replay { keys.hasty() } else { keys }
        };
        let run = |replication: u32| run_one(&self.plan, &self.kept, keys(replication), observes);
        if self.replications == 1 {
            return Ok(vec![run(0)]);
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build()?;
        let some = |which: Range<u32>| -> Vec<Outcome> { pool.install(|| which.into_par_iter().map(run).collect()) };
        let Some(precision) = options.precision else { return Ok(some(0..self.replications)) };
        let mut done = FIRST_REPLICATIONS.min(self.replications);
        let mut outcomes = some(0..done);
        while done < self.replications && !self.is_precise(&outcomes, precision) {
            let next = (done + done.div_ceil(2)).min(self.replications);
            outcomes.extend(some(done..next));
            done = next;
        }
        Ok(outcomes)
    }

    /// Whether every figure that is judged is known well enough.
    fn is_precise(&self, outcomes: &[Outcome], precision: f64) -> bool {
        self.judged.iter().all(|(subject, wanted)| {
            let number =
                Number::of(outcomes.iter().map(|outcome| figure(&self.plan, &outcome.measure, *subject, wanted)));
            match (number.value(), number.interval()) {
                (Some(value), Some([lo, hi])) => (hi - lo) / 2.0 <= precision * value.abs(),
                _ => true,
            }
        })
    }

    /// What to know before trusting the figures of one of two meshes.
    pub(crate) fn warnings(&self, of: &str) -> Vec<String> {
        self.warnings.iter().map(|warning| format!("{of}: {warning}")).collect()
    }

    fn report(&self, mesh: &Mesh, scenario: &Scenario, options: &SimOptions, outcomes: Vec<Outcome>) -> Run {
        let mut internal_errors = Vec::new();
        let mut warnings = self.warnings.clone();
        let (mut events, mut digests, mut measures, mut shown) = (0, Vec::new(), Vec::new(), Vec::new());
        for (replication, mut outcome) in (0_u32..).zip(outcomes) {
            if let (Some(bounds), Some(observer)) = (&options.bounds, &outcome.observer) {
                bounds::check(bounds, &self.plan, observer, &outcome.measure, &mut outcome.checker);
            }
            if let (Some(expectation), Some(observer)) = (&scenario.shows, &outcome.observer) {
                shown.push(replay::shown(mesh, &self.plan, observer, expectation));
            }
            let violations = outcome.checker.violations();
            internal_errors.extend(violations.into_iter().map(|what| format!("replication {replication}: {what}")));
            if outcome.measure.in_flight > 0 {
                let count = outcome.measure.in_flight;
                warnings.push(format!(
                    "replication {replication}: {count} requests had not ended ten minutes after the load"
                ));
            }
            events += outcome.events;
            digests.push(outcome.digest);
            measures.push(outcome.measure);
        }
        let runs: Vec<&Measure> = measures.iter().collect();
        let reporter = Reporter::new(&self.plan, &runs);
        warnings.extend(reporter.growing_queues());
        Run {
            schema_version: 1,
            scenario: options.name.clone(),
            seed: self.seed,
            replications: u32::try_from(runs.len()).unwrap_or(u32::MAX),
            digest: Digest::of_all(&digests),
            simulated_s: self.plan.horizon as f64 / 1e9,
            events,
            client_requests: runs.iter().map(|run| run.client_requests).sum(),
            clients: reporter.clients(),
            services: reporter.services(),
            queues: reporter.queues(),
            calls: reporter.calls(),
            timeline: reporter.timeline(),
            objectives: objective::judge(mesh, scenario, &self.plan, &runs)
                .into_iter()
                .chain(scenario.shows.as_ref().map(|expectation| objective::of_replay(expectation, &shown)))
                .collect(),
            recovery: aftermath::report(&self.plan, &runs),
            rollout: reporter.rollout(),
            releases: reporter.releases(),
            warnings,
            internal_errors,
        }
    }
}

/// One run.
pub(crate) fn run_one(plan: &Plan, kept: &Kept, keys: Keys, observes: bool) -> Outcome {
    let mut engine = Engine::new(plan, keys, Measure::new(plan, kept), Checker::default());
    if observes {
        engine.observer = Some(Box::new(Observer::new(plan.services.len())));
    }
    engine.run()
}

/// The warm-up that MSER-5 finds in the clients' mean latency by second, in seconds.
fn warm_up(measure: &Measure) -> u64 {
    let seconds = measure.client_series.iter().map(|series| series.bins.len()).max().unwrap_or(0);
    let mut last = 0.0;
    let means: Vec<f64> = (0..seconds)
        .map(|second| {
            let bins = measure.client_series.iter().filter_map(|series| series.bins.get(second));
            let (requests, micros) =
                bins.fold((0, 0), |(n, sum), bin| (n + u64::from(bin.requests), sum + bin.latency_micros));
            // A second without an answer says as much as the one before it.
            last = if requests > 0 { micros as f64 / requests as f64 } else { last };
            last
        })
        .collect();
    mser5(&means) as u64
}
