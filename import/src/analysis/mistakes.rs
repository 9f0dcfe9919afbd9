//! Mistakes in objects of Kubernetes that Istio's analysis does not know (`9.4`: 36, 37, 40).

use meshproof_model::{BLOCKED_INFRASTRUCTURE, CONTESTED_REPLICAS, LOOSE_NETWORK_POLICY};

use super::{
    report::Report,
    tree::Tree,
    world::{Kind, Resource, TEMPLATES, World},
};

const NETWORK_POLICY: Kind = ("networking.k8s.io", "NetworkPolicy");
const AUTOSCALER: Kind = ("autoscaling", "HorizontalPodAutoscaler");

pub(super) fn check(world: &World<'_>, report: &mut Report) {
    for policy in world.all(NETWORK_POLICY) {
        alternatives(policy, report);
    }
    egress(world, report);
    replicas(world, report);
}

/// `- namespaceSelector` and `- podSelector` side by side allow either.
fn alternatives(policy: &Resource<'_>, report: &mut Report) {
    for (list, peers) in [("ingress", "from"), ("egress", "to")] {
        for (i, rule) in policy.spec.list(list).enumerate() {
            let only = |key: &str| {
                let other = if key == "podSelector" { "namespaceSelector" } else { "podSelector" };
                rule.list(peers).position(|peer| peer.has(key) && !peer.has(other) && !peer.has("ipBlock"))
            };
            let (Some(pods), Some(namespaces)) = (only("podSelector"), only("namespaceSelector")) else { continue };
            // One after the other is how a dash too many looks.
            if pods.abs_diff(namespaces) == 1 && rule.count(peers) == 2 {
                let path = format!("spec.{list}[{i}].{peers}[{}]", pods.max(namespaces));
                let text = "two list items allow either: all pods of those namespaces, and these pods of its own";
                let help = "if both are meant, write them as one list item, without the second dash";
                report.ours(&LOOSE_NETWORK_POLICY, policy, &path, text, help);
            }
        }
    }
}

/// Whoever may not ask for names or for a configuration does not start.
fn egress(world: &World<'_>, report: &mut Report) {
    let limits = |policy: &&Resource<'_>| {
        let types = policy.spec.texts("policyTypes");
        if types.is_empty() { policy.spec.has("egress") } else { types.contains(&"Egress") }
    };
    let policies: Vec<&Resource<'_>> = world.all(NETWORK_POLICY).iter().filter(limits).collect();
    for policy in &policies {
        // What no rule allows at all is meant so.
        if policy.spec.count("egress") == 0 {
            continue;
        }
        let near = policies.iter().filter(|other| other.namespace() == policy.namespace());
        let reaches =
            |port: i64| near.clone().flat_map(|other| other.spec.list("egress")).any(|rule| allows(rule, port));
        let wanted = [(53, "DNS", true), (15012, "Istio's control plane", world.has_istio())];
        for (port, what, matters) in wanted {
            if matters && !reaches(port) {
                let text = format!("pods may not reach port {port} of other namespaces, and so not {what}");
                let help = format!("add an egress rule for port {port}");
                report.ours(&BLOCKED_INFRASTRUCTURE, policy, "spec.egress", text, help);
            }
        }
    }
}

/// Whether an egress rule lets a port of another namespace through.
fn allows(rule: Tree<'_>, port: i64) -> bool {
    let outside =
        rule.count("to") == 0 || rule.list("to").any(|peer| peer.has("namespaceSelector") || peer.has("ipBlock"));
    let named = |entry: Tree<'_>| {
        let (first, last) = (entry.get("port").int(), entry.get("endPort").int());
        !entry.has("port") || first == port || (first..=last).contains(&port) || first == 0
    };
    outside && (rule.count("ports") == 0 || rule.list("ports").any(named))
}

/// `K-6`: two that decide one number.
fn replicas(world: &World<'_>, report: &mut Report) {
    let workloads = || TEMPLATES.iter().flat_map(|(group, kind, _)| world.all((*group, *kind)));
    for scaler in world.all(AUTOSCALER) {
        let target = scaler.spec.get("scaleTargetRef");
        let is_target = |workload: &&Resource<'_>| {
            let reference = &workload.meta().resource;
            reference.namespace == scaler.namespace()
                && reference.kind == target.get("kind").text()
                && reference.name == target.get("name").text()
        };
        for workload in workloads().filter(is_target).filter(|workload| workload.spec.has("replicas")) {
            let text = format!(
                "`{}` decides the number too: each time this is applied, it starts again",
                scaler.meta().resource
            );
            report.ours(&CONTESTED_REPLICAS, workload, "spec.replicas", text, "leave `replicas` out");
        }
    }
}
