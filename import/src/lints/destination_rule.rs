//! `DestinationRules`: a port's settings that replace more than they say, settings that need others, rules that
//! nobody sees.

use std::collections::BTreeSet;

use meshproof_model::{
    Finding, Location, Mesh,
    istio::{DestinationRule, TrafficPolicy},
};

use super::ineffective;

pub(super) fn check(mesh: &Mesh, cluster_domain: &str, findings: &mut Vec<Finding>) {
    let inhabited: BTreeSet<&str> = mesh.workloads.iter().map(|workload| workload.meta.namespace()).collect();
    for rule in &mesh.destination_rules {
        let subsets = rule.subsets.iter().filter_map(|subset| subset.traffic_policy.as_deref());
        for policy in rule.traffic_policy.iter().chain(subsets) {
            ports_replace(rule, policy, findings);
            for policy in std::iter::once(policy).chain(policy.port_level.iter().map(|(_, policy)| policy)) {
                locality(rule, policy, findings);
                gateway_errors(rule, policy, findings);
            }
        }
        nobody_sees(rule, mesh, &inhabited, cluster_domain, findings);
    }
}

/// The four blocks with their names and places.
fn blocks(policy: &TrafficPolicy) -> [(&'static str, Option<Location>); 4] {
    [
        ("loadBalancer", policy.load_balancer.as_ref().map(|block| block.at.clone())),
        ("connectionPool", policy.connection_pool.as_ref().and_then(|block| block.at.clone())),
        ("outlierDetection", policy.outlier_detection.as_ref().map(|block| block.at.clone())),
        ("tls", policy.tls.as_ref().map(|block| block.at.clone())),
    ]
}

/// `DR-6`.
fn ports_replace(rule: &DestinationRule, policy: &TrafficPolicy, findings: &mut Vec<Finding>) {
    for (port, level) in &policy.port_level {
        for ((name, whole), (_, own)) in blocks(policy).into_iter().zip(blocks(level)) {
            if let (Some(whole), None) = (whole, own) {
                let message = format!(
                    "`{name}` does not count for port {}: a port's settings replace all four blocks of the policy",
                    port.value
                );
                let help = format!("repeat `{name}` in the port's settings");
                findings.push(ineffective(&rule.meta, &whole, message, help).related(port.at.clone(), "the port"));
            }
        }
    }
}

/// `DR-14`.
fn locality(rule: &DestinationRule, policy: &TrafficPolicy, findings: &mut Vec<Finding>) {
    let locality = policy.load_balancer.as_ref().and_then(|balancer| balancer.locality.as_ref());
    let Some(locality) = locality.filter(|l| !l.failover.is_empty() || !l.failover_priority.is_empty()) else { return };
    if policy.outlier_detection.is_none() && locality.enabled != Some(false) {
        let message = "failover between localities does not start without `outlierDetection`";
        findings.push(ineffective(&rule.meta, &locality.at, message, "add `outlierDetection` to the same policy"));
    }
}

/// `DR-13`.
fn gateway_errors(rule: &DestinationRule, policy: &TrafficPolicy, findings: &mut Vec<Finding>) {
    let Some(outlier) = &policy.outlier_detection else { return };
    let all = outlier.consecutive_5xx_errors.as_ref().map_or(5, |errors| errors.value);
    let Some(gateway) = outlier.consecutive_gateway_errors.as_ref().filter(|errors| errors.value > 0) else { return };
    if all > 0 && gateway.value >= all {
        let message = format!(
            "`consecutiveGatewayErrors` is never reached: they count as 5xx errors, of which {all} eject a host before"
        );
        findings.push(ineffective(&rule.meta, &gateway.at, message, format!("set it below {all}, or the other to 0")));
    }
}

/// `DR-1`: a rule acts for clients of its own namespace, in the host's namespace, or in the root namespace.
fn nobody_sees(
    rule: &DestinationRule,
    mesh: &Mesh,
    inhabited: &BTreeSet<&str>,
    cluster_domain: &str,
    findings: &mut Vec<Finding>,
) {
    let namespace = rule.meta.namespace();
    let host = rule.host.value.strip_suffix(&format!(".svc.{cluster_domain}"));
    let Some((_, owner)) = host.and_then(|short| short.split_once('.')) else { return };
    let defined =
        mesh.namespaces.get(namespace).is_some_and(|n| n.at.is_some()) || mesh.find_host(&rule.host.value).is_some();
    if owner.contains('*') || owner == namespace || namespace == mesh.settings.root_namespace.value || !defined {
        return;
    }
    if !inhabited.contains(namespace) {
        let message = format!("no client sees this rule: nothing runs in `{namespace}`, and the host is of `{owner}`");
        let help = format!("move it to `{owner}`, or to the namespace of the clients that it is for");
        findings.push(ineffective(&rule.meta, &rule.host.at, message, help));
    }
}
