//! Ambient mode: waypoints, and what the node's proxy sees behind them (`AB-1` to `AB-5`).

use meshproof_proxy::config::{Action, ClusterSpecifier, Config, Fault, Filter, HeaderMutations};
use meshproof_proxy::config::{Listener, Route, RouteAction, RouteConfiguration, RouteMatch};

use super::{
    ListenerOrigin, Lowered, Lowering, Provenance, RouteOrigin,
    attachment::Attachment,
    client::Client,
    outbound::{Routing, manager},
    rbac,
    wanted::Wanted,
};
use crate::{Labels, ProxyMode, ServiceId, WorkloadId, gateway_api};

/// What a waypoint is used for, on its Gateway (`AB-1`).
const WAYPOINT_FOR: &str = "istio.io/waypoint-for";

static NO_LABELS: Labels = Labels::new();

/// A waypoint: a Gateway of the Gateway API that requests pass on their way to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waypoint<'m> {
    /// The Gateway's namespace.
    pub namespace: &'m str,
    /// The Gateway's name.
    pub name: &'m str,
    /// What is known of its pods' labels.
    pub labels: &'m Labels,
}

impl<'m> Lowering<'m> {
    /// The waypoint that requests to a service pass: the one that its labels name, else its namespace's; one that is
    /// for workloads only is not passed on the way to a service (`AB-1`).
    pub fn waypoint_of(&self, service: ServiceId) -> Option<Waypoint<'m>> {
        let meta = &self.mesh.service(service).meta;
        let of = |labels: &'m Labels| {
            let name = labels.get("istio.io/use-waypoint")?;
            let namespace = labels.get("istio.io/use-waypoint-namespace").map_or(meta.namespace(), String::as_str);
            Some((namespace, name))
        };
        let own = of(&meta.labels);
        let inherited = || self.mesh.namespaces.get(meta.namespace()).and_then(|namespace| of(&namespace.labels));
        let (namespace, name) = own.or_else(inherited).filter(|(_, name)| *name != "none")?;
        let is_named =
            |gateway: &&'m gateway_api::Gateway| gateway.meta.namespace() == namespace && gateway.meta.name() == name;
        let gateway = self.mesh.gateway_api.gateways.iter().find(is_named);
        let purpose = gateway.and_then(|gateway| gateway.meta.labels.get(WAYPOINT_FOR)).map(String::as_str);
        let labels = gateway.map_or(&NO_LABELS, |gateway| &gateway.infrastructure_labels);
        matches!(purpose, None | Some("service" | "all")).then_some(Waypoint { namespace, name, labels })
    }

    /// The waypoint that a client's requests to a service's port pass: those of ambient pods where HTTP is spoken;
    /// sidecars and gateways go past it (`AB-4`).
    pub fn waypoint_for(&self, client: WorkloadId, service: ServiceId, port: u16) -> Option<Waypoint<'m>> {
        let is_http = self.mesh.service(service).port(port).is_some_and(|port| port.protocol.is_http());
        let is_ambient = self.mesh.workload(client).proxy == ProxyMode::Ambient;
        self.waypoint_of(service).filter(|_| is_ambient && is_http)
    }

    /// What a waypoint makes of one client's requests to a service's port, as if it ran beside the client (`AB-5`).
    pub(super) fn through_waypoint(&self, client: Client<'_>, service: ServiceId, port: u16) -> Lowered {
        let mut wanted = Wanted::new(self, &client);
        let mut hosts = Routing::default();
        wanted.service_host(service, port, &mut hosts);
        let listener = Listener {
            name: format!("inbound-vip|{port}|http|{}", self.mesh.service(service).host),
            connection_manager: manager(&self.mesh.settings),
            filters: vec![Filter::Fault(Fault::default())],
            route_config: RouteConfiguration { virtual_hosts: hosts.hosts, ..RouteConfiguration::default() },
            ..Listener::default()
        };
        let protocol = self.mesh.service(service).port(port).map(|port| port.protocol);
        let origin = ListenerOrigin {
            port,
            services: vec![service],
            protocol,
            routes: hosts.origins,
            ..ListenerOrigin::default()
        };
        let (clusters, origins) = wanted.finish();
        Lowered {
            config: Config { listeners: vec![listener], clusters, zone: None },
            provenance: Provenance { listeners: vec![origin], clusters: origins },
        }
    }

    /// The name in a waypoint's certificate.
    pub fn spiffe_of_waypoint(&self, waypoint: Waypoint<'_>) -> String {
        let domain = &self.mesh.settings.trust_domain.value;
        format!("spiffe://{domain}/ns/{}/sa/{}", waypoint.namespace, waypoint.name)
    }

    /// A waypoint's access control for a service: policies with targets only (`AB-4`).
    pub fn waypoint_access(&self, waypoint: Waypoint<'m>, service: ServiceId, port: u16) -> Lowered {
        let target = self.mesh.service(service);
        let attachment = Attachment::of_waypoint(self, waypoint.namespace, waypoint.name, Some(target));
        let is_tcp = target.port(port).is_some_and(|port| !port.protocol.is_http());
        let access = rbac::lower(self, &attachment, rbac::Seen::by_proxy(is_tcp));
        let route = Route {
            name: "default".to_owned(),
            matches: RouteMatch::prefix("/"),
            action: Action::Forward(Box::new(RouteAction::to(ClusterSpecifier::Cluster(target.host.clone())))),
            headers: HeaderMutations::default(),
            filter_overrides: Vec::new(),
        };
        let mut hosts = Routing::default();
        hosts.add(target.host.clone(), vec!["*".to_owned()], vec![(route, RouteOrigin::plain("*", "AB-5"))]);
        let mut lowered = Lowered::default();
        lowered.config.listeners.push(Listener {
            name: format!("waypoint_{}_{port}", target.host),
            connection_manager: manager(&self.mesh.settings),
            filters: access.filters,
            route_config: RouteConfiguration { virtual_hosts: hosts.hosts, ..RouteConfiguration::default() },
            ..Listener::default()
        });
        lowered.provenance.listeners.push(ListenerOrigin {
            port,
            services: vec![service],
            routes: hosts.origins,
            policies: access.policies,
            ..ListenerOrigin::default()
        });
        lowered
    }
}
