//! One attempt: its host, its place on a connection, its limits.

use crate::{
    AttemptId, ClusterId, ConnectionId, HostId, ResponseFlag, StreamId, TimerId,
    config::UpstreamProtocol,
    hosts::{Pick, RetryHosts},
    machine::Machine,
    pool::PoolId,
    reply::Reply,
    stats::ClusterCounter,
    stream::{Alarm, Attempt, AttemptState, Idle},
    table::RouteEntry,
};

impl Machine<'_, '_> {
    /// Asks the balancer for a host, with what the retry policy says of hosts that were tried.
    pub(crate) fn pick_host(&mut self, id: StreamId, cluster: ClusterId) -> Option<HostId> {
        let forward = self.route(id).and_then(RouteEntry::forward);
        let policy = forward.and_then(|forward| forward.retry.as_ref());
        let stream = &mut self.core.streams[id];
        let mut want = Pick {
            request: stream.key,
            attempt: stream.router.attempt_count,
            hash: stream.router.hash,
            metadata_match: forward.map_or(&[], |forward| &forward.metadata_match),
            original_destination: None,
            retry: policy.map_or_else(RetryHosts::default, |policy| policy.hosts),
            tried: &mut stream.router.tried,
        };
        let host = self.core.clusters[cluster.index()].hosts.pick(self.cx, &mut want)?;
        self.core.streams[id].router.host = Some(host);
        Some(host)
    }

    /// The balancer has no host. This is final.
    pub(crate) fn reply_no_host(&mut self, id: StreamId, cluster: ClusterId) {
        self.count(cluster, ClusterCounter::UpstreamCxNoneHealthy);
        self.core.stats.cluster_mut(cluster).charge(503);
        let reply = Reply::new(503, "no_healthy_upstream").body("no healthy upstream");
        self.local_reply(id, reply.flag(ResponseFlag::NoHealthyUpstream).by_router());
    }

    /// Makes the next attempt and gives it to its host's pool.
    pub(crate) fn start_attempt(&mut self, id: StreamId, cluster: ClusterId, host: HostId) {
        let protocol = self.core.clusters[cluster.index()].table.protocol;
        let stream = &mut self.core.streams[id];
        let http2 = match protocol {
            UpstreamProtocol::Http1 | UpstreamProtocol::Auto => false,
            UpstreamProtocol::Http2 => true,
            UpstreamProtocol::Downstream => stream.http2,
        };
        self.announce(id);
        let stream = &mut self.core.streams[id];
        let pool = PoolId { cluster, host, high_priority: stream.router.high_priority, http2 };
        let number = stream.router.attempt_count;
        stream.router.upstream = None;
        stream.router.attempts.push(Attempt {
            number,
            host,
            pool,
            state: AttemptState::Unplaced,
            awaiting_headers: true,
            retried: false,
            attached_at: self.cx.now,
            timeout_recorded: false,
            per_try: Alarm::OFF,
            idle: Idle::default(),
            max_duration: Alarm::OFF,
        });
        let attempt = AttemptId { stream: id, number };
        if let Err(reason) = self.new_stream(pool, attempt) {
            self.attempt_reset(attempt, reason);
        }
    }

    /// Tells the next hop how long it may take, and which attempt this is.
    fn announce(&mut self, id: StreamId) {
        let now = self.cx.now;
        let route = self.route(id);
        let suppressed = self.listener(id).router.suppress_envoy_headers;
        let stream = &mut self.core.streams[id];
        let expected = stream.router.timeouts.expected_ms(stream.request_complete_at, now);
        let attempt = stream.router.attempt_count;
        let rewrites_grpc = stream.router.timeouts.rewrite_grpc_timeout;
        if let Some(ms) = expected.filter(|_| !suppressed) {
            stream.request.headers_mut().set_number("x-envoy-expected-rq-timeout-ms", ms);
        }
        if let Some(ms) = expected.filter(|_| rewrites_grpc) {
            stream.request.headers_mut().set_fmt("grpc-timeout", format_args!("{ms}m"));
        }
        if route.is_some_and(|route| route.include_request_attempt_count) {
            stream.request.headers_mut().set_number("x-envoy-attempt-count", u64::from(attempt));
        }
    }

    /// The attempt is on a connection: its own limits may begin to run.
    pub(crate) fn attempt_attached(&mut self, id: AttemptId, connection: ConnectionId) {
        let http2 = self.core.connections[connection].http2;
        let stream = &mut self.core.streams[id.stream];
        let is_complete = stream.is_request_complete();
        let Some(index) = stream.router.attempts.iter().position(|attempt| attempt.number == id.number) else { return };
        stream.router.upstream = Some(http2);
        let attempt = &mut stream.router.attempts[index];
        attempt.state = AttemptState::Active(connection);
        attempt.attached_at = self.cx.now;
        let (cluster, host) = (attempt.pool.cluster, attempt.host);
        self.host_connected(cluster, host);
        if let Some(limit) = self.core.clusters[cluster.index()].table.max_stream_duration {
            let at = self.cx.now + limit;
            self.core.streams[id.stream].router.attempts[index].max_duration = Alarm::at(at);
            self.set_timer(TimerId::UpstreamMaxDuration(id), at);
        }
        if is_complete {
            self.start_attempt_timers(id.stream, index);
        }
    }

    /// Starts the limits on one try, if the attempt is on a connection and the request is complete.
    pub(crate) fn start_attempt_timers(&mut self, id: StreamId, index: usize) {
        let now = self.cx.now;
        let router = &mut self.core.streams[id].router;
        let timeouts = router.timeouts;
        let attempt = &mut router.attempts[index];
        if !matches!(attempt.state, AttemptState::Active(_)) || !attempt.awaiting_headers {
            return;
        }
        let name = AttemptId { stream: id, number: attempt.number };
        if !timeouts.per_try.is_zero() {
            attempt.per_try = Alarm::at(now + timeouts.per_try);
        }
        if !timeouts.per_try_idle.is_zero() {
            let limit = timeouts.per_try_idle;
            attempt.idle = Idle { limit, last_activity: now, alarm: Alarm::at(now + limit) };
        }
        if !timeouts.per_try.is_zero() {
            self.set_timer(TimerId::PerTry(name), now + timeouts.per_try);
        }
        if !timeouts.per_try_idle.is_zero() {
            self.set_timer(TimerId::PerTryIdle(name), now + timeouts.per_try_idle);
        }
    }

    /// Takes the attempt out of the stream and gives back what it holds. `is_complete`: both directions came to their
    /// end, so that nothing is reset.
    pub(crate) fn release_attempt(&mut self, id: AttemptId, is_complete: bool) {
        let attempts = &mut self.core.streams[id.stream].router.attempts;
        let Some(index) = attempts.iter().position(|attempt| attempt.number == id.number) else { return };
        let mut attempt = attempts.remove(index);
        self.disarm(attempt.per_try.clear(), TimerId::PerTry(id));
        self.disarm(attempt.idle.alarm.clear(), TimerId::PerTryIdle(id));
        self.disarm(attempt.max_duration.clear(), TimerId::UpstreamMaxDuration(id));
        self.release_stream(attempt.pool, id, attempt.state, is_complete);
    }
}
