//! What of EnvoyFilters is understood (`EF-1`): local rate limits of servers' own proxies (`RL-3`), and hedging of
//! clients' routes.

use meshproof_proxy::config::{Action, Filter};

use super::{Lowering, outbound::Routing};
use crate::{
    Location, ResourceRef, Workload, is_subset,
    istio::{EnvoyFilter, PatchContext, PatchPattern},
};

impl Lowering<'_> {
    /// The limits on a port of a sidecar, in the order in which their patches are applied. Each proxy has a bucket of
    /// its own.
    pub(super) fn local_rate_limits(&self, server: &Workload, port: u16) -> Vec<(Filter, ResourceRef, Location)> {
        let mut limits = Vec::new();
        for filter in self.envoy_filters(server) {
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

    /// Hedging of what a sidecar sends to a port: of several patches the last one counts.
    pub(super) fn hedge(&self, client: &Workload, port: u16, routing: &mut Routing) {
        for patch in self.envoy_filters(client).flat_map(|filter| &filter.patches) {
            let outbound = matches!(patch.context, PatchContext::SidecarOutbound | PatchContext::Any);
            let PatchPattern::Hedge(hedge) = &patch.pattern else { continue };
            if !outbound || patch.port.is_some_and(|only| only != port) {
                continue;
            }
            let is_meant = |wanted: &Option<String>, name: &str| wanted.as_deref().is_none_or(|wanted| wanted == name);
            for host in routing.hosts.iter_mut().filter(|host| is_meant(&hedge.virtual_host, &host.name)) {
                for route in host.routes.iter_mut().filter(|route| is_meant(&hedge.route, &route.name)) {
                    if let Action::Forward(action) = &mut route.action {
                        action.hedge_on_per_try_timeout = hedge.on_per_try_timeout;
                    }
                }
            }
        }
    }

    /// The filters that select a pod's sidecar, in the order in which they are applied.
    fn envoy_filters<'l>(&'l self, workload: &'l Workload) -> impl Iterator<Item = &'l EnvoyFilter> {
        let root = self.mesh.settings.root_namespace.value.as_str();
        self.mesh.envoy_filters.iter().filter(move |filter| {
            let namespace = filter.meta.namespace();
            !filter.has_target_refs
                && (namespace == root || namespace == workload.meta.namespace())
                && is_subset(&filter.selector, &workload.labels)
        })
    }
}
