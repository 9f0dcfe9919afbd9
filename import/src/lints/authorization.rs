//! `AuthorizationPolicies`: identities and ports that never match, policies without rules.

use meshproof_model::{
    Finding, Mesh,
    istio::{AuthorizationAction, AuthorizationPolicy},
};

use super::{ineffective, ports};

pub(super) fn check(mesh: &Mesh, findings: &mut Vec<Finding>) {
    for policy in &mesh.authorization_policies {
        if policy.rules.is_empty() && policy.action.value != AuthorizationAction::Allow {
            let message = "a policy without rules matches nothing, so it refuses nothing";
            findings.push(ineffective(&policy.meta, &policy.action.at, message, "add `rules: [{}]` for every request"));
        }
        principals(policy, findings);
        server_ports(mesh, policy, findings);
    }
}

/// `AZ-6`.
fn principals(policy: &AuthorizationPolicy, findings: &mut Vec<Finding>) {
    let sources = policy.rules.iter().flat_map(|rule| &rule.from);
    for name in sources.flat_map(|source| source.principals.iter().chain(&source.not_principals)) {
        if let Some(bare) = name.value.strip_prefix("spiffe://") {
            let message = "principals have no scheme, so this matches nobody";
            findings.push(ineffective(&policy.meta, &name.at, message, format!("write `{bare}`")));
        }
    }
}

/// `AZ-5`.
fn server_ports(mesh: &Mesh, policy: &AuthorizationPolicy, findings: &mut Vec<Finding>) {
    let namespace = policy.meta.namespace();
    if namespace == mesh.settings.root_namespace.value || !policy.target_refs.is_empty() {
        return;
    }
    let operations = policy.rules.iter().flat_map(|rule| &rule.to);
    for written in operations.flat_map(|operation| operation.ports.iter().chain(&operation.not_ports)) {
        let meant = written.value.parse().ok().and_then(|port| ports::meant(mesh, namespace, &policy.selector, port));
        if let Some(meant) = meant {
            let message = format!("{} is a port of a service, and these are ports of pods", written.value);
            findings.push(ineffective(&policy.meta, &written.at, message, format!("write {}", ports::list(&meant))));
        }
    }
}
