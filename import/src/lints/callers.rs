//! Callers that an object leaves out: those inside the mesh, or the gateway.

use meshproof_model::{
    Finding, GATEWAY_NOT_ALLOWED, Mesh, OPTIONAL_TOKEN, Subject, Workload, complete_gateway, complete_host, is_subset,
    istio::{AuthorizationAction, AuthorizationPolicy, Source, VirtualService},
};

use super::ineffective;

pub(super) fn check(mesh: &Mesh, cluster_domain: &str, findings: &mut Vec<Finding>) {
    for service in &mesh.virtual_services {
        from_inside(mesh, service, cluster_domain, findings);
    }
    from_gateways(mesh, cluster_domain, findings);
    without_token(mesh, findings);
}

/// `VS-1`.
fn from_inside(mesh: &Mesh, service: &VirtualService, cluster_domain: &str, findings: &mut Vec<Finding>) {
    let for_mesh =
        |vs: &VirtualService| vs.gateways.is_empty() || vs.gateways.iter().any(|gateway| gateway.value == "mesh");
    if for_mesh(service) {
        return;
    }
    for host in &service.hosts {
        let full = complete_host(&host.value, service.meta.namespace(), cluster_domain);
        let names_it = |vs: &VirtualService| {
            vs.hosts.iter().any(|own| complete_host(&own.value, vs.meta.namespace(), cluster_domain) == full)
        };
        if mesh.virtual_services.iter().any(|vs| for_mesh(vs) && names_it(vs)) {
            continue;
        }
        let call = mesh.inferred_calls.iter().find(|call| mesh.service(call.to).host == full);
        if let Some(call) = call {
            let caller = &mesh.workload(call.from).meta.resource;
            let message = format!("`{caller}` calls `{full}` from inside, and these routes are for gateways only");
            let help = "add `mesh` to `gateways`, or write a VirtualService of the mesh";
            findings.push(ineffective(&service.meta, &host.at, message, help).related(call.at.clone(), "the call"));
        }
    }
}

/// `AZ-2`: where a policy allows something, what no policy allows is refused.
fn from_gateways(mesh: &Mesh, cluster_domain: &str, findings: &mut Vec<Finding>) {
    for service in &mesh.virtual_services {
        let bound: Vec<String> =
            service.gateways.iter().map(|name| complete_gateway(&name.value, service.meta.namespace())).collect();
        let through = mesh.gateways.iter().filter(|gateway| {
            bound.contains(&format!("{}/{}", gateway.meta.namespace(), gateway.meta.name()))
                && !gateway.selector.is_empty()
        });
        let proxies: Vec<&Workload> = through
            .flat_map(|gateway| mesh.workloads.iter().filter(|w| is_subset(&gateway.selector, &w.labels)))
            .collect();
        if proxies.is_empty() {
            continue;
        }
        for destination in service.http.iter().flat_map(|rule| &rule.route) {
            let full = complete_host(&destination.host.value, service.meta.namespace(), cluster_domain);
            let Some(target) = mesh.services.iter().find(|own| own.host == full && !own.selector.is_empty()) else {
                continue;
            };
            let Some(pods) = mesh
                .workloads
                .iter()
                .find(|w| w.meta.namespace() == target.meta.namespace() && is_subset(&target.selector, &w.labels))
            else {
                continue;
            };
            let root = mesh.settings.root_namespace.value.as_str();
            let allows: Vec<&AuthorizationPolicy> = (mesh.authorization_policies.iter())
                .filter(|policy| policy.action.value == AuthorizationAction::Allow && !policy.dry_run)
                .filter(|policy| [root, pods.meta.namespace()].contains(&policy.meta.namespace()))
                .filter(|policy| policy.target_refs.is_empty() && is_subset(&policy.selector, &pods.labels))
                .collect();
            for proxy in &proxies {
                let Some(policy) = allows.first() else { continue };
                let admits = |policy: &&AuthorizationPolicy| {
                    let admits = |source: &Source| may_be(source, proxy, cluster_domain);
                    policy.rules.iter().any(|rule| rule.from.is_empty() || rule.from.iter().any(admits))
                };
                // A policy without rules is meant to refuse everyone.
                if allows.iter().any(admits) || allows.iter().all(|policy| policy.rules.is_empty()) {
                    continue;
                }
                let message = format!(
                    "`{}` routes from `{}` to `{}`, and no policy allows that gateway",
                    service.meta.resource, proxy.meta.resource, target.meta.resource
                );
                let account =
                    format!("{cluster_domain}/ns/{}/sa/{}", proxy.meta.namespace(), proxy.service_account.value);
                let finding =
                    Finding::new(&GATEWAY_NOT_ALLOWED, Subject::Resource(policy.meta.resource.clone()), message)
                        .at(policy.meta.at.clone())
                        .related(destination.at.clone(), "the route")
                        .help(format!("add `{account}` to `principals`"));
                if !findings.contains(&finding) {
                    findings.push(finding);
                }
            }
        }
    }
}

/// Whether requests of a proxy may come from a source.
fn may_be(source: &Source, proxy: &Workload, trust_domain: &str) -> bool {
    // Of a gateway that is installed elsewhere the account is not known.
    let named = |pattern: &meshproof_model::Located<String>| {
        pattern.value.contains("gateway") || pattern.value.contains("ingress")
    };
    if proxy.meta.resource.kind == "Gateway"
        && [&source.principals, &source.namespaces, &source.service_accounts].into_iter().flatten().any(named)
    {
        return true;
    }
    let (namespace, account) = (proxy.meta.namespace(), proxy.service_account.value.as_str());
    let principal = format!("{trust_domain}/ns/{namespace}/sa/{account}");
    let one_of = |patterns: &[meshproof_model::Located<String>], values: &[&str]| {
        patterns.is_empty() || patterns.iter().any(|p| values.iter().any(|value| fits(&p.value, value)))
    };
    one_of(&source.principals, &[principal.as_str()])
        && one_of(&source.namespaces, &[namespace])
        && one_of(&source.service_accounts, &[account, format!("{namespace}/{account}").as_str()])
}

/// `*` at the beginning or end stands for anything.
fn fits(pattern: &str, value: &str) -> bool {
    match (pattern.strip_prefix('*'), pattern.strip_suffix('*')) {
        (Some(end), _) => value.ends_with(end),
        (None, Some(start)) => value.starts_with(start),
        (None, None) => pattern == value,
    }
}

/// `RA-1`: a token is checked if there is one; whether there must be one is a policy's business.
fn without_token(mesh: &Mesh, findings: &mut Vec<Finding>) {
    let root = mesh.settings.root_namespace.value.as_str();
    for tokens in &mesh.request_authentications {
        let home = tokens.meta.namespace();
        let asks = |policy: &AuthorizationPolicy| {
            let of_source =
                |source: &Source| !source.request_principals.is_empty() || !source.not_request_principals.is_empty();
            policy.rules.iter().any(|rule| {
                rule.from.iter().any(of_source)
                    || rule.when.iter().any(|when| when.key.value.starts_with("request.auth."))
            })
        };
        let near = |policy: &&AuthorizationPolicy| home == root || [home, root].contains(&policy.meta.namespace());
        if !mesh.authorization_policies.iter().filter(near).any(asks) {
            let message = "requests without a token pass: no AuthorizationPolicy asks for one";
            let finding = Finding::new(&OPTIONAL_TOKEN, Subject::Resource(tokens.meta.resource.clone()), message)
                .at(tokens.meta.at.clone())
                .help("add an AuthorizationPolicy with `requestPrincipals: [\"*\"]`");
            findings.push(finding);
        }
    }
}
