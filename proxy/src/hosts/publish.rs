//! When the balancer learns of changed health (Envoy: `update_merge_window`).

use super::{Health, Hosts, timers::Alarm};
use crate::{Cx, Time};

impl Hosts {
    /// A host's health changed: the balancer learns it now or at the end of the merge window.
    ///
    /// The window of waiting changes begins with the first of them, not with the last publication.
    pub(super) fn health_changed(&mut self, cx: &mut Cx<'_>) {
        let window = self.options.update_merge_window;
        if window.is_zero() || self.published.is_none_or(|last| cx.now.since(last) > window) {
            self.disarm(cx, Alarm::Publish);
            self.published = Some(cx.now);
            self.publish(cx.now);
        } else if !self.is_alarm_set(Alarm::Publish) {
            self.arm(cx, Alarm::Publish, cx.now + window);
        }
    }

    /// What waited for the end of the merge window is published.
    pub(super) fn end_merge_window(&mut self, cx: &mut Cx<'_>) {
        self.published = Some(cx.now);
        self.publish(cx.now);
    }

    /// Shows the balancer the hosts as they are.
    pub(super) fn publish(&mut self, now: Time) {
        if self.options.slow_start.is_some() {
            for host in &self.members {
                let state = &mut self.states[host.index()];
                if state.healthy_since.is_none() && state.flags.health() == Health::Healthy {
                    state.healthy_since = Some(now);
                }
            }
        }
        let world = super::world(&self.options, &self.states, &self.configs, &self.ewma, now);
        if let Some(subsets) = &mut self.subsets {
            subsets.publish(&world, &self.members, &mut self.stats);
        } else {
            let priorities = world.priorities(&self.members);
            self.balancer.publish(&world, &self.members, priorities, &mut self.stats);
        }
    }
}
