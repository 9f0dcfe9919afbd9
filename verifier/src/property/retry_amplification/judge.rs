//! From bounds to verdicts: who is over the limit, over which path, because of which lines.

use std::collections::BTreeMap;

use meshproof_model::{Finding, FindingVerdict, Origin, RETRY_AMPLIFICATION, Severity, Subject, Witness, WitnessKind};

use super::{Certificate, Hop, Over, certificate, cycles};
use crate::{
    Engine, Proof, Report,
    assumption::{
        APPLIED, CALLS_COMPLETE, CALLS_INFERRED, HTTP_WITHOUT_GRPC_STATUS, NO_CLIENT_RETRIES, NO_HEDGING, NO_PATCHES,
    },
    graph::{Graph, NodeKind},
    property::{Check, Judge, listed},
    term::Query,
    witness,
};

/// Judges every service that requests can reach.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let graph = judge.graph;
    let mut report = Report::default();
    let components = components_from(graph, &graph.entries);
    let mut asked = Asked { judge, answers: BTreeMap::new() };
    for service in 0..graph.services.len() {
        let certificate = certificate(graph, &components, service, Over::All);
        judge_service(&mut asked, &components, &certificate, &mut report);
    }
    report.findings.extend(cycles(graph).into_iter().map(|members| cycle(graph, &members)));
    report
}

/// The components that requests can reach, callees before callers.
fn components_from(graph: &Graph, entries: &[usize]) -> Vec<Vec<usize>> {
    let (mut reached, mut queue) = (vec![false; graph.nodes.len()], entries.to_vec());
    while let Some(node) = queue.pop() {
        if !std::mem::replace(&mut reached[node], true) {
            queue.extend(graph.callees(node));
        }
    }
    let mut components = graph.components();
    components.retain(|members| reached[members[0]]);
    components
}

// BOUND: queries to Z3 about bounds that are within the limit. Large meshes have a bound for each service and node; those
// beyond rest on the fixpoint alone, and their proofs say so.
const QUERIES_MAX: usize = 1000;

/// Z3's answers; nodes that are alike ask the same.
struct Asked<'a> {
    judge: &'a Judge<'a>,
    answers: BTreeMap<Query, Check>,
}

impl Asked<'_> {
    /// `None`: enough has been asked, and this need not be.
    fn none_satisfiable(&mut self, queries: &[Query], is_needed: bool) -> Option<Check> {
        let mut new: Vec<Query> = queries.iter().filter(|query| !self.answers.contains_key(query)).cloned().collect();
        new.sort();
        new.dedup();
        if !is_needed && self.answers.len() + new.len() > QUERIES_MAX {
            return None;
        }
        for (query, answer) in new.iter().zip(self.judge.each_unsatisfiable(&new)) {
            self.answers.insert(query.clone(), answer);
        }
        let answers: Vec<&Check> = queries.iter().filter_map(|query| self.answers.get(query)).collect();
        let worst = answers.iter().find(|answer| ***answer == Check::Refuted);
        let undecided = || answers.iter().find(|answer| ***answer != Check::Confirmed);
        Some(worst.or_else(undecided).map_or(Check::Confirmed, |answer| (*answer).clone()))
    }
}

/// The bound of a service, and the entry from which it is reached.
struct Worst {
    entry: usize,
    bound: u64,
    connects: u64,
}

fn judge_service(asked: &mut Asked<'_>, components: &[Vec<usize>], certificate: &Certificate, report: &mut Report) {
    let judge = asked.judge;
    let graph = judge.graph;
    let subject = Subject::Service(graph.services[certificate.service].clone());
    let mut worst: Option<Worst> = None;
    for &entry in &graph.entries {
        let (Some(bound), Some(connects)) = (certificate.requests[entry], certificate.connects[entry]) else { return };
        if graph.nodes[entry].kind == NodeKind::Client && bound > 0 {
            let key = (graph.nodes[entry].name.clone(), graph.services[certificate.service].clone());
            report.bounds.requests.insert(key.clone(), bound);
            report.bounds.connects.insert(key, connects);
        }
        if bound > worst.as_ref().map_or(0, |worst| worst.bound) {
            worst = Some(Worst { entry, bound, connects });
        }
    }
    let Some(worst) = worst else { return };
    let exact = is_exact(graph, components, certificate, &worst);
    let is_over = worst.bound > judge.options.limits.retry_amplification;
    match asked.none_satisfiable(&certificate.queries(graph), is_over) {
        Some(Check::Confirmed) if is_over => {
            report.findings.push(finding(judge, certificate, &worst, subject, exact));
        }
        None => report.proofs.push(Proof { checked_by: None, ..proof(judge, certificate, &worst, subject, exact) }),
        Some(Check::Confirmed) => report.proofs.push(proof(judge, certificate, &worst, subject, exact)),
        Some(Check::Undecided(reason)) => report.undecided(&RETRY_AMPLIFICATION, subject, &reason),
        Some(Check::Refuted) => report.disagree(&RETRY_AMPLIFICATION, &subject, "Z3 exceeds the bound of the fixpoint"),
    }
}

fn proof(judge: &Judge<'_>, certificate: &Certificate, worst: &Worst, subject: Subject, exact: bool) -> Proof {
    let inferred = certificate.worst_path(judge.graph, worst.entry).iter().any(|hop| hop.call.inferred);
    Proof::new(&RETRY_AMPLIFICATION, subject, Engine::Fixpoint, Some(Engine::Z3))
        .value("bound", worst.bound)
        .value("limit", judge.options.limits.retry_amplification)
        .value("connects", worst.connects)
        .value("exact", exact)
        .assuming([NO_HEDGING, NO_PATCHES, CALLS_COMPLETE, HTTP_WITHOUT_GRPC_STATUS, APPLIED, NO_CLIENT_RETRIES])
        .assuming(inferred.then_some(CALLS_INFERRED))
}

/// Whether a single request reaches the bound: the worst routes are those that the known requests take.
fn is_exact(graph: &Graph, components: &[Vec<usize>], service: &Certificate, worst: &Worst) -> bool {
    let taken = certificate(graph, components, service.service, Over::Taken);
    worst.bound < u64::MAX && taken.requests[worst.entry] == Some(worst.bound)
}

fn finding(judge: &Judge<'_>, certificate: &Certificate, worst: &Worst, subject: Subject, exact: bool) -> Finding {
    let graph = judge.graph;
    let path = certificate.worst_path(graph, worst.entry);
    let limit = judge.options.limits.retry_amplification;
    let names = path_names(graph, &path);
    let message = format!(
        "one request at the entry can become {} requests at `{}` (limit {limit}) over {}",
        worst.bound,
        graph.services[certificate.service],
        names.join(" -> ")
    );
    let mut finding = Finding::new(&RETRY_AMPLIFICATION, subject, message)
        .help("retry at one hop only, the one nearest to the user; or lower `attempts` at the others")
        .value("bound", worst.bound)
        .value("limit", limit)
        .value("connects", worst.connects)
        .value("exact", exact);
    finding.verdict = FindingVerdict::Violated;
    if path.iter().any(|hop| is_budgeted(judge, hop)) {
        finding.severity = Severity::Warning;
        finding.message.push_str("; a retry budget grants that while it is unspent, and bounds retries over time");
    }
    finding = blame(judge, finding, &path);
    finding.witness = Some(show(judge, certificate, worst, &path, names));
    finding
}

/// Whether what bounds a hop's retries is a budget for all requests, as a `ServiceProfile` has one (`L-6`).
fn is_budgeted(judge: &Judge<'_>, hop: &Hop<'_>) -> bool {
    let service = hop.arm.service.and_then(|number| judge.mesh.services.get(number));
    let profiles = || judge.mesh.linkerd.profiles.iter();
    hop.way.retry.work() > 1 && service.is_some_and(|service| profiles().any(|p| p.meta.name() == service.host))
}

/// The services of a path, the entry first.
fn path_names(graph: &Graph, path: &[Hop<'_>]) -> Vec<String> {
    path.iter().filter_map(|hop| hop.arm.service.map(|service| graph.services[service].clone())).collect()
}

/// The lines that multiply, the greatest factor first, the hop nearest to the service among equals. Istio's default
/// retries multiply on ports that are declared gRPC: there, that declaration is the line.
fn blame(judge: &Judge<'_>, mut finding: Finding, path: &[Hop<'_>]) -> Finding {
    let mut lines: Vec<_> = path.iter().enumerate().filter(|(_, hop)| hop.way.retry.work() > 1).collect();
    lines.sort_by_key(|(place, hop)| std::cmp::Reverse((hop.way.retry.work(), *place)));
    for (_, hop) in lines {
        let (caller, times) = (&judge.graph.nodes[hop.from].name, hop.way.retry.work());
        let (at, what) = match &hop.way.retry.origin {
            Origin::Written(at) => (at.clone(), format!("`{caller}` tries up to {times} times")),
            Origin::Default(rule) => {
                let Some(service) = hop.arm.service.and_then(|number| judge.mesh.services.get(number)) else {
                    continue;
                };
                let Some(port) = service.ports.iter().find(|port| port.protocol.is_grpc()) else { continue };
                let what = format!("a gRPC port: `{caller}` tries up to {times} times by default ({rule})");
                (port.number.at.clone(), what)
            }
        };
        let is_known = finding.location.as_ref() == Some(&at) || finding.related.iter().any(|(known, _)| *known == at);
        match finding.location {
            _ if is_known => {}
            None => finding.location = Some(at),
            Some(_) => finding = finding.related(at, what),
        }
    }
    finding
}

fn show(judge: &Judge<'_>, certificate: &Certificate, worst: &Worst, path: &[Hop<'_>], names: Vec<String>) -> Witness {
    let graph = judge.graph;
    let mut steps = Vec::new();
    for hop in path {
        let to = hop.arm.service.map_or("the gateway", |service| graph.services[service].as_str());
        let from = &graph.nodes[hop.from].name;
        let times = hop.factor().saturating_mul(hop.call.times);
        let why = match &hop.way.retry.origin {
            _ if hop.call.own_tries > 1 => "its own retries",
            Origin::Written(_) => "its route's retries",
            Origin::Default(_) if hop.way.retry.work() > 1 => "Istio's default retries",
            Origin::Default(_) => "no retries after work",
        };
        steps.push(format!("`{from}` sends {times} for each of its requests to `{to}` ({why})"));
    }
    steps.push("every handler makes all of its calls and then fails, on all tries but the last".to_owned());
    let entry = &graph.nodes[worst.entry];
    let service = &graph.services[certificate.service];
    let replay = (entry.kind == NodeKind::Client)
        .then(|| witness::retries(judge.mesh, &entry.name, service, path, judge.options.limits.retry_amplification));
    let (scenario, expectation) = replay.flatten().unzip();
    Witness { kind: WitnessKind::Scenario, path: names, steps, scenario, expectation, replayed: None, request: None }
}

/// A cycle of calls has no bound; nothing more can be said.
fn cycle(graph: &Graph, members: &[usize]) -> Finding {
    let names: Vec<String> = members.iter().map(|node| format!("`{}`", graph.nodes[*node].name)).collect();
    let subject = Subject::Workload(graph.nodes[members[0]].name.clone());
    let message = format!("calls form a cycle through {}: requests behind it have no bound", listed(&names));
    let mut finding =
        Finding::new(&RETRY_AMPLIFICATION, subject, message).help("say in mesh.ron which calls a request really makes");
    finding.severity = Severity::Warning;
    finding.verdict = FindingVerdict::Unknown;
    finding
}
