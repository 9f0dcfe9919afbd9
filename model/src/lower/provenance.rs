//! Where each value of a lowered configuration comes from.

use meshproof_proxy::config::Config;

use crate::istio::MtlsMode;
use crate::{Location, Origin, Protocol, ResourceRef, ServiceId, Sourced, WorkloadId, host_covers};

/// A proxy's configuration and where its values come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Lowered {
    /// What the proxy is told.
    pub config: Config,
    /// Why.
    pub provenance: Provenance,
}

impl Lowered {
    /// Adds the listeners of another configuration, and those of its clusters that are not there yet.
    pub(super) fn add(&mut self, other: Self) {
        self.config.listeners.extend(other.config.listeners);
        self.provenance.listeners.extend(other.provenance.listeners);
        for (cluster, origin) in other.config.clusters.into_iter().zip(other.provenance.clusters) {
            if self.config.clusters.iter().all(|known| known.name != cluster.name) {
                self.config.clusters.push(cluster);
                self.provenance.clusters.push(origin);
            }
        }
    }
}

/// Where the values of a [`Config`] come from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Provenance {
    /// Parallel to [`Config::listeners`].
    pub listeners: Vec<ListenerOrigin>,
    /// Parallel to [`Config::clusters`].
    pub clusters: Vec<ClusterOrigin>,
}

impl Provenance {
    /// The listener that takes what is sent to a service's port; an index into [`Config::listeners`].
    pub fn listener(&self, service: ServiceId, port: u16) -> Option<usize> {
        let mut of_port = self.listeners.iter().enumerate().filter(|(_, listener)| listener.port == port);
        of_port.find(|(_, listener)| listener.services.contains(&service)).map(|(index, _)| index)
    }

    /// The listener of a gateway that takes what arrives on a port, as HTTP or as a connection; an index into
    /// [`Config::listeners`]. Of a client that names a host over TLS, the one with the most specific name for it
    /// counts.
    pub fn gateway_listener(&self, port: u16, sni: Option<&str>, is_connection: bool) -> Option<usize> {
        let of_port = || self.listeners.iter().enumerate().filter(|(_, listener)| listener.port == port);
        let speaks_http = |listener: &ListenerOrigin| listener.protocol.is_none_or(Protocol::is_http);
        let fits = |listener: &ListenerOrigin| speaks_http(listener) != is_connection;
        let named = sni.filter(|_| !is_connection).and_then(|name| {
            let best = |listener: &ListenerOrigin| {
                let covering = listener.sni.iter().filter(|pattern| host_covers(pattern, name));
                covering.map(|pattern| (!pattern.starts_with('*'), pattern.len())).max()
            };
            let ranked = of_port().filter_map(|(index, listener)| Some((best(listener)?, index)));
            ranked.max_by_key(|(rank, index)| (*rank, std::cmp::Reverse(*index))).map(|(_, index)| index)
        });
        let mut shared = of_port().filter(|(_, listener)| listener.sni.is_empty());
        named
            .or_else(|| shared.clone().find(|(_, listener)| fits(listener)).map(|(index, _)| index))
            .or_else(|| shared.next().map(|(index, _)| index))
    }
}

/// Where a listener comes from.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ListenerOrigin {
    /// The port: the one that is dialled, of a gateway's server, or of the container.
    pub port: u16,
    /// Services that are dialled through it (outbound), or that lead to it (inbound).
    pub services: Vec<ServiceId>,
    /// The names of a gateway's clients for whom it is, where they name a host over TLS; empty: all others.
    pub sni: Vec<String>,
    /// What is spoken; `None`: several protocols, by virtual host.
    pub protocol: Option<Protocol>,
    /// What it accepts; `None` for outbound listeners.
    pub mode: Option<Sourced<MtlsMode>>,
    /// By [`RouteId`](meshproof_proxy::RouteId): counted over all virtual hosts in order.
    pub routes: Vec<RouteOrigin>,
    /// Policies behind the access control filters, in the order of the filters' policies.
    pub policies: Vec<(ResourceRef, Location)>,
}

/// Where the values of a route come from.
#[derive(Clone, Debug, PartialEq)]
pub struct RouteOrigin {
    /// The object; `None`: the default route.
    pub resource: Option<ResourceRef>,
    /// Which of its rules, from 0.
    pub rule: usize,
    /// Which match block of the rule; `None`: the rule has none.
    pub match_block: Option<usize>,
    /// The rule's name, where it has one.
    pub name: Option<String>,
    /// The host whose virtual host it stands in.
    pub host: String,
    /// The rule itself.
    pub route: Origin,
    /// The limit on the whole response.
    pub timeout: Origin,
    /// The retry policy as a whole.
    pub retries: Origin,
    /// Tries after the first.
    pub attempts: Origin,
    /// Conditions.
    pub retry_on: Origin,
    /// The limit on one try.
    pub per_try_timeout: Origin,
    /// The first interval of the back-off.
    pub back_off: Origin,
    /// Delays and aborts, where there are any.
    pub fault: Option<Origin>,
    /// The destinations, in the order of the weighted clusters; one for a single cluster.
    pub destinations: Vec<DestinationOrigin>,
    /// Where copies go, in the order of the mirrors.
    pub mirrors: Vec<DestinationOrigin>,
    /// Why the proxy answers 500 itself; `None`: it does what the rule says (`G-5`, `G-8`).
    pub invalid: Option<Invalid>,
}

/// Why a rule of a route is answered 500.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Invalid {
    /// No backend has a weight (`G-5`).
    NoBackend,
    /// A filter that nobody is known to carry out (`G-8`): its type, or the kind of the extension.
    Filter(String),
}

/// Where a destination of a route comes from, existing or not.
#[derive(Clone, Debug, PartialEq)]
pub struct DestinationOrigin {
    /// The name of its cluster.
    pub cluster: String,
    /// The service, if there is one of that host.
    pub service: Option<ServiceId>,
    /// The service's port.
    pub port: u16,
    /// The subset.
    pub subset: Option<String>,
    /// Where it is written.
    pub at: Origin,
    /// Its weight.
    pub weight: Origin,
    /// Why the cluster does not exist, if it does not (`RT-8`).
    pub missing: Option<Missing>,
}

/// Why a destination's cluster does not exist (`RT-8`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Missing {
    /// No service of that host, or it is not visible.
    Host,
    /// The service has no such port.
    Port,
    /// The client's DestinationRule has no such subset.
    Subset,
    /// It is in another namespace, and no ReferenceGrant there lets the route refer to it (`G-5`).
    Grant,
    /// It is no kind of backend that is known, or one of its filters is not (`G-5`, `G-8`).
    Kind,
}

/// Where the values of a cluster come from.
#[derive(Clone, Debug, PartialEq)]
pub struct ClusterOrigin {
    /// The service; `None` for traffic that passes through.
    pub service: Option<ServiceId>,
    /// The service's port; of an inbound cluster the container's.
    pub port: u16,
    /// The subset.
    pub subset: Option<String>,
    /// Parallel to the cluster's hosts; empty for the application behind a server's own proxy.
    pub endpoints: Vec<Endpoint>,
    /// DestinationRules that were merged into the one that counts (`DR-1`, `DR-2`).
    pub rules: Vec<(ResourceRef, Location)>,
    /// The limit on connections.
    pub max_connections: Origin,
    /// The limit on waiting requests.
    pub max_pending_requests: Origin,
    /// The limit on requests.
    pub max_requests: Origin,
    /// The limit on concurrent retries.
    pub max_retries: Origin,
    /// The retry budget, where there is one.
    pub retry_budget: Option<Origin>,
    /// The limit on opening a connection.
    pub connect_timeout: Origin,
    /// Requests on one connection.
    pub max_requests_per_connection: Origin,
    /// Outlier detection as a whole.
    pub outlier_detection: Origin,
    /// How much of the cluster may be ejected.
    pub max_ejection_percent: Origin,
    /// The panic threshold.
    pub panic_threshold: Origin,
    /// The balancer.
    pub load_balancer: Origin,
    /// TLS.
    pub tls: Origin,
}

/// One pod behind a service's port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Whose pod.
    pub workload: WorkloadId,
    /// Which of its pods, from 0.
    pub replica: u32,
    /// The container's port.
    pub port: u16,
}

/// How a client reaches an endpoint (`11.5`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Transport {
    /// Without TLS.
    Plaintext,
    /// The mesh's own mutual TLS: Istio's, or Linkerd's between its proxies (`L-2`).
    IstioMutual,
    /// TLS that the proxy originates by a DestinationRule.
    Tls,
}
