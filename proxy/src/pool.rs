//! Connection pools: one per host, routing priority and protocol (Envoy: `ConnPoolImplBase`).
//!
//! A request takes a ready connection, or waits in its host's queue while connections are opened. Work that one event
//! makes possible for other streams is left in `unsettled` and done before the event's call returns.

mod connection;

use std::collections::VecDeque;

use smallvec::SmallVec;

use crate::{
    AttemptId, ClusterId, ConnectionId, Effect, HostId, ResetReason, Time, TimerId,
    circuit::Circuit,
    machine::{ClusterState, Machine},
    stats::ClusterCounter,
    stream::{Alarm, AttemptState},
};

/// Pools of one host: two routing priorities times two downstream protocols.
const POOLS_PER_HOST: usize = 4;
/// How many connections one event may open in one pool.
const CONNECTIONS_PER_EVENT: usize = 3;

/// Names a pool.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct PoolId {
    pub(crate) cluster: ClusterId,
    pub(crate) host: HostId,
    pub(crate) high_priority: bool,
    /// Whether its connections speak HTTP/2, unless ALPN decides otherwise.
    pub(crate) http2: bool,
}

impl PoolId {
    fn index(self) -> usize {
        self.host.index() * POOLS_PER_HOST + usize::from(self.high_priority) * 2 + usize::from(self.http2)
    }
}

/// The connections to one host and the requests that wait for one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pool {
    connections: Vec<ConnectionId>,
    /// Connections with room, the one that became ready last at the end.
    ready: Vec<ConnectionId>,
    pending: VecDeque<AttemptId>,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ConnectionState {
    #[default]
    Connecting,
    Open,
    /// Takes no further stream and closes after its last one.
    Draining,
}

/// One upstream connection.
#[derive(Clone, Debug, Default)]
pub(crate) struct Connection {
    pool: Option<PoolId>,
    state: ConnectionState,
    pub(crate) http2: bool,
    streams: SmallVec<[AttemptId; 2]>,
    /// Streams that it may still carry before it drains.
    remaining: u64,
    /// Streams at a time.
    concurrency: u64,
    connect: Alarm,
    idle: Alarm,
    idle_since: Time,
    /// Whether its pool lists it as ready.
    is_ready: bool,
}

impl Connection {
    fn room(&self) -> u64 {
        let used = self.streams.len() as u64;
        if self.state == ConnectionState::Draining {
            0
        } else {
            self.concurrency.saturating_sub(used).min(self.remaining)
        }
    }

    /// Its cluster has another id.
    pub(crate) fn renumber(&mut self, map: &[ClusterId]) {
        if let Some(pool) = &mut self.pool {
            pool.cluster = map[pool.cluster.index()];
        }
    }

    pub(crate) const fn is_timer_live(&self, timer: TimerId) -> bool {
        match timer {
            TimerId::Connect(_) => self.connect.is_set(),
            _ => self.idle.is_set(),
        }
    }
}

impl ClusterState {
    pub(crate) fn circuit(&mut self, pool: PoolId) -> &mut Circuit {
        &mut self.circuits[usize::from(pool.high_priority)]
    }

    fn pool(&mut self, pool: PoolId) -> &mut Pool {
        let index = pool.index();
        if self.pools.len() <= index {
            self.pools.resize_with(index + 1, Pool::default);
        }
        &mut self.pools[index]
    }

    fn connections_to(&self, host: HostId) -> usize {
        let pools = self.pools.iter().skip(host.index() * POOLS_PER_HOST).take(POOLS_PER_HOST);
        pools.map(|pool| pool.connections.len()).sum()
    }
}

impl Machine<'_, '_> {
    /// Asks for a place on a connection. `Err`: a circuit breaker refused.
    pub(crate) fn new_stream(&mut self, id: PoolId, attempt: AttemptId) -> Result<(), ResetReason> {
        if !self.cluster(id.cluster).pool(id).pending.is_empty() {
            self.settle();
        }
        let cluster = self.cluster(id.cluster);
        if let Some(connection) = cluster.pool(id).ready.last().copied() {
            return self.attach(id, connection, attempt);
        }
        if !cluster.circuit(id).pending.can_create() {
            self.count(id.cluster, ClusterCounter::UpstreamRqPendingOverflow);
            return Err(ResetReason::Overflow);
        }
        cluster.circuit(id).pending.acquire();
        cluster.pool(id).pending.push_back(attempt);
        self.place(attempt, AttemptState::Queued);
        self.count(id.cluster, ClusterCounter::UpstreamRqPendingTotal);
        self.open_connections(id);
        Ok(())
    }

    /// Takes an attempt out of the queue or off its connection. `is_complete`: request and answer both came to their
    /// end, so that the connection can serve again; otherwise the stream is reset.
    pub(crate) fn release_stream(&mut self, id: PoolId, attempt: AttemptId, state: AttemptState, is_complete: bool) {
        match state {
            AttemptState::Unplaced => return,
            AttemptState::Queued => {
                let cluster = self.cluster(id.cluster);
                cluster.pool(id).pending.retain(|queued| *queued != attempt);
                cluster.circuit(id).pending.release();
            }
            AttemptState::Active(connection) => self.detach(id, connection, attempt, is_complete),
        }
        self.unsettle(id);
    }

    /// Notes a pool whose waiting requests may have something to gain.
    fn unsettle(&mut self, id: PoolId) {
        let is_wanted = !self.cluster(id.cluster).pool(id).pending.is_empty();
        if is_wanted && !self.core.unsettled.contains(&id) {
            self.core.unsettled.push(id);
        }
    }

    fn place(&mut self, attempt: AttemptId, state: AttemptState) {
        if let Some(attempt) = self.core.streams[attempt.stream].attempt_mut(attempt.number) {
            attempt.state = state;
        }
    }

    /// Does what the event has made possible: waiting requests take ready connections, and connections are opened for
    /// those that remain.
    pub(crate) fn settle(&mut self) {
        self.serve_queues();
        while let Some(id) = self.core.unsettled.pop() {
            loop {
                let cluster = &mut self.core.clusters[id.cluster.index()];
                let pool = cluster.pool(id);
                let (Some(connection), Some(attempt)) = (pool.ready.last().copied(), pool.pending.front().copied())
                else {
                    break;
                };
                pool.pending.pop_front();
                cluster.circuit(id).pending.release();
                self.place(attempt, AttemptState::Unplaced);
                if let Err(reason) = self.attach(id, connection, attempt) {
                    self.attempt_reset(attempt, reason);
                }
            }
            if self.core.clusters[id.cluster.index()].pool(id).pending.front().is_some() {
                self.open_connections(id);
            }
        }
    }

    fn open_connections(&mut self, id: PoolId) {
        for _ in 0..CONNECTIONS_PER_EVENT {
            if !self.open_connection(id) {
                break;
            }
        }
    }

    /// Opens one connection if the waiting requests need more than are on their way (Envoy: `shouldConnect` and
    /// `tryCreateNewConnection`). A pool without any connection may always open one.
    fn open_connection(&mut self, id: PoolId) -> bool {
        let now = self.cx.now;
        let core = &mut *self.core;
        let cluster = &mut core.clusters[id.cluster.index()];
        let pool = cluster.pool(id);
        let coming: u64 = pool.connections.iter().map(|c| core.connections[*c].room()).sum();
        if pool.pending.len() as u64 <= coming {
            return false;
        }
        let is_first = pool.connections.is_empty();
        let per_host = cluster.connections_to(id.host) < cluster.circuit(id).connections_per_host as usize;
        let is_allowed = per_host && cluster.circuit(id).connections.can_create();
        if !is_allowed {
            core.stats.cluster_mut(id.cluster).add(ClusterCounter::UpstreamCxOverflow);
            if !is_first {
                return false;
            }
        }
        cluster.circuit(id).connections.acquire();
        let connection = core.connections.reserve();
        cluster.pool(id).connections.push(connection);
        let table = &cluster.table;
        let entry = &mut core.connections[connection];
        entry.pool = Some(id);
        entry.state = ConnectionState::Connecting;
        entry.http2 = id.http2;
        entry.streams.clear();
        entry.remaining = table.max_requests_per_connection.map_or(u64::MAX, u64::from);
        entry.concurrency = if id.http2 { u64::from(table.max_concurrent_streams) } else { 1 };
        entry.idle = Alarm::OFF;
        entry.is_ready = false;
        let timeout_at = now + table.connect_timeout;
        entry.connect = Alarm::at(timeout_at);
        core.stats.cluster_mut(id.cluster).add(ClusterCounter::UpstreamCxTotal);
        core.clusters[id.cluster.index()].hosts.connection_opened();
        self.emit(Effect::Connect { connection, cluster: id.cluster, host: id.host });
        self.set_timer(TimerId::Connect(connection), timeout_at);
        true
    }

    /// Puts an attempt onto a connection with room.
    fn attach(&mut self, id: PoolId, connection: ConnectionId, attempt: AttemptId) -> Result<(), ResetReason> {
        let now = self.cx.now;
        let cluster = self.cluster(id.cluster);
        let circuit = cluster.circuit(id);
        if !circuit.requests.can_create() {
            self.count(id.cluster, ClusterCounter::UpstreamRqActiveOverflow);
            return Err(ResetReason::Overflow);
        }
        circuit.requests.acquire();
        circuit.allowance.on_request(now, attempt.number > 1);
        cluster.hosts.request_started(id.host);
        self.count(id.cluster, ClusterCounter::UpstreamRqTotal);
        let entry = &mut self.core.connections[connection];
        entry.streams.push(attempt);
        entry.remaining -= 1;
        if entry.remaining == 0 {
            entry.state = ConnectionState::Draining;
            self.count(id.cluster, ClusterCounter::UpstreamCxMaxRequests);
        }
        self.refresh_ready(id, connection);
        self.emit(Effect::Send { attempt, connection, cluster: id.cluster, host: id.host });
        self.attempt_attached(attempt, connection);
        Ok(())
    }

    fn detach(&mut self, id: PoolId, connection: ConnectionId, attempt: AttemptId, is_complete: bool) {
        let cluster = self.cluster(id.cluster);
        cluster.circuit(id).requests.release();
        cluster.hosts.request_ended(id.host);
        let Some(entry) = self.core.connections.get_mut(connection) else { return };
        if let Some(place) = entry.streams.iter().rposition(|stream| *stream == attempt) {
            entry.streams.remove(place);
        }
        if !is_complete {
            let http2 = entry.http2;
            self.emit(Effect::ResetUpstream { attempt, connection });
            if !http2 {
                self.emit(Effect::Close(connection));
                return self.remove_connection(id, connection);
            }
        }
        self.connection_ready(id, connection);
    }

    /// A connection may have got room, or have nothing left to do.
    fn connection_ready(&mut self, id: PoolId, connection: ConnectionId) {
        self.refresh_ready(id, connection);
        if self.close_if_drained(id, connection) {
            return;
        }
        self.unsettle(id);
        let now = self.cx.now;
        let cluster = self.cluster(id.cluster);
        let timeout = cluster.table.idle_timeout;
        let is_wanted = !cluster.pool(id).pending.is_empty();
        let entry = &mut self.core.connections[connection];
        if entry.streams.is_empty() && !is_wanted {
            entry.idle_since = now;
            if let Some(timeout) = timeout.filter(|_| !entry.idle.is_set()) {
                entry.idle = Alarm::at(now + timeout);
                self.set_timer(TimerId::ConnectionIdle(connection), now + timeout);
            }
        }
    }

    fn close_if_drained(&mut self, id: PoolId, connection: ConnectionId) -> bool {
        let entry = &self.core.connections[connection];
        let is_drained = entry.state == ConnectionState::Draining && entry.streams.is_empty();
        if is_drained {
            self.emit(Effect::Close(connection));
            self.remove_connection(id, connection);
        }
        is_drained
    }

    /// Keeps the list of connections with room true.
    fn refresh_ready(&mut self, id: PoolId, connection: ConnectionId) {
        let entry = &mut self.core.connections[connection];
        let has_room = entry.state == ConnectionState::Open && entry.room() > 0;
        let was_ready = std::mem::replace(&mut entry.is_ready, has_room);
        if was_ready == has_room {
            return;
        }
        let ready = &mut self.core.clusters[id.cluster.index()].pool(id).ready;
        if has_room {
            return ready.push(connection);
        }
        match ready.iter().rposition(|other| *other == connection) {
            Some(place) if place + 1 == ready.len() => _ = ready.pop(),
            Some(place) => _ = ready.remove(place),
            None => {}
        }
    }

    fn remove_connection(&mut self, id: PoolId, connection: ConnectionId) {
        let entry = &mut self.core.connections[connection];
        entry.pool = None;
        let (connect, idle) = (entry.connect.clear(), entry.idle.clear());
        self.disarm(connect, TimerId::Connect(connection));
        self.disarm(idle, TimerId::ConnectionIdle(connection));
        self.core.connections.release(connection);
        let cluster = self.cluster(id.cluster);
        cluster.circuit(id).connections.release();
        let pool = cluster.pool(id);
        pool.connections.retain(|other| *other != connection);
        pool.ready.retain(|other| *other != connection);
        self.unsettle(id);
    }
}
