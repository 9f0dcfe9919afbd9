//! The inbound side of a Linkerd workload: its own mutual TLS, authorizations, rate limits (`L-9`).

use std::collections::BTreeSet;

use meshproof_proxy::{
    Nanos,
    config::{
        Cluster, Filter, FilterOverride, HeaderMatcher, HeaderValueMatcher, Host, LbPolicy, Listener, PathMatcher,
        Route, RouteConfiguration, RouteMatch, StringMatcher, Thresholds, UpstreamProtocol,
    },
};

use super::{
    super::{
        ClusterOrigin, DestinationOrigin, ListenerOrigin, Lowering, RouteOrigin, cluster::protocol, outbound::Routing,
        retry::Lowered, route::Made,
    },
    access::{self, Access, Grant},
    outbound::{made, manager},
    routes::{self, Entry},
};
use crate::{
    Origin, Protocol, Workload, WorkloadId,
    istio::MtlsMode,
    kubernetes::ProbeAction,
    linkerd::{ServerProtocol, Timeouts},
};

/// The chart's limit on opening a connection to the application.
const CONNECT_TIMEOUT: Nanos = Nanos::from_millis(100);

impl Lowering<'_> {
    /// The listener and the cluster of one port of the pods.
    pub(in super::super) fn linkerd_inbound(
        &self,
        server: WorkloadId,
        port: u16,
        services: &[(crate::ServiceId, u16, Protocol)],
    ) -> ((Cluster, ClusterOrigin), (Listener, ListenerOrigin)) {
        let workload = self.mesh.workload(server);
        let declared = services.first().map_or(Protocol::Auto, |(_, _, protocol)| *protocol);
        let rule = self.server_of(workload, port);
        let spoken = match rule.and_then(|rule| rule.protocol.as_ref()).map(|protocol| protocol.value) {
            None | Some(ServerProtocol::Unknown) => declared,
            Some(ServerProtocol::Http1) => Protocol::Http,
            Some(ServerProtocol::Http2) => Protocol::Http2,
            Some(ServerProtocol::Grpc) => Protocol::Grpc,
            Some(ServerProtocol::Opaque) => Protocol::Tcp,
            Some(ServerProtocol::Tls) => Protocol::Tls,
        };
        let mode = self.linkerd_mode(server, port);
        let mut filters = Vec::new();
        let mut policies = Vec::new();
        let access = self.linkerd_access(server, port);
        if mode.value != MtlsMode::Disable {
            filters.extend(access::filter(&access.grants));
            policies.extend(access.grants.iter().filter_map(|grant| grant.policy.clone()));
            if let Some((limit, resource, at)) = rule.and_then(|rule| self.rate_limit(rule)) {
                filters.push(limit);
                policies.push((resource, at));
            }
        }
        let name = format!("inbound|{port}||");
        let destination = DestinationOrigin {
            cluster: name.clone(),
            service: None,
            port,
            subset: None,
            at: Origin::Default("L-9"),
            weight: Origin::Default("L-9"),
            missing: None,
        };
        let (route, mut route_origin) =
            made(RouteMatch::prefix("/"), vec![(destination, 1)], &Timeouts::default(), Lowered::none("L-3"), "L-3");
        route_origin.destinations = Vec::new();
        let bound = rule.map(|rule| self.routes_of_server(rule.meta.namespace(), rule.meta.name()));
        let bound = bound.unwrap_or_default();
        let routes = match bound.as_slice() {
            [] => {
                let mut routes = if filters.is_empty() { Vec::new() } else { probes(workload, port, &route) };
                routes.push((route, route_origin));
                routes
            }
            // Requests that no route takes are answered 404.
            bound => routes::entries(bound).iter().map(|entry| self.inbound_route(entry, &route, &access)).collect(),
        };
        let mut hosts = Routing::default();
        hosts.add(format!("inbound|http|{port}"), vec!["*".to_owned()], routes);
        let listener = Listener {
            name: format!("linkerdInbound_{port}"),
            tls: self.linkerd_downstream(workload, mode.value),
            connection_manager: manager(),
            filters,
            route_config: RouteConfiguration { virtual_hosts: hosts.hosts, ..RouteConfiguration::default() },
            ..Listener::default()
        };
        let origin = ListenerOrigin {
            port,
            services: services.iter().map(|(service, _, _)| *service).collect(),
            protocol: Some(spoken),
            mode: Some(mode),
            routes: hosts.origins,
            policies,
            sni: Vec::new(),
        };
        let written = workload.linkerd.inbound_connect_timeout.as_ref();
        let connect = written.map_or(Origin::Default("L-3"), |limit| Origin::Written(limit.at.clone()));
        let app = Host::new(workload.full_name(), format!("127.0.0.1:{port}"));
        let mut cluster = Cluster::new(name, vec![app]);
        cluster.lb_policy = LbPolicy::RoundRobin;
        cluster.protocol = match protocol(spoken) {
            UpstreamProtocol::Downstream => UpstreamProtocol::Http1,
            known => known,
        };
        cluster.connect_timeout = Some(written.map_or(CONNECT_TIMEOUT, |limit| limit.value));
        let limit = Some(u32::MAX);
        cluster.thresholds = vec![Thresholds {
            max_connections: limit,
            max_pending_requests: limit,
            max_requests: limit,
            max_retries: limit,
            ..Thresholds::default()
        }];
        ((cluster, ClusterOrigin::new(None, port, connect)), (listener, origin))
    }

    /// A route of a Server: whom the Server admits, and whom policies of the route admit beside them.
    fn inbound_route(&self, entry: &Entry<'_>, to: &Route, access: &Access) -> Made {
        let mut route = Route { matches: entry.matches.clone(), ..to.clone() };
        let own = self.route_grants(entry.route);
        if !own.is_empty() && access::filter(&access.grants).is_some() {
            let grants: Vec<Grant> = access.grants.iter().chain(&own).cloned().collect();
            let filter = access::filter(&grants).and_then(|filter| match filter {
                Filter::Rbac(rbac) => Some(rbac),
                _ => None,
            });
            route.filter_overrides.push(FilterOverride::Rbac(filter));
        }
        let rule = &entry.route.rules[entry.rule];
        route.name = rule.name.as_ref().map(|name| name.value.clone()).unwrap_or_default();
        let origin = RouteOrigin {
            resource: Some(entry.route.meta.resource.clone()),
            rule: entry.rule,
            match_block: entry.block,
            route: Origin::Written(entry.block.map_or(&rule.at, |block| &rule.matches[block].at).clone()),
            ..RouteOrigin::plain("*", "L-9")
        };
        (route, origin)
    }
}

/// What the kubelet asks for on a port: it is let in whatever the policies say, as long as no route is written for the
/// port (`L-9`).
fn probes(workload: &Workload, port: u16, to: &Route) -> Vec<Made> {
    let is_here = |written: &str| match written.parse::<u16>() {
        Ok(number) => number == port,
        Err(_) => workload.ports.iter().any(|own| own.name == *written && own.number == port),
    };
    let mut known = BTreeSet::new();
    let mut made = Vec::new();
    let probes = workload.life.containers.iter().flat_map(|life| [&life.readiness, &life.liveness, &life.startup]);
    for probe in probes.flatten() {
        let ProbeAction::HttpGet { path, port } = &probe.action else { continue };
        let path = path.split('?').next().filter(|path| !path.is_empty()).unwrap_or("/");
        if !is_here(port) || !known.insert(path.to_owned()) {
            continue;
        }
        let method = HeaderMatcher {
            name: ":method".to_owned(),
            value: HeaderValueMatcher::Text(StringMatcher::exact("GET")),
            invert: false,
            treat_missing_as_empty: false,
        };
        let matches =
            RouteMatch { path: PathMatcher::Path(path.to_owned()), headers: vec![method], ..RouteMatch::prefix("/") };
        let route = Route {
            name: "probe".to_owned(),
            matches,
            filter_overrides: vec![FilterOverride::Rbac(None)],
            ..to.clone()
        };
        let origin = RouteOrigin { route: Origin::Written(probe.at.clone()), ..RouteOrigin::plain("*", "L-9") };
        made.push((route, origin));
    }
    made
}
