//! Scenarios that show a violation in the simulator: one request of one client, and answers that are forced. Where no
//! client of the mesh sends such a request, the scenario brings one of its own.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use meshproof_model::{
    ClientBehaviour, ClientFrom, Expectation, Load, Lowering, Nanos, RolloutStep, Scenario, ScriptedAnswer, Subject,
    WarmUp, WorkloadId,
};

use crate::{
    graph::{Call, Graph, NodeKind, OwnTime, Way},
    property::{
        Judge,
        mtls::Outcome,
        retry_amplification::{Certificate, Hop, Over, Tries, hops},
    },
    staging,
};

/// When the request comes.
const START: Nanos = Nanos::from_secs(1);

/// A scenario in which a client sends one request, and nothing else happens.
pub(crate) fn one_request(client: &str, summary: String, horizon: Nanos) -> Scenario {
    Scenario {
        version: 1,
        summary,
        seed: 1,
        horizon,
        warm_up: WarmUp::Off,
        replications: 1,
        load: vec![Load::Burst { client: client.to_owned(), requests: 1, at: START }],
        ..Scenario::default()
    }
}

/// A scenario in which a client sends so many requests that one of them meets each replica, where chance decides.
fn some_requests(client: &str, summary: String) -> Scenario {
    const ENOUGH: u64 = 200;
    let load = vec![Load::Burst { client: client.to_owned(), requests: ENOUGH, at: START }];
    Scenario { load, ..one_request(client, summary, Nanos::from_secs(60)) }
}

/// A scenario that brings as many requests to a service as can be forced, if that is over the limit: weights are turned
/// to the worst destinations, and every handler on the way makes its calls and then fails, on all tries but the last.
/// `tries`: of the judge's own graph.
pub(crate) fn retries(
    judge: &Judge<'_>,
    tries: &Tries,
    entry: usize,
    path: &[Hop<'_>],
    service: usize,
) -> Option<(Scenario, Expectation)> {
    let weights: Vec<RolloutStep> = path.iter().filter_map(worst_weights).collect();
    let is_client = judge.graph.nodes[entry].kind == NodeKind::Client;
    if is_client && weights.is_empty() {
        return forced(judge, (judge.graph, tries), entry, service, Scenario::default());
    }
    let base = if is_client { Scenario::default() } else { own_entry(judge, path)? };
    let scenario = Scenario { rollout: weights, ..base };
    let staged = judge.staging.of(judge.mesh, &scenario)?;
    let name = scenario.clients.keys().next().unwrap_or(&judge.graph.nodes[entry].name);
    let entry = staged.graph.entries.iter().copied().find(|entry| staged.graph.nodes[*entry].name == *name)?;
    forced(judge, (&staged.graph, &staged.tries), entry, service, scenario)
}

/// A client of the witness's own in place of an entry that is assumed, which asks for the first route of a path.
fn own_entry(judge: &Judge<'_>, path: &[Hop<'_>]) -> Option<Scenario> {
    let first = path.first()?;
    let client = match (first.call.dials, first.target, path.get(1)) {
        (Some((service, port)), _, _) => staging::outside(judge.mesh, service, port)?,
        (None, Some(gateway), Some(next)) => {
            let gateway = judge.mesh.named_workload(&judge.graph.nodes[gateway.node].name)?;
            let lowering = Lowering::new(judge.mesh);
            staging::through_gateway(judge.mesh, &lowering, gateway, next.way.route.as_ref())?
        }
        _ => return None,
    };
    Some(staging::with_client(judge.mesh, client).1)
}

/// The answers that force as many requests as a client's one request can become. `scenario`: its clients and changes.
fn forced(
    judge: &Judge<'_>,
    (graph, tries): (&Graph, &Tries),
    entry: usize,
    service: usize,
    scenario: Scenario,
) -> Option<(Scenario, Expectation)> {
    // What happens whichever endpoint a proxy picks.
    let sure = tries.certificate(service, Over::Sure);
    let count = sure.requests[entry].filter(|count| *count > judge.options.limits.retry_amplification)?;
    let mut script = Script { graph, sure: &sure, answers: BTreeMap::new(), visited: BTreeSet::new() };
    script.from(entry, false)?;
    let (client, service) = (&graph.nodes[entry].name, graph.services[service].clone());
    let summary = format!("one request of {client} becomes {count} at {service}");
    let Scenario { clients, rollout, .. } = scenario;
    let script = script.answers.into_values().collect();
    let scenario = Scenario { script, clients, rollout, ..one_request(client, summary, Nanos::from_secs(600)) };
    Some((scenario, Expectation::RequestsAt { service, count }))
}

/// Turns all weight of a hop's route to the hop's destination, where it has a choice of subsets.
fn worst_weights(hop: &Hop<'_>) -> Option<RolloutStep> {
    let Subject::Route { resource, .. } = hop.way.route.as_ref().filter(|_| hop.way.arms.len() > 1)? else {
        return None;
    };
    let subset = hop.arm.subset.clone()?;
    let route = format!("{}/{}", resource.namespace, resource.name);
    Some(RolloutStep::Weight { route, at: Nanos::ZERO, weights: [(subset, 100)].into_iter().collect() })
}

/// Answers that fail all tries but the last, from an entry on.
struct Script<'a> {
    graph: &'a Graph,
    sure: &'a Certificate,
    answers: BTreeMap<(String, String), ScriptedAnswer>,
    visited: BTreeSet<(usize, bool)>,
}

impl Script<'_> {
    /// Forces what a node's calls meet. `repeated`: whoever asked the node, a gateway, tries again on its own, so that
    /// no answer may be good. `None`: it cannot be forced.
    fn from(&mut self, node: usize, repeated: bool) -> Option<()> {
        if !self.visited.insert((node, repeated)) {
            return Some(());
        }
        for call in self.graph.calls(node) {
            for hop in hops(node, call).filter(|hop| hop.way.taken) {
                let Some(target) = hop.target else { continue };
                let matters = hop.arm.service == Some(self.sure.service) || self.sure.requests[target.node] != Some(0);
                if matters {
                    self.hop(&hop, target.node, repeated || call.own_tries > 1)?;
                }
            }
        }
        Some(())
    }

    fn hop(&mut self, hop: &Hop<'_>, target: usize, always: bool) -> Option<()> {
        if self.graph.nodes[target].kind == NodeKind::Gateway {
            return self.from(target, always);
        }
        let tries = hop.way.retry.work();
        let status = if tries > 1 { hop.way.retry.status? } else { 503 };
        if hop.target.is_some_and(|target| target.inbound.work() > 1) || (always && status < 500) {
            return None;
        }
        let fail_attempts = if always { u32::MAX } else { u32::try_from(tries - 1).ok()? };
        if fail_attempts > 0 {
            let (at, from) = (self.graph.nodes[target].name.clone(), self.graph.nodes[hop.from].name.clone());
            let answer =
                ScriptedAnswer { at, from: Some(from.clone()), fail_attempts, status, takes: Some(Nanos::ZERO) };
            let known = self.answers.entry((answer.at.clone(), from)).or_insert_with(|| answer.clone());
            if *known != answer {
                return None;
            }
        }
        self.from(target, false)
    }
}

/// Calls that hang while their caller's caller waits.
pub(crate) struct Hang<'a> {
    /// Who waits and leaves.
    pub caller: usize,
    /// Its call.
    pub call: &'a Call,
    /// The route of the call that has the limit.
    pub way: &'a Way,
    /// Who is busy.
    pub callee: usize,
    /// Whether the callee's own time takes as long as it can.
    pub own: bool,
    /// The callee's calls that hang.
    pub hanging: Vec<(&'a Call, &'a Way)>,
}

/// A scenario in which a caller leaves before its callee is done, if a request can get there.
pub(crate) fn timeouts(judge: &Judge<'_>, hang: &Hang<'_>) -> Option<(Scenario, Expectation)> {
    let graph = judge.graph;
    let (caller, callee) = (&graph.nodes[hang.caller].name, &graph.nodes[hang.callee]);
    let always = |at: &str, from: &str, takes: Nanos| ScriptedAnswer {
        at: at.to_owned(),
        from: Some(from.to_owned()),
        fail_attempts: u32::MAX,
        status: 503,
        takes: Some(takes),
    };
    let mut script = Vec::new();
    let mut horizon = Nanos::from_secs(60);
    for (_, way) in hang.hanging.iter().filter(|(_, way)| way.taken) {
        // Longer than any limit on the try, so that the limit strikes.
        let takes = way.try_limit()?.times(2) + Nanos::from_secs(1);
        horizon = horizon + takes.times(way.retry.tries().saturating_add(1));
        for target in way.arms.iter().flat_map(|arm| &arm.targets) {
            let node = &graph.nodes[target.node];
            if node.kind != NodeKind::Workload {
                return None;
            }
            let answer = always(&node.name, &callee.name, takes);
            if !script.contains(&answer) {
                script.push(answer);
            }
        }
    }
    if let OwnTime::AtMost(own) = callee.own
        && hang.own
    {
        script.push(always(&callee.name, caller, own));
    }
    if script.is_empty() {
        return None;
    }
    let known = way_to(graph, |node, target| (node, target) == (hang.caller, hang.callee));
    let (client, base) = known.or_else(|| own_caller(judge, hang))?;
    let expectation = Expectation::CallerLeavesFirst { caller: caller.clone(), callee: callee.name.clone() };
    let summary = format!("{caller} leaves before {} is done", callee.name);
    let Scenario { clients, rollout, .. } = base;
    Some((Scenario { script, clients, rollout, ..one_request(&client, summary, horizon) }, expectation))
}

/// A client of the witness's own whose request takes the route that has the limit: one that runs in the caller, or one
/// that comes through it if it is a gateway.
fn own_caller(judge: &Judge<'_>, hang: &Hang<'_>) -> Option<(String, Scenario)> {
    let caller = &judge.graph.nodes[hang.caller];
    let workload = judge.mesh.named_workload(&caller.name)?;
    let (lowering, route) = (Lowering::new(judge.mesh), hang.way.route.as_ref());
    let is_gateway = caller.kind == NodeKind::Gateway;
    let client = if is_gateway {
        staging::through_gateway(judge.mesh, &lowering, workload, route)?
    } else {
        let dials = hang.call.dials?;
        let request = staging::taking(&lowering, workload, dials, route)?;
        staging::inside(judge.mesh, workload, dials, request)?
    };
    own_way(judge, client, |graph, node, target| {
        let is_caller = if is_gateway {
            graph.nodes[node].kind == NodeKind::Gateway && graph.nodes[node].name == caller.name
        } else {
            graph.entries.contains(&node)
        };
        is_caller && target == hang.callee
    })
}

/// The name of a client of a witness's own and the scenario that brings it, if its request comes by a call.
fn own_way(
    judge: &Judge<'_>,
    client: ClientBehaviour,
    is_meant: impl Fn(&Graph, usize, usize) -> bool,
) -> Option<(String, Scenario)> {
    let (name, scenario) = staging::with_client(judge.mesh, client);
    let staged = judge.staging.of(judge.mesh, &scenario)?;
    let entries: Vec<usize> = staged.graph.entries.clone();
    let own = entries.into_iter().filter(|entry| staged.graph.nodes[*entry].name == name);
    let (_, found) = way_from(&staged.graph, own, |node, target| is_meant(&staged.graph, node, target))?;
    Some((name, Scenario { rollout: found.rollout, ..scenario }))
}

/// The client whose request comes by a call between two nodes, over routes that it takes, and the weights that turn it
/// there.
fn way_to(graph: &Graph, is_meant: impl Fn(usize, usize) -> bool) -> Option<(String, Scenario)> {
    let entries = graph.entries.iter().copied();
    way_from(graph, entries.filter(|entry| graph.nodes[*entry].kind == NodeKind::Client), is_meant)
}

fn way_from(
    graph: &Graph,
    mut entries: impl Iterator<Item = usize>,
    is_meant: impl Fn(usize, usize) -> bool,
) -> Option<(String, Scenario)> {
    entries.find_map(|entry| {
        // Breadth first, so that the way is the shortest.
        let mut came: BTreeMap<usize, Option<(usize, Option<RolloutStep>)>> = BTreeMap::from([(entry, None)]);
        let mut queue = VecDeque::from([entry]);
        while let Some(node) = queue.pop_front() {
            for hop in graph.calls(node).flat_map(|call| hops(node, call)).filter(|hop| hop.way.taken) {
                let Some(target) = hop.target.map(|target| target.node) else { continue };
                let step = worst_weights(&hop);
                if is_meant(node, target) {
                    let mut rollout: Vec<RolloutStep> = step.into_iter().collect();
                    let mut at = node;
                    while let Some(Some((before, step))) = came.get(&at) {
                        rollout.extend(step.clone());
                        at = *before;
                    }
                    rollout.reverse();
                    return Some((graph.nodes[entry].name.clone(), Scenario { rollout, ..Scenario::default() }));
                }
                came.entry(target).or_insert_with(|| {
                    queue.push_back(target);
                    Some((node, step))
                });
            }
        }
        None
    })
}

/// Requests of a client that go over the link between two workloads, or from a client outside of the mesh straight to
/// a workload: the first that is found among the links, with the names of both. `ports`: services and ports by which the
/// link is as it is.
pub(crate) fn link(
    judge: &Judge<'_>,
    links: &[(Option<WorkloadId>, WorkloadId)],
    ports: impl Fn(Option<WorkloadId>, WorkloadId) -> Vec<(usize, u16)>,
) -> Option<(Scenario, String, String)> {
    // BOUND: links that are looked at; each costs a walk over all calls, or a lowering of the mesh.
    const KNOWN_MAX: usize = 256;
    const OWN_MAX: usize = 16;
    let name = |id: WorkloadId| judge.mesh.workload(id).full_name();
    let known = links.iter().take(KNOWN_MAX).find_map(|(from, to)| {
        let found = match from {
            Some(from) => way_to(judge.graph, |node, target| (node, target) == (from.index(), to.index())),
            None => way_to(judge.graph, |node, target| target == to.index() && is_outside(judge, node)),
        };
        found.map(|found| (found, *from, *to))
    });
    let own = || {
        links.iter().take(OWN_MAX).find_map(|(from, to)| {
            let client = |(service, port)| match from {
                Some(from) => staging::inside(judge.mesh, *from, (service, port), staging::any_request()),
                None => staging::outside(judge.mesh, service, port),
            };
            let clients = ports(*from, *to).into_iter().filter_map(client);
            let mut ways = clients.filter_map(|client| {
                own_way(judge, client, |graph, node, target| graph.entries.contains(&node) && target == to.index())
            });
            ways.next().map(|found| (found, *from, *to))
        })
    };
    let ((client, base), from, to) = known.or_else(own)?;
    let (from, to) = (from.map_or_else(String::new, name), name(to));
    let who = if from.is_empty() { "outside" } else { &from };
    let summary = format!("a request of {client} goes from {who} to {to}");
    let Scenario { clients, rollout, .. } = base;
    Some((Scenario { clients, rollout, ..some_requests(&client, summary) }, from, to))
}

/// Whether a node is a client outside of the mesh.
fn is_outside(judge: &Judge<'_>, node: usize) -> bool {
    let node = &judge.graph.nodes[node];
    let client = judge.mesh.behaviour.clients.get(&node.name).filter(|_| node.kind == NodeKind::Client);
    client.is_some_and(|client| client.from == ClientFrom::Outside)
}

/// What a replay of a link must show.
pub(crate) const fn expect_link(from: String, to: String, shown: Outcome) -> Expectation {
    match shown {
        Outcome::Fails => Expectation::HandshakeFails { from, to },
        Outcome::Plaintext | Outcome::Mutual | Outcome::ApplicationTls => Expectation::Plaintext { from, to },
    }
}
