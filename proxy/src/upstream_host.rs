//! What the hosts of a cluster are told of each attempt (Envoy: `Outlier::DetectorHostMonitor`).

use crate::{ClusterId, HostId, ResponseHead, TimerId, machine::Machine};

impl Machine<'_, '_> {
    /// An attempt got its place on a connection.
    pub(crate) fn host_connected(&mut self, _cluster: ClusterId, _host: HostId) {}

    /// An attempt failed without an answer. `timeout_status`: by a timeout, which the client sees as this status.
    pub(crate) fn host_failed(&mut self, _cluster: ClusterId, _host: HostId, _timeout_status: Option<u16>) {}

    /// A host has answered with this status, or with a gRPC status that stands for it.
    pub(crate) fn host_answered(&mut self, _cluster: ClusterId, _host: HostId, _status: u16, _head: &ResponseHead<'_>) {
    }

    /// A timer of a cluster's hosts has fired.
    pub(crate) fn host_timer(&mut self, timer: TimerId) {
        if let TimerId::Publish(cluster) = timer
            && let Some(cluster) = self.core.clusters.get_mut(cluster.index())
        {
            cluster.hosts.on_publish(self.cx);
        }
    }
}
