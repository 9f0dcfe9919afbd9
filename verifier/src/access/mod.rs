//! Who may call what (`P4`): access control, mutual TLS and `NetworkPolicies` together, over all requests.
//!
//! A request is what a server's proxy sees: the peer's identity, and fields that are free. For one client and one port
//! of a server everything but the fields is known, and what passes is a formula on patterns of fields: exact texts,
//! prefixes, regular expressions, blocks of addresses. There is no theory of strings: a pattern is a truth value, and
//! which of them can go together is decided by values that are found ([`search`]). **Checked by** Z3 where a verdict
//! rests on there being none ([`Recheck`]).

mod example;
mod formula;
pub(crate) mod matrix;
mod network;
mod recheck;
mod search;
#[cfg(test)]
mod tests;

use std::{cell::RefCell, collections::BTreeMap, rc::Rc};

use meshproof_model::{Lowered, Lowering, Mesh, ProxyMode, ServiceId, Transport, Waypoint, WorkloadId};

pub(crate) use example::{deciding_lines, holds, request_example, request_line};
pub(crate) use formula::{
    Atoms, Decision, Peer, Seen, decision, header, refuses_by_default, rule_matches, string, template_pattern,
};
pub(crate) use recheck::{Recheck, recheck};
pub(crate) use search::{Fields, Outcome, constant, search};

use crate::property::mtls::{
    Facts, Outcome as Link,
    links::{Server, servers, speaks},
    outcome, speaks_http,
};

/// The port of the tunnel between ambient pods.
const HBONE: u16 = 15_008;

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Client {
    /// Pods of this workload, as its manifests and policies let them speak.
    Workload(WorkloadId),
    /// Somebody outside of the mesh, in plaintext, from any address.
    Outside,
    /// Anybody with a certificate of the mesh, whatever the name in it.
    Anyone,
}

/// Access to every port of a mesh.
pub(crate) struct Access<'m> {
    /// The mesh.
    pub mesh: &'m Mesh,
    /// The mesh, prepared.
    pub lowering: Lowering<'m>,
    /// Every port that can be called.
    pub servers: Vec<Server>,
    lowered: RefCell<BTreeMap<usize, Rc<Lowered>>>,
}

/// What becomes of a client's requests at a port.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    /// Which requests pass.
    pub decision: Decision,
    /// Whom the server sees; the first of several services that lead there.
    pub peer: Option<Peer>,
    /// Whether one proxy alone decides, whichever service leads there.
    pub is_single: bool,
    /// Whether a `NetworkPolicy` refuses, whatever the request.
    pub refused_by_network: bool,
}

impl<'m> Access<'m> {
    /// Prepares a mesh.
    pub(crate) fn new(mesh: &'m Mesh) -> Self {
        let lowering = Lowering::new(mesh);
        let servers = servers(mesh, &lowering);
        Self { mesh, lowering, servers, lowered: RefCell::default() }
    }

    /// The ports of a workload, as numbers of [`Access::servers`].
    pub(crate) fn ports_of(&self, workload: WorkloadId) -> impl Iterator<Item = usize> {
        (0..self.servers.len()).filter(move |number| self.servers[*number].workload == workload)
    }

    /// The server's own configuration for a port.
    pub(crate) fn inbound(&self, server: usize) -> Rc<Lowered> {
        if let Some(known) = self.lowered.borrow().get(&server) {
            return known.clone();
        }
        let Server { workload, port, .. } = &self.servers[server];
        let made = Rc::new(self.lowering.inbound_port(*workload, *port, None));
        self.lowered.borrow_mut().insert(server, made.clone());
        made
    }

    /// Whether the pods' proxy sees what arrives on a port.
    pub(crate) fn is_guarded(&self, server: usize) -> bool {
        self.servers[server].mode.is_some()
    }

    /// What becomes of a client's requests at a port.
    pub(crate) fn arrival(&self, client: Client, server: usize, atoms: &mut Atoms) -> Arrival {
        let found = &self.servers[server];
        let network = match client {
            Client::Workload(id) => {
                // Between ambient pods the network sees the tunnel.
                let is_ambient = |id: WorkloadId| self.mesh.workload(id).proxy == ProxyMode::Ambient;
                let port = if is_ambient(id) && is_ambient(found.workload) { HBONE } else { found.port };
                Decision::always(self.mesh.connection_allowed(id, found.workload, port).allowed)
            }
            Client::Outside => {
                let passes = network::from_outside(self.mesh, found.workload, found.port, atoms);
                Decision { may: passes.clone(), must: passes }
            }
            Client::Anyone => Decision::always(true),
        };
        let refused_by_network = network.may == crate::term::Bool::Const(false);
        let (mut may, mut must) = (Vec::new(), Vec::new());
        let links = self.links(client, found);
        for (peer, service) in &links {
            let passes = match peer {
                Some(peer) => self.admits(client, peer, *service, server, atoms),
                None => Decision::always(false),
            };
            may.push(passes.may);
            must.push(passes.must);
        }
        // Over some service that leads there; what must pass, over each.
        let some = Decision { may: crate::term::Bool::Or(may), must: crate::term::Bool::And(must) };
        let is_single = links.iter().all(|(peer, _)| *peer == links[0].0)
            && !links.iter().any(|(_, service)| self.waypoint(client, *service).is_some());
        let peer = links.into_iter().find_map(|(peer, _)| peer);
        Arrival { decision: some.and(network), peer, is_single, refused_by_network }
    }

    /// Whom the server sees, over each service that leads to the port; `None`: the connection fails.
    pub(crate) fn peers(&self, client: Client, server: usize) -> Vec<Option<Peer>> {
        self.links(client, &self.servers[server]).into_iter().map(|(peer, _)| peer).collect()
    }

    fn links(&self, client: Client, server: &Server) -> Vec<(Option<Peer>, Option<(ServiceId, u16)>)> {
        let id = match client {
            Client::Outside => return vec![(self.meets(Transport::Plaintext, server, false, client), None)],
            Client::Anyone => return vec![(self.meets(Transport::IstioMutual, server, false, client), None)],
            Client::Workload(id) => id,
        };
        let mut links: Vec<_> = server
            .services
            .iter()
            .map(|(service, port, protocol)| {
                let (transport, _) = speaks(self.mesh, &self.lowering, id, (*service, *port), server.workload);
                (self.meets(transport, server, speaks_http(*protocol), client), Some((*service, *port)))
            })
            .collect();
        if links.is_empty() {
            // Straight to the pods.
            let has_mtls = |id: WorkloadId| self.mesh.workload(id).proxy != ProxyMode::None;
            let both = has_mtls(id) && server.mode.is_some() && self.mesh.settings.enable_auto_mtls.value;
            let speaks = both && server.mode != Some(meshproof_model::istio::MtlsMode::Disable);
            let transport = if speaks { Transport::IstioMutual } else { Transport::Plaintext };
            links.push((self.meets(transport, server, false, client), None));
        }
        links.dedup();
        links
    }

    fn meets(&self, transport: Transport, server: &Server, is_http: bool, client: Client) -> Option<Peer> {
        match outcome(Facts { transport, mode: server.mode, is_http }) {
            Link::Fails => None,
            Link::Plaintext | Link::ApplicationTls => Some(Peer::Plaintext),
            Link::Mutual => Some(match client {
                Client::Workload(id) => Peer::Named(self.lowering.spiffe(id)),
                Client::Outside | Client::Anyone => Peer::Anyone,
            }),
        }
    }

    /// The waypoint that a client's traffic to a service passes (`AB-4`).
    fn waypoint(&self, client: Client, service: Option<(ServiceId, u16)>) -> Option<Waypoint<'m>> {
        match (client, service) {
            (Client::Workload(id), Some((service, _))) if self.mesh.workload(id).proxy == ProxyMode::Ambient => {
                self.lowering.waypoint_of(service)
            }
            _ => None,
        }
    }

    /// The access control on the way: a waypoint's where the client's traffic passes it (`AB-4`), then the server's.
    fn admits(
        &self,
        client: Client,
        peer: &Peer,
        service: Option<(ServiceId, u16)>,
        server: usize,
        atoms: &mut Atoms,
    ) -> Decision {
        let port = self.servers[server].port;
        let at_server = |peer: &Peer, atoms: &mut Atoms| {
            if !self.is_guarded(server) {
                return Decision::always(true);
            }
            let lowered = self.inbound(server);
            let filters = lowered.config.listeners.first().map_or(&[][..], |listener| &listener.filters);
            decision(filters, Seen { peer, port }, atoms)
        };
        let through = self.waypoint(client, service).zip(service);
        let Some((waypoint, (service, dialled))) = through else { return at_server(peer, atoms) };
        let access = self.lowering.waypoint_access(waypoint, service, dialled);
        let filters = access.config.listeners.first().map_or(&[][..], |listener| &listener.filters);
        let first = decision(filters, Seen { peer, port: dialled }, atoms);
        first.and(at_server(&Peer::Named(self.lowering.spiffe_of_waypoint(waypoint)), atoms))
    }
}
