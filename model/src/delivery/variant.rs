//! What a mesh becomes while a controller shifts requests to a new version (`AR-4`, `FL-1`).

use indexmap::IndexMap;

use super::{Canary, CanaryStrategy, Rollout, RolloutStrategy};
use crate::{Mesh, complete_host, istio::VirtualService};

impl Mesh {
    /// The mesh at the weights that controllers set on the way, each with its condition in words: while the canary gets
    /// some of the requests, and when it gets all. How many it gets between changes which of them fail, not what can
    /// happen to one.
    pub fn rollout_variants(&self) -> Vec<(String, Self)> {
        let rollouts = self.delivery.rollouts.iter().flat_map(|rollout| match &rollout.strategy {
            RolloutStrategy::Canary(canary) => self.of_rollout(rollout, canary),
            _ => Vec::new(),
        });
        let canaries = self.delivery.canaries.iter().flat_map(|canary| self.of_canary(canary));
        rollouts.chain(canaries).collect()
    }

    fn of_rollout(&self, rollout: &Rollout, canary: &CanaryStrategy) -> Vec<(String, Self)> {
        let own = rollout.meta.namespace();
        let mut variants = Vec::new();
        for (route, stable, new) in self.managed(rollout, canary) {
            for weight in reached(&canary.weights()) {
                let what = format!("while Rollout {own}/{} gives its canary {weight} %", rollout.meta.name());
                let weights = IndexMap::from([(stable.clone(), 100 - weight), (new.clone(), weight)]);
                variants.extend(self.with_weights(&route, &weights).ok().map(|mesh| (what, mesh)));
            }
        }
        variants
    }

    /// The VirtualServices whose weights a Rollout sets (`AR-4`), as `namespace/name`, each with its name of the stable
    /// destination and of the canary.
    pub(super) fn managed(&self, rollout: &Rollout, canary: &CanaryStrategy) -> Vec<(String, String, String)> {
        let Some(traffic) = canary.traffic.as_ref().filter(|traffic| traffic.kind == "istio") else {
            return Vec::new();
        };
        let own = rollout.meta.namespace();
        let mut found = Vec::new();
        for managed in traffic.routes.iter().filter(|managed| managed.kind == "VirtualService") {
            let (name, namespace) = managed.name.value.split_once('.').unwrap_or((&managed.name.value, own));
            let is_meant =
                |service: &&VirtualService| service.meta.name() == name && service.meta.namespace() == namespace;
            let Some(service) = self.virtual_services.iter().find(is_meant) else { continue };
            let ends = match &traffic.subsets {
                Some((_, canary, stable)) => Some((stable.clone(), canary.clone())),
                None => {
                    canary.stable_service.as_ref().zip(canary.canary_service.as_ref()).and_then(|(stable, canary)| {
                        Some((self.written(service, &stable.value)?, self.written(service, &canary.value)?))
                    })
                }
            };
            found.extend(ends.map(|(stable, new)| (format!("{namespace}/{name}"), stable, new)));
        }
        found
    }

    fn of_canary(&self, canary: &Canary) -> Vec<(String, Self)> {
        let namespace = canary.meta.namespace();
        let target = &canary.target.value.1;
        let apex = canary.service.name.as_ref().map_or(target.as_str(), |name| name.value.as_str());
        let pods = |name: &str| self.find_workload(namespace, name);
        let (Some(primary), Some(id)) = (pods(&format!("{target}-primary")), pods(target)) else { return Vec::new() };
        let mut all = canary.analysis.weights();
        all.sort_unstable();
        let mut variants = Vec::new();
        for weight in reached(&all) {
            let what = format!("while Canary {namespace}/{} gives the new version {weight} %", canary.meta.name());
            let weights =
                IndexMap::from([(format!("{apex}-primary"), 100 - weight), (format!("{apex}-canary"), weight)]);
            let Ok(mut mesh) = self.with_weights(&format!("{namespace}/{apex}"), &weights) else { continue };
            mesh.workloads[id.index()].replicas = self.workload(primary).replicas.clone();
            variants.push((what, mesh));
        }
        variants
    }

    /// A service's name as the rules of a VirtualService write it.
    fn written(&self, service: &VirtualService, name: &str) -> Option<String> {
        let full = |host: &str| complete_host(host, service.meta.namespace(), self.domain());
        let hosts = service.http.iter().flat_map(|rule| &rule.route).map(|destination| &destination.host.value);
        hosts.into_iter().find(|host| full(host) == full(name)).cloned()
    }
}

/// One weight on the way, and the last one if it is all.
fn reached(weights: &[u32]) -> Vec<u32> {
    let between = weights.iter().find(|weight| (1..100).contains(*weight));
    between.into_iter().chain(weights.last().filter(|weight| **weight == 100)).copied().collect()
}
