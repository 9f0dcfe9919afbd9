//! The inbound side of a workload: what its own proxy does before the application.

use std::collections::BTreeMap;

use meshproof_proxy::{
    Nanos,
    config::{
        Action, Cluster, ClusterSpecifier, DownstreamTls, ForwardClientCert, HeaderMutations, Host, LbPolicy, Listener,
        Route, RouteAction, RouteConfiguration, RouteMatch, Thresholds, TlsMode,
    },
};

use super::{
    ClusterOrigin, ListenerOrigin, Lowered, Lowering, RouteOrigin,
    attachment::Attachment,
    cluster::{apply_pool, protocol},
    index::container_port,
    mtls::{ISTIO_ALPN, MESH_CA},
    outbound::{Routing, manager},
    rbac, retry,
};
use crate::{Protocol, ProxyMode, ServiceId, WorkloadId, istio::MtlsMode};

/// A port of the pods: the services that lead to it with their ports.
type Ports = BTreeMap<u16, Vec<(ServiceId, u16, Protocol)>>;

impl Lowering<'_> {
    /// The configuration of a server's own proxy: for each port of its pods a listener and the cluster
    /// `inbound|PORT||` with the application as its only host. A workload without a proxy gets one that only passes on.
    pub fn inbound(&self, server: WorkloadId) -> Lowered {
        let mut lowered = Lowered::default();
        for (port, services) in self.ports_of(server) {
            self.add_inbound(&mut lowered, server, port, &services, spoken(&services));
        }
        lowered
    }

    /// The part of it for one port, declared or not (`PA-7`), and for connections on which this is spoken; `None`: what
    /// is declared.
    pub fn inbound_port(&self, server: WorkloadId, port: u16, speaking: Option<Protocol>) -> Lowered {
        let mut lowered = Lowered::default();
        let services = self.ports_of(server).remove(&port).unwrap_or_default();
        let speaking = speaking.unwrap_or_else(|| spoken(&services));
        self.add_inbound(&mut lowered, server, port, &services, speaking);
        lowered
    }

    /// What is declared to be spoken on a port of a workload's pods.
    pub fn spoken_on(&self, server: WorkloadId, port: u16) -> Protocol {
        self.ports_of(server).get(&port).map_or(Protocol::Auto, |services| spoken(services))
    }

    /// Ports of a workload's pods, in order.
    pub fn ports_of_pods(&self, server: WorkloadId) -> Vec<u16> {
        self.ports_of(server).into_keys().collect()
    }

    /// The port of a workload's pods behind the one that clients of its services dial.
    pub fn pod_port(&self, server: WorkloadId, dialled: u16) -> Option<u16> {
        let ports = self.ports_of(server);
        let leads = |services: &[(ServiceId, u16, Protocol)]| services.iter().any(|(_, port, _)| *port == dialled);
        ports.iter().find(|(_, services)| leads(services)).map(|(port, _)| *port)
    }

    /// The ports of services that lead to a port of a workload's pods.
    pub fn services_on(&self, server: WorkloadId, port: u16) -> Vec<(ServiceId, u16)> {
        let services = self.ports_of(server).remove(&port).unwrap_or_default();
        services.into_iter().map(|(service, number, _)| (service, number)).collect()
    }

    fn add_inbound(
        &self,
        lowered: &mut Lowered,
        server: WorkloadId,
        port: u16,
        services: &[(ServiceId, u16, Protocol)],
        speaking: Protocol,
    ) {
        let ((cluster, cluster_origin), (listener, origin)) = if self.is_linkerd(server) {
            self.linkerd_inbound(server, port, services)
        } else {
            let cluster = self.inbound_cluster(server, port, services);
            (cluster, self.inbound_listener(server, port, services, speaking))
        };
        lowered.config.listeners.push(listener);
        lowered.config.clusters.push(cluster);
        lowered.provenance.listeners.push(origin);
        lowered.provenance.clusters.push(cluster_origin);
    }

    /// Ports of a workload's pods: those that services lead to, and those that its containers declare.
    fn ports_of(&self, server: WorkloadId) -> Ports {
        let workload = self.mesh.workload(server);
        let mut ports = Ports::new();
        for &id in self.services_of(server) {
            for port in &self.mesh.service(id).ports {
                if let Some(number) = container_port(workload, port) {
                    ports.entry(number).or_default().push((id, port.number.value, port.protocol));
                }
            }
        }
        for port in &workload.ports {
            ports.entry(port.number).or_default();
        }
        ports
    }

    fn inbound_listener(
        &self,
        server: WorkloadId,
        port: u16,
        services: &[(ServiceId, u16, Protocol)],
        spoken: Protocol,
    ) -> (Listener, ListenerOrigin) {
        let workload = self.mesh.workload(server);
        let mode = self.server_mode(server, port);
        let proxy = if self.skips_inbound(server, port) { ProxyMode::None } else { workload.proxy };
        // A ztunnel reads no HTTP; of policies only what connections show counts (`AB-2`, `AB-3`).
        let is_tcp = !spoken.is_http() || proxy == ProxyMode::Ambient;
        let mut access = match proxy {
            ProxyMode::None | ProxyMode::Linkerd => rbac::Access::default(),
            ProxyMode::Sidecar | ProxyMode::Gateway | ProxyMode::Ambient => {
                let is_ztunnel = proxy == ProxyMode::Ambient;
                let seen = if is_ztunnel { rbac::Seen::Ztunnel } else { rbac::Seen::by_proxy(is_tcp) };
                rbac::lower(self, &Attachment::of(self, server), seen)
            }
        };
        if proxy == ProxyMode::Sidecar && !is_tcp {
            for (limit, resource, at) in self.local_rate_limits(workload, port) {
                access.filters.push(limit);
                access.policies.push((resource, at));
            }
        }
        // Requests that were reset before they began are sent again, unless the port is gRPC's (`RT-17`).
        let retries = if proxy != ProxyMode::Sidecar || is_tcp || spoken.is_grpc() {
            retry::Lowered::none("RT-17")
        } else {
            retry::inbound(&self.settings_of(server))
        };
        let mut action = RouteAction::to(ClusterSpecifier::Cluster(format!("inbound|{port}||")));
        action.timeout = Some(Nanos::ZERO);
        action.max_grpc_timeout = Some(Nanos::ZERO);
        action.retry = retries.policy;
        let route = Route {
            name: "default".to_owned(),
            matches: RouteMatch::prefix("/"),
            action: Action::Forward(Box::new(action)),
            headers: HeaderMutations::default(),
            filter_overrides: Vec::new(),
        };
        let origin = RouteOrigin {
            retries: retries.retries,
            attempts: retries.attempts,
            retry_on: retries.retry_on,
            ..RouteOrigin::plain("*", "RT-17")
        };
        let mut hosts = Routing::default();
        hosts.add(format!("inbound|http|{port}"), vec!["*".to_owned()], vec![(route, origin)]);
        let listener = Listener {
            name: format!("virtualInbound_{port}"),
            tls: self.inbound_tls(server, mode.value, is_tcp),
            connection_manager: manager(&self.mesh.settings),
            filters: access.filters,
            route_config: RouteConfiguration { virtual_hosts: hosts.hosts, ..RouteConfiguration::default() },
            ..Listener::default()
        };
        let origin = ListenerOrigin {
            port,
            services: services.iter().map(|(service, _, _)| *service).collect(),
            protocol: Some(spoken),
            mode: Some(mode),
            routes: hosts.origins,
            policies: access.policies,
            sni: Vec::new(),
        };
        (listener, origin)
    }

    /// What the listener accepts (`PA-5`): Istio's mutual TLS is told from other TLS by its protocols.
    fn inbound_tls(&self, server: WorkloadId, mode: MtlsMode, is_tcp: bool) -> DownstreamTls {
        let istio = || ISTIO_ALPN.map(str::to_owned).to_vec();
        let mode = match mode {
            MtlsMode::Disable => return DownstreamTls::default(),
            MtlsMode::Permissive => TlsMode::Permissive,
            MtlsMode::Strict => TlsMode::Strict,
        };
        DownstreamTls {
            mode,
            identity: Some(self.identity(server)),
            trusted_ca: Some(MESH_CA.to_owned()),
            alpn: istio(),
            chain_alpn: if mode == TlsMode::Permissive && !is_tcp { istio() } else { Vec::new() },
            forward_client_cert: ForwardClientCert::AppendForward,
            ..DownstreamTls::default()
        }
    }

    /// The connection pool of the DestinationRule that the server's own namespace resolves for the first service on the
    /// port holds here a second time; nothing else of it does (`DR-12`).
    fn inbound_cluster(
        &self,
        server: WorkloadId,
        port: u16,
        services: &[(ServiceId, u16, Protocol)],
    ) -> (Cluster, ClusterOrigin) {
        let workload = self.mesh.workload(server);
        let settings = &self.mesh.settings;
        let spoken = spoken(services);
        let mut cluster = Cluster::new(
            format!("inbound|{port}||"),
            vec![Host::new(workload.full_name(), format!("127.0.0.6:{port}"))],
        );
        cluster.lb_policy = LbPolicy::RoundRobin;
        cluster.protocol = protocol(spoken);
        cluster.connect_timeout = Some(settings.connect_timeout.value);
        cluster.thresholds = vec![Thresholds::default()];
        let mut origin = ClusterOrigin::new(None, port, settings.connect_timeout.origin.clone());
        let has_pool = workload.proxy == ProxyMode::Sidecar && !self.skips_inbound(server, port);
        let first = services.first().filter(|_| has_pool);
        let rule = first.and_then(|(service, number, _)| {
            let rule = self.rule_for(workload.meta.namespace(), None, self.mesh.service(*service))?;
            Some((rule, *number))
        });
        let pool = rule.and_then(|(rule, number)| rule.policy(None, number).pool);
        apply_pool(pool, spoken, &mut cluster, &mut origin);
        origin.rules = rule.map(|(rule, _)| rule.origins()).unwrap_or_default();
        (cluster, origin)
    }
}

/// What is spoken on a port: what the first service that leads to it says, else it is found out at run time.
fn spoken(services: &[(ServiceId, u16, Protocol)]) -> Protocol {
    services.first().map_or(Protocol::Auto, |(_, _, protocol)| *protocol)
}
