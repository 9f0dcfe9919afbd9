//! From a mesh to the graph of its calls: the only place that reads lowered configurations for the load and time
//! properties.

use std::collections::BTreeMap;

use meshproof_model::{
    Call as MeshCall, CallOrigin, Caller, Calls, Distribution, Entry, ListenerOrigin, Lowered, Lowering, Mesh, Nanos,
    Origin, ProxyMode, RouteOrigin, ServiceId, Share, Subject, WorkloadId,
};
use meshproof_proxy::config::{Action, ClusterSpecifier, RetryPolicy, RouteAction, Thresholds, VirtualHost};

use crate::{
    graph::{Arm, Call, Graph, Limit, Node, NodeKind, OwnTime, Retry, Target, Way},
    route_match::{Candidate, KnownRequest, candidates},
};

/// The graph of a mesh's calls, each with the policies of its caller's proxy and of its callee's.
pub(crate) fn extract(mesh: &Mesh) -> Graph {
    let calls = mesh.calls();
    let mut extraction = Extraction {
        mesh,
        lowering: Lowering::new(mesh),
        inbound: BTreeMap::new(),
        gateways: BTreeMap::new(),
        gateway_nodes: BTreeMap::new(),
        graph: Graph {
            nodes: mesh.workload_ids().map(|id| workload_node(mesh, id)).collect(),
            services: mesh.services.iter().map(meshproof_model::Service::full_name).collect(),
            entries: Vec::new(),
        },
    };
    for workload in mesh.workload_ids() {
        let stages = extraction.stages(&calls, Caller::Workload(workload), Some(workload));
        extraction.graph.nodes[workload.index()].stages = stages;
    }
    for entry in &calls.entries {
        extraction.entry(&calls, *entry);
    }
    extraction.graph
}

struct Extraction<'a> {
    mesh: &'a Mesh,
    lowering: Lowering<'a>,
    inbound: BTreeMap<WorkloadId, Lowered>,
    gateways: BTreeMap<WorkloadId, Lowered>,
    gateway_nodes: BTreeMap<(WorkloadId, u16, KnownRequest), usize>,
    graph: Graph,
}

fn workload_node(mesh: &Mesh, id: WorkloadId) -> Node {
    let name = mesh.workload(id).full_name();
    let behaviour = mesh.behaviour.workloads.get(&name);
    let own = behaviour.map_or(OwnTime::Unknown, |known| OwnTime::AtMost(longest(&known.service_time)));
    let cancels = behaviour.is_some_and(|known| known.cancels_abandoned_work);
    let obeys = behaviour.is_some_and(|known| known.obeys_deadlines);
    Node { name, kind: NodeKind::Workload, own, cancels, obeys, stages: Vec::new() }
}

/// The greatest value of a distribution, or its 99th percentile where it has none (assumption A6).
fn longest(time: &Distribution) -> Nanos {
    match time {
        Distribution::LogNormal { p99, .. } => *p99,
        // ln 100 = 4.60517…, rounded up.
        Distribution::Exponential { mean } => Nanos::new(mean.get().saturating_mul(460_518) / 100_000),
        Distribution::Gamma { mean, shape } => longest_gamma(*mean, *shape),
        Distribution::Constant(value) => *value,
        Distribution::Uniform { max, .. } => *max,
        Distribution::Bimodal { .. } | Distribution::Quantiles(_) => time.max().unwrap_or(Nanos::ZERO),
    }
}

/// An upper bound of the 99th percentile of a gamma distribution: that of shape 1 and the same scale, and at least that
/// of shape 1 and the same mean. Of one scale it grows with the shape, of one mean it falls.
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "a bound, rounded up; a float beyond the range becomes the end of it"
)]
fn longest_gamma(mean: Nanos, shape: f64) -> Nanos {
    Nanos::new((mean.get() as f64 * 4.605_18 / shape.min(1.0)) as u64)
}

impl Extraction<'_> {
    /// Adds a node at which requests begin.
    fn entry(&mut self, calls: &Calls, entry: Entry) {
        let (name, kind, stages) = match entry {
            Entry::Client(client) => {
                let name = self.mesh.behaviour.clients.get_index(client).map_or("", |(name, _)| name.as_str());
                let stages = self.stages(calls, Caller::Client(client), self.mesh.client_workload(client));
                // A client makes one of its requests, not all of them.
                let ways = stages.into_iter().flatten().fold(Vec::<Call>::new(), merge_classes);
                (name.to_owned(), NodeKind::Client, vec![ways])
            }
            Entry::Gateway(workload) => {
                let any = KnownRequest {
                    method: "GET".to_owned(),
                    path: "/".to_owned(),
                    open: true,
                    ..KnownRequest::default()
                };
                let lowered = self.gateway(workload);
                let ports: Vec<u16> = lowered.provenance.listeners.iter().map(|listener| listener.port).collect();
                let services = self.mesh.service_ids().filter(|id| self.lowering.workloads_of(*id).contains(&workload));
                let service = services.collect::<Vec<_>>().first().copied();
                let ways = ports.into_iter().map(|port| {
                    let node = self.gateway_node(workload, port, &any);
                    let arms = vec![Arm {
                        service: service.map(ServiceId::index),
                        subset: None,
                        capped: false,
                        targets: vec![Target { node, inbound: Retry::none("2.2") }],
                    }];
                    direct(arms)
                });
                let call = once(None, true, ways.collect());
                ("entry".to_owned(), NodeKind::Entry, vec![vec![call]])
            }
            Entry::Service(service) => {
                let port = self.mesh.service(service).ports.first().map_or(0, |port| port.number.value);
                let request = KnownRequest {
                    open: true,
                    method: "GET".to_owned(),
                    path: "/".to_owned(),
                    ..KnownRequest::default()
                };
                let arm = self.service_arm(service, port, &request);
                let call = once(Some((service.index(), port)), true, vec![direct(vec![arm])]);
                ("entry".to_owned(), NodeKind::Entry, vec![vec![call]])
            }
        };
        self.graph.entries.push(self.graph.nodes.len());
        self.graph.nodes.push(Node { name, kind, own: OwnTime::Unknown, cancels: false, obeys: false, stages });
    }

    /// The calls of a caller by stage. `proxy` is the workload whose proxy carries them; `None`: nobody's.
    fn stages(&mut self, calls: &Calls, caller: Caller, proxy: Option<WorkloadId>) -> Vec<Vec<Call>> {
        let own: Vec<&MeshCall> = calls
            .of(caller)
            .map(|(_, call)| call)
            .filter(|call| call.times > 0 && call.share != Share::from_ppm(0))
            .collect();
        let Some(last) = own.iter().map(|call| call.stage).max() else { return Vec::new() };
        let to: Vec<(ServiceId, u16)> = own.iter().map(|call| (call.to, call.port)).collect();
        let lowered = proxy
            .filter(|id| self.mesh.workload(*id).proxy != ProxyMode::None)
            .map(|id| self.lowering.outbound(id, 0, &to));
        let own_tries = match caller {
            Caller::Client(client) => self.own_tries(client),
            Caller::Workload(_) => 1,
        };
        (0..=last)
            .map(|stage| {
                let of_stage = own.iter().filter(|call| call.stage == stage);
                of_stage
                    .map(|call| {
                        let inferred = matches!(call.origin, CallOrigin::Inferred(_));
                        let request = KnownRequest {
                            authority: Some(call.host.clone()),
                            method: call.method.clone(),
                            path: call.path.clone(),
                            open: inferred,
                            headers: call.headers.clone(),
                        };
                        let ways = self.ways(lowered.as_ref(), call.to, call.port, &request);
                        Call {
                            dials: Some((call.to.index(), call.port)),
                            times: call.times.into(),
                            share_ppm: call.share.ppm(),
                            own_tries,
                            inferred,
                            optional: call.optional,
                            ways,
                        }
                    })
                    .collect()
            })
            .collect()
    }

    fn own_tries(&self, client: usize) -> u64 {
        let behaviour = self.mesh.behaviour.clients.get_index(client).map(|(_, behaviour)| behaviour);
        1 + behaviour.and_then(|known| known.retries.as_ref()).map_or(0, |retries| u64::from(retries.max))
    }

    /// The routes that a request to a service's port can take.
    fn ways(&mut self, lowered: Option<&Lowered>, service: ServiceId, port: u16, request: &KnownRequest) -> Vec<Way> {
        let Some(lowered) = lowered else {
            return vec![direct(vec![self.service_arm(service, port, request)])];
        };
        let Some(listener) = lowered.provenance.listener(service, port) else { return Vec::new() };
        self.listener_ways(lowered, listener, request)
    }

    fn listener_ways(&mut self, lowered: &Lowered, listener: usize, request: &KnownRequest) -> Vec<Way> {
        let routes = &lowered.config.listeners[listener].route_config;
        let origin = &lowered.provenance.listeners[listener];
        let found = candidates(routes, request);
        found
            .into_iter()
            .filter_map(|candidate| {
                let host = &routes.virtual_hosts[candidate.place.0];
                let Action::Forward(action) = &host.routes[candidate.place.1].action else { return None };
                self.way(lowered, origin, host, action, candidate, request)
            })
            .collect()
    }

    fn way(
        &mut self,
        lowered: &Lowered,
        listener: &ListenerOrigin,
        host: &VirtualHost,
        action: &RouteAction,
        candidate: Candidate,
        request: &KnownRequest,
    ) -> Option<Way> {
        let origin = listener.routes.get(candidate.number)?;
        let mut arms: Vec<Arm> = Vec::new();
        let mut is_grpc = false;
        for name in cluster_names(&action.cluster) {
            let Some(index) = lowered.config.clusters.iter().position(|cluster| cluster.name == name) else { continue };
            let cluster = &lowered.provenance.clusters[index];
            let Some(service) = cluster.service else { continue };
            is_grpc |= self.mesh.service(service).port(cluster.port).is_some_and(|port| port.protocol.is_grpc());
            let mut endpoints: Vec<(WorkloadId, u16)> =
                cluster.endpoints.iter().map(|e| (e.workload, e.port)).collect();
            endpoints.sort_unstable();
            endpoints.dedup();
            let targets =
                endpoints.into_iter().map(|(id, port)| self.target(id, port, cluster.port, request)).collect();
            let capped = lowered.config.clusters[index].thresholds.iter().any(caps_retries);
            arms.push(Arm { service: Some(service.index()), subset: cluster.subset.clone(), capped, targets });
        }
        let policy = action.retry.as_ref().or(host.retry.as_ref());
        // A try that is hedged goes on beside the next one.
        let per_try = policy.and_then(|policy| policy.per_try_timeout).filter(|_| !action.hedge_on_per_try_timeout);
        Some(Way {
            route: route_subject(origin),
            // Istio's listeners always say; Envoy's own default is 15 s.
            timeout: limit(Some(action.timeout.unwrap_or(Nanos::from_secs(15))), &origin.timeout),
            per_try: limit(per_try, &origin.per_try_timeout),
            retry: policy.map_or(Retry::none("RT-13"), |policy| retry(policy, origin.attempts.clone(), is_grpc)),
            arms,
            taken: candidate.taken,
        })
    }

    /// All endpoints of a service's port, without any policy.
    fn service_arm(&mut self, service: ServiceId, port: u16, request: &KnownRequest) -> Arm {
        let workloads = self.lowering.workloads_of(service);
        let targets = workloads.into_iter().map(|id| {
            let number = self.mesh.service(service).port(port).map_or(port, |known| match &known.target {
                meshproof_model::TargetPort::Number(number) => *number,
                meshproof_model::TargetPort::Name(name) => {
                    let ports = &self.mesh.workload(id).ports;
                    ports.iter().find(|known| known.name == *name).map_or(port, |known| known.number)
                }
            });
            self.target(id, number, port, request)
        });
        Arm { service: Some(service.index()), subset: None, capped: false, targets: targets.collect() }
    }

    /// A pod's port: its handler, or what a gateway makes of the request.
    fn target(&mut self, workload: WorkloadId, port: u16, service_port: u16, request: &KnownRequest) -> Target {
        if self.mesh.workload(workload).proxy != ProxyMode::Gateway {
            return Target { node: workload.index(), inbound: self.inbound(workload, port) };
        }
        let lowered = self.gateway(workload);
        let listens = |number: u16| lowered.provenance.listeners.iter().any(|listener| listener.port == number);
        let port = if listens(port) { port } else { service_port };
        Target { node: self.gateway_node(workload, port, request), inbound: Retry::none("GW-1") }
    }

    /// Retries of a server's own proxy (`RT-17`).
    fn inbound(&mut self, workload: WorkloadId, port: u16) -> Retry {
        if self.mesh.workload(workload).proxy != ProxyMode::Sidecar {
            return Retry::none("2.2");
        }
        let lowered = self.inbound.entry(workload).or_insert_with(|| self.lowering.inbound(workload));
        let listeners = lowered.provenance.listeners.iter().zip(&lowered.config.listeners);
        let Some((origin, listener)) = listeners.into_iter().find(|(origin, _)| origin.port == port) else {
            return Retry::none("RT-17");
        };
        let route = listener.route_config.virtual_hosts.first().and_then(|host| Some((host, host.routes.first()?)));
        let Some((host, route)) = route else { return Retry::none("RT-17") };
        let Action::Forward(action) = &route.action else { return Retry::none("RT-17") };
        let is_grpc = origin.protocol.is_some_and(meshproof_model::Protocol::is_grpc);
        let attempts = origin.routes.first().map_or(Origin::Default("RT-17"), |route| route.attempts.clone());
        let policy = action.retry.as_ref().or(host.retry.as_ref());
        policy.map_or(Retry::none("RT-17"), |policy| retry(policy, attempts, is_grpc))
    }

    fn gateway(&mut self, workload: WorkloadId) -> Lowered {
        self.gateways.entry(workload).or_insert_with(|| self.lowering.gateway(workload, 0)).clone()
    }

    /// The node of a gateway that handles one kind of request.
    fn gateway_node(&mut self, workload: WorkloadId, port: u16, request: &KnownRequest) -> usize {
        let key = (workload, port, request.clone());
        if let Some(node) = self.gateway_nodes.get(&key) {
            return *node;
        }
        let node = self.graph.nodes.len();
        self.gateway_nodes.insert(key, node);
        self.graph.nodes.push(Node {
            name: self.mesh.workload(workload).full_name(),
            kind: NodeKind::Gateway,
            own: OwnTime::AtMost(Nanos::ZERO),
            cancels: true,
            obeys: false,
            stages: Vec::new(),
        });
        let lowered = self.gateway(workload);
        let listener = lowered.provenance.listeners.iter().position(|listener| listener.port == port);
        let ways = listener.map_or_else(Vec::new, |listener| self.listener_ways(&lowered, listener, request));
        self.graph.nodes[node].stages = vec![vec![once(None, request.open, ways)]];
        node
    }
}

/// Whether retries of all requests together have a bound that can be met (Istio's own is out of reach).
fn caps_retries(thresholds: &Thresholds) -> bool {
    thresholds.retry_budget.is_some()
        || thresholds.token_budget.is_some()
        || thresholds.max_retries.is_some_and(|most| most < 1_000_000)
}

/// One call that is made for every request.
fn once(dials: Option<(usize, u16)>, inferred: bool, ways: Vec<Way>) -> Call {
    Call { dials, times: 1, share_ppm: Share::ALL.ppm(), own_tries: 1, inferred, optional: false, ways }
}

/// Classes of requests are alternatives: their routes are those of one call.
fn merge_classes(mut merged: Vec<Call>, class: Call) -> Vec<Call> {
    match merged.first_mut() {
        Some(first) => {
            first.share_ppm = first.share_ppm.saturating_add(class.share_ppm).min(Share::ALL.ppm());
            first.ways.extend(class.ways);
        }
        None => merged.push(class),
    }
    merged
}

/// A request without any proxy on its side.
fn direct(arms: Vec<Arm>) -> Way {
    Way {
        route: None,
        timeout: Limit::none("2.2"),
        per_try: Limit::none("2.2"),
        retry: Retry::none("2.2"),
        arms,
        taken: true,
    }
}

fn cluster_names(cluster: &ClusterSpecifier) -> Vec<&str> {
    match cluster {
        ClusterSpecifier::Cluster(name) => vec![name],
        ClusterSpecifier::Weighted(clusters) => {
            clusters.iter().filter(|cluster| cluster.weight > 0).map(|cluster| cluster.name.as_str()).collect()
        }
        ClusterSpecifier::Header(_) => Vec::new(),
    }
}

fn limit(value: Option<Nanos>, origin: &Origin) -> Limit {
    Limit { value: value.filter(|value| !value.is_zero()), origin: origin.clone() }
}

/// A route as findings name it; `None`: the default one.
pub(crate) fn route_subject(origin: &RouteOrigin) -> Option<Subject> {
    let resource = origin.resource.clone()?;
    let route = origin.name.clone().unwrap_or_else(|| format!("http[{}]", origin.rule));
    Some(Subject::Route { resource, route })
}

/// Conditions that a callee can produce only before it has worked are told apart from the others (`P2.1`).
fn retry(policy: &RetryPolicy, origin: Origin, is_grpc: bool) -> Retry {
    let on = |names: &[&str]| policy.retry_on.iter().any(|condition| names.contains(&condition.as_str()));
    let grpc = on(&["cancelled", "deadline-exceeded", "internal", "resource-exhausted", "unavailable"]);
    let code = policy.retriable_status_codes.first().copied().filter(|_| on(&["retriable-status-codes"]));
    let gateway = on(&["5xx", "gateway-error"]);
    let conflict = on(&["retriable-4xx"]);
    let headers = on(&["retriable-headers"]) && !policy.retriable_headers.is_empty();
    let after_work = gateway || conflict || headers || code.is_some() || on(&["reset"]) || (grpc && is_grpc);
    let default = Retry::none("RT-11");
    let base = policy.base_interval.unwrap_or(default.base);
    Retry {
        attempts: policy.num_retries.unwrap_or(1).into(),
        origin,
        before_work: on(&["connect-failure", "refused-stream", "reset-before-request", "envoy-ratelimited"]) || grpc,
        after_work,
        timeouts: on(&["5xx", "gateway-error", "reset"]),
        status: if gateway { Some(503) } else { code.or(conflict.then_some(409)) },
        base,
        max: policy.max_interval.unwrap_or(base.times(10)),
    }
}
