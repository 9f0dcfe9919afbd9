//! One sidecar: the events that a driver reports, one function each.

use std::sync::Arc;

use crate::{
    AttemptId, ClusterId, ConnectionId, Cx, Effects, HealthResult, HostId, ListenerId, Nanos, RequestHead, RequestKey,
    ResetReason, ResponseFlags, ResponseHead, Stats, StreamId, Time, TimerId,
    access_log::AccessLog,
    circuit::Circuit,
    config::{Host, RoutingPriority},
    filter::{Authorization, AuthorizationChanges, RateLimitAnswer, RateLimitStats},
    machine::{Core, Machine, Version},
    prepared::PreparedRequest,
    response::Response,
    stream::Phase,
    table::Table,
    upstream::UpstreamRequest,
};

/// One sidecar: everything that Envoy's workers share and keep, and no more.
///
/// Call one `on_*` function, drain the effects completely, then call the next. Handles of what is over are recognised:
/// late timers, answers and resets are ignored.
#[derive(Clone, Debug, Default)]
pub struct Proxy {
    versions: Vec<Version>,
    core: Core,
}

impl Proxy {
    /// A proxy with nothing in flight; arms the timers of outlier detection and health checks.
    pub fn new(cx: &mut Cx<'_>, table: Arc<Table>) -> Self {
        let mut proxy = Self::default();
        proxy.install(cx, table);
        proxy
    }

    /// Takes over another configuration. Streams that are in flight stay with the one they began under; clusters of the
    /// same name keep their state, and so do the filters of listeners whose chain stays the same.
    pub fn install(&mut self, cx: &mut Cx<'_>, table: Arc<Table>) {
        self.sweep(cx.effects);
        self.core.install(cx, &mut self.versions, table);
    }

    /// Takes over the endpoints of a cluster (EDS). A host keeps its id while its address stays.
    pub fn set_hosts(&mut self, cx: &mut Cx<'_>, cluster: ClusterId, hosts: &[Host]) {
        self.handle(cx, |machine| machine.core.clusters[cluster.index()].hosts.set_hosts(machine.cx, hosts));
    }

    /// A request has arrived at a listener. `end_stream`: it has no body.
    pub fn on_request(
        &mut self,
        cx: &mut Cx<'_>,
        listener: ListenerId,
        head: &RequestHead<'_>,
        end_stream: bool,
    ) -> StreamId {
        let version = self.versions.len() - 1;
        self.handle(cx, |machine| machine.request_headers(version, listener, head, end_stream))
    }

    /// A request has arrived whose head was prepared for the proxy's table: as [`Self::on_request`], and sooner done.
    pub fn on_prepared_request(
        &mut self,
        cx: &mut Cx<'_>,
        prepared: &PreparedRequest,
        key: RequestKey,
        end_stream: bool,
    ) -> StreamId {
        let version = self.versions.len() - 1;
        debug_assert!(Arc::ptr_eq(&prepared.table, &self.versions[version].table), "prepared for another table");
        self.handle(cx, |machine| machine.prepared_headers(version, prepared, key, end_stream))
    }

    /// Part of a request's body has arrived.
    pub fn on_request_body(&mut self, cx: &mut Cx<'_>, stream: StreamId, bytes: u64, end_stream: bool) {
        self.handle(cx, |machine| machine.request_body(stream, bytes, end_stream));
    }

    /// The client has given the stream up: over HTTP/2 it has reset it, over HTTP/1.1 closed its connection.
    pub fn on_downstream_reset(&mut self, cx: &mut Cx<'_>, stream: StreamId) {
        self.handle(cx, |machine| machine.downstream_reset(stream, false));
    }

    /// The client has closed its connection, over whatever protocol: it is told of each stream on it.
    pub fn on_downstream_closed(&mut self, cx: &mut Cx<'_>, stream: StreamId) {
        self.handle(cx, |machine| machine.downstream_reset(stream, true));
    }

    /// A connection is open. `http2`: what ALPN agreed on; `None`: nothing, so the cluster's configuration decides.
    pub fn on_connected(&mut self, cx: &mut Cx<'_>, connection: ConnectionId, http2: Option<bool>) {
        self.handle_connection(cx, connection, |machine| machine.connection_opened(connection, http2));
    }

    /// The peer's SETTINGS limit the streams at a time on an HTTP/2 connection.
    pub fn on_settings(&mut self, cx: &mut Cx<'_>, connection: ConnectionId, max_concurrent_streams: u32) {
        self.handle_connection(cx, connection, |machine| {
            machine.connection_settings(connection, max_concurrent_streams);
        });
    }

    /// The peer takes no further streams on a connection. Streams that it will not process are reset by
    /// [`Self::on_upstream_reset`] with [`ResetReason::RemoteRefusedStream`].
    pub fn on_goaway(&mut self, cx: &mut Cx<'_>, connection: ConnectionId) {
        self.handle_connection(cx, connection, |machine| {
            machine.connection_goaway(connection);
        });
    }

    /// A connection could not be opened.
    pub fn on_connect_failed(&mut self, cx: &mut Cx<'_>, connection: ConnectionId, reason: ResetReason) {
        self.handle_connection(cx, connection, |machine| machine.connection_failed(connection, reason));
    }

    /// A connection is gone, and with it every stream on it.
    pub fn on_connection_closed(&mut self, cx: &mut Cx<'_>, connection: ConnectionId, reason: ResetReason) {
        self.handle_connection(cx, connection, |machine| machine.connection_lost(connection, reason));
    }

    /// Response headers have arrived. `end_stream`: there is no body and there are no trailers.
    pub fn on_response(&mut self, cx: &mut Cx<'_>, attempt: AttemptId, head: &ResponseHead<'_>, end_stream: bool) {
        self.handle(cx, |machine| machine.upstream_headers(attempt, head, end_stream));
    }

    /// Part of a response's body has arrived.
    pub fn on_response_body(&mut self, cx: &mut Cx<'_>, attempt: AttemptId, bytes: u64, end_stream: bool) {
        self.handle(cx, |machine| machine.upstream_body(attempt, bytes, end_stream));
    }

    /// Response trailers have arrived; the response is complete.
    pub fn on_response_trailers(&mut self, cx: &mut Cx<'_>, attempt: AttemptId, trailers: &[(&str, &str)]) {
        self.handle(cx, |machine| machine.upstream_trailers(attempt, trailers));
    }

    /// The upstream has reset one stream, or broken HTTP on it. Over HTTP/1.1 the connection is closed too.
    pub fn on_upstream_reset(&mut self, cx: &mut Cx<'_>, attempt: AttemptId, reason: ResetReason) {
        self.handle(cx, |machine| machine.upstream_reset(attempt, reason));
    }

    /// The external authorizer has answered, as [`Effect::Authorize`](crate::Effect::Authorize) asked.
    pub fn on_authorized(&mut self, cx: &mut Cx<'_>, stream: StreamId, answer: Authorization) {
        self.on_authorized_with(cx, stream, answer, &AuthorizationChanges::default());
    }

    /// The external authorizer has answered, and wants headers changed.
    pub fn on_authorized_with(
        &mut self,
        cx: &mut Cx<'_>,
        stream: StreamId,
        answer: Authorization,
        changes: &AuthorizationChanges<'_>,
    ) {
        self.handle(cx, |machine| machine.authorized(stream, answer, changes));
    }

    /// The rate limit service has answered, as [`Effect::CheckRateLimit`](crate::Effect::CheckRateLimit) asked.
    pub fn on_rate_limit_answered(&mut self, cx: &mut Cx<'_>, stream: StreamId, answer: RateLimitAnswer) {
        self.handle(cx, |machine| machine.rate_limited(stream, answer));
    }

    /// A health check has ended, as [`Effect::CheckHealth`](crate::Effect::CheckHealth) asked.
    ///
    /// One whose timeout has fired before must not be reported any more.
    pub fn on_health_checked(&mut self, cx: &mut Cx<'_>, cluster: ClusterId, host: HostId, result: HealthResult) {
        self.handle(cx, |machine| machine.host_checked(cluster, host, result));
    }

    /// A timer has fired.
    pub fn on_timer(&mut self, cx: &mut Cx<'_>, timer: TimerId) {
        self.handle(cx, |machine| machine.timer(timer));
    }

    /// What the access log says of a stream; complete from [`Effect::End`](crate::Effect::End) until the next call.
    pub fn access_log(&self, stream: StreamId) -> Option<AccessLog<'_>> {
        let entry = self.core.streams.get(stream)?;
        Some(AccessLog::new(entry, &self.versions[entry.version].table, &self.core))
    }

    /// The status and the flags of [`Self::access_log`] alone.
    pub fn outcome(&self, stream: StreamId) -> Option<(u16, ResponseFlags)> {
        let outcome = &self.core.streams.get(stream)?.outcome;
        Some((outcome.status, outcome.flags))
    }

    /// The request of an attempt as it goes upstream, from [`Effect::Send`](crate::Effect::Send) until the attempt ends.
    pub fn upstream_request(&self, attempt: AttemptId) -> Option<UpstreamRequest<'_>> {
        let stream = self.core.streams.get(attempt.stream)?;
        stream.attempt(attempt.number)?;
        Some(UpstreamRequest::new(stream))
    }

    /// How much longer an attempt is waited for, in whole milliseconds: what `x-envoy-expected-rq-timeout-ms` tells the next
    /// hop. `None`: without limit, or the attempt is over.
    pub fn time_left(&self, attempt: AttemptId, now: Time) -> Option<Nanos> {
        let stream = self.core.streams.get(attempt.stream)?;
        stream.attempt(attempt.number)?;
        stream.router.timeouts.expected_ms(stream.request_complete_at, now).map(Nanos::from_millis)
    }

    /// The answer as it goes downstream, from [`Effect::Respond`](crate::Effect::Respond) until the next call after
    /// [`Effect::End`](crate::Effect::End).
    pub fn response(&self, stream: StreamId) -> Option<&Response> {
        self.core.streams.get(stream).map(|stream| &stream.response)
    }

    /// Whether a timer still means something; a driver may drop those that do not.
    pub fn is_live(&self, timer: TimerId) -> bool {
        self.core.is_live(timer)
    }

    /// All counters but those of hosts and balancers; see [`Self::counter`].
    pub fn stats(&self) -> &Stats {
        &self.core.stats
    }

    /// What a cluster has in use, and its limits.
    pub fn circuit(&self, cluster: ClusterId, priority: RoutingPriority) -> &Circuit {
        &self.core.clusters[cluster.index()].circuits[priority as usize]
    }

    /// A counter or gauge of a cluster by Envoy's name without `cluster.<name>.`.
    pub fn counter(&self, cluster: ClusterId, name: &str) -> Option<u64> {
        self.core.counter(cluster, name)
    }

    /// What a listener's local rate limits have counted: those of its chain, and those of its routes.
    pub fn local_rate_limits(&self, listener: ListenerId) -> [RateLimitStats; 2] {
        let chain_len = self.table().listener(listener).chain_len;
        self.core.filters.rate_limits(listener, chain_len)
    }

    /// The description of a host; those that left the cluster are still known.
    pub fn host(&self, cluster: ClusterId, host: HostId) -> Option<&Host> {
        self.core.clusters.get(cluster.index())?.hosts.config(host)
    }

    /// Requests in flight, mirrored copies included: 0 when the proxy is at rest.
    pub fn active_streams(&self) -> usize {
        self.core.streams.len() - self.core.ended.len()
    }

    /// The configuration that new streams begin under.
    pub fn table(&self) -> &Table {
        &self.versions[self.versions.len() - 1].table
    }

    /// Frees the streams that ended during the last call. The next call does so too; a driver of many proxies that has
    /// read what it wants of a stream's end frees it at once, so that the next proxy gets room that is in the caches.
    pub fn sweep(&mut self, effects: &mut Effects) {
        while let Some(stream) = self.core.ended.pop() {
            debug_assert_eq!(self.core.streams[stream].phase, Phase::Ended);
            let version = self.core.streams[stream].version;
            self.core.users[version] -= 1;
            self.core.streams.release(stream, &mut effects.rooms);
        }
    }

    fn handle<T>(&mut self, cx: &mut Cx<'_>, event: impl FnOnce(&mut Machine<'_, '_>) -> T) -> T {
        self.sweep(cx.effects);
        let mut machine = Machine { versions: &self.versions, core: &mut self.core, cx };
        let result = event(&mut machine);
        machine.settle();
        result
    }

    fn handle_connection(
        &mut self,
        cx: &mut Cx<'_>,
        connection: ConnectionId,
        event: impl FnOnce(&mut Machine<'_, '_>),
    ) {
        if self.core.connections.get(connection).is_some() {
            self.handle(cx, event);
        }
    }
}
