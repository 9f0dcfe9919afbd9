//! Probes: the kubelet asks each pod from time to time, takes those out that do not answer, and starts their containers
//! anew (`K-2`).
//!
//! A pod answers unless its container is down, stands still for longer than the probe waits, or the request at the head
//! of its queue has waited that long.

use super::{Engine, Event, pods::Phase};
use crate::plan::Probe;

/// Which probe.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Startup,
    Readiness,
    Liveness,
}

/// The pause before a container is started anew for the second time, and the longest, in nanoseconds (Kubernetes:
/// `CrashLoopBackOff`).
const BACK_OFF: u64 = 10_000_000_000;
const BACK_OFF_MAX: u64 = 300_000_000_000;

impl Engine<'_> {
    /// The kubelet begins to ask a container that starts.
    pub(super) fn start_probes(&mut self, node: u32) {
        let has_startup = self.probe(node, Kind::Startup).is_some();
        // Those that were there from the start have started long ago.
        let is_new = self.nodes[node as usize].pod.container_since > 0 || !self.nodes[node as usize].is_up;
        let starts = has_startup && is_new;
        self.nodes[node as usize].pod.has_started = !starts;
        if starts {
            return self.ask_later(node, Kind::Startup, true);
        }
        self.ask_later(node, Kind::Readiness, true);
        self.ask_later(node, Kind::Liveness, true);
    }

    fn probe(&self, node: u32, kind: Kind) -> Option<Probe> {
        let life = &self.plan.workloads[self.plan.nodes[node as usize].workload as usize].life;
        match kind {
            Kind::Startup => life.startup,
            Kind::Readiness => life.readiness,
            Kind::Liveness => life.liveness,
        }
    }

    fn ask_later(&mut self, node: u32, kind: Kind, is_first: bool) {
        let Some(probe) = self.probe(node, kind) else { return };
        let pod = &self.nodes[node as usize].pod;
        let at = if is_first {
            self.now.max(pod.container_since.saturating_add(probe.initial_delay))
        } else {
            self.now.saturating_add(probe.period)
        };
        let (life, since) = (pod.life, pod.restarts);
        self.queue.push(at, Event::Probe { node, life, restarts: since, kind });
    }

    pub(super) fn on_probe(&mut self, node: u32, life: u32, restarts: u32, kind: Kind) -> bool {
        let pod = &self.nodes[node as usize].pod;
        if pod.life != life || pod.restarts != restarts || pod.phase != Phase::There {
            return false;
        }
        let Some(probe) = self.probe(node, kind) else { return false };
        let is_good = self.answers(node, probe.timeout);
        let (count, was_good) = &mut self.nodes[node as usize].pod.results[kind as usize];
        *count = if *was_good == is_good { count.saturating_add(1) } else { 1 };
        *was_good = is_good;
        let is_decided = *count >= if is_good { probe.successes } else { probe.failures };
        match (kind, is_good) {
            _ if !is_decided => {}
            (Kind::Readiness, _) => self.set_ready(node, is_good),
            (Kind::Startup, true) => {
                self.nodes[node as usize].pod.has_started = true;
                self.ask_later(node, Kind::Readiness, true);
                self.ask_later(node, Kind::Liveness, true);
                self.pod_up(node);
                return true;
            }
            (Kind::Startup | Kind::Liveness, false) => {
                self.restart_container(node);
                return true;
            }
            (Kind::Liveness, true) => {}
        }
        self.ask_later(node, kind, false);
        true
    }

    /// Whether a pod answers within so many nanoseconds, as far as that is known now.
    fn answers(&self, node: u32, within: u64) -> bool {
        let entry = &self.nodes[node as usize];
        let is_overdue = |since: u64| since.saturating_add(within) <= self.now;
        let stands_still = entry.freezes > 0 && is_overdue(entry.frozen_since);
        let first = entry.queue.iter().find_map(|visit| self.visits.get(*visit));
        entry.is_up && !stands_still && !first.is_some_and(|visit| is_overdue(visit.arrived))
    }

    /// The kubelet kills a container and starts it anew, after a pause that grows.
    fn restart_container(&mut self, node: u32) {
        self.crash(node);
        self.pod_down(node);
        let entry = &mut self.nodes[node as usize];
        let times = entry.pod.restarts;
        entry.pod.restarts += 1;
        entry.epoch += 1;
        let epoch = entry.epoch;
        let pause = match times {
            0 => 0,
            n => BACK_OFF.saturating_mul(1 << (n - 1).min(8)).min(BACK_OFF_MAX),
        };
        let since = self.now.saturating_add(pause);
        entry.pod.container_since = since;
        let start_up = self.plan.workloads[self.plan.nodes[node as usize].workload as usize].start_up;
        self.queue.push(since.saturating_add(start_up), Event::Ready { node, epoch });
        self.start_probes(node);
    }
}
