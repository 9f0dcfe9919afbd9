//! What the HTTP connection manager does around the filter chain: it creates streams, resolves routes and keeps the
//! limits of the downstream side (Envoy: `ConnectionManagerImpl::ActiveStream`).

use crate::{
    ListenerId, RequestHead, RequestKey, ResponseFlag, StreamEnd, StreamId, Time, TimerId,
    machine::Machine,
    prepared::PreparedRequest,
    reply::Reply,
    stats::{ClusterCounter, HttpCounter},
    stream::{Alarm, Idle, Phase, Silence, Stream},
    table::Resolution,
    timeout,
};

/// What a stream buffers at most to be able to send its request again (Envoy: `per_connection_buffer_limit_bytes`).
const BUFFER_LIMIT: u64 = 1 << 20;

impl Stream {
    /// Makes a reused slot new.
    pub(crate) fn reset(&mut self, key: RequestKey, version: usize, listener: ListenerId, now: Time) {
        self.key = key;
        self.version = version;
        self.listener = listener;
        self.started = now;
        self.phase = Phase::Filters(0);
        self.response.clear();
        self.outcome.clear();
        self.resolution = Resolution::NotFound;
        self.cluster = None;
        self.weighted = None;
        self.request_complete_at = None;
        self.body_bytes = 0;
        self.response_started = false;
        self.http2 = false;
        self.shadow = false;
        self.shadows.clear();
        self.idle = Idle::default();
        self.max_duration = Alarm::OFF;
        self.request_timeout = Alarm::OFF;
        self.fault_delay = Alarm::OFF;
        self.callout = Alarm::OFF;
        self.authorized.clear();
        self.filters.clear();
        self.redirects = 0;
        self.lost_route = false;
        self.router.reset();
    }
}

impl Machine<'_, '_> {
    /// A request's head has arrived.
    pub(crate) fn request_headers(
        &mut self,
        version: usize,
        listener: ListenerId,
        head: &RequestHead<'_>,
        end_stream: bool,
    ) -> StreamId {
        let now = self.cx.now;
        let id = self.core.streams.reserve(&mut self.cx.effects.rooms);
        self.core.users[version] += 1;
        self.count_http(listener, HttpCounter::DownstreamRqTotal);
        let table = self.versions[version].table.listener(listener);
        let stream = &mut self.core.streams[id];
        stream.reset(head.key, version, listener, now);
        stream.http2 = head.http2;
        let loaded = stream.request.fresh().load(table, head);
        let is_tunnel = stream.request.framing.is_upgrade || stream.request.method() == "CONNECT";
        if end_stream && !is_tunnel {
            stream.request_complete_at = Some(now);
        }
        if let Err(early) = loaded {
            self.core.streams[id].outcome.is_logged = !early.details.is_empty();
            let body = if early.details.is_empty() { "Bad Request" } else { "" };
            let mut reply = Reply::new(early.status, early.details).body(body);
            if let Some(location) = &early.location {
                reply = reply.header("location", location);
            }
            self.local_reply(id, reply);
            return id;
        }
        if !end_stream && !table.manager.request_timeout.is_zero() {
            let at = now + table.manager.request_timeout;
            self.core.streams[id].request_timeout = Alarm::at(at);
            self.set_timer(TimerId::RequestTimeout(id), at);
        }
        self.core.streams[id].draw = self.draw(head.key, 0, crate::Draw::Stream);
        self.resolve(id);
        self.decode(id);
        id
    }

    /// A request has arrived that was prepared for this version.
    pub(crate) fn prepared_headers(
        &mut self,
        version: usize,
        prepared: &PreparedRequest,
        key: RequestKey,
        end_stream: bool,
    ) -> StreamId {
        let now = self.cx.now;
        let listener = prepared.listener;
        let id = self.core.streams.reserve(&mut self.cx.effects.rooms);
        self.core.users[version] += 1;
        self.count_http(listener, HttpCounter::DownstreamRqTotal);
        let table = self.versions[version].table.listener(listener);
        let stream = &mut self.core.streams[id];
        stream.reset(key, version, listener, now);
        stream.http2 = prepared.request.http2;
        stream.request.share(&prepared.request);
        let is_tunnel = prepared.request.framing.is_upgrade || prepared.request.method() == "CONNECT";
        if end_stream && !is_tunnel {
            stream.request_complete_at = Some(now);
        }
        if !end_stream && !table.manager.request_timeout.is_zero() {
            let at = now + table.manager.request_timeout;
            stream.request_timeout = Alarm::at(at);
            self.set_timer(TimerId::RequestTimeout(id), at);
        }
        self.core.streams[id].draw = self.draw(key, 0, crate::Draw::Stream);
        match prepared.resolution {
            Some(resolution) => self.resolved(id, resolution),
            None => self.resolve(id),
        }
        if prepared.is_unfiltered && !prepared.request.framing.is_upgrade {
            self.route_request(id);
        } else {
            self.decode(id);
        }
        id
    }

    /// The head is loaded and routed: the filters see it.
    fn decode(&mut self, id: StreamId) {
        let stream = &self.core.streams[id];
        if stream.request.framing.is_upgrade && stream.resolution != Resolution::NotFound {
            return self.local_reply(id, Reply::new(403, "upgrade_failed").without_route());
        }
        self.run_filters(id, 0);
    }

    /// Finds the route and the cluster, and sets the limits that depend on them.
    pub(crate) fn resolve(&mut self, id: StreamId) {
        let stream = &self.core.streams[id];
        let resolution = self.listener(id).routes.route(&stream.request, stream.draw);
        self.resolved(id, resolution);
    }

    /// The route is known: its cluster, and the limits that depend on it.
    fn resolved(&mut self, id: StreamId, resolution: Resolution) {
        let now = self.cx.now;
        let table = self.listener(id);
        let stream = &mut self.core.streams[id];
        stream.resolution = resolution;
        let route = stream.resolution.route().map(|route| table.routes.entry(route));
        stream.cluster = None;
        stream.weighted = None;
        let forward = route.and_then(|route| route.forward());
        if let Some(route) = route
            && let Some(choice) = route.cluster(&stream.request, stream.draw)
        {
            stream.cluster = choice.cluster.map(|cluster| self.versions[stream.version].clusters[cluster.index()]);
            stream.weighted = choice.weighted;
        }
        let idle = forward.and_then(|forward| forward.idle_timeout).unwrap_or(table.manager.stream_idle_timeout);
        stream.idle.limit = idle;
        stream.idle.last_activity = now;
        let arm_idle = !idle.is_zero() && !stream.idle.alarm.is_set();
        if arm_idle {
            stream.idle.alarm = Alarm::at(now + idle);
        }
        let grpc_timeout = || stream.request.header("grpc-timeout").next().and_then(crate::grpc::parse_timeout);
        let durations = forward.and_then(|forward| forward.max_stream_duration.as_ref());
        let limit = timeout::max_stream_duration(
            durations,
            table.manager.max_stream_duration,
            durations.and_then(|_| grpc_timeout()),
        );
        let ends_at = limit.map(|limit| stream.started + limit);
        let had_limit = stream.max_duration.clear();
        if let Some(at) = ends_at {
            stream.max_duration = Alarm::at(at);
        }
        if arm_idle {
            self.set_timer(TimerId::StreamIdle(id), now + idle);
        }
        if had_limit {
            self.emit(crate::Effect::ClearTimer(TimerId::MaxStreamDuration(id)));
        }
        if let Some(at) = ends_at {
            self.set_timer(TimerId::MaxStreamDuration(id), at);
        }
    }

    /// More of the request has arrived.
    pub(crate) fn request_body(&mut self, id: StreamId, bytes: u64, end_stream: bool) {
        let now = self.cx.now;
        let Some(stream) = self.core.streams.get_mut(id) else { return };
        if stream.phase == Phase::Ended || stream.is_request_complete() {
            return;
        }
        stream.idle.last_activity = now;
        stream.body_bytes += bytes;
        self.limit_buffer(id);
        if self.core.streams[id].phase == Phase::Ended {
            return;
        }
        if end_stream {
            let stream = &mut self.core.streams[id];
            stream.request_complete_at = Some(now);
            let was_limited = stream.request_timeout.clear();
            let is_routed = stream.phase == Phase::Router;
            if was_limited {
                self.emit(crate::Effect::ClearTimer(TimerId::RequestTimeout(id)));
            }
            if is_routed {
                self.request_complete(id);
            }
        }
        self.mirror_body(id, bytes, end_stream);
    }

    /// A request that is too large to be kept cannot be sent again.
    fn limit_buffer(&mut self, id: StreamId) {
        let limit =
            self.route(id).and_then(|route| route.forward()).map_or(BUFFER_LIMIT, |forward| forward.buffer_limit);
        let stream = &self.core.streams[id];
        if stream.phase != Phase::Router || stream.body_bytes <= limit || stream.router.gave_up_buffer {
            return;
        }
        let has_attempt = !stream.router.attempts.is_empty();
        let keeps = stream.router.retry.is_some();
        self.core.streams[id].router.gave_up_buffer = true;
        if !keeps {
            return;
        }
        if let Some(cluster) = self.core.streams[id].cluster {
            self.count(cluster, ClusterCounter::RetryOrShadowAbandoned);
        }
        self.drop_retries(id);
        if !has_attempt {
            let details = "request_payload_exceeded_retry_buffer_limit";
            let body = "exceeded request buffer limit while retrying upstream";
            self.local_reply(id, Reply::new(507, details).body(body).by_router());
        }
    }

    /// The client has left.
    pub(crate) fn downstream_reset(&mut self, id: StreamId, is_closed: bool) {
        let Some(stream) = self.core.streams.get_mut(id).filter(|stream| stream.phase != Phase::Ended) else { return };
        let listener = stream.listener;
        if stream.http2 && !is_closed {
            stream.flag(ResponseFlag::DownstreamRemoteReset);
            stream.outcome.details = "http2.remote_reset";
        } else {
            stream.flag(ResponseFlag::DownstreamConnectionTermination);
            stream.outcome.details = "downstream_remote_disconnect";
        }
        if !stream.response_started {
            stream.outcome.status = 0;
        }
        self.count_http(listener, HttpCounter::DownstreamRqRxReset);
        self.end(id, StreamEnd::ClientGone);
    }

    /// Nothing has happened on the stream for long.
    pub(crate) fn stream_idle(&mut self, id: StreamId) {
        let now = self.cx.now;
        let Some(stream) = self.core.streams.get_mut(id) else { return };
        match stream.idle.ring(now) {
            Silence::Late => {}
            Silence::Until(at) => self.set_timer(TimerId::StreamIdle(id), at),
            // The router's own limit, due at the same time, comes first.
            Silence::TooLong if stream.router.global.is_due(now) => self.route_timeout(id),
            Silence::TooLong => {
                let (listener, status) = (stream.listener, stream.timeout_status());
                self.count_http(listener, HttpCounter::DownstreamRqIdleTimeout);
                let reply = Reply::new(status, "stream_idle_timeout").body("stream timeout");
                self.local_reply(id, reply.flag(ResponseFlag::StreamIdleTimeout));
            }
        }
    }

    /// The stream has lasted too long. There is no flag for it.
    pub(crate) fn max_stream_duration(&mut self, id: StreamId) {
        let now = self.cx.now;
        let Some(stream) = self.core.streams.get_mut(id) else { return };
        if !stream.max_duration.ring(now) {
            return;
        }
        let (listener, status) = (stream.listener, stream.timeout_status());
        self.count_http(listener, HttpCounter::DownstreamRqMaxDurationReached);
        let reply = Reply::new(status, "max_duration_timeout").body("downstream duration timeout").grpc_status(4);
        self.local_reply(id, reply);
    }

    /// The request has taken too long to arrive.
    pub(crate) fn request_timeout(&mut self, id: StreamId) {
        let now = self.cx.now;
        let Some(stream) = self.core.streams.get_mut(id) else { return };
        if !stream.request_timeout.ring(now) {
            return;
        }
        let listener = stream.listener;
        self.count_http(listener, HttpCounter::DownstreamRqTimeout);
        self.local_reply(id, Reply::new(408, "request_overall_timeout").body("request timeout"));
    }
}

impl Stream {
    /// The status of a downstream timeout: whose fault it is depends on who is still sending.
    const fn timeout_status(&self) -> u16 {
        if self.is_request_complete() { 504 } else { 408 }
    }
}
