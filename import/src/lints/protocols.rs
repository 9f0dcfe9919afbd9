//! What only HTTP has, on ports where the proxy sees bytes.

use meshproof_model::{
    Finding, Located, Mesh, Protocol, ServicePort, complete_host, is_subset,
    istio::{AuthorizationAction, AuthorizationPolicy, VirtualService},
};

use super::ineffective;

pub(super) fn check(mesh: &Mesh, cluster_domain: &str, findings: &mut Vec<Finding>) {
    for service in &mesh.virtual_services {
        rules(mesh, service, cluster_domain, findings);
    }
    for policy in &mesh.authorization_policies {
        operations(mesh, policy, findings);
    }
}

/// `RT-22`, `SE-2`.
fn rules(mesh: &Mesh, service: &VirtualService, cluster_domain: &str, findings: &mut Vec<Finding>) {
    let in_mesh = service.gateways.is_empty() || service.gateways.iter().any(|gateway| gateway.value == "mesh");
    let Some(first) = service.http.first().filter(|_| in_mesh) else { return };
    for host in &service.hosts {
        let full = complete_host(&host.value, service.meta.namespace(), cluster_domain);
        for target in mesh.services.iter().filter(|target| target.host == full && speaks_bytes(&target.ports)) {
            let message = format!("`{}` has no HTTP port, so routes for `http` do nothing", target.meta.resource);
            let is_tls = target.ports.iter().any(|port| matches!(port.protocol, Protocol::Https | Protocol::Tls));
            let help = if is_tls {
                "the proxy cannot read TLS: declare an HTTP port and begin TLS in a DestinationRule, or route by `tls`"
            } else {
                "name the port `http`, or route by `tcp`"
            };
            findings.push(
                ineffective(&service.meta, &first.at, message, help).related(target.meta.at.clone(), "its ports"),
            );
        }
    }
}

/// `AZ-8`.
fn operations(mesh: &Mesh, policy: &AuthorizationPolicy, findings: &mut Vec<Finding>) {
    let namespace = policy.meta.namespace();
    if !policy.target_refs.is_empty() || namespace == mesh.settings.root_namespace.value {
        return;
    }
    let pods: Vec<_> = mesh
        .workloads
        .iter()
        .filter(|w| w.meta.namespace() == namespace && is_subset(&policy.selector, &w.labels))
        .collect();
    let serving = mesh.services.iter().filter(|service| {
        let selects = |labels| !service.selector.is_empty() && is_subset(&service.selector, labels);
        service.meta.namespace() == namespace && pods.iter().any(|pod| selects(&pod.labels))
    });
    let ports: Vec<ServicePort> = serving.flat_map(|service| service.ports.iter().cloned()).collect();
    if !speaks_bytes(&ports) {
        return;
    }
    for operation in policy.rules.iter().flat_map(|rule| &rule.to) {
        let lists = [
            &operation.methods,
            &operation.not_methods,
            &operation.paths,
            &operation.not_paths,
            &operation.hosts,
            &operation.not_hosts,
        ];
        let Some(written): Option<&Located<String>> = lists.into_iter().flatten().next() else { continue };
        let message = match policy.action.value {
            AuthorizationAction::Allow => "no port of these pods speaks HTTP, so this rule allows nothing",
            _ => "no port of these pods speaks HTTP, so this condition is left out, and the rule matches more",
        };
        let help = "name the service's port `http`, or match by `ports` and `principals` only";
        findings.push(ineffective(&policy.meta, &written.at, message, help));
    }
}

/// Whether there are ports, and the proxy sees bytes on all of them.
fn speaks_bytes(ports: &[ServicePort]) -> bool {
    let mut own = ports.iter().filter(|port| port.protocol != Protocol::Udp).peekable();
    own.peek().is_some() && own.all(|port| !port.protocol.is_http())
}
