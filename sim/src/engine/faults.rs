//! Faults: when they begin and end, and which replicas they hit.

use meshproof_model::Replicas;

use super::{Engine, Event, NEVER, Visit, pods::Phase};
use crate::{
    entropy::Purpose,
    plan::{FaultEffect, Hits, Workload},
    slab::Ref,
};

impl Engine<'_> {
    pub(super) fn start_faults(&mut self) {
        for (number, fault) in (0_u32..).zip(&self.plan.faults) {
            self.hit.push(self.hit_by(number, fault.hits));
            self.queue.push(fault.from, Event::Fault { fault: number, begins: true });
            if fault.until > fault.from {
                self.queue.push(fault.until, Event::Fault { fault: number, begins: false });
            }
        }
        for (number, change) in (0..).zip(&self.plan.changes) {
            self.queue.push(change.at, Event::Change { change: number });
        }
    }

    /// The replicas that a fault hits, ascending.
    fn hit_by(&self, fault: u32, hits: Hits) -> Vec<u32> {
        let (workload, replicas) = match hits {
            Hits::Nothing => return Vec::new(),
            Hits::Zone(zone) => {
                let nodes = (0_u32..).zip(&self.plan.nodes);
                return nodes.filter(|(_, node)| node.zone == zone).map(|(number, _)| number).collect();
            }
            Hits::Cluster(cluster) => {
                let nodes = (0_u32..).zip(&self.plan.nodes);
                return nodes.filter(|(_, node)| node.cluster == Some(cluster)).map(|(number, _)| number).collect();
            }
            Hits::Workload(workload, replicas) => (&self.plan.workloads[workload as usize], replicas),
        };
        let mut nodes: Vec<u32> = self.replicas(workload).collect();
        let count = match replicas {
            Replicas::All => nodes.len() as u64,
            Replicas::Count(count) => u64::from(count),
            Replicas::Share(share) => share.of(nodes.len() as u64),
        };
        // By number of the replica, not of the node: the same in a mesh that differs elsewhere.
        nodes.sort_by_key(|node| {
            let own = self.plan.nodes[*node as usize].workload;
            let template = workload.kin.iter().position(|known| *known == own).unwrap_or(0) as u64;
            let replica = u64::from(node - self.plan.workloads[own as usize].first_node);
            self.keys.draw(Purpose::FaultReplicas, u64::from(fault), template << 32 | replica)
        });
        nodes.truncate(usize::try_from(count).unwrap_or(usize::MAX));
        nodes.sort_unstable();
        nodes
    }

    /// The pods of a workload that are there, whatever their template.
    pub(super) fn replicas<'a>(&'a self, workload: &'a Workload) -> impl Iterator<Item = u32> + Clone {
        let slots = workload.kin.iter().flat_map(|kin| self.plan.workloads[*kin as usize].slots());
        slots.filter(|node| workload.group.is_none() || self.nodes[*node as usize].pod.phase != Phase::Absent)
    }

    pub(super) fn on_fault(&mut self, fault: u32, begins: bool) -> bool {
        let plan = self.plan;
        let entry = &plan.faults[fault as usize];
        if plan.pods.is_some() {
            self.fault_for_new_pods(fault, begins);
            if begins {
                self.hit[fault as usize] = self.hit_by(fault, entry.hits);
            }
        }
        match entry.effect {
            FaultEffect::Link(link) => switch(&mut self.bad_links, link, begins),
            FaultEffect::Dns(_) => switch(&mut self.unresolved, fault, begins),
            _ => {}
        }
        let nodes = std::mem::take(&mut self.hit[fault as usize]);
        for node in &nodes {
            match (entry.effect, begins) {
                (FaultEffect::Crash, true) => self.crash(*node),
                (FaultEffect::Crash, false) => self.restart(*node),
                (FaultEffect::Freeze, true) => self.freeze(*node),
                (FaultEffect::Freeze, false) => self.thaw(*node),
                (FaultEffect::CacheLoss(share), true) => {
                    let entry = &mut self.nodes[*node as usize];
                    entry.cached -= share.of(entry.cached);
                }
                (_, begins) => switch(&mut self.nodes[*node as usize].faults, fault, begins),
            }
            self.update(*node);
        }
        self.hit[fault as usize] = nodes;
        if !begins {
            self.measure.fault_over(self.now, fault);
        }
        true
    }

    /// The replica's handler stops where it is.
    pub(super) fn freeze(&mut self, node: u32) {
        self.settle_shares(node);
        let entry = &mut self.nodes[node as usize];
        entry.freezes += 1;
        if entry.freezes == 1 {
            entry.frozen_since = self.now;
        }
    }

    /// It goes on: what it worked on is due later by as much as it stood still.
    pub(super) fn thaw(&mut self, node: u32) {
        self.settle_shares(node);
        let entry = &mut self.nodes[node as usize];
        entry.freezes -= 1;
        if entry.freezes > 0 {
            return;
        }
        let pause = self.now - entry.frozen_since;
        self.todo.extend(entry.held.drain(..));
        let late: Vec<(Ref<Visit>, u64)> = self
            .visits
            .iter()
            .filter(|(_, visit)| visit.node == node && visit.due != NEVER)
            .map(|(at, visit)| (at, visit.due.saturating_add(pause)))
            .collect();
        for (at, due) in late {
            if let Some(visit) = self.visits.get_mut(at) {
                visit.due = due;
                self.queue.push(due, Event::Done { visit: at });
            }
        }
        self.schedule_shares(node);
        self.fill_places(node);
    }

    /// Speed and places of a replica under the faults that are active.
    pub(super) fn update(&mut self, node: u32) {
        let plan = self.plan;
        let workload = &plan.workloads[plan.nodes[node as usize].workload as usize];
        let (mut slow, mut places) = (1_000_000, workload.concurrency);
        for fault in &self.nodes[node as usize].faults {
            match plan.faults[*fault as usize].effect {
                FaultEffect::Slow(factor) => {
                    slow = u64::try_from(u128::from(slow) * u128::from(factor) / 1_000_000).unwrap_or(u64::MAX);
                }
                FaultEffect::Capacity(share) => {
                    places = u32::try_from(share.of(places.into())).unwrap_or(u32::MAX).max(1);
                }
                _ => {}
            }
        }
        self.nodes[node as usize].slow = slow;
        if self.nodes[node as usize].places != places {
            self.settle_shares(node);
            self.nodes[node as usize].places = places;
            self.schedule_shares(node);
            self.fill_places(node);
        }
    }
}

/// Adds to a short list, or takes out of it.
pub(super) fn switch(list: &mut Vec<u32>, entry: u32, begins: bool) {
    if begins {
        list.push(entry);
    } else {
        list.retain(|active| *active != entry);
    }
}
