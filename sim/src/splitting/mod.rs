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

mod walk;

#[cfg(test)]
mod tests;

use rayon::prelude::*;
use serde::Serialize;

use crate::{
    entropy::Keys,
    plan::Plan,
    statistics::{Mean, poisson_interval},
};
use walk::Walk;

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
