//! Clusters: a service's port and subset with the client's policy for it.

use meshproof_proxy::config::{
    Cluster, CommonLb, Host, LbPolicy, LeastRequest, OutlierDetection, SlowStart, SuccessRate, Thresholds,
    TransportMatch, UpstreamProtocol, UpstreamTls,
};
use meshproof_proxy::{Nanos, Percent};

use super::{
    ClusterOrigin, Endpoint, Lowering, Transport,
    client::Client,
    destination_rule::{Policy, written_tls},
    index::container_port,
    locality,
};
use crate::{
    IstioVersion, Location, Origin, Protocol, Resolution, ServiceId, ServicePort,
    gateway_api::{PolicyTarget, RetryConstraint},
    is_subset,
    istio::{self, ClientTls, ClientTlsMode, ConnectionPool, SimpleLb},
};

/// Istio's own limit where none is written: none to speak of.
const UNLIMITED: u32 = u32::MAX;

/// The name of an outbound cluster.
pub(super) fn name(port: u16, subset: Option<&str>, host: &str) -> String {
    format!("outbound|{port}|{}|{host}", subset.unwrap_or(""))
}

/// The name of a client's cluster. A waypoint's stands beside those that the same workload dials past it, so that it
/// has another name.
pub(super) fn name_for(client: &Client<'_>, port: u16, subset: Option<&str>, host: &str) -> String {
    let Some(waypoint) = client.waypoint() else { return name(port, subset, host) };
    let subset = subset.map_or_else(|| "http".to_owned(), |subset| format!("http/{subset}"));
    format!("inbound-vip|{port}|{subset}@{}/{}|{host}", waypoint.namespace, waypoint.name)
}

impl Lowering<'_> {
    /// A client's cluster for a service's port and subset.
    pub(super) fn cluster(
        &self,
        client: &Client<'_>,
        service: ServiceId,
        port: &ServicePort,
        subset: Option<&str>,
    ) -> (Cluster, ClusterOrigin) {
        if self.is_linkerd(client.workload()) && client.waypoint().is_none() {
            return self.linkerd_cluster(client, service, port);
        }
        let target = self.mesh.service(service);
        let number = port.number.value;
        let rule =
            client.has_policy().then(|| self.rule_for(client.namespace(), Some(client.labels()), target)).flatten();
        let mut policy = rule.map(|rule| rule.policy(subset, number)).unwrap_or_default();
        if client.has_policy() {
            // Blocks that are not written are the mesh's (`DR-9`).
            policy.pool = policy.pool.or(self.mesh.settings.default_connection_pool.as_ref());
            policy.outlier = policy.outlier.or(self.mesh.settings.default_outlier_detection.as_ref());
        }
        let labels = subset.and_then(|name| rule?.subset(name)).map(|subset| &subset.labels);
        let (mut hosts, mut endpoints) = self.hosts(client, service, port, labels, &policy);
        let is_weighted =
            client.has_policy() && locality::apply(self.mesh, client, target, &policy, &mut hosts, &mut endpoints);
        let mut cluster = Cluster::new(name_for(client, number, subset, &target.host), hosts);
        let mut origin = ClusterOrigin::new(Some(service), number, self.mesh.settings.connect_timeout.origin.clone());
        origin.subset = subset.map(str::to_owned);
        origin.endpoints = endpoints;
        origin.rules = rule.map(super::Merged::origins).unwrap_or_default();
        cluster.connect_timeout = Some(self.mesh.settings.connect_timeout.value);
        cluster.protocol = protocol(port.protocol);
        cluster.thresholds = vec![Thresholds::default()];
        apply_pool(policy.pool, port.protocol, &mut cluster, &mut origin);
        apply_budget(policy.retry_budget, &mut cluster, &mut origin);
        if client.has_policy() && cluster.thresholds[0].retry_budget.is_none() {
            apply_constraint(self.constraint_of(service, port), &mut cluster, &mut origin);
        }
        let version = self.settings_of(client.workload()).istio_version;
        apply_outlier(policy.outlier, version, &mut cluster, &mut origin);
        apply_balancer(&policy, &mut cluster, &mut origin);
        cluster.common_lb.locality_weighted = is_weighted;
        let is_headless = target.resolution == Resolution::Passthrough && !client.is_gateway();
        if client.has_policy() && (is_headless || cluster.lb_policy == LbPolicy::OriginalDst) {
            // The request goes to the address that was dialled: of a headless service one of its pods, as the name
            // resolves, else the service's own, behind which Kubernetes chooses. Either way the choice is random, and
            // an ejection would not change it (`HS-1`).
            cluster.lb_policy = LbPolicy::Random;
            cluster.outlier_detection = None;
            if is_headless {
                origin.load_balancer = Origin::Default("HS-1");
            }
        }
        if !client.has_policy() {
            cluster.lb_policy = LbPolicy::Random;
            origin.load_balancer = Origin::Default("K-1");
        }
        self.apply_tls(client, service, number, subset, &policy, &mut cluster, &mut origin);
        (cluster, origin)
    }

    /// The budget that a policy of Gateway API sets for retries towards a service's port; of several the oldest
    /// policy's (`G-12`).
    fn constraint_of(&self, service: ServiceId, port: &ServicePort) -> Option<&RetryConstraint> {
        let target = &self.mesh.service(service).meta;
        let is_target = |target_ref: &PolicyTarget| {
            target_ref.group.is_empty()
                && target_ref.kind == target.resource.kind
                && target_ref.name.value == target.name()
                && target_ref.section.as_ref().is_none_or(|section| section.value == port.name)
        };
        let policies = self.mesh.gateway_api.backend_traffic.iter();
        let own = policies
            .filter(|policy| policy.meta.namespace() == target.namespace() && policy.targets.iter().any(is_target));
        own.min_by_key(|policy| super::index::age(&policy.meta))?.budget.as_ref()
    }

    /// The endpoints of a service's port, in the order of workloads and replicas.
    fn hosts(
        &self,
        client: &Client<'_>,
        service: ServiceId,
        port: &ServicePort,
        labels: Option<&crate::Labels>,
        policy: &Policy<'_>,
    ) -> (Vec<Host>, Vec<Endpoint>) {
        let (mut hosts, mut endpoints) = (Vec::new(), Vec::new());
        for &workload in self.servers(service) {
            let pods = self.mesh.workload(workload);
            if labels.is_some_and(|labels| !is_subset(labels, &pods.labels)) {
                continue;
            }
            let Some(number) = container_port(pods, port) else { continue };
            let transport = self.transport(policy, service, port.number.value, workload, client.is_gateway());
            let is_istio = transport.value == Transport::IstioMutual;
            for replica in 0..pods.replicas.value {
                let address = format!("{}:{number}", self.pod_address(workload, replica));
                let mut host = Host::new(format!("{}#{replica}", pods.full_name()), address);
                let locality = pods.endpoint.locality.as_ref().map(|locality| locality.value.as_str());
                locality.unwrap_or_else(|| self.mesh.zone_of(workload, replica)).clone_into(&mut host.locality);
                // Envoy's weights begin at 1, which is also the one of endpoints that name none.
                host.weight = pods.endpoint.weight.as_ref().map_or(1, |weight| weight.value.max(1));
                if is_istio {
                    host.transport_metadata.push(("tlsMode".to_owned(), "istio".to_owned()));
                }
                hosts.push(host);
                endpoints.push(Endpoint { workload, replica, port: number });
            }
        }
        (hosts, endpoints)
    }

    #[expect(clippy::too_many_arguments, reason = "one decision over the whole cluster")]
    fn apply_tls(
        &self,
        client: &Client<'_>,
        service: ServiceId,
        port: u16,
        subset: Option<&str>,
        policy: &Policy<'_>,
        cluster: &mut Cluster,
        origin: &mut ClusterOrigin,
    ) {
        if !client.has_mtls() {
            origin.tls = Origin::Default("2.2");
            return;
        }
        let mutual = || self.istio_tls(client, service, port, subset.unwrap_or(""));
        if client.has_policy()
            && let Some((tls, mode)) = written_tls(policy)
        {
            origin.tls = Origin::Written(tls.mode.at.clone());
            let hidden = tls.credential_name.is_some() && !policy.is_selected && !client.is_gateway();
            cluster.tls = match mode {
                ClientTlsMode::Disable => None,
                ClientTlsMode::IstioMutual => Some(mutual()),
                ClientTlsMode::Simple | ClientTlsMode::Mutual => (!hidden).then(|| originated(tls, mode)),
            };
            return;
        }
        if let Some(whole) = self.whole_cluster(policy, service, client.is_gateway()) {
            cluster.tls = (whole.value == Transport::IstioMutual).then(mutual);
            origin.tls = whole.origin;
            return;
        }
        // Each endpoint's mark decides: `hosts` sets it where the pods accept Istio's mutual TLS.
        origin.tls = Origin::Default("2.2");
        let labels = vec![("tlsMode".to_owned(), "istio".to_owned())];
        cluster.transport_matches = vec![
            TransportMatch { name: "tlsMode-istio".to_owned(), matches: labels, tls: Some(mutual()) },
            TransportMatch { name: "tlsMode-disabled".to_owned(), matches: Vec::new(), tls: None },
        ];
    }
}

impl ClusterOrigin {
    /// Defaults everywhere, for a cluster without endpoints.
    pub(super) fn new(service: Option<ServiceId>, port: u16, connect_timeout: Origin) -> Self {
        Self {
            service,
            port,
            subset: None,
            endpoints: Vec::new(),
            rules: Vec::new(),
            max_connections: Origin::Default("DR-POOL"),
            max_pending_requests: Origin::Default("DR-POOL"),
            max_requests: Origin::Default("DR-POOL"),
            max_retries: Origin::Default("DR-11"),
            retry_budget: None,
            connect_timeout,
            max_requests_per_connection: Origin::Default("DR-POOL"),
            outlier_detection: Origin::Default("DR-OUTLIER"),
            max_ejection_percent: Origin::Default("DR-OUTLIER"),
            panic_threshold: Origin::Default("DR-19"),
            load_balancer: Origin::Default("DR-16"),
            tls: Origin::Default("2.2"),
        }
    }
}

/// A connection pool's limits; what is absent has Istio's defaults, which are not Envoy's.
pub(super) fn apply_pool(
    pool: Option<&ConnectionPool>,
    spoken: Protocol,
    cluster: &mut Cluster,
    origin: &mut ClusterOrigin,
) {
    let none = ConnectionPool::default();
    let pool = pool.unwrap_or(&none);
    let thresholds = &mut cluster.thresholds[0];
    let limit = |written: &Option<crate::Located<u32>>, origin: &mut Origin| {
        let written = written.as_ref().filter(|limit| limit.value > 0);
        if let Some(limit) = written {
            *origin = Origin::Written(limit.at.clone());
        }
        written.map_or(UNLIMITED, |limit| limit.value)
    };
    thresholds.max_connections = Some(limit(&pool.max_connections, &mut origin.max_connections));
    thresholds.max_pending_requests = Some(limit(&pool.http1_max_pending_requests, &mut origin.max_pending_requests));
    thresholds.max_requests = Some(limit(&pool.http2_max_requests, &mut origin.max_requests));
    thresholds.max_retries = Some(limit(&pool.max_retries, &mut origin.max_retries));
    if let Some(time) = pool.connect_timeout.as_ref().filter(|time| !time.value.is_zero()) {
        cluster.connect_timeout = Some(time.value);
        origin.connect_timeout = Origin::Written(time.at.clone());
    }
    let per_connection = pool.max_requests_per_connection.as_ref().filter(|limit| limit.value > 0);
    if let Some(limit) = per_connection {
        cluster.max_requests_per_connection = Some(limit.value);
        origin.max_requests_per_connection = Origin::Written(limit.at.clone());
    }
    cluster.idle_timeout = pool.idle_timeout.as_ref().or(pool.tcp_idle_timeout.as_ref()).map(|time| time.value);
    cluster.max_concurrent_streams = pool.max_concurrent_streams.as_ref().map(|n| n.value).filter(|n| *n > 0);
    if pool.h2_upgrade.as_ref().is_some_and(|upgrade| upgrade.value) && spoken == Protocol::Http {
        cluster.protocol = UpstreamProtocol::Http2;
    }
}

fn apply_budget(budget: Option<&istio::RetryBudget>, cluster: &mut Cluster, origin: &mut ClusterOrigin) {
    let Some(budget) = budget else { return };
    origin.retry_budget = Some(Origin::Written(budget.at.clone()));
    cluster.thresholds[0].retry_budget = Some(meshproof_proxy::config::RetryBudget {
        budget_percent: budget.percent.as_ref().map(|percent| Percent::from_ppm(percent.value)),
        min_retry_concurrency: budget.min_retry_concurrency.as_ref().map(|n| n.value),
        budget_interval: None,
    });
}

/// A rate of retries in the words of Envoy: the least number of retries a second becomes the least number at a time, as
/// Istio has it (`G-12`).
fn apply_constraint(written: Option<&RetryConstraint>, cluster: &mut Cluster, origin: &mut ClusterOrigin) {
    let Some(written) = written else { return };
    origin.retry_budget = Some(Origin::Written(written.at.clone()));
    cluster.thresholds[0].retry_budget = Some(meshproof_proxy::config::RetryBudget {
        budget_percent: Some(Percent::new(written.percent.as_ref().map_or(20, |percent| percent.value))),
        min_retry_concurrency: Some(written.min_count.as_ref().map_or(10, |count| count.value)),
        budget_interval: Some(written.interval.as_ref().map_or(Nanos::from_secs(10), |interval| interval.value)),
    });
}

/// Outlier detection as Istio translates it: thresholds of zero switch off, success rates never count.
fn apply_outlier(
    outlier: Option<&istio::OutlierDetection>,
    version: IstioVersion,
    cluster: &mut Cluster,
    origin: &mut ClusterOrigin,
) {
    let panic = |percent| CommonLb { healthy_panic_threshold: Some(Percent::new(percent)), ..CommonLb::default() };
    // Without outlier detection panic is off: pods that are not ready are sent to clients, and never used (`DR-19`).
    cluster.common_lb = panic(0);
    let Some(written) = outlier else {
        if !version.follows("DR-19") {
            cluster.common_lb = CommonLb::default();
        }
        return;
    };
    let value = |field: &Option<crate::Located<u32>>| field.as_ref().map(|field| field.value);
    let enforcing = |field: &Option<crate::Located<u32>>| value(field).map(|n| if n > 0 { 100 } else { 0 });
    let time = |field: &Option<crate::Located<Nanos>>| field.as_ref().map(|field| field.value);
    let splits = written.split_external_local_origin_errors.as_ref().is_some_and(|splits| splits.value);
    let local = value(&written.consecutive_local_origin_failures).filter(|n| splits && *n > 0);
    let max_ejection = written.max_ejection_percent.as_ref().filter(|percent| percent.value > 0);
    origin.outlier_detection = Origin::Written(written.at.clone());
    if let Some(percent) = max_ejection {
        origin.max_ejection_percent = Origin::Written(percent.at.clone());
    }
    cluster.outlier_detection = Some(OutlierDetection {
        consecutive_5xx: value(&written.consecutive_5xx_errors),
        enforcing_consecutive_5xx: enforcing(&written.consecutive_5xx_errors),
        consecutive_gateway_failure: value(&written.consecutive_gateway_errors),
        enforcing_consecutive_gateway_failure: enforcing(&written.consecutive_gateway_errors),
        consecutive_local_origin_failure: local,
        enforcing_consecutive_local_origin_failure: local.map(|_| 100),
        interval: time(&written.interval),
        base_ejection_time: time(&written.base_ejection_time),
        max_ejection_percent: max_ejection.map(|percent| percent.value),
        split_external_local_origin_errors: splits,
        success_rate: SuccessRate { enforcing: Some(0), enforcing_local_origin: Some(0), ..SuccessRate::default() },
        ..OutlierDetection::default()
    });
    if let Some(percent) = &written.min_health_percent {
        cluster.common_lb = panic(percent.value);
        origin.panic_threshold = Origin::Written(percent.at.clone());
    }
}

fn apply_balancer(policy: &Policy<'_>, cluster: &mut Cluster, origin: &mut ClusterOrigin) {
    cluster.lb_policy = LbPolicy::LeastRequest(LeastRequest::default());
    let Some(written) = policy.load_balancer else { return };
    let here = |at: &Location| Origin::Written(at.clone());
    if let Some(simple) = &written.simple {
        origin.load_balancer = here(&simple.at);
        cluster.lb_policy = match simple.value {
            SimpleLb::LeastRequest => LbPolicy::LeastRequest(LeastRequest::default()),
            SimpleLb::RoundRobin => LbPolicy::RoundRobin,
            SimpleLb::Random => LbPolicy::Random,
            SimpleLb::Passthrough => LbPolicy::OriginalDst,
        };
    }
    if let Some(hash) = &written.consistent_hash {
        origin.load_balancer = here(&hash.at);
        cluster.lb_policy = match hash.maglev {
            Some(table_size) => LbPolicy::Maglev { table_size: Some(table_size).filter(|size| *size > 0) },
            None => LbPolicy::RingHash {
                minimum_ring_size: Some(hash.minimum_ring_size.unwrap_or(1024)),
                maximum_ring_size: None,
            },
        };
    }
    let warms_up = matches!(cluster.lb_policy, LbPolicy::RoundRobin | LbPolicy::LeastRequest(_));
    if let Some(window) = written.warmup.as_ref().filter(|_| warms_up) {
        cluster.common_lb.slow_start =
            Some(SlowStart { window: window.value, aggression_milli: None, min_weight_percent: None });
    }
}

/// How a proxy speaks to a port: HTTP/2 where it is declared, what the client speaks where nothing is.
pub(super) const fn protocol(protocol: Protocol) -> UpstreamProtocol {
    match protocol {
        Protocol::Http2 | Protocol::Grpc | Protocol::GrpcWeb => UpstreamProtocol::Http2,
        Protocol::Auto => UpstreamProtocol::Downstream,
        Protocol::Http | Protocol::Tls | Protocol::Https | Protocol::Tcp | Protocol::Udp => UpstreamProtocol::Http1,
    }
}

/// TLS that a DestinationRule asks the proxy to originate. Whom it trusts is in files that are not part of the mesh:
/// the server is not verified by authority here, only by the names that the rule lists.
fn originated(tls: &ClientTls, mode: ClientTlsMode) -> UpstreamTls {
    use meshproof_proxy::config::{Identity, SanMatcher, StringMatcher, Validity};
    let own = Identity {
        ca: tls.credential_name.clone().unwrap_or_else(|| "custom".to_owned()),
        uri_sans: Vec::new(),
        dns_sans: Vec::new(),
        validity: Validity::Valid,
    };
    UpstreamTls {
        identity: (mode == ClientTlsMode::Mutual).then_some(own),
        trusted_ca: None,
        server_sans: tls
            .subject_alt_names
            .iter()
            .map(|name| SanMatcher { value: StringMatcher::exact(name), dns: !name.starts_with("spiffe://") })
            .collect(),
        sni: tls.sni.clone(),
        alpn: vec!["h2".to_owned(), "http/1.1".to_owned()],
        min_version: None,
        max_version: None,
    }
}

impl crate::Mesh {
    /// The zone in which a replica of a workload runs; empty where the placement names none.
    pub fn zone_of(&self, workload: crate::WorkloadId, replica: u32) -> &str {
        let placement = &self.behaviour.placement;
        let zone = |zones: usize| (replica as usize).checked_rem(zones).unwrap_or(0);
        let only =
            if placement.only.is_empty() { None } else { placement.only.get(&self.workload(workload).full_name()) };
        let name = match (only, placement.spread) {
            (Some(only), _) => only.get(zone(only.len())),
            (None, crate::Spread::Even) => placement.zones.get(zone(placement.zones.len())),
            (None, crate::Spread::First) => placement.zones.first(),
        };
        name.map_or("", String::as_str)
    }
}
