//! What happens to one upstream connection, and what that means for its pool.

use super::ConnectionState;
use crate::{ConnectionId, Effect, ResetReason, TimerId, machine::Machine, stats::ClusterCounter, stream::Alarm};

impl Machine<'_, '_> {
    /// A connection is open. `http2`: what ALPN agreed on, if it decides.
    pub(crate) fn connection_opened(&mut self, connection: ConnectionId, http2: Option<bool>) {
        let entry = &mut self.core.connections[connection];
        let Some(id) = entry.pool.filter(|_| entry.state == ConnectionState::Connecting) else { return };
        entry.state = ConnectionState::Open;
        let was_armed = entry.connect.clear();
        if let Some(http2) = http2 {
            entry.http2 = http2;
        }
        let http2 = entry.http2;
        let cluster = &self.core.clusters[id.cluster.index()];
        let entry = &mut self.core.connections[connection];
        entry.concurrency = if http2 { u64::from(cluster.table.max_concurrent_streams) } else { 1 };
        if was_armed {
            self.emit(Effect::ClearTimer(TimerId::Connect(connection)));
        }
        let protocol = if http2 { ClusterCounter::UpstreamCxHttp2Total } else { ClusterCounter::UpstreamCxHttp1Total };
        self.count(id.cluster, protocol);
        self.connection_ready(id, connection);
    }

    /// The peer has told how many streams it takes at a time.
    pub(crate) fn connection_settings(&mut self, connection: ConnectionId, max_concurrent_streams: u32) {
        let entry = &mut self.core.connections[connection];
        let Some(id) = entry.pool.filter(|_| entry.http2) else { return };
        let configured = self.core.clusters[id.cluster.index()].table.max_concurrent_streams;
        self.core.connections[connection].concurrency = u64::from(configured.min(max_concurrent_streams));
        self.refresh_ready(id, connection);
        self.unsettle(id);
    }

    /// No further stream goes onto this connection (HTTP/2: GOAWAY).
    pub(crate) fn connection_goaway(&mut self, connection: ConnectionId) {
        let entry = &mut self.core.connections[connection];
        let Some(id) = entry.pool else { return };
        entry.state = ConnectionState::Draining;
        self.count(id.cluster, ClusterCounter::UpstreamCxCloseNotify);
        self.refresh_ready(id, connection);
        self.close_if_drained(id, connection);
        self.unsettle(id);
    }

    /// The answer under way is the last one on an HTTP/1.1 connection.
    pub(crate) fn connection_closes_after(&mut self, connection: ConnectionId) {
        if let Some(entry) = self.core.connections.get_mut(connection).filter(|entry| !entry.http2) {
            entry.state = ConnectionState::Draining;
        }
    }

    /// A connection could not be opened: every request that waits in its pool fails with it.
    pub(crate) fn connection_failed(&mut self, connection: ConnectionId, reason: ResetReason) {
        let Some(id) = self.core.connections[connection].pool else { return };
        self.count(id.cluster, ClusterCounter::UpstreamCxConnectFail);
        if reason == ResetReason::ConnectionTimeout {
            self.count(id.cluster, ClusterCounter::UpstreamCxConnectTimeout);
        }
        self.remove_connection(id, connection);
        let mut failed = std::mem::take(&mut self.cluster(id.cluster).pool(id).pending);
        for attempt in failed.drain(..) {
            self.count(id.cluster, ClusterCounter::UpstreamRqPendingFailureEject);
            self.attempt_reset(attempt, reason);
        }
        // Retries are never immediate, so nobody has queued up meanwhile: the buffer goes back.
        let pool = self.cluster(id.cluster).pool(id);
        if pool.pending.is_empty() {
            pool.pending = failed;
        }
        self.unsettle(id);
    }

    /// An open connection is gone, and all its streams with it.
    pub(crate) fn connection_lost(&mut self, connection: ConnectionId, reason: ResetReason) {
        let entry = &mut self.core.connections[connection];
        let Some(id) = entry.pool else { return };
        if entry.state == ConnectionState::Connecting {
            return self.connection_failed(connection, reason);
        }
        let mut streams = std::mem::take(&mut entry.streams);
        self.remove_connection(id, connection);
        for attempt in streams.drain(..) {
            self.attempt_reset(attempt, reason);
        }
        self.unsettle(id);
    }

    /// A connection took too long to open.
    pub(crate) fn connect_timeout(&mut self, connection: ConnectionId) {
        let now = self.cx.now;
        if self.core.connections.get_mut(connection).is_some_and(|entry| entry.connect.ring(now)) {
            self.emit(Effect::Close(connection));
            self.connection_failed(connection, ResetReason::ConnectionTimeout);
        }
    }

    /// A connection was without streams for long, unless it has served meanwhile.
    pub(crate) fn connection_idle(&mut self, connection: ConnectionId) {
        let now = self.cx.now;
        let Some(entry) = self.core.connections.get_mut(connection) else { return };
        if !entry.idle.ring(now) {
            return;
        }
        let Some(id) = entry.pool.filter(|_| entry.streams.is_empty()) else { return };
        let since = entry.idle_since;
        let Some(timeout) = self.cluster(id.cluster).table.idle_timeout else { return };
        if since + timeout <= now {
            self.count(id.cluster, ClusterCounter::UpstreamCxIdleTimeout);
            self.emit(Effect::Close(connection));
            self.remove_connection(id, connection);
        } else {
            self.core.connections[connection].idle = Alarm::at(since + timeout);
            self.set_timer(TimerId::ConnectionIdle(connection), since + timeout);
        }
    }
}
