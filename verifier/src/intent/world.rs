//! A mesh as intents see it: its calls, its access control, and what the other properties have found out about both.

use std::{
    cell::{Cell, OnceCell, RefCell},
    rc::Rc,
};

use meshproof_model::{Mesh, ResourceRef, WorkloadId, istio::MtlsMode};

use super::{
    ast::{Set, Word},
    element::{EdgeRef, Element},
    quantity::{Quantity, Unit},
};
use crate::{
    Orders, VerifyOptions,
    access::{Access, Atoms, Client, Outcome, Peer, Seen, refuses_by_default, search},
    failures::{Dependencies, Failure, milli_rps_of_pod},
    graph::Graph,
    orders,
    property::{
        retry_amplification::{Hop, Over, Tries, certificate, hops},
        timeout_inversion::{BusyTimes, Longest},
    },
};

/// What the terms of intents are evaluated on.
pub(crate) struct World<'a> {
    /// The mesh.
    pub mesh: &'a Mesh,
    /// Its calls.
    pub graph: &'a Graph,
    /// Its access control.
    pub access: Access<'a>,
    /// Named sets of the file.
    pub lets: &'a [(Word, Set)],
    /// What is asked.
    pub options: &'a VerifyOptions,
    busy: OnceCell<BusyTimes>,
    bounds: OnceCell<Vec<(Option<u64>, Option<u64>)>>,
    dependencies: OnceCell<Dependencies>,
    orders: OnceCell<Orders>,
    /// What was up after the failures that were asked about last.
    last_up: RefCell<Option<(Vec<Failure>, Rc<Vec<bool>>)>>,
    /// Whether what stays up and what goes down were found not to be all.
    pub(super) disagrees: Cell<bool>,
}

impl<'a> World<'a> {
    /// Prepares a mesh.
    pub(crate) fn new(mesh: &'a Mesh, graph: &'a Graph, lets: &'a [(Word, Set)], options: &'a VerifyOptions) -> Self {
        Self {
            mesh,
            graph,
            access: Access::new(mesh),
            lets,
            options,
            busy: OnceCell::new(),
            bounds: OnceCell::new(),
            dependencies: OnceCell::new(),
            orders: OnceCell::new(),
            last_up: RefCell::default(),
            disagrees: Cell::new(false),
        }
    }

    fn busy(&self) -> &BusyTimes {
        self.busy.get_or_init(|| BusyTimes::of(self.graph))
    }

    /// By service: requests and connections for one request at the worst entry; `None`: without bound.
    fn bounds(&self) -> &[(Option<u64>, Option<u64>)] {
        self.bounds.get_or_init(|| {
            let tries = Tries::of(self.graph, &self.graph.components());
            let of = |service| {
                let found = tries.certificate(service, Over::All);
                let worst = |values: &[Option<u64>]| {
                    let at_entries = self.graph.entries.iter().map(|entry| values[*entry]);
                    at_entries.collect::<Option<Vec<u64>>>().map(|all| all.into_iter().max().unwrap_or(0))
                };
                (worst(&found.requests), worst(&found.connects))
            };
            (0..self.graph.services.len()).map(of).collect()
        })
    }

    fn services(&self, element: &Element) -> Vec<usize> {
        match element {
            Element::Service(id) => vec![id.index()],
            other => {
                let of = |id: WorkloadId| self.access.lowering.services_of(id).iter().map(|id| id.index());
                self.workloads(other).into_iter().flat_map(of).collect()
            }
        }
    }

    /// Requests that reach a party for one request at an entry.
    pub(crate) fn amplification(&self, party: &Element) -> Quantity {
        self.worst_bound(party, |(requests, _)| *requests)
    }

    /// Connections, likewise.
    pub(crate) fn connects(&self, party: &Element) -> Quantity {
        self.worst_bound(party, |(_, connects)| *connects)
    }

    fn worst_bound(&self, party: &Element, which: impl Fn(&(Option<u64>, Option<u64>)) -> Option<u64>) -> Quantity {
        let own: Option<Vec<u64>> =
            self.services(party).into_iter().map(|service| which(&self.bounds()[service])).collect();
        Quantity::count(own.map(|all| all.into_iter().max().unwrap_or(0)))
    }

    /// The longest time that a party's handlers are busy with one request.
    pub(crate) fn busy_time(&self, party: &Element) -> Quantity {
        let nodes: Vec<usize> = match party {
            Element::Node(node) => vec![*node],
            other => self.workloads(other).into_iter().map(WorkloadId::index).collect(),
        };
        let longest = nodes.into_iter().map(|node| self.busy().of_node(node));
        let worst = longest.fold(Longest::Time(meshproof_model::Nanos::ZERO), Longest::max);
        Quantity::time(worst.bounded())
    }

    /// The longest time of one call over an edge, as its caller sees it.
    pub(crate) fn worst_latency(&self, edge: EdgeRef) -> Quantity {
        let Some((call, way, _)) = self.edge(edge) else { return Quantity::time(None) };
        let once = crate::graph::Call { times: 1, ..call.clone() };
        Quantity::time(self.busy().way(self.graph, &once, way).bounded())
    }

    /// How many pods a party has.
    pub(crate) fn replicas(&self, party: &Element) -> u64 {
        self.workloads(party).into_iter().map(|id| u64::from(self.mesh.workload(id).replicas.value)).sum()
    }

    /// The orders in which the objects can be applied that change; `None`: nothing says from what.
    pub(crate) fn orders(&self) -> Option<&Orders> {
        let base = self.options.bases.get(VerifyOptions::SINCE)?;
        Some(self.orders.get_or_init(|| orders(base, self.mesh)))
    }

    /// Whether an object breaks something while others that change are not applied.
    pub(crate) fn breaks_alone(&self, object: &ResourceRef) -> Result<bool, String> {
        let orders = self.orders().ok_or("`--since` says from what objects change")?;
        match &orders.undecided {
            Some(reason) => Err(reason.clone()),
            None => Ok(orders.unsafe_states.iter().any(|state| state.applied.contains(object))),
        }
    }

    fn dependencies(&self) -> &Dependencies {
        self.dependencies.get_or_init(|| Dependencies::of(self.mesh, self.graph))
    }

    fn up_after(&self, failures: &[Failure]) -> Rc<Vec<bool>> {
        if let Some((known, up)) = &*self.last_up.borrow()
            && known == failures
        {
            return up.clone();
        }
        let up = Rc::new(self.dependencies().up(failures));
        if self.options.paranoid {
            let down = self.dependencies().down(failures);
            self.disagrees.set(self.disagrees.get() || up.iter().zip(&down).any(|(up, down)| up == down));
        }
        *self.last_up.borrow_mut() = Some((failures.to_vec(), up.clone()));
        up
    }

    /// Whether somebody of a party still answers after failures.
    pub(crate) fn is_up(&self, party: &Element, failures: &[Failure]) -> bool {
        let up = self.up_after(failures);
        let of_workload = |id: WorkloadId| {
            let name = self.mesh.workload(id).full_name();
            let mut nodes = (0..self.graph.nodes.len()).filter(|node| self.graph.nodes[*node].name == name);
            self.dependencies().left(id, failures) > 0 && nodes.all(|node| up[node])
        };
        match party {
            Element::Node(node) => up[*node],
            other => self.workloads(other).into_iter().any(of_workload),
        }
    }

    /// Requests per second that a party gets at the most: every client sends what scenarios let it send at the most.
    /// Without failures that are named, everything may fail and be tried again.
    pub(crate) fn load(&self, party: &Element, failures: Option<&[Failure]>) -> Result<Quantity, String> {
        if self.options.demand.is_empty() {
            return Err("no scenario says how many requests clients send".to_owned());
        }
        let up = failures.map(|failures| self.up_after(failures));
        let mut total = 0_u64;
        for service in self.services(party) {
            let bound = match &up {
                None => certificate(self.graph, &self.graph.components(), service, Over::All).requests,
                Some(up) => self.requests_after(service, up, failures.unwrap_or_default()),
            };
            let mut sum = 0_u64;
            for entry in &self.graph.entries {
                let Some(rate) = self.options.demand.get(&self.graph.nodes[*entry].name) else { continue };
                let Some(count) = bound[*entry] else {
                    return Err("calls form a cycle: requests behind it have no bound".to_owned());
                };
                sum = sum.saturating_add(rate.saturating_mul(count));
            }
            total = total.max(sum);
        }
        Ok(Quantity::new(total, Unit::Rate))
    }

    /// Requests at a service for one at each node: what is down and still has pods answers errors, which are tried again
    /// as its callers' routes say; what has no pods left is not reached.
    fn requests_after(&self, service: usize, up: &[bool], failures: &[Failure]) -> Vec<Option<u64>> {
        let mut amounts: Vec<Option<u64>> = vec![Some(0); self.graph.nodes.len()];
        for members in self.graph.components() {
            if self.graph.is_cycle(&members) {
                for node in &members {
                    amounts[*node] = None;
                }
                continue;
            }
            let node = members[0];
            amounts[node] = self.graph.calls(node).try_fold(0_u64, |sum, call| {
                let of_hop = |hop: Hop<'_>| {
                    let (gone, tries) = match hop.target {
                        None => (false, 1),
                        Some(target) if up[target.node] => (false, 1),
                        Some(target) => {
                            let id = self.workload_of(target.node);
                            let is_gone = id.is_some_and(|id| self.dependencies().left(id, failures) == 0);
                            (is_gone, hop.way.retry.work())
                        }
                    };
                    let here = u64::from(hop.arm.service == Some(service) && !gone);
                    let below = if gone { 0 } else { hop.target.map_or(Some(0), |target| amounts[target.node])? };
                    Some(hop.call.own_tries.saturating_mul(tries).saturating_mul(here.saturating_add(below)))
                };
                let all: Vec<u64> = hops(node, call).map(of_hop).collect::<Option<_>>()?;
                Some(sum.saturating_add(call.times.saturating_mul(all.into_iter().max().unwrap_or(0))))
            });
        }
        amounts
    }

    /// Requests per second that a party's pods answer, those that are left after failures.
    pub(crate) fn capacity(&self, party: &Element, failures: &[Failure]) -> Result<Quantity, String> {
        let of = |id: WorkloadId| {
            let left = u64::from(self.dependencies().left(id, failures));
            let rate = milli_rps_of_pod(self.mesh, id);
            rate.map(|rate| left.saturating_mul(rate))
                .ok_or_else(|| format!("mesh.ron does not say how fast `{}` works", self.mesh.workload(id).full_name()))
        };
        let all = self.workloads(party).into_iter().map(of).collect::<Result<Vec<u64>, String>>()?;
        Ok(Quantity::new(all.into_iter().fold(0, u64::saturating_add), Unit::Rate))
    }

    /// How long after a surge a party answers everything again (`P2.4`); without bound: never.
    ///
    /// The worst of all: pods work first in, first out on what their callers may have given up, so that every request is
    /// tried as often as it can be until the backlog is gone. With an offered load of `x`, retries included, and a
    /// capacity of `m`, a surge by the factor `k` for a time `d` leaves a backlog of at most `(k x - m) d`, which is gone
    /// after `backlog / (m - x)`. With `x >= m` it never is: load and retries keep each other up.
    pub(crate) fn recovery(&self, party: &Element, factor: Quantity, during: Quantity) -> Result<Quantity, String> {
        let offered = i128::from(self.load(party, None)?.bases());
        let capacity = i128::from(self.capacity(party, &[])?.bases());
        let surge = offered.saturating_mul(factor.micros()) / Quantity::new(1, Unit::Count).micros();
        let (excess, spare) = (surge - capacity, capacity - offered);
        if excess <= 0 {
            return Ok(Quantity::new(0, Unit::Time));
        }
        if spare <= 0 {
            return Ok(Quantity::time(None));
        }
        let nanos = excess.saturating_mul(i128::from(during.bases())).saturating_add(spare - 1) / spare;
        Ok(Quantity::new(u64::try_from(nanos).unwrap_or(u64::MAX), Unit::Time))
    }

    /// The ports of servers that a client and a party have in common, for an edge or a link.
    fn pairs(&self, element: &Element) -> Vec<(Client, usize)> {
        match element {
            Element::Link(client, server) => vec![(Client::Workload(*client), *server)],
            Element::Request(client, server) => vec![(*client, *server)],
            Element::Edge(edge) => {
                let Some((_, _, arm)) = self.edge(*edge) else { return Vec::new() };
                let client = self.workload_of(edge.node).map_or(Client::Outside, Client::Workload);
                let leads = |server: &usize| {
                    let found = &self.access.servers[*server];
                    found.services.iter().any(|(service, _, _)| Some(service.index()) == arm.service)
                        && arm.targets.iter().any(|target| target.node == found.workload.index())
                };
                (0..self.access.servers.len()).filter(leads).map(|server| (client, server)).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether something can be spoken to in plaintext, or is spoken to so.
    pub(crate) fn is_plaintext(&self, element: &Element) -> bool {
        match element {
            Element::Edge(_) | Element::Link(..) | Element::Request(..) => {
                let mut peers = self.pairs(element).into_iter();
                peers.any(|(client, server)| self.access.peers(client, server).contains(&Some(Peer::Plaintext)))
            }
            party => {
                let mut servers = self.workloads(party).into_iter().flat_map(|id| self.access.ports_of(id));
                servers.any(|server| self.access.servers[server].mode != Some(MtlsMode::Strict))
            }
        }
    }

    /// Whether a link cannot come up, because its two sides do not agree on TLS.
    pub(crate) fn is_outage(&self, element: &Element) -> bool {
        self.pairs(element).into_iter().any(|(client, server)| self.access.peers(client, server).contains(&None))
    }

    /// Whether only mutual TLS is taken; of a namespace, by pods that are not there yet too.
    pub(crate) fn is_strict(&self, element: &Element) -> bool {
        let of_namespace = match element {
            Element::Namespace(name) => self.access.lowering.namespace_mode(name).value == MtlsMode::Strict,
            _ => true,
        };
        of_namespace && !self.is_plaintext(element)
    }

    /// Whether pods have a proxy; of a namespace, pods that are not there yet too.
    pub(crate) fn is_injected(&self, element: &Element) -> bool {
        let has_proxy = |id: WorkloadId| self.mesh.workload(id).proxy != meshproof_model::ProxyMode::None;
        let of_namespace = match element {
            Element::Namespace(name) => self.mesh.namespaces.get(name).is_some_and(|namespace| {
                let label = |key: &str| namespace.labels.get(key).map(String::as_str);
                label("istio-injection") == Some("enabled")
                    || (label("istio-injection").is_none() && label("istio.io/rev").is_some())
                    || label("istio.io/dataplane-mode") == Some("ambient")
                    || namespace.annotations.get("linkerd.io/inject").map(String::as_str) == Some("enabled")
            }),
            _ => true,
        };
        of_namespace && self.workloads(element).into_iter().all(has_proxy)
    }

    /// Whether what no policy mentions is refused, on every port.
    pub(crate) fn refuses_by_default(&self, element: &Element) -> Result<bool, String> {
        for id in self.workloads(element) {
            for server in self.access.ports_of(id) {
                if !self.access.is_guarded(server) {
                    return Ok(false);
                }
                let lowered = self.access.inbound(server);
                let filters = lowered.config.listeners.first().map_or(&[][..], |listener| &listener.filters);
                let mut atoms = Atoms::default();
                let seen = Seen { peer: &Peer::Anyone, port: self.access.servers[server].port };
                let left_out = refuses_by_default(filters, seen, &mut atoms);
                match search(&left_out, &atoms) {
                    Outcome::Request(_) => {}
                    Outcome::Nothing => return Ok(false),
                    Outcome::Unknown(why) => return Err(why.to_owned()),
                }
            }
        }
        Ok(true)
    }
}

/// Variables and what they stand for, the innermost last.
#[derive(Clone, Debug, Default)]
pub(crate) struct Env(Vec<(String, Element)>);

impl Env {
    /// The same with one more variable.
    pub(crate) fn with(&self, name: &str, element: Element) -> Self {
        let mut all = self.0.clone();
        all.push((name.to_owned(), element));
        Self(all)
    }

    /// What a variable stands for.
    pub(crate) fn get(&self, name: &str) -> Option<&Element> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, element)| element)
    }

    /// Every variable.
    pub(crate) fn elements(&self) -> impl DoubleEndedIterator<Item = (&str, &Element)> {
        self.0.iter().map(|(name, element)| (name.as_str(), element))
    }
}
