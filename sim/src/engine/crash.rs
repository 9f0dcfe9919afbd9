//! Crashes and restarts of replicas.

use std::sync::Arc;

use super::{Down, Engine, Event, Leg, Sender, Server, Todo, Visit, pods::Phase};
use crate::{plan::Target, slab::Ref};

impl Engine<'_> {
    /// A replica loses its work and its connections, and refuses new ones.
    pub(super) fn crash(&mut self, node: u32) {
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
            if let Some(batch) = self.drop_visit(visit).and_then(|visit| visit.batch) {
                self.batch_lost(batch);
            }
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
        self.pod_down(node);
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
                        self.queue.push(self.now.saturating_add(way), Event::Lost { leg: at });
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
                self.queue.push(self.now.saturating_add(way), Event::Closed { at, connection: known.id });
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
            let Some(side) = self.sides.remove(side) else { continue };
            if let Down::Try { request, number } = side.down {
                self.todo.push_back(Todo::TryDone { request, number, status: 0 });
            }
        }
        let (spec, salt) = (Arc::clone(&self.instances[index as usize].spec), self.instances[index as usize].salt);
        let proxy = self.new_proxy(&spec, salt, self.now);
        let entry = &mut self.instances[index as usize];
        (entry.proxy, entry.is_asleep) = (proxy, false);
        self.configurations += 1;
        self.drain(index);
        self.refresh_hosts(index, None);
    }

    /// The crash is over: the replica starts, and is ready when its start-up time has passed.
    pub(super) fn restart(&mut self, node: u32) {
        let entry = &self.nodes[node as usize];
        if entry.is_up || entry.pod.phase == Phase::Absent {
            return;
        }
        let start_up = self.plan.workloads[self.plan.nodes[node as usize].workload as usize].start_up;
        self.queue.push(self.now.saturating_add(start_up), Event::Ready { node, epoch: entry.epoch });
    }

    /// Its proxies get the configuration of that time, once the control plane is there to give it.
    pub(super) fn on_ready(&mut self, node: u32, epoch: u32) -> bool {
        let entry = &mut self.nodes[node as usize];
        if entry.epoch != epoch || entry.is_up {
            return false;
        }
        let there_from = self.plan.control_plane.there_from(self.now);
        if there_from > self.now {
            self.queue.push(there_from, Event::Ready { node, epoch });
            return true;
        }
        entry.is_up = true;
        entry.started = Some(self.now);
        entry.cached = 0;
        if let Some(lifetime) = self.plan.control_plane.certificates {
            entry.certified_at = self.now.saturating_add(lifetime);
        }
        for instance in [entry.outbound, entry.inbound, entry.gateway].into_iter().flatten() {
            self.catch_up(instance);
        }
        self.next_pause(node, self.now, 0);
        self.pod_up(node);
        let workload = self.plan.nodes[node as usize].workload;
        if let Some((queue, _)) = self.plan.workloads[workload as usize].consumes {
            self.todo.push_back(Todo::Consume { queue });
        }
        true
    }
}
