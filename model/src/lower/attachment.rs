//! Which policies hold for a proxy (`AZ-1`, `RA-1`).

use super::Lowering;
use crate::{GATEWAY_NAME, Labels, Meta, ProxyMode, Service, WorkloadId, is_subset, istio::TargetRef};

const GATEWAY_API: &str = "gateway.networking.k8s.io";

/// A proxy, as policies are attached to it.
pub(super) struct Attachment<'m> {
    namespace: &'m str,
    /// Of its pods; `None`: a waypoint, whose pods the manifests do not describe.
    labels: Option<&'m Labels>,
    /// The Gateway of the Gateway API that it serves.
    gateway_name: Option<&'m str>,
    root: &'m str,
    /// The Istio Gateways that it serves.
    gateways: Vec<&'m Meta>,
    waypoint: Waypoint<'m>,
}

/// Whether a proxy is a waypoint, and in front of what.
#[derive(Clone, Copy)]
enum Waypoint<'m> {
    None,
    Workloads,
    Service(&'m Service),
}

impl<'m> Waypoint<'m> {
    const fn service(self) -> Option<&'m Service> {
        match self {
            Self::Service(service) => Some(service),
            Self::None | Self::Workloads => None,
        }
    }

    const fn is_none(self) -> bool {
        matches!(self, Self::None)
    }
}

/// What decides where a policy holds.
pub(super) struct Reach<'p> {
    pub(super) meta: &'p Meta,
    pub(super) selector: &'p Labels,
    pub(super) target_refs: &'p [TargetRef],
}

impl<'m> Attachment<'m> {
    /// A workload's own proxy, or a gateway.
    pub(super) fn of(lowering: &Lowering<'m>, id: WorkloadId) -> Self {
        let mesh = lowering.mesh;
        let workload = mesh.workload(id);
        let serves = workload.proxy == ProxyMode::Gateway;
        let gateways = mesh.gateways.iter().filter(|gateway| serves && mesh.selects(gateway, id));
        Self {
            namespace: workload.meta.namespace(),
            labels: Some(&workload.labels),
            gateway_name: workload.labels.get(GATEWAY_NAME).map(String::as_str),
            root: &mesh.settings.root_namespace.value,
            gateways: gateways.map(|gateway| &gateway.meta).collect(),
            waypoint: Waypoint::None,
        }
    }

    /// A waypoint in front of a service, or of workloads.
    pub(super) fn of_waypoint(
        lowering: &Lowering<'m>,
        namespace: &'m str,
        name: &'m str,
        service: Option<&'m Service>,
    ) -> Self {
        Self {
            namespace,
            labels: None,
            gateway_name: Some(name),
            root: &lowering.mesh.settings.root_namespace.value,
            gateways: Vec::new(),
            waypoint: service.map_or(Waypoint::Workloads, Waypoint::Service),
        }
    }

    /// The labels of its pods; `None`: a waypoint's, which nothing selects.
    pub(super) const fn labels(&self) -> Option<&'m Labels> {
        self.labels
    }

    /// Namespaces whose policies may hold, the root namespace first.
    pub(super) fn namespaces(&self) -> Vec<&'m str> {
        let of_service = self.waypoint.service().map(|service| service.meta.namespace());
        let mut namespaces = vec![self.root];
        for namespace in [Some(self.namespace), of_service].into_iter().flatten() {
            if !namespaces.contains(&namespace) {
                namespaces.push(namespace);
            }
        }
        namespaces
    }

    /// Whether a policy holds. One with targets holds for those only; one with a selector, or neither, for pods that
    /// are no waypoint.
    pub(super) fn admits(&self, policy: &Reach<'_>) -> bool {
        let own = policy.meta.namespace();
        if policy.target_refs.is_empty() {
            let in_reach = own == self.root || own == self.namespace;
            return in_reach && self.labels.is_some_and(|labels| is_subset(policy.selector, labels));
        }
        policy.target_refs.iter().any(|target| self.is_target(target, own))
    }

    fn is_target(&self, target: &TargetRef, own: &str) -> bool {
        let is_gateway = |gateway: &&Meta| {
            gateway.namespace() == own && target.names("networking.istio.io", "Gateway", gateway.name(), own)
        };
        if self.gateways.iter().any(is_gateway) {
            return true;
        }
        if let Some(service) = self.waypoint.service().filter(|service| service.meta.namespace() == own) {
            let group = if service.meta.resource.kind == "Service" { "" } else { "networking.istio.io" };
            if target.names(group, &service.meta.resource.kind, service.meta.name(), own) {
                return true;
            }
        }
        let every_waypoint = !self.waypoint.is_none()
            && own == self.root
            && target.group == GATEWAY_API
            && target.kind == "GatewayClass"
            && target.name == "istio-waypoint";
        every_waypoint
            || (self.namespace == own
                && self.gateway_name.is_some_and(|name| target.names(GATEWAY_API, "Gateway", name, own)))
    }
}
