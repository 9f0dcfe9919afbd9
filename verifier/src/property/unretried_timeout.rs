//! `MP0404` unretried-timeout (`P1` b3).
//!
//! **Statement.** Where a route asks for retries and gives each try a limit below that of the whole call, a try that
//! meets its limit is retried: its conditions hold `5xx`, `gateway-error` or `reset` (`RT-15`, measured). Status codes do
//! not, as there is no response; so without one of these the limit of a try is a timeout of the whole call, and the
//! retries never act on what is slow.
//!
//! **Decided by** looking the conditions up: exact. Istio's own list retries no timeouts either; whoever does not write
//! a list gets a remark.

use meshproof_model::{
    Finding, FindingVerdict, Located, Nanos, Severity, Subject, UNRETRIED_TIMEOUT,
    istio::{Retries, VirtualService},
};

use super::{Judge, millis};
use crate::{
    Engine, Proof, Report,
    assumption::{APPLIED, NO_HEDGING, NO_PATCHES},
};

/// Conditions under which a try that meets its limit is retried.
const RETRY_TIMEOUTS: [&str; 3] = ["5xx", "gateway-error", "reset"];

/// A route whose tries have a limit of their own.
struct Route<'a> {
    subject: Subject,
    per_try: &'a Located<Nanos>,
    attempts: u64,
    conditions: Option<&'a Located<String>>,
}

/// Judges every route of every `VirtualService`.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let mut report = Report::default();
    let default = judge.mesh.settings.default_http_retry_policy.as_ref().and_then(|retries| retries.retry_on.as_ref());
    for route in judge.mesh.virtual_services.iter().flat_map(|service| routes(service, default)) {
        let retries = route.conditions.is_some_and(|conditions| retries_timeouts(&conditions.value));
        let lowered = if judge.options.paranoid { retries_when_lowered(judge, &route.subject) } else { None };
        if lowered.is_some_and(|lowered| lowered != retries) {
            report.disagree(&UNRETRIED_TIMEOUT, &route.subject, "the proxies' configuration says otherwise");
        } else if retries {
            let second = lowered.map(|_| Engine::Fixpoint);
            let proof = Proof::new(&UNRETRIED_TIMEOUT, route.subject, Engine::Fixpoint, second)
                .value("per_try_timeout_ms", millis(route.per_try.value))
                .assuming([NO_HEDGING, NO_PATCHES, APPLIED]);
            report.proofs.push(proof);
        } else {
            report.findings.push(finding(route));
        }
    }
    report
}

fn routes<'a>(service: &'a VirtualService, default: Option<&'a Located<String>>) -> impl Iterator<Item = Route<'a>> {
    service.http.iter().enumerate().filter_map(move |(number, http)| {
        let retries: &Retries = http.retries.as_ref()?;
        let per_try = retries.per_try_timeout.as_ref().filter(|limit| !limit.value.is_zero())?;
        let attempts = u64::try_from(retries.attempts.as_ref()?.value).ok().filter(|attempts| *attempts > 0)?;
        // A limit that is not below the timeout is dropped; that is another rule's.
        let whole = http.timeout.as_ref().map(|timeout| timeout.value).filter(|timeout| !timeout.is_zero());
        if whole.is_some_and(|whole| whole <= per_try.value) {
            return None;
        }
        let conditions = retries.retry_on.as_ref().or(default);
        Some(Route { subject: super::route_subject(service, number), per_try, attempts, conditions })
    })
}

/// What the configuration of a proxy says that takes the route; `None`: no call is known to take it.
fn retries_when_lowered(judge: &Judge<'_>, route: &Subject) -> Option<bool> {
    let ways = judge.graph.nodes.iter().flat_map(|node| node.stages.iter().flatten()).flat_map(|call| &call.ways);
    ways.filter(|way| way.route.as_ref() == Some(route)).map(|way| way.retry.timeouts).next()
}

fn retries_timeouts(conditions: &str) -> bool {
    conditions.split(',').any(|condition| RETRY_TIMEOUTS.contains(&condition.trim()))
}

fn finding(route: Route<'_>) -> Finding {
    let limit = route.per_try.value;
    let list = route.conditions.map_or("Istio's default conditions retry", |_| "the conditions of `retryOn` retry");
    let message = format!(
        "`perTryTimeout` {limit} ends the whole call: {list} no timeout, so none of the {} retries follows a slow try",
        route.attempts
    );
    let mut finding = Finding::new(&UNRETRIED_TIMEOUT, route.subject, message)
        .at(route.per_try.at.clone())
        .help("add `reset` or `gateway-error` to `retryOn`; or say `timeout` if that is what is meant")
        .value("per_try_timeout_ms", millis(limit))
        .value("attempts", route.attempts);
    finding.verdict = FindingVerdict::Lint;
    match route.conditions {
        Some(conditions) => finding = finding.related(conditions.at.clone(), "what is retried"),
        None => finding.severity = Severity::Info,
    }
    finding
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_some_conditions_retry_a_try_that_met_its_limit() {
        for (conditions, expected) in [
            ("5xx", true),
            ("connect-failure, gateway-error", true),
            ("reset", true),
            ("reset-before-request", false),
            ("503,504", false),
            ("connect-failure,refused-stream,unavailable,cancelled,503", false),
            ("retriable-4xx", false),
        ] {
            assert_eq!(retries_timeouts(conditions), expected, "{conditions}");
        }
    }
}
