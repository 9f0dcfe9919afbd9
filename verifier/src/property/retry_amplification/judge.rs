//! From bounds to verdicts: who is over the limit, over which path, because of which lines.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_model::{Finding, FindingVerdict, Origin, RETRY_AMPLIFICATION, Severity, Subject, Witness, WitnessKind};

use rayon::prelude::*;

use super::{
    Certificate, Hop, Over, cycles,
    tries::{Claim, Flow, Tries},
};
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
    let tries = Tries::of(graph, &components_from(graph, &graph.entries));
    let flows = flows(&tries, &graph.entries);
    let judged: Vec<Judged> = (0..graph.services.len())
        .into_par_iter()
        .filter_map(|service| judge_service(judge, &tries, flows.as_deref(), service))
        .collect();
    let answers = ask(judge, flows.as_deref(), &judged);
    let mut report = Report::default();
    for one in judged {
        one.report(&answers, &mut report);
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

// BOUND: claims that Z3 is asked about bounds within the limit. Bounds beyond it rest on the fixpoint alone, and their
// proofs say so.
const CLAIMS_MAX: usize = 10_000;

/// What each entry's requests come to, counted from the entry on; `None`: not for all entries, or that is too much to ask.
fn flows(tries: &Tries, entries: &[usize]) -> Option<Vec<Flow>> {
    let mut claims = 0;
    let flow = |entry: &usize| {
        let flow = tries.flow(*entry)?;
        claims += flow.claims.len();
        (claims <= 10 * CLAIMS_MAX).then_some(flow)
    };
    entries.iter().map(flow).collect()
}

/// A service that requests reach.
struct Judged {
    subject: Subject,
    /// What no run may exceed, by client.
    bounds: Vec<(String, u64, u64)>,
    service: String,
    /// The violation, or the proof.
    verdict: Result<Proof, Finding>,
    /// What makes the bound sound; `None`: the flows do.
    claims: Option<BTreeSet<Claim>>,
    is_beyond: bool,
}

/// The bound of a service, and the entry from which it is reached.
struct Worst {
    entry: usize,
    bound: u64,
    connects: u64,
}

/// `None`: nobody reaches the service, or a cycle of calls does.
fn judge_service(judge: &Judge<'_>, tries: &Tries, flows: Option<&[Flow]>, service: usize) -> Option<Judged> {
    let graph = judge.graph;
    let certificate = tries.certificate(service, Over::All);
    let subject = Subject::Service(graph.services[service].clone());
    let (mut worst, mut bounds, mut flows_agree) = (None::<Worst>, Vec::new(), flows.is_some());
    for (number, &entry) in graph.entries.iter().enumerate() {
        let (bound, connects) = (certificate.requests[entry]?, certificate.connects[entry]?);
        if graph.nodes[entry].kind == NodeKind::Client && bound > 0 {
            bounds.push((graph.nodes[entry].name.clone(), bound, connects));
        }
        let counted = flows.and_then(|flows| flows[number].at_services.get(&service)).copied().unwrap_or(0);
        flows_agree &= counted == bound;
        if bound > worst.as_ref().map_or(0, |worst| worst.bound) {
            worst = Some(Worst { entry, bound, connects });
        }
    }
    let worst = worst?;
    let exact = is_exact(tries, &certificate, &worst);
    let verdict = if worst.bound > judge.options.limits.retry_amplification {
        Err(finding(judge, tries, &certificate, &worst, exact))
    } else {
        Ok(proof(judge, &certificate, &worst, subject.clone(), exact))
    };
    Some(Judged {
        subject,
        bounds,
        service: graph.services[service].clone(),
        verdict,
        claims: (!flows_agree).then(|| certificate.claims(tries).collect()),
        is_beyond: worst.bound == u64::MAX,
    })
}

/// Z3's answers on all that is claimed, each claim once.
struct Answers {
    /// Claims that are missing were too many to ask.
    by_claim: BTreeMap<Claim, Check>,
    /// On all flows together.
    flows: Option<Check>,
}

fn ask(judge: &Judge<'_>, flows: Option<&[Flow]>, judged: &[Judged]) -> Answers {
    let mut claims: BTreeSet<&Claim> = BTreeSet::new();
    let of_flows = || flows.into_iter().flatten().flat_map(|flow| &flow.claims);
    if judged.iter().any(|one| one.claims.is_none()) {
        claims.extend(of_flows());
    }
    let open = |one: &&Judged| !one.is_beyond;
    let violated = judged.iter().filter(open).filter(|one| one.verdict.is_err());
    claims.extend(violated.filter_map(|one| one.claims.as_ref()).flatten());
    for own in judged.iter().filter(open).filter_map(|one| one.claims.as_ref()) {
        let new = own.iter().filter(|claim| !claims.contains(claim)).collect::<BTreeSet<_>>();
        if judge.options.paranoid || claims.len() + new.len() <= CLAIMS_MAX {
            claims.extend(new);
        }
    }
    let queries: Vec<Query> = claims.iter().map(|claim| claim.query()).collect();
    let answers = judge.each_unsatisfiable(&queries);
    let by_arithmetic = |claim: &Claim, answer| match answer {
        Check::Confirmed if judge.options.paranoid && !claim.holds() => Check::Refuted,
        answer => answer,
    };
    let answers = claims.into_iter().zip(answers).map(|(claim, answer)| (claim.clone(), by_arithmetic(claim, answer)));
    let by_claim: BTreeMap<Claim, Check> = answers.collect();
    let flows = together(of_flows(), &by_claim);
    Answers { by_claim, flows }
}

/// What Z3 says of all these together; `None`: it was not asked about some.
fn together<'c>(claims: impl Iterator<Item = &'c Claim>, answers: &BTreeMap<Claim, Check>) -> Option<Check> {
    let checks: BTreeSet<&Check> = claims.map(|claim| answers.get(claim)).collect::<Option<_>>()?;
    let is_refuted = checks.contains(&Check::Refuted);
    let undecided = || checks.into_iter().find(|check| **check != Check::Confirmed).cloned();
    Some(if is_refuted { Check::Refuted } else { undecided().unwrap_or(Check::Confirmed) })
}

impl Judged {
    fn report(self, answers: &Answers, report: &mut Report) {
        if self.is_beyond {
            report.undecided(&RETRY_AMPLIFICATION, self.subject, "the number of requests does not fit into 64 bits");
            return;
        }
        for (client, bound, connects) in self.bounds {
            let key = (client, self.service.clone());
            report.bounds.requests.insert(key.clone(), bound);
            report.bounds.connects.insert(key, connects);
        }
        let check = match &self.claims {
            Some(own) => together(own.iter(), &answers.by_claim),
            None => answers.flows.clone(),
        };
        match (check, self.verdict) {
            (Some(Check::Confirmed), Ok(proof)) => report.proofs.push(proof),
            (Some(Check::Confirmed), Err(finding)) => report.findings.push(finding),
            (None, verdict) => report.proofs.extend(verdict.ok().map(|proof| Proof { checked_by: None, ..proof })),
            (Some(Check::Undecided(reason)), _) => report.undecided(&RETRY_AMPLIFICATION, self.subject, &reason),
            (Some(Check::Refuted), _) => {
                report.disagree(&RETRY_AMPLIFICATION, &self.subject, "the bound of the fixpoint is exceeded");
            }
        }
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
fn is_exact(tries: &Tries, certificate: &Certificate, worst: &Worst) -> bool {
    let reached = || tries.certificate(certificate.service, Over::Taken).requests[worst.entry];
    worst.bound < u64::MAX && (tries.all_taken || reached() == Some(worst.bound))
}

fn finding(judge: &Judge<'_>, tries: &Tries, certificate: &Certificate, worst: &Worst, exact: bool) -> Finding {
    let graph = judge.graph;
    let subject = Subject::Service(graph.services[certificate.service].clone());
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
    finding.witness = Some(show(judge, tries, certificate, worst, &path, names));
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

fn show(
    judge: &Judge<'_>,
    tries: &Tries,
    certificate: &Certificate,
    worst: &Worst,
    path: &[Hop<'_>],
    names: Vec<String>,
) -> Witness {
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
    let (scenario, expectation) = witness::retries(judge, tries, worst.entry, path, certificate.service).unzip();
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
