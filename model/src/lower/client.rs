//! Whose configuration is lowered: its namespace, labels, identity, place, and what its proxy does.

use crate::{Labels, Mesh, ProxyMode, Workload, WorkloadId};

/// A client of the mesh, as routes and policies see it (0.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Client<'m> {
    id: WorkloadId,
    workload: &'m Workload,
    zone: &'m str,
}

impl<'m> Client<'m> {
    /// One replica of a workload.
    pub(super) fn new(mesh: &'m Mesh, id: WorkloadId, replica: u32) -> Self {
        Self { id, workload: mesh.workload(id), zone: mesh.zone_of(replica) }
    }

    pub(super) fn namespace(&self) -> &'m str {
        self.workload.meta.namespace()
    }

    pub(super) const fn labels(&self) -> &'m Labels {
        &self.workload.labels
    }

    pub(super) const fn workload(&self) -> WorkloadId {
        self.id
    }

    /// The zone of its proxy, where zones are named.
    pub(super) fn zone(&self) -> Option<&'m str> {
        Some(self.zone).filter(|zone| !zone.is_empty())
    }

    pub(super) const fn is_gateway(&self) -> bool {
        matches!(self.workload.proxy, ProxyMode::Gateway)
    }

    /// Whether its requests go through routes and policies; a ztunnel has neither (`AB-2`).
    pub(super) fn has_policy(&self) -> bool {
        matches!(self.workload.proxy, ProxyMode::Sidecar | ProxyMode::Gateway) && !self.workload.is_foreign_ingress()
    }

    /// Whether something in front of it can speak mutual TLS.
    pub(super) fn has_mtls(&self) -> bool {
        !matches!(self.workload.proxy, ProxyMode::None) && !self.workload.is_foreign_ingress()
    }
}
