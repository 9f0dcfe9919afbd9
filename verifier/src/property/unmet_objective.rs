//! `MP0406` unmet-objective (`P1` b1).
//!
//! **Statement.** What scenarios want of a client's latency can be had: the least time in which its requests can be
//! answered well is within the objective. It is had whatever fails where even the longest time is: tries, limits and
//! back-offs of all hops included.
//!
//! **Decided by** the fixpoints of `MP0405` and `MP0402`, whose oracles hold here too; **checked by** Z3: is there a time
//! of a request, from the least on, within the objective?

use meshproof_model::{Finding, Nanos, Subject, UNMET_OBJECTIVE};

use super::{
    Check, Judge,
    hopeless_call::{LeastTimes, least_own},
    millis,
    timeout_inversion::BusyTimes,
};
use crate::{
    Engine, Proof, Report,
    assumption::{APPLIED, CALLS_COMPLETE, NO_PATCHES, NO_WAITING, OWN_TIME},
    graph::NodeKind,
    term::{Int, Query},
};

/// Judges every client with an objective.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let mut report = Report::default();
    let (graph, objectives) = (judge.graph, &judge.options.objectives);
    if objectives.is_empty() {
        return report;
    }
    let own: Vec<Nanos> = (0..graph.nodes.len()).map(|node| least_own(judge.mesh, graph, node)).collect();
    let (least, busy) = (LeastTimes::of(graph, own), BusyTimes::of(graph));
    for entry in graph.entries.iter().filter(|entry| graph.nodes[**entry].kind == NodeKind::Client) {
        let Some(objective) = objectives.get(&graph.nodes[*entry].name).copied() else { continue };
        // Whose calls are hopeless is told of the call.
        let Some(quickest) = least.of_node(*entry) else { continue };
        let subject = Subject::Workload(graph.nodes[*entry].name.clone());
        let mut query = Query::default();
        let takes = query.int("takes");
        query.assert(Int::Const(quickest.get()).le(takes.clone()));
        query.assert(takes.le(Int::Const(objective.get())));
        match (judge.none_satisfiable(&[query]), quickest > objective) {
            (Check::Confirmed, true) => report.findings.push(finding(subject, objective, quickest)),
            (Check::Refuted, false) => {
                let longest = busy.of_node(*entry).bounded().filter(|longest| *longest <= objective);
                report.proofs.extend(longest.map(|longest| {
                    Proof::new(&UNMET_OBJECTIVE, subject, Engine::Fixpoint, Some(Engine::Z3))
                        .value("objective_ms", millis(objective))
                        .value("longest_ms", millis(longest))
                        .assuming([NO_PATCHES, CALLS_COMPLETE, OWN_TIME, NO_WAITING, APPLIED])
                }));
            }
            (Check::Undecided(reason), _) => report.undecided(&UNMET_OBJECTIVE, subject, &reason),
            (_, _) => report.disagree(&UNMET_OBJECTIVE, &subject, "the least time and Z3 differ"),
        }
    }
    report
}

fn finding(subject: Subject, objective: Nanos, quickest: Nanos) -> Finding {
    let message =
        format!("scenarios want answers within {objective}, and no request that succeeds takes less than {quickest}");
    Finding::new(&UNMET_OBJECTIVE, subject, message)
        .help("make calls side by side, make fewer of them, or ask for less")
        .value("objective_ms", millis(objective))
        .value("least_ms", millis(quickest))
}
