//! What lowering looks up, sorted once for a mesh: services by host, policies by namespace and host, pods by address.

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    alias,
    client::Client,
    delegate::{self, Resolved},
    destination_rule::{HostRules, Rules},
    gateway_api::{self, Bound},
    scope,
};
use crate::{
    Labels, Located, Mesh, Meta, Service, ServiceId, ServicePort, TargetPort, Workload, WorkloadId, host_covers,
    host_intersection,
    istio::{AuthorizationPolicy, MeshConfig, PeerAuthentication, RequestAuthentication},
};

/// A mesh prepared for lowering. Make it once where many proxies are lowered; each proxy then costs only what it calls.
#[derive(Debug)]
pub struct Lowering<'m> {
    pub(crate) mesh: &'m Mesh,
    services: BTreeMap<&'m str, ServiceId>,
    pub(super) aliases: BTreeMap<ServiceId, ServiceId>,
    serving: Vec<Vec<WorkloadId>>,
    served: Vec<Vec<ServiceId>>,
    first_pod: Vec<u32>,
    peers: BTreeMap<&'m str, Vec<&'m PeerAuthentication>>,
    authorizations: BTreeMap<&'m str, Authorizations<'m>>,
    authentications: BTreeMap<&'m str, Vec<&'m RequestAuthentication>>,
    pub(super) rules: Rules<'m>,
    pub(super) routes: Vec<Resolved<'m>>,
    pub(super) entries: Vec<Bound<'m>>,
    exact_hosts: BTreeMap<String, Vec<usize>>,
    wildcard_hosts: Vec<(String, usize)>,
}

impl<'m> Lowering<'m> {
    /// Prepares a mesh.
    pub fn new(mesh: &'m Mesh) -> Self {
        let mut services = BTreeMap::new();
        for id in mesh.service_ids() {
            services.entry(mesh.service(id).host.as_str()).or_insert(id);
        }
        let aliases = alias::resolve(mesh);
        let serving = serving(mesh);
        let mut served = vec![Vec::new(); mesh.workloads.len()];
        for id in mesh.service_ids() {
            for workload in &serving[id.index()] {
                served[workload.index()].push(id);
            }
        }
        let mut pods = 0_u32;
        let mut first_pod = Vec::with_capacity(mesh.workloads.len());
        for (number, workload) in mesh.workloads.iter().enumerate() {
            first_pod.push(pods);
            let block = mesh.pod_blocks.get(number).copied().unwrap_or(0).max(workload.replicas.value);
            pods = pods.saturating_add(block);
        }
        let mut routes = delegate::resolve(mesh);
        routes.extend(gateway_api::resolve(mesh));
        routes.sort_by_key(|route| age(route.meta));
        let mut exact_hosts: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        let mut wildcard_hosts = Vec::new();
        for (number, route) in routes.iter().enumerate() {
            for host in &route.hosts {
                if host.starts_with('*') {
                    wildcard_hosts.push((host.clone(), number));
                } else {
                    exact_hosts.entry(host.clone()).or_default().push(number);
                }
            }
        }
        // The longest suffix is the most specific (`H-4`); the sort is stable, so that age decides among equals.
        wildcard_hosts.sort_by_key(|(host, _)| std::cmp::Reverse(host.len()));
        let peers = by_age(&mesh.peer_authentications, |policy| &policy.meta);
        let authorizations = by_age(&mesh.authorization_policies, |policy| &policy.meta);
        let authorizations = authorizations
            .into_iter()
            .map(|(namespace, policies)| (namespace, Authorizations::of(&policies)))
            .collect();
        let authentications = by_age(&mesh.request_authentications, |policy| &policy.meta);
        let rules = Rules::new(mesh);
        Self {
            mesh,
            services,
            aliases,
            serving,
            served,
            first_pod,
            peers,
            authorizations,
            authentications,
            rules,
            routes,
            entries: gateway_api::entries(mesh),
            exact_hosts,
            wildcard_hosts,
        }
    }

    /// The mesh's settings as the control plane of a workload's proxy has them: revisions have defaults of their own (0.8).
    pub(super) fn settings_of(&self, workload: WorkloadId) -> Cow<'m, MeshConfig> {
        let settings = &self.mesh.settings;
        match self.mesh.workload(workload).istio_version.filter(|version| *version != settings.istio_version) {
            Some(istio_version) => Cow::Owned(MeshConfig { istio_version, ..settings.clone() }),
            None => Cow::Borrowed(settings),
        }
    }

    /// The service of a full host name.
    pub fn service_of(&self, host: &str) -> Option<ServiceId> {
        self.services.get(host).copied()
    }

    /// The workloads whose pods serve a service (`K-1`).
    pub fn workloads_of(&self, service: ServiceId) -> Vec<WorkloadId> {
        self.servers(service).to_vec()
    }

    /// The same, borrowed.
    pub(super) fn servers(&self, service: ServiceId) -> &[WorkloadId] {
        self.serving.get(service.index()).map_or(&[], Vec::as_slice)
    }

    /// The services whose selector a workload's pods have, in the mesh's order.
    pub fn services_of(&self, workload: WorkloadId) -> &[ServiceId] {
        self.served.get(workload.index()).map_or(&[], Vec::as_slice)
    }

    /// The address of a pod: one of 10.0.0.0/8, in the order of workloads and replicas.
    pub fn pod_address(&self, workload: WorkloadId, replica: u32) -> std::net::Ipv4Addr {
        let number = self.first_pod[workload.index()].saturating_add(replica).saturating_add(1);
        std::net::Ipv4Addr::from_bits(0x0a00_0000 | (number & 0x00ff_ffff))
    }

    /// PeerAuthentications of a namespace, the oldest first.
    pub(super) fn peer_policies(&self, namespace: &str) -> impl Iterator<Item = &'m PeerAuthentication> {
        self.peers.get(namespace).into_iter().flatten().copied()
    }

    /// AuthorizationPolicies of a namespace that may hold for pods of these labels (`None`: a waypoint's), the oldest
    /// first: none is left out that selects them or has targets.
    pub(super) fn authorization_policies(
        &self,
        namespace: &str,
        labels: Option<&Labels>,
    ) -> Vec<&'m AuthorizationPolicy> {
        let Some(known) = self.authorizations.get(namespace) else { return Vec::new() };
        let selecting = labels
            .into_iter()
            .flatten()
            .filter_map(|(key, value)| known.selecting.get(&(key.as_str(), value.as_str())).map(Vec::as_slice));
        let mut found: Vec<(usize, &AuthorizationPolicy)> =
            selecting.chain([known.others.as_slice()]).flatten().copied().collect();
        found.sort_unstable_by_key(|(place, _)| *place);
        found.into_iter().map(|(_, policy)| policy).collect()
    }

    /// RequestAuthentications of a namespace, the oldest first.
    pub(super) fn request_authentications(&self, namespace: &str) -> impl Iterator<Item = &'m RequestAuthentication> {
        self.authentications.get(namespace).into_iter().flatten().copied()
    }

    /// The VirtualServices of a service's host for sidecars of a namespace, in the order in which they are tried: with
    /// that host, or one with the most specific wildcard (`VS-3`, `VS-7`).
    pub(super) fn routes_for(&self, host: &str, client: &Client<'_>) -> Vec<&Resolved<'m>> {
        let namespace = client.namespace();
        let sidecar = self.sidecar_of(client.workload());
        let imported = |route: &Resolved<'m>| {
            sidecar.is_none_or(|sidecar| {
                let covers = |pattern: &str| route.hosts.iter().any(|host| host_intersection(pattern, host).is_some());
                scope::admits(sidecar, route.meta.namespace(), &covers, &|_| true)
            })
        };
        let for_mesh = |route: &&Resolved<'m>| {
            route.gateways.iter().any(|gateway| gateway == "mesh")
                && route.visibility(namespace).is_some()
                && imported(route)
        };
        let exact = self.exact_hosts.get(host).map_or(&[][..], Vec::as_slice);
        let mut found: Vec<&Resolved<'m>> = exact.iter().map(|number| &self.routes[*number]).filter(for_mesh).collect();
        if found.is_empty() {
            let covering = self.wildcard_hosts.iter().filter(|(pattern, _)| host_covers(pattern, host));
            let mut covering = covering.map(|(pattern, number)| (pattern, &self.routes[*number]));
            let best = covering.by_ref().find(|(_, route)| for_mesh(route));
            if let Some((pattern, route)) = best {
                found.push(route);
                found.extend(covering.take_while(|(other, _)| *other == pattern).map(|(_, r)| r).filter(for_mesh));
                found.sort_by_key(|route| route.visibility(namespace));
                found.truncate(1);
            }
        }
        found.sort_by_key(|route| route.visibility(namespace));
        found
    }

    /// The rules for a host among those of one namespace, the exact host first, else the longest wildcard (`H-4`).
    pub(super) fn most_specific<'r>(rules: &'r HostRules<'m>, host: &str) -> Option<&'r [super::Merged<'m>]> {
        let exact = rules.exact.get(host);
        let found = exact.or_else(|| rules.wildcards.iter().find(|(p, _)| host_covers(p, host)).map(|(_, r)| r));
        found.map(Vec::as_slice)
    }
}

/// The workloads of every service: looked up by one label of its selector, then compared with all of it.
fn serving(mesh: &Mesh) -> Vec<Vec<WorkloadId>> {
    let mut by_label: BTreeMap<(&str, &str, &str), Vec<WorkloadId>> = BTreeMap::new();
    for id in mesh.workload_ids() {
        let workload = mesh.workload(id);
        for (key, value) in &workload.labels {
            by_label.entry((workload.meta.namespace(), key, value)).or_default().push(id);
        }
    }
    let of = |service: &Service| {
        let Some((key, value)) = service.selector.first_key_value() else { return Vec::new() };
        let candidates = by_label.get(&(service.meta.namespace(), key.as_str(), value.as_str()));
        let serves = |id: &WorkloadId| crate::is_subset(&service.selector, &mesh.workload(*id).labels);
        candidates.into_iter().flatten().copied().filter(serves).collect()
    };
    mesh.services.iter().map(of).collect()
}

/// Policies of a namespace with their places by age: those that select pods under the first label that they ask for, so
/// that a pod's policies are found without a look at all others.
#[derive(Debug, Default)]
struct Authorizations<'m> {
    selecting: BTreeMap<(&'m str, &'m str), Vec<(usize, &'m AuthorizationPolicy)>>,
    others: Vec<(usize, &'m AuthorizationPolicy)>,
}

impl<'m> Authorizations<'m> {
    fn of(policies: &[&'m AuthorizationPolicy]) -> Self {
        let mut all = Self::default();
        for (place, policy) in policies.iter().enumerate() {
            match policy.selector.iter().next().filter(|_| policy.target_refs.is_empty()) {
                Some((key, value)) => all.selecting.entry((key, value)).or_default().push((place, policy)),
                None => all.others.push((place, policy)),
            }
        }
        all
    }
}

fn by_age<T>(objects: &[T], meta: fn(&T) -> &Meta) -> BTreeMap<&str, Vec<&T>> {
    let mut sorted: Vec<&T> = objects.iter().collect();
    sorted.sort_by_key(|object| age(meta(object)));
    let mut map: BTreeMap<&str, Vec<&T>> = BTreeMap::new();
    for object in sorted {
        map.entry(meta(object).namespace()).or_default().push(object);
    }
    map
}

/// The number of the container's port behind a service's port on a workload; `None`: it has no port of that name.
pub(super) fn container_port(workload: &Workload, port: &ServicePort) -> Option<u16> {
    // An endpoint that is no pod answers to the names of the services' ports (`WE-1`).
    if matches!(workload.meta.resource.kind.as_str(), "WorkloadEntry" | "WorkloadGroup" | "ServiceEntry")
        && let Some(own) = workload.ports.iter().find(|own| own.name == port.name)
    {
        return Some(own.number);
    }
    match &port.target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(name) => workload.ports.iter().find(|port| port.name == *name).map(|port| port.number),
    }
}

/// The order in which Istio takes objects of one kind: the oldest first, then by name and namespace (0.4). Objects
/// without a time come in the order of their names, after those that have one.
pub(super) fn age(meta: &Meta) -> (bool, &str, &str, &str) {
    let created = meta.created.as_deref();
    (created.is_none(), created.unwrap_or(""), meta.name(), meta.namespace())
}

/// Who sees an object: `exportTo` with the mesh's default applied.
pub(super) fn export_to<'a>(written: &'a [Located<String>], default: &'a [String], own: &'a str) -> BTreeSet<&'a str> {
    let values: Vec<&str> = if written.is_empty() {
        default.iter().map(String::as_str).collect()
    } else {
        written.iter().map(|namespace| namespace.value.as_str()).collect()
    };
    values.into_iter().map(|namespace| if namespace == "." { own } else { namespace }).collect()
}

/// Whether clients of a namespace see a service.
pub(super) fn is_visible(service: &Service, namespace: &str) -> bool {
    let own = service.meta.namespace();
    service.export_to.is_empty()
        || service.export_to.iter().any(|to| to == "*" || to == namespace || (to == "." && own == namespace))
}
