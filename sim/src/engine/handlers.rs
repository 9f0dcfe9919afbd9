//! Handlers: places for work, and the queue in front of them.

use meshproof_model::Discipline;

use super::{Engine, Event, Leg, NEVER, Server, Todo, Visit, pods::Phase};
use crate::{
    entropy::{Purpose, mix},
    measure::JOBS,
    plan::Target,
    slab::Ref,
};

/// The answer of a handler whose queue is full, or whose queue took too long.
const QUEUE_FULL: u16 = 503;
/// A queue is tidied when it has so many more entries than requests that wait.
const STALE_MAX: usize = 64;

impl Engine<'_> {
    /// A request reaches a handler.
    pub(super) fn visit(&mut self, at: Ref<Leg>, node: u32) {
        let number = self.plan.nodes[node as usize].workload;
        let workload = &self.plan.workloads[number as usize];
        let Some(leg) = self.legs.get(at) else { return };
        // One that passed through its proxy has the key that the proxy would have given it.
        let has_passed = matches!(leg.target, Target::Proxy { .. });
        let key = if has_passed { mix(leg.key, 1) } else { leg.key };
        let (root, caller, service) = (leg.root, leg.caller, leg.service);
        let script = workload.script.iter().copied().find(|script| {
            let script = &self.plan.script[*script as usize];
            script.from.is_none_or(|from| self.plan.is_caller(caller, from)) && leg.number <= script.fail_attempts
        });
        let deadline = leg.deadline;
        let entry = &self.nodes[node as usize];
        let is_shared = workload.discipline == Discipline::Shared;
        let has_place = entry.busy < entry.places;
        let is_free = is_shared || (has_place && entry.freezes == 0);
        let beyond = if is_shared { entry.busy.saturating_sub(entry.places) } else { entry.waiting };
        let is_full = !(has_place && is_free) && beyond >= workload.queue_limit;
        self.observe_request(root, service);
        self.observe_served(caller, number);
        if is_full {
            return self.answered(at, QUEUE_FULL, false, 0);
        }
        let visit = self.visits.insert(Visit {
            node,
            leg: Some(at),
            root,
            caller,
            key,
            is_working: false,
            arrived: self.now,
            due: NEVER,
            share: None,
            stage: 0,
            pending: 0,
            has_failed: false,
            script,
            calls: None,
            deadline,
            is_hit: false,
            batch: None,
        });
        self.retain(root);
        if let Some(leg) = self.legs.get_mut(at) {
            leg.server = Server::Visit(visit);
        }
        if self.plan.pods.is_some() {
            self.nodes[node as usize].pod.meter[2] += 1;
        }
        self.measure.work(self.now, number, !is_free);
        if is_free {
            return self.begin(visit);
        }
        self.settle_busy(node as usize);
        let entry = &mut self.nodes[node as usize];
        entry.queue.push_back(visit);
        entry.waiting += 1;
        if self.now >= self.plan.warm_up {
            entry.queue_max = entry.queue_max.max(entry.waiting);
        }
        if let Some(patience) = &workload.queue_patience {
            let wait = patience.sample(self.keys.draw(Purpose::QueuePatience, key, 0));
            self.queue.push(self.now.saturating_add(wait), Event::GiveUp { visit });
        }
    }

    /// A request has waited long enough and leaves the queue.
    pub(super) fn on_give_up(&mut self, at: Ref<Visit>) -> bool {
        let Some(visit) = self.visits.get(at).filter(|visit| !visit.is_working) else { return false };
        let (leg, node) = (visit.leg, visit.node);
        self.drop_visit(at);
        self.leave_queue(node);
        if let Some(leg) = leg {
            self.answered(leg, QUEUE_FULL, false, 0);
        }
        true
    }

    /// One that waited is gone; its entry in the queue goes when there are too many such.
    fn leave_queue(&mut self, node: u32) {
        self.settle_busy(node as usize);
        let entry = &mut self.nodes[node as usize];
        entry.waiting -= 1;
        if entry.queue.len() > entry.waiting as usize + STALE_MAX {
            let visits = &self.visits;
            entry.queue.retain(|waiting| visits.contains(*waiting));
        }
    }

    pub(super) fn finish_visit(&mut self, at: Ref<Visit>, status: u16) {
        let Some(visit) = self.drop_visit(at) else { return };
        let workload = &self.plan.workloads[self.plan.nodes[visit.node as usize].workload as usize];
        let status = if workload.publishes.is_empty() { status } else { self.publish(&visit, workload, status) };
        if let Some(batch) = visit.batch {
            self.batch_done(batch, super::is_ok(status));
        }
        self.free_place(visit.node);
        if let Some(leg) = visit.leg {
            self.answered(leg, status, false, workload.response);
        }
    }

    /// A place has become free: the next request of the queue takes it.
    fn free_place(&mut self, node: u32) {
        self.settle_busy(node as usize);
        self.nodes[node as usize].busy -= 1;
        self.fill_places(node);
        if self.plan.pods.is_some() {
            self.end_if_idle(node);
        }
    }

    /// Requests of the queue take the places that are free, then messages do.
    pub(super) fn fill_places(&mut self, node: u32) {
        let number = self.plan.nodes[node as usize].workload;
        let workload = &self.plan.workloads[number as usize];
        loop {
            let entry = &mut self.nodes[node as usize];
            if entry.freezes > 0 || entry.busy >= entry.places {
                return;
            }
            let is_lifo = workload.discipline == Discipline::Lifo;
            let Some(next) = (if is_lifo { entry.queue.pop_back() } else { entry.queue.pop_front() }) else { break };
            if let Some(visit) = self.visits.get(next) {
                let arrived = visit.arrived;
                self.settle_busy(node as usize);
                self.nodes[node as usize].waiting -= 1;
                self.measure.waited(number, arrived, self.now);
                self.begin(next);
            }
        }
        if let Some((queue, _)) = workload.consumes {
            self.todo.push_back(Todo::Consume { queue });
        }
    }

    /// Nobody waits for a handler's answer any more.
    pub(super) fn abandon(&mut self, at: Ref<Visit>) {
        let Some(visit) = self.visits.get_mut(at) else { return };
        visit.leg = None;
        let (workload, caller) = (self.plan.nodes[visit.node as usize].workload, visit.caller);
        if let Some(observer) = &mut self.observer {
            observer.caller_left(caller, workload);
        }
        if self.plan.workloads[workload as usize].cancels {
            self.todo.push_back(Todo::Cancel { visit: at });
        }
    }

    /// Removes a request from its handler.
    pub(super) fn drop_visit(&mut self, at: Ref<Visit>) -> Option<Visit> {
        let visit = self.visits.remove(at)?;
        if !visit.is_working {
            self.measure.waited(self.plan.nodes[visit.node as usize].workload, visit.arrived, self.now);
        }
        self.release(visit.root);
        Some(visit)
    }

    /// A handler stops, and its calls with it.
    pub(super) fn cancel(&mut self, at: Ref<Visit>) {
        let Some(visit) = self.drop_visit(at) else { return };
        self.stop_sharing(visit.node, visit.share);
        if visit.is_working {
            self.free_place(visit.node);
        } else {
            self.leave_queue(visit.node);
        }
        let Some(outbound) = self.nodes[visit.node as usize].outbound else { return };
        let mut next = visit.calls;
        while let Some(stream) = next {
            next = self.side(outbound, stream).and_then(|side| side.sibling);
            self.with_proxy(outbound, |proxy, cx| proxy.on_downstream_reset(cx, stream));
        }
    }

    /// Brings a node's busy time up to now, what lies in the warm-up or after the horizon left out.
    pub(super) fn settle_busy(&mut self, node: usize) {
        let places = self.plan.workloads[self.plan.nodes[node].workload as usize].concurrency;
        let entry = &mut self.nodes[node];
        if self.plan.pods.is_some() {
            let length = u128::from(self.now - entry.busy_since);
            entry.pod.meter[0] += length * u128::from(entry.busy.min(places));
            entry.pod.meter[1] += length * u128::from(entry.busy + entry.waiting);
            if entry.pod.phase == Phase::Absent {
                entry.busy_since = self.now;
                return;
            }
        }
        let until = self.now.min(self.plan.horizon);
        let from = entry.busy_since.max(self.plan.warm_up);
        let length = until.saturating_sub(from);
        entry.busy_nanos += u128::from(length) * u128::from(entry.busy.min(places));
        let jobs = (entry.busy + entry.waiting) as usize;
        entry.jobs_nanos[jobs.min(JOBS - 1)] += length;
        entry.busy_since = self.now;
    }
}
