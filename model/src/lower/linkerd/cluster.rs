//! A Linkerd client's cluster for a service's port: peak EWMA, no limits, mutual TLS to Linkerd's proxies (`L-2`, `L-3`).

use meshproof_proxy::{
    Nanos,
    config::{Cluster, Host, LbPolicy, RequestQueue, Thresholds, TransportMatch, UpstreamProtocol},
};

use super::super::{
    ClusterOrigin, Endpoint, Lowering, Transport,
    client::Client,
    cluster::{name, protocol},
    index::container_port,
};
use crate::{Origin, Resolution, ServiceId, ServicePort, linkerd::ServiceProfile};

/// The label of hosts under which the name in their certificate stands.
const IDENTITY: &str = "linkerd-identity";

/// Linkerd's limit on opening a connection.
const CONNECT_TIMEOUT: Nanos = Nanos::from_secs(1);

/// Requests that wait for an endpoint: of what the policy controller configures, and of profiles.
const QUEUE: u32 = 100;
const PROFILE_QUEUE: u32 = 10_000;

/// When no endpoint has been ready for so long, requests fail at once.
const FAILFAST: Nanos = Nanos::from_secs(3);

impl Lowering<'_> {
    /// The cluster of a service's port.
    pub(in super::super) fn linkerd_cluster(
        &self,
        client: &Client<'_>,
        service: ServiceId,
        port: &ServicePort,
    ) -> (Cluster, ClusterOrigin) {
        let workload = self.mesh.workload(client.workload());
        let target = self.mesh.service(service);
        let number = port.number.value;
        let written = workload.linkerd.outbound_connect_timeout.as_ref();
        let connect = written.map_or(Origin::Default("L-3"), |limit| Origin::Written(limit.at.clone()));
        let mut cluster = Cluster::new(name(number, None, &target.host), Vec::new());
        let mut origin = ClusterOrigin::new(Some(service), number, connect);
        let mut identities: Vec<String> = Vec::new();
        let mut is_meshed = true;
        for &id in self.servers(service) {
            let pods = self.mesh.workload(id);
            let Some(container) = container_port(pods, port) else { continue };
            let secure = self.linkerd_transport(workload, service, number, id).value == Transport::IstioMutual;
            is_meshed &= secure;
            let identity = self.linkerd_name(pods);
            for replica in 0..pods.replicas.value {
                let address = format!("{}:{container}", self.pod_address(id, replica));
                let mut host = Host::new(format!("{}#{replica}", pods.full_name()), address);
                self.mesh.zone_of(id, replica).clone_into(&mut host.locality);
                if secure {
                    host.transport_metadata.push((IDENTITY.to_owned(), identity.clone()));
                }
                cluster.hosts.push(host);
                origin.endpoints.push(Endpoint { workload: id, replica, port: container });
            }
            if secure && !identities.contains(&identity) {
                identities.push(identity);
            }
        }
        cluster.connect_timeout = Some(written.map_or(CONNECT_TIMEOUT, |limit| limit.value));
        let limit = Some(u32::MAX);
        cluster.thresholds = vec![Thresholds {
            max_connections: limit,
            max_pending_requests: limit,
            max_requests: limit,
            max_retries: limit,
            ..Thresholds::default()
        }];
        // Between its proxies Linkerd carries HTTP/1 over HTTP/2.
        cluster.protocol = match protocol(port.protocol) {
            UpstreamProtocol::Http1 | UpstreamProtocol::Downstream
                if is_meshed && port.protocol.is_http() && !cluster.hosts.is_empty() =>
            {
                UpstreamProtocol::Http2
            }
            declared => declared,
        };
        // A pod of a headless service is dialled by its address: nothing is balanced.
        cluster.lb_policy = if target.resolution == Resolution::Passthrough {
            LbPolicy::Random
        } else {
            LbPolicy::PeakEwma { default_rtt: Nanos::from_millis(30), decay: Nanos::from_secs(10) }
        };
        // A profile takes the proxy's own queue, whose room is its environment's (`L-3`).
        let has_profile = self.profile_of(workload.meta.namespace(), service).is_some_and(ServiceProfile::decides);
        let capacity = if has_profile { PROFILE_QUEUE } else { QUEUE };
        cluster.queue = Some(RequestQueue { capacity, failfast: FAILFAST });
        cluster.transport_matches = identities
            .iter()
            .map(|identity| TransportMatch {
                name: format!("linkerd-{identity}"),
                matches: vec![(IDENTITY.to_owned(), identity.clone())],
                tls: Some(self.linkerd_tls(workload, identity)),
            })
            .collect();
        for default in [
            &mut origin.max_connections,
            &mut origin.max_pending_requests,
            &mut origin.max_requests,
            &mut origin.max_retries,
            &mut origin.max_requests_per_connection,
            &mut origin.load_balancer,
        ] {
            *default = Origin::Default("L-3");
        }
        origin.outlier_detection = Origin::Default("L-7");
        origin.max_ejection_percent = Origin::Default("L-7");
        origin.panic_threshold = Origin::Default("L-7");
        origin.tls = Origin::Default("L-2");
        (cluster, origin)
    }
}
