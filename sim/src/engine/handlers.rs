//! Handlers: places for work, a queue, own time, then calls in stages.

use meshproof_model::Discipline;
use meshproof_proxy::Peer;

use super::{Down, Engine, Event, Leg, NEVER, Server, Todo, Visit, proxies::Asked};
use crate::{
    dist::reduce,
    entropy::{Purpose, mix},
    measure::JOBS,
    plan::{Caller, FaultEffect},
    slab::Ref,
};

/// The answer of a handler whose needed call has failed.
const CALL_FAILED: u16 = 500;
/// The answer of a handler whose queue is full.
const QUEUE_FULL: u16 = 503;
/// A queue is tidied when it has so many more entries than requests that wait.
const STALE_MAX: usize = 64;

impl Engine<'_> {
    /// A request reaches a handler.
    pub(super) fn visit(&mut self, at: Ref<Leg>, node: u32) {
        let number = self.plan.nodes[node as usize].workload;
        let workload = &self.plan.workloads[number as usize];
        let Some(leg) = self.legs.get(at) else { return };
        let (key, root, caller, service) = (leg.key, leg.root, leg.caller, leg.service);
        let script = workload.script.iter().copied().find(|script| {
            let script = &self.plan.script[*script as usize];
            script.from.is_none_or(|from| self.plan.is_caller(caller, from)) && leg.number <= script.fail_attempts
        });
        let entry = &self.nodes[node as usize];
        let is_shared = workload.discipline == Discipline::Shared;
        let has_place = entry.busy < workload.concurrency;
        let is_free = is_shared || (has_place && entry.freezes == 0);
        let beyond = if is_shared { entry.busy.saturating_sub(workload.concurrency) } else { entry.waiting };
        let is_full = !(has_place && is_free) && beyond >= workload.queue_limit;
        self.observe_request(root, service);
        if is_full {
            return self.answered(at, QUEUE_FULL, false);
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
        });
        self.retain(root);
        if let Some(leg) = self.legs.get_mut(at) {
            leg.server = Server::Visit(visit);
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
            self.answered(leg, QUEUE_FULL, false);
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

    fn begin(&mut self, at: Ref<Visit>) {
        let Some(visit) = self.visits.get_mut(at) else { return };
        visit.is_working = true;
        let (node, key, script) = (visit.node as usize, visit.key, visit.script);
        self.settle_busy(node);
        let entry = &mut self.nodes[node];
        entry.busy += 1;
        let workload = &self.plan.workloads[self.plan.nodes[node].workload as usize];
        let forced = script.and_then(|script| self.plan.script[script as usize].takes);
        let time = forced.unwrap_or_else(|| match workload.service_time.constant() {
            Some(time) => time,
            None => workload.service_time.sample(self.keys.draw(Purpose::Service, key, 0)),
        });
        let time = if entry.slow == 1_000_000 { time } else { scaled(time, entry.slow) };
        if workload.discipline == Discipline::Shared {
            return self.share(at, time);
        }
        let due = self.now.saturating_add(time);
        if let Some(visit) = self.visits.get_mut(at) {
            visit.due = due;
        }
        self.queue.push(due, Event::Done { visit: at });
    }

    /// A handler's own time is over: it fails, or makes its calls.
    pub(super) fn on_done(&mut self, at: Ref<Visit>) -> bool {
        let now = self.now;
        // A freeze has put off what was due.
        let Some(visit) = self.visits.get_mut(at).filter(|visit| visit.due == now) else { return false };
        if self.nodes[visit.node as usize].freezes > 0 {
            return false;
        }
        visit.due = NEVER;
        self.own_time_over(at);
        true
    }

    /// A handler's own time is over: it fails, or makes its calls.
    pub(super) fn own_time_over(&mut self, at: Ref<Visit>) {
        let Some(visit) = self.visits.get(at) else { return };
        match visit.script.map_or_else(|| self.drawn_error(visit), |_| None) {
            Some(status) => self.finish_visit(at, status),
            None => self.next_stage(at),
        }
    }

    /// The error that a fault or the handler's own error rate draws.
    fn drawn_error(&self, visit: &Visit) -> Option<u16> {
        let node = &self.nodes[visit.node as usize];
        for fault in &node.faults {
            if let FaultEffect::Errors { status, share } = self.plan.faults[*fault as usize].effect {
                let draw = self.keys.draw(Purpose::FaultError, visit.key, u64::from(*fault));
                if reduce(draw, 1_000_000) < u64::from(share.ppm()) {
                    return Some(status);
                }
            }
        }
        let errors = &self.plan.workloads[self.plan.nodes[visit.node as usize].workload as usize].errors;
        if errors.is_empty() {
            return None;
        }
        let mut draw = reduce(self.keys.draw(Purpose::HandlerError, visit.key, 0), 1_000_000);
        for (status, share) in errors {
            if draw < u64::from(share.ppm()) {
                return Some(*status);
            }
            draw -= u64::from(share.ppm());
        }
        None
    }

    /// Makes the calls of the next stage that has any, or ends.
    fn next_stage(&mut self, at: Ref<Visit>) {
        let plan = self.plan;
        loop {
            let Some(visit) = self.visits.get_mut(at) else { return };
            let workload = &plan.workloads[plan.nodes[visit.node as usize].workload as usize];
            let has_failed = visit.has_failed && visit.script.is_none();
            let stage = workload.stages.get(visit.stage as usize).filter(|_| !has_failed);
            let Some(calls) = stage else {
                let status = match visit.script {
                    Some(script) => plan.script[script as usize].status,
                    None if visit.has_failed => CALL_FAILED,
                    None => 200,
                };
                return self.finish_visit(at, status);
            };
            visit.stage += 1;
            let key = visit.key;
            let mut made = 0;
            for call in calls.clone() {
                if self.makes_call(key, call) {
                    made += 1;
                }
            }
            if made == 0 {
                continue;
            }
            if let Some(visit) = self.visits.get_mut(at) {
                visit.pending = made;
            }
            for call in calls.clone() {
                if self.makes_call(key, call) {
                    self.call(at, call, 0);
                }
            }
            return;
        }
    }

    fn makes_call(&self, key: u64, call: u32) -> bool {
        let entry = &self.plan.calls[call as usize];
        let ppm = entry.share.ppm();
        entry.times > 0
            && (ppm >= 1_000_000
                || reduce(self.keys.draw(Purpose::CallShare, key, u64::from(call)), 1_000_000) < u64::from(ppm))
    }

    /// Makes one call through the outbound proxy. Its key depends on what the call is, not on when it is made.
    fn call(&mut self, at: Ref<Visit>, call: u32, repeat: u32) {
        let Some(visit) = self.visits.get(at) else { return };
        let entry = &self.plan.calls[call as usize];
        let edge = &self.plan.edges[entry.edge as usize];
        let (node, root, sibling) = (visit.node, visit.root, visit.calls);
        let workload = &self.plan.workloads[self.plan.nodes[node as usize].workload as usize];
        let first = workload.stages.first().map_or(0, |stage| stage.start);
        let asked = Asked {
            head: entry.head,
            body: 0,
            key: mix(visit.key, u64::from(call - first) << 32 | u64::from(repeat)),
            peer: Peer::default(),
            down: Down::Call { visit: at, call, repeat },
            root,
            service: edge.to,
            edge: entry.edge,
            number: 1,
            caller: Caller::Workload(self.plan.nodes[node as usize].workload),
        };
        let Some(outbound) = self.nodes[node as usize].outbound else { return };
        let listener = entry.listener;
        let stream = self.request(outbound, listener, &asked);
        // An answer that came at once has left no stream behind.
        if let Some(side) = self.instances[outbound as usize].side(stream) {
            side.sibling = sibling;
            if let Some(visit) = self.visits.get_mut(at) {
                visit.calls = Some(stream);
            }
        }
    }

    /// A call is over: the next of its repeats, or the next stage.
    pub(super) fn call_done(&mut self, at: Ref<Visit>, call: u32, repeat: u32, is_ok: bool) {
        let Some(visit) = self.visits.get_mut(at) else { return };
        if let Some(node) = self.nodes.get_mut(visit.node as usize).filter(|node| node.freezes > 0) {
            return node.held.push(Todo::CallDone { visit: at, call, repeat, is_ok });
        }
        let entry = &self.plan.calls[call as usize];
        let needed_failed = !is_ok && !entry.optional;
        visit.has_failed |= needed_failed;
        if repeat + 1 < entry.times && (!needed_failed || visit.script.is_some()) {
            return self.call(at, call, repeat + 1);
        }
        visit.pending -= 1;
        if visit.pending == 0 {
            self.next_stage(at);
        }
    }

    fn finish_visit(&mut self, at: Ref<Visit>, status: u16) {
        let Some(visit) = self.drop_visit(at) else { return };
        self.free_place(visit.node);
        if let Some(leg) = visit.leg {
            self.answered(leg, status, false);
        }
    }

    /// A place has become free: the next request of the queue takes it.
    fn free_place(&mut self, node: u32) {
        self.settle_busy(node as usize);
        self.nodes[node as usize].busy -= 1;
        self.fill_places(node);
    }

    /// Requests of the queue take the places that are free.
    pub(super) fn fill_places(&mut self, node: u32) {
        let number = self.plan.nodes[node as usize].workload;
        let workload = &self.plan.workloads[number as usize];
        loop {
            let entry = &mut self.nodes[node as usize];
            if entry.freezes > 0 || entry.busy >= workload.concurrency {
                return;
            }
            let is_lifo = workload.discipline == Discipline::Lifo;
            let Some(next) = (if is_lifo { entry.queue.pop_back() } else { entry.queue.pop_front() }) else { return };
            if let Some(visit) = self.visits.get(next) {
                let arrived = visit.arrived;
                self.settle_busy(node as usize);
                self.nodes[node as usize].waiting -= 1;
                self.measure.waited(number, arrived, self.now);
                self.begin(next);
            }
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
            next = self.instances[outbound as usize].side(stream).and_then(|side| side.sibling);
            self.with_proxy(outbound, |proxy, cx| proxy.on_downstream_reset(cx, stream));
        }
    }

    /// Brings a node's busy time up to now, what lies in the warm-up or after the horizon left out.
    pub(super) fn settle_busy(&mut self, node: usize) {
        let places = self.plan.workloads[self.plan.nodes[node].workload as usize].concurrency;
        let entry = &mut self.nodes[node];
        let until = self.now.min(self.plan.horizon);
        let from = entry.busy_since.max(self.plan.warm_up);
        let length = until.saturating_sub(from);
        entry.busy_nanos += u128::from(length) * u128::from(entry.busy.min(places));
        let jobs = (entry.busy + entry.waiting) as usize;
        entry.jobs_nanos[jobs.min(JOBS - 1)] += length;
        entry.busy_since = self.now;
    }
}

/// A length of time, times so many millionths.
fn scaled(nanos: u64, millionths: u64) -> u64 {
    u64::try_from(u128::from(nanos) * u128::from(millionths) / 1_000_000).unwrap_or(u64::MAX)
}
