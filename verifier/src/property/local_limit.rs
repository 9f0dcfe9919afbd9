//! `MP0505` limit-beyond-capacity and `MP0506` limit-below-load (`P9`, `RL-3`).
//!
//! **Statement.** A local rate limit is a bucket of each proxy: `N` pods with a bucket of `b` tokens that is filled at a
//! rate of `r` let `N·r` requests per second through, and `b` at once into each pod. `MP0505`: what a pod is let is what
//! it can do: `r` is at most what it answers in a second, and `b` at most what it works on and lets wait. `MP0506`: the
//! load that scenarios send certainly gets through: it is at most `N·r`.
//!
//! **Decided by** arithmetic, **checked by** Z3: is there a rate, or a burst, that the bucket lets through and that is
//! too much? The oracle in the tests plays a bucket request by request.

use meshproof_model::{
    Finding, LIMIT_BELOW_LOAD, LIMIT_BEYOND_CAPACITY, Location, Lowering, Mesh, ProxyMode, Subject, WorkloadId,
};
use meshproof_proxy::config::{Filter, LocalRateLimit, TokenBucket};

use super::{Check, Judge};
use crate::{
    Engine, Proof, Report,
    assumption::{APPLIED, CALLS_COMPLETE, SENT_BY_SCENARIOS},
    failures::milli_rps_of_pod,
    flow::sure_rate,
    term::{Int, Query},
};

/// Judges the buckets of every workload.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let mut report = Report::default();
    let mesh = judge.mesh;
    let lowering = Lowering::new(mesh);
    for id in mesh.workload_ids() {
        for (limit, at) in limits(mesh, &lowering, id) {
            judge_capacity(judge, id, &limit, &at, &mut report);
            judge_load(judge, &lowering, id, (&limit, &at), &mut report);
        }
    }
    report
}

/// The limits of a workload's proxies that hold for every request, each once.
pub(super) fn limits(mesh: &Mesh, lowering: &Lowering<'_>, id: WorkloadId) -> Vec<(LocalRateLimit, Location)> {
    if mesh.envoy_filters.is_empty() || mesh.workload(id).proxy != ProxyMode::Sidecar {
        return Vec::new();
    }
    let lowered = lowering.inbound(id);
    let mut found: Vec<(LocalRateLimit, Location)> = Vec::new();
    for (listener, origin) in lowered.config.listeners.iter().zip(&lowered.provenance.listeners) {
        let filters = listener.filters.iter().filter_map(|filter| match filter {
            Filter::LocalRateLimit(limit) => Some(limit),
            _ => None,
        });
        let places = origin.policies.iter().filter(|(resource, _)| resource.kind == "EnvoyFilter");
        for (limit, (_, at)) in filters.zip(places) {
            let is_whole = |share: &meshproof_proxy::FractionalPercent| share.numerator >= share.denominator;
            let holds = is_whole(&limit.enabled) && is_whole(&limit.enforced);
            if holds && !limit.per_connection && !found.iter().any(|(_, known)| known == at) {
                found.push((limit.clone(), at.clone()));
            }
        }
    }
    found
}

/// Requests per second that a bucket lets through for ever, in thousandths, rounded down: it is filled all the time, not
/// at once, so that its size is no limit on that.
pub(super) fn milli_rate(bucket: &TokenBucket) -> u64 {
    let tokens = u128::from(bucket.tokens_per_fill);
    let interval = u128::from(bucket.fill_interval.get().max(1));
    u64::try_from(tokens * 1_000_000_000_000 / interval).unwrap_or(u64::MAX)
}

fn judge_capacity(judge: &Judge<'_>, id: WorkloadId, limit: &LocalRateLimit, at: &Location, report: &mut Report) {
    let mesh = judge.mesh;
    let name = mesh.workload(id).full_name();
    let Some(known) = mesh.behaviour.workloads.get(&name) else { return };
    let Some(able) = milli_rps_of_pod(mesh, id) else { return };
    let room = u64::from(known.concurrency) + u64::from(known.queue.limit);
    let (rate, burst) = (milli_rate(&limit.bucket), u64::from(limit.bucket.max_tokens));
    let subject = Subject::Workload(name);
    let (fast, large) = (rate > able, burst > room);
    let checks = judge.each_unsatisfiable(&[above("rate", rate, able), above("burst", burst, room)]);
    for (check, is_beyond) in checks.into_iter().zip([fast, large]) {
        match check {
            Check::Undecided(reason) => return report.undecided(&LIMIT_BEYOND_CAPACITY, subject, &reason),
            check if (check == Check::Refuted) != is_beyond => {
                return report.disagree(&LIMIT_BEYOND_CAPACITY, &subject, "the bucket and Z3 differ");
            }
            _ => {}
        }
    }
    let message = if fast {
        format!(
            "the limit lets {} rps into each pod, which answers {}: it does not protect it",
            rate / 1000,
            able / 1000
        )
    } else if large {
        format!(
            "the limit lets {burst} requests at once into a pod, which works on {} and lets {} wait: the rest is refused \
             by the pod",
            known.concurrency, known.queue.limit
        )
    } else {
        report.proofs.push(
            Proof::new(&LIMIT_BEYOND_CAPACITY, subject, Engine::Fixpoint, Some(Engine::Z3))
                .value("limit_rps", rate / 1000)
                .value("pod_rps", able / 1000)
                .value("burst", burst)
                .value("room", room)
                .assuming([APPLIED]),
        );
        return;
    };
    report.findings.push(
        Finding::new(&LIMIT_BEYOND_CAPACITY, subject, message)
            .at(at.clone())
            .help(format!("`tokens_per_fill` for at most {} rps, and `max_tokens` of at most {room}", able / 1000))
            .value("limit_rps", rate / 1000)
            .value("pod_rps", able / 1000)
            .value("burst", burst)
            .value("room", room),
    );
}

fn judge_load(
    judge: &Judge<'_>,
    lowering: &Lowering<'_>,
    id: WorkloadId,
    (limit, at): (&LocalRateLimit, &Location),
    report: &mut Report,
) {
    let mesh = judge.mesh;
    let load =
        sure_rate(judge.graph, &judge.options.demand, |hop| hop.target.is_some_and(|target| target.node == id.index()));
    if load == 0 || lowering.services_of(id).is_empty() {
        return;
    }
    let pods = u64::from(mesh.workload(id).replicas.value);
    let rate = milli_rate(&limit.bucket);
    let through = rate.saturating_mul(pods);
    let subject = Subject::Workload(mesh.workload(id).full_name());
    let mut query = Query::default();
    let refused = query.int("refused");
    query.assert(Int::Const(1).le(refused.clone()));
    query.assert(Int::Sum(vec![refused, Int::Const(through)]).le(Int::Const(load)));
    match (judge.none_satisfiable(&[query]), load > through) {
        (Check::Confirmed, false) => report.proofs.push(
            Proof::new(&LIMIT_BELOW_LOAD, subject, Engine::Fixpoint, Some(Engine::Z3))
                .value("let_through_rps", through / 1000)
                .value("load_rps", load / 1000)
                .assuming([APPLIED, CALLS_COMPLETE, SENT_BY_SCENARIOS]),
        ),
        (Check::Refuted, true) => {
            let message = format!(
                "{pods} pods with a limit of {} rps each let {} rps through, and scenarios send {}: the rest is answered \
                 {}",
                rate / 1000,
                through / 1000,
                load / 1000,
                limit.status.filter(|status| *status >= 400).unwrap_or(429)
            );
            report.findings.push(
                Finding::new(&LIMIT_BELOW_LOAD, subject, message)
                    .at(at.clone())
                    .help(format!("the load needs {} rps for each pod", load.div_ceil(pods.max(1)).div_ceil(1000)))
                    .value("let_through_rps", through / 1000)
                    .value("load_rps", load / 1000)
                    .value("pods", pods),
            );
        }
        (Check::Undecided(reason), _) => report.undecided(&LIMIT_BELOW_LOAD, subject, &reason),
        (_, _) => report.disagree(&LIMIT_BELOW_LOAD, &subject, "the sum and Z3 differ"),
    }
}

/// Is there something within a limit and above what is possible?
fn above(name: &str, limit: u64, possible: u64) -> Query {
    let mut query = Query::default();
    let value = query.int(name);
    query.assert(value.clone().le(Int::Const(limit)));
    query.assert(value.gt(Int::Const(possible)));
    query
}

#[cfg(test)]
mod tests {
    use meshproof_model::Nanos;

    use super::*;
    use crate::testing::Draws;

    /// A bucket under requests that never cease, a thousandth of a fill at a time: what it lets through at the start, and
    /// in so many fills after that.
    fn played(bucket: &TokenBucket, fills: u64) -> (u64, u64) {
        let most = u64::from(bucket.max_tokens) * 1000;
        let (mut tokens, mut through) = (0, 0);
        for _ in 0..fills * 1000 {
            tokens = (tokens + u64::from(bucket.tokens_per_fill)).min(most);
            through += tokens / 1000;
            tokens %= 1000;
        }
        (most / 1000, through)
    }

    #[test]
    fn a_bucket_lets_through_what_it_is_filled_with() {
        let mut draws = Draws::new(9);
        for _ in 0..crate::testing::cases(200) {
            let mut number = |bound| u32::try_from(draws.below(bound)).unwrap_or(0);
            let bucket = TokenBucket {
                max_tokens: 2 + number(30),
                tokens_per_fill: 1 + number(30),
                fill_interval: Nanos::from_millis(u64::from(50 * (1 + number(20)))),
            };
            let fills = 20;
            let (burst, through) = played(&bucket, fills);
            assert_eq!(burst, u64::from(bucket.max_tokens));
            // In thousandths of a second: rate times time.
            let time = bucket.fill_interval.as_millis() * fills;
            let claimed = milli_rate(&bucket) * time / 1_000_000;
            assert!(through.abs_diff(claimed) <= 1 + through / 1000, "{bucket:?} {through} {claimed}");
        }
    }
}
