//! Services of type `ExternalName`: other names for the host that they point to (`EN-1`).

use std::collections::BTreeMap;

use super::Lowering;
use crate::{Mesh, ServiceId};

/// The service that each alias leads to in the end; an alias of a host that is no service of the mesh leads nowhere.
pub(super) fn resolve(mesh: &Mesh) -> BTreeMap<ServiceId, ServiceId> {
    mesh.service_ids().filter_map(|id| Some((id, mesh.aliased(id)?))).collect()
}

impl Lowering<'_> {
    /// The service that is meant by one that is dialled: an alias stands for its target with the target's routes and
    /// rules, on the target's ports (`EN-1`).
    pub fn meant(&self, service: ServiceId, port: u16) -> ServiceId {
        let target = self.aliases.get(&service).copied();
        target.filter(|target| self.mesh.service(*target).port(port).is_some()).unwrap_or(service)
    }

    /// The services that are other names for one.
    pub(super) fn aliases_of(&self, target: ServiceId) -> impl Iterator<Item = ServiceId> {
        self.aliases.iter().filter(move |(_, meant)| **meant == target).map(|(alias, _)| *alias)
    }
}
