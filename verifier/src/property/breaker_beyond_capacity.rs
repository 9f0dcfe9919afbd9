//! `MP0502` breaker-beyond-capacity (`P8`).
//!
//! **Statement.** A limit on requests at a time that one proxy alone would protect a service by, because the service's
//! pods work on as many, protects it from all proxies together. The limit is per proxy, so `N` proxies of clients with a limit
//! of `m` admit `N·m`; the pods work on replicas times the concurrency that `mesh.ron` gives them.
//!
//! **Decided by** a sum over the clients that are known to call, **checked by** Z3: can the requests that the proxies
//! admit exceed what the pods work on?

use std::collections::{BTreeMap, BTreeSet};

use meshproof_model::{
    BREAKER_BEYOND_CAPACITY, Caller, Finding, FindingVerdict, Location, Lowering, Mesh, ProxyMode, ServiceId, Subject,
    WorkloadId,
};

use super::{Check, Judge, listed};
use crate::{
    Engine, Proof, Report,
    assumption::{APPLIED, CALLS_COMPLETE, NO_PATCHES},
    term::{Int, Query},
};

/// Limits of one client's proxies towards a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Limited {
    /// Whose proxies.
    pub client: WorkloadId,
    /// How many they are.
    pub proxies: u64,
    /// Of each.
    pub limit: u64,
    /// Where it is written.
    pub at: Location,
}

/// Judges every service whose capacity is known and for which some client has a limit.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let mesh = judge.mesh;
    let mut report = Report::default();
    // The concurrency of pods stands in `mesh.ron` only.
    if mesh.behaviour.workloads.is_empty() {
        return report;
    }
    let lowering = Lowering::new(mesh);
    let mut limits: BTreeMap<ServiceId, Vec<Limited>> = BTreeMap::new();
    for (client, service, port) in callers(mesh, &lowering) {
        if let Some(limited) = limited(mesh, &lowering, client, (service, port)) {
            limits.entry(service).or_default().push(limited);
        }
    }
    for (service, limits) in limits {
        let Some(capacity) = capacity(mesh, &lowering, service) else { continue };
        // A limit that lets more through by itself is there for something else.
        if limits.iter().any(|one| one.limit > capacity) {
            continue;
        }
        let admitted = limits.iter().map(|one| one.proxies.saturating_mul(one.limit)).fold(0, u64::saturating_add);
        let subject = Subject::Service(mesh.service(service).full_name());
        match (judge.none_satisfiable(&[exceeds(&limits, capacity)]), admitted > capacity) {
            (Check::Refuted, true) => report.findings.push(finding(mesh, subject, &limits, admitted, capacity)),
            (Check::Confirmed, false) => {
                let proof = Proof::new(&BREAKER_BEYOND_CAPACITY, subject, Engine::Fixpoint, Some(Engine::Z3))
                    .value("admitted", admitted)
                    .value("capacity", capacity)
                    .assuming([NO_PATCHES, CALLS_COMPLETE, APPLIED]);
                report.proofs.push(proof);
            }
            (Check::Undecided(reason), _) => report.undecided(&BREAKER_BEYOND_CAPACITY, subject, &reason),
            (_, _) => report.disagree(&BREAKER_BEYOND_CAPACITY, &subject, "the sum and Z3 differ"),
        }
    }
    report
}

/// Who is known to call what: workloads by their calls, gateways by their routes.
pub(super) fn callers(mesh: &Mesh, lowering: &Lowering<'_>) -> BTreeSet<(WorkloadId, ServiceId, u16)> {
    let calls = mesh.calls();
    let mut known: BTreeSet<(WorkloadId, ServiceId, u16)> = calls
        .calls
        .iter()
        .filter_map(|call| match call.from {
            Caller::Workload(id) => Some((id, call.to, call.port)),
            Caller::Client(client) => Some((mesh.client_workload(client)?, call.to, call.port)),
        })
        .collect();
    for id in mesh.workload_ids().filter(|id| mesh.workload(*id).proxy == ProxyMode::Gateway) {
        let lowered = lowering.gateway(id, 0);
        known.extend(
            lowered.provenance.clusters.iter().filter_map(|cluster| Some((id, cluster.service?, cluster.port))),
        );
    }
    known
}

/// The limit that is written for a client's requests to a service, if there is one.
pub(super) fn limited(
    mesh: &Mesh,
    lowering: &Lowering<'_>,
    client: WorkloadId,
    (service, port): (ServiceId, u16),
) -> Option<Limited> {
    let workload = mesh.workload(client);
    let lowered = match workload.proxy {
        ProxyMode::Gateway => lowering.gateway(client, 0),
        ProxyMode::Sidecar => lowering.outbound(client, 0, &[(service, port)]),
        _ => return None,
    };
    let clusters = lowered.config.clusters.iter().zip(&lowered.provenance.clusters);
    let own = clusters.filter(|(_, origin)| origin.service == Some(service) && origin.port == port);
    // Of subsets the widest counts: a request goes to one of them.
    let written = own.filter_map(|(cluster, origin)| {
        let limit = cluster.thresholds.first()?.max_requests?;
        Some((u64::from(limit), origin.max_requests.location()?.clone()))
    });
    let (limit, at) = written.max_by_key(|(limit, _)| *limit)?;
    Some(Limited { client, proxies: u64::from(workload.replicas.value), limit, at })
}

/// Requests that a service's pods work on at a time; `None`: of some of them nobody says it.
pub(super) fn capacity(mesh: &Mesh, lowering: &Lowering<'_>, service: ServiceId) -> Option<u64> {
    let of = |id: WorkloadId| {
        let workload = mesh.workload(id);
        let known = mesh.behaviour.workloads.get(&workload.full_name())?;
        Some(u64::from(workload.replicas.value).saturating_mul(known.concurrency.into()))
    };
    let all: Vec<u64> = lowering.workloads_of(service).into_iter().map(of).collect::<Option<_>>()?;
    (!all.is_empty()).then(|| all.into_iter().fold(0, u64::saturating_add))
}

/// Can the requests that the proxies admit exceed what the pods work on?
fn exceeds(limits: &[Limited], capacity: u64) -> Query {
    let mut query = Query::default();
    let mut total = Vec::new();
    for (number, one) in limits.iter().enumerate() {
        let requests = query.int(format!("proxy{number}"));
        query.assert(requests.clone().le(Int::Const(one.limit)));
        total.push(requests.times(one.proxies));
    }
    query.assert(Int::Sum(total).gt(Int::Const(capacity)));
    query
}

fn finding(mesh: &Mesh, subject: Subject, limits: &[Limited], admitted: u64, capacity: u64) -> Finding {
    let proxies: u64 = limits.iter().map(|one| one.proxies).fold(0, u64::saturating_add);
    let of = |one: &Limited| {
        let (name, count) = (mesh.workload(one.client).full_name(), one.proxies);
        format!("{count} of `{name}` with {} each", one.limit)
    };
    let parts: Vec<String> = limits.iter().map(of).collect();
    let message = format!(
        "`http2MaxRequests` is a limit of each proxy: {proxies} proxies ({}) let {admitted} requests at a time through, \
         and the pods of `{}` work on {capacity}",
        listed(&parts),
        match &subject {
            Subject::Service(name) => name.as_str(),
            _ => "",
        }
    );
    let enough = capacity / proxies.max(1);
    let mut finding = Finding::new(&BREAKER_BEYOND_CAPACITY, subject, message)
        .help(format!("{enough} for each of the {proxies} proxies protects the pods; or let them work on more"))
        .value("admitted", admitted)
        .value("capacity", capacity)
        .value("proxies", proxies);
    finding.verdict = FindingVerdict::Lint;
    let mut places: Vec<&Location> = limits.iter().map(|one| &one.at).collect();
    places.sort();
    places.dedup();
    finding.location = places.first().map(|at| (*at).clone());
    for at in places.into_iter().skip(1) {
        finding = finding.related(at.clone(), "another client's limit");
    }
    finding
}
