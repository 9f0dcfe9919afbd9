//! What must always hold in a run. A violation is a fault of the simulator or of the proxy core, never a finding
//! about a mesh.

use meshproof_proxy::{ClusterId, Proxy, config::RoutingPriority};

use crate::engine::{Instance, Node};

/// Watches a run.
#[derive(Clone, Debug, Default)]
pub(crate) struct Checker {
    violations: Vec<String>,
}

/// BOUND: violations that are kept; one is enough to reject a run.
const KEPT: usize = 16;

impl Checker {
    pub(crate) fn violation(&mut self, what: impl Into<String>) {
        if self.violations.len() < KEPT {
            self.violations.push(what.into());
        }
    }

    pub(crate) fn violations(self) -> Vec<String> {
        self.violations
    }

    /// Time never goes back.
    pub(crate) fn time(&mut self, before: u64, now: u64) {
        if now < before {
            self.violation(format!("time goes back from {before} to {now}"));
        }
    }

    /// A client's request ends exactly once.
    pub(crate) fn ended(&mut self, before: bool) {
        if before {
            self.violation("a request ends twice");
        }
    }

    /// A proxy's stream ends exactly once.
    pub(crate) fn ended_twice(&mut self) {
        self.violation("a stream ends twice, or one that never began");
    }

    /// No breaker is above its limit after a request was sent. Connections may be: a pool without any opens one.
    pub(crate) fn sent(&mut self, proxy: &Proxy, cluster: ClusterId) {
        for priority in [RoutingPriority::Default, RoutingPriority::High] {
            let requests = proxy.circuit(cluster, priority).requests;
            if requests.active() > requests.max() {
                let (active, max) = (requests.active(), requests.max());
                self.violation(format!("{active} active requests under a limit of {max}"));
            }
        }
    }

    /// Gauges are zero when nothing is in flight.
    pub(crate) fn at_rest(&mut self, instances: &[Instance], nodes: &[Node]) {
        for (number, instance) in instances.iter().enumerate().filter(|(_, instance)| !instance.is_asleep) {
            let streams = instance.proxy.active_streams();
            if streams > 0 {
                self.violation(format!("proxy {number} is at rest with {streams} active streams"));
            }
            for cluster in (0_u32..).take(instance.spec.clusters.len()).map(ClusterId::new) {
                for priority in [RoutingPriority::Default, RoutingPriority::High] {
                    let circuit = instance.proxy.circuit(cluster, priority);
                    let in_use = (circuit.requests.active(), circuit.pending.active(), circuit.retries);
                    if in_use != (0, 0, 0) {
                        self.violation(format!("proxy {number} is at rest with requests, pending, retries {in_use:?}"));
                    }
                }
            }
        }
        for (number, node) in nodes.iter().enumerate() {
            if node.busy > 0 || node.waiting > 0 {
                let (busy, waiting) = (node.busy, node.waiting);
                self.violation(format!("replica {number} is at rest with {busy} requests in work, {waiting} waiting"));
            }
        }
    }
}
