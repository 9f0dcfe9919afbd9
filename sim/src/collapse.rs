//! Whether a mesh that works can be pushed over, and how often it falls by itself.
//!
//! A load is *stable* if the mesh is well again after every trigger that is tried, *vulnerable* if it works and some
//! trigger moves it to a state that stays when the trigger is gone (the *metastable* state: Bronson and others,
//! `HotOS` 2021), *overloaded* if it does not even work without one for ten seconds. A trigger is a pause of the
//! busiest workload.

use meshproof_model::{Arrivals, Fault, Load, Mesh, Nanos, Phase, REQUESTS_MAX, Rate, Replicas, Scenario, WarmUp};
use rayon::prelude::*;
use serde::Serialize;

use crate::{
    SetupError, SimOptions,
    engine::Outcome,
    entropy::Keys,
    measure::{BIN, Kept, Measure},
    plan::Plan,
    simulate::run_one,
    splitting::{Goal, Splitting, split},
    statistics::poisson_interval,
    tipping::has_tipped,
};

/// Loads that are tried, in percent of the scenario's greatest.
const LOADS: [u64; 8] = [25, 50, 75, 90, 100, 110, 125, 150];
/// Lengths of triggers that are tried.
const TRIGGERS: [Nanos; 4] =
    [Nanos::from_millis(100), Nanos::from_millis(300), Nanos::from_secs(1), Nanos::from_secs(5)];
/// Before a trigger the mesh runs so long.
const BEFORE: Nanos = Nanos::from_secs(10);
/// After it, it has so long to recover.
const AFTER: Nanos = Nanos::from_secs(60);

/// BOUND: no run of the splitting is longer.
const LONG: Nanos = Nanos::from_secs(10_000);

/// How a mesh bears a scenario's load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Collapse {
    /// 1.
    pub schema_version: u32,
    /// The scenario's name.
    pub scenario: String,
    /// Every draw follows from it.
    pub seed: u64,
    /// The workload that pauses, as `namespace/name`.
    pub trigger: String,
    /// The class of the scenario's own greatest load.
    pub class: LoadClass,
    /// Falls without a trigger, at that load.
    pub spontaneous: Spontaneous,
    /// The same without waiting for it; absent where falls are common, where the load is not steady, and where the mesh
    /// is never calm.
    pub splitting: Option<Splitting>,
    /// By load.
    pub map: Vec<LoadRow>,
}

/// How a mesh bears a load.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum LoadClass {
    /// It is well again after every trigger that was tried.
    Stable,
    /// It works, and some trigger, or chance alone, moves it to a state that stays.
    Vulnerable,
    /// It does not work even without a trigger, not for ten seconds.
    Overloaded,
}

/// Falls without a trigger.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spontaneous {
    /// How many runs were watched.
    pub runs: u32,
    /// How many of them fell.
    pub collapses: u32,
    /// Simulated seconds until each fell, or ended.
    pub exposure_s: f64,
    /// The mean time to a fall in seconds; absent if none fell.
    pub mean_time_s: Option<f64>,
    /// Its 95 % interval, the falls taken for a Poisson process; no upper end if none fell.
    pub interval: (f64, Option<f64>),
}

/// One load.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct LoadRow {
    /// In parts of the scenario's greatest.
    pub load: f64,
    /// How the mesh bears it.
    pub class: LoadClass,
    /// By length of the trigger; empty where the load alone is too much.
    pub triggers: Vec<TriggerCell>,
}

/// One load and trigger.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct TriggerCell {
    /// How long the workload pauses, in seconds.
    pub pause_s: f64,
    /// Whether the mesh was well again at the end.
    pub recovers: bool,
    /// Seconds from the end of the pause until all clients were served again; absent if they never were.
    pub recovery_s: Option<f64>,
}

/// Maps a scenario's load and triggers, and watches so many runs (`replications`) for falls without one. The
/// scenario's own faults and changes are left out, and its loads held at their greatest.
///
/// # Errors
/// As [`simulate`](crate::simulate).
pub fn collapse(mesh: &Mesh, scenario: &Scenario, options: &SimOptions) -> Result<Collapse, SetupError> {
    let mesh = &*mesh.with_clients(&scenario.clients);
    let seed = options.seed.unwrap_or(scenario.seed);
    let watched = held(scenario, 100, scenario.horizon, None);
    let plan = Plan::new(mesh, &watched, options)?;
    let pool = rayon::ThreadPoolBuilder::new().num_threads(options.threads).build()?;
    let runs = options.replications.unwrap_or(scenario.replications).max(1);
    let outcomes: Vec<Outcome> = pool.install(|| {
        (0..runs).into_par_iter().map(|run| run_one(&plan, &Kept::default(), Keys::new(seed, run), false)).collect()
    });
    let trigger = outcomes.first().map_or(0, |first| busiest(&plan, &first.measure));
    let trigger = plan.workloads.get(trigger).map(|workload| workload.name.clone()).unwrap_or_default();
    let row = |percent: &u64| row(mesh, scenario, options, (*percent, trigger.as_str(), seed));
    let map: Vec<LoadRow> = pool.install(|| LOADS.par_iter().map(row).collect::<Result<_, _>>())?;
    let own = map.iter().find(|row| (row.load - 1.0).abs() < 1e-9).map_or(LoadClass::Stable, |row| row.class);
    let spontaneous = spontaneous(&plan, &outcomes);
    let is_rare = own != LoadClass::Overloaded && 2 * spontaneous.collapses < spontaneous.runs;
    let splitting = match steady(scenario).filter(|_| is_rare) {
        Some(steady) => {
            let plan = Plan::new(mesh, &steady, options)?;
            pool.install(|| split(&plan, Goal::Fall, seed, runs))
        }
        None => None,
    };
    Ok(Collapse {
        schema_version: 1,
        scenario: options.name.clone(),
        seed,
        trigger,
        class: own,
        spontaneous,
        splitting,
        map,
    })
}

fn row(
    mesh: &Mesh,
    scenario: &Scenario,
    options: &SimOptions,
    (percent, trigger, seed): (u64, &str, u64),
) -> Result<LoadRow, SetupError> {
    let run = |pause: Option<Nanos>| -> Result<(Option<f64>, Option<f64>), SetupError> {
        let length = Nanos::new(BEFORE.get() + pause.map_or(0, Nanos::get) + AFTER.get());
        let plan = Plan::new(mesh, &held(scenario, percent, length, pause.map(|pause| (trigger, pause))), options)?;
        let measure = run_one(&plan, &Kept::default(), Keys::new(seed, 0), false).measure;
        let after = measure.recovery.faults.first();
        let served = after.and_then(|after| {
            let last = after.served.iter().copied().collect::<Option<Vec<u64>>>()?.into_iter().max()?;
            Some(last.saturating_sub(after.ended?) as f64 / 1e9)
        });
        Ok((has_tipped(&plan, &measure).then(|| tipped_at(&measure)), served))
    };
    let load = percent as f64 / 100.0;
    let (falls_at, _) = run(None)?;
    if falls_at.is_some_and(|at| at < BEFORE.get() as f64 / 1e9) {
        return Ok(LoadRow { load, class: LoadClass::Overloaded, triggers: Vec::new() });
    }
    let mut triggers = Vec::new();
    for pause in TRIGGERS {
        let (fallen, recovery_s) = run(Some(pause))?;
        triggers.push(TriggerCell { pause_s: pause.get() as f64 / 1e9, recovers: fallen.is_none(), recovery_s });
    }
    let is_stable = falls_at.is_none() && triggers.iter().all(|cell| cell.recovers);
    Ok(LoadRow { load, class: if is_stable { LoadClass::Stable } else { LoadClass::Vulnerable }, triggers })
}

/// The scenario with its loads held at so many percent of their greatest rates, and at most one fault.
fn held(scenario: &Scenario, percent: u64, horizon: Nanos, pause: Option<(&str, Nanos)>) -> Scenario {
    let mut held = scenario.clone();
    held.horizon = horizon;
    held.warm_up = WarmUp::Off;
    held.rollout.clear();
    held.objectives.clear();
    let fault = |(workload, during): (&str, Nanos)| Fault::Freeze {
        workload: workload.to_owned(),
        replicas: Replicas::All,
        at: BEFORE,
        during,
    };
    held.faults = pause.map(fault).into_iter().collect();
    for load in &mut held.load {
        match load {
            Load::Open { arrivals, rate, .. } if !matches!(arrivals, Arrivals::Recorded(_)) => {
                let of = |phase: &Phase| match phase {
                    Phase::Hold { rate, .. } | Phase::Ramp { to: rate, .. } => rate.milli(),
                };
                let greatest = rate.iter().map(of).max().unwrap_or(0);
                let rate_held = Rate::from_milli(greatest.saturating_mul(percent) / 100);
                *rate = vec![Phase::Hold { rate: rate_held, during: Nanos::from_secs(1) }];
            }
            Load::Closed { users, .. } => {
                *users = u32::try_from(u64::from(*users) * percent / 100).unwrap_or(u32::MAX).max(1);
            }
            _ => {}
        }
    }
    held
}

/// The scenario's greatest load for as long as it takes; `None`: it cannot be held.
fn steady(scenario: &Scenario) -> Option<Scenario> {
    let is_steady = |load: &Load| match load {
        Load::Open { arrivals, .. } => !matches!(arrivals, Arrivals::Recorded(_)),
        Load::Closed { .. } => true,
        Load::Burst { .. } => false,
    };
    let mut steady = held(scenario, 100, LONG, None);
    while steady.requests() > REQUESTS_MAX / 2 {
        steady.horizon = Nanos::new(steady.horizon.get() / 2);
    }
    scenario.load.iter().all(is_steady).then_some(steady)
}

/// The workload with the greatest share of its places taken; gateways, which have none, left out.
fn busiest(plan: &Plan, measure: &Measure) -> usize {
    let share = |at: usize| {
        let workload = &plan.workloads[at];
        let places = u128::from(workload.concurrency) * u128::from(workload.at_start);
        // In millionths of a place's time.
        let has_places = workload.gateway.is_none() && places > 0;
        if has_places { measure.workloads[at].busy_nanos.saturating_mul(1_000_000) / places } else { 0 }
    };
    (0..plan.workloads.len()).max_by_key(|at| (share(*at), std::cmp::Reverse(*at))).unwrap_or(0)
}

fn spontaneous(plan: &Plan, outcomes: &[Outcome]) -> Spontaneous {
    let mut found = Spontaneous { runs: 0, collapses: 0, exposure_s: 0.0, mean_time_s: None, interval: (0.0, None) };
    for outcome in outcomes {
        found.runs += 1;
        let tipped = has_tipped(plan, &outcome.measure);
        found.collapses += u32::from(tipped);
        found.exposure_s += if tipped { tipped_at(&outcome.measure) } else { plan.horizon as f64 / 1e9 };
    }
    let [least, most] = poisson_interval(found.collapses);
    found.mean_time_s = (found.collapses > 0).then(|| found.exposure_s / f64::from(found.collapses));
    found.interval = (found.exposure_s / most, (least > 0.0).then(|| found.exposure_s / least));
    found
}

/// The second from which on most of what ends is no longer answered well by its first try.
fn tipped_at(measure: &Measure) -> f64 {
    let seconds = measure.client_series.iter().map(|series| series.bins.len()).max().unwrap_or(0);
    let is_good = |second: &usize| {
        let bins = measure.client_series.iter().filter_map(|series| series.bins.get(*second));
        let (ended, good) = bins.fold((0_u64, 0_u64), |(ended, good), bin| {
            (ended + u64::from(bin.requests), good + u64::from(bin.first_try_ok))
        });
        2 * good >= ended
    };
    (0..seconds).rev().find(is_good).map_or(0, |second| second + 1) as f64 * (BIN as f64 / 1e9)
}
