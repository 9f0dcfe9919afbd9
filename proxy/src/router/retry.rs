//! The way of every retry: verdict, back-off, next attempt (Envoy: `RetryStateImpl::shouldRetry`, `Filter::doRetry`).

use crate::{
    Draw, Effect, Nanos, Note, StreamId, TimerId,
    machine::Machine,
    retry::{BackOffKind, Decision},
    stats::ClusterCounter,
    stream::Alarm,
};

/// What became of a decision to retry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It was not one.
    No,
    /// A retry is scheduled.
    Retry,
    /// No retries are left.
    LimitExceeded,
    /// The breaker or the budget refused.
    Overflow,
}

impl Machine<'_, '_> {
    /// Settles one decision. The order counts: success, the slot, the limit, the breaker. `asked`: the wait that the
    /// upstream asked for.
    pub(crate) fn should_retry(&mut self, id: StreamId, decision: Decision, asked: Option<Nanos>) -> Verdict {
        let Some((cluster, high)) = self.cluster_and_priority(id) else { return Verdict::No };
        let Some(retry) = &mut self.core.streams[id].router.retry else { return Verdict::No };
        if retry.has_retried && decision == Decision::No {
            self.count(cluster, ClusterCounter::UpstreamRqRetrySuccess);
        }
        self.release_retry_slot(id);
        if decision == Decision::No {
            return Verdict::No;
        }
        let Some(retry) = &mut self.core.streams[id].router.retry else { return Verdict::No };
        if retry.remaining == 0 {
            self.count(cluster, ClusterCounter::UpstreamRqRetryLimitExceeded);
            return Verdict::LimitExceeded;
        }
        retry.remaining -= 1;
        let now = self.cx.now;
        let circuit = &mut self.core.clusters[cluster.index()].circuits[usize::from(high)];
        let load = circuit.requests.active() + circuit.pending.active();
        if !circuit.allowance.can_create(now, circuit.retries, load) {
            self.count(cluster, ClusterCounter::UpstreamRqRetryOverflow);
            self.emit(Effect::Note(Note::RetryOverflow(cluster)));
            return Verdict::Overflow;
        }
        circuit.retries += 1;
        circuit.allowance.on_retry(now);
        retry.holds_slot = true;
        retry.has_retried = true;
        self.schedule_retry(id, decision, asked);
        Verdict::Retry
    }

    fn schedule_retry(&mut self, id: StreamId, decision: Decision, asked: Option<Nanos>) {
        let limits = self.retry_policy(id).map(|policy| policy.back_off).unwrap_or_default();
        let stream = &mut self.core.streams[id];
        let (key, attempt) = (stream.key, stream.router.attempt_count + 1);
        let Some(retry) = &mut stream.router.retry else { return };
        let (kind, wait) = match (decision, asked) {
            (Decision::Immediately, _) => (BackOffKind::Immediate, Nanos::ZERO),
            (_, Some(asked)) => (BackOffKind::RateLimited, asked),
            _ => {
                let draw = self.cx.entropy.draw(crate::DrawKey { request: key, attempt, what: Draw::BackOff });
                (BackOffKind::Exponential, retry.back_off.next(limits, draw))
            }
        };
        retry.kind = kind;
        let at = self.cx.now + wait;
        stream.router.back_off = Alarm::at(at);
        self.set_timer(TimerId::BackOff(id), at);
    }

    /// The back-off is over: the next attempt starts.
    pub(crate) fn back_off_over(&mut self, id: StreamId) {
        let now = self.cx.now;
        let Some(stream) = self.core.streams.get_mut(id) else { return };
        if !stream.router.back_off.ring(now) {
            return;
        }
        stream.router.attempt_count += 1;
        let kind = stream.router.retry.as_ref().map(|retry| retry.kind);
        let Some(cluster) = stream.cluster else { return };
        self.count(cluster, ClusterCounter::UpstreamRqRetry);
        match kind {
            Some(BackOffKind::Exponential) => self.count(cluster, ClusterCounter::UpstreamRqRetryBackoffExponential),
            Some(BackOffKind::RateLimited) => self.count(cluster, ClusterCounter::UpstreamRqRetryBackoffRatelimited),
            _ => {}
        }
        match self.ready_host(id, cluster) {
            Some(host) => self.start_attempt(id, cluster, host),
            None => self.wait_for_host(id, cluster),
        }
    }

    /// Gives the breaker's slot back, if one is held.
    pub(crate) fn release_retry_slot(&mut self, id: StreamId) {
        let Some((cluster, high)) = self.cluster_and_priority(id) else { return };
        let retry = self.core.streams[id].router.retry.as_mut();
        if retry.is_some_and(|retry| std::mem::take(&mut retry.holds_slot)) {
            let circuit = &mut self.core.clusters[cluster.index()].circuits[usize::from(high)];
            circuit.retries = circuit.retries.saturating_sub(1);
        }
    }

    /// There will be no further retry: whatever is scheduled is given up.
    pub(crate) fn drop_retries(&mut self, id: StreamId) {
        self.release_retry_slot(id);
        let router = &mut self.core.streams[id].router;
        router.retry = None;
        if router.back_off.clear() {
            self.emit(Effect::ClearTimer(TimerId::BackOff(id)));
        }
    }
}
