//! Changes of a mesh on the way: values in, values out.

use indexmap::IndexMap;

use crate::{
    Located, Mesh, RolloutStep, did_you_mean,
    istio::{Destination, HttpRoute, VirtualService},
};

impl Mesh {
    /// The mesh after new weights; what other steps do to manifests is in the [`Stage`](crate::Stage) that follows them.
    ///
    /// # Errors
    /// If the step names a VirtualService or destinations that do not exist; the message says which.
    pub fn apply(&self, step: &RolloutStep) -> Result<Self, String> {
        match step {
            RolloutStep::Weight { route, weights, .. } => self.with_weights(route, weights),
            _ => Ok(self.clone()),
        }
    }

    /// The mesh with other weights in the VirtualService `namespace/name`: in the rules that split their requests and
    /// name one of these destinations, or, where none splits, in those that name one. A destination is named by its
    /// subset or, where there is none, by its host. One that is not among the weights gets none; one that is and is
    /// not in the rule yet is added to it.
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
        let rules = &mut mesh.virtual_services[position].http;
        let names = |rule: &HttpRoute| rule.route.iter().any(|destination| weights.contains_key(name_of(destination)));
        let splits = rules.iter().any(|rule| rule.route.len() > 1 && names(rule));
        let mut known = false;
        for rule in rules.iter_mut().filter(|rule| names(rule) && (!splits || rule.route.len() > 1)) {
            known = true;
            set_weights(rule, weights);
        }
        if known {
            return Ok(mesh);
        }
        let names: Vec<&str> = weights.keys().map(String::as_str).collect();
        Err(format!("no rule of `{route}` has a destination `{}`", names.join("` or `")))
    }
}

fn set_weights(rule: &mut HttpRoute, weights: &IndexMap<String, u32>) {
    let is_new = |name: &str| !rule.route.iter().any(|destination| name_of(destination) == name);
    let added: Vec<Destination> = weights
        .iter()
        .filter(|(name, _)| is_new(name))
        .filter_map(|(name, weight)| {
            let mut destination = rule.route.first()?.clone();
            let at = destination.at.clone();
            match &mut destination.subset {
                Some(subset) => subset.value.clone_from(name),
                None => destination.host.value.clone_from(name),
            }
            destination.weight = Some(Located::new(*weight, at));
            Some(destination)
        })
        .collect();
    for destination in &mut rule.route {
        let weight = weights.get(name_of(destination)).copied().unwrap_or(0);
        let at = destination.weight.as_ref().map_or(&destination.at, |weight| &weight.at).clone();
        destination.weight = Some(Located::new(weight, at));
    }
    rule.route.extend(added);
}

/// What a rollout calls a destination: its subset, else its host.
fn name_of(destination: &Destination) -> &str {
    destination.subset.as_ref().map_or(destination.host.value.as_str(), |subset| subset.value.as_str())
}

fn is_named(service: &VirtualService, name: &str) -> bool {
    name.split_once('/')
        .is_some_and(|(namespace, name)| service.meta.namespace() == namespace && service.meta.name() == name)
}

fn full_name(service: &VirtualService) -> String {
    format!("{}/{}", service.meta.namespace(), service.meta.name())
}
