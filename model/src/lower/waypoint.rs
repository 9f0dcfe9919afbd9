//! Ambient mode: waypoints, and what the node's proxy sees behind them (`AB-1` to `AB-5`).

use meshproof_proxy::config::{Action, ClusterSpecifier, HeaderMutations};
use meshproof_proxy::config::{Listener, Route, RouteAction, RouteConfiguration, RouteMatch};

use super::{
    ListenerOrigin, Lowered, Lowering, RouteOrigin,
    attachment::Attachment,
    outbound::{Routing, manager},
    rbac,
};
use crate::{Labels, ServiceId};

/// A waypoint: a Gateway of the Gateway API that requests pass on their way to a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waypoint<'m> {
    /// The Gateway's namespace.
    pub namespace: &'m str,
    /// The Gateway's name.
    pub name: &'m str,
}

impl<'m> Lowering<'m> {
    /// The waypoint that requests to a service pass: the one that its labels name, else its namespace's (`AB-1`).
    pub fn waypoint_of(&self, service: ServiceId) -> Option<Waypoint<'m>> {
        let meta = &self.mesh.service(service).meta;
        let of = |labels: &'m Labels| {
            let name = labels.get("istio.io/use-waypoint")?;
            let namespace = labels.get("istio.io/use-waypoint-namespace").map_or(meta.namespace(), String::as_str);
            Some(Waypoint { namespace, name })
        };
        let own = of(&meta.labels);
        let inherited = || self.mesh.namespaces.get(meta.namespace()).and_then(|namespace| of(&namespace.labels));
        own.or_else(inherited).filter(|waypoint| waypoint.name != "none")
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
