//! Local rate limits that EnvoyFilters add to servers' own proxies (`EF-1`, `RL-3`).

use meshproof_proxy::config::Filter;

use super::Lowering;
use crate::{
    Location, ResourceRef, Workload, is_subset,
    istio::{EnvoyFilter, PatchContext, PatchPattern},
};

impl Lowering<'_> {
    /// The limits on a port of a sidecar, in the order in which their patches are applied. Each proxy has a bucket of
    /// its own.
    pub(super) fn local_rate_limits(&self, server: &Workload, port: u16) -> Vec<(Filter, ResourceRef, Location)> {
        let root = self.mesh.settings.root_namespace.value.as_str();
        let selects = |filter: &&EnvoyFilter| {
            let namespace = filter.meta.namespace();
            !filter.has_target_refs
                && (namespace == root || namespace == server.meta.namespace())
                && is_subset(&filter.selector, &server.labels)
        };
        let mut limits = Vec::new();
        for filter in self.mesh.envoy_filters.iter().filter(selects) {
            for patch in &filter.patches {
                let inbound = matches!(patch.context, PatchContext::SidecarInbound | PatchContext::Any);
                let PatchPattern::LocalRateLimit(limit) = &patch.pattern else { continue };
                if inbound && limit.acts() && patch.port.is_none_or(|only| only == port) {
                    let filter_of = Filter::LocalRateLimit(limit.filter());
                    limits.push((filter_of, filter.meta.resource.clone(), patch.at.clone()));
                }
            }
        }
        limits
    }
}
