//! A handler's own time: drawn, stretched by faults and slow starts, spared by a cache, stopped by pauses.

use meshproof_model::Discipline;

use super::{Engine, Event, NEVER, Visit};
use crate::{
    dist::reduce,
    entropy::Purpose,
    plan::{Cache, FaultEffect, Workload},
    slab::Ref,
};

/// The answer of a handler whose caller no longer waits.
pub(super) const TOO_LATE: u16 = 504;

impl Engine<'_> {
    /// A request takes a place.
    pub(super) fn begin(&mut self, at: Ref<Visit>) {
        let Some(visit) = self.visits.get(at) else { return };
        let node = visit.node as usize;
        self.settle_busy(node);
        self.nodes[node].busy += 1;
        let workload = &self.plan.workloads[self.plan.nodes[node].workload as usize];
        let (is_hit, time) = self.own_time(at, workload);
        let Some(visit) = self.visits.get_mut(at) else { return };
        visit.is_working = true;
        visit.is_hit = is_hit;
        if workload.discipline == Discipline::Shared {
            return self.share(at, time);
        }
        let mut due = self.now.saturating_add(time);
        if workload.obeys_deadlines {
            due = due.min(visit.deadline.max(self.now));
        }
        visit.due = due;
        self.queue.push(due, Event::Done { visit: at });
    }

    /// The own time of a request, and whether it is answered from memory.
    fn own_time(&mut self, at: Ref<Visit>, workload: &Workload) -> (bool, u64) {
        let Some(visit) = self.visits.get(at) else { return (false, 0) };
        let (node, key, script) = (visit.node as usize, visit.key, visit.script);
        if let Some(forced) = script.and_then(|script| self.plan.script[script as usize].takes) {
            return (false, forced);
        }
        let is_hit = workload.cache.as_ref().is_some_and(|cache| self.hits(cache, node, key));
        let sampler = match &workload.cache {
            Some(cache) if is_hit => &cache.time,
            _ => &workload.service_time,
        };
        let time = sampler.constant().unwrap_or_else(|| sampler.sample(self.keys.draw(Purpose::Service, key, 0)));
        let entry = &self.nodes[node];
        let time = if entry.slow == 1_000_000 { time } else { scaled(time, entry.slow) };
        let time = match (workload.warm_up, entry.started) {
            (Some((factor, during)), Some(started)) if self.now - started < during => {
                let left = i128::from(during - (self.now - started));
                let extra = (i128::from(factor) - 1_000_000) * left / i128::from(during.max(1));
                scaled(time, u64::try_from(1_000_000 + extra).unwrap_or(0))
            }
            _ => time,
        };
        (is_hit, time)
    }

    /// Whether a request is answered from memory; one that is not fills the cache.
    fn hits(&mut self, cache: &Cache, node: usize, key: u64) -> bool {
        let draw = reduce(self.keys.draw(Purpose::Cache, key, 0), 1_000_000);
        let entry = &mut self.nodes[node];
        let warm = (entry.cached * 1_000_000).checked_div(cache.warm_after).unwrap_or(1_000_000);
        entry.cached = (entry.cached + 1).min(cache.warm_after);
        draw * 1_000_000 < u64::from(cache.hits.ppm()) * warm
    }

    /// A handler's own time is over.
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

    /// A handler's own time is over, or its caller's: it fails, or makes its calls.
    pub(super) fn own_time_over(&mut self, at: Ref<Visit>) {
        let Some(visit) = self.visits.get(at) else { return };
        match visit.script.map_or_else(|| self.drawn_error(visit), |_| None) {
            Some(status) => self.finish_visit(at, status),
            None => self.next_stage(at),
        }
    }

    /// A pause begins, as for garbage collection; the next one follows.
    pub(super) fn on_pause(&mut self, node: u32, epoch: u32, number: u32) -> bool {
        let entry = &self.nodes[node as usize];
        if !entry.is_up || entry.epoch != epoch {
            return false;
        }
        let Some(pauses) = &self.plan.workloads[self.plan.nodes[node as usize].workload as usize].pauses else {
            return false;
        };
        let subject = self.replica(node);
        let length = pauses.length.sample(self.keys.draw(Purpose::PauseLength, subject, number.into()));
        let lives = u64::from(entry.busy) + u64::from(entry.waiting);
        let until = self.now.saturating_add(length).saturating_add(pauses.per_request.saturating_mul(lives));
        self.freeze(node);
        self.queue.push(until, Event::Thaw { node });
        self.next_pause(node, until, number + 1);
        true
    }

    /// Plans the next pause of a replica, if its handler makes any.
    pub(super) fn next_pause(&mut self, node: u32, from: u64, number: u32) {
        let Some(pauses) = &self.plan.workloads[self.plan.nodes[node as usize].workload as usize].pauses else {
            return;
        };
        let draw = self.keys.draw(Purpose::PauseEvery, self.replica(node), number.into());
        let at = from.saturating_add(pauses.every.sample(draw).max(1));
        let epoch = self.nodes[node as usize].epoch;
        self.queue.push(at, Event::Pause { node, epoch, number });
    }

    /// A replica by its workload and its number there, for draws.
    pub(super) fn replica(&self, node: u32) -> u64 {
        let workload = self.plan.nodes[node as usize].workload;
        u64::from(workload) << 32 | u64::from(node - self.plan.workloads[workload as usize].first_node)
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
}

/// A length of time, times so many millionths.
fn scaled(nanos: u64, millionths: u64) -> u64 {
    u64::try_from(u128::from(nanos) * u128::from(millionths) / 1_000_000).unwrap_or(u64::MAX)
}
