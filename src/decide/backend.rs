//! The hop to the backend: whether its two sides meet, whom the server sees, and whether it lets the request in.

use std::{borrow::Cow, net::IpAddr};

use meshproof_model::{
    Mesh, ProxyMode, ResourceRef, ServiceId, WorkloadId,
    kubernetes::{Direction, Passage},
};
use meshproof_proxy::{
    config::{Cluster, DownstreamTls, Identity, TlsMode, UpstreamTls, Validity},
    tls::{self, Opening},
};

use super::{
    Answer, Decider, Outcome, Policy, Principal,
    access::Decision,
    compiled::{Compiled, Key},
    head::{Arrival, Head},
};

/// Who signs the certificates of the mesh, as far as decisions read it.
const MESH_CA: &str = "mesh";

/// The port of the tunnel between ambient pods (`AB-2`).
const HBONE: u16 = 15008;

/// Who sends the request on.
#[derive(Clone, Copy)]
pub(super) struct Hop<'q> {
    pub(super) client: WorkloadId,
    pub(super) principal: &'q Principal,
    pub(super) peer: Option<IpAddr>,
    pub(super) remote: Option<IpAddr>,
    pub(super) is_connection: bool,
    /// Whether the pods that open the connection are known, so that the network can be asked.
    pub(super) opens: bool,
}

/// Where it arrives.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) server: WorkloadId,
    /// The port of the pods.
    pub(super) port: u16,
    pub(super) address: Option<IpAddr>,
    /// What the client speaks; `None`: plaintext.
    pub(super) tls: Option<UpstreamTls>,
}

/// What becomes of a request at one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Found {
    /// The policies that do not let the connection through; `None`: it passes.
    stopped_by: Option<Passage>,
    link: Link,
    decision: Decision,
    has_proxy: bool,
}

/// What becomes of the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Link {
    Plaintext,
    Mutual,
    /// TLS without a certificate of the client.
    OneSided,
    /// The server takes mutual TLS only.
    Refused,
    /// The server does not understand what the client speaks.
    Unmatched,
}

impl Decider<'_> {
    /// What becomes of a request at the backends that an answer names.
    pub(super) fn arrive(
        &self,
        answer: &mut Answer,
        compiled: &Compiled,
        head: &Head<'_>,
        hop: &Hop<'_>,
    ) -> Result<(), Cow<'static, str>> {
        if answer.outcome != Outcome::Route {
            return Ok(());
        }
        let mut found: Vec<Found> = Vec::new();
        let mut without_pods = Vec::new();
        for backend in answer.backends.iter().filter(|backend| backend.host.is_some()) {
            let clusters = compiled.lowered.config.clusters.iter().zip(&compiled.lowered.provenance.clusters);
            let Some((cluster, origin)) = clusters.into_iter().find(|(c, _)| c.name == backend.cluster) else {
                continue;
            };
            let mut seen = Vec::new();
            for (host, endpoint) in cluster.hosts.iter().zip(&origin.endpoints) {
                if seen.contains(&(endpoint.workload, endpoint.port)) {
                    continue;
                }
                seen.push((endpoint.workload, endpoint.port));
                let tls = tls::choose_transport(cluster, host).cloned();
                let (server, port) = (endpoint.workload, endpoint.port);
                let one = self.arrive_at(&Endpoint { server, port, address: None, tls }, head, hop)?;
                if !found.contains(&one) {
                    found.push(one);
                }
            }
            if seen.is_empty() {
                without_pods.push(cluster);
            }
        }
        let proxy = self.prepared.mesh.workload(hop.client).proxy;
        match found.as_slice() {
            [] => {
                // Nothing is known of what is behind it: what the client speaks decides.
                let mutual = |cluster: &&Cluster| cluster.tls.as_ref().is_some_and(|tls| tls.identity.is_some());
                answer.mtls = Some(!without_pods.is_empty() && without_pods.iter().all(mutual));
            }
            found => tell_all(found, answer, proxy, hop.is_connection),
        }
        Ok(())
    }

    /// What becomes of a request that passes through to a service as it is, without TLS of the mesh (`SC-3`).
    pub(super) fn pass_through(
        &self,
        answer: &mut Answer,
        service: ServiceId,
        port: u16,
        head: &Head<'_>,
        hop: &Hop<'_>,
    ) -> Result<(), Cow<'static, str>> {
        if answer.outcome != Outcome::Route {
            return Ok(());
        }
        let mut found: Vec<Found> = Vec::new();
        for server in self.lowering.workloads_of(service) {
            let leads = |of_pod: &u16| self.lowering.services_on(server, *of_pod).contains(&(service, port));
            let Some(port) = self.lowering.ports_of_pods(server).into_iter().find(leads) else { continue };
            let one = self.arrive_at(&Endpoint { server, port, address: None, tls: None }, head, hop)?;
            if !found.contains(&one) {
                found.push(one);
            }
        }
        let proxy = self.prepared.mesh.workload(hop.client).proxy;
        tell_all(&found, answer, proxy, hop.is_connection);
        Ok(())
    }

    /// The same, through the waypoint of the service if it has one and the client's traffic passes it: a sidecar's and a
    /// gateway's does not (`AB-4`). Servers then see the waypoint as their peer.
    pub(super) fn pass_waypoint(
        &self,
        answer: &mut Answer,
        compiled: &Compiled,
        service: Option<(ServiceId, u16)>,
        head: &Head<'_>,
        hop: &Hop<'_>,
    ) -> Result<(), Cow<'static, str>> {
        let proxy = self.prepared.mesh.workload(hop.client).proxy;
        let waypoint = service.and_then(|(service, _)| self.lowering.waypoint_of(service));
        let (Some((service, port)), Some(waypoint)) = (service, waypoint.filter(|_| proxy == ProxyMode::Ambient))
        else {
            return self.arrive(answer, compiled, head, hop);
        };
        let access =
            self.cache.get(Key::Waypoint(service, port), || self.lowering.waypoint_access(waypoint, service, port));
        let own = match hop.principal {
            Principal::Named(principal) => Some(identity(principal)),
            Principal::Derived => Some(signed(self.lowering.spiffe(hop.client))),
            Principal::Plaintext => None,
        };
        let arrival = Arrival { identity: own.as_ref(), peer: hop.peer, client: hop.remote, destination: (None, port) };
        let decision = self.decide(&access, 0, head, &arrival)?;
        decision.tell(answer, hop.is_connection, "the waypoint");
        if answer.outcome != Outcome::Route {
            answer.mtls = Some(own.is_some());
            return Ok(());
        }
        // What passes its routes has its certificate already.
        let seen = match self.lowering.waypoint_for(hop.client, service, port) {
            Some(_) => Principal::Derived,
            None => Principal::Named(self.lowering.spiffe_of_waypoint(waypoint)),
        };
        let hop = Hop { principal: &seen, peer: None, remote: hop.remote.or(hop.peer), opens: false, ..*hop };
        self.arrive(answer, compiled, head, &hop)
    }

    /// What becomes of a request at one server.
    pub(super) fn arrive_at(
        &self,
        endpoint: &Endpoint,
        head: &Head<'_>,
        hop: &Hop<'_>,
    ) -> Result<Found, Cow<'static, str>> {
        let (server, port) = (endpoint.server, endpoint.port);
        let spoken = Self::spoken(hop.is_connection, self.lowering.spoken_on(server, port));
        let key = Key::Inbound(server, port, spoken);
        let compiled = self.cache.get(key, || self.lowering.inbound_port(server, port, Some(spoken)));
        let accepts = &compiled.lowered.config.listeners[0].tls;
        let (link, identity) = match hop.principal {
            Principal::Plaintext => (meet(None, accepts).0, None),
            Principal::Named(principal) => (Link::Mutual, Some(identity(principal))),
            Principal::Derived => meet(endpoint.tls.as_ref(), accepts),
        };
        let arrival = Arrival {
            identity: identity.as_ref(),
            peer: hop.peer,
            client: hop.remote,
            destination: (endpoint.address, port),
        };
        let decision = self.decide(&compiled, 0, head, &arrival)?;
        let has_proxy = self.prepared.mesh.workload(server).proxy != ProxyMode::None;
        let passage = hop.opens.then(|| self.passage(hop, server, port));
        let stopped_by = passage.filter(|passage| !passage.allowed);
        Ok(Found { stopped_by, link, decision, has_proxy })
    }

    /// Whether the network lets the connection through (`K-7`). Between ambient pods it is the tunnel's.
    fn passage(&self, hop: &Hop<'_>, server: WorkloadId, port: u16) -> Passage {
        let mesh = &self.prepared.mesh;
        let is_ambient = |id: WorkloadId| mesh.workload(id).proxy == ProxyMode::Ambient;
        let port = if is_ambient(hop.client) && is_ambient(server) { HBONE } else { port };
        match hop.peer.filter(|_| hop.client == self.prepared.outside) {
            Some(address) => mesh.outside_allowed(address, server, port),
            None => mesh.connection_allowed(hop.client, server, port),
        }
    }

    /// What a client speaks to a pod's port: as to the first service that leads there, else to the pod itself.
    pub(super) fn link_to_pod(
        &self,
        client: WorkloadId,
        server: WorkloadId,
        port: u16,
        service: Option<(ServiceId, u16)>,
    ) -> Option<UpstreamTls> {
        let mesh: &Mesh = &self.prepared.mesh;
        if let Some((service, number)) = service {
            let key = Key::Outbound(client, number, Some(service));
            let compiled = self.cache.get(key, || self.lowering.outbound(client, 0, &[(service, number)]));
            let name = format!("outbound|{number}||{}", mesh.service(service).host);
            let clusters = compiled.lowered.config.clusters.iter().zip(&compiled.lowered.provenance.clusters);
            for (cluster, origin) in clusters.filter(|(cluster, _)| cluster.name == name) {
                let pod = origin.endpoints.iter().position(|end| end.workload == server);
                if let Some(host) = pod.and_then(|pod| cluster.hosts.get(pod)) {
                    return tls::choose_transport(cluster, host).cloned();
                }
            }
        }
        let has_mtls = |id: WorkloadId| !matches!(mesh.workload(id).proxy, ProxyMode::None);
        let accepts = self.lowering.server_mode(server, port).value != meshproof_model::istio::MtlsMode::Disable;
        (has_mtls(client) && has_mtls(server) && accepts && mesh.settings.enable_auto_mtls.value).then(|| UpstreamTls {
            identity: Some(signed(self.lowering.spiffe(client))),
            trusted_ca: Some(MESH_CA.to_owned()),
            alpn: vec!["istio-peer-exchange".to_owned(), "istio".to_owned()],
            ..UpstreamTls::default()
        })
    }
}

impl Found {
    /// Writes it into an answer.
    pub(super) fn tell(self, answer: &mut Answer, client: ProxyMode, is_connection: bool) {
        answer.mtls = Some(self.link == Link::Mutual);
        let told = |why: &str, text: &str| if why.is_empty() { text.to_owned() } else { format!("{why}; {text}") };
        // A client's proxy answers for a connection that fails; without one, the client sees the connection close.
        let status = (client != ProxyMode::None && !is_connection).then_some(503);
        if let Some(passage) = &self.stopped_by {
            let names: Vec<String> = passage.policies.iter().map(|(policy, _)| policy.to_string()).collect();
            let what = match passage.refused_by {
                Some(Direction::Egress) => "lets the client open no such connection",
                Some(Direction::Ingress) | None => "lets no such connection in",
            };
            answer.why = told(&answer.why, &format!("{} {what} (K-7)", names.join(", ")));
            (answer.allowed, answer.outcome, answer.status) = (Some(false), Outcome::Denied, status);
            answer.by = passage.policies.iter().map(|(policy, _)| isolating(policy)).collect();
            return;
        }
        match self.link {
            Link::Refused => {
                answer.why = told(&answer.why, "the server takes mutual TLS only, and the client speaks plaintext");
                (answer.allowed, answer.outcome, answer.status) = (Some(false), Outcome::Denied, status);
                answer.by.clear();
            }
            Link::Unmatched => {
                answer.why = told(&answer.why, "the server does not take the TLS that the client speaks");
                (answer.allowed, answer.outcome, answer.status) = (Some(false), Outcome::NoBackend, status);
                answer.by.clear();
            }
            Link::Plaintext | Link::Mutual | Link::OneSided => {
                let at = if self.has_proxy { "the server" } else { "the server, which has no proxy" };
                self.decision.tell(answer, is_connection, at);
            }
        }
    }
}

/// The servers of one route: what they agree on, else it cannot be said.
fn tell_all(found: &[Found], answer: &mut Answer, client: ProxyMode, is_connection: bool) {
    let mut each = found.iter().map(|found| {
        let mut one = answer.clone();
        found.clone().tell(&mut one, client, is_connection);
        one
    });
    let Some(mut all) = each.next() else { return };
    for one in each {
        let differs = all.allowed != one.allowed || all.outcome != one.outcome;
        if all.mtls != one.mtls {
            all.mtls = Some(false);
        }
        all.by.extend(one.by);
        if differs {
            all.allowed = None;
            all.outcome = Outcome::Unknown;
            all.status = None;
            all.why = format!("{}; the backends do not agree: {}", all.why, one.why);
        }
    }
    all.by.sort();
    all.by.dedup();
    *answer = all;
}

/// A policy of the network that refuses a connection because none of its rules allows it.
fn isolating(policy: &ResourceRef) -> Policy {
    Policy {
        kind: policy.kind.clone(),
        namespace: policy.namespace.clone(),
        name: policy.name.clone(),
        action: "DENY",
        rule: None,
    }
}

/// What becomes of a connection, and whom the server sees.
fn meet(client: Option<&UpstreamTls>, server: &DownstreamTls) -> (Link, Option<Identity>) {
    let handshake = tls::handshake(client, server);
    match handshake.opening {
        Opening::Open => {
            let identity = handshake.peer();
            let link = match &identity {
                None => Link::Plaintext,
                Some(identity) if identity.ca.is_empty() => Link::OneSided,
                Some(_) => Link::Mutual,
            };
            (link, identity)
        }
        Opening::Doomed | Opening::Failed(_) if client.is_none() => (Link::Refused, None),
        Opening::Doomed | Opening::Failed(_) => (Link::Unmatched, None),
    }
}

/// A peer of the mesh, by its identity without `spiffe://`.
pub(super) fn identity(principal: &str) -> Identity {
    let name = if principal.starts_with("spiffe://") { principal.to_owned() } else { format!("spiffe://{principal}") };
    signed(name)
}

fn signed(name: String) -> Identity {
    Identity { ca: MESH_CA.to_owned(), uri_sans: vec![name], dns_sans: Vec::new(), validity: Validity::Valid }
}

/// A client that speaks TLS and shows no certificate, where a listener wants TLS.
pub(super) fn anonymous(listener: &DownstreamTls) -> Option<Identity> {
    let wants_tls = matches!(listener.mode, TlsMode::Simple | TlsMode::Strict);
    let nobody = Identity { ca: String::new(), uri_sans: Vec::new(), dns_sans: Vec::new(), validity: Validity::Valid };
    wants_tls.then_some(nobody)
}
