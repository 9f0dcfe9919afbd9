//! Changes of configuration on their way to the proxies.

use std::sync::Arc;

use super::{Engine, Event};
use crate::{entropy::Purpose, plan::Change};

impl Engine<'_> {
    /// The control plane sends a change to every proxy that it concerns; each gets it in its time.
    pub(super) fn on_change(&mut self, change: u32) -> bool {
        let plan = self.plan;
        let sent_at = plan.control_plane.there_from(self.now);
        let Some(specs) = self.change(change).map(|change| &change.specs) else { return false };
        let indices: Vec<u32> = specs.iter().map(|(index, _)| *index).collect();
        for index in indices {
            for number in 0..self.instances.len() as u32 {
                let entry = &self.instances[number as usize];
                if entry.spec_index != index {
                    continue;
                }
                let lag = plan.control_plane.push.sample(self.keys.draw(Purpose::Push, entry.salt, change.into()));
                let at = sent_at.saturating_add(lag);
                if at > self.now {
                    self.queue.push(at, Event::Push { change, instance: number });
                } else {
                    self.on_push(change, number);
                }
            }
        }
        true
    }

    /// A change reaches a proxy. An older one does not replace a newer one.
    pub(super) fn on_push(&mut self, change: u32, instance: u32) -> bool {
        let plan = self.plan;
        let there_from = plan.control_plane.there_from(self.now);
        if there_from > self.now {
            self.queue.push(there_from, Event::Push { change, instance });
            return true;
        }
        let entry = &self.instances[instance as usize];
        if entry.change > change || !self.nodes[entry.node as usize].is_up {
            return false;
        }
        let index = entry.spec_index;
        let Some(spec) = self.change(change).and_then(|change| change.spec(index)).map(Arc::clone) else {
            return false;
        };
        self.wake(instance);
        let entry = &mut self.instances[instance as usize];
        entry.change = change + 1;
        entry.spec = Arc::clone(&spec);
        self.configurations += 1;
        let table = Arc::clone(&spec.table);
        self.with_proxy(instance, |proxy, cx| proxy.install(cx, table));
        self.refresh_hosts(instance, None);
        self.drain_connections(instance);
        true
    }

    /// A proxy that starts takes over whatever has been sent by now.
    pub(super) fn catch_up(&mut self, instance: u32) {
        let times: Vec<u64> = self.plan.changes.iter().chain(&self.issued).map(|change| change.at).collect();
        for (number, at) in (0..).zip(times) {
            if at <= self.now && self.instances[instance as usize].change <= number {
                self.on_push(number, instance);
            }
        }
        let entry = &mut self.instances[instance as usize];
        let before = std::mem::replace(&mut entry.seen, self.pods.endpoints);
        self.refresh_hosts(instance, Some(before));
    }

    /// A change of the plan, or one that a controller has made.
    fn change(&self, number: u32) -> Option<&Change> {
        let planned = &self.plan.changes;
        let number = number as usize;
        planned.get(number).or_else(|| self.issued.get(number - planned.len()))
    }
}
