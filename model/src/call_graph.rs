//! Calls as a graph: clients and workloads, with an edge for each workload that a call can reach.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_proxy::config::{Action, ClusterSpecifier, RouteConfiguration};
use petgraph::{
    algo::tarjan_scc,
    graph::{DiGraph, NodeIndex},
};

use crate::{Call, CallId, Caller, Calls, Lowered, Lowering, Mesh, ProxyMode, WorkloadId, host_covers};

/// A node of the graph of calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Node {
    /// A client of `mesh.ron`, by its number.
    Client(usize),
    /// A workload.
    Workload(WorkloadId),
}

impl From<Caller> for Node {
    fn from(caller: Caller) -> Self {
        match caller {
            Caller::Client(client) => Self::Client(client),
            Caller::Workload(workload) => Self::Workload(workload),
        }
    }
}

impl Lowering<'_> {
    /// The graph of these calls: every client and workload is a node, and an edge leads to each workload that a call
    /// can reach. What goes on behind a gateway is the same call.
    pub fn call_graph(&self, calls: &Calls) -> DiGraph<Node, CallId> {
        let mut graph = DiGraph::new();
        let mut nodes = BTreeMap::new();
        let clients = (0..self.mesh.behaviour.clients.len()).map(Node::Client);
        for node in clients.chain(self.mesh.workload_ids().map(Node::Workload)) {
            nodes.insert(node, graph.add_node(node));
        }
        let mut gateways = BTreeMap::new();
        for (id, call) in calls.iter() {
            let from = nodes[&Node::from(call.from)];
            for target in self.targets(call) {
                let to = nodes[&Node::Workload(target)];
                graph.add_edge(from, to, id);
                if self.mesh.workload(target).proxy == ProxyMode::Gateway {
                    let lowered = gateways.entry(target).or_insert_with(|| self.gateway(target, 0));
                    for behind in reached(lowered, None, &call.host) {
                        graph.add_edge(to, nodes[&Node::Workload(behind)], id);
                    }
                }
            }
        }
        graph
    }

    /// The workloads that a call can reach: by any route of the virtual host that its authority leads to, as headers
    /// that applications pass on are not known. A client outside the mesh reaches the service's own.
    pub fn targets(&self, call: &Call) -> Vec<WorkloadId> {
        let caller = match call.from {
            Caller::Client(client) => self.mesh.client_workload(client),
            Caller::Workload(workload) => Some(workload),
        };
        let Some(caller) = caller else { return self.workloads_of(call.to) };
        let lowered = self.outbound(caller, 0, &[(call.to, call.port)]);
        reached(&lowered, lowered.provenance.listener(call.to, call.port), &call.host)
    }
}

impl Mesh {
    /// The graph of all calls ([`Lowering::call_graph`]).
    pub fn call_graph(&self) -> DiGraph<Node, CallId> {
        Lowering::new(self).call_graph(&self.calls())
    }

    /// Workloads that call each other in a circle, the first again at the end; names as `namespace/name`.
    pub fn cycle_of_calls(&self) -> Option<Vec<String>> {
        let mut calls = self.calls();
        calls.calls.retain(|call| call.times > 0 && call.share.ppm() > 0);
        let graph = Lowering::new(self).call_graph(&calls);
        let mut circles = tarjan_scc(&graph);
        circles.retain(|nodes| nodes.len() > 1 || graph.contains_edge(nodes[0], nodes[0]));
        let circle = circles.into_iter().min_by_key(|nodes| nodes.iter().min().copied())?;
        let name = |node: &NodeIndex| match graph[*node] {
            Node::Client(client) => self.behaviour.clients.get_index(client).map_or("", |(name, _)| name).to_owned(),
            Node::Workload(workload) => self.workload(workload).full_name(),
        };
        Some(round_trip(&graph, &circle).iter().map(name).collect())
    }
}

/// A way from the first node of a strongly connected set back to it: breadth first, so the shortest.
fn round_trip(graph: &DiGraph<Node, CallId>, circle: &[NodeIndex]) -> Vec<NodeIndex> {
    let Some(&start) = circle.iter().min() else { return Vec::new() };
    let mut before = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(node) = queue.pop_front() {
        let mut next: Vec<NodeIndex> = graph.neighbors(node).filter(|next| circle.contains(next)).collect();
        next.sort_unstable();
        for to in next {
            if to == start {
                let mut way = vec![start, node];
                while let Some(&earlier) = way.last().and_then(|last| before.get(last)) {
                    way.push(earlier);
                }
                // A workload that calls itself stands there twice, not three times.
                way.dedup();
                if way.len() == 1 {
                    way.push(start);
                }
                way.reverse();
                return way;
            }
            before.entry(to).or_insert_with(|| {
                queue.push_back(to);
                node
            });
        }
    }
    vec![start]
}

/// The workloads behind the routes of an authority, on one listener or on all.
fn reached(lowered: &Lowered, listener: Option<usize>, authority: &str) -> Vec<WorkloadId> {
    let authority = authority.rsplit_once(':').map_or(authority, |(name, _)| name).to_ascii_lowercase();
    let mut names = BTreeSet::new();
    for (number, candidate) in lowered.config.listeners.iter().enumerate() {
        if listener.is_none_or(|listener| listener == number) {
            clusters(&candidate.route_config, &authority, &mut names);
        }
    }
    let clusters = lowered.config.clusters.iter().zip(&lowered.provenance.clusters);
    let wanted = clusters.filter(|(cluster, _)| names.contains(cluster.name.as_str()));
    let mut found: Vec<WorkloadId> =
        wanted.flat_map(|(_, origin)| &origin.endpoints).map(|endpoint| endpoint.workload).collect();
    found.sort_unstable();
    found.dedup();
    found
}

/// The clusters that the virtual host of an authority sends to: of an exact domain, else of the longest wildcard.
fn clusters<'a>(routes: &'a RouteConfiguration, authority: &str, names: &mut BTreeSet<&'a str>) {
    let rank = |domain: &str| {
        let is_exact = domain == authority;
        host_covers(domain, authority).then_some((is_exact, domain.len()))
    };
    let ranked = routes.virtual_hosts.iter().filter_map(|host| {
        let best = host.domains.iter().filter_map(|domain| rank(domain)).max()?;
        Some((best, host))
    });
    let Some((_, host)) = ranked.max_by_key(|(best, _)| *best) else { return };
    for route in &host.routes {
        let Action::Forward(action) = &route.action else { continue };
        match &action.cluster {
            ClusterSpecifier::Cluster(name) => {
                names.insert(name);
            }
            ClusterSpecifier::Weighted(several) => names.extend(several.iter().map(|one| one.name.as_str())),
            ClusterSpecifier::Header(_) => {}
        }
    }
}
