//! One event being handled: the tables, everything that changes, and what the driver has lent.

use std::sync::Arc;

use crate::{
    ClusterId, ConnectionId, Cx, Draw, DrawKey, Effect, ListenerId, RequestKey, StreamId, TimerId,
    circuit::Circuit,
    filter::FilterStates,
    hosts::{ClusterTable, Hosts},
    pool::{Connection, Pool, PoolId},
    queue::Queue,
    retry::RetryPolicy,
    slab::Slab,
    stats::{ClusterCounter, HttpCounter, Stats},
    stream::Stream,
    streams::Streams,
    table::{ForwardAction, ListenerTable, RouteEntry, Table},
};

/// One installed table; streams that began under it stay with it.
#[derive(Clone, Debug)]
pub(crate) struct Version {
    pub(crate) table: Arc<Table>,
    /// Where the table's clusters are now.
    pub(crate) clusters: Box<[ClusterId]>,
}

/// One cluster's changing state.
#[derive(Clone, Debug)]
pub(crate) struct ClusterState {
    pub(crate) table: Arc<ClusterTable>,
    pub(crate) hosts: Hosts,
    /// By routing priority.
    pub(crate) circuits: [Circuit; 2],
    pub(crate) pools: Vec<Pool>,
    pub(crate) queue: Queue,
}

/// Everything that changes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Core {
    pub(crate) streams: Streams,
    pub(crate) connections: Slab<ConnectionId, Connection>,
    pub(crate) clusters: Vec<ClusterState>,
    pub(crate) filters: FilterStates,
    /// Live streams, by version.
    pub(crate) users: Vec<u32>,
    pub(crate) stats: Stats,
    /// Streams that ended during this call; freed at the next one.
    pub(crate) ended: Vec<StreamId>,
    /// Requests that wait for a host, in the queues of all clusters.
    pub(crate) queued: u32,
    /// Pools that may have something to do before this call returns.
    pub(crate) unsettled: Vec<PoolId>,
}

/// One event being handled.
pub(crate) struct Machine<'a, 'c> {
    pub(crate) versions: &'a [Version],
    pub(crate) core: &'a mut Core,
    pub(crate) cx: &'a mut Cx<'c>,
}

impl<'a> Machine<'a, '_> {
    #[inline]
    pub(crate) fn emit(&mut self, effect: Effect) {
        self.cx.effects.push(effect);
    }

    pub(crate) fn set_timer(&mut self, timer: TimerId, at: crate::Time) {
        self.emit(Effect::SetTimer { timer, at });
    }

    /// Tells the driver that a timer that was armed is not wanted any more.
    #[inline]
    pub(crate) fn disarm(&mut self, was_armed: bool, timer: TimerId) {
        if was_armed {
            self.emit(Effect::ClearTimer(timer));
        }
    }

    #[inline]
    pub(crate) fn stream(&mut self, id: StreamId) -> &mut Stream {
        &mut self.core.streams[id]
    }

    /// The table that the stream began under.
    #[inline]
    pub(crate) fn listener(&self, id: StreamId) -> &'a ListenerTable {
        let stream = &self.core.streams[id];
        self.versions[stream.version].table.listener(stream.listener)
    }

    /// The stream's route, if it has one.
    #[inline]
    pub(crate) fn route(&self, id: StreamId) -> Option<&'a RouteEntry> {
        let route = self.core.streams[id].resolution.route()?;
        Some(self.listener(id).routes.entry(route))
    }

    /// What the stream's route says of forwarding.
    pub(crate) fn forward_action(&self, id: StreamId) -> Option<&'a ForwardAction> {
        self.route(id)?.forward()
    }

    /// The retry policy of the stream's route.
    pub(crate) fn retry_policy(&self, id: StreamId) -> Option<&'a RetryPolicy> {
        self.forward_action(id)?.retry.as_ref()
    }

    /// The cluster that the router sends the stream to, and whether with high priority.
    pub(crate) fn cluster_and_priority(&self, id: StreamId) -> Option<(ClusterId, bool)> {
        let stream = &self.core.streams[id];
        Some((stream.cluster?, stream.router.high_priority))
    }

    #[inline]
    pub(crate) fn cluster(&mut self, cluster: ClusterId) -> &mut ClusterState {
        &mut self.core.clusters[cluster.index()]
    }

    #[inline]
    pub(crate) fn count(&mut self, cluster: ClusterId, counter: ClusterCounter) {
        self.core.stats.cluster_mut(cluster).add(counter);
    }

    pub(crate) fn count_http(&mut self, listener: ListenerId, counter: HttpCounter) {
        self.core.stats.http_mut(listener).add(counter);
    }

    /// A draw for one request.
    pub(crate) fn draw(&mut self, request: RequestKey, attempt: u32, what: Draw) -> u64 {
        self.cx.entropy.draw(DrawKey { request, attempt, what })
    }
}
