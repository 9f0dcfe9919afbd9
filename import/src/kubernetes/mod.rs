//! Kubernetes' kinds: what can be called, what runs, and who gets a proxy.

mod autoscaler;
mod endpoints;
pub(crate) mod ingress;
pub(crate) mod ingress_proxy;
pub(crate) mod injection;
mod life;
pub(crate) use life::int_or_percent;
pub(crate) mod namespace;
mod network_policy;
pub(crate) mod protocol;
pub(crate) mod selector;
pub(crate) mod service;
pub(crate) mod workload;

use meshproof_model::Mesh;

use crate::{cx::Cx, object::Object};

/// Reads an object that is neither a service nor a workload into the mesh.
pub(crate) fn read(object: &Object<'_>, mesh: &mut Mesh, cx: &mut Cx) {
    let kubernetes = &mut mesh.kubernetes;
    match object.meta.resource.kind.as_str() {
        "NetworkPolicy" => kubernetes.network_policies.extend(network_policy::read(object, cx)),
        "HorizontalPodAutoscaler" => kubernetes.autoscalers.extend(autoscaler::read(object, cx)),
        "PodDisruptionBudget" => kubernetes.disruption_budgets.extend(autoscaler::disruption_budget(object, cx)),
        "EndpointSlice" => kubernetes.endpoints.extend(endpoints::slice(object, cx)),
        "Endpoints" => kubernetes.endpoints.push(endpoints::of_service(object, cx)),
        _ => {}
    }
}
