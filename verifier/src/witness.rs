//! Scenarios that show a violation in the simulator: one request of one client, and answers that are forced.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use meshproof_model::{
    ClientFrom, Expectation, Load, Mesh, Nanos, RolloutStep, Scenario, ScriptedAnswer, Subject, WarmUp,
};

use crate::{
    extract::extract,
    graph::{Call, Graph, NodeKind, OwnTime, Way},
    property::{
        mtls::Outcome,
        retry_amplification::{Certificate, Hop, Over, certificate, hops},
    },
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
        faults: Vec::new(),
        rollout: Vec::new(),
        objectives: Vec::new(),
        script: Vec::new(),
    }
}

/// A scenario in which a client sends so many requests that one of them meets each replica, where chance decides.
fn some_requests(client: &str, summary: String) -> Scenario {
    const ENOUGH: u64 = 200;
    let load = vec![Load::Burst { client: client.to_owned(), requests: ENOUGH, at: START }];
    Scenario { load, ..one_request(client, summary, Nanos::from_secs(60)) }
}

/// A scenario that brings as many requests to a service as can be forced, if that is over `limit`: weights are turned
/// to the worst destinations, and every handler on the way makes its calls and then fails, on all tries but the last.
pub(crate) fn retries(
    mesh: &Mesh,
    client: &str,
    service: &str,
    path: &[Hop<'_>],
    limit: u64,
) -> Option<(Scenario, Expectation)> {
    let weights: Vec<RolloutStep> = path.iter().filter_map(worst_weights).collect();
    let forced = weights.iter().try_fold(mesh.clone(), |mesh, step| mesh.apply(step).ok())?;
    let graph = extract(&forced);
    let entry = graph.entries.iter().copied().find(|entry| graph.nodes[*entry].name == client)?;
    let number = graph.services.iter().position(|name| name == service)?;
    // What happens whichever endpoint a proxy picks, in the mesh with those weights.
    let sure = certificate(&graph, &graph.components(), number, Over::Sure);
    let count = sure.requests[entry].filter(|count| *count > limit)?;
    let mut script = Script { graph: &graph, sure: &sure, answers: BTreeMap::new(), visited: BTreeSet::new() };
    script.from(entry, false)?;
    let scenario = Scenario {
        script: script.answers.into_values().collect(),
        rollout: weights,
        ..one_request(client, format!("one request of {client} becomes {count} at {service}"), Nanos::from_secs(600))
    };
    Some((scenario, Expectation::RequestsAt { service: service.to_owned(), count }))
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
    /// Who is busy.
    pub callee: usize,
    /// Whether the callee's own time takes as long as it can.
    pub own: bool,
    /// The callee's calls that hang.
    pub hanging: Vec<(&'a Call, &'a Way)>,
}

/// A scenario in which a caller leaves before its callee is done, if a client's request can get there.
pub(crate) fn timeouts(graph: &Graph, hang: &Hang<'_>) -> Option<(Scenario, Expectation)> {
    let (client, weights) = way_to(graph, hang.caller, hang.callee)?;
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
    let expectation = Expectation::CallerLeavesFirst { caller: caller.clone(), callee: callee.name.clone() };
    let summary = format!("{caller} leaves before {} is done", callee.name);
    Some((Scenario { script, rollout: weights, ..one_request(&client, summary, horizon) }, expectation))
}

/// The client whose request leads to a call between two nodes, over routes that it takes, and the weights that turn
/// it there.
fn way_to(graph: &Graph, caller: usize, callee: usize) -> Option<(String, Vec<RolloutStep>)> {
    graph.entries.iter().filter(|entry| graph.nodes[**entry].kind == NodeKind::Client).find_map(|entry| {
        // Breadth first, so that the way is the shortest.
        let mut came: BTreeMap<usize, Option<(usize, Option<RolloutStep>)>> = BTreeMap::from([(*entry, None)]);
        let mut queue = VecDeque::from([*entry]);
        while let Some(node) = queue.pop_front() {
            for hop in graph.calls(node).flat_map(|call| hops(node, call)).filter(|hop| hop.way.taken) {
                let Some(target) = hop.target.map(|target| target.node) else { continue };
                let step = worst_weights(&hop);
                if (node, target) == (caller, callee) {
                    let mut weights: Vec<RolloutStep> = step.into_iter().collect();
                    let mut at = node;
                    while let Some(Some((before, step))) = came.get(&at) {
                        weights.extend(step.clone());
                        at = *before;
                    }
                    weights.reverse();
                    return Some((graph.nodes[*entry].name.clone(), weights));
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

/// A client's request that goes over the link between two workloads, if there is one: with the names of both.
pub(crate) fn link(graph: &Graph, from: usize, to: usize) -> Option<(Scenario, String, String)> {
    let (client, rollout) = way_to(graph, from, to)?;
    let (from, to) = (graph.nodes[from].name.clone(), graph.nodes[to].name.clone());
    let summary = format!("a request of {client} goes from {from} to {to}");
    Some((Scenario { rollout, ..some_requests(&client, summary) }, from, to))
}

/// A request that a client outside of the mesh sends straight to a workload, if there is one: with the workload's name.
pub(crate) fn from_outside(mesh: &Mesh, graph: &Graph, to: usize) -> Option<(Scenario, String)> {
    let straight = |entry: &&usize| {
        let node = &graph.nodes[**entry];
        let is_outside =
            mesh.behaviour.clients.get(&node.name).is_some_and(|client| client.from == ClientFrom::Outside);
        let mut hops = graph.calls(**entry).flat_map(|call| hops(**entry, call)).filter(|hop| hop.way.taken);
        is_outside && hops.any(|hop| hop.target.is_some_and(|target| target.node == to))
    };
    let client = &graph.nodes[*graph.entries.iter().find(straight)?].name;
    let to = graph.nodes[to].name.clone();
    Some((some_requests(client, format!("a request of {client} goes to {to}")), to))
}

/// What a replay of a link must show.
pub(crate) const fn expect_link(from: String, to: String, shown: Outcome) -> Expectation {
    match shown {
        Outcome::Fails => Expectation::HandshakeFails { from, to },
        Outcome::Plaintext | Outcome::Mutual | Outcome::ApplicationTls => Expectation::Plaintext { from, to },
    }
}
