//! From a workload's lowered configuration to a compiled table, with the far end of each of its hosts.

use std::sync::Arc;

use meshproof_model::{Lowered, Lowering as Index, Mesh, ServiceId, WorkloadId};
use meshproof_proxy::{
    ListenerId, Table,
    config::{self, Action, HeaderMutations},
};

use super::{
    Caller, Cluster, Direction, Edge, Host, Link, Plan, Spec, Target,
    build::Interned,
    link::{Identities, link},
};
use crate::SetupError;

/// Lowered configurations, and the names that compiling them gives out.
pub(super) struct Lowering {
    /// By spec.
    pub(super) lowered: Vec<Entry>,
    /// How many were compiled.
    pub(super) compiled: u32,
    pub(super) edges: Interned<Edge>,
    pub(super) identities: Identities,
    /// By workload: the one of the start that it is a template of.
    pub(super) base: Vec<WorkloadId>,
}

pub(super) struct Entry {
    workload: WorkloadId,
    direction: Direction,
    /// The first replica of its zone: near endpoints come first, so replicas of another zone have another configuration.
    replica: u32,
    lowered: Lowered,
}

/// What is known of the far ends of connections.
pub(super) struct Ends<'a> {
    pub(super) plan: &'a Plan,
    pub(super) lowered: &'a [Entry],
}

fn lower(
    from: &Index<'_>,
    (workload, replica): (WorkloadId, u32),
    direction: Direction,
    dialled: &[(ServiceId, u16)],
) -> Lowered {
    match direction {
        Direction::Outbound => from.outbound(workload, replica, dialled),
        Direction::Inbound => from.inbound(workload),
        Direction::Gateway => from.gateway(workload, replica),
    }
}

impl Lowering {
    /// Lowers the configurations of a workload's proxies, one for each of so many zones, and gives the first one's number.
    pub(super) fn add(
        &mut self,
        index: &Index<'_>,
        workload: WorkloadId,
        direction: Direction,
        zones: u32,
        dialled: &[(ServiceId, u16)],
    ) -> u32 {
        let first = self.lowered.len();
        for replica in 0..zones {
            let lowered = lower(index, (workload, replica), direction, dialled);
            self.lowered.push(Entry { workload, direction, replica, lowered });
        }
        u32::try_from(first).unwrap_or(u32::MAX)
    }

    /// Lowers a configuration anew and says whether it differs.
    pub(super) fn replace(&mut self, index: &Index<'_>, spec: usize, dialled: &[(ServiceId, u16)]) -> bool {
        let Entry { workload, direction, replica, .. } = self.lowered[spec];
        let lowered = in_places(&self.lowered[spec].lowered, lower(index, (workload, replica), direction, dialled));
        let differs = lowered.config != self.lowered[spec].lowered.config;
        if differs {
            self.lowered[spec].lowered = lowered;
        }
        differs
    }

    /// Compiles a configuration; every spec must have been lowered before.
    pub(super) fn compile(&mut self, plan: &Plan, mesh: &Mesh, spec: usize) -> Result<Spec, SetupError> {
        let number = self.compiled;
        self.compiled += 1;
        let Self { lowered: all, edges, identities, base, .. } = self;
        let ends = Ends { plan, lowered: all };
        let Entry { workload, direction, lowered, .. } = &all[spec];
        let (workload, direction, config) = (*workload, *direction, &lowered.config);
        let table = Table::compile(&without_plumbing(config))
            .map_err(|errors| SetupError::Refused { workload: mesh.workload(workload).full_name(), errors })?;
        let mut clusters = Vec::new();
        for (cluster, origin) in config.clusters.iter().zip(&lowered.provenance.clusters) {
            let hosts = cluster.hosts.iter().enumerate().map(|(number, host)| {
                if direction == Direction::Inbound {
                    return Host { target: Target::App, link: Link::Plaintext };
                }
                let Some(endpoint) = origin.endpoints.get(number) else {
                    return Host { target: Target::Nowhere, link: Link::Plaintext };
                };
                let target = ends.end(endpoint.workload, endpoint.replica, endpoint.port);
                Host { target, link: link(cluster, host, ends.tls(target), |identity| identities.id(identity)) }
            });
            let hosts = hosts.collect();
            let service = origin.service.filter(|_| direction != Direction::Inbound).map(|service| service.0);
            let edge = service.map(|to| edges.id(Edge { from: Caller::Workload(base[workload.index()].0), to }));
            clusters.push(Cluster { service, edge, hosts });
        }
        let listeners = lowered
            .provenance
            .listeners
            .iter()
            .map(|listener| (listener.port, listener.services.iter().map(|service| service.0).collect()));
        Ok(Spec {
            number,
            workload: workload.0,
            direction,
            table: Arc::new(table),
            listeners: listeners.collect(),
            clusters,
            rewrites: config.listeners.iter().any(|listener| rewrites(&listener.route_config)),
            config: plan.keeps_configs.then(|| Arc::new(config.clone())),
        })
    }
}

impl Ends<'_> {
    /// What listens on a port of a replica.
    pub(super) fn end(&self, workload: WorkloadId, replica: u32, port: u16) -> Target {
        let planned = &self.plan.workloads[workload.index()];
        if replica >= planned.replicas {
            return Target::Nowhere;
        }
        let node = planned.first_node + replica;
        let spec = planned.gateway.or(planned.inbound);
        let listener = spec.and_then(|spec| self.listener(spec, port));
        match (planned.gateway, listener) {
            (_, Some(listener)) => Target::Proxy { node, listener },
            (Some(_), None) => Target::Nowhere,
            (None, None) => Target::Bare { node },
        }
    }

    fn listener(&self, spec: u32, port: u16) -> Option<ListenerId> {
        let listeners = &self.lowered[spec as usize].lowered.provenance.listeners;
        let at = listeners.iter().position(|listener| listener.port == port)?;
        u32::try_from(at).ok().map(ListenerId::new)
    }

    /// What the listener at the far end asks of its connections; `None`: plaintext.
    pub(super) fn tls(&self, target: Target) -> Option<&config::DownstreamTls> {
        let Target::Proxy { node, listener } = target else { return None };
        let workload = &self.plan.workloads[self.plan.nodes[node as usize].workload as usize];
        let entry = self.lowered.get(workload.gateway.or(workload.inbound)? as usize)?;
        Some(&entry.lowered.config.listeners.get(listener.index())?.tls)
    }
}

/// The configuration without headers that proxies tell each other and no decision here reads: attempt counts, expected
/// times, the client's certificate. Writing them costs as much as deciding.
fn without_plumbing(config: &config::Config) -> config::Config {
    let mut config = config.clone();
    for listener in &mut config.listeners {
        listener.router.suppress_envoy_headers = true;
        listener.tls.forward_client_cert = config::ForwardClientCert::Sanitize;
        for host in &mut listener.route_config.virtual_hosts {
            host.include_request_attempt_count = false;
            host.include_attempt_count_in_response = false;
        }
    }
    config
}

/// A configuration with the listeners and clusters of the one before it at their places: those that it lacks stay as they
/// were, new ones come behind them. So a number means the same in every configuration of a proxy.
fn in_places(before: &Lowered, mut after: Lowered) -> Lowered {
    let (old, new) = (&before.config, &mut after.config);
    let at = |after: &[config::Listener], name: &str| after.iter().position(|listener| listener.name == name);
    place(
        &old.listeners,
        &mut new.listeners,
        &before.provenance.listeners,
        &mut after.provenance.listeners,
        |all, one| at(all, &one.name),
    );
    place(&old.clusters, &mut new.clusters, &before.provenance.clusters, &mut after.provenance.clusters, |all, one| {
        all.iter().position(|cluster| cluster.name == one.name)
    });
    after
}

fn place<T: Clone, O: Clone>(
    before: &[T],
    after: &mut Vec<T>,
    origins_before: &[O],
    origins: &mut Vec<O>,
    find: impl Fn(&[T], &T) -> Option<usize>,
) {
    let mut placed = Vec::with_capacity(after.len());
    let mut of_placed = Vec::with_capacity(after.len());
    for (old, origin) in before.iter().zip(origins_before) {
        let (one, origin) = match find(after, old) {
            Some(at) => (after.remove(at), origins.remove(at)),
            None => (old.clone(), origin.clone()),
        };
        placed.push(one);
        of_placed.push(origin);
    }
    placed.append(after);
    of_placed.append(origins);
    (*after, *origins) = (placed, of_placed);
}

/// Whether any route changes what the next hop can see of a request.
fn rewrites(routes: &config::RouteConfiguration) -> bool {
    let changes =
        |headers: &HeaderMutations| !headers.request_to_add.is_empty() || !headers.request_to_remove.is_empty();
    changes(&routes.headers)
        || routes.virtual_hosts.iter().any(|host| {
            changes(&host.headers)
                || host.routes.iter().any(|route| {
                    changes(&route.headers)
                        || match &route.action {
                            Action::Forward(action) => {
                                action.prefix_rewrite.is_some()
                                    || action.regex_rewrite.is_some()
                                    || action.host_rewrite.is_some()
                                    || action.host_rewrite_header.is_some()
                                    || action.internal_redirect.is_some()
                                    || matches!(&action.cluster, config::ClusterSpecifier::Weighted(all)
                                        if all.iter().any(|one| changes(&one.headers)))
                            }
                            _ => false,
                        }
                })
        })
}
