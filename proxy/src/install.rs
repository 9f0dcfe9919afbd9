//! What happens when a proxy gets a configuration: clusters of the same name keep their state, whatever their place.

use std::sync::Arc;

use crate::{
    ClusterId, Cx,
    circuit::Circuit,
    config::RoutingPriority,
    hosts::{ClusterTable, Hosts},
    machine::{ClusterState, Core, Version},
    queue::Queue,
    table::Table,
};

impl ClusterState {
    fn new(cx: &mut Cx<'_>, table: &Arc<ClusterTable>) -> Self {
        let hosts = Hosts::new(cx, table);
        let circuits =
            [Circuit::new(table.limits(RoutingPriority::Default)), Circuit::new(table.limits(RoutingPriority::High))];
        Self { table: Arc::clone(table), hosts, circuits, pools: Vec::new(), queue: Queue::default() }
    }

    /// Takes over a changed description of the same cluster.
    fn reconfigure(&mut self, cx: &mut Cx<'_>, table: &Arc<ClusterTable>) {
        for (circuit, priority) in self.circuits.iter_mut().zip([RoutingPriority::Default, RoutingPriority::High]) {
            circuit.configure(table.limits(priority));
        }
        self.queue.move_to(cx, table.id);
        self.hosts.move_to(cx, table.id);
        self.hosts.reconfigure(cx, table);
        self.table = Arc::clone(table);
    }
}

impl Core {
    pub(crate) fn install(&mut self, cx: &mut Cx<'_>, versions: &mut Vec<Version>, table: Arc<Table>) {
        let map = self.install_clusters(cx, &table);
        for version in versions.iter_mut() {
            for cluster in &mut version.clusters {
                *cluster = map[cluster.index()];
            }
        }
        self.renumber(&map);
        self.stats.renumber(&map, self.clusters.len(), table.listeners().len());
        self.filters.install(cx, &table, versions.last().map(|version| &*version.table));
        self.users.push(0);
        let clusters = (0..table.clusters().len()).map(cluster_id).collect();
        versions.push(Version { table, clusters });
    }

    /// Puts the clusters into the order of the new table, those that it lacks at the end; gives each old id its new one.
    fn install_clusters(&mut self, cx: &mut Cx<'_>, table: &Table) -> Vec<ClusterId> {
        let mut old: Vec<_> = std::mem::take(&mut self.clusters).into_iter().map(Some).collect();
        let mut map = vec![cluster_id(0); old.len()];
        for cluster in table.clusters() {
            let known =
                old.iter().position(|state| state.as_ref().is_some_and(|state| state.table.name == cluster.name));
            let state = match known.and_then(|index| old[index].take()) {
                Some(mut state) => {
                    state.reconfigure(cx, cluster);
                    state
                }
                None => ClusterState::new(cx, cluster),
            };
            if let Some(index) = known {
                map[index] = cluster_id(self.clusters.len());
            }
            self.clusters.push(state);
        }
        for (index, state) in old.into_iter().enumerate() {
            if let Some(state) = state {
                map[index] = cluster_id(self.clusters.len());
                self.clusters.push(state);
            }
        }
        map
    }

    /// Gives everything in flight its cluster's new id.
    fn renumber(&mut self, map: &[ClusterId]) {
        if map.iter().enumerate().all(|(index, id)| id.index() == index) {
            return;
        }
        let streams: Vec<_> = self.streams.handles().collect();
        for stream in streams {
            let stream = &mut self.streams[stream];
            stream.cluster = stream.cluster.map(|cluster| map[cluster.index()]);
            for attempt in &mut stream.router.attempts {
                attempt.pool.cluster = map[attempt.pool.cluster.index()];
            }
        }
        let connections: Vec<_> = self.connections.handles().collect();
        for connection in connections {
            self.connections[connection].renumber(map);
        }
    }
}

fn cluster_id(index: usize) -> ClusterId {
    ClusterId::new(u32::try_from(index).unwrap_or(u32::MAX))
}
