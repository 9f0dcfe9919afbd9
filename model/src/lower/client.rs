//! Whose configuration is lowered: its namespace, labels, identity, place, and what its proxy does.

use super::Waypoint;
use crate::{Labels, Mesh, ProxyMode, Workload, WorkloadId};

/// A client of the mesh, as routes and policies see it (0.2).
#[derive(Clone, Copy, Debug)]
pub(super) struct Client<'m> {
    id: WorkloadId,
    workload: &'m Workload,
    zone: &'m str,
    /// The waypoint that speaks for it.
    waypoint: Option<Waypoint<'m>>,
    /// Whether what it dials goes past its own proxy.
    is_past: bool,
}

impl<'m> Client<'m> {
    /// One replica of a workload.
    pub(super) fn new(mesh: &'m Mesh, id: WorkloadId, replica: u32) -> Self {
        Self { id, workload: mesh.workload(id), zone: mesh.zone_of(id, replica), waypoint: None, is_past: false }
    }

    /// The waypoint that its requests pass: what happens there happens in the waypoint's namespace and name (`AB-5`).
    pub(super) fn behind(self, waypoint: Waypoint<'m>) -> Self {
        Self { waypoint: Some(waypoint), ..self }
    }

    /// The same past its own proxy (`PA-6`).
    pub(super) const fn past_its_proxy(self) -> Self {
        Self { is_past: true, ..self }
    }

    pub(super) fn namespace(&self) -> &'m str {
        self.waypoint.map_or(self.workload.meta.namespace(), |waypoint| waypoint.namespace)
    }

    pub(super) fn labels(&self) -> &'m Labels {
        self.waypoint.map_or(&self.workload.labels, |waypoint| waypoint.labels)
    }

    pub(super) const fn workload(&self) -> WorkloadId {
        self.id
    }

    pub(super) const fn waypoint(&self) -> Option<Waypoint<'m>> {
        self.waypoint
    }

    /// The zone of its proxy, where zones are named.
    pub(super) fn zone(&self) -> Option<&'m str> {
        Some(self.zone).filter(|zone| !zone.is_empty())
    }

    /// Whether it is a proxy of its own, with nobody's application behind it.
    pub(super) const fn is_gateway(&self) -> bool {
        matches!(self.workload.proxy, ProxyMode::Gateway) || self.waypoint.is_some()
    }

    /// Whether its requests go through routes and policies; a ztunnel has neither (`AB-2`).
    pub(super) fn has_policy(&self) -> bool {
        self.waypoint.is_some()
            || (matches!(self.workload.proxy, ProxyMode::Sidecar | ProxyMode::Gateway)
                && !self.is_past
                && !self.workload.is_foreign_ingress())
    }

    /// Whether something in front of it can speak mutual TLS.
    pub(super) fn has_mtls(&self) -> bool {
        self.waypoint.is_some()
            || (!matches!(self.workload.proxy, ProxyMode::None) && !self.is_past && !self.workload.is_foreign_ingress())
    }
}
