//! The list of endpoints, and what each proxy has heard of it: pods that are ready, told by the control plane after its
//! lag. A proxy that has not heard yet sends requests to pods that are gone, and none to new ones.

use std::sync::Arc;

use meshproof_proxy::{ClusterId, config};

use super::{Engine, Event, NONE};
use crate::{entropy::Purpose, plan::Host};

impl Engine<'_> {
    /// A pod has become ready, or is no longer. Everybody who may send requests to it is told.
    pub(super) fn change_endpoint(&mut self, node: u32) {
        let plan = self.plan;
        let entry = self.pods.endpoints;
        self.nodes[node as usize].pod.toggles.push(entry);
        self.pods.endpoints += 1;
        let sent_at = plan.control_plane.there_from(self.now);
        let upto = self.pods.endpoints;
        let lag = |salt: u64| plan.control_plane.push.sample(self.keys.draw(Purpose::Endpoints, salt, entry.into()));
        for (number, instance) in (0_u32..).zip(&self.instances) {
            let mut hosts = instance.spec.clusters.iter().flat_map(|cluster| &cluster.hosts);
            if hosts.any(|host| host.target.node() == Some(node)) {
                let at = sent_at.saturating_add(lag(instance.salt));
                self.queue.push(at, Event::Endpoints { instance: number, upto });
            }
        }
        let outside = self.now.saturating_add(lag(u64::MAX));
        self.queue.push(outside, Event::Endpoints { instance: NONE, upto });
    }

    /// A proxy, or who is outside the mesh, hears of the list as it was.
    pub(super) fn on_endpoints(&mut self, instance: u32, upto: u32) -> bool {
        if instance == NONE {
            self.pods.seen_outside = self.pods.seen_outside.max(upto);
            return true;
        }
        let there_from = self.plan.control_plane.there_from(self.now);
        if there_from > self.now {
            self.queue.push(there_from, Event::Endpoints { instance, upto });
            return true;
        }
        let entry = &mut self.instances[instance as usize];
        if entry.seen >= upto || !self.nodes[entry.node as usize].is_up {
            return false;
        }
        let before = std::mem::replace(&mut entry.seen, upto);
        self.refresh_hosts(instance, Some(before));
        true
    }

    /// Gives a proxy the endpoints that it has heard of, where they differ from those of `before`; `None`: those of its
    /// configuration, which are all that there may ever be.
    pub(super) fn refresh_hosts(&mut self, instance: u32, before: Option<u32>) {
        if self.plan.pods.is_none() {
            return;
        }
        let entry = &self.instances[instance as usize];
        let (spec, seen) = (Arc::clone(&entry.spec), entry.seen);
        let Some(known) = &spec.config else { return };
        for (number, (cluster, ends)) in (0_u32..).zip(known.clusters.iter().zip(&spec.clusters)) {
            let was = |end: &Host| before.is_none_or(|before| self.is_endpoint(end, before));
            if ends.hosts.iter().all(|end| was(end) == self.is_endpoint(end, seen)) {
                continue;
            }
            let both = cluster.hosts.iter().zip(&ends.hosts);
            let hosts: Vec<config::Host> =
                both.filter(|(_, end)| self.is_endpoint(end, seen)).map(|(host, _)| host.clone()).collect();
            self.with_proxy(instance, |proxy, cx| proxy.set_hosts(cx, ClusterId::new(number), &hosts));
        }
    }

    /// Whether somebody who has heard of so many entries of the list sends requests there.
    pub(super) fn is_endpoint(&self, end: &Host, upto: u32) -> bool {
        let Some(node) = end.target.node() else { return true };
        if self.group_of(node).is_none() {
            return true;
        }
        let plan = &self.plan.nodes[node as usize];
        let workload = &self.plan.workloads[plan.workload as usize];
        let was_there = node - workload.first_node < workload.at_start;
        let toggles = self.nodes[node as usize].pod.toggles.partition_point(|entry| *entry < upto);
        was_there ^ (toggles % 2 == 1)
    }

    /// Whether a client outside the mesh would be sent there: it knows who is up, or the list of endpoints.
    pub(super) fn is_door(&self, door: &Host) -> bool {
        let Some(node) = door.target.node() else { return false };
        match self.group_of(node) {
            Some(_) => self.is_endpoint(door, self.pods.seen_outside),
            None => self.nodes[node as usize].is_up,
        }
    }
}
