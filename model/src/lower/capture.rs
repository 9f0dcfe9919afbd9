//! Ports that pods keep from their sidecar (`PA-6`): what arrives on them is not decrypted and not judged, what is
//! dialled on them has no routes and no mutual TLS.

use super::Lowering;
use crate::{ProxyMode, Workload, WorkloadId};

const EXCLUDE_INBOUND: &str = "traffic.sidecar.istio.io/excludeInboundPorts";
const INCLUDE_INBOUND: &str = "traffic.sidecar.istio.io/includeInboundPorts";
const EXCLUDE_OUTBOUND: &str = "traffic.sidecar.istio.io/excludeOutboundPorts";

impl Lowering<'_> {
    /// Whether what arrives on a port goes past a workload's sidecar.
    pub(super) fn skips_inbound(&self, server: WorkloadId, port: u16) -> bool {
        let workload = self.mesh.workload(server);
        let included = workload.annotations.get(INCLUDE_INBOUND).map(|ports| ports.trim());
        let is_left_out = included.is_some_and(|ports| ports != "*" && !names(ports, port));
        workload.proxy == ProxyMode::Sidecar && (is_left_out || excludes(workload, EXCLUDE_INBOUND, port))
    }

    /// Whether what a workload dials on a port goes past its sidecar.
    pub(super) fn skips_outbound(&self, client: WorkloadId, port: u16) -> bool {
        let workload = self.mesh.workload(client);
        workload.proxy == ProxyMode::Sidecar && excludes(workload, EXCLUDE_OUTBOUND, port)
    }
}

fn excludes(workload: &Workload, annotation: &str, port: u16) -> bool {
    workload.annotations.get(annotation).is_some_and(|ports| names(ports, port))
}

fn names(ports: &str, port: u16) -> bool {
    ports.split(',').any(|written| written.trim().parse() == Ok(port))
}
