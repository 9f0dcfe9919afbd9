//! Changes of a mesh on the way: values in, values out.

use indexmap::IndexMap;

use crate::{Located, Mesh, RolloutStep, did_you_mean, istio::VirtualService};

impl Mesh {
    /// The mesh after a step of a rollout.
    ///
    /// # Errors
    /// If the step names a VirtualService or destinations that do not exist; the message says which.
    pub fn apply(&self, step: &RolloutStep) -> Result<Self, String> {
        let RolloutStep::Weight { route, weights, .. } = step;
        self.with_weights(route, weights)
    }

    /// The mesh with other weights in the VirtualService `namespace/name`, in every rule all of whose destinations
    /// are named, by subset or, where there is none, by host. A destination that is not named gets no weight; one
    /// that is named and not there yet is added to the rule, as another subset of its host.
    ///
    /// # Errors
    /// If there is no such VirtualService, or no rule has destinations of these names; the message says which.
    pub fn with_weights(&self, route: &str, weights: &IndexMap<String, u32>) -> Result<Self, String> {
        let position = self.virtual_services.iter().position(|service| is_named(service, route)).ok_or_else(|| {
            let known: Vec<String> = self.virtual_services.iter().map(full_name).collect();
            let hint = did_you_mean(route, known.iter().map(String::as_str))
                .map_or_else(String::new, |known| format!("; did you mean `{known}`?"));
            format!("unknown VirtualService `{route}`{hint}")
        })?;
        if weights.values().all(|weight| *weight == 0) {
            return Err(format!("all weights of `{route}` are zero"));
        }
        let mut mesh = self.clone();
        let mut known = false;
        for rule in &mut mesh.virtual_services[position].http {
            let named = |name: &str| weights.contains_key(name);
            if !rule.route.iter().any(|destination| named(destination_name(destination))) {
                continue;
            }
            known = true;
            let added: Vec<_> = weights
                .iter()
                .filter(|(name, _)| !rule.route.iter().any(|destination| destination_name(destination) == *name))
                .filter_map(|(name, weight)| {
                    let mut destination = rule.route.first()?.clone();
                    let at = destination.at.clone();
                    destination.subset = Some(Located::new(name.clone(), at.clone()));
                    destination.weight = Some(Located::new(*weight, at));
                    Some(destination)
                })
                .collect();
            for destination in &mut rule.route {
                let weight = weights.get(destination_name(destination)).copied().unwrap_or(0);
                let at = destination.weight.as_ref().map_or(&destination.at, |weight| &weight.at).clone();
                destination.weight = Some(Located::new(weight, at));
            }
            rule.route.extend(added);
            // A single destination has all the traffic whatever its weight (`RT-9`): one without weight goes.
            if rule.route.len() > 1 {
                rule.route.retain(|destination| destination.weight.as_ref().is_some_and(|weight| weight.value > 0));
            }
        }
        if known {
            return Ok(mesh);
        }
        let names: Vec<&str> = weights.keys().map(String::as_str).collect();
        Err(format!("no rule of `{route}` has a destination `{}`", names.join("` or `")))
    }
}

/// What a rollout calls a destination: its subset, else its host.
fn destination_name(destination: &crate::istio::Destination) -> &str {
    destination.subset.as_ref().map_or(destination.host.value.as_str(), |subset| subset.value.as_str())
}

fn is_named(service: &VirtualService, name: &str) -> bool {
    name.split_once('/')
        .is_some_and(|(namespace, name)| service.meta.namespace() == namespace && service.meta.name() == name)
}

fn full_name(service: &VirtualService) -> String {
    format!("{}/{}", service.meta.namespace(), service.meta.name())
}
