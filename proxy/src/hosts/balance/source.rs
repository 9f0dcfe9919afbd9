//! One list of hosts and its place in the rotation (Envoy: `HostsSource` and its scheduler).

use super::edf::Edf;
use super::slow_start::weight;
use super::{Draws, World};
use crate::hosts::table::Policy;
use crate::{Draw, HostId};

/// Hosts that a pick chooses from. The place in the rotation outlives updates; a schedule is built anew.
#[derive(Clone, Debug)]
pub(super) struct Source {
    hosts: Vec<HostId>,
    next: u64,
    schedule: Option<Edf>,
}

impl Source {
    /// An empty list whose rotation starts at `seed`.
    pub(super) fn new(seed: u64) -> Self {
        Self { hosts: Vec::new(), next: seed, schedule: None }
    }

    /// Replaces the hosts. `warming`: some host may be in slow start.
    pub(super) fn update(&mut self, world: &World<'_>, seed: u64, warming: bool, hosts: impl Iterator<Item = HostId>) {
        self.hosts.clear();
        self.hosts.extend(hosts);
        self.schedule = None;
        let uses_weights = matches!(world.options.policy, Policy::RoundRobin | Policy::LeastRequest { .. });
        if uses_weights && self.hosts.len() > 1 && (warming || !self.weights_are_equal(world)) {
            let schedule = Edf::with_picks(self.hosts.len(), seed, |slot| self.weight(world, slot));
            self.schedule = Some(schedule);
        }
    }

    pub(super) fn hosts(&self) -> &[HostId] {
        &self.hosts
    }

    /// The policy's choice. `draw` is the draw that chose the priority.
    pub(super) fn pick(&mut self, world: &World<'_>, draws: &mut Draws<'_>, draw: Option<u64>) -> Option<HostId> {
        if self.hosts.is_empty() {
            return None;
        }
        if let Some(schedule) = &mut self.schedule {
            let hosts = &self.hosts;
            let slot = schedule.pick(|slot| world.host(hosts[slot]).map_or(1.0, |host| weight(world, host)))?;
            return hosts.get(slot).copied();
        }
        let slot = match world.options.policy {
            // Envoy takes one random number for the priority and for the host.
            Policy::Random => reduce(draw.unwrap_or_else(|| draws.draw(Draw::LbPriority, 0)), self.hosts.len()),
            Policy::LeastRequest { choice_count, .. } => self.least_busy(world, draws, choice_count),
            Policy::PeakEwma { .. } => self.least_loaded(world, draws),
            _ => {
                let slot = reduce(self.next, self.hosts.len());
                self.next = self.next.wrapping_add(1);
                slot
            }
        };
        self.hosts.get(slot).copied()
    }

    /// Samples with replacement; a later one wins only if it is strictly less busy.
    fn least_busy(&self, world: &World<'_>, draws: &mut Draws<'_>, choices: u32) -> usize {
        let active = |slot: usize| world.host(self.hosts[slot]).map_or(0, |host| host.active);
        let mut best = reduce(draws.draw(Draw::LbFirst, 0), self.hosts.len());
        for choice in 1..choices {
            let other = reduce(draws.draw(Draw::LbSecond, choice - 1), self.hosts.len());
            if active(other) < active(best) {
                best = other;
            }
        }
        best
    }

    /// The better of two different hosts by moving average (Linkerd: `tower::balance::p2c`).
    fn least_loaded(&self, world: &World<'_>, draws: &mut Draws<'_>) -> usize {
        let first = reduce(draws.draw(Draw::LbFirst, 0), self.hosts.len());
        if self.hosts.len() < 2 {
            return first;
        }
        let step = 1 + reduce(draws.draw(Draw::LbSecond, 0), self.hosts.len() - 1);
        let second = (first + step) % self.hosts.len();
        let cost = |slot: usize| world.ewma_cost(self.hosts[slot]);
        if cost(second) < cost(first) { second } else { first }
    }

    fn weights_are_equal(&self, world: &World<'_>) -> bool {
        let weight = |host: &HostId| world.host(*host).map_or(1, |host| host.weight);
        self.hosts.windows(2).all(|pair| weight(&pair[0]) == weight(&pair[1]))
    }

    fn weight(&self, world: &World<'_>, slot: usize) -> f64 {
        world.host(self.hosts[slot]).map_or(1.0, |host| weight(world, host))
    }
}

/// `draw` modulo the number of hosts, which is not zero.
pub(super) fn reduce(draw: u64, count: usize) -> usize {
    usize::try_from(draw % (count as u64).max(1)).unwrap_or(0)
}
