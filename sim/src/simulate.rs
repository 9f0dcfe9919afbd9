//! Running a scenario: once, or as replications over threads, with the same result for any number of them.

use std::{collections::BTreeMap, sync::Arc};

use meshproof_model::{Bounds, Mesh, Scenario, WarmUp};
use rayon::prelude::*;

use crate::{
    Run, SetupError, bounds,
    checker::Checker,
    digest::Digest,
    engine::{Engine, Observer, Outcome},
    entropy::Keys,
    measure::{BIN, Kept, Measure},
    objective,
    plan::Plan,
    report::Reporter,
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
    /// Threads for replications; 0: as many as there are processors. The result does not depend on it.
    pub threads: usize,
    /// What no run may exceed; a run that does is an internal error.
    pub bounds: Option<Bounds>,
    /// Arrivals of recorded loads in nanoseconds, ascending, by the name that the scenario gives them.
    pub recorded: BTreeMap<String, Arc<[u64]>>,
}

/// Runs a scenario.
///
/// # Errors
/// If the mesh's behaviour or the scenario asks for what cannot be, or a proxy would refuse its configuration.
pub fn simulate(mesh: &Mesh, scenario: &Scenario, options: &SimOptions) -> Result<Run, SetupError> {
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
    warnings: Vec<String>,
}

impl Experiment {
    pub(crate) fn new(mesh: &Mesh, scenario: &Scenario, options: &SimOptions) -> Result<Self, SetupError> {
        let mut plan = Plan::new(mesh, scenario, &options.recorded)?;
        let mut warnings = std::mem::take(&mut plan.warnings);
        let seed = options.seed.unwrap_or(scenario.seed);
        if scenario.warm_up == WarmUp::Mser5 {
            let pilot = run_one(&plan, &Kept::default(), seed, 0, false);
            plan.warm_up = mser5(&pilot.measure) * BIN;
            let seconds = plan.warm_up / BIN;
            warnings.push(format!("MSER-5 leaves out the first {seconds} s"));
        }
        Ok(Self {
            plan,
            kept: objective::kept(mesh, scenario),
            seed,
            replications: options.replications.unwrap_or(scenario.replications).max(1),
            warnings,
        })
    }

    /// Every replication, in seed order.
    pub(crate) fn run(&self, options: &SimOptions) -> Result<Vec<Outcome>, SetupError> {
        let observes = options.bounds.is_some();
        let run = |replication: u32| run_one(&self.plan, &self.kept, self.seed, replication, observes);
        if self.replications == 1 {
            return Ok(vec![run(0)]);
        }
        let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build()?;
        Ok(pool.install(|| (0..self.replications).into_par_iter().map(run).collect()))
    }

    /// What to know before trusting the figures of one of two meshes.
    pub(crate) fn warnings(&self, of: &str) -> Vec<String> {
        self.warnings.iter().map(|warning| format!("{of}: {warning}")).collect()
    }

    fn report(&self, mesh: &Mesh, scenario: &Scenario, options: &SimOptions, outcomes: Vec<Outcome>) -> Run {
        let mut internal_errors = Vec::new();
        let mut warnings = self.warnings.clone();
        let (mut events, mut digests, mut measures) = (0, Vec::new(), Vec::new());
        for (replication, mut outcome) in (0_u32..).zip(outcomes) {
            if let (Some(bounds), Some(observer)) = (&options.bounds, &outcome.observer) {
                bounds::check(bounds, &self.plan, observer, &mut outcome.checker);
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
        let reporter = Reporter { plan: &self.plan, runs: &runs };
        Run {
            schema_version: 1,
            scenario: options.name.clone(),
            seed: self.seed,
            replications: self.replications,
            digest: Digest::of_all(&digests),
            simulated_s: self.plan.horizon as f64 / 1e9,
            events,
            client_requests: runs.iter().map(|run| run.client_requests).sum(),
            clients: reporter.clients(),
            services: reporter.services(),
            calls: reporter.calls(),
            timeline: reporter.timeline(),
            objectives: objective::judge(mesh, scenario, &self.plan, &runs),
            rollout: reporter.rollout(),
            warnings,
            internal_errors,
        }
    }
}

/// One run.
pub(crate) fn run_one(plan: &Plan, kept: &Kept, seed: u64, replication: u32, observes: bool) -> Outcome {
    let keys = Keys::new(seed, replication);
    let mut engine = Engine::new(plan, keys, Measure::new(plan, kept), Checker::default());
    if observes {
        engine.observer = Some(Box::new(Observer::new(plan.services.len())));
    }
    engine.run()
}

/// The warm-up that minimises the standard error of what is left, in seconds: MSER-5 over means of five seconds, at
/// most half of the run.
fn mser5(measure: &Measure) -> u64 {
    const BATCH: usize = 5;
    let seconds = measure.client_series.iter().map(|series| series.bins.len()).max().unwrap_or(0);
    let mean = |second: usize| {
        let bins = measure.client_series.iter().filter_map(|series| series.bins.get(second));
        let (requests, micros) =
            bins.fold((0, 0), |(n, sum), bin| (n + u64::from(bin.requests), sum + bin.latency_micros));
        (requests > 0).then(|| micros as f64 / requests as f64)
    };
    let batches: Vec<f64> = (0..seconds / BATCH)
        .filter_map(|batch| {
            let means: Vec<f64> = (batch * BATCH..(batch + 1) * BATCH).filter_map(mean).collect();
            (!means.is_empty()).then(|| means.iter().sum::<f64>() / means.len() as f64)
        })
        .collect();
    let error = |left_out: usize| {
        let rest = &batches[left_out..];
        let mean = rest.iter().sum::<f64>() / rest.len() as f64;
        rest.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (rest.len() * rest.len()) as f64
    };
    let best = (0..=batches.len() / 2)
        .filter(|left_out| *left_out < batches.len())
        .min_by(|a, b| error(*a).total_cmp(&error(*b)));
    (best.unwrap_or(0) * BATCH) as u64
}
