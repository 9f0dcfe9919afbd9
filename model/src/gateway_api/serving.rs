//! Which workloads are the proxies of Gateways and Ingresses.

use super::{Address, Gateway};
use crate::{Mesh, ProxyMode, Workload, WorkloadId, complete_host};

/// The label by which the pods of a Gateway of Gateway API know it.
pub const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

/// The label of what stands in for the controller of a class of Ingresses that is not Istio's.
pub const INGRESS_CLASS: &str = "meshproof/ingress-class";

impl Workload {
    /// Whether it stands in for a controller of Ingresses that is no part of the mesh: it has no certificate of the
    /// mesh, and no policy of the mesh applies to what it sends.
    pub fn is_foreign_ingress(&self) -> bool {
        self.labels.contains_key(INGRESS_CLASS)
    }
}

impl Mesh {
    /// Whether a workload serves a Gateway of Gateway API: its pods are behind the Service that the Gateway names as
    /// its address, else they have the label with the Gateway's name, in its namespace.
    pub fn serves(&self, gateway: &Gateway, workload: WorkloadId) -> bool {
        let candidate = self.workload(workload);
        if candidate.proxy != ProxyMode::Gateway {
            return false;
        }
        let namespace = gateway.meta.namespace();
        let mut named = gateway.addresses.iter().filter_map(|address| match &address.value {
            Address::Hostname(host) => Some(complete_host(host, namespace, self.domain())),
            _ => None,
        });
        if let Some(first) = named.next() {
            let mut hosts = std::iter::once(first).chain(named);
            return hosts.any(|host| {
                self.find_host(&host).is_some_and(|service| self.workloads_of(service).any(|id| id == workload))
            });
        }
        candidate.meta.namespace() == namespace
            && candidate.labels.get(GATEWAY_NAME).is_some_and(|name| name == gateway.meta.name())
    }

    /// Whether a workload carries out the Ingresses of a class (empty: of none): of `istio` the ingress gateway that
    /// its installation brings (`IN-1`).
    pub fn serves_ingress(&self, class: &str, workload: WorkloadId) -> bool {
        let candidate = self.workload(workload);
        let has = |key: &str, value: &str| candidate.labels.get(key).is_some_and(|known| known == value);
        let is_meant = if class == "istio" { has("istio", "ingressgateway") } else { has(INGRESS_CLASS, class) };
        candidate.proxy == ProxyMode::Gateway && is_meant
    }

    /// Whether requests from outside arrive at a workload: it serves a Gateway, or carries out Ingresses.
    pub(crate) fn is_entry(&self, workload: WorkloadId) -> bool {
        self.gateways.iter().any(|gateway| self.selects(gateway, workload))
            || self.gateway_api.gateways.iter().any(|gateway| self.serves(gateway, workload))
            || self.gateway_api.ingresses.iter().any(|ingress| self.serves_ingress(ingress.class_name(), workload))
    }
}
