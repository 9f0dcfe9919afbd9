//! The outbound side of a workload: a listener for each port that it dials, a virtual host for each service.

use std::collections::BTreeSet;

use meshproof_proxy::{
    Nanos,
    config::{
        Action, Cluster, ClusterSpecifier, Config, ConnectionManager, DirectResponse, EscapedSlashes, Fault, Filter,
        HeaderMutations, LbPolicy, Listener, Route, RouteAction, RouteConfiguration, RouteMatch, Thresholds,
        VirtualHost,
    },
};

use super::{
    ClusterOrigin, ListenerOrigin, Lowered, Lowering, Provenance, RouteOrigin, client::Client, route::Made,
    route_match::Scope, wanted::Wanted,
};
use crate::{
    Origin, Protocol, ServiceId, WorkloadId,
    istio::{MeshConfig, PathNormalization},
};

impl Lowering<'_> {
    /// A client's configuration for what it dials, seen from one of its replicas. A sidecar has one listener for each
    /// HTTP port, with a virtual host for each service on it; ports of other protocols, and workloads without routes
    /// of their own, have one listener for each service and port ([`Provenance::listener`] finds it).
    pub fn outbound(&self, client: WorkloadId, replica: u32, to: &[(ServiceId, u16)]) -> Lowered {
        let client = Client::new(self.mesh, client, replica);
        let mut wanted = Wanted::new(self, &client);
        let mut listeners = Vec::new();
        let mut seen = BTreeSet::new();
        let mut behind = Vec::new();
        let mut aliases = Vec::new();
        for &(dialled, port) in to {
            let service = if self.is_linkerd(client.workload()) { dialled } else { self.meant(dialled, port) };
            if service != dialled {
                aliases.push((dialled, service, port));
            }
            if !seen.insert((service, port)) {
                continue;
            }
            if let Some(waypoint) = self.waypoint_for(client.workload(), service, port) {
                behind.push(self.through_waypoint(client.behind(waypoint), service, port));
                continue;
            }
            if self.skips_outbound(client.workload(), port) {
                behind.push(self.past_its_proxy(client.past_its_proxy(), service, port));
                continue;
            }
            if self.is_linkerd(client.workload()) {
                listeners.push((port, None, vec![service]));
                continue;
            }
            let protocol = self.mesh.service(service).port(port).map_or(Protocol::Tcp, |port| port.protocol);
            if client.has_policy() && protocol.is_http() {
                let shared = |listener: &&mut (u16, Option<Protocol>, Vec<ServiceId>)| {
                    listener.0 == port && listener.1.is_none()
                };
                match listeners.iter_mut().find(shared) {
                    Some((_, _, services)) => services.push(service),
                    None => listeners.push((port, None, vec![service])),
                }
            } else {
                listeners.push((port, Some(protocol), vec![service]));
            }
        }
        let (listeners, origins): (Vec<Listener>, Vec<ListenerOrigin>) = listeners
            .into_iter()
            .map(|(port, protocol, services)| match protocol {
                None if self.is_linkerd(client.workload()) => wanted.linkerd_listener(services[0], port),
                None => wanted.http_listener(port, services),
                Some(protocol) => wanted.plain_listener(port, protocol, services[0]),
            })
            .unzip();
        let (clusters, cluster_origins) = wanted.finish();
        let mut lowered = Lowered {
            config: Config { listeners, clusters, zone: None },
            provenance: Provenance { listeners: origins, clusters: cluster_origins },
        };
        for other in behind {
            lowered.add(other);
        }
        for (alias, service, port) in aliases {
            let listener = lowered.provenance.listener(service, port);
            if let Some(listener) = listener.and_then(|place| lowered.provenance.listeners.get_mut(place)) {
                listener.services.push(alias);
            }
        }
        lowered
    }
}

impl Lowering<'_> {
    /// What a client dials past its own proxy (`PA-6`).
    fn past_its_proxy(&self, client: Client<'_>, service: ServiceId, port: u16) -> Lowered {
        let mut wanted = Wanted::new(self, &client);
        let protocol = self.mesh.service(service).port(port).map_or(Protocol::Tcp, |port| port.protocol);
        let (listener, origin) = wanted.plain_listener(port, protocol, service);
        let (clusters, origins) = wanted.finish();
        Lowered {
            config: Config { listeners: vec![listener], clusters, zone: None },
            provenance: Provenance { listeners: vec![origin], clusters: origins },
        }
    }
}

impl Wanted<'_, '_> {
    fn http_listener(&mut self, port: u16, services: Vec<ServiceId>) -> (Listener, ListenerOrigin) {
        let mut hosts = Routing::default();
        let lowering = self.lowering;
        let is_imported =
            |service: &&ServiceId| lowering.imports(self.client.workload(), lowering.mesh.service(**service), port);
        let imported: Vec<ServiceId> = services.iter().filter(is_imported).copied().collect();
        for service in &imported {
            self.service_host(*service, port, &mut hosts);
        }
        self.other_hosts(port, &services, &mut hosts);
        lowering.hedge(lowering.mesh.workload(self.client.workload()), port, &mut hosts);
        let listener = Listener {
            name: format!("0.0.0.0_{port}"),
            connection_manager: manager(&self.lowering.mesh.settings),
            filters: vec![Filter::Fault(Fault::default())],
            route_config: RouteConfiguration {
                virtual_hosts: hosts.hosts,
                ignore_port_in_host_matching: true,
                ..RouteConfiguration::default()
            },
            ..Listener::default()
        };
        (listener, ListenerOrigin { port, services, routes: hosts.origins, ..ListenerOrigin::default() })
    }

    /// The virtual host of one service: the routes of the first VirtualService that has any for this client, else the
    /// service's default route (`VS-5`, `VS-12`).
    pub(super) fn service_host(&mut self, service: ServiceId, port: u16, hosts: &mut Routing) {
        let target = self.lowering.mesh.service(service);
        let scope = Scope { client: self.client, port, gateway: "mesh" };
        let mut candidates = self.lowering.routes_for(&target.host, self.client);
        if self.client.waypoint().is_some() {
            // The first one decides, also where it has no route: its own namespace's or the service's (`AB-5`).
            let near = [self.client.namespace(), target.meta.namespace()];
            candidates.retain(|resolved| near.contains(&resolved.meta.namespace()));
            candidates.truncate(1);
        }
        let found = candidates.into_iter().find_map(|resolved| {
            let routes = self.routes(resolved, &scope, &target.host);
            (!routes.is_empty()).then_some((resolved, routes))
        });
        let name = format!("{}:{port}", target.host);
        let is_behind = self.client.waypoint().is_some();
        let domains = if is_behind {
            // Whatever the authority: the address that was dialled chose the service.
            vec!["*".to_owned()]
        } else {
            let aliases = self.lowering.aliases_of(service).map(|alias| self.lowering.mesh.service(alias));
            let named = std::iter::once(target).chain(aliases);
            named.flat_map(|one| domains(one, self.client.namespace(), self.lowering.mesh.domain())).collect()
        };
        let Some((resolved, routes)) = found else {
            let destination = self.service(service, port);
            hosts.add(name, domains, vec![self.default_route(destination, &target.host)]);
            return;
        };
        // A host that is no service of the mesh stands beside the services of the same VirtualService (`VS-6`).
        let other = resolved.hosts.iter().filter(|host| !is_behind && self.lowering.service_of(host).is_none());
        for host in other.filter(|host| !host.starts_with('*')) {
            hosts.add(format!("{host}:{port}"), vec![host.clone()], routes.clone());
        }
        hosts.add(name, domains, routes);
    }

    /// What happens to requests for hosts that nobody defines: they pass through to where they were sent, without
    /// policy and without TLS of the mesh, or are answered 502 (`SC-3`).
    fn other_hosts(&mut self, port: u16, services: &[ServiceId], hosts: &mut Routing) {
        let allow = self.lowering.allows_any(self.client.workload());
        let action = if allow.value {
            let (cluster, origin) = self.passthrough(port, services);
            let mut action = RouteAction::to(ClusterSpecifier::Cluster(cluster.name.clone()));
            action.timeout = Some(Nanos::ZERO);
            action.max_grpc_timeout = Some(Nanos::ZERO);
            self.add(cluster, origin);
            Action::Forward(Box::new(action))
        } else {
            Action::DirectResponse(DirectResponse { status: 502, body: String::new() })
        };
        let name = if allow.value { "allow_any" } else { "block_all" };
        let route = Route {
            name: name.to_owned(),
            matches: RouteMatch::prefix("/"),
            action,
            headers: HeaderMutations::default(),
            filter_overrides: Vec::new(),
        };
        let origin = RouteOrigin { route: allow.origin, ..RouteOrigin::plain("*", "SC-3") };
        hosts.add(name.to_owned(), vec!["*".to_owned()], vec![(route, origin)]);
    }

    /// The cluster for the address that was dialled. Where one service is dialled on the port its endpoints are known,
    /// and chosen at random as Kubernetes does.
    fn passthrough(&self, port: u16, services: &[ServiceId]) -> (Cluster, ClusterOrigin) {
        let mut cluster = Cluster::new(format!("PassthroughCluster|{port}"), Vec::new());
        let settings = &self.lowering.mesh.settings;
        let mut origin = ClusterOrigin::new(None, port, settings.connect_timeout.origin.clone());
        cluster.connect_timeout = Some(settings.connect_timeout.value);
        let limit = Some(u32::MAX);
        cluster.thresholds = vec![Thresholds {
            max_connections: limit,
            max_pending_requests: limit,
            max_requests: limit,
            max_retries: limit,
            ..Thresholds::default()
        }];
        cluster.lb_policy = LbPolicy::OriginalDst;
        if let [only] = services
            && let Some(port) = self.lowering.mesh.service(*only).port(port)
        {
            let (known, ends) = self.lowering.cluster(self.client, *only, port, None);
            cluster.hosts = known.hosts;
            cluster.lb_policy = LbPolicy::Random;
            origin.endpoints = ends.endpoints;
        }
        (cluster, origin)
    }
}

impl RouteOrigin {
    /// A route that only a rule of the book makes.
    pub(super) fn plain(host: &str, rule: &'static str) -> Self {
        let origin = || Origin::Default(rule);
        Self {
            resource: None,
            rule: 0,
            match_block: None,
            name: None,
            host: host.to_owned(),
            route: origin(),
            timeout: origin(),
            retries: origin(),
            attempts: origin(),
            retry_on: origin(),
            per_try_timeout: origin(),
            back_off: origin(),
            fault: None,
            destinations: Vec::new(),
            mirrors: Vec::new(),
            invalid: None,
        }
    }
}

/// The virtual hosts of a listener, each domain once, and the origins of their routes in order.
#[derive(Default)]
pub(super) struct Routing {
    pub(super) hosts: Vec<VirtualHost>,
    pub(super) origins: Vec<RouteOrigin>,
    taken: BTreeSet<String>,
}

impl Routing {
    /// Adds a host with those of its domains that no earlier one has; none left, no host.
    pub(super) fn add(&mut self, name: String, mut domains: Vec<String>, routes: Vec<Made>) {
        domains.retain(|domain| self.taken.insert(domain.clone()));
        if domains.is_empty() {
            return;
        }
        let (routes, origins): (Vec<Route>, Vec<RouteOrigin>) = routes.into_iter().unzip();
        self.hosts.push(VirtualHost {
            name,
            domains,
            routes,
            include_request_attempt_count: true,
            ..VirtualHost::default()
        });
        self.origins.extend(origins);
    }
}

/// The names by which a service is called from a namespace (`H-3`); ports of the authority are ignored.
fn domains(service: &crate::Service, namespace: &str, domain: &str) -> Vec<String> {
    let host = service.host.as_str();
    let mut domains = vec![host.to_owned()];
    let Some(short) = host.strip_suffix(domain).and_then(|rest| rest.strip_suffix(".svc.")) else { return domains };
    let Some((name, own)) = short.rsplit_once('.') else { return domains };
    if own == namespace {
        domains.push(name.to_owned());
    }
    domains.push(short.to_owned());
    domains.push(format!("{short}.svc"));
    if service.resolution == crate::Resolution::Passthrough {
        domains.push(format!("*.{host}"));
    }
    domains
}

/// Istio's options of the HTTP connection manager: paths are normalised as the mesh says (`AZ-5`), streams may idle.
pub(super) fn manager(settings: &MeshConfig) -> ConnectionManager {
    let how = settings.path_normalization;
    ConnectionManager {
        normalize_path: how != PathNormalization::None,
        merge_slashes: matches!(how, PathNormalization::MergeSlashes | PathNormalization::DecodeAndMergeSlashes),
        escaped_slashes: match how {
            PathNormalization::DecodeAndMergeSlashes => EscapedSlashes::UnescapeAndForward,
            PathNormalization::None | PathNormalization::Base | PathNormalization::MergeSlashes => {
                EscapedSlashes::KeepUnchanged
            }
        },
        stream_idle_timeout: Some(Nanos::ZERO),
        ..ConnectionManager::default()
    }
}
