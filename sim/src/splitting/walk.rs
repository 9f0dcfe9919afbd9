//! Runs on their way from calm to a fall.

use rayon::prelude::*;

use super::{Estimate, Goal, Levels};
use crate::{
    checker::Checker,
    engine::Engine,
    entropy::Keys,
    measure::Measure,
    plan::{Plan, Workload},
};

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
/// A run on its way away from calm.
#[derive(Clone)]
pub(super) struct Path<'p> {
    pub(super) engine: Engine<'p>,
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
    pub(super) fn new(engine: Engine<'p>) -> Self {
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
    pub(super) fn is_bad(&mut self) -> Option<bool> {
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
    pub(super) fn strain(&self) -> u64 {
        let of = |workload: &Workload| {
            let nodes = workload.first_node as usize..(workload.first_node + workload.replicas) as usize;
            let jobs: u64 = self.nodes[nodes].iter().map(|node| u64::from(node.busy + node.waiting)).sum();
            let places = u64::from(workload.concurrency) * u64::from(workload.at_start);
            (jobs * 1000).checked_div(places).unwrap_or(0)
        };
        self.plan.workloads.iter().filter(|workload| workload.gateway.is_none()).map(of).max().unwrap_or(0)
    }
}

pub(super) struct Walk<'p> {
    pub(super) plan: &'p Plan,
    pub(super) goal: Goal,
    /// Events between two looks at the strain.
    pub(super) looks_every: usize,
}

impl<'p> Walk<'p> {
    pub(super) fn start(&self, keys: &Keys) -> Path<'p> {
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
    pub(super) fn walk(&self, path: &mut Path<'p>) -> bool {
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

    pub(super) fn estimate(&self, levels: &Levels, keys: &Keys) -> Estimate {
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
    pub(super) fn levels(&self, keys: &Keys) -> Option<(Levels, u64)> {
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
