//! `AuthorizationPolicies` for nobody and of unknown namespaces (`IST0127`, `IST0101`), and where keys of tokens are
//! fetched without limits (`IST0175`). Istio: `analyzers/authz`, `analyzers/authn`.

use super::{
    message::{NAMESPACE_NOT_FOUND, NO_MATCHING_WORKLOADS, UNRESTRICTED_KEY_FETCH},
    report::Report,
    world::{AUTHORIZATION_POLICY, DEPLOYMENT, NAMESPACE, Pod, REQUEST_AUTHENTICATION, Resource, World, selector_text},
};

pub(super) fn check(world: &World<'_>, report: &mut Report) {
    for policy in world.all(AUTHORIZATION_POLICY) {
        workloads(world, policy, report);
        namespaces(world, policy, report);
    }
    key_fetch(world, report);
}

fn workloads(world: &World<'_>, policy: &Resource<'_>, report: &mut Report) {
    let mesh_wide = policy.namespace() == world.root_namespace();
    let selector = policy.spec.get("selector");
    if mesh_wide && !selector.is_set() {
        return;
    }
    let bound = policy.spec.get("targetRef").is_set() || policy.spec.count("targetRefs") > 0;
    if bound && !world.closed {
        return;
    }
    let in_scope = |pod: &&Pod<'_>| mesh_wide || pod.namespace() == policy.namespace();
    let labels = selector.get("matchLabels").labels();
    let counts = |pod: &Pod<'_>| world.in_mesh(pod) || pod.is_ambient();
    let judged = world.closed || world.pods.iter().filter(in_scope).any(|pod| !pod.installed);
    // Who is in the mesh may be decided outside of the manifests; labels of pods are not.
    if judged && !world.selected(&labels).filter(in_scope).any(|pod| counts(pod) || !world.closed) {
        let text = match selector_text(&labels).as_str() {
            "" => "the policy applies to nobody: no workload of the mesh is in its namespace".to_owned(),
            labels => format!("the policy applies to nobody: no workload of the mesh has the labels `{labels}`"),
        };
        report.say(&NO_MATCHING_WORKLOADS, policy, "spec.selector", text);
    }
}

fn namespaces(world: &World<'_>, policy: &Resource<'_>, report: &mut Report) {
    for (i, rule) in policy.spec.list("rules").enumerate() {
        for (j, from) in rule.list("from").enumerate() {
            let source = from.get("source");
            let lists = [source.texts("namespaces"), source.texts("notNamespaces")];
            // Istio takes the line of both lists from the first.
            for (k, wanted) in lists.iter().flat_map(|list| list.iter().enumerate()) {
                if !is_known(world, wanted) {
                    let path = format!("spec.rules[{i}].from[{j}].source.namespaces[{k}]");
                    report.say(&NAMESPACE_NOT_FOUND, policy, &path, format!("no namespace is named `{wanted}`"));
                }
            }
        }
    }
}

/// Whether a namespace of that name, perhaps with a wildcard, is defined; or used, where files are not the whole mesh.
pub(super) fn is_known(world: &World<'_>, wanted: &str) -> bool {
    let matches = |name: &str| match (wanted.strip_prefix('*'), wanted.strip_suffix('*')) {
        _ if wanted == "*" => true,
        (Some(end), _) => name.ends_with(end),
        (_, Some(start)) => name.starts_with(start),
        _ => name.eq_ignore_ascii_case(wanted),
    };
    let defined = world.all(NAMESPACE).iter().any(|namespace| matches(namespace.name()));
    defined || (!world.closed && super::hosts::is_used_namespace(world, &matches))
}

fn key_fetch(world: &World<'_>, report: &mut Report) {
    let policies = world.all(REQUEST_AUTHENTICATION).len();
    let control_planes = world.all(DEPLOYMENT).iter().filter(|deployment| deployment.label("app") == Some("istiod"));
    for istiod in control_planes.filter(|_| policies > 0) {
        let mut variables = istiod.spec.at("template.spec").list("containers").flat_map(|c| c.list("env"));
        let limited = |v: super::tree::Tree<'_>| {
            v.get("name").text() == "BLOCKED_CIDRS_IN_JWKS_URIS" && !v.get("value").text().is_empty()
        };
        if !variables.any(limited) {
            let text = format!("keys of tokens are fetched from any address, for {policies} RequestAuthentications");
            report.advise(&UNRESTRICTED_KEY_FETCH, istiod, "metadata.name", text, "set `BLOCKED_CIDRS_IN_JWKS_URIS`");
        }
    }
}
