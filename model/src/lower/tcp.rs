//! Ports on which HTTP rules have no effect: one listener for a service, no timeouts, no retries (`RT-22`).

use meshproof_proxy::{
    Nanos,
    config::{
        Action, ClusterSpecifier, HeaderMutations, Listener, Route, RouteAction, RouteConfiguration, RouteMatch,
        WeightedCluster,
    },
};

use super::{
    DestinationOrigin, ListenerOrigin, RouteOrigin,
    delegate::ConnectionRule,
    outbound::{Routing, manager},
    route::{Made, shares},
    route_match::Scope,
    wanted::Wanted,
};
use crate::{Origin, Protocol, ServiceId, complete_gateway, is_subset, istio::L4Match};

impl Wanted<'_, '_> {
    /// One listener for one service's port, whatever the authority of a request.
    pub(super) fn plain_listener(
        &mut self,
        port: u16,
        protocol: Protocol,
        service: ServiceId,
    ) -> (Listener, ListenerOrigin) {
        let host = self.lowering.mesh.service(service).host.clone();
        let scope = Scope { client: self.client, port, gateway: "mesh" };
        let mut hosts = Routing::default();
        let has_policy = self.client.has_policy();
        let is_tls = matches!(protocol, Protocol::Tls | Protocol::Https);
        if !(has_policy && is_tls && self.by_name(&host, &scope, &mut hosts)) {
            let split = (has_policy && !is_tls).then(|| self.split(&host, &scope)).flatten();
            let route = split.unwrap_or_else(|| {
                let destination = self.service(service, port);
                let origin = RouteOrigin { destinations: vec![destination], ..RouteOrigin::plain(&host, "VS-12") };
                connection_route(origin, &[])
            });
            hosts.add(format!("{host}:{port}"), vec!["*".to_owned()], vec![route]);
        }
        let listener = Listener {
            name: format!("{host}_{port}"),
            connection_manager: manager(&self.lowering.mesh.settings),
            route_config: RouteConfiguration { virtual_hosts: hosts.hosts, ..RouteConfiguration::default() },
            ..Listener::default()
        };
        let origin = ListenerOrigin {
            port,
            services: vec![service],
            protocol: Some(protocol),
            routes: hosts.origins,
            ..ListenerOrigin::default()
        };
        (listener, origin)
    }

    /// The first rule of a VirtualService for connections to a host.
    fn split(&mut self, host: &str, scope: &Scope<'_>) -> Option<Made> {
        let candidates = self.lowering.routes_for(host, self.client);
        candidates.into_iter().find_map(|resolved| {
            let namespace = resolved.meta.namespace();
            let admitted = |rule: &&ConnectionRule<'_>| {
                let matches = &rule.written.matches;
                matches.is_empty() || matches.iter().any(|block| admits(block, scope, namespace))
            };
            self.connection_rule(resolved.tcp.iter().find(admitted)?, scope.port, host)
        })
    }

    /// Rules for connections that are passed through with TLS, by the name that they ask for: every rule for this
    /// client, the first one of a name. Where there is one, a name without a rule leads nowhere. Says whether there is.
    fn by_name(&mut self, host: &str, scope: &Scope<'_>, hosts: &mut Routing) -> bool {
        let mut has_rule = false;
        for resolved in self.lowering.routes_for(host, self.client) {
            let namespace = resolved.meta.namespace();
            for rule in &resolved.tls {
                for block in rule.written.matches.iter().filter(|block| admits(block, scope, namespace)) {
                    has_rule = true;
                    let names = block.sni_hosts.iter().map(|name| name.value.to_ascii_lowercase()).collect();
                    let made = self.connection_rule(rule, scope.port, host);
                    hosts.add(
                        format!("{host}:{}:{}", scope.port, hosts.hosts.len()),
                        names,
                        made.into_iter().collect(),
                    );
                }
            }
        }
        has_rule
    }

    /// A rule for connections; `None` where nothing has traffic.
    pub(super) fn connection_rule(&mut self, rule: &ConnectionRule<'_>, port: u16, host: &str) -> Option<Made> {
        let (written, beyond) = (rule.written.as_ref(), rule.beyond.as_ref());
        let shares = shares(&written.route, beyond);
        let destinations = self.destinations(&shares, beyond, &rule.resource.namespace, port);
        if destinations.is_empty() {
            return None;
        }
        let weights: Vec<u32> = if shares.len() > 1 || written.route.len() > 1 {
            shares.iter().map(|share| share.weight).collect()
        } else {
            Vec::new()
        };
        let origin = RouteOrigin {
            resource: Some(rule.resource.clone()),
            rule: rule.number,
            route: Origin::Written(written.at.clone()),
            destinations,
            ..RouteOrigin::plain(host, "RT-22")
        };
        Some(connection_route(origin, &weights))
    }
}

/// Whether a block is for this proxy.
pub(super) fn admits(block: &L4Match, scope: &Scope<'_>, namespace: &str) -> bool {
    if block.port.as_ref().is_some_and(|port| port.value != 0 && port.value != scope.port) {
        return false;
    }
    if !block.gateways.is_empty() {
        return block.gateways.iter().any(|name| complete_gateway(&name.value, namespace) == scope.gateway);
    }
    is_subset(&block.source_labels, scope.client.labels())
        && block.source_namespace.as_ref().is_none_or(|wanted| wanted.is_empty() || wanted == scope.client.namespace())
}

/// A route for everything, without timeout and retries.
fn connection_route(origin: RouteOrigin, weights: &[u32]) -> Made {
    let cluster = |destination: &DestinationOrigin| destination.cluster.clone();
    let specifier = match (origin.destinations.as_slice(), weights) {
        ([only], []) => ClusterSpecifier::Cluster(cluster(only)),
        (several, weights) => ClusterSpecifier::Weighted(
            several
                .iter()
                .zip(weights)
                .map(|(destination, weight)| WeightedCluster {
                    name: cluster(destination),
                    weight: *weight,
                    headers: HeaderMutations::default(),
                })
                .collect(),
        ),
    };
    let mut action = RouteAction::to(specifier);
    action.timeout = Some(Nanos::ZERO);
    action.max_grpc_timeout = Some(Nanos::ZERO);
    let route = Route {
        name: String::new(),
        matches: RouteMatch::prefix(""),
        action: Action::Forward(Box::new(action)),
        headers: HeaderMutations::default(),
        filter_overrides: Vec::new(),
    };
    (route, origin)
}
