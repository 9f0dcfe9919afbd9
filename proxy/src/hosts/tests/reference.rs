//! Picks against a model that is slow and obvious: it writes out who gets each of the 100 parts of the load.
#![allow(clippy::float_arithmetic, reason = "deadlines")]

use proptest::prelude::*;

use super::*;
use crate::config::HostHealth::{Degraded, Healthy, Unhealthy};

type Described = (u32, u32, HostHealth);

/// The 100 parts of the load: which hosts serve each.
fn parts(hosts: &[Described], threshold: usize) -> Vec<Vec<usize>> {
    let of = |priority: u32, wanted: &[HostHealth]| -> Vec<usize> {
        (0..hosts.len()).filter(|n| hosts[*n].0 == priority && wanted.contains(&hosts[*n].2)).collect()
    };
    let all = |priority| of(priority, &[Healthy, Degraded, Unhealthy]);
    let priorities: Vec<u32> = (0..=hosts.iter().map(|host| host.0).max().unwrap_or(0)).collect();
    let available = |priority: u32, health| match all(priority).len() {
        0 => 0,
        total => (140 * of(priority, &[health]).len() / total).min(100),
    };
    let total = priorities.iter().map(|p| available(*p, Healthy) + available(*p, Degraded)).sum::<usize>().min(100);
    let panics = |priority: u32| {
        let usable = of(priority, &[Healthy, Degraded]).len();
        total < 100 && (all(priority).is_empty() || 100 * usable < threshold * all(priority).len()) && threshold > 0
    };
    let mut parts = Vec::new();
    if priorities.iter().all(|priority| panics(*priority)) {
        for priority in &priorities {
            let part = 100 * all(*priority).len() / hosts.len();
            parts.extend(vec![all(*priority); part]);
        }
        let first = priorities.iter().find(|priority| !all(**priority).is_empty());
        let rest = 100 - parts.len();
        // The rounding goes to the first priority that has hosts; its parts come first.
        parts.splice(0..0, vec![all(*first.unwrap()); rest]);
        return parts;
    }
    if total == 0 {
        return vec![Vec::new(); 100];
    }
    let mut shares = Vec::new();
    let mut left = 100;
    for health in [Healthy, Degraded] {
        for priority in &priorities {
            let share = (available(*priority, health) * 100 / total).min(left);
            left -= share;
            shares.push((*priority, health, share));
        }
    }
    if let Some(first) = shares.iter_mut().find(|(priority, health, _)| available(*priority, *health) > 0) {
        first.2 += left;
    }
    for (priority, health, share) in shares {
        let serving = if panics(priority) { all(priority) } else { of(priority, &[health]) };
        parts.extend(vec![serving; share]);
    }
    parts
}

/// Rotations by list: equal weights take turns, others go by the earliest deadline.
#[derive(Default)]
struct Rotations(Vec<(Vec<usize>, Vec<(f64, usize)>, usize)>);

impl Rotations {
    fn next(&mut self, list: &[usize], hosts: &[Described]) -> Option<usize> {
        if list.is_empty() {
            return None;
        }
        let known = self.0.iter().position(|(known, ..)| known == list).unwrap_or_else(|| {
            let first = |host: &usize| 1.0 / (f64::from(hosts[*host].1) + 1e-13);
            self.0.push((list.to_vec(), list.iter().map(first).zip(0..).collect(), 0));
            self.0.len() - 1
        });
        let (list, deadlines, turn) = &mut self.0[known];
        *turn += 1;
        if list.iter().all(|host| hosts[*host].1 == hosts[list[0]].1) {
            return Some(list[(*turn - 1) % list.len()]);
        }
        let best = (0..list.len())
            .min_by(|a, b| deadlines[*a].0.total_cmp(&deadlines[*b].0).then(deadlines[*a].1.cmp(&deadlines[*b].1)))?;
        deadlines[best] = (deadlines[best].0 + 1.0 / f64::from(hosts[list[best]].1), list.len() + *turn);
        Some(list[best])
    }
}

fn health() -> impl Strategy<Value = HostHealth> {
    prop_oneof![3 => Just(Healthy), 1 => Just(Degraded), 2 => Just(Unhealthy)]
}

proptest! {
    #[test]
    fn picks_agree_with_the_written_out_load(
        hosts in prop::collection::vec((0_u32..3, prop_oneof![Just(1_u32), 1_u32..6], health()), 1..9),
        threshold in prop_oneof![Just(50_u32), 0_u32..=100],
    ) {
        let mut cluster = described(&hosts);
        cluster.common_lb.healthy_panic_threshold = Some(crate::Percent::new(threshold));
        let mut rig = Rig::new(&cluster);
        let parts = parts(&hosts, threshold as usize);
        prop_assert_eq!(parts.len(), 100);
        let mut rotations = Rotations::default();
        for request in 1..=60 {
            let key = DrawKey { request: RequestKey(request), attempt: 1 << 16, what: Draw::LbPriority };
            let draw = Keyed(7).draw(key) % 100;
            let list = &parts[usize::try_from(draw).unwrap()];
            prop_assert_eq!(rig.pick(), rotations.next(list, &hosts), "request {}: {:?}", request, list);
        }
    }
}
