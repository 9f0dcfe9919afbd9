//! What a sidecar knows of the mesh (`SC-1` to `SC-3`, `VS-4`).

use super::{Lowering, index::age};
use crate::{
    ProxyMode, Service, Sourced, WorkloadId, host_covers, is_subset,
    istio::{Egress, Sidecar},
};

impl<'m> Lowering<'m> {
    /// The Sidecar of a workload (`SC-1`): of its namespace one that selects it, else one for all pods, else the root
    /// namespace's; the oldest of each. Gateways have none.
    pub(super) fn sidecar_of(&self, id: WorkloadId) -> Option<&'m Sidecar> {
        let workload = self.mesh.workload(id);
        if workload.proxy != ProxyMode::Sidecar {
            return None;
        }
        let root = self.mesh.settings.root_namespace.value.as_str();
        let oldest = |namespace: &str, admits: &dyn Fn(&Sidecar) -> bool| {
            let all = self.mesh.sidecars.iter();
            all.filter(|sidecar| sidecar.meta.namespace() == namespace && admits(sidecar))
                .min_by_key(|sidecar| age(&sidecar.meta))
        };
        let own = workload.meta.namespace();
        oldest(own, &|s| !s.selector.is_empty() && is_subset(&s.selector, &workload.labels))
            .or_else(|| oldest(own, &|sidecar| sidecar.selector.is_empty()))
            .or_else(|| oldest(root, &|sidecar| sidecar.selector.is_empty()))
    }

    /// Whether hosts that nobody defines, or that are not imported, can be called (`SC-3`).
    pub fn allows_any(&self, client: WorkloadId) -> Sourced<bool> {
        let own = self.sidecar_of(client).and_then(|sidecar| sidecar.outbound_allow_any.clone());
        own.map_or_else(|| self.mesh.settings.outbound_allow_any.clone(), Sourced::from)
    }

    /// Whether a client's sidecar knows a service's port (`SC-2`).
    pub fn imports(&self, client: WorkloadId, service: &Service, port: u16) -> bool {
        let namespace = self.mesh.workload(client).meta.namespace();
        super::index::is_visible(service, namespace)
            && self.sidecar_of(client).is_none_or(|sidecar| {
                let on_port = |egress: &&Egress| egress.port.is_none_or(|wanted| wanted == port);
                admits(sidecar, service.meta.namespace(), &|host| host_covers(host, &service.host), &on_port)
            })
    }
}

/// Whether a Sidecar imports an object of a namespace with some host (`SC-2`, `VS-4`).
pub(super) fn admits(
    sidecar: &Sidecar,
    namespace: &str,
    covers: &dyn Fn(&str) -> bool,
    counts: &dyn Fn(&&Egress) -> bool,
) -> bool {
    if sidecar.egress.is_empty() {
        return true;
    }
    let own = sidecar.meta.namespace();
    let mut included = false;
    for written in sidecar.egress.iter().filter(counts).flat_map(|egress| &egress.hosts) {
        let written = written.value.to_ascii_lowercase();
        let Some((of, host)) = written.split_once('/') else { continue };
        let (excludes, of) = match of.strip_prefix('~') {
            Some(of) if !of.is_empty() => (true, of),
            _ => (false, of),
        };
        let of_namespace = of == "*" || of == namespace || (of == "." && namespace == own);
        if of_namespace && covers(host) {
            if excludes {
                return false;
            }
            included = true;
        }
    }
    included
}
