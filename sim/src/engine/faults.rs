//! Faults and changes of configuration.

use std::sync::Arc;

use meshproof_model::Replicas;

use super::{Engine, Event, Leg, NEVER, Sender, Server, Todo, Visit};
use crate::{
    entropy::Purpose,
    plan::{FaultEffect, Target},
    slab::Ref,
};

impl Engine<'_> {
    pub(super) fn start_faults(&mut self) {
        for (number, fault) in (0_u32..).zip(&self.plan.faults) {
            let workload = &self.plan.workloads[fault.workload as usize];
            let mut nodes: Vec<u32> = (workload.first_node..workload.first_node + workload.replicas).collect();
            let count = match fault.replicas {
                Replicas::All => u64::from(workload.replicas),
                Replicas::Count(count) => u64::from(count),
                Replicas::Share(share) => share.of(u64::from(workload.replicas)),
            };
            // By number of the replica, not of the node: the same in a mesh that differs elsewhere.
            nodes.sort_by_key(|node| {
                let replica = u64::from(node - workload.first_node);
                self.keys.draw(Purpose::FaultReplicas, u64::from(number), replica)
            });
            nodes.truncate(usize::try_from(count).unwrap_or(usize::MAX));
            nodes.sort_unstable();
            self.hit.push(nodes);
            self.queue.push(fault.from, Event::Fault { fault: number, begins: true });
            self.queue.push(fault.until, Event::Fault { fault: number, begins: false });
        }
        for (number, change) in (0..).zip(&self.plan.changes) {
            self.queue.push(change.at, Event::Change { change: number });
        }
    }

    pub(super) fn on_fault(&mut self, fault: u32, begins: bool) -> bool {
        let entry = &self.plan.faults[fault as usize];
        let nodes = std::mem::take(&mut self.hit[fault as usize]);
        for node in &nodes {
            match (entry.effect, begins) {
                (FaultEffect::Crash, true) => self.crash(*node),
                (FaultEffect::Crash, false) => self.restart(*node),
                (FaultEffect::Freeze, true) => self.freeze(*node),
                (FaultEffect::Freeze, false) => self.thaw(*node),
                (_, true) => self.nodes[*node as usize].faults.push(fault),
                (_, false) => self.nodes[*node as usize].faults.retain(|active| *active != fault),
            }
            self.update_speed(*node);
        }
        self.hit[fault as usize] = nodes;
        if !begins {
            self.measure.fault_over(self.now, fault);
        }
        true
    }

    /// The replica's handler stops where it is.
    fn freeze(&mut self, node: u32) {
        self.settle_shares(node);
        let entry = &mut self.nodes[node as usize];
        entry.freezes += 1;
        if entry.freezes == 1 {
            entry.frozen_since = self.now;
        }
    }

    /// It goes on: what it worked on is due later by as much as it stood still.
    fn thaw(&mut self, node: u32) {
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

    fn update_speed(&mut self, node: u32) {
        let entry = &mut self.nodes[node as usize];
        entry.slow =
            entry.faults.iter().fold(1_000_000, |slow, fault| match self.plan.faults[*fault as usize].effect {
                FaultEffect::Slow(factor) => {
                    u64::try_from(u128::from(slow) * u128::from(factor) / 1_000_000).unwrap_or(u64::MAX)
                }
                _ => slow,
            });
    }

    /// A replica loses its work and its connections, and refuses new ones.
    fn crash(&mut self, node: u32) {
        if !self.nodes[node as usize].is_up {
            return;
        }
        self.settle_busy(node as usize);
        let entry = &mut self.nodes[node as usize];
        entry.is_up = false;
        entry.epoch += 1;
        (entry.busy, entry.waiting) = (0, 0);
        entry.queue.clear();
        entry.held.clear();
        entry.sharing.clear();
        let visits: Vec<Ref<Visit>> =
            self.visits.iter().filter(|(_, visit)| visit.node == node).map(|(at, _)| at).collect();
        for visit in visits {
            self.drop_visit(visit);
        }
        self.lose_legs(node);
        self.lose_connections(node);
        let entry = &self.nodes[node as usize];
        let mut own = [entry.outbound, entry.inbound, entry.gateway];
        if own[0] == own[2] {
            own[2] = None;
        }
        for instance in own.into_iter().flatten() {
            self.replace_proxy(instance);
        }
    }

    /// Requests that the replica served have no server any more, those that it sent no client.
    fn lose_legs(&mut self, node: u32) {
        let legs: Vec<Ref<Leg>> = self.legs.iter().map(|(at, _)| at).collect();
        for at in legs {
            let Some(leg) = self.legs.get_mut(at) else { continue };
            let is_from_here = match leg.client {
                Sender::Proxy { at: home, .. } => self.instances[home.instance as usize].node == node,
                Sender::Client { .. } | Sender::Gone => false,
            };
            if is_from_here {
                if leg.target == Target::App {
                    self.drop_leg(at);
                } else {
                    self.drop_sender(at);
                }
                continue;
            }
            let is_served_here =
                leg.target.node() == Some(node) && matches!(leg.server, Server::Stream { .. } | Server::Visit(_));
            if is_served_here {
                leg.server = Server::Lost;
                let key = leg.key;
                match leg.client {
                    Sender::Client { .. } => {
                        let way = self.link_delay(None, Some(node), key, 6);
                        self.queue.push(self.now + way, Event::Lost { leg: at });
                    }
                    Sender::Gone => {
                        self.drop_leg(at);
                    }
                    // The connection's end tells the client's proxy.
                    Sender::Proxy { .. } => {}
                }
            }
        }
    }

    /// Everybody who has a connection to the replica hears that it is closed.
    fn lose_connections(&mut self, node: u32) {
        for (number, instance) in (0_u32..).zip(&self.instances) {
            if instance.node == node {
                continue;
            }
            let at = instance.home(number);
            for known in instance.connections.iter().flatten().filter(|known| known.target.node() == Some(node)) {
                let way = self.link_delay(Some(instance.node), Some(node), u64::from(number), self.now);
                self.queue.push(self.now + way, Event::Closed { at, connection: known.id });
            }
        }
    }

    /// The replica's proxy forgets everything; clients in the replica get no answer.
    fn replace_proxy(&mut self, index: u32) {
        let entry = &mut self.instances[index as usize];
        entry.epoch += 1;
        entry.connections.clear();
        entry.open.clear();
        for side in std::mem::take(&mut entry.streams).into_iter().flatten() {
            if let super::Down::Try { request, number } = side.down {
                self.todo.push_back(Todo::TryDone { request, number, status: 0 });
            }
        }
        let (spec, salt) = (Arc::clone(&self.instances[index as usize].spec), self.instances[index as usize].salt);
        let proxy = self.new_proxy(&spec, salt);
        self.instances[index as usize].proxy = proxy;
        self.drain(index);
    }

    /// The crash is over: the replica starts, and is ready when its start-up time has passed.
    fn restart(&mut self, node: u32) {
        let entry = &self.nodes[node as usize];
        if entry.is_up {
            return;
        }
        let start_up = self.plan.workloads[self.plan.nodes[node as usize].workload as usize].start_up;
        self.queue.push(self.now.saturating_add(start_up), Event::Ready { node, epoch: entry.epoch });
    }

    pub(super) fn on_ready(&mut self, node: u32, epoch: u32) -> bool {
        let entry = &mut self.nodes[node as usize];
        let is_current = entry.epoch == epoch && !entry.is_up;
        entry.is_up |= is_current;
        is_current
    }

    /// Every proxy that a change concerns takes over its new configuration.
    pub(super) fn on_change(&mut self, change: u32) -> bool {
        let plan = self.plan;
        for (index, spec) in &plan.changes[change as usize].specs {
            for number in 0..self.instances.len() as u32 {
                let entry = &mut self.instances[number as usize];
                if entry.spec_index != *index {
                    continue;
                }
                entry.spec = Arc::clone(spec);
                let table = Arc::clone(&spec.table);
                self.with_proxy(number, |proxy, cx| proxy.install(cx, table));
            }
        }
        true
    }
}
