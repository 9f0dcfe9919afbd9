//! Calls that the manifests suggest: variables that name a service, routes that select their callers, policies that
//! name them.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_model::{
    ContainerPort, InferredCall, Labels, Location, Mesh, ProxyMode, ServiceId, ServicePort, TargetPort, Workload,
    WorkloadId,
    istio::{AuthorizationAction, AuthorizationPolicy},
    linkerd::{AuthenticationRef, Server},
};

use crate::kubernetes::workload::selects;

/// Every suggested call, one for each caller, service and port; the first suggestion counts.
pub(crate) fn infer(mesh: &Mesh, cluster_domain: &str) -> Vec<InferredCall> {
    let names = Names::new(mesh, cluster_domain);
    let mut calls = Vec::new();
    from_env(&names, &mut calls);
    from_source_labels(&names, &mut calls);
    from_policies(&names, &mut calls);
    from_linkerd(&names, &mut calls);
    let mut seen = BTreeSet::new();
    calls.retain(|call: &InferredCall| {
        !names.serves(call.from, call.to) && seen.insert((call.from, call.to, call.port))
    });
    calls
}

/// The mesh by names.
struct Names<'m> {
    mesh: &'m Mesh,
    /// `.svc.` and the cluster's domain.
    suffix: String,
    hosts: BTreeMap<&'m str, ServiceId>,
    services: BTreeMap<&'m str, Vec<ServiceId>>,
    workloads: BTreeMap<&'m str, Vec<WorkloadId>>,
    /// By namespace and service account.
    accounts: BTreeMap<(&'m str, &'m str), Vec<WorkloadId>>,
    /// By namespace and each of their labels.
    labelled: BTreeMap<Label<'m>, Vec<WorkloadId>>,
    /// By namespace and the first label that they select.
    selecting: BTreeMap<Label<'m>, Vec<ServiceId>>,
}

/// A namespace, a key and a value.
type Label<'m> = (&'m str, &'m str, &'m str);

impl<'m> Names<'m> {
    fn new(mesh: &'m Mesh, cluster_domain: &str) -> Self {
        let (mut hosts, mut services, mut workloads) = (BTreeMap::new(), BTreeMap::new(), BTreeMap::new());
        let mut accounts: BTreeMap<(&str, &str), Vec<WorkloadId>> = BTreeMap::new();
        let mut labelled: BTreeMap<Label<'_>, Vec<WorkloadId>> = BTreeMap::new();
        let mut selecting: BTreeMap<Label<'_>, Vec<ServiceId>> = BTreeMap::new();
        for (id, service) in mesh.service_ids().zip(&mesh.services) {
            hosts.entry(service.host.as_str()).or_insert(id);
            services.entry(service.meta.namespace()).or_insert_with(Vec::new).push(id);
            if let Some((key, value)) = service.selector.iter().next() {
                let label: Label<'_> = (service.meta.namespace(), key, value);
                selecting.entry(label).or_default().push(id);
            }
        }
        for (id, workload) in mesh.workload_ids().zip(&mesh.workloads) {
            let namespace = workload.meta.namespace();
            workloads.entry(namespace).or_insert_with(Vec::new).push(id);
            accounts.entry((namespace, workload.service_account.value.as_str())).or_default().push(id);
            for (key, value) in &workload.labels {
                labelled.entry((namespace, key, value)).or_default().push(id);
            }
        }
        let suffix = format!(".svc.{cluster_domain}");
        Self { mesh, suffix, hosts, services, workloads, accounts, labelled, selecting }
    }

    /// The service that a pod of `namespace` reaches under a name (`H-3`).
    fn service(&self, namespace: &str, host: &str) -> Option<ServiceId> {
        if host.is_empty() {
            return None;
        }
        let host = host.trim_end_matches('.').to_lowercase();
        let short = host.strip_suffix(&self.suffix).or_else(|| host.strip_suffix(".svc")).unwrap_or(&host);
        let (name, namespace) = short.split_once('.').unwrap_or((short, namespace));
        let full = format!("{name}.{namespace}{}", self.suffix);
        self.hosts.get(full.as_str()).or_else(|| self.hosts.get(host.as_str())).copied()
    }

    /// Whether the workload's pods serve the service (`K-1`).
    fn serves(&self, workload: WorkloadId, service: ServiceId) -> bool {
        let (workload, service) = (self.mesh.workload(workload), self.mesh.service(service));
        workload.meta.namespace() == service.meta.namespace() && selects(&service.selector, &workload.labels)
    }

    fn workloads(&self, namespace: &str) -> impl Iterator<Item = WorkloadId> {
        self.workloads.get(namespace).into_iter().flatten().copied()
    }

    fn services(&self, namespace: &str) -> impl Iterator<Item = ServiceId> {
        self.services.get(namespace).into_iter().flatten().copied()
    }
}

const SUFFIXES: &[&str] =
    &["_ADDR", "_ADDRESS", "_HOST", "_HOSTNAME", "_URL", "_URI", "_ENDPOINT", "_SERVER", "_TARGET"];

fn from_env(names: &Names<'_>, calls: &mut Vec<InferredCall>) {
    for (id, workload) in names.mesh.workload_ids().zip(&names.mesh.workloads) {
        for (name, value) in &workload.env {
            if !SUFFIXES.iter().any(|suffix| name.ends_with(suffix)) {
                continue;
            }
            for address in value.value.split(',') {
                if let Some((to, port)) = resolve(names, workload, name, address) {
                    let because = format!("environment variable `{name}`");
                    calls.push(InferredCall { from: id, to, port, because, at: value.at.clone() });
                }
            }
        }
    }
}

/// The service and port that an address names: `host`, `host:port` or `scheme://host[:port][/...]`.
fn resolve(names: &Names<'_>, workload: &Workload, variable: &str, address: &str) -> Option<(ServiceId, u16)> {
    let (scheme, rest) = address.trim().split_once("://").map_or((None, address.trim()), |(s, rest)| (Some(s), rest));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or("");
    let authority = authority.rsplit('@').next().unwrap_or("");
    let (host, port) = match authority.split_once(':') {
        Some((host, port)) => (host, Some(port.parse::<u16>().ok()?)),
        None => (authority, None),
    };
    let to = names.service(workload.meta.namespace(), host)?;
    let service = names.mesh.service(to);
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

/// `VirtualService` matches with `sourceLabels`: the workloads with them call its hosts.
fn from_source_labels(names: &Names<'_>, calls: &mut Vec<InferredCall>) {
    for vs in &names.mesh.virtual_services {
        for rule in &vs.http {
            for block in rule.matches.iter().filter(|block| !block.source_labels.is_empty()) {
                let namespace = block.source_namespace.as_ref().map(|namespace| namespace.value.as_str());
                let at = block.at.clone().unwrap_or_else(|| rule.at.clone());
                for host in &vs.hosts {
                    let Some(to) = names.service(vs.meta.namespace(), &host.value) else { continue };
                    for from in callers(names.mesh, &block.source_labels, namespace) {
                        push(names, from, to, &[], "`sourceLabels` of a VirtualService", &at, calls);
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
fn from_policies(names: &Names<'_>, calls: &mut Vec<InferredCall>) {
    let policies = names.mesh.authorization_policies.iter();
    for policy in policies.filter(|p| p.action.value == AuthorizationAction::Allow && !p.selector.is_empty()) {
        let services = selected_services(names, policy);
        for rule in &policy.rules {
            let ports = rule.to.iter().flat_map(|to| &to.ports);
            let ports: Vec<u16> = ports.filter_map(|port| port.value.parse().ok()).collect();
            for principal in rule.from.iter().flat_map(|source| &source.principals) {
                for from in workloads_of_principal(names, &principal.value) {
                    for to in &services {
                        let because = "`principals` of an AuthorizationPolicy";
                        push(names, from, *to, &ports, because, &principal.at, calls);
                    }
                }
            }
        }
    }
}

/// Linkerd's policies that name callers: the workloads with these identities call the services of the Server's pods.
fn from_linkerd(names: &Names<'_>, calls: &mut Vec<InferredCall>) {
    let linkerd = &names.mesh.linkerd;
    for policy in linkerd.authorization_policies.iter().filter(|policy| policy.target.value.kind == "Server") {
        let namespace = policy.meta.namespace();
        let is_target =
            |server: &&Server| server.meta.name() == policy.target.value.name && server.meta.namespace() == namespace;
        let Some(server) = linkerd.servers.iter().find(is_target) else { continue };
        let Some(pods) = &server.pods else { continue };
        let selected: Vec<WorkloadId> =
            names.workloads(namespace).filter(|id| pods.matches(&names.mesh.workload(*id).labels)).collect();
        let ports: Vec<u16> = match &server.port.value {
            TargetPort::Number(number) => vec![*number],
            TargetPort::Name(name) => {
                let declared = selected.iter().flat_map(|id| &names.mesh.workload(*id).ports);
                declared.filter(|port| port.name == *name).map(|port| port.number).collect()
            }
        };
        let services: Vec<ServiceId> = names
            .services(namespace)
            .filter(|to| selected.iter().any(|workload| names.serves(*workload, *to)))
            .collect();
        for required in &policy.required {
            for (namespace, account) in accounts(names.mesh, &required.value, namespace) {
                let is_caller = |id: &WorkloadId| names.mesh.workload(*id).service_account.value == account;
                for from in names.workloads(&namespace).filter(is_caller) {
                    for to in services.iter().filter(|_| !ports.is_empty()) {
                        let because = "`requiredAuthenticationRefs` of an AuthorizationPolicy";
                        push(names, from, *to, &ports, because, &required.at, calls);
                    }
                }
            }
        }
    }
}

/// The accounts, namespace and name, that a policy asks for by name.
fn accounts(mesh: &Mesh, required: &AuthenticationRef, own: &str) -> Vec<(String, String)> {
    let namespace = required.namespace.as_deref().unwrap_or(own);
    if required.kind == "ServiceAccount" {
        return vec![(namespace.to_owned(), required.name.clone())];
    }
    let known = mesh.linkerd.mesh_tls_authentications.iter();
    let mut known = known.filter(|known| known.meta.name() == required.name && known.meta.namespace() == namespace);
    let Some(found) = known.next() else { return Vec::new() };
    let of_name = |identity: &meshproof_model::Located<String>| {
        let (account, rest) = identity.value.split_once('.')?;
        let (namespace, _) = rest.split_once(".serviceaccount.")?;
        (account != "*").then(|| (namespace.to_owned(), account.to_owned()))
    };
    let named = found.accounts.iter().filter(|(_, account)| !account.is_empty()).cloned();
    named.chain(found.identities.iter().filter_map(of_name)).collect()
}

/// The services whose pods a policy selects, in the mesh's order.
fn selected_services(names: &Names<'_>, policy: &AuthorizationPolicy) -> BTreeSet<ServiceId> {
    let namespace = policy.meta.namespace();
    let Some((key, value)) = policy.selector.iter().next() else { return BTreeSet::new() };
    let labelled = names.labelled.get(&(namespace, key.as_str(), value.as_str())).into_iter().flatten();
    let selected = labelled.filter(|id| selects(&policy.selector, &names.mesh.workload(**id).labels));
    selected
        .flat_map(|id| {
            let labels = names.mesh.workload(*id).labels.iter();
            let known =
                labels.filter_map(|(key, value)| names.selecting.get(&(namespace, key.as_str(), value.as_str())));
            known.flatten().copied().filter(|to| names.serves(*id, *to))
        })
        .collect()
}

/// The workloads with an identity, `TRUST-DOMAIN/ns/NAMESPACE/sa/ACCOUNT`; gateways route requests and make none.
fn workloads_of_principal<'m>(names: &'m Names<'_>, principal: &'m str) -> impl Iterator<Item = WorkloadId> {
    let parts: Vec<&str> = principal.split('/').collect();
    let identity = match parts.as_slice() {
        [_, "ns", namespace, "sa", account] => Some((*namespace, *account)),
        _ => None,
    };
    identity.into_iter().flat_map(move |(namespace, account)| {
        let known = names.accounts.get(&(namespace, account)).into_iter().flatten().copied();
        known.filter(move |id| names.mesh.workload(*id).proxy != ProxyMode::Gateway)
    })
}

/// A call on the ports of the service that lead to one of the pods' `targets`; without targets on its first HTTP port.
fn push(
    names: &Names<'_>,
    from: WorkloadId,
    to: ServiceId,
    targets: &[u16],
    because: &str,
    at: &Location,
    calls: &mut Vec<InferredCall>,
) {
    let mesh = names.mesh;
    let service = mesh.service(to);
    let leads = |port: &&ServicePort| match &port.target {
        TargetPort::Number(number) => targets.contains(number),
        TargetPort::Name(name) => {
            let declares = |p: &ContainerPort| p.name == *name && targets.contains(&p.number);
            let servers = names.workloads(service.meta.namespace()).filter(|id| names.serves(*id, to));
            servers.into_iter().any(|id| mesh.workload(id).ports.iter().any(declares))
        }
    };
    let numbers = |port: &ServicePort| port.number.value;
    let chosen: Vec<u16> = match targets {
        [] => service.ports.iter().filter(|port| port.protocol.is_http()).take(1).map(numbers).collect(),
        _ => service.ports.iter().filter(leads).map(numbers).collect(),
    };
    for port in chosen {
        calls.push(InferredCall { from, to, port, because: because.to_owned(), at: at.clone() });
    }
}
