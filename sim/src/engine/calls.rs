//! What a handler calls: stages one after the other, calls of one stage in parallel, repeats in a row.

use super::{Down, Engine, NONE, Todo, Visit, proxies::Asked};
use crate::{
    dist::reduce,
    entropy::{Purpose, mix},
    plan::Caller,
    slab::Ref,
};

/// The answer of a handler whose needed call has failed.
const CALL_FAILED: u16 = 500;

impl Engine<'_> {
    /// Makes the calls of the next stage that has any, or ends.
    pub(super) fn next_stage(&mut self, at: Ref<Visit>) {
        let plan = self.plan;
        loop {
            let Some(visit) = self.visits.get_mut(at) else { return };
            let workload = &plan.workloads[plan.nodes[visit.node as usize].workload as usize];
            let has_failed = visit.has_failed && visit.script.is_none();
            if workload.obeys_deadlines && self.now >= visit.deadline {
                return self.finish_visit(at, super::work::TOO_LATE);
            }
            let stage = workload.stages.get(visit.stage as usize).filter(|_| !has_failed && !visit.is_hit);
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
            body: entry.body,
            key: mix(visit.key, u64::from(call - first) << 32 | u64::from(repeat)),
            identity: NONE,
            down: Down::Call { visit: at, call, repeat },
            root,
            service: edge.to,
            edge: entry.edge,
            number: 1,
            caller: Caller::Workload(workload.base),
            deadline: visit.deadline,
        };
        if self.is_unresolved(edge.to) {
            return self.todo.push_back(Todo::CallDone { visit: at, call, repeat, is_ok: false });
        }
        let Some(outbound) = self.nodes[node as usize].outbound else { return };
        let listener = entry.listener;
        let stream = self.request(outbound, listener, &asked);
        // An answer that came at once has left no stream behind.
        if let Some(side) = self.side(outbound, stream) {
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
}
