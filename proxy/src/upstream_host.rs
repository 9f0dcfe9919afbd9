//! What the hosts of a cluster are told of each attempt (Envoy: `Outlier::DetectorHostMonitor`).

use crate::{
    ClusterId, Cx, HealthResult, HostId, Nanos, TimerId,
    hosts::{Hosts, LocalOrigin},
    machine::Machine,
};

impl<'c> Machine<'_, 'c> {
    /// An attempt got its place on a connection.
    pub(crate) fn host_connected(&mut self, cluster: ClusterId, host: HostId) {
        self.tell_hosts(cluster, |hosts, cx| hosts.put_local(cx, host, LocalOrigin::Connected));
    }

    /// An attempt failed without an answer. `timeout_status`: by a timeout, which the client sees as this status.
    pub(crate) fn host_failed(&mut self, cluster: ClusterId, host: HostId, timeout_status: Option<u16>) {
        let event = timeout_status.map_or(LocalOrigin::Failed, LocalOrigin::Timeout);
        self.tell_hosts(cluster, |hosts, cx| hosts.put_local(cx, host, event));
    }

    /// A host has answered with this status, or with a gRPC status that stands for it. `fails`: it takes itself out at
    /// once, if the cluster checks health.
    pub(crate) fn host_answered(&mut self, cluster: ClusterId, host: HostId, status: u16, fails: bool) {
        self.tell_hosts(cluster, |hosts, cx| {
            hosts.put_code(cx, host, status);
            if fails {
                hosts.fail_immediately(cx, host);
            }
        });
    }

    /// A host's response headers took so long, counted from the attempt's place on a connection.
    pub(crate) fn host_latency(&mut self, cluster: ClusterId, host: HostId, latency: Nanos) {
        self.tell_hosts(cluster, |hosts, cx| hosts.observe_latency(cx.now, host, latency));
    }

    /// A health check has ended.
    pub(crate) fn host_checked(&mut self, cluster: ClusterId, host: HostId, result: HealthResult) {
        self.tell_hosts(cluster, |hosts, cx| hosts.on_health_checked(cx, host, result));
    }

    /// A timer of a cluster's hosts has fired.
    pub(crate) fn host_timer(&mut self, timer: TimerId) {
        if let Some(cluster) = cluster_of(timer) {
            self.tell_hosts(cluster, |hosts, cx| hosts.on_timer(cx, timer));
        }
    }

    fn tell_hosts(&mut self, cluster: ClusterId, tell: impl FnOnce(&mut Hosts, &mut Cx<'c>)) {
        if let Some(cluster) = self.core.clusters.get_mut(cluster.index()) {
            tell(&mut cluster.hosts, self.cx);
        }
    }
}

/// Whose hosts a timer belongs to.
pub(crate) const fn cluster_of(timer: TimerId) -> Option<ClusterId> {
    match timer {
        TimerId::Outlier(cluster)
        | TimerId::Publish(cluster)
        | TimerId::HealthCheck(cluster, _)
        | TimerId::HealthCheckTimeout(cluster, _)
        | TimerId::Penalty(cluster, _) => Some(cluster),
        _ => None,
    }
}
