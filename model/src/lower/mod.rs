//! What the objects of a mesh mean together for one proxy: the configuration that Istio would give to it.
//!
//! Every rule of the book's chapter on semantics that is applied is named by its id (`RT-11`) where it is applied, and
//! in the table tests.

mod alias;
mod attachment;
mod capture;
mod claim;
mod client;
mod cluster;
mod delegate;
mod destination_rule;
mod envoy_filter;
mod gateway;
mod gateway_api;
mod inbound;
mod index;
mod jwt;
mod linkerd;
mod locality;
mod mtls;
mod outbound;
mod provenance;
mod rbac;
mod rbac_match;
mod retry;
mod route;
mod route_match;
mod scope;
mod tcp;
mod wanted;
mod waypoint;

pub use claim::{claim_header, claim_value};
use destination_rule::Merged;
pub use index::Lowering;
pub use jwt::TOKEN_KEY;
pub use provenance::*;
pub use rbac::{RuleName, rule_name};
pub use waypoint::Waypoint;

use crate::{Mesh, ServiceId, Sourced, WorkloadId, istio::MtlsMode};

impl Mesh {
    /// A client's configuration for what it dials, seen from its first replica. Where many proxies are lowered,
    /// [`Lowering::outbound`] is cheaper.
    pub fn outbound(&self, client: WorkloadId, to: &[(ServiceId, u16)]) -> Lowered {
        Lowering::new(self).outbound(client, 0, to)
    }

    /// A gateway's configuration: all servers of the Gateways that select it.
    pub fn gateway(&self, gateway: WorkloadId) -> Lowered {
        Lowering::new(self).gateway(gateway, 0)
    }

    /// The configuration of a server's own proxy: one listener and one cluster for each port of its pods.
    pub fn inbound(&self, server: WorkloadId) -> Lowered {
        Lowering::new(self).inbound(server)
    }

    /// What a workload accepts on a port of its pods (`11.6`).
    pub fn server_mode(&self, server: WorkloadId, port: u16) -> Sourced<MtlsMode> {
        Lowering::new(self).server_mode(server, port)
    }

    /// How a client reaches an endpoint of a service's port (`11.5`); `None` is a client outside the mesh.
    pub fn client_transport(
        &self,
        client: Option<WorkloadId>,
        service: ServiceId,
        port: u16,
        endpoint: WorkloadId,
    ) -> Sourced<Transport> {
        Lowering::new(self).client_transport(client, service, port, endpoint)
    }
}
