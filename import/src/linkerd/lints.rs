//! What Linkerd leaves out, and what of its proxies is not modelled.

use meshproof_model::{
    Finding, INEFFECTIVE_SETTING, Mesh, ProxyMode, Subject, Unmodelled,
    gateway_api::{FilterAction, HttpRoute},
};

/// Settings that do nothing under Linkerd.
pub(crate) fn check(mesh: &Mesh) -> Vec<Finding> {
    let mut findings = Vec::new();
    profiles(mesh, &mut findings);
    if mesh.workloads.iter().any(|workload| workload.proxy == ProxyMode::Linkerd) {
        let routes = mesh.linkerd.http_routes.iter().chain(&mesh.gateway_api.http_routes);
        routes.for_each(|route| filters(route, &mut findings));
    }
    findings
}

/// A profile is found by its name, and hides annotations (`L-4`, `L-6`).
fn profiles(mesh: &Mesh, findings: &mut Vec<Finding>) {
    for profile in &mesh.linkerd.profiles {
        let subject = Subject::Resource(profile.meta.resource.clone());
        let name = profile.meta.name();
        let service = mesh.services.iter().find(|service| service.host == name);
        let Some(service) = service else {
            // Without any service the manifests are a part of a mesh.
            if !mesh.services.is_empty() && !name.contains(".svc.") {
                let message = format!("no service has the name `{name}`: a profile is found by the full host name");
                findings.push(
                    Finding::new(&INEFFECTIVE_SETTING, subject, message)
                        .at(profile.meta.at.clone())
                        .help(format!("name it `SERVICE.NAMESPACE.svc.{}`", mesh.domain())),
                );
            }
            continue;
        };
        let annotated = mesh.linkerd.policies.iter().find(|policy| policy.resource == service.meta.resource);
        let Some(policy) = annotated.filter(|_| profile.decides()).map(|annotated| &annotated.policy) else { continue };
        let at = (policy.retry.as_ref().map(|retry| &retry.at))
            .or(policy.timeouts.request.as_ref().map(|limit| &limit.at))
            .or(policy.timeouts.response.as_ref().map(|limit| &limit.at))
            .or(policy.failure_accrual.as_ref().map(|accrual| &accrual.at));
        if let Some(at) = at {
            let message = "these annotations have no effect for clients that use the ServiceProfile";
            findings.push(
                Finding::new(&INEFFECTIVE_SETTING, Subject::Resource(service.meta.resource.clone()), message)
                    .at(at.clone())
                    .related(profile.meta.at.clone(), "the profile decides alone")
                    .help("keep either the profile or the annotations"),
            );
        }
    }
}

/// One filter that Linkerd does not know makes it leave out the whole route.
fn filters(route: &HttpRoute, findings: &mut Vec<Finding>) {
    if !route.parents.iter().any(|parent| matches!(parent.kind(), "Service" | "Server")) {
        return;
    }
    let all = route
        .rules
        .iter()
        .flat_map(|rule| rule.filters.iter().chain(rule.backends.iter().flat_map(|backend| &backend.filters)));
    for filter in all {
        let name = match &filter.action {
            FilterAction::Mirror(..) => "RequestMirror",
            FilterAction::Rewrite(_) => "URLRewrite",
            FilterAction::Cors => "CORS",
            FilterAction::Extension(..) => "ExtensionRef",
            FilterAction::Unknown(name) => name.as_str(),
            _ => continue,
        };
        let subject = Subject::Resource(route.meta.resource.clone());
        let message = format!("Linkerd does not know the filter `{name}`, and leaves the whole route out");
        findings.push(
            Finding::new(&INEFFECTIVE_SETTING, subject, message)
                .at(filter.at.clone())
                .help("remove the filter, or let the application do its work"),
        );
    }
}

/// What of Linkerd's proxies is not modelled, once.
pub(crate) fn gaps(mesh: &Mesh) -> Option<Unmodelled> {
    let workload = mesh.workloads.iter().find(|workload| workload.proxy == ProxyMode::Linkerd)?;
    let reason = "of Linkerd's proxies these are not modelled: queues and fail-fast while no endpoint is ready, pods \
                  that refuse connections being passed over, the limit of 64 KiB on bodies that are sent again, and \
                  that `retry.linkerd.io/timeout` ends at a response's headers and not on the last try; a try under \
                  it is sent again after any reset";
    Some(Unmodelled {
        resource: workload.meta.resource.clone(),
        at: workload.proxy_at.clone(),
        reason: reason.to_owned(),
        matters: true,
    })
}
