//! Clients that a witness brings along, where no known request shows a violation: what they ask for, and the calls of the
//! mesh with them.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

use meshproof_model::{
    ClientBehaviour, ClientFrom, Lowered, Lowering, Mesh, ProxyMode, RequestClass, RolloutStep, RouteOrigin, Scenario,
    ServiceId, Subject, TargetPort, WorkloadId,
};
use meshproof_proxy::config::{Action, VirtualHost};

use crate::{
    access::{Atoms, Fields, Outcome, search},
    extract::{extract, route_subject},
    graph::Graph,
    patterns::Attribute,
    property::retry_amplification::Tries,
    route_formula::taken,
};

/// The mesh with a client of a witness's own, or with other weights.
pub(crate) struct Staged {
    /// Its calls.
    pub graph: Graph,
    /// The same as loads see them.
    pub tries: Tries,
}

/// What was staged, each once.
#[derive(Default)]
pub(crate) struct Staging(Mutex<BTreeMap<String, Option<Arc<Staged>>>>);

impl Staging {
    /// The mesh as a scenario makes it: with its clients, and with its weights; `None`: the weights cannot be set.
    pub(crate) fn of(&self, mesh: &Mesh, scenario: &Scenario) -> Option<Arc<Staged>> {
        let key = format!("{:?} {:?}", scenario.clients, scenario.rollout);
        let known = || self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(staged) = known().get(&key) {
            return staged.clone();
        }
        let staged = stage(mesh, scenario).map(Arc::new);
        known().insert(key, staged.clone());
        staged
    }
}

fn stage(mesh: &Mesh, scenario: &Scenario) -> Option<Staged> {
    let mesh = mesh.with_clients(&scenario.clients).into_owned();
    let mesh = scenario.rollout.iter().try_fold(mesh, |mesh, step: &RolloutStep| mesh.apply(step).ok())?;
    let graph = extract(&mesh);
    let tries = Tries::of(&graph, &graph.components());
    Some(Staged { graph, tries })
}

/// A scenario with nothing but a client of its own.
pub(crate) fn with_client(mesh: &Mesh, client: ClientBehaviour) -> (String, Scenario) {
    let taken = |name: &String| mesh.behaviour.clients.contains_key(name) || mesh.named_workload(name).is_some();
    let numbered = (2_u64..).map(|number| format!("witness-{number}"));
    let name = std::iter::once("witness".to_owned()).chain(numbered).find(|name| !taken(name)).unwrap_or_default();
    let clients = [(name.clone(), client)].into_iter().collect();
    (name, Scenario { clients, ..Scenario::default() })
}

/// A client outside of the mesh that asks a service for `/`.
pub(crate) fn outside(mesh: &Mesh, service: usize, port: u16) -> Option<ClientBehaviour> {
    dialling(mesh, ClientFrom::Outside, service, port, any_request())
}

/// A client in a workload, which must have a replica that can send.
pub(crate) fn inside(
    mesh: &Mesh,
    workload: WorkloadId,
    (service, port): (usize, u16),
    request: RequestClass,
) -> Option<ClientBehaviour> {
    let from = ClientFrom::Workload(mesh.workload(workload).full_name());
    (mesh.workload(workload).replicas.value > 0).then(|| dialling(mesh, from, service, port, request))?
}

fn dialling(
    mesh: &Mesh,
    from: ClientFrom,
    service: usize,
    port: u16,
    request: RequestClass,
) -> Option<ClientBehaviour> {
    let service = mesh.services.get(service)?;
    let to = format!("{}:{port}", service.full_name());
    Some(ClientBehaviour { from, to, requests: vec![request], patience: None, retries: None })
}

/// `GET /`, to the name that is dialled.
pub(crate) fn any_request() -> RequestClass {
    RequestClass {
        name: "request".to_owned(),
        method: "GET".to_owned(),
        host: None,
        path: "/".to_owned(),
        headers: [].into_iter().collect(),
        body: meshproof_model::Bytes::new(0),
        share: 1,
    }
}

/// A request that takes a route of what a workload's proxy sends to a service.
pub(crate) fn taking(
    lowering: &Lowering<'_>,
    workload: WorkloadId,
    (service, port): (usize, u16),
    route: Option<&Subject>,
) -> Option<RequestClass> {
    let service = ServiceId(u32::try_from(service).ok()?);
    let lowered = lowering.outbound(workload, 0, &[(service, port)]);
    let listener = lowered.provenance.listener(service, port)?;
    examples(&lowered, listener).find(|(origin, _)| route_subject(origin).as_ref() == route).map(|(_, request)| request)
}

/// A client outside of the mesh whose request takes a route of a gateway.
pub(crate) fn through_gateway(
    mesh: &Mesh,
    lowering: &Lowering<'_>,
    gateway: WorkloadId,
    route: Option<&Subject>,
) -> Option<ClientBehaviour> {
    if mesh.workload(gateway).proxy != ProxyMode::Gateway {
        return None;
    }
    let lowered = lowering.gateway(gateway, 0);
    lowering.services_of(gateway).iter().find_map(|service| {
        mesh.service(*service).ports.iter().find_map(|port| {
            let listens = |number: u16| lowered.provenance.gateway_listener(number, None, false);
            let target = match &port.target {
                TargetPort::Number(number) => *number,
                TargetPort::Name(name) => mesh.workload(gateway).ports.iter().find(|known| known.name == *name)?.number,
            };
            let listener = listens(target).or_else(|| listens(port.number.value))?;
            let mut all = examples(&lowered, listener);
            let (_, request) = all.find(|(origin, _)| route_subject(origin).as_ref() == route)?;
            dialling(mesh, ClientFrom::Outside, service.index(), port.number.value, request)
        })
    })
}

/// For each route of a listener that sends requests on: a request that takes it, where one is found.
fn examples(lowered: &Lowered, listener: usize) -> impl Iterator<Item = (&RouteOrigin, RequestClass)> {
    let hosts = &lowered.config.listeners[listener].route_config.virtual_hosts;
    let origins = &lowered.provenance.listeners[listener].routes;
    let mut first = 0;
    let placed = hosts.iter().map(move |host| {
        let number = first;
        first += host.routes.len();
        (number, host)
    });
    placed.flat_map(move |(first, host)| {
        let mut atoms = Atoms::default();
        let formulas = taken(host, &mut atoms);
        let sends_on = |number: &usize| matches!(host.routes[*number].action, Action::Forward(_));
        (0..host.routes.len()).filter(sends_on).filter_map(move |number| {
            let Outcome::Request(fields) = search(&formulas[number], &atoms) else { return None };
            Some((origins.get(first + number)?, request(host, &fields)?))
        })
    })
}

/// A request of these fields to a virtual host; `None`: it would need more than a client can send.
fn request(host: &VirtualHost, fields: &Fields) -> Option<RequestClass> {
    let mut request = any_request();
    let mut query = Vec::new();
    for (attribute, values) in fields {
        let value = values.first()?.clone();
        match attribute {
            Attribute::Method => request.method = value,
            Attribute::Path => request.path = value,
            Attribute::Query(name) => query.push(format!("{name}={value}")),
            Attribute::HeaderLine(name) => {
                request.headers.insert(name.clone(), value);
            }
            Attribute::Authority => request.host = Some(value),
            _ => return None,
        }
    }
    if !query.is_empty() {
        request.path = format!("{}?{}", request.path, query.join("&"));
    }
    if request.host.is_none() {
        request.host = host.domains.iter().find_map(|domain| match domain.as_str() {
            "*" => Some("any.example".to_owned()),
            wide => match wide.strip_prefix('*') {
                Some(suffix) => Some(format!("any{suffix}")),
                None => (!wide.ends_with('*')).then(|| wide.to_owned()),
            },
        });
    }
    Some(request)
}
