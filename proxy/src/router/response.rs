//! An upstream's answer: judged for outlier detection, retries and redirects, then passed on
//! (Envoy: `Filter::onUpstreamHeaders`).

use super::retry::Verdict;
use crate::{
    AttemptId, Effect, ResetReason, ResponseFlag, ResponseHead, StreamEnd, back_off, course::Course, grpc,
    machine::Machine, response::Marks, retry::Decision, stream::AttemptState,
};

impl Machine<'_, '_> {
    /// Response headers have come.
    pub(crate) fn upstream_headers(&mut self, id: AttemptId, head: &ResponseHead<'_>, end_stream: bool) {
        let now = self.cx.now;
        let Some(stream) = self.core.streams.get_mut(id.stream) else { return };
        let is_grpc = stream.request.is_grpc();
        let Some(attempt) = stream.attempt_mut(id.number).filter(|attempt| attempt.awaiting_headers) else { return };
        attempt.idle.last_activity = now;
        if (100..200).contains(&head.status) && head.status != 101 {
            return self.drop_retries(id.stream);
        }
        attempt.awaiting_headers = false;
        let attempt = *attempt;
        let marks = Marks::of(head);
        let judged = match marks.grpc_status {
            Some(status) if is_grpc => grpc::http_of_status(status),
            _ => head.status,
        };
        self.host_answered(attempt.pool.cluster, attempt.host, judged, marks.fails_health_check);
        self.host_latency(attempt.pool.cluster, attempt.host, now.since(attempt.attached_at));
        if marks.closes_connection
            && let AttemptState::Active(connection) = attempt.state
        {
            self.connection_closes_after(connection);
        }
        let could_not_retry = match self.judge(id, attempt.retried, head) {
            Judgement::Retried => {
                self.core.stats.cluster_mut(attempt.pool.cluster).retried.add(head.status);
                if !end_stream {
                    self.count_reset(id, ResetReason::LocalReset);
                }
                return self.release_attempt(id, end_stream);
            }
            Judgement::CouldNot => true,
            Judgement::Accepted => false,
        };
        if self.follow_redirect(id, head, end_stream) {
            return;
        }
        if could_not_retry && self.others_may_answer(id) {
            if !end_stream {
                self.count_reset(id, ResetReason::LocalReset);
            }
            return self.release_attempt(id, end_stream);
        }
        self.accept(id, head, marks);
        if end_stream {
            self.upstream_end(id);
        }
    }

    fn judge(&mut self, id: AttemptId, was_hedged: bool, head: &ResponseHead<'_>) -> Judgement {
        let policy = self.retry_policy(id.stream);
        let stream = &self.core.streams[id.stream];
        let Some(retry) = &stream.router.retry else { return Judgement::Accepted };
        let decision = retry.on_headers(
            policy,
            head.status,
            |name| head.get(name),
            |matcher| matcher.matches(head.values(matcher.name())),
        );
        if was_hedged {
            return if decision == Decision::No { Judgement::Accepted } else { Judgement::CouldNot };
        }
        let asked = policy.and_then(|policy| policy.rate_limited.as_ref()).filter(|_| decision != Decision::No);
        let asked = asked.and_then(|asked| {
            let (key, attempt) = (stream.key, stream.router.attempt_count + 1);
            let draw = self.cx.entropy.draw(crate::DrawKey { request: key, attempt, what: crate::Draw::BackOff });
            let now_s = self.cx.now.as_nanos() / 1_000_000_000;
            back_off::asked_for(asked, |name| head.get(name), now_s, draw)
        });
        match self.should_retry(id.stream, decision, asked) {
            Verdict::Retry => Judgement::Retried,
            Verdict::No => Judgement::Accepted,
            Verdict::LimitExceeded => {
                self.stream(id.stream).flag(ResponseFlag::UpstreamRetryLimitExceeded);
                Judgement::CouldNot
            }
            Verdict::Overflow => {
                self.stream(id.stream).flag(ResponseFlag::UpstreamOverflow);
                Judgement::CouldNot
            }
        }
    }

    /// This answer goes downstream, and every other attempt is given up.
    fn accept(&mut self, id: AttemptId, head: &ResponseHead<'_>, marks: Marks) {
        self.drop_retries(id.stream);
        while let Some(other) = self.other_attempt(id) {
            self.count_reset(other, ResetReason::LocalReset);
            self.release_attempt(other, false);
        }
        let now = self.cx.now;
        let route = self.route(id.stream);
        let options = &self.listener(id.stream).router;
        let stream = &mut self.core.streams[id.stream];
        stream.idle.last_activity = now;
        stream.router.accepted = Some(id.number);
        stream.response_started = true;
        stream.outcome.status = head.status;
        stream.outcome.details = "via_upstream";
        stream.outcome.grpc_status = marks.grpc_status;
        if let Some(cluster) = stream.cluster {
            self.core.stats.cluster_mut(cluster).charge(head.status);
        }
        if stream.shadow {
            return;
        }
        let response = &mut stream.response;
        response.clear();
        response.status = head.status;
        for (name, value) in head.headers.iter().filter(|(name, _)| *name != "connection") {
            response.headers.push(name, value);
        }
        if let Some(at) = stream.request_complete_at.filter(|_| !options.suppress_envoy_headers) {
            let ms = now.since(at).as_millis();
            response.headers.set_number("x-envoy-upstream-service-time", ms);
        }
        if let Some(route) = route {
            if route.include_attempt_count_in_response {
                let attempts = stream.router.attempt_count;
                response.headers.set_number("x-envoy-attempt-count", u64::from(attempts));
            }
            if route.changes_response(stream.weighted) {
                let cluster = stream.cluster.map(|cluster| &self.core.clusters[cluster.index()]);
                let course = Course::new(&stream.outcome, &stream.router, stream.body_bytes, cluster);
                route.finalize_response(&stream.request, &mut response.headers, stream.weighted, course);
            }
        }
        response.headers.set("server", "envoy");
        stream.close_header();
        self.encode_headers(id.stream);
        let status = head.status;
        self.emit(Effect::Respond { stream: id.stream, status });
    }

    fn other_attempt(&self, id: AttemptId) -> Option<AttemptId> {
        let attempts = &self.core.streams[id.stream].router.attempts;
        let other = attempts.iter().rev().find(|attempt| attempt.number != id.number)?;
        Some(AttemptId { number: other.number, ..id })
    }

    /// Response body has come.
    pub(crate) fn upstream_body(&mut self, id: AttemptId, bytes: u64, end_stream: bool) {
        let now = self.cx.now;
        let Some(stream) = self.core.streams.get_mut(id.stream) else { return };
        stream.idle.last_activity = now;
        let is_accepted = stream.router.accepted == Some(id.number);
        let Some(attempt) = stream.attempt_mut(id.number).filter(|_| is_accepted) else { return };
        attempt.idle.last_activity = now;
        if bytes > 0 && !stream.shadow {
            self.emit(Effect::RespondBody { stream: id.stream, bytes });
        }
        if end_stream {
            self.upstream_end(id);
        }
    }

    /// Response trailers have come.
    pub(crate) fn upstream_trailers(&mut self, id: AttemptId, trailers: &[(&str, &str)]) {
        let Some(stream) = self.core.streams.get_mut(id.stream) else { return };
        if stream.router.accepted != Some(id.number) {
            return;
        }
        let status = trailers.iter().find(|(name, _)| *name == "grpc-status");
        if let Some(status) = status.and_then(|(_, value)| value.parse().ok()) {
            stream.outcome.grpc_status = Some(status);
        }
        self.upstream_end(id);
    }

    /// The answer is complete. If the request is not, the rest of it is given up.
    fn upstream_end(&mut self, id: AttemptId) {
        let is_complete = self.stream(id.stream).is_request_complete();
        self.release_attempt(id, is_complete);
        self.end(id.stream, StreamEnd::Complete);
    }
}

/// What became of response headers.
enum Judgement {
    Retried,
    CouldNot,
    Accepted,
}
