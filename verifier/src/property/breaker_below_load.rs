//! `MP0503` breaker-below-load (`P8`).
//!
//! **Statement.** The limits on requests at a time that a client's proxies have towards a service let the load through
//! that scenarios send: `x` requests per second that each take `t` keep `x·t` of them busy (Little's law), and the
//! client's `N` proxies with a limit of `m` let `N·m` through. Otherwise the rest is refused although nothing fails.
//! `x` counts what certainly gets there, without retries, and `t` is the mean of the callee's own time alone, so that
//! what is told is certain.
//!
//! **Decided by** a product, **checked by** Z3: can the proxies hold as many requests as the load keeps busy?

use std::collections::BTreeMap;

use meshproof_model::{BREAKER_BELOW_LOAD, Finding, Lowering, Mesh, ServiceId, Subject};

use super::{
    Check, Judge,
    breaker_beyond_capacity::{Limited, callers, capacity, limited},
};
use crate::{
    Engine, Proof, Report,
    assumption::{APPLIED, CALLS_COMPLETE, NO_PATCHES, SENT_BY_SCENARIOS},
    failures::mean_nanos,
    flow::{carrier, sure_rate},
    term::{Int, Query},
};

/// Judges every client with a limit towards a service whose time and load are known.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let mesh = judge.mesh;
    let mut report = Report::default();
    if mesh.behaviour.workloads.is_empty() || judge.options.demand.is_empty() {
        return report;
    }
    let lowering = Lowering::new(mesh);
    // The limits of one service's ports count together: nobody says which of them a call takes.
    let mut limits: BTreeMap<(ServiceId, meshproof_model::WorkloadId), Limited> = BTreeMap::new();
    for (client, service, port) in callers(mesh, &lowering) {
        if let Some(limited) = limited(mesh, &lowering, client, (service, port)) {
            let known = limits.entry((service, client)).or_insert_with(|| Limited { limit: 0, ..limited.clone() });
            known.limit = known.limit.saturating_add(limited.limit);
        }
    }
    for ((service, client), limited) in limits {
        let Some(mean) = least_mean(mesh, &lowering, service) else { continue };
        let rate = sure_rate(judge.graph, &judge.options.demand, |hop| {
            hop.arm.service == Some(service.index()) && carrier(mesh, judge.graph, hop.from) == Some(client)
        });
        // Thousandths of a request per second times microseconds.
        let load = rate.saturating_mul(mean / 1000);
        if load > 0 {
            let room = capacity(mesh, &lowering, service);
            judge_limit(judge, &limited, (service, rate, load, room), &mut report);
        }
    }
    report
}

/// The least mean time of a service's handlers in nanoseconds; `None`: nobody says it of one of them, or some requests
/// are answered from memory.
fn least_mean(mesh: &Mesh, lowering: &Lowering<'_>, service: ServiceId) -> Option<u64> {
    let of = |id| {
        let known = mesh.behaviour.workloads.get(&mesh.workload(id).full_name())?;
        known.cache.is_none().then(|| mean_nanos(&known.service_time))
    };
    let all: Vec<u64> = lowering.workloads_of(service).into_iter().map(of).collect::<Option<_>>()?;
    all.into_iter().min()
}

fn judge_limit(
    judge: &Judge<'_>,
    limited: &Limited,
    (service, rate, load, room): (ServiceId, u64, u64, Option<u64>),
    report: &mut Report,
) {
    let mesh = judge.mesh;
    let admitted = limited.proxies.saturating_mul(limited.limit);
    let subject =
        Subject::Call { from: mesh.workload(limited.client).full_name(), to: mesh.service(service).full_name() };
    let is_enough = load <= admitted.saturating_mul(PER_REQUEST);
    match (judge.none_satisfiable(&[holds(limited, load)]), is_enough) {
        (Check::Confirmed, false) => report.findings.push(finding(subject, limited, rate, load, room)),
        (Check::Refuted, true) => report.proofs.push(
            Proof::new(&BREAKER_BELOW_LOAD, subject, Engine::Fixpoint, Some(Engine::Z3))
                .value("admitted", admitted)
                .value("busy_at_least", load / PER_REQUEST)
                .value("load_rps", rate / 1000)
                .assuming([NO_PATCHES, CALLS_COMPLETE, APPLIED, SENT_BY_SCENARIOS]),
        ),
        (Check::Undecided(reason), _) => report.undecided(&BREAKER_BELOW_LOAD, subject, &reason),
        (_, _) => report.disagree(&BREAKER_BELOW_LOAD, &subject, "the product and Z3 differ"),
    }
}

/// One request at a time, in thousandths of a request per second times microseconds.
const PER_REQUEST: u64 = 1_000_000_000;

/// Can the proxies hold as many requests as the load keeps busy?
fn holds(limited: &Limited, load: u64) -> Query {
    let mut query = Query::default();
    let requests = query.int("requests");
    query.assert(requests.clone().le(Int::Const(limited.limit)));
    query.assert(Int::Const(load).le(requests.times(limited.proxies.saturating_mul(PER_REQUEST))));
    query
}

fn finding(subject: Subject, limited: &Limited, rate: u64, load: u64, room: Option<u64>) -> Finding {
    let busy = load.div_ceil(PER_REQUEST);
    let proxies = limited.proxies.max(1);
    let (least, admitted) = (busy.div_ceil(proxies), limited.proxies.saturating_mul(limited.limit));
    let message = format!(
        "`http2MaxRequests` lets {admitted} requests at a time through ({proxies} proxies with {} each), and the {} rps \
         that scenarios send keep {busy} of them busy: the rest is refused though nothing fails",
        limited.limit,
        rate / 1000
    );
    let most = room.map(|room| room / proxies);
    let help = match most {
        Some(most) if most < least => format!(
            "the load needs {least} for each proxy, and more than {most} does not protect the pods: they need more room"
        ),
        Some(most) => format!("{least} to {most} for each proxy let the load through and protect the pods"),
        None => format!("the load needs {least} for each proxy"),
    };
    Finding::new(&BREAKER_BELOW_LOAD, subject, message)
        .at(limited.at.clone())
        .help(help)
        .value("admitted", admitted)
        .value("busy_at_least", busy)
        .value("load_rps", rate / 1000)
}
