//! `MP0405` hopeless-call (`P1` b2).
//!
//! **Statement.** A try can succeed: the least time in which its callee can answer well, its own and that of the calls it
//! cannot do without, is at most the limit on the try.
//!
//! **Decided by** a fixpoint: the least time of a handler is the least of its own and, stage after stage, the longest of
//! the least times of the calls that it always makes and needs. All are sums, maxima and minima, so the best case is at
//! the corner where everything is quick. **Checked by** Z3: is there a time within the limit in which the callee is done?
//! The oracle in the tests tries every choice of endpoints. The witness is one request with nothing going wrong.

use meshproof_model::{Finding, FindingVerdict, HOPELESS_CALL, Mesh, Nanos, Share, Subject, Witness, WitnessKind};

use super::{
    Check, Judge, millis,
    retry_amplification::{Hop, hops},
};
use crate::{
    Engine, Proof, Report,
    assumption::{APPLIED, CALLS_COMPLETE, NO_PATCHES},
    graph::{Call, Graph, NodeKind},
    term::{Int, Query},
    witness::{self, Hang},
};

/// Judges every try that has a limit and whose callee's least time is known.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let mut report = Report::default();
    let graph = judge.graph;
    let own: Vec<Nanos> = (0..graph.nodes.len()).map(|node| least_own(judge.mesh, graph, node)).collect();
    if own.iter().all(|time| time.is_zero()) {
        return report;
    }
    let least = LeastTimes::of(graph, own);
    for from in 0..graph.nodes.len() {
        for hop in graph.calls(from).flat_map(|call| hops(from, call)) {
            judge_hop(judge, &least, &hop, &mut report);
        }
    }
    report
}

/// The least time of a node's handler itself.
pub(super) fn least_own(mesh: &Mesh, graph: &Graph, node: usize) -> Nanos {
    let known = mesh.behaviour.workloads.get(&graph.nodes[node].name);
    match known.filter(|_| graph.nodes[node].kind == NodeKind::Workload) {
        Some(known) if known.cache.is_none() => known.service_time.min(),
        _ => Nanos::ZERO,
    }
}

/// The least time in which each node can answer well; `None`: it never does, as a call that it needs is hopeless.
pub(super) struct LeastTimes(Vec<Option<Nanos>>);

impl LeastTimes {
    /// From the least of each handler's own time.
    pub(super) fn of(graph: &Graph, own: Vec<Nanos>) -> Self {
        let mut times: Vec<Option<Nanos>> = own.into_iter().map(Some).collect();
        for members in graph.components() {
            // In a cycle of calls the own time alone is certain.
            if graph.is_cycle(&members) {
                continue;
            }
            let node = members[0];
            for stage in &graph.nodes[node].stages {
                let needed = stage.iter().filter(|call| is_needed(call));
                let mut longest = needed.map(|call| least_call(node, call, &times));
                let longest = longest.try_fold(Nanos::ZERO, |most, one| Some(most.max(one?)));
                times[node] = times[node].zip(longest).map(|(sum, longest)| sum + longest);
            }
        }
        Self(times)
    }

    /// Of one node.
    pub(super) fn of_node(&self, node: usize) -> Option<Nanos> {
        self.0[node]
    }
}

fn is_needed(call: &Call) -> bool {
    !call.optional && call.share_ppm >= Share::ALL.ppm() && call.times > 0
}

/// The least time of all times that a call is made, over the endpoint that is the quickest.
fn least_call(node: usize, call: &Call, times: &[Option<Nanos>]) -> Option<Nanos> {
    let one = |hop: Hop<'_>| {
        let Some(target) = hop.target else { return Some(Nanos::ZERO) };
        times[target.node].filter(|time| hop.way.try_limit().is_none_or(|limit| *time <= limit))
    };
    let mut any = false;
    let least = hops(node, call).inspect(|_| any = true).filter_map(one).min();
    // A call that leads nowhere is none of ours.
    if any { least.map(|time| time.times(call.times)) } else { Some(Nanos::ZERO) }
}

fn judge_hop(judge: &Judge<'_>, least: &LeastTimes, hop: &Hop<'_>, report: &mut Report) {
    let graph = judge.graph;
    let (Some(limit), Some(service), Some(target)) = (hop.way.try_limit(), hop.arm.service, hop.target) else { return };
    // Of a callee that never answers well, the call that it needs is told.
    let Some(time) = least.0[target.node].filter(|time| !time.is_zero()) else { return };
    let subject = Subject::Call { from: graph.nodes[hop.from].name.clone(), to: graph.services[service].clone() };
    let mut query = Query::default();
    let takes = query.int("takes");
    query.assert(Int::Const(time.get()).le(takes.clone()));
    query.assert(takes.le(Int::Const(limit.get())));
    match (judge.none_satisfiable(&[query]), time > limit) {
        (Check::Refuted, false) => {
            let known = report.proofs.iter().any(|proof| proof.subject == subject);
            let proof = Proof::new(&HOPELESS_CALL, subject, Engine::Fixpoint, Some(Engine::Z3))
                .value("limit_ms", millis(limit))
                .value("least_ms", millis(time))
                .assuming([NO_PATCHES, CALLS_COMPLETE, APPLIED]);
            report.proofs.extend((!known).then_some(proof));
        }
        (Check::Confirmed, true) => {
            report.proofs.retain(|proof| proof.subject != subject);
            report.findings.push(finding(judge, subject, hop, limit, time));
        }
        (Check::Undecided(reason), _) => report.undecided(&HOPELESS_CALL, subject, &reason),
        (_, _) => report.disagree(&HOPELESS_CALL, &subject, "the least time and Z3 differ"),
    }
}

fn finding(judge: &Judge<'_>, subject: Subject, hop: &Hop<'_>, limit: Nanos, time: Nanos) -> Finding {
    let graph = judge.graph;
    let callee = hop.target.map_or(hop.from, |target| target.node);
    let (from, to) = (&graph.nodes[hop.from].name, &graph.nodes[callee].name);
    let message =
        format!("`{from}` gives up on `{to}` after {limit}, and it needs {time} at the least: no request can succeed");
    let mut finding = Finding::new(&HOPELESS_CALL, subject, message)
        .help(format!("a limit of more than {time}"))
        .value("limit_ms", millis(limit))
        .value("least_ms", millis(time));
    finding.location = hop.way.deciding_limit().location().cloned();
    finding.verdict = FindingVerdict::Violated;
    // Where the balancer chooses among workloads, the request of a replay may get to another one.
    let (caller, call, way) = (hop.from, hop.call, hop.way);
    let hang = Hang { caller, call, way, callee, own: false, hanging: Vec::new() };
    let shown = (hop.arm.targets.len() == 1).then(|| witness::timeouts(judge, &hang)).flatten();
    let (scenario, expectation) = shown.unzip();
    finding.witness = Some(Witness {
        kind: if scenario.is_some() { WitnessKind::Scenario } else { WitnessKind::Request },
        path: vec![from.clone(), to.clone()],
        steps: vec![format!("`{from}` leaves after {limit}, and `{to}` is not done before {time}")],
        scenario,
        expectation,
        replayed: None,
        request: None,
    });
    finding
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::testing::{Draws, arm, by_default, call, graph, limit, way};

    /// The least time over every choice of an endpoint, written as sums over whole ways through the graph.
    fn over_all_choices(graph: &Graph, own: &[Nanos], node: usize) -> Vec<u64> {
        let mut sums = vec![own[node].as_millis()];
        for stage in &graph.nodes[node].stages {
            // Every choice of endpoints for the calls of the stage, side by side.
            let mut longest = vec![0];
            for call in stage.iter().filter(|call| is_needed(call)) {
                let choices: Vec<u64> = hops(node, call)
                    .flat_map(|hop| {
                        let most = hop.way.try_limit().map_or(u64::MAX, Nanos::as_millis);
                        let inner = over_all_choices(graph, own, hop.target.unwrap().node);
                        inner.into_iter().filter(move |time| *time <= most)
                    })
                    .map(|time| time * call.times)
                    .collect();
                longest = longest.iter().flat_map(|known: &u64| choices.iter().map(|one| *known.max(one))).collect();
            }
            sums = sums.iter().flat_map(|sum| longest.iter().map(move |time| sum + time)).collect();
        }
        sums
    }

    #[test]
    fn the_least_time_is_the_least_over_every_choice_of_endpoints() {
        let cases = crate::testing::cases(500);
        let mut draws = Draws::new(17);
        let (mut hopeless, mut fine) = (0, 0);
        for _ in 0..cases {
            let nodes = 5;
            let mut graph = graph(nodes);
            for node in 0..nodes - 1 {
                for _ in 0..draws.below(3).max(u64::from(node == 0)) {
                    let mut pick = || node + 1 + usize::try_from(draws.below((nodes - node - 1) as u64)).unwrap();
                    let arms = vec![arm(pick()), arm(pick())];
                    let mut way = way(arms, by_default());
                    if draws.chance(60) {
                        way.timeout = limit(1 + draws.below(14), 1);
                    }
                    let made = Call {
                        ways: vec![way],
                        times: 1 + draws.below(2),
                        optional: draws.chance(10),
                        ..call(1, by_default())
                    };
                    match graph.nodes[node].stages.last_mut().filter(|_| draws.chance(40)) {
                        Some(stage) => stage.push(made),
                        None => graph.nodes[node].stages.push(vec![made]),
                    }
                }
            }
            let own: Vec<Nanos> = (0..nodes).map(|_| Nanos::from_millis(draws.below(12))).collect();
            let least = LeastTimes::of(&graph, own.clone());
            for node in 0..nodes {
                let naive = over_all_choices(&graph, &own, node).into_iter().min();
                assert_eq!(least.0[node].map(Nanos::as_millis), naive, "{node} {own:?} {graph:?}");
            }
            *(if least.0[0].is_none() { &mut hopeless } else { &mut fine }) += 1;
        }
        assert!(hopeless * 4 >= cases && fine * 4 >= cases, "{hopeless} {fine}");
    }
}
