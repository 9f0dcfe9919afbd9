//! `PeerAuthentications`: ports without a selector, selectors in the root namespace, several for one scope.

use std::collections::BTreeMap;

use meshproof_model::{Finding, Mesh, istio::PeerAuthentication};

use super::{conflict, ineffective, ports, precedence};

pub(super) fn check(mesh: &Mesh, findings: &mut Vec<Finding>) {
    let root = mesh.settings.root_namespace.value.as_str();
    for policy in &mesh.peer_authentications {
        let namespace = policy.meta.namespace();
        if namespace == root && !policy.selector.is_empty() {
            let message = format!("a policy with a selector in the root namespace `{root}` is ignored");
            findings.push(ineffective(&policy.meta, &policy.meta.at, message, "move it to the namespace of the pods"));
            continue;
        }
        for (port, _) in &policy.port_level {
            if policy.selector.is_empty() {
                let message = format!("the mode of port {} is ignored: the policy has no selector", port.value);
                findings.push(ineffective(&policy.meta, &port.at, message, "select the pods by `spec.selector`"));
            } else if let Some(meant) = ports::meant(mesh, namespace, &policy.selector, port.value) {
                let message = format!("{} is a port of a service, and these are ports of pods", port.value);
                findings.push(ineffective(&policy.meta, &port.at, message, format!("write {}", ports::list(&meant))));
            }
        }
    }
    one_scope(mesh, root, findings);
}

/// `PA-2`.
fn one_scope(mesh: &Mesh, root: &str, findings: &mut Vec<Finding>) {
    let mut scopes: BTreeMap<_, Vec<&PeerAuthentication>> = BTreeMap::new();
    for policy in &mesh.peer_authentications {
        if policy.meta.namespace() != root || policy.selector.is_empty() {
            scopes.entry((policy.meta.namespace(), &policy.selector)).or_default().push(policy);
        }
    }
    for mut policies in scopes.into_values() {
        policies.sort_by_key(|policy| precedence(&policy.meta));
        let Some((winner, others)) = policies.split_first() else { continue };
        for other in others {
            let message = format!("`{}` is about the same pods, and one of the two is ignored", winner.meta.resource);
            findings.push(conflict(&other.meta, &other.meta.at, &winner.meta, message));
        }
    }
}
