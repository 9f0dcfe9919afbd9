//! What follows when a limit of the router passes (Envoy: `Filter::onResponseTimeout`, `onPerTryTimeoutCommon`).

use super::retry::Verdict;
use crate::{
    AttemptId, ResetReason, ResponseFlag, StreamId, TimerId,
    machine::Machine,
    reply::Reply,
    retry::Decision,
    stats::ClusterCounter,
    stream::{AttemptState, Silence},
};

impl Machine<'_, '_> {
    /// The route's limit on the whole answer. Never retried; during a back-off nothing of the cluster is touched.
    pub(crate) fn route_timeout(&mut self, id: StreamId) {
        let now = self.cx.now;
        let Some(stream) = self.core.streams.get_mut(id) else { return };
        if !stream.router.global.ring(now) {
            return;
        }
        let status = stream.router.timeout_status;
        while let Some(attempt) = self.core.streams[id].router.attempts.last().copied() {
            let cluster = attempt.pool.cluster;
            self.count(cluster, ClusterCounter::UpstreamRqTimeout);
            if attempt.awaiting_headers {
                let is_active = matches!(attempt.state, AttemptState::Active(_));
                if is_active && !attempt.timeout_recorded {
                    self.host_failed(cluster, attempt.host, Some(status));
                }
                self.core.stats.cluster_mut(cluster).charge(status);
            }
            let number = attempt.number;
            self.count_reset(AttemptId { stream: id, number }, ResetReason::LocalReset);
            self.release_attempt(AttemptId { stream: id, number }, false);
        }
        self.reply_timeout(id, "response_timeout");
    }

    /// The limit on one try; it ends the limit on silence, and that is all it does once the answer has begun (measured).
    pub(crate) fn per_try_timeout(&mut self, id: AttemptId) {
        let now = self.cx.now;
        let Some(stream) = self.core.streams.get_mut(id.stream) else { return };
        let response_started = stream.response_started;
        let Some(attempt) = stream.attempt_mut(id.number).filter(|attempt| attempt.per_try.is_due(now)) else { return };
        attempt.per_try.clear();
        let was_idling = attempt.idle.alarm.clear();
        self.disarm(was_idling, TimerId::PerTryIdle(id));
        if !response_started {
            self.try_timeout(id, ClusterCounter::UpstreamRqPerTryTimeout, "upstream_per_try_timeout");
        }
    }

    /// The limit on one try's silence, which holds during the answer too. It ends the limit on the try, which a hedged
    /// try would meet next (Envoy: `UpstreamRequest::onPerTryIdleTimeout`).
    pub(crate) fn per_try_idle_timeout(&mut self, id: AttemptId) {
        let now = self.cx.now;
        let Some(stream) = self.core.streams.get_mut(id.stream) else { return };
        let Some(attempt) = stream.attempt_mut(id.number) else { return };
        match attempt.idle.ring(now) {
            Silence::Late => {}
            Silence::Until(at) => self.set_timer(TimerId::PerTryIdle(id), at),
            Silence::TooLong => {
                let was_limited = attempt.per_try.clear();
                self.disarm(was_limited, TimerId::PerTry(id));
                let counter = ClusterCounter::UpstreamRqPerTryIdleTimeout;
                self.try_timeout(id, counter, "upstream_per_try_idle_timeout");
            }
        }
    }

    fn try_timeout(&mut self, id: AttemptId, counter: ClusterCounter, details: &'static str) {
        let stream = &self.core.streams[id.stream];
        let Some(attempt) = stream.attempt(id.number).copied() else { return };
        let status = stream.router.timeout_status;
        if stream.router.timeouts.hedge_on_per_try {
            return self.hedge(id, status);
        }
        let cluster = attempt.pool.cluster;
        self.count(cluster, counter);
        self.count_reset(id, ResetReason::LocalReset);
        self.host_failed(cluster, attempt.host, Some(status));
        if self.retries_reset(id, ResetReason::LocalReset) {
            return;
        }
        if !self.stream(id.stream).response_started {
            self.core.stats.cluster_mut(cluster).charge(status);
        }
        self.release_attempt(id, false);
        self.reply_timeout(id.stream, details);
    }

    /// Hedging: the slow attempt goes on, and another one starts beside it, whatever the policy's conditions are.
    fn hedge(&mut self, id: AttemptId, status: u16) {
        let stream = &mut self.core.streams[id.stream];
        let has_retries = stream.router.retry.is_some() && !stream.response_started;
        let Some(attempt) = stream.attempt_mut(id.number) else { return };
        let was_recorded = std::mem::replace(&mut attempt.timeout_recorded, true);
        let attempt = *attempt;
        if !was_recorded {
            self.host_failed(attempt.pool.cluster, attempt.host, Some(status));
        }
        if !has_retries || attempt.retried {
            return;
        }
        match self.should_retry(id.stream, Decision::WithBackOff, None) {
            Verdict::Retry => {
                if let Some(attempt) = self.stream(id.stream).attempt_mut(id.number) {
                    attempt.retried = true;
                }
            }
            Verdict::LimitExceeded => self.stream(id.stream).flag(ResponseFlag::UpstreamRetryLimitExceeded),
            Verdict::Overflow => self.stream(id.stream).flag(ResponseFlag::UpstreamOverflow),
            Verdict::No => {}
        }
    }

    /// The cluster's limit on one attempt's stream.
    pub(crate) fn upstream_max_duration(&mut self, id: AttemptId) {
        let now = self.cx.now;
        let Some(stream) = self.core.streams.get_mut(id.stream) else { return };
        let Some(attempt) = stream.attempt_mut(id.number) else { return };
        if !attempt.max_duration.ring(now) {
            return;
        }
        let cluster = attempt.pool.cluster;
        self.count(cluster, ClusterCounter::UpstreamRqMaxDurationReached);
        self.count_reset(id, ResetReason::LocalReset);
        if self.retries_reset(id, ResetReason::LocalReset) {
            return;
        }
        self.release_attempt(id, false);
        let status = if self.stream(id.stream).is_request_complete() { 504 } else { 408 };
        let reply = Reply::new(status, "upstream_max_stream_duration_reached")
            .body("upstream max stream duration reached")
            .flag(ResponseFlag::UpstreamMaxStreamDurationReached)
            .by_router();
        self.local_reply(id.stream, reply);
    }

    fn reply_timeout(&mut self, id: StreamId, details: &'static str) {
        let status = self.stream(id).router.timeout_status;
        let body = if status == 504 { "upstream request timeout" } else { "" };
        let reply = Reply::new(status, details).flag(ResponseFlag::UpstreamRequestTimeout).body(body).by_router();
        self.local_reply(id, reply);
    }
}
