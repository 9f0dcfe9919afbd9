//! `MP0403` dead-retries (`P1` b3).
//!
//! **Statement.** Each retry of a route that has a timeout and a per-try timeout can start although every try before
//! it used up its limit: retry `i` starts only if `i` times the per-try timeout is less than the timeout.
//!
//! **Decided by** a division, **checked by** Z3: is there a retry, among those asked for, that the timeout cuts off?

use meshproof_model::{DEAD_RETRIES, Finding, Located, Nanos, Subject, istio::VirtualService};

use super::{Check, Judge, millis};
use crate::{
    Engine, Proof, Report,
    assumption::{APPLIED, NO_HEDGING, NO_PATCHES},
    term::{Int, Query},
};

/// A route with both limits and with retries.
struct Route<'a> {
    subject: Subject,
    timeout: &'a Located<Nanos>,
    per_try: &'a Located<Nanos>,
    attempts: &'a Located<i64>,
    count: u64,
}

/// Judges every route of every `VirtualService`.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let mut report = Report::default();
    for route in judge.mesh.virtual_services.iter().flat_map(routes) {
        let first_dead = first_dead(route.timeout.value, route.per_try.value);
        match (
            judge.none_satisfiable(&[cut_off(route.count, route.timeout.value, route.per_try.value)]),
            first_dead <= route.count,
        ) {
            (Check::Confirmed, false) => report.proofs.push(proof(&route)),
            (Check::Refuted, true) => report.findings.push(finding(&route, first_dead)),
            (Check::Undecided(reason), _) => report.undecided(&DEAD_RETRIES, route.subject, &reason),
            (_, _) => report.disagree(&DEAD_RETRIES, &route.subject, "the closed form and Z3 differ"),
        }
    }
    report
}

fn routes(service: &VirtualService) -> impl Iterator<Item = Route<'_>> {
    service.http.iter().enumerate().filter_map(|(number, http)| {
        let retries = http.retries.as_ref()?;
        let attempts = retries.attempts.as_ref()?;
        let (timeout, per_try) = (http.timeout.as_ref()?, retries.per_try_timeout.as_ref()?);
        let count = u64::try_from(attempts.value).ok().filter(|count| *count > 0)?;
        let judged = !timeout.value.is_zero() && !per_try.value.is_zero();
        judged.then(|| Route { subject: super::route_subject(service, number), timeout, per_try, attempts, count })
    })
}

/// The number of the first retry that cannot start, from 1.
fn first_dead(timeout: Nanos, per_try: Nanos) -> u64 {
    timeout.get().div_ceil(per_try.get().max(1)).max(1)
}

/// Is there a retry that the timeout cuts off?
fn cut_off(count: u64, timeout: Nanos, per_try: Nanos) -> Query {
    let mut query = Query::default();
    let retry = query.int("retry");
    query.assert(Int::Const(1).le(retry.clone()));
    query.assert(retry.clone().le(Int::Const(count)));
    query.assert(Int::Const(timeout.get()).le(retry.times(per_try.get())));
    query
}

fn proof(route: &Route<'_>) -> Proof {
    Proof::new(&DEAD_RETRIES, route.subject.clone(), Engine::Fixpoint, Some(Engine::Z3))
        .value("timeout_ms", millis(route.timeout.value))
        .value("per_try_timeout_ms", millis(route.per_try.value))
        .value("attempts", route.count)
        .assuming([NO_HEDGING, NO_PATCHES, APPLIED])
}

fn finding(route: &Route<'_>, first_dead: u64) -> Finding {
    let (timeout, per_try, count) = (route.timeout.value, route.per_try.value, route.count);
    let message = if per_try >= timeout {
        format!("no retry can start when a try times out: `perTryTimeout` {per_try} is not below `timeout` {timeout}")
    } else {
        format!(
            "retry {first_dead} of {count} can never start when tries time out: {first_dead} x {per_try} is not below \
             `timeout` {timeout}"
        )
    };
    let enough = per_try.times(count.saturating_add(1));
    Finding::new(&DEAD_RETRIES, route.subject.clone(), message)
        .at(route.per_try.at.clone())
        .related(route.timeout.at.clone(), format!("the whole call, all tries included, ends after {timeout}"))
        .related(route.attempts.at.clone(), format!("{count} retries are asked for"))
        .help(format!(
            "a `timeout` of {enough} leaves room for all tries; else lower `perTryTimeout` or ask for fewer `attempts`"
        ))
        .value("timeout_ms", millis(timeout))
        .value("per_try_timeout_ms", millis(per_try))
        .value("attempts", count)
        .value("first_dead_retry", first_dead)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::z3::{Answer, check_all};

    #[test]
    fn the_first_dead_retry_is_the_first_that_starts_too_late() {
        let ms = Nanos::from_millis;
        for (timeout, per_try) in (1..40).flat_map(|timeout| (1..40).map(move |per_try| (timeout, per_try))) {
            let naive = (1..=40).find(|retry| retry * per_try >= timeout).unwrap();
            assert_eq!(first_dead(ms(timeout), ms(per_try)), naive, "{timeout} {per_try}");
        }
    }

    #[test]
    fn z3_finds_a_retry_that_is_cut_off_where_there_is_one() {
        let ms = Nanos::from_millis;
        let pairs = (1..10).flat_map(|timeout| (1..10).map(move |per_try| (timeout, per_try)));
        let cases: Vec<_> = pairs.flat_map(|(t, p)| (1..6).map(move |count| (count, ms(t), ms(p)))).collect();
        let queries: Vec<Query> = cases.iter().map(|(count, t, p)| cut_off(*count, *t, *p)).collect();
        for ((count, timeout, per_try), answer) in cases.into_iter().zip(check_all(&queries, 1_000_000)) {
            let is_cut_off = first_dead(timeout, per_try) <= count;
            assert_eq!(answer != Answer::Unsat, is_cut_off, "{count} {timeout} {per_try}");
        }
    }
}
