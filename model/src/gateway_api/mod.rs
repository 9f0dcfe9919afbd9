//! Gateway API and Kubernetes' Ingress: gateways, routes, and the policies and grants beside them.

mod attach;
mod gateway;
mod ingress;
mod policy;
mod reference;
mod route;
mod serving;

pub use attach::*;
pub use gateway::*;
pub use ingress::*;
pub use policy::*;
pub use route::*;
pub use serving::*;

use crate::Meta;

/// Everything of Gateway API that was read, and the Ingresses, whose routes mean the same.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct GatewayApi {
    /// Who carries Gateways and routes out.
    pub implementation: Implementation,
    /// Classes of Gateways.
    pub classes: Vec<GatewayClass>,
    /// Entries into the mesh.
    pub gateways: Vec<Gateway>,
    /// Listeners that others add to a Gateway.
    pub listener_sets: Vec<ListenerSet>,
    /// HTTPRoutes and GRPCRoutes, by path and place of their document.
    pub http_routes: Vec<HttpRoute>,
    /// TLSRoutes, TCPRoutes and UDPRoutes.
    pub connection_routes: Vec<ConnectionRoute>,
    /// What may be referred to from other namespaces.
    pub grants: Vec<ReferenceGrant>,
    /// TLS from a gateway to its backends.
    pub backend_tls: Vec<BackendTlsPolicy>,
    /// Budgets for the retries towards a backend.
    pub backend_traffic: Vec<BackendTrafficPolicy>,
    /// Kubernetes' own entries.
    pub ingresses: Vec<Ingress>,
}

impl GatewayApi {
    /// Name and place of every object that lives in a namespace.
    pub fn metas(&self) -> impl Iterator<Item = &Meta> {
        (self.gateways.iter().map(|g| &g.meta))
            .chain(self.listener_sets.iter().map(|l| &l.meta))
            .chain(self.http_routes.iter().map(|r| &r.meta))
            .chain(self.connection_routes.iter().map(|r| &r.meta))
            .chain(self.grants.iter().map(|g| &g.meta))
            .chain(self.backend_tls.iter().map(|p| &p.meta))
            .chain(self.backend_traffic.iter().map(|p| &p.meta))
            .chain(self.ingresses.iter().map(|i| &i.meta))
    }
}

/// Who carries Gateways and routes out: what the API leaves open, each decides for itself (`G-13`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Implementation {
    /// Istio.
    #[default]
    Istio,
    /// Linkerd.
    Linkerd,
    /// Envoy Gateway.
    EnvoyGateway,
    /// Anyone: only what the API itself says. What it leaves open is nothing: no limit, no retries.
    Generic,
    /// Anyone: what the API leaves open is as much as an implementation may do.
    GenericMost,
}

impl Implementation {
    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Istio => "istio",
            Self::Linkerd => "linkerd",
            Self::EnvoyGateway => "envoy-gateway",
            Self::Generic | Self::GenericMost => "generic",
        }
    }

    /// The implementation of that name.
    pub fn find(name: &str) -> Option<Self> {
        [Self::Istio, Self::Linkerd, Self::EnvoyGateway, Self::Generic].into_iter().find(|known| known.name() == name)
    }
}

/// The group of Gateway API itself.
pub const GROUP: &str = "gateway.networking.k8s.io";
