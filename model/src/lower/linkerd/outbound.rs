//! The outbound side of a Linkerd workload: a listener for each service and port, since Linkerd goes by the address that
//! was dialled and not by the authority.

use meshproof_proxy::{
    Nanos,
    config::{
        Action, ClusterSpecifier, ConnectionManager, FailureAccrual, HeaderMutations, LbPolicy, Listener, Route,
        RouteAction, RouteConfiguration, RouteMatch, WeightedCluster,
    },
};

use super::{
    super::{
        DestinationOrigin, ListenerOrigin, Lowering, RouteOrigin, outbound::Routing, retry, route::Made, wanted::Wanted,
    },
    retry::of_route,
};
use crate::{
    Location, Origin, Protocol, Resolution, Service, ServiceId,
    linkerd::{RoutePolicy, Timeouts, TrafficSplit},
};

impl Wanted<'_, '_> {
    /// The listener of one service's port.
    pub(in super::super) fn linkerd_listener(&mut self, service: ServiceId, port: u16) -> (Listener, ListenerOrigin) {
        let lowering = self.lowering;
        let target = lowering.mesh.service(service);
        let protocol = target.port(port).map_or(Protocol::Tcp, |port| port.protocol);
        let workload = lowering.mesh.workload(self.client.workload());
        let profile = lowering.profile_of(self.client.namespace(), service);
        let is_opaque = |known: &crate::linkerd::ServiceProfile| known.opaque_ports.contains(&port);
        let carries_http = protocol.is_http() && !target.linkerd.is_opaque(port) && !profile.is_some_and(is_opaque);
        let mut routes = if workload.linkerd.skips_outbound(port).is_some() {
            vec![self.past_the_proxy(service, port)]
        } else if let Some(profile) = profile.filter(|profile| carries_http && profile.decides()) {
            self.profile_routes(profile, service, port)
        } else if carries_http {
            self.policy_routes(service, port)
        } else {
            let destinations = self.backends(service, port);
            vec![made(RouteMatch::prefix(""), destinations, &Timeouts::default(), retry::Lowered::none("L-3"), "L-3")]
        };
        for (_, origin) in &mut routes {
            origin.host.clone_from(&target.host);
        }
        let mut hosts = Routing::default();
        hosts.add(format!("{}:{port}", target.host), vec!["*".to_owned()], routes);
        let listener = Listener {
            name: format!("{}_{port}", target.host),
            connection_manager: manager(),
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

    /// Requests that an annotation sends past the proxy: Kubernetes chooses the pod, and nothing else is done.
    fn past_the_proxy(&mut self, service: ServiceId, port: u16) -> Made {
        let destination = self.service(service, port);
        self.with_cluster(&destination.cluster, |cluster, origin| {
            cluster.lb_policy = LbPolicy::Random;
            cluster.transport_matches = Vec::new();
            for host in &mut cluster.hosts {
                host.transport_metadata = Vec::new();
            }
            origin.load_balancer = Origin::Default("K-1");
        });
        let destinations = vec![(destination, 1)];
        made(RouteMatch::prefix(""), destinations, &Timeouts::default(), retry::Lowered::none("L-1"), "L-1")
    }

    /// Routes of a service without a profile that decides (`L-4`): the annotations' retries, timeouts and breaker.
    fn policy_routes(&mut self, service: ServiceId, port: u16) -> Vec<Made> {
        let target = self.lowering.mesh.service(service);
        let mut policy = self.lowering.annotated(target);
        if is_headless(target) {
            policy = RoutePolicy::default();
        }
        let routes = self.api_routes(service, port, &policy);
        if !routes.is_empty() {
            return routes;
        }
        let destinations = self.backends(service, port);
        self.break_circuits(&policy, &destinations);
        let retries = of_route(policy.retry.as_ref());
        vec![made(RouteMatch::prefix("/"), destinations, &policy.timeouts, retries, "L-3")]
    }

    /// The breaker of a service's annotations, on every cluster that its requests go to (`L-7`).
    pub(super) fn break_circuits(&mut self, policy: &RoutePolicy, destinations: &[(DestinationOrigin, u32)]) {
        let Some(written) = &policy.failure_accrual else { return };
        let breaker = FailureAccrual {
            max_failures: written.max_failures.as_ref().map_or(7, |count| count.value),
            min_penalty: written.min_penalty.as_ref().map_or(Nanos::from_secs(1), |limit| limit.value),
            max_penalty: written.max_penalty.as_ref().map_or(Nanos::from_secs(60), |limit| limit.value),
            jitter_ratio_milli: written.jitter_ratio_milli.as_ref().map_or(500, |ratio| ratio.value),
        };
        for (destination, _) in destinations {
            self.with_cluster(&destination.cluster, |cluster, origin| {
                cluster.failure_accrual = Some(breaker);
                origin.outlier_detection = Origin::Written(written.at.clone());
            });
        }
    }

    /// The service itself, or the backends of a TrafficSplit (`L-8`).
    fn backends(&mut self, service: ServiceId, port: u16) -> Vec<(DestinationOrigin, u32)> {
        let mesh = self.lowering.mesh;
        let target = mesh.service(service);
        let own = target.meta.namespace();
        let splits = |split: &&TrafficSplit| {
            split.meta.namespace() == own
                && (split.service.value == target.meta.name() || split.service.value == target.host)
        };
        let split = mesh.linkerd.traffic_splits.iter().find(splits);
        let Some(split) = split.filter(|split| split.backends.iter().any(|(_, weight)| weight.value > 0)) else {
            return vec![(self.service(service, port), 1)];
        };
        let mut destinations = Vec::new();
        for (name, weight) in split.backends.iter().filter(|(_, weight)| weight.value > 0) {
            let found = mesh.find_service(own, &name.value);
            let host = found.map_or_else(
                || format!("{}.{own}.svc.{}", name.value, mesh.domain()),
                |id| mesh.service(id).host.clone(),
            );
            let (at, share) = (Origin::Written(name.at.clone()), Origin::Written(weight.at.clone()));
            destinations.push((self.want(&host, found, port, None, at, share), weight.value));
        }
        destinations
    }
}

fn is_headless(service: &Service) -> bool {
    service.resolution == Resolution::Passthrough
}

/// A route to these destinations, by weight where there are several.
pub(super) fn made(
    matches: RouteMatch,
    destinations: Vec<(DestinationOrigin, u32)>,
    timeouts: &Timeouts,
    retries: retry::Lowered,
    rule: &'static str,
) -> Made {
    let specifier = match destinations.as_slice() {
        [(only, _)] => ClusterSpecifier::Cluster(only.cluster.clone()),
        several => ClusterSpecifier::Weighted(
            several
                .iter()
                .map(|(destination, weight)| WeightedCluster {
                    name: destination.cluster.clone(),
                    weight: *weight,
                    headers: HeaderMutations::default(),
                })
                .collect(),
        ),
    };
    let mut action = RouteAction::to(specifier);
    let (timeout, timeout_at) = limit(timeouts);
    action.timeout = Some(timeout);
    action.idle_timeout = timeouts.idle.as_ref().map(|idle| idle.value);
    action.retry = retries.policy;
    let origin = RouteOrigin {
        timeout: timeout_at.map_or(Origin::Default(rule), |at| Origin::Written(at.clone())),
        retries: retries.retries,
        attempts: retries.attempts,
        retry_on: retries.retry_on,
        per_try_timeout: retries.per_try_timeout,
        back_off: retries.back_off,
        destinations: destinations.into_iter().map(|(destination, _)| destination).collect(),
        ..RouteOrigin::plain("*", rule)
    };
    let route = Route {
        name: "default".to_owned(),
        matches,
        action: Action::Forward(Box::new(action)),
        headers: HeaderMutations::default(),
        filter_overrides: Vec::new(),
    };
    (route, origin)
}

/// The shorter of the limits on the request and on the response; requests are sent at once here, so that both begin
/// together.
fn limit(timeouts: &Timeouts) -> (Nanos, Option<&Location>) {
    let written = [timeouts.request.as_ref(), timeouts.response.as_ref()];
    let shortest = written.into_iter().flatten().min_by_key(|limit| limit.value);
    shortest.map_or((Nanos::ZERO, None), |limit| (limit.value, Some(&limit.at)))
}

/// Linkerd reads paths as they come, and lets streams idle.
pub(super) fn manager() -> ConnectionManager {
    ConnectionManager { stream_idle_timeout: Some(Nanos::ZERO), ..ConnectionManager::default() }
}

impl Lowering<'_> {
    /// Whether a workload's proxy is Linkerd's.
    pub(in super::super) fn is_linkerd(&self, workload: crate::WorkloadId) -> bool {
        self.mesh.workload(workload).proxy == crate::ProxyMode::Linkerd
    }
}
