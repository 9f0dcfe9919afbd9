//! Retries on less, or on more, than whoever wrote them thought of.

use meshproof_model::{
    Finding, Mesh, QUESTIONABLE_RETRY, Subject,
    istio::{HttpRoute, StringMatch, VirtualService},
};

pub(super) fn check(mesh: &Mesh, findings: &mut Vec<Finding>) {
    for service in &mesh.virtual_services {
        for rule in &service.http {
            on_statuses(service, rule, findings);
            on_writes(service, rule, findings);
        }
    }
}

fn parts(rule: &HttpRoute) -> Vec<&str> {
    let written = rule.retries.as_ref().and_then(|retries| retries.retry_on.as_ref());
    written.map(|on| on.value.split(',').map(str::trim).filter(|part| !part.is_empty()).collect()).unwrap_or_default()
}

fn is_status(part: &str) -> bool {
    part.parse::<u16>().is_ok()
}

/// `RT-14`.
fn on_statuses(service: &VirtualService, rule: &HttpRoute, findings: &mut Vec<Finding>) {
    let parts = parts(rule);
    let Some(on) = rule.retries.as_ref().and_then(|retries| retries.retry_on.as_ref()) else { return };
    if !parts.is_empty() && parts.iter().all(|part| is_status(part)) {
        let message =
            format!("`retryOn: {}` leaves out connections that fail: only answers of servers count", on.value);
        let subject = Subject::Resource(service.meta.resource.clone());
        let help = format!("write `{},connect-failure,refused-stream`", on.value);
        findings.push(Finding::new(&QUESTIONABLE_RETRY, subject, message).at(on.at.clone()).help(help));
    }
}

/// Requests that change something are sent again though the server has worked on them.
fn on_writes(service: &VirtualService, rule: &HttpRoute, findings: &mut Vec<Finding>) {
    const AFTER_WORK: [&str; 3] = ["5xx", "gateway-error", "reset"];
    let Some(retries) = rule.retries.as_ref().filter(|r| r.attempts.as_ref().is_some_and(|n| n.value > 0)) else {
        return;
    };
    let parts = parts(rule);
    let (Some(on), Some(why)) =
        (&retries.retry_on, parts.iter().find(|part| AFTER_WORK.contains(part) || is_status(part)))
    else {
        return;
    };
    let writes = |method: &StringMatch| matches!(method, StringMatch::Exact(name) if name == "POST" || name == "PATCH");
    let method = rule.matches.iter().filter_map(|block| block.method.as_ref()).find(|method| writes(&method.value));
    if let Some(method) = method {
        let message =
            format!("requests that change something are sent again on `{why}`, after the server may have acted");
        let subject = Subject::Resource(service.meta.resource.clone());
        let finding = Finding::new(&QUESTIONABLE_RETRY, subject, message)
            .at(on.at.clone())
            .related(method.at.clone(), "the method")
            .help("retry them on `connect-failure,refused-stream` only, or make them idempotent");
        findings.push(finding);
    }
}
