//! Linkerd's queue before the balancer (linkerd2-proxy: `NewQueue`, `stack::failfast`, `stack::loadshed`).
//!
//! A request waits while no host is ready. When none has been ready for long, all that wait fail, and every further one
//! fails at once until a host is ready again. A request that finds the queue full is shed.

use std::collections::VecDeque;

use crate::{
    ClusterId, Cx, Effect, HostId, Note, ResponseFlag, StreamId, TimerId, machine::Machine, reply::Reply,
    retry::Decision, router::Verdict, stats::ClusterCounter, stream::Alarm,
};

/// The requests that wait for a host of one cluster.
#[derive(Clone, Debug, Default)]
pub(crate) struct Queue {
    streams: VecDeque<StreamId>,
    /// When they stop waiting; set while any wait.
    pub(crate) failfast: Alarm,
    /// No host has been ready for long.
    is_failing: bool,
}

impl Queue {
    /// The cluster has another id.
    pub(crate) fn move_to(&self, cx: &mut Cx<'_>, cluster: ClusterId) {
        if let Some(at) = self.failfast.time() {
            cx.effects.push(Effect::SetTimer { timer: TimerId::Failfast(cluster), at });
        }
    }
}

impl Machine<'_, '_> {
    /// The host for a request's next attempt, unless others wait for one already.
    pub(crate) fn ready_host(&mut self, id: StreamId, cluster: ClusterId) -> Option<HostId> {
        if !self.cluster(cluster).queue.streams.is_empty() {
            return None;
        }
        let host = self.pick_host(id, cluster)?;
        self.cluster(cluster).queue.is_failing = false;
        Some(host)
    }

    /// There is no host for the request: it waits for one, or fails.
    pub(crate) fn wait_for_host(&mut self, id: StreamId, cluster: ClusterId) {
        let at = self.cx.now;
        let state = self.cluster(cluster);
        let Some(options) = state.table.queue else { return self.reply_no_host(id, cluster) };
        let queue = &mut state.queue;
        if queue.is_failing {
            return self.fail_fast(id, cluster);
        }
        if queue.streams.len() >= options.capacity as usize {
            return self.shed(id, cluster);
        }
        queue.streams.push_back(id);
        let at = at + options.failfast;
        let is_first = !queue.failfast.is_set();
        if is_first {
            queue.failfast = Alarm::at(at);
            self.set_timer(TimerId::Failfast(cluster), at);
        }
        self.stream(id).router.is_queued = true;
        self.core.queued += 1;
    }

    /// Hosts may have become ready: requests go to them in their order.
    pub(crate) fn serve_queues(&mut self) {
        if self.core.queued == 0 {
            return;
        }
        for index in 0..self.core.clusters.len() {
            let cluster = ClusterId::new(u32::try_from(index).unwrap_or(u32::MAX));
            while let Some(id) = self.core.clusters[index].queue.streams.front().copied() {
                let Some(host) = self.pick_host(id, cluster) else { break };
                self.leave_queue(id);
                self.start_attempt(id, cluster, host);
            }
        }
    }

    /// The request does not wait any more, if it did.
    pub(crate) fn leave_queue(&mut self, id: StreamId) {
        let stream = self.stream(id);
        let Some(cluster) = stream.cluster.filter(|_| std::mem::take(&mut stream.router.is_queued)) else { return };
        self.core.queued -= 1;
        let queue = &mut self.cluster(cluster).queue;
        queue.streams.retain(|other| *other != id);
        let was_armed = queue.streams.is_empty() && queue.failfast.clear();
        self.disarm(was_armed, TimerId::Failfast(cluster));
    }

    /// No host was ready for too long.
    pub(crate) fn failfast_begins(&mut self, cluster: ClusterId) {
        let now = self.cx.now;
        let Some(state) = self.core.clusters.get_mut(cluster.index()) else { return };
        if !state.queue.failfast.ring(now) {
            return;
        }
        state.queue.is_failing = true;
        while let Some(id) = self.cluster(cluster).queue.streams.front().copied() {
            self.leave_queue(id);
            self.fail_fast(id, cluster);
        }
    }

    /// This may be tried again, whatever the policy's conditions are.
    fn fail_fast(&mut self, id: StreamId, cluster: ClusterId) {
        match self.should_retry(id, Decision::WithBackOff, None) {
            Verdict::Retry => return,
            Verdict::LimitExceeded => self.stream(id).flag(ResponseFlag::UpstreamRetryLimitExceeded),
            Verdict::Overflow => self.stream(id).flag(ResponseFlag::UpstreamOverflow),
            Verdict::No => {}
        }
        self.count(cluster, ClusterCounter::UpstreamCxNoneHealthy);
        self.core.stats.cluster_mut(cluster).charge(503);
        let reply = Reply::new(503, "failfast").flag(ResponseFlag::NoHealthyUpstream);
        self.local_reply(id, reply.by_router());
    }

    /// This is never tried again.
    fn shed(&mut self, id: StreamId, cluster: ClusterId) {
        self.count(cluster, ClusterCounter::UpstreamRqPendingOverflow);
        self.core.stats.cluster_mut(cluster).charge(503);
        self.emit(Effect::Note(Note::Overflow(cluster)));
        let reply = Reply::new(503, "load_shed").flag(ResponseFlag::UpstreamOverflow);
        self.local_reply(id, reply.by_router());
    }
}
