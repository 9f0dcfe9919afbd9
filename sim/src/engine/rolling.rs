//! Controllers of pods: as many as are wanted, replaced within the bounds of their strategy (`K-3`), and evicted within
//! those of their budgets (`K-6`).

use std::cmp::Reverse;

use super::{Engine, Event, pods::Phase};

/// How long `kubectl drain` waits before it tries an eviction again, in nanoseconds.
const EVICTION_RETRY: u64 = 5_000_000_000;

impl Engine<'_> {
    /// Brings a group's pods nearer to what is wanted.
    pub(super) fn reconcile(&mut self, group: u32) {
        let state = &self.pods.groups[group as usize];
        let (wanted, generation) = (state.replicas, state.generation);
        let rules = &self.plan.workloads[state.workload as usize].life;
        let bounds = rules.bounds(wanted);
        let all: Vec<u32> = self.plan.slots(group).filter(|node| self.phase(*node) != Phase::Absent).collect();
        let there: Vec<u32> = all.iter().copied().filter(|node| self.phase(*node) == Phase::There).collect();
        let is_new = |node: &u32| self.nodes[*node as usize].pod.generation == generation;
        let (new, old): (Vec<u32>, Vec<u32>) = there.iter().copied().partition(is_new);
        if rules.recreates() && !old.is_empty() {
            return self.delete_surplus(old, usize::MAX);
        }
        // Those that end under `Recreate` are waited for.
        let waits = rules.recreates() && all.iter().any(|node| !is_new(node));
        let total = there.len() as u32;
        if !waits {
            let most = if old.is_empty() { wanted } else { bounds.max_total };
            let missing = wanted.saturating_sub(new.len() as u32).min(most.saturating_sub(total));
            for _ in 0..missing {
                if !self.create_pod(group) {
                    break;
                }
            }
        }
        self.delete_surplus(new, (new_surplus(wanted, total, old.len())) as usize);
        self.replace_old(group, old, bounds.min_available);
    }

    /// Ends old pods: those that are not available first, as long as the others are enough (`K-3`).
    fn replace_old(&mut self, group: u32, old: Vec<u32>, min_available: u32) {
        if old.is_empty() {
            return;
        }
        let there: Vec<u32> = self.plan.slots(group).filter(|node| self.phase(*node) == Phase::There).collect();
        let available = there.iter().filter(|node| self.is_available(**node)).count() as u32;
        let new_waiting = there.iter().filter(|node| !old.contains(node) && !self.is_available(**node)).count() as u32;
        let removable = (there.len() as u32).saturating_sub(min_available).saturating_sub(new_waiting);
        let (idle, working): (Vec<u32>, Vec<u32>) = old.into_iter().partition(|node| !self.is_available(*node));
        self.delete_surplus(idle, removable as usize);
        self.delete_surplus(working, available.saturating_sub(min_available) as usize);
    }

    /// Ends so many of these pods: those that are not ready first, then those of the fullest zone, then the youngest.
    fn delete_surplus(&mut self, mut pods: Vec<u32>, count: usize) {
        let zone = |node: &u32| self.plan.nodes[*node as usize].zone;
        let zones: Vec<u32> = pods.iter().map(zone).collect();
        pods.sort_by_key(|node| {
            let pod = &self.nodes[*node as usize].pod;
            let crowd = zones.iter().filter(|other| **other == zone(node)).count();
            (pod.is_ready, Reverse(crowd), Reverse(pod.born), Reverse(*node))
        });
        for node in pods.into_iter().take(count) {
            self.delete_pod(node);
        }
    }

    /// Whether a pod has been ready for `minReadySeconds`.
    fn is_available(&self, node: u32) -> bool {
        let pod = &self.nodes[node as usize].pod;
        let min_ready = self.plan.workloads[self.plan.nodes[node as usize].workload as usize].life.min_ready;
        pod.is_ready && pod.ready_since.saturating_add(min_ready) <= self.now
    }

    fn phase(&self, node: u32) -> Phase {
        self.nodes[node as usize].pod.phase
    }

    /// A zone takes no pods from now on, and gives its own away.
    pub(super) fn drain_zone(&mut self, zone: u32, until: u64) {
        self.pods.cordoned.push(zone);
        self.on_evict(zone, until);
    }

    /// Evicts what budgets let go; what is left is tried again, until nothing is left or the drain is over.
    pub(super) fn on_evict(&mut self, zone: u32, until: u64) -> bool {
        if self.now >= until {
            self.pods.cordoned.retain(|known| *known != zone);
            for group in 0..self.pods.groups.len() as u32 {
                self.reconcile(group);
            }
            return true;
        }
        let plan = self.plan;
        for (group, entry) in (0_u32..).zip(plan.pods.iter().flat_map(|pods| &pods.groups)) {
            let pods: Vec<u32> =
                self.plan.slots(group).filter(|node| plan.nodes[*node as usize].zone == zone).collect();
            for node in pods.into_iter().filter(|_| !entry.stays) {
                if self.phase(node) == Phase::There && self.may_evict(group, node) {
                    self.delete_pod(node);
                }
            }
        }
        let next = self.now.saturating_add(EVICTION_RETRY).min(until);
        self.queue.push(next, Event::Evict { zone, until });
        true
    }

    /// Whether all budgets of a group let one of its pods go.
    fn may_evict(&self, group: u32, node: u32) -> bool {
        let budgets = self.plan.pods.iter().flat_map(|pods| &pods.budgets);
        budgets.filter(|budget| budget.groups.contains(&group)).all(|budget| {
            let wanted: u32 = budget.groups.iter().map(|group| self.pods.groups[*group as usize].replicas).sum();
            let is_healthy = |node: &u32| self.nodes[*node as usize].pod.is_ready;
            let healthy =
                budget.groups.iter().flat_map(|group| self.plan.slots(*group)).filter(is_healthy).count() as u32;
            let needed = wanted.saturating_sub(budget.rule.disruptions(wanted));
            // One that is not ready goes if the others are enough (`IfHealthyBudget`).
            if is_healthy(&node) { healthy > needed } else { healthy >= needed }
        })
    }
}

/// How many pods of the newest kind are too many.
fn new_surplus(wanted: u32, total: u32, old: usize) -> u32 {
    if old == 0 { total.saturating_sub(wanted) } else { (total - old as u32).saturating_sub(wanted) }
}
