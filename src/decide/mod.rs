//! Questions to the effective policy: who is allowed, which route and backends, whether the hop is mutual TLS.
//!
//! Nothing is decided here: the manifests are lowered to the proxies' configuration, and the proxy core answers.

mod access;
mod answer;
mod backend;
mod compiled;
mod example;
mod head;
mod mesh;
mod question;
mod routed;

use std::{borrow::Cow, collections::BTreeMap};

use meshproof_model::{Lowering, Protocol, ServiceId, WorkloadId, host_covers, istio::AuthorizationAction};

use meshproof_proxy::config::Filter;

pub(crate) use self::example::{Replays, one_or_all};
pub use self::{
    answer::{Answer, Backend, Changes, Headers, Mirror, Outcome, Policy, Redirect, Retries, Rewrite, Route},
    example::as_question,
    mesh::Prepared,
    question::{From, Principal, Question, Request, Spoken, To},
};
use self::{
    compiled::{Cache, Key},
    head::{Arrival, Head},
};

/// Answers questions about one mesh. It may be shared by threads; what it answers depends on the question only.
#[derive(Debug)]
pub struct Decider<'m> {
    prepared: &'m Prepared,
    lowering: Lowering<'m>,
    cache: Cache,
    actions: BTreeMap<(&'m str, &'m str), AuthorizationAction>,
}

impl<'m> Decider<'m> {
    /// Prepares to answer.
    pub fn new(prepared: &'m Prepared) -> Self {
        let mesh = &prepared.mesh;
        let actions = mesh.authorization_policies.iter();
        let actions = actions.map(|policy| ((policy.meta.namespace(), policy.meta.name()), policy.action.value));
        Self { prepared, lowering: Lowering::new(mesh), cache: Cache::default(), actions: actions.collect() }
    }

    /// Answers one question. One that cannot be decided is answered with the reason.
    pub fn answer(&self, question: &Question) -> Answer {
        let answered = match (&question.to.host, &question.to.workload, &question.to.gateway) {
            (Some(host), None, None) => self.to_host(question, host),
            (None, Some(workload), None) => self.to_workload(question, workload),
            (None, None, Some(gateway)) => self.to_gateway(question, gateway),
            _ => Err("`to` names one of `host`, `workload` and `gateway`".into()),
        };
        let mut answer = answered.unwrap_or_else(Answer::unknown);
        answer.id = question.id.clone();
        answer
    }

    /// A host that the client calls: its own proxy's routes, then the server's access control.
    fn to_host(&self, question: &Question, host: &str) -> Result<Answer, Cow<'static, str>> {
        let client = self.client(&question.from)?;
        let mesh = &self.prepared.mesh;
        let host = host.to_ascii_lowercase();
        let namespace = mesh.workload(client).meta.namespace();
        let dialled = self.service(&host, namespace);
        let only = dialled.map(|id| &mesh.service(id).ports).filter(|ports| ports.len() == 1);
        let port = question.to.port.or(only.map(|ports| ports[0].number.value)).unwrap_or(80);
        let service = dialled.map(|id| self.lowering.meant(id, port));
        let known = service.map(|id| mesh.service(id));
        let declared = known.and_then(|service| service.port(port)).map(|port| port.protocol);
        let is_connection = question.request.is_connection() || declared.is_some_and(|spoken| !spoken.is_http());
        let alone = service.filter(|_| is_connection && declared.is_some());
        let compiled = self.cache.get(Key::Outbound(client, port, alone), || {
            let to = alone.map_or_else(|| self.on_port(port), |service| vec![(service, port)]);
            self.lowering.outbound(client, 0, &to)
        });
        let listener = match service.filter(|_| declared.is_some()) {
            Some(service) => compiled.lowered.provenance.listener(service, port),
            None => compiled.shared_listener(port),
        };
        let imported = service.is_none_or(|id| self.lowering.imports(client, mesh.service(id), port));
        let closes = !imported && !self.shares_port(client, port);
        let Some(listener) = listener.filter(|_| !closes) else { return Ok(self.not_listened(client, &host, port)) };
        let authority = known.map_or(host.as_str(), |service| service.host.as_str());
        let head = Head::new(question, if question.request.host.is_some() { "" } else { authority }, is_connection);
        let arrival = Arrival {
            identity: None,
            peer: question.from.ip,
            client: question.from.remote_ip,
            destination: (question.to.ip, port),
        };
        let mut answer = self.routed(&compiled, listener, &head, &arrival)?;
        if answer.backends.iter().any(|backend| backend.cluster == "PassthroughCluster") {
            answer = passed_through(&host, port);
        }
        let hop = backend::Hop {
            client,
            principal: &question.from.principal,
            peer: question.from.ip,
            remote: question.from.remote_ip,
            is_connection,
            opens: self.opens(&question.from, client),
        };
        if !imported && let Some(service) = service {
            self.pass_through(&mut answer, service, port, &head, &hop)?;
            answer.not_modelled = self.not_modelled(&answer, &[namespace]);
            return Ok(answer);
        }
        self.pass_waypoint(&mut answer, &compiled, service.map(|service| (service, port)), &head, &hop)?;
        answer.not_modelled = self.not_modelled(&answer, &[namespace]);
        Ok(answer)
    }

    /// Straight to a workload's inbound side: access control only.
    fn to_workload(&self, question: &Question, name: &str) -> Result<Answer, Cow<'static, str>> {
        let Some(server) = self.prepared.workload(name) else {
            return Err(format!("no workload `{name}` in the manifests").into());
        };
        let client = match self.client(&question.from) {
            // With an identity that is given, it does not matter what the manifests know of the client.
            Err(why) if question.from.principal == Principal::Derived => return Err(why),
            Err(_) => self.prepared.outside,
            Ok(client) => client,
        };
        let mesh = &self.prepared.mesh;
        let ports = self.lowering.ports_of_pods(server);
        let port = question.to.port.or(ports.first().copied().filter(|_| ports.len() == 1)).unwrap_or(80);
        let declared = self.lowering.spoken_on(server, port);
        let is_connection = question.request.is_connection() || !declared.is_http();
        let services = self.lowering.services_on(server, port);
        let host = services.first().map(|(id, _)| mesh.service(*id).host.clone());
        let host = host.unwrap_or_else(|| {
            let meta = &mesh.workload(server).meta;
            format!("{}.{}", meta.name(), meta.namespace())
        });
        let head = Head::new(question, &host, is_connection);
        let link = self.link_to_pod(client, server, port, services.first().copied());
        let hop = backend::Hop {
            client,
            principal: &question.from.principal,
            peer: question.from.ip,
            remote: question.from.remote_ip,
            is_connection,
            opens: self.opens(&question.from, client),
        };
        let arrival = backend::Endpoint { server, port, address: question.to.ip, tls: link };
        let found = self.arrive_at(&arrival, &head, &hop)?;
        let mut answer = Answer { outcome: Outcome::Route, allowed: Some(true), ..Answer::default() };
        found.tell(&mut answer, mesh.workload(client).proxy, is_connection);
        if self.prepared.is_asked_for(server) {
            answer.why.push_str("; the manifests do not describe it: it is taken to have the label `app` of its name");
        } else if self.prepared.is_stand_in(server) {
            answer.why.push_str(
                "; the manifests do not describe its pods: they are taken to have the labels that its service selects",
            );
        }
        answer.not_modelled = self.not_modelled(&answer, &[mesh.workload(server).meta.namespace()]);
        Ok(answer)
    }

    /// In through a gateway: its access control and routes, then the server's access control.
    fn to_gateway(&self, question: &Question, name: &str) -> Result<Answer, Cow<'static, str>> {
        let Some(gateway) = self.prepared.gateway(name) else {
            return Err(format!("no gateway `{name}` in the manifests").into());
        };
        let compiled = self.cache.get(Key::Gateway(gateway), || self.lowering.gateway(gateway, 0));
        let listeners = &compiled.lowered.provenance.listeners;
        let only = listeners.first().filter(|_| listeners.len() == 1).map(|listener| listener.port);
        let port = question.to.port.or(only).unwrap_or(80);
        // Clients ask for the host that they call.
        let host = question.request.host.as_deref().map(|host| host.rsplit_once(':').map_or(host, |(host, _)| host));
        let sni = question.request.sni.as_deref().or(host);
        let asks_connection = question.request.is_connection();
        let Some(listener) = compiled.lowered.provenance.gateway_listener(port, sni, asks_connection) else {
            return Err(format!("gateway `{name}` does not listen on port {port}").into());
        };
        let is_connection = listeners[listener].protocol.is_some_and(|spoken| !spoken.is_http()) || asks_connection;
        let filters = &compiled.lowered.config.listeners[listener].filters;
        let verifies = filters.iter().any(|filter| matches!(filter, Filter::Jwt(_)));
        let head = Head::new(question, "", is_connection);
        let head = if verifies { head.with_claims() } else { head };
        let identity = match &question.from.principal {
            Principal::Named(principal) => Some(backend::identity(principal)),
            Principal::Plaintext | Principal::Derived => {
                backend::anonymous(&compiled.lowered.config.listeners[listener].tls)
            }
        };
        let arrival = Arrival {
            identity: identity.as_ref(),
            peer: question.from.ip,
            client: question.from.remote_ip,
            destination: (question.to.ip, self.pod_port(gateway, port)),
        };
        let decision = self.decide(&compiled, listener, &head, &arrival)?;
        let mut answer = if decision.allowed == Some(false) {
            Answer::default()
        } else {
            self.routed(&compiled, listener, &head, &arrival)?
        };
        decision.tell(&mut answer, is_connection, "the gateway");
        if answer.outcome == Outcome::Route {
            // Servers see the gateway as their peer, and the client's address in a header.
            let hop = backend::Hop {
                client: gateway,
                principal: &Principal::Derived,
                peer: None,
                remote: question.from.remote_ip.or(question.from.ip),
                is_connection,
                opens: true,
            };
            self.arrive(&mut answer, &compiled, &head, &hop)?;
        }
        let namespace = self.prepared.mesh.workload(gateway).meta.namespace();
        answer.not_modelled = self.not_modelled(&answer, &[namespace]);
        Ok(answer)
    }

    fn client(&self, from: &From) -> Result<WorkloadId, Cow<'static, str>> {
        let (known, what, name) = match (&from.workload, &from.gateway) {
            (None, None) => return Ok(self.prepared.outside),
            (Some(name), _) => (self.prepared.workload(name), "workload", name),
            (None, Some(name)) => (self.prepared.gateway(name), "gateway", name),
        };
        Ok(known.ok_or_else(|| format!("no {what} `{name}` in the manifests"))?)
    }

    /// Whether it is known who opens a connection: a workload of the manifests, or somebody who is none. Of a peer that
    /// only has a name, the pods are not known.
    fn opens(&self, from: &From, client: WorkloadId) -> bool {
        client != self.prepared.outside || !matches!(from.principal, Principal::Named(_))
    }

    /// The service that a host name stands for: its own, a name that resolves from there, else the nearest wildcard.
    fn service(&self, host: &str, namespace: &str) -> Option<ServiceId> {
        let domain = self.prepared.mesh.domain();
        let forms = [
            host.to_owned(),
            format!("{host}.{domain}"),
            format!("{host}.svc.{domain}"),
            format!("{host}.{namespace}.svc.{domain}"),
        ];
        forms.iter().find_map(|host| self.lowering.service_of(host)).or_else(|| {
            let services = &self.prepared.mesh.services;
            let covering =
                services.iter().filter(|service| service.host.starts_with('*') && host_covers(&service.host, host));
            self.lowering.service_of(&covering.max_by_key(|service| service.host.len())?.host)
        })
    }

    /// Everything that speaks HTTP on a port: sidecars take it with one listener.
    fn on_port(&self, port: u16) -> Vec<(ServiceId, u16)> {
        let mesh = &self.prepared.mesh;
        let speaks = |id: &ServiceId| mesh.service(*id).port(port).is_some_and(|port| port.protocol.is_http());
        mesh.service_ids().filter(speaks).map(|id| (id, port)).collect()
    }

    /// Whether a client's sidecar takes requests on a port: it imports some service that speaks HTTP there (`SC-3`).
    fn shares_port(&self, client: WorkloadId, port: u16) -> bool {
        let mesh = &self.prepared.mesh;
        self.on_port(port).iter().any(|(id, _)| self.lowering.imports(client, mesh.service(*id), port))
    }

    /// The port of a gateway's pods behind the one that clients dial.
    fn pod_port(&self, gateway: WorkloadId, port: u16) -> u16 {
        self.lowering.pod_port(gateway, port).unwrap_or(port)
    }

    /// A host that nobody defines, on a port on which the client's proxy expects no requests (`SC-3`).
    fn not_listened(&self, client: WorkloadId, host: &str, port: u16) -> Answer {
        let mesh = &self.prepared.mesh;
        let has_proxy = mesh.workload(client).proxy == meshproof_model::ProxyMode::Sidecar;
        if has_proxy && !self.lowering.allows_any(client).value {
            let why = format!("no host of the mesh is `{host}:{port}`, and the mesh lets nothing else out (SC-3)");
            return Answer { outcome: Outcome::NoBackend, allowed: Some(false), why, ..Answer::default() };
        }
        passed_through(host, port)
    }

    /// What the manifests hold that could change an answer: patches of proxies, other kinds of access control, fields
    /// of the objects that decided.
    fn not_modelled(&self, answer: &Answer, namespaces: &[&str]) -> Vec<String> {
        const PATCHES: &[&str] = &["EnvoyFilter", "WasmPlugin"];
        let mesh = &self.prepared.mesh;
        let root = mesh.settings.root_namespace.value.as_str();
        let of_backends: Vec<&str> = answer
            .backends
            .iter()
            .filter_map(|backend| self.lowering.service_of(backend.host.as_deref()?))
            .map(|id| mesh.service(id).meta.namespace())
            .collect();
        let near =
            |namespace: &str| namespace == root || namespaces.contains(&namespace) || of_backends.contains(&namespace);
        let decided = |resource: &meshproof_model::ResourceRef| {
            let of_route = answer.route.as_ref();
            let is = |kind: &str, namespace: &str, name: &str| {
                resource.kind == kind && resource.namespace == namespace && resource.name == name
            };
            of_route.is_some_and(|route| is(&route.kind, &route.namespace, &route.name))
                || answer.by.iter().any(|policy| is(&policy.kind, &policy.namespace, &policy.name))
        };
        let mut found: Vec<String> = Vec::new();
        // NetworkPolicies are asked here, and nowhere else.
        let gaps = mesh.unmodelled.iter().filter(|gap| gap.matters && gap.resource.kind != "NetworkPolicy");
        for gap in gaps {
            let patches = PATCHES.contains(&gap.resource.kind.as_str()) && near(&gap.resource.namespace);
            if patches || decided(&gap.resource) {
                let path = if gap.at.path.is_empty() { String::new() } else { format!(" {}", gap.at.path) };
                found.push(format!("{}{path}", gap.resource));
            }
        }
        found.sort();
        found.dedup();
        found
    }

    fn action_of(&self, namespace: &str, name: &str) -> Option<AuthorizationAction> {
        self.actions.get(&(namespace, name)).copied()
    }

    fn spoken(is_connection: bool, declared: Protocol) -> Protocol {
        if is_connection {
            if declared.is_http() { Protocol::Tcp } else { declared }
        } else if declared.is_http() {
            declared
        } else {
            Protocol::Http
        }
    }
}

/// A host that nobody defines and that is called all the same (`SC-3`).
fn passed_through(host: &str, port: u16) -> Answer {
    Answer {
        outcome: Outcome::Route,
        allowed: Some(true),
        backends: vec![Backend {
            host: Some(host.to_owned()),
            port: Some(port),
            subset: None,
            weight: 100,
            cluster: "PassthroughCluster".to_owned(),
        }],
        mtls: Some(false),
        why: format!("no host of the mesh is `{host}:{port}`: it passes through as it is (SC-3)"),
        ..Answer::default()
    }
}
