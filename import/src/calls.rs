//! Calls that the manifests suggest: variables that name a service, routes that select their callers, policies that
//! name them.

use std::collections::BTreeSet;

use meshproof_model::{
    InferredCall, Labels, Located, Location, Mesh, ServiceId, TargetPort, Workload, WorkloadId,
    istio::{AuthorizationAction, AuthorizationPolicy},
};

use crate::kubernetes::workload::selects;

/// Every suggested call, one for each caller, service and port; the first suggestion counts.
pub(crate) fn infer(mesh: &Mesh, cluster_domain: &str) -> Vec<InferredCall> {
    let mut calls = Vec::new();
    from_env(mesh, cluster_domain, &mut calls);
    from_source_labels(mesh, cluster_domain, &mut calls);
    from_policies(mesh, &mut calls);
    let mut seen = BTreeSet::new();
    calls.retain(|call: &InferredCall| {
        let own = mesh.workloads_of(call.to).any(|workload| workload == call.from);
        !own && seen.insert((call.from, call.to, call.port))
    });
    calls
}

const SUFFIXES: &[&str] =
    &["_ADDR", "_ADDRESS", "_HOST", "_HOSTNAME", "_URL", "_URI", "_ENDPOINT", "_SERVER", "_TARGET"];

fn from_env(mesh: &Mesh, cluster_domain: &str, calls: &mut Vec<InferredCall>) {
    for (id, workload) in mesh.workload_ids().zip(&mesh.workloads) {
        for (name, value) in &workload.env {
            if !SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
                continue;
            }
            for address in value.value.split(',') {
                if let Some((to, port)) = resolve(mesh, cluster_domain, workload, name, address) {
                    let because = format!("environment variable `{name}`");
                    calls.push(InferredCall { from: id, to, port, because, at: value.at.clone() });
                }
            }
        }
    }
}

/// The service and port that an address names: `host`, `host:port` or `scheme://host[:port][/...]`.
fn resolve(
    mesh: &Mesh,
    cluster_domain: &str,
    workload: &Workload,
    variable: &str,
    address: &str,
) -> Option<(ServiceId, u16)> {
    let (scheme, rest) = address.trim().split_once("://").map_or((None, address.trim()), |(s, rest)| (Some(s), rest));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let authority = authority.rsplit('@').next().unwrap_or("");
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port.parse::<u16>().ok()?)),
        None => (authority, None),
    };
    let to = service_of(mesh, cluster_domain, workload.meta.namespace(), host)?;
    let service = mesh.service(to);
    let by_scheme = match scheme {
        Some("http" | "grpc") => Some(80),
        Some("https") => Some(443),
        _ => None,
    };
    let companion = || {
        let stem = SUFFIXES.iter().find_map(|suffix| variable.strip_suffix(suffix))?;
        let (_, port) = workload.env.iter().find(|(name, _)| *name == format!("{stem}_PORT"))?;
        port.value.parse().ok()
    };
    let only = || match service.ports.as_slice() {
        [port] => Some(port.number.value),
        _ => None,
    };
    let known = |port: &u16| service.port(*port).is_some();
    let port = match port {
        Some(port) => Some(port).filter(known),
        None => companion().filter(known).or_else(|| by_scheme.filter(known)).or_else(only),
    };
    port.map(|port| (to, port))
}

/// The service that a pod of `namespace` reaches under a name (`H-3`).
fn service_of(mesh: &Mesh, cluster_domain: &str, namespace: &str, host: &str) -> Option<ServiceId> {
    if host.is_empty() {
        return None;
    }
    let host = host.trim_end_matches('.').to_lowercase();
    let svc = format!(".svc.{cluster_domain}");
    let short = host.strip_suffix(&svc).or_else(|| host.strip_suffix(".svc")).unwrap_or(&host);
    let (name, namespace) = short.split_once('.').unwrap_or((short, namespace));
    mesh.find_host(&format!("{name}.{namespace}{svc}")).or_else(|| mesh.find_host(&host))
}

/// `VirtualService` matches with `sourceLabels`: the workloads with them call its destinations.
fn from_source_labels(mesh: &Mesh, cluster_domain: &str, calls: &mut Vec<InferredCall>) {
    for vs in &mesh.virtual_services {
        for rule in &vs.http {
            for block in rule.matches.iter().filter(|block| !block.source_labels.is_empty()) {
                let namespace = block.source_namespace.as_ref().map(|namespace| namespace.value.as_str());
                let at = block.at.clone().unwrap_or_else(|| rule.at.clone());
                for host in &vs.hosts {
                    let Some(to) = service_of(mesh, cluster_domain, vs.meta.namespace(), &host.value) else { continue };
                    for from in callers(mesh, &block.source_labels, namespace) {
                        let because = "`sourceLabels` of a VirtualService";
                        push(mesh, from, to, &[], because, &at, calls);
                    }
                }
            }
        }
    }
}

fn callers<'m>(mesh: &'m Mesh, labels: &'m Labels, namespace: Option<&'m str>) -> impl Iterator<Item = WorkloadId> {
    mesh.workload_ids().filter(move |id| {
        let workload = mesh.workload(*id);
        selects(labels, &workload.labels) && namespace.is_none_or(|namespace| workload.meta.namespace() == namespace)
    })
}

/// `ALLOW` policies that name callers: the workloads with these identities call the services of those it selects.
fn from_policies(mesh: &Mesh, calls: &mut Vec<InferredCall>) {
    let policies = mesh.authorization_policies.iter();
    for policy in policies.filter(|p| p.action.value == AuthorizationAction::Allow && !p.selector.is_empty()) {
        for rule in &policy.rules {
            let ports: Vec<u16> =
                rule.to.iter().flat_map(|to| &to.ports).filter_map(|port| port.value.parse().ok()).collect();
            for source in &rule.from {
                for principal in &source.principals {
                    calls_of_principal(mesh, policy, principal, &ports, calls);
                }
            }
        }
    }
}

fn calls_of_principal(
    mesh: &Mesh,
    policy: &AuthorizationPolicy,
    principal: &Located<String>,
    ports: &[u16],
    calls: &mut Vec<InferredCall>,
) {
    let mut names = principal.value.split('/').skip(1);
    let (Some("ns"), Some(namespace), Some("sa"), Some(account)) =
        (names.next(), names.next(), names.next(), names.next())
    else {
        return;
    };
    let is_caller = |w: &Workload| {
        w.proxy != meshproof_model::ProxyMode::Gateway
            && w.meta.namespace() == namespace
            && w.service_account.value == account
    };
    for to in mesh.service_ids() {
        let selected = mesh.workloads_of(to).any(|id| {
            let workload = mesh.workload(id);
            workload.meta.namespace() == policy.meta.namespace() && selects(&policy.selector, &workload.labels)
        });
        if !selected {
            continue;
        }
        for from in mesh.workload_ids().filter(|id| is_caller(mesh.workload(*id))) {
            push(mesh, from, to, ports, "`principals` of an AuthorizationPolicy", &principal.at, calls);
        }
    }
}

/// A call on the ports of the service that lead to one of the pods' `targets`; without targets on its first HTTP port.
fn push(
    mesh: &Mesh,
    from: WorkloadId,
    to: ServiceId,
    targets: &[u16],
    because: &str,
    at: &Location,
    calls: &mut Vec<InferredCall>,
) {
    let ports = &mesh.service(to).ports;
    let leads = |port: &&meshproof_model::ServicePort| match &port.target {
        TargetPort::Number(number) => targets.contains(number),
        TargetPort::Name(name) => mesh
            .workloads_of(to)
            .any(|id| mesh.workload(id).ports.iter().any(|p| p.name == *name && targets.contains(&p.number))),
    };
    let chosen: Vec<u16> = match targets {
        [] => ports.iter().filter(|port| port.protocol.is_http()).take(1).map(|port| port.number.value).collect(),
        _ => ports.iter().filter(leads).map(|port| port.number.value).collect(),
    };
    for port in chosen {
        calls.push(InferredCall { from, to, port, because: because.to_owned(), at: at.clone() });
    }
}
