//! How long a mesh that works takes to fall by itself, without waiting for it.
//!
//! A fall that comes once in a day is not seen in a minute. But it comes step by step: more work is in hand than
//! usual, then still more, until nobody is served in time. Splitting counts how often the first step is taken, copies
//! the runs that took it, lets each copy go on under draws of its own, and counts how often the next step follows
//! before the mesh is calm again. The rate of falls is the rate of first steps times the shares of all further ones:
//! multilevel splitting with a fixed effort at each level (Garvels 2000), as a rate (forward flux sampling: Allen,
//! Warren and ten Wolde 2005).
//!
//! The *strain* of a mesh tells how far it has come: the work in hand of its most loaded workload, in parts of what
//! it can work on at a time. Where the steps lie is tried out first, under other draws. Neither has to be right for the
//! result to be: a strain that tells little of the way to a fall widens the interval, it does not move the mean.

use rayon::prelude::*;
use serde::Serialize;

use crate::{
    checker::Checker,
    engine::Engine,
    entropy::Keys,
    measure::Measure,
    plan::{Plan, Workload},
    statistics::{Mean, poisson_interval},
};

/// A mesh's own way to a fall.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Splitting {
    /// Levels of strain, ascending: work in hand of the most loaded workload, in parts of its places. The first one is
    /// where the mesh is calm.
    pub levels: Vec<f64>,
    /// First steps away from calm, in a second.
    pub first_steps_per_s: f64,
    /// The share of copies that took each further step; the last one is the fall itself.
    pub shares: Vec<f64>,
    /// Independent estimates.
    pub estimates: u32,
    /// Simulated seconds that all of it took.
    pub simulated_s: f64,
    /// The mean time to a fall in seconds; absent if no copy fell.
    pub mean_time_s: Option<f64>,
    /// Its 95 % interval; no upper end if no copy fell.
    pub interval: (f64, Option<f64>),
}

/// What is waited for.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Goal {
    /// For [`FALLEN_AFTER`] without a calm moment, less than half of what ends is answered well by its first try.
    Fall,
    /// So much strain.
    #[cfg(test)]
    Strain(u64),
}

/// So long a mesh is watched before it is said to have fallen, in nanoseconds.
const FALLEN_AFTER: u64 = 5_000_000_000;
/// A copy that is neither calm nor fallen by then counts as one that does not fall.
const GIVEN_UP_AFTER: u64 = 60_000_000_000;
/// Connections are open by then, and caches warm.
const BEFORE: u64 = 5_000_000_000;
/// So long first steps are counted at most.
const WATCHED: u64 = 600_000_000_000;
/// The usual strain is looked at for so long.
const LOOKED_AT: u64 = 20_000_000_000;
/// Copies for each step, and for the fall itself: those that fall are long.
const COPIES: u64 = 96;
const LAST_COPIES: u64 = 48;
/// Copies with which the place of the next step is found: a quarter of them should take it.
const TRIED: u64 = 48;
/// BOUND: so many runs may fall before they are warm.
const TRIALS: u64 = 8;
/// BOUND: more steps are not made.
const STEPS_MAX: usize = 24;
/// Fewer independent estimates say too little of their own spread.
const ESTIMATES_MIN: u32 = 6;

/// Estimates the mean time to the goal, so many times at least. `None`: the mesh is never calm, or never anything else.
pub(crate) fn split(plan: &Plan, goal: Goal, seed: u64, estimates: u32) -> Option<Splitting> {
    let looks_every = plan.nodes.len().div_ceil(16);
    let walk = Walk { plan, goal, looks_every };
    let (levels, spent) = walk.levels(&Keys::new(seed, u32::MAX))?;
    let estimates: Vec<Estimate> = (0..estimates.max(ESTIMATES_MIN))
        .into_par_iter()
        .map(|number| walk.estimate(&levels, &Keys::new(seed, number).branch(0)))
        .collect();
    let found = summary(&estimates);
    let simulated: u64 = spent + estimates.iter().map(|estimate| estimate.simulated).sum::<u64>();
    let in_places = |strain: &u64| *strain as f64 / 1e3;
    Some(Splitting {
        levels: std::iter::once(&levels.calm).chain(&levels.steps).map(in_places).collect(),
        estimates: u32::try_from(estimates.len()).unwrap_or(u32::MAX),
        simulated_s: simulated as f64 / 1e9,
        ..found
    })
}

/// Where a mesh is calm, and the steps away from there, in thousandths of places.
struct Levels {
    calm: u64,
    steps: Vec<u64>,
}

/// One estimate.
struct Estimate {
    first_steps_per_s: f64,
    /// By further step, the fall last: how many copies took it, of how many.
    shares: Vec<(u64, u64)>,
    simulated: u64,
}

impl Estimate {
    /// Falls in a second.
    fn rate(&self) -> f64 {
        self.shares.iter().fold(self.first_steps_per_s, |rate, (taken, of)| rate * share(*taken, *of))
    }
}

fn share(part: u64, whole: u64) -> f64 {
    part as f64 / whole.max(1) as f64
}

/// The mean of estimates, which are independent of each other. Rates are skewed, so the interval is one of their
/// logarithm.
fn summary(estimates: &[Estimate]) -> Splitting {
    let count = estimates.len().max(1) as f64;
    let first_steps_per_s = estimates.iter().map(|estimate| estimate.first_steps_per_s).sum::<f64>() / count;
    let stages = estimates.iter().map(|estimate| estimate.shares.len()).max().unwrap_or(0);
    let pooled = |stage: usize| {
        let at = estimates.iter().filter_map(|estimate| estimate.shares.get(stage));
        at.fold((0, 0), |(taken, of), share| (taken + share.0, of + share.1))
    };
    let pooled: Vec<(u64, u64)> = (0..stages).map(pooled).collect();
    let rates: Vec<f64> = estimates.iter().map(Estimate::rate).collect();
    let (mean_time_s, interval) = if let Some(rate) = Mean::of(&rates).filter(|rate| rate.mean > 0.0) {
        let (time, factor) = (1.0 / rate.mean, libm::exp(rate.half / rate.mean));
        (Some(time), (time / factor, Some(time * factor)))
    } else {
        // Of the copies at the first step that none has taken, so many might have at most.
        let most = |(taken, of): &(u64, u64)| {
            if *taken > 0 { share(*taken, *of) } else { (poisson_interval(0)[1] / (*of).max(1) as f64).min(1.0) }
        };
        let most = pooled.iter().map(most).product::<f64>() * first_steps_per_s;
        (None, (if most > 0.0 { 1.0 / most } else { 0.0 }, None))
    };
    Splitting {
        levels: Vec::new(),
        first_steps_per_s,
        shares: pooled.iter().map(|(taken, of)| share(*taken, *of)).collect(),
        estimates: 0,
        simulated_s: 0.0,
        mean_time_s,
        interval,
    }
}

/// A run on its way away from calm.
#[derive(Clone)]
struct Path<'p> {
    engine: Engine<'p>,
    /// When it was copied.
    began: u64,
    /// When the last look at its clients' requests began; how many had ended by then, and how many of them well.
    since: u64,
    ended: u64,
    good: u64,
    /// The greatest strain so far.
    most: u64,
    has_arrived: bool,
}

/// How a path ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    Calm,
    /// The next step is taken.
    Step,
    Goal,
    /// Nothing of that for too long.
    Lost,
}

impl<'p> Path<'p> {
    fn new(engine: Engine<'p>) -> Self {
        let (now, ended, good) = (engine.now, engine.measure.client_requests, engine.measure.first_tries_ok);
        Self { engine, began: now, since: now, ended, good, most: 0, has_arrived: false }
    }

    fn fork(&self, keys: Keys) -> Self {
        Self { has_arrived: self.has_arrived, ..Self::new(self.engine.fork(keys)) }
    }

    fn seconds(&self) -> u64 {
        self.engine.now - self.began
    }

    /// Whether clients were served badly, each time that they were watched for long enough.
    fn is_bad(&mut self) -> Option<bool> {
        if self.engine.now - self.since < FALLEN_AFTER {
            return None;
        }
        let measure = &self.engine.measure;
        let (ended, good) = (measure.client_requests - self.ended, measure.first_tries_ok - self.good);
        (self.since, self.ended, self.good) = (self.engine.now, measure.client_requests, measure.first_tries_ok);
        Some(2 * good < ended || ended == 0)
    }
}

impl Engine<'_> {
    /// Work in hand of the most loaded workload, in thousandths of its places.
    fn strain(&self) -> u64 {
        let of = |workload: &Workload| {
            let nodes = workload.first_node as usize..(workload.first_node + workload.replicas) as usize;
            let jobs: u64 = self.nodes[nodes].iter().map(|node| u64::from(node.busy + node.waiting)).sum();
            let places = u64::from(workload.concurrency) * u64::from(workload.replicas);
            (jobs * 1000).checked_div(places).unwrap_or(0)
        };
        self.plan.workloads.iter().filter(|workload| workload.gateway.is_none()).map(of).max().unwrap_or(0)
    }
}

struct Walk<'p> {
    plan: &'p Plan,
    goal: Goal,
    /// Events between two looks at the strain.
    looks_every: usize,
}

impl<'p> Walk<'p> {
    fn start(&self, keys: &Keys) -> Path<'p> {
        Path::new(Engine::new(self.plan, keys.clone(), Measure::none(self.plan), Checker::default()))
    }

    fn has_arrived(&self, path: &mut Path<'p>, #[cfg_attr(not(test), expect(unused))] strain: u64) -> bool {
        path.has_arrived = path.has_arrived
            || match self.goal {
                Goal::Fall => path.is_bad() == Some(true),
                #[cfg(test)]
                Goal::Strain(goal) => strain >= goal,
            };
        path.has_arrived
    }

    /// A few events; whether there were any.
    fn walk(&self, path: &mut Path<'p>) -> bool {
        (0..self.looks_every).all(|_| path.engine.step())
    }

    /// Goes on until the mesh is calm, takes a step, or arrives.
    fn go(&self, path: &mut Path<'p>, calm: u64, step: Option<u64>) -> End {
        loop {
            let strain = path.engine.strain();
            path.most = path.most.max(strain);
            if self.has_arrived(path, strain) {
                return End::Goal;
            }
            if strain <= calm {
                return End::Calm;
            }
            if step.is_some_and(|step| strain >= step) {
                return End::Step;
            }
            if path.seconds() > GIVEN_UP_AFTER || !self.walk(path) {
                return End::Lost;
            }
        }
    }

    /// Lets copies of these paths go on until the next step: how each ended, and where.
    fn copies(&self, from: &[Path<'p>], levels: (u64, Option<u64>), keys: &Keys, count: u64) -> Vec<(End, Path<'p>)> {
        let copy = |number: u64| {
            let mut path = from[number as usize % from.len()].fork(keys.branch(number));
            let end = self.go(&mut path, levels.0, levels.1);
            (end, path)
        };
        (0..count).into_par_iter().map(copy).collect()
    }

    /// A run that is warm and calm, and what was simulated for others that fell before they were.
    fn calm(&self, calm: u64, keys: &Keys) -> (Path<'p>, u64) {
        let mut spent = 0;
        for trial in 0..TRIALS {
            let mut path = self.start(&keys.branch(trial));
            while self.walk(&mut path) && path.engine.now < BEFORE + GIVEN_UP_AFTER {
                if path.engine.now >= BEFORE && path.engine.strain() <= calm {
                    return (path, spent);
                }
            }
            spent += path.engine.now;
        }
        (self.start(keys), spent)
    }

    /// Watches a run, and copies it when it takes the first step after a calm moment: the copies, first steps in a
    /// second, and what was simulated. A run that arrives is watched no longer.
    fn first_steps(&self, levels: &Levels, keys: &Keys, count: u64) -> (Vec<Path<'p>>, f64, u64) {
        let (mut path, mut simulated) = self.calm(levels.calm, keys);
        let (mut steps, mut is_calm, mut watched) = (Vec::new(), false, 0);
        let from = path.engine.now;
        while steps.len() < count as usize && path.engine.now - from < WATCHED {
            let strain = path.engine.strain();
            if strain <= levels.calm {
                is_calm = true;
                watched = path.engine.now - from;
                path = Path::new(path.engine);
            } else if self.has_arrived(&mut path, strain) {
                break;
            } else if is_calm && levels.steps.first().is_some_and(|step| strain >= *step) {
                is_calm = false;
                watched = path.engine.now - from;
                steps.push(path.fork(path.engine.keys.clone()));
            }
            if !self.walk(&mut path) {
                break;
            }
        }
        let per_s = steps.len() as f64 * 1e9 / watched.max(1) as f64;
        simulated += path.engine.now;
        (steps, per_s, simulated)
    }

    fn estimate(&self, levels: &Levels, keys: &Keys) -> Estimate {
        let (mut paths, first_steps_per_s, mut simulated) = self.first_steps(levels, keys, COPIES);
        let mut shares = Vec::new();
        let next = levels.steps.iter().skip(1).map(|step| (Some(*step), COPIES)).chain([(None, LAST_COPIES)]);
        for (stage, (step, count)) in (1..).zip(next) {
            if paths.is_empty() {
                break;
            }
            let ends = self.copies(&paths, (levels.calm, step), &keys.branch(stage), count);
            simulated += ends.iter().map(|(_, path)| path.seconds()).sum::<u64>();
            paths = taken(ends);
            shares.push((paths.len() as u64, count));
        }
        Estimate { first_steps_per_s, shares, simulated }
    }

    /// The strain of a mesh that works, ascending, and what was simulated.
    fn usual(&self, keys: &Keys) -> (Vec<u64>, u64) {
        let mut path = self.start(keys);
        while path.engine.now < BEFORE && self.walk(&mut path) {}
        path = Path::new(path.engine);
        // A mesh that falls is well until it is judged: the last look before a bad one may have seen it fall.
        let (mut usual, mut certain, mut judged) = (Vec::new(), 0, 0);
        while path.engine.now < BEFORE + LOOKED_AT && self.walk(&mut path) {
            usual.push(path.engine.strain());
            match path.is_bad() {
                Some(true) => break,
                Some(false) => (certain, judged) = (judged, usual.len()),
                None => {}
            }
        }
        usual.truncate(certain);
        usual.sort_unstable();
        (usual, path.engine.now)
    }

    /// Finds out where the mesh is calm, and steps of which about one in four copies takes each.
    fn levels(&self, keys: &Keys) -> Option<(Levels, u64)> {
        let (usual, mut spent) = self.usual(&keys.branch(0));
        let calm = *usual.get(usual.len() / 2)?;
        let first = usual[usual.len() * 9 / 10..].iter().find(|strain| **strain > calm)?;
        let mut levels = Levels { calm, steps: vec![*first] };
        let (mut paths, _, watched) = self.first_steps(&levels, &keys.branch(1), TRIED);
        spent += watched;
        for stage in (2..).take(STEPS_MAX) {
            if paths.is_empty() {
                break;
            }
            let keys = keys.branch(stage);
            let ends = self.copies(&paths, (calm, None), &keys, TRIED);
            spent += ends.iter().map(|(_, path)| path.seconds()).sum::<u64>();
            let arrived = ends.iter().filter(|(end, _)| *end == End::Goal).count() as u64;
            let Some(next) = next_step(&ends, levels.steps.last().copied()).filter(|_| arrived * 5 < TRIED) else {
                break;
            };
            levels.steps.push(next);
            paths = taken(self.copies(&paths, (calm, Some(next)), &keys, TRIED));
        }
        Some((levels, spent))
    }
}

fn taken(ends: Vec<(End, Path<'_>)>) -> Vec<Path<'_>> {
    let has_taken = |(end, path)| matches!(end, End::Step | End::Goal).then_some(path);
    ends.into_iter().filter_map(has_taken).collect()
}

/// The strain that a quarter of these reached, or if that is no further than before, the least that is.
fn next_step(ends: &[(End, Path<'_>)], last: Option<u64>) -> Option<u64> {
    let mut most: Vec<u64> = ends.iter().map(|(_, path)| path.most).collect();
    most.sort_unstable();
    most[most.len() * 3 / 4..].iter().copied().find(|strain| Some(*strain) > last)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

    use meshproof_import::{ImportOptions, import};
    use meshproof_model::{Mesh, Sources, read_behaviour, read_scenario};

    use super::*;
    use crate::SimOptions;

    const QUEUE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: q, namespace: default}
spec: {selector: {app: q}, ports: [{name: http, port: 80}]}\n---\napiVersion: apps/v1\nkind: Deployment
metadata: {name: q, namespace: default}\nspec: {replicas: 1, selector: {matchLabels: {app: q}},
  template: {metadata: {labels: {app: q}}, spec: {containers: [{name: app, image: i, ports: [{containerPort: 80}]}]}}}\n";

    fn plan(client: &str, workload: &str, rate: &str) -> Plan {
        let mut sources = Sources::default();
        sources.add("q.yaml", QUEUE);
        let mut mesh: Mesh = import(&sources, &ImportOptions::default()).mesh;
        let behaviour = format!(
            "Mesh(version: 1, clients: {{\"c\": (from: Outside, to: \"default/q:80\", requests: [(name: \"r\")], {client})}},
                workloads: {{\"default/q\": (queue: (limit: 100000), {workload})}},
                network: (same_zone: Constant(\"0ms\"), proxy: Constant(\"0ms\")))"
        );
        mesh.behaviour = read_behaviour(&behaviour).unwrap();
        let scenario = read_scenario(&format!(
            "Scenario(version: 1, horizon: \"10000s\", load: [Open(client: \"c\", rate: [Hold(rate: \"{rate}\", during: \"1s\")])])"
        ));
        Plan::new(&mesh, &scenario.unwrap(), &SimOptions::default()).unwrap()
    }

    /// The mean time until an empty M/M/1 queue first holds so many: the sum of the times from each number to the next.
    fn hitting_time(arrivals: f64, services: f64, goal: u32) -> f64 {
        let mut step = 1.0 / arrivals;
        let mut sum = 0.0;
        for _ in 0..goal {
            sum += step;
            step = (1.0 + services * step) / arrivals;
        }
        sum
    }

    #[test]
    fn a_queue_first_holds_twenty_when_the_closed_form_says() {
        let plan = plan("", "concurrency: 1, service_time: Exponential(mean: \"2ms\")", "250rps");
        let expected = hitting_time(250.0, 500.0, 20);
        assert!((expected - 8388.5).abs() < 0.1, "{expected}");
        let found = split(&plan, Goal::Strain(20_000), 3, 16).unwrap();
        let (lo, hi) = (found.interval.0, found.interval.1.unwrap());
        assert!(lo < expected && expected < hi && hi / lo < 3.0, "{expected} {found:?}");
        // Sixteen independent waits for it would have taken a hundred times as long.
        assert!(found.simulated_s * 100.0 < 16.0 * expected, "{found:?}");
    }

    /// Each request is tried again after 50 ms, and what was left goes on being worked at.
    #[test]
    fn falls_come_as_often_as_long_runs_show() {
        let plan = plan(
            "patience: Constant(\"50ms\"), retries: (max: 1)",
            "concurrency: 4, service_time: Exponential(mean: \"10ms\")",
            "240rps",
        );
        let walk = Walk { plan: &plan, goal: Goal::Fall, looks_every: 1 };
        let wait = |run: u32| {
            let (mut path, mut calm) = (walk.start(&Keys::new(9, run)), 0);
            while walk.walk(&mut path) && path.is_bad() != Some(true) {
                if path.engine.strain() <= 1000 {
                    calm = path.engine.now;
                    path = Path::new(path.engine);
                }
            }
            calm as f64 / 1e9
        };
        let waits: Vec<f64> = (0..48_u32).into_par_iter().map(wait).collect();
        let waited = Mean::of(&waits).unwrap();
        let found = split(&plan, Goal::Fall, 4, 16).unwrap();
        let (lo, hi) = (found.interval.0, found.interval.1.unwrap());
        assert!(lo < waited.mean && waited.mean < hi && hi / lo < 3.0, "{waited:?} {found:?}");
        assert_eq!(split(&plan, Goal::Fall, 4, 16).as_ref(), Some(&found), "it is a function of the seed");
    }

    /// Without retries nothing sustains an overload: whatever queue there was is worked off.
    #[test]
    fn a_mesh_that_never_falls_is_said_to_fall_less_often_than_so() {
        let plan = plan("", "concurrency: 4, service_time: Exponential(mean: \"10ms\")", "240rps");
        let found = split(&plan, Goal::Fall, 4, 6).unwrap();
        assert!(found.mean_time_s.is_none() && found.interval.1.is_none(), "{found:?}");
        assert!(found.interval.0 > 1e6, "{found:?}");
    }
}
