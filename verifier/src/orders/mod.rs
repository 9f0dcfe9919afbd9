//! In which order objects that change can be applied (`P3`, `P7`): every state on the way from one mesh to another.
//!
//! **Statement.** In every state in which some of the objects that change are applied and the others are not, each call
//! that works before and after the whole change works: its routes lead to clusters that exist and have endpoints, its
//! two sides agree on TLS, and requests that are allowed before and after are allowed; and requests that are refused before
//! and after are refused. An order is safe if all states on
//! its way are, and if it stays so while proxies lag behind by one step: a client that has the step already and a server
//! that has not, or the other way round, agree on TLS too. Who waits for nothing needs more: proxies may then be any
//! number of steps behind each other.
//!
//! **Decided by** going through all states, up to `2^8`: exact. The least sets of objects that must not be alone are
//! reported, with what has to be applied before them.

mod mixed;

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use meshproof_model::{
    Caller, Lowered, Lowering, Mesh, ProxyMode, ResourceRef, ServiceId, Transport, WorkloadId, delivery::waves,
};
use meshproof_proxy::config::{Action, ClusterSpecifier};

use crate::{
    access::{Access, Atoms, Client, Outcome, search},
    property::mtls::{Facts, Outcome as Link, links::speaks, outcome, speaks_http},
    term::Bool,
};
use mixed::mixed;
pub(crate) use mixed::{changed, unplaced};

// BOUND: objects whose orders are gone through.
const OBJECTS_MAX: usize = 8;

/// What is known of the orders in which changed objects can be applied.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Orders {
    /// The objects that change.
    pub objects: Vec<ResourceRef>,
    /// Sets of objects that break something while the others are not applied; none has a smaller one inside.
    pub unsafe_states: Vec<UnsafeState>,
    /// An order in which nothing breaks, one object after the other.
    pub safe: Option<Vec<ResourceRef>>,
    /// Whether that order is safe only if each step has reached every proxy before the next one is applied.
    pub needs_waiting: bool,
    /// Whether even then something breaks while one step has reached some proxies and not yet others.
    pub lag_breaks: bool,
    /// The first state that breaks something on the way on which Argo CD applies the objects, where they are in waves.
    pub by_waves: Option<UnsafeState>,
    /// Why the orders were not gone through.
    pub undecided: Option<String>,
}

/// Objects that break something while others are not applied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnsafeState {
    /// Those that are applied.
    pub applied: Vec<ResourceRef>,
    /// Those that have to be applied before; empty: nothing less than all.
    pub missing: Vec<ResourceRef>,
    /// What breaks, in words.
    pub breaks: Vec<String>,
}

/// What works in a state of the mesh.
struct State {
    /// Calls and what is wrong with them: a cluster that is not there or has no endpoint.
    routes: BTreeSet<String>,
    /// By client and port of a server: how the client speaks, and what the server accepts.
    links: BTreeMap<(String, String, u16), (Facts, bool)>,
}

/// Goes through the orders in which the objects that differ can be applied.
pub fn orders(base: &Mesh, head: &Mesh) -> Orders {
    let objects = changed(base, head);
    let mut found = Orders { objects: objects.clone(), ..Orders::default() };
    if objects.len() > OBJECTS_MAX {
        found.undecided =
            Some(format!("{} objects change; the orders of up to {OBJECTS_MAX} are gone through", objects.len()));
        return found;
    }
    if objects.len() < 2 {
        found.safe = Some(objects);
        return found;
    }
    let all = 1_usize << objects.len();
    let members = |bits: usize| -> BTreeSet<&ResourceRef> {
        objects.iter().enumerate().filter(|(place, _)| bits >> place & 1 == 1).map(|(_, object)| object).collect()
    };
    let meshes: Vec<Mesh> = (0..all).map(|bits| mixed(base, head, &objects, &members(bits))).collect();
    let states: Vec<State> = meshes.iter().map(State::of).collect();
    let breaks: Vec<Vec<String>> = (0..all)
        .map(|bits| {
            let mut broken = states[bits].breaks(&states[0], &states[all - 1]);
            broken.extend(access_between([&meshes[0], &meshes[bits], &meshes[all - 1]]));
            broken
        })
        .collect();
    let is_unsafe = |bits: usize| !breaks[bits].is_empty();
    let own = |bits: usize| members(bits).into_iter().cloned().collect::<Vec<_>>();
    let told = |bits: usize| {
        let enough = (0..all).filter(|other| other & bits == bits && !is_unsafe(*other));
        let enough = enough.min_by_key(|other| (other.count_ones(), *other));
        UnsafeState {
            applied: own(bits),
            missing: enough.map(|enough| own(enough & !bits)).unwrap_or_default(),
            breaks: breaks[bits].clone(),
        }
    };
    for bits in (0..all).filter(|bits| is_unsafe(*bits)) {
        let has_smaller = (1..bits).any(|other| other & bits == other && is_unsafe(other));
        if !has_smaller {
            found.unsafe_states.push(told(bits));
        }
    }
    let steps = wave_steps(head, &objects);
    found.by_waves = steps.into_iter().find(|bits| is_unsafe(*bits)).map(told);
    let lags = |from: usize, to: usize| states[from].lags(&states[to], &states[0], &states[all - 1]);
    let hurried = hurried_way(all, &|bits| is_unsafe(bits), &lags);
    found.needs_waiting = hurried.is_none();
    let way = hurried.or_else(|| way(all, |from, to| !is_unsafe(to) && !lags(from, to)));
    found.lag_breaks = way.is_none();
    let way = way.or_else(|| self::way(all, |_, to| !is_unsafe(to)));
    found.safe = way.map(|steps| steps.into_iter().map(|place| objects[place].clone()).collect());
    found
}

/// The places of the objects in an order in which every step may be taken; breadth first, so that the first by place
/// among equals.
fn way(all: usize, may: impl Fn(usize, usize) -> bool) -> Option<Vec<usize>> {
    let places = all.trailing_zeros() as usize;
    let mut came: BTreeMap<usize, (usize, usize)> = BTreeMap::new();
    let mut queue = VecDeque::from([0]);
    while let Some(bits) = queue.pop_front() {
        for place in (0..places).filter(|place| bits >> place & 1 == 0) {
            let next = bits | 1 << place;
            if next != 0 && !came.contains_key(&next) && may(bits, next) {
                came.insert(next, (bits, place));
                queue.push_back(next);
            }
        }
    }
    let mut steps = Vec::new();
    let mut at = all - 1;
    while at != 0 {
        let (before, place) = came.get(&at)?;
        steps.push(*place);
        at = *before;
    }
    steps.reverse();
    Some(steps)
}

// BOUND: states that are visited in search of an order that waits for nothing.
const VISITED_MAX: usize = 50_000;

/// The places of the objects in an order in which no two states on the way clash, however far proxies are behind each
/// other; `None`: there is none, or none was found within the bound.
fn hurried_way(
    all: usize,
    is_unsafe: &dyn Fn(usize) -> bool,
    clash: &dyn Fn(usize, usize) -> bool,
) -> Option<Vec<usize>> {
    let places = all.trailing_zeros() as usize;
    let mut visited = 0;
    let mut known: BTreeMap<(usize, usize), bool> = BTreeMap::new();
    let mut clashes = |a: usize, b: usize| *known.entry((a, b)).or_insert_with(|| clash(a, b));
    // Each entry: the states so far, and the places in the order.
    let mut open: Vec<(Vec<usize>, Vec<usize>)> = vec![(vec![0], Vec::new())];
    while let Some((states, steps)) = open.pop() {
        visited += 1;
        if steps.len() == places {
            return Some(steps);
        }
        if visited > VISITED_MAX {
            return None;
        }
        let bits = states.last().copied().unwrap_or(0);
        // The first place is tried first, so it is put on last.
        for place in (0..places).rev().filter(|place| bits >> place & 1 == 0) {
            let next = bits | 1 << place;
            if !is_unsafe(next) && !states.iter().any(|state| clashes(*state, next)) {
                let (mut states, mut steps) = (states.clone(), steps.clone());
                states.push(next);
                steps.push(place);
                open.push((states, steps));
            }
        }
    }
    None
}

/// The states on the way on which Argo CD applies objects (`GO-2`): wave after wave, within a wave kind after kind,
/// within a kind in any order; what is deleted goes last. None, where all are in one wave.
fn wave_steps(head: &Mesh, objects: &[ResourceRef]) -> Vec<usize> {
    let waves = waves(&head.delivery.waves);
    if waves.len() < 2 {
        return Vec::new();
    }
    let place = |object: &ResourceRef| objects.iter().position(|known| known == object);
    let mut groups: Vec<usize> = Vec::new();
    for wave in &waves {
        for kind in wave.resources.chunk_by(|a, b| a.kind == b.kind) {
            groups.push(kind.iter().filter_map(|object| place(object)).fold(0, |bits, place| bits | 1 << place));
        }
    }
    let kept = groups.iter().fold(0, |all, group| all | group);
    groups.push(((1 << objects.len()) - 1) & !kept);
    let (mut done, mut states) = (0, Vec::new());
    for group in groups {
        // Every part of the group, smaller ones first.
        let mut parts: Vec<usize> = (0..=group).filter(|part| part & group == *part).collect();
        parts.sort_by_key(|part| (part.count_ones(), *part));
        states.extend(parts.into_iter().map(|part| done | part));
        done |= group;
    }
    states
}

impl State {
    fn of(mesh: &Mesh) -> Self {
        let lowering = Lowering::new(mesh);
        let calls = known_calls(mesh);
        let mut routes = BTreeSet::new();
        for (client, to) in by_client(&calls) {
            broken_routes(mesh, client, &lowering.outbound(client, 0, &to), &mut routes);
        }
        for id in mesh.workload_ids().filter(|id| mesh.workload(*id).proxy == ProxyMode::Gateway) {
            broken_routes(mesh, id, &lowering.gateway(id, 0), &mut routes);
        }
        let access = Access::new(mesh);
        let mut links = BTreeMap::new();
        for server in &access.servers {
            for (service, number, protocol) in &server.services {
                for (client, _, _) in calls.iter().filter(|(_, to, port)| to == service && port == number) {
                    let (transport, _) = speaks(mesh, &lowering, *client, (*service, *number), server.workload);
                    let facts = Facts { transport, mode: server.mode, is_http: speaks_http(*protocol) };
                    let name = |id: WorkloadId| mesh.workload(id).full_name();
                    links.insert((name(*client), name(server.workload), server.port), (facts, true));
                }
            }
        }
        Self { routes, links }
    }

    /// What is broken here, and neither before the change nor after it.
    fn breaks(&self, before: &Self, after: &Self) -> Vec<String> {
        let new =
            self.routes.iter().filter(|broken| !before.routes.contains(*broken) && !after.routes.contains(*broken));
        let mut found: Vec<String> = new.cloned().collect();
        for (link, (facts, _)) in &self.links {
            let worked = |state: &Self| state.links.get(link).is_none_or(|(facts, _)| outcome(*facts) != Link::Fails);
            if outcome(*facts) == Link::Fails && worked(before) && worked(after) {
                let (from, to, port) = link;
                found.push(format!("`{from}` and `{to}` on port {port} do not agree on TLS"));
            }
        }
        found
    }

    /// Whether a client that has a step already, or not yet, does not agree with a server that is the other way round.
    fn lags(&self, next: &Self, before: &Self, after: &Self) -> bool {
        let fails = |transport: Transport, server: Facts| outcome(Facts { transport, ..server }) == Link::Fails;
        self.links.iter().any(|(link, (own, _))| {
            let Some((other, _)) = next.links.get(link) else { return false };
            let worked = |state: &Self| state.links.get(link).is_none_or(|(facts, _)| outcome(*facts) != Link::Fails);
            worked(before) && worked(after) && (fails(own.transport, *other) || fails(other.transport, *own))
        })
    }
}

type Calls = BTreeSet<(WorkloadId, ServiceId, u16)>;

fn known_calls(mesh: &Mesh) -> Calls {
    let calls = mesh.calls();
    let known = calls.calls.iter().filter_map(|call| match call.from {
        Caller::Workload(id) => Some((id, call.to, call.port)),
        Caller::Client(client) => Some((mesh.client_workload(client)?, call.to, call.port)),
    });
    known.collect()
}

fn by_client(calls: &Calls) -> BTreeMap<WorkloadId, Vec<(ServiceId, u16)>> {
    let mut all: BTreeMap<WorkloadId, Vec<(ServiceId, u16)>> = BTreeMap::new();
    for (client, service, port) in calls {
        all.entry(*client).or_default().push((*service, *port));
    }
    all
}

/// Clusters that routes of a proxy send requests to, and that are not there or have no endpoint.
fn broken_routes(mesh: &Mesh, client: WorkloadId, lowered: &Lowered, found: &mut BTreeSet<String>) {
    let empty = |name: &str| {
        let at = lowered.config.clusters.iter().position(|cluster| cluster.name == name);
        at.is_none_or(|at| {
            lowered.config.clusters[at].hosts.is_empty() && lowered.provenance.clusters[at].service.is_some()
        })
    };
    let hosts = lowered.config.listeners.iter().flat_map(|listener| &listener.route_config.virtual_hosts);
    for route in hosts.flat_map(|host| &host.routes) {
        let Action::Forward(action) = &route.action else { continue };
        let names: Vec<&str> = match &action.cluster {
            ClusterSpecifier::Cluster(name) => vec![name],
            ClusterSpecifier::Weighted(several) => {
                several.iter().filter(|one| one.weight > 0).map(|one| one.name.as_str()).collect()
            }
            ClusterSpecifier::Header(_) => Vec::new(),
        };
        for name in names.into_iter().filter(|name| name.starts_with("outbound|") && empty(name)) {
            let from = mesh.workload(client).full_name();
            found.insert(format!("`{from}` routes requests to `{name}`, which has no endpoint: 503"));
        }
    }
}

/// Requests that are allowed before and after and not in between, of known calls; and the other way round, of anybody.
fn access_between([before, between, after]: [&Mesh; 3]) -> Vec<String> {
    let access = [Access::new(before), Access::new(between), Access::new(after)];
    let mut found = Vec::new();
    for (number, server) in access[1].servers.iter().enumerate() {
        let to = between.workload(server.workload).full_name();
        let calls = known_calls(between);
        let is_caller = |id: WorkloadId| {
            calls.iter().any(|(client, service, port)| {
                *client == id && server.services.iter().any(|(own, number, _)| own == service && number == port)
            })
        };
        let everybody = between.workload_ids().filter(|id| *id != server.workload).map(Client::Workload);
        for client in everybody.chain([Client::Outside]) {
            let from = match client {
                Client::Workload(id) => between.workload(id).full_name(),
                Client::Outside | Client::Anyone => String::new(),
            };
            let mut atoms = Atoms::default();
            let mut may = |side: usize, mesh: &Mesh| -> Option<Bool> {
                let same = |known: &usize| {
                    let known = &access[side].servers[*known];
                    known.port == server.port && mesh.workload(known.workload).full_name() == to
                };
                let number = if side == 1 { number } else { (0..access[side].servers.len()).find(same)? };
                let client = if from.is_empty() { client } else { Client::Workload(mesh.named_workload(&from)?) };
                Some(access[side].arrival(client, number, &mut atoms).decision.may)
            };
            let (Some(was), Some(is), Some(will)) = (may(0, before), may(1, between), may(2, after)) else { continue };
            if was == is || is == will {
                continue;
            }
            let sender = if from.is_empty() { "clients outside of the mesh".to_owned() } else { format!("`{from}`") };
            let mut tell = |formula: Bool, what: &str| {
                if let Outcome::Request(_) = search(&formula, &atoms) {
                    found.push(format!("requests of {sender} to `{to}` on port {} are {what}", server.port));
                }
            };
            let is_known = matches!(client, Client::Workload(id) if is_caller(id));
            // A link that fails is told elsewhere.
            let fails = access[1].peers(client, number).contains(&None);
            if is_known && !fails {
                tell(Bool::And(vec![was.clone(), will.clone(), !is.clone()]), "refused");
            }
            tell(Bool::And(vec![!was, !will, is]), "let in");
        }
    }
    found
}
