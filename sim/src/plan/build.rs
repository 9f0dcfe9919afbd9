//! From a mesh and a scenario to a plan.

use std::{collections::BTreeMap, sync::Arc};

use meshproof_model::{
    CallOrigin, Caller as ModelCaller, Calls, ClientFrom, Lowering as Index, Mesh, ProxyMode, RolloutStep, Scenario,
    ServiceId, TargetPort, WorkloadBehaviour, WorkloadId,
};
use meshproof_proxy::ListenerId;

use super::{
    Call, Caller, Class, Client, ControlPlane, Direction, Edge, Head, Host, MessageQueue, Network, NodePlan, Origin,
    Plan, Service, Target, Workload,
    link::{Identities, plain_link},
    pods::{self, Room},
    spec::{Ends, Lowering},
};
use crate::{SetupError, SimOptions, dist::Sampler};

impl Plan {
    /// Compiles a mesh and a scenario; `options`: recorded arrivals, and what manifests become.
    ///
    /// # Errors
    /// If one of them asks for what cannot be.
    pub(crate) fn new(mesh: &Mesh, scenario: &Scenario, options: &SimOptions) -> Result<Self, SetupError> {
        let errors: Vec<_> = mesh.check_behaviour().into_iter().chain(mesh.check_scenario(scenario)).collect();
        if !errors.is_empty() {
            return Err(SetupError::Invalid(errors));
        }
        // `check_scenario` has told what is wrong with its releases.
        let released = mesh.with_releases(scenario).ok().flatten();
        // Controllers of releases move pods themselves.
        let room = if released.is_none() { Room::of(mesh, scenario, &options.stages) } else { None };
        let still = if released.is_some() { pods::elastic(mesh, scenario, &options.stages) } else { Vec::new() };
        let start = released.as_ref().map(|(widest, all)| widest.at_stages(all, &vec![0; all.len()]));
        let (widest, all) = released.as_ref().map_or((mesh, &[][..]), |(widest, all)| (widest, all.as_slice()));
        let start = start.as_ref().unwrap_or(mesh);
        let calls = start.calls();
        let (start, widest, stages) = match &room {
            Some(room) => (&room.mesh, &room.mesh, &room.stages),
            None => (start, widest, &options.stages),
        };
        let base = room.as_ref().map_or_else(|| start.workload_ids().collect(), |room| room.base.clone());
        let mut build = Build::new(start, widest, &calls, base);
        let changes_manifests = scenario.rollout.iter().any(RolloutStep::changes_manifests);
        build.plan.mixes = changes_manifests || !all.is_empty();
        build.plan.keeps_configs = build.plan.mixes || room.is_some();
        build.nodes();
        if let Some(room) = &room {
            build.pods(room);
        }
        build.specs()?;
        build.calls();
        build.clients();
        let faults = build.faults(scenario);
        let changes = build.changes(scenario, stages)?;
        let releases = build.releases(widest, all)?;
        build.name_identities(&changes);
        let Build { mut plan, lowering, .. } = build;
        plan.edges = lowering.edges.into_list();
        plan.identities = lowering.identities.0;
        (plan.faults, plan.changes, plan.releases) = (faults, changes, releases);
        plan.loads = plan.loads(scenario, &options.recorded)?;
        plan.script(widest, scenario);
        plan.pods = room.map(|room| room.pods);
        plan.warnings.extend(pods::standing_still(mesh, &still));
        plan.horizon = scenario.horizon.get();
        plan.warm_up = match scenario.warm_up {
            meshproof_model::WarmUp::Fixed(time) => time.get(),
            meshproof_model::WarmUp::Off | meshproof_model::WarmUp::Mser5 => 0,
        };
        Ok(plan)
    }

    /// Takes over the load, the answers and the horizon of another scenario, which has neither faults nor changes nor a
    /// warm-up, and no recorded arrivals.
    ///
    /// # Errors
    /// If it asks for what cannot be.
    pub(crate) fn restage(&mut self, mesh: &Mesh, scenario: &Scenario) -> Result<(), SetupError> {
        let errors = mesh.check_scenario(scenario);
        if !errors.is_empty() {
            return Err(SetupError::Invalid(errors));
        }
        self.loads = self.loads(scenario, &BTreeMap::new())?;
        self.script(mesh, scenario);
        self.horizon = scenario.horizon.get();
        Ok(())
    }

    fn script(&mut self, mesh: &Mesh, scenario: &Scenario) {
        self.script.clear();
        self.workloads.iter_mut().for_each(|workload| workload.script.clear());
        for answer in &scenario.script {
            let Some(at) = mesh.named_workload(&answer.at) else { continue };
            let index = u32::try_from(self.script.len()).unwrap_or(u32::MAX);
            self.workloads[at.index()].script.push(index);
            let from = answer.from.as_deref().map(|name| caller(mesh, name));
            self.script.push(super::Scripted {
                from,
                fail_attempts: answer.fail_attempts,
                status: answer.status,
                takes: answer.takes.map(meshproof_proxy::Nanos::get),
            });
        }
    }
}

/// The workload or client of a name; one that does not exist is nobody.
fn caller(mesh: &Mesh, name: &str) -> Caller {
    match (mesh.named_workload(name), mesh.behaviour.clients.get_index_of(name)) {
        (Some(workload), _) => Caller::Workload(workload.0),
        (None, Some(client)) => Caller::Client(u32::try_from(client).unwrap_or(u32::MAX)),
        (None, None) => Caller::Client(u32::MAX),
    }
}

/// A list without duplicates whose entries are named by their place.
#[derive(Debug)]
pub(super) struct Interned<T> {
    index: BTreeMap<T, u32>,
}

impl<T: Ord + Clone> Interned<T> {
    pub(super) const fn new() -> Self {
        Self { index: BTreeMap::new() }
    }

    pub(super) fn id(&mut self, entry: T) -> u32 {
        let next = u32::try_from(self.index.len()).unwrap_or(u32::MAX);
        *self.index.entry(entry).or_insert(next)
    }

    pub(super) fn into_list(self) -> Vec<T> {
        let mut entries: Vec<_> = self.index.into_iter().collect();
        entries.sort_by_key(|(_, id)| *id);
        entries.into_iter().map(|(entry, _)| entry).collect()
    }
}

pub(super) struct Build<'m> {
    pub(super) mesh: &'m Mesh,
    /// With all replicas that there can be on the way.
    widest: &'m Mesh,
    pub(super) model_calls: &'m Calls,
    /// By workload: the one of the start that it is a template of.
    pub(super) base: Vec<WorkloadId>,
    pub(super) plan: Plan,
    pub(super) lowering: Lowering,
    /// What each workload dials: its own calls, and those of clients that run in it.
    dialled: Vec<Vec<(ServiceId, u16)>>,
    heads: BTreeMap<Head, u32>,
    /// By service.
    servers: Vec<Vec<WorkloadId>>,
}

impl<'m> Build<'m> {
    fn new(mesh: &'m Mesh, widest: &'m Mesh, model_calls: &'m Calls, base: Vec<WorkloadId>) -> Self {
        let index = Index::new(mesh);
        let servers: Vec<_> = mesh.service_ids().map(|id| index.workloads_of(id)).collect();
        let services = mesh.service_ids().zip(&servers).map(|(id, servers)| Service {
            full_name: mesh.service(id).full_name(),
            workloads: servers.iter().map(|workload| workload.0).collect(),
        });
        let network = &mesh.behaviour.network;
        let plan = Plan {
            clients: Vec::new(),
            workloads: Vec::new(),
            nodes: Vec::new(),
            services: services.collect(),
            specs: Vec::new(),
            calls: Vec::new(),
            edges: Vec::new(),
            heads: Vec::new(),
            identities: Vec::new(),
            loads: Vec::new(),
            faults: Vec::new(),
            bad_links: Vec::new(),
            queues: MessageQueue::all(mesh),
            control_plane: ControlPlane {
                push: sampler(&mesh.behaviour.control_plane.push),
                certificates: mesh.behaviour.control_plane.certificates.map(meshproof_model::Nanos::get),
                outages: Vec::new(),
            },
            has_deadlines: mesh.behaviour.workloads.values().any(|workload| workload.obeys_deadlines),
            changes: Vec::new(),
            mixes: false,
            releases: super::Releases::default(),
            keeps_configs: false,
            pods: None,
            script: Vec::new(),
            warnings: Vec::new(),
            network: Network {
                same_zone: sampler(&network.same_zone),
                cross_zone: sampler(&network.cross_zone),
                cross_cluster: network.cross_cluster.as_ref().map(sampler),
                connect: network.connect.get(),
                tls_handshake: network.tls_handshake.get(),
                proxy: sampler(&network.proxy),
                bandwidth: network.bandwidth.map(meshproof_model::Bytes::get),
            },
            horizon: 0,
            warm_up: 0,
        };
        let lowering = Lowering {
            lowered: Vec::new(),
            compiled: 0,
            edges: Interned::new(),
            identities: Identities::default(),
            base: base.clone(),
        };
        let dialled = dialled(mesh, model_calls);
        Self { mesh, widest, model_calls, base, plan, lowering, dialled, heads: BTreeMap::new(), servers }
    }

    fn nodes(&mut self) {
        let default = WorkloadBehaviour::default();
        let placement = &self.mesh.behaviour.placement;
        for (workload, number) in self.widest.workloads.iter().zip(0..) {
            let name = workload.full_name();
            let behaviour = self.mesh.behaviour.workloads.get(&name).unwrap_or(&default);
            let replicas = workload.replicas.value;
            let first = u32::try_from(self.plan.nodes.len()).unwrap_or(u32::MAX);
            let mut compiled = Workload::new(self.mesh, workload, behaviour, (number, first));
            compiled.base = self.base[number as usize].0;
            let zones = placement.zones_of(&name);
            compiled.zones = u32::try_from(zones.len()).unwrap_or(u32::MAX).min(replicas).max(1);
            let queue = compiled.consumes.and_then(|(queue, _)| self.plan.queues.get_mut(queue as usize));
            if let Some(queue) = queue {
                queue.consumers.push(number);
            }
            self.plan.workloads.push(compiled);
            for replica in 0..replicas {
                let zone = zones.get((replica as usize).checked_rem(zones.len()).unwrap_or(0)).copied().unwrap_or(0);
                let dense = |index: usize| u32::try_from(index).unwrap_or(u32::MAX);
                let cluster = placement.cluster_of(zone).map(dense);
                self.plan.nodes.push(NodePlan { workload: number, zone: dense(zone), cluster });
            }
        }
    }

    /// Who of the slots are pods at the start, and which workloads are templates of the same one.
    fn pods(&mut self, room: &Room) {
        self.plan.warnings.extend(room.warnings.iter().cloned());
        for (number, group) in (0..).zip(&room.pods.groups) {
            for workload in &group.workloads {
                let entry = &mut self.plan.workloads[*workload as usize];
                entry.kin.clone_from(&group.workloads);
                entry.group = Some(number);
                entry.at_start = if *workload == entry.base { group.replicas } else { 0 };
            }
        }
    }

    /// What a workload dials: its own calls, and those of clients that run in it.
    pub(super) fn dialled(&self, workload: WorkloadId) -> Vec<(ServiceId, u16)> {
        self.dialled.get(self.base[workload.index()].index()).cloned().unwrap_or_default()
    }

    /// Lowers and compiles every proxy: servers first, because a client's handshakes depend on them.
    fn specs(&mut self) -> Result<(), SetupError> {
        let index = Index::new(self.mesh);
        // Servers listen whether they have pods yet or not.
        let widest = if std::ptr::eq(self.mesh, self.widest) { None } else { Some(Index::new(self.widest)) };
        let servers = widest.as_ref().unwrap_or(&index);
        for id in self.mesh.workload_ids() {
            let workload = &mut self.plan.workloads[id.index()];
            match self.mesh.workload(id).proxy {
                ProxyMode::Sidecar | ProxyMode::Linkerd => {
                    workload.inbound = Some(self.lowering.add(servers, id, Direction::Inbound, 1, &[]));
                }
                ProxyMode::Gateway => {
                    let zones = workload.zones;
                    workload.gateway = Some(self.lowering.add(&index, id, Direction::Gateway, zones, &[]));
                }
                ProxyMode::None | ProxyMode::Ambient => {}
            }
        }
        for id in self.mesh.workload_ids() {
            let dialled = self.dialled(id);
            if !dialled.is_empty() {
                let zones = self.plan.workloads[id.index()].zones;
                let spec = self.lowering.add(&index, id, Direction::Outbound, zones, &dialled);
                self.plan.workloads[id.index()].outbound = Some(spec);
            }
        }
        for spec in 0..self.lowering.lowered.len() {
            let spec = self.lowering.compile(&self.plan, self.mesh, spec)?;
            self.plan.specs.push(Arc::new(spec));
        }
        Ok(())
    }

    fn calls(&mut self) {
        for id in self.mesh.workload_ids() {
            let Some(outbound) = self.plan.workloads[id.index()].outbound else { continue };
            let mut stage = None;
            let base = self.base[id.index()];
            for (_, call) in self.model_calls.of(ModelCaller::Workload(base)) {
                let Some(listener) = self.plan.specs[outbound as usize].listener(call.to.0, call.port) else {
                    let (from, to) = (self.mesh.workload(id).full_name(), self.mesh.service(call.to).full_name());
                    self.plan
                        .warnings
                        .push(format!("`{from}` has no HTTP listener for `{to}:{}`: left out", call.port));
                    continue;
                };
                let next = u32::try_from(self.plan.calls.len()).unwrap_or(u32::MAX);
                let stages = &mut self.plan.workloads[id.index()].stages;
                if stage == Some(call.stage)
                    && let Some(last) = stages.last_mut()
                {
                    last.end = next + 1;
                } else {
                    stage = Some(call.stage);
                    stages.push(next..next + 1);
                }
                let edge = self.lowering.edges.id(Edge { from: Caller::Workload(base.0), to: call.to.0 });
                let head = self.head(call);
                self.plan.calls.push(Call {
                    edge,
                    listener,
                    head,
                    body: call.body.get(),
                    times: call.times,
                    share: call.share,
                    optional: call.optional,
                });
            }
        }
    }

    fn head(&mut self, call: &meshproof_model::Call) -> u32 {
        let head = Head {
            method: call.method.clone(),
            authority: call.host.clone(),
            path: call.path.clone(),
            headers: call.headers.clone(),
        };
        let next = u32::try_from(self.plan.heads.len()).unwrap_or(u32::MAX);
        let heads = &mut self.plan.heads;
        *self.heads.entry(head).or_insert_with_key(|head| {
            heads.push(head.clone());
            next
        })
    }

    fn clients(&mut self) {
        for (number, (name, behaviour)) in (0..).zip(&self.mesh.behaviour.clients) {
            let caller = ModelCaller::Client(number as usize);
            let calls: Vec<_> = self.model_calls.of(caller).map(|(_, call)| call.clone()).collect();
            let Some(first) = calls.first() else { continue };
            let (service, port) = (first.to, first.port);
            let origin = match (&behaviour.from, self.mesh.client_workload(number as usize)) {
                (ClientFrom::Workload(_), Some(workload)) => Origin::Workload(workload.0),
                _ => Origin::Outside(self.doors(service, port)),
            };
            let from = match origin {
                Origin::Workload(workload) => Caller::Workload(workload),
                Origin::Outside(_) => Caller::Client(number),
            };
            let edge = self.lowering.edges.id(Edge { from, to: service.0 });
            let classes = calls.iter().map(|call| self.class(call, behaviour, &origin)).collect();
            self.plan.clients.push(Client {
                name: name.clone(),
                shares: behaviour.requests.iter().map(|class| u64::from(class.share)).sum(),
                classes,
                patience: behaviour.patience.as_ref().map(sampler),
                retries: behaviour.retries.as_ref().map_or(0, |retries| retries.max),
                back_off: behaviour.retries.as_ref().map_or(Sampler::Constant(0), |retries| sampler(&retries.back_off)),
                origin,
                service: service.0,
                edge,
            });
        }
    }

    fn class(
        &mut self,
        call: &meshproof_model::Call,
        behaviour: &meshproof_model::ClientBehaviour,
        origin: &Origin,
    ) -> Class {
        let class = match call.origin {
            CallOrigin::Class(number) => behaviour.requests.get(number),
            _ => None,
        };
        let listener = |workload: &u32| {
            let outbound = self.plan.workloads[*workload as usize].outbound?;
            self.plan.specs[outbound as usize].listener(call.to.0, call.port)
        };
        let listeners = match origin {
            Origin::Workload(workload) => {
                let kin = self.plan.workloads[*workload as usize].kin.iter();
                kin.map(|workload| listener(workload).unwrap_or(ListenerId::new(0))).collect()
            }
            Origin::Outside(_) => Vec::new(),
        };
        Class {
            share: class.map_or(1, |class| u64::from(class.share)),
            head: self.head(call),
            body: class.map_or(0, |class| class.body.get()),
            listeners,
        }
    }

    /// Where a client without a proxy ends up when it dials a service: any replica behind it.
    fn doors(&self, service: ServiceId, port: u16) -> Vec<Host> {
        let ends = Ends { plan: &self.plan, lowered: &self.lowering.lowered };
        let mut doors = Vec::new();
        for workload in self.servers.get(service.index()).into_iter().flatten().copied() {
            let target = target_port(self.mesh, service, port, workload);
            for replica in 0..self.mesh.workload(workload).replicas.value {
                let end = match ends.end(workload, replica, target) {
                    // A gateway may listen on the service's port rather than the container's.
                    Target::Nowhere => ends.end(workload, replica, port),
                    end => end,
                };
                doors.push(Host { target: end, link: plain_link(ends.tls(end)) });
            }
        }
        doors
    }
}

fn dialled(mesh: &Mesh, calls: &Calls) -> Vec<Vec<(ServiceId, u16)>> {
    let clients: Vec<_> = (0..mesh.behaviour.clients.len()).map(|client| mesh.client_workload(client)).collect();
    let mut dialled = vec![Vec::new(); mesh.workloads.len()];
    for call in &calls.calls {
        let from = match call.from {
            ModelCaller::Workload(id) => Some(id),
            ModelCaller::Client(client) => clients.get(client).copied().flatten(),
        };
        if let Some(list) = from.and_then(|from| dialled.get_mut(from.index())) {
            list.push((call.to, call.port));
        }
    }
    for list in &mut dialled {
        list.sort_unstable();
        list.dedup();
    }
    dialled
}

/// The port of a workload's pods behind a service's port.
fn target_port(mesh: &Mesh, service: ServiceId, port: u16, workload: WorkloadId) -> u16 {
    match mesh.service(service).port(port).map(|port| &port.target) {
        Some(TargetPort::Number(number)) => *number,
        Some(TargetPort::Name(name)) => {
            let ports = &mesh.workload(workload).ports;
            ports.iter().find(|candidate| candidate.name == *name).map_or(port, |found| found.number)
        }
        None => port,
    }
}

/// A distribution that [`Mesh::check_behaviour`] has accepted.
pub(super) fn sampler(distribution: &meshproof_model::Distribution) -> Sampler {
    Sampler::new(distribution).unwrap_or(Sampler::Constant(0))
}

/// A factor in millionths, rounded to the nearest.
pub(super) fn millionths(factor: f64) -> u64 {
    (factor * 1e6 + 0.5) as u64
}
