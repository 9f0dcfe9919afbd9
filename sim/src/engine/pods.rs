//! Pods that come and go: started in a free slot, ready when their probes say so, and ended by the rules of Kubernetes.

use super::{Engine, Event, Node, Todo};
use crate::plan::{FaultEffect, Hits, PodChange};

/// What changes of a pod, beside what changes of its replica.
#[derive(Clone, Debug, Default)]
pub(crate) struct Pod {
    pub(crate) phase: Phase,
    /// Tells a pod from others in the same slot.
    pub(crate) life: u32,
    /// Grows with each order to replace all pods.
    pub(crate) generation: u32,
    pub(crate) is_ready: bool,
    pub(crate) ready_since: u64,
    pub(crate) born: u64,
    /// When its container was started the last time.
    pub(crate) container_since: u64,
    /// When the slot became free.
    pub(crate) free_since: u64,
    /// Whether its startup probe has gone well, or it has none.
    pub(crate) has_started: bool,
    /// Results of probes in a row, by kind: how many, and whether they were good.
    pub(crate) results: [(u32, bool); 3],
    /// How often its container was started anew.
    pub(crate) restarts: u32,
    /// Entries of the list of endpoints that let the pod in, or take it out.
    pub(crate) toggles: Vec<u32>,
    /// Busy places and requests, each times nanoseconds, and requests, since the start of the run.
    pub(crate) meter: [u128; 3],
    /// The same when the autoscaler looked the last time.
    pub(crate) metered: [u128; 3],
}

/// Where a pod is in its life.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Phase {
    /// The slot is free.
    #[default]
    Absent,
    /// It is there, whether or not its container runs.
    There,
    /// It was told to go; `preStop` runs, and it goes on working.
    Ending,
    /// It takes no further connections, and finishes what it has.
    Stopping,
}

/// What changes of pods' controllers.
#[derive(Clone, Debug, Default)]
pub(crate) struct PodsState {
    pub(crate) groups: Vec<GroupState>,
    /// Entries of the list of endpoints.
    pub(crate) endpoints: u32,
    /// How many of them clients outside the mesh have heard of.
    pub(crate) seen_outside: u32,
    /// Zones that take no pods.
    pub(crate) cordoned: Vec<u32>,
    /// Faults that new pods have too.
    pub(crate) faults: Vec<u32>,
}

/// What changes of one controller.
#[derive(Clone, Debug)]
pub(crate) struct GroupState {
    /// How many pods are wanted.
    pub(crate) replicas: u32,
    pub(crate) generation: u32,
    /// The workload of new pods.
    pub(crate) workload: u32,
    /// When so many pods were asked for by the metrics, and when so many were wanted, the newest first.
    pub(crate) recommended: Vec<(u64, u32)>,
    pub(crate) history: Vec<(u64, u32)>,
    pub(crate) looked_at: u64,
}

impl Engine<'_> {
    pub(super) fn start_pods(&mut self) {
        let plan = self.plan;
        let Some(pods) = &plan.pods else { return };
        for (number, group) in (0_u32..).zip(&pods.groups) {
            self.pods.groups.push(GroupState {
                replicas: group.replicas,
                generation: 0,
                workload: group.workloads.first().copied().unwrap_or(0),
                recommended: Vec::new(),
                history: Vec::new(),
                looked_at: 0,
            });
            if group.scaler.is_some() {
                self.queue.push(super::scaling::PERIOD, Event::Scale { group: number });
            }
            for node in plan.slots(number) {
                let entry = &self.nodes[node as usize];
                if entry.pod.phase == Phase::There {
                    self.measure.ready(0, plan.nodes[node as usize].workload, 1);
                    self.start_probes(node);
                }
            }
        }
        for (number, step) in (0..).zip(&pods.steps) {
            self.queue.push(step.at, Event::PodStep { step: number });
        }
        for number in 0..self.instances.len() as u32 {
            self.refresh_hosts(number, None);
        }
    }

    /// The group of a replica; `None`: its pod stays.
    pub(super) fn group_of(&self, node: u32) -> Option<u32> {
        self.plan.workloads[self.plan.nodes[node as usize].workload as usize].group
    }

    pub(super) fn on_pod_step(&mut self, step: u32) -> bool {
        let Some(step) = self.plan.pods.as_ref().and_then(|pods| pods.steps.get(step as usize)) else { return false };
        match step.change {
            PodChange::Replace { group } => {
                self.pods.groups[group as usize].generation += 1;
                self.todo.push_back(Todo::Reconcile { group });
            }
            PodChange::Template { group, workload } => self.pods.groups[group as usize].workload = workload,
            PodChange::Scale { group, replicas } => self.want(group, replicas),
            PodChange::Drain { zone, until } => self.drain_zone(zone, until),
        }
        true
    }

    /// So many pods are wanted.
    pub(super) fn want(&mut self, group: u32, replicas: u32) {
        let state = &mut self.pods.groups[group as usize];
        if state.replicas != replicas {
            state.replicas = replicas;
            self.todo.push_back(Todo::Reconcile { group });
        }
    }

    /// Starts a pod in the zone with the fewest of its kind. Says whether there was a slot.
    pub(super) fn create_pod(&mut self, group: u32) -> bool {
        let plan = self.plan;
        let state = &self.pods.groups[group as usize];
        let (workload, generation) = (state.workload, state.generation);
        let zone = |node: u32| self.plan.nodes[node as usize].zone;
        let phase = |node: u32| self.nodes[node as usize].pod.phase;
        let slots = plan.slots(group);
        let crowd =
            |wanted: u32| slots.clone().filter(|node| phase(*node) == Phase::There && zone(*node) == wanted).count();
        let is_free = |node: &u32| {
            self.plan.nodes[*node as usize].workload == workload
                && phase(*node) == Phase::Absent
                && !self.pods.cordoned.contains(&zone(*node))
        };
        let best = slots
            .clone()
            .filter(is_free)
            .min_by_key(|node| (crowd(zone(*node)), zone(*node), self.nodes[*node as usize].pod.free_since, *node));
        let Some(node) = best else { return false };
        let start_up = self.plan.workloads[workload as usize].start_up;
        let base = self.plan.workloads[workload as usize].base;
        let now = self.now;
        self.settle_busy(node as usize);
        let entry = &mut self.nodes[node as usize];
        entry.epoch += 1;
        let epoch = entry.epoch;
        let (life, toggles, meter) = (entry.pod.life + 1, std::mem::take(&mut entry.pod.toggles), entry.pod.meter);
        let phase = Phase::There;
        let times = Pod { born: now, container_since: now, life, generation, phase, ..Pod::default() };
        entry.pod = Pod { toggles, meter, metered: meter, ..times };
        for fault in self.pods.faults.clone() {
            let is_hit = match self.plan.faults[fault as usize].hits {
                Hits::Workload(of, meshproof_model::Replicas::All) => of == base,
                Hits::Zone(zone) => zone == self.plan.nodes[node as usize].zone,
                Hits::Cluster(cluster) => self.plan.nodes[node as usize].cluster == Some(cluster),
                Hits::Workload(..) | Hits::Nothing => false,
            };
            if is_hit {
                self.nodes[node as usize].faults.push(fault);
            }
        }
        self.update(node);
        self.queue.push(now.saturating_add(start_up), Event::Ready { node, epoch });
        self.start_probes(node);
        true
    }

    /// Tells a pod to go: it leaves the list of endpoints at once, and stops after its `preStop` (`K-4`).
    pub(super) fn delete_pod(&mut self, node: u32) {
        let entry = &mut self.nodes[node as usize];
        if entry.pod.phase != Phase::There {
            return;
        }
        entry.pod.phase = Phase::Ending;
        let (is_up, life) = (entry.is_up, entry.pod.life);
        self.set_ready(node, false);
        if !is_up {
            return self.free_slot(node);
        }
        let rules = &self.plan.workloads[self.plan.nodes[node as usize].workload as usize].life;
        if rules.pre_stop == 0 {
            return self.stop_pod(node);
        }
        self.queue.push(self.now.saturating_add(rules.pre_stop), Event::Stop { node, life, is_kill: false });
    }

    /// SIGTERM, or SIGKILL.
    pub(super) fn on_stop(&mut self, node: u32, life: u32, is_kill: bool) -> bool {
        let pod = &self.nodes[node as usize].pod;
        if pod.life != life || !matches!(pod.phase, Phase::Ending | Phase::Stopping) {
            return false;
        }
        if is_kill {
            self.free_slot(node);
        } else {
            self.stop_pod(node);
        }
        true
    }

    /// The container is told to stop: it is gone, or refuses connections and finishes what it has.
    fn stop_pod(&mut self, node: u32) {
        let workload = &self.plan.workloads[self.plan.nodes[node as usize].workload as usize];
        let entry = &mut self.nodes[node as usize];
        entry.pod.phase = Phase::Stopping;
        if !workload.life.finishes_work || !entry.is_up {
            return self.free_slot(node);
        }
        let life = entry.pod.life;
        let left = workload.life.grace.saturating_sub(workload.life.pre_stop);
        self.queue.push(self.now.saturating_add(left), Event::Stop { node, life, is_kill: true });
        for (number, instance) in (0_u32..).zip(&self.instances) {
            let at = instance.home(number);
            for known in instance.connections.iter().flatten().filter(|known| known.target.node() == Some(node)) {
                let way = self.link_delay(Some(instance.node), Some(node), u64::from(number), self.now);
                self.queue.push(self.now.saturating_add(way), Event::Goaway { at, connection: known.id });
            }
        }
        self.end_if_idle(node);
    }

    /// A pod that stops goes when it has nothing left to do.
    pub(super) fn end_if_idle(&mut self, node: u32) {
        let entry = &self.nodes[node as usize];
        let is_idle = entry.busy == 0 && entry.waiting == 0;
        if entry.pod.phase == Phase::Stopping && is_idle && entry.is_up {
            self.todo.push_back(Todo::EndPod { node, life: entry.pod.life });
        }
    }

    /// It has nothing left to do, if nothing has come since.
    pub(super) fn end_pod(&mut self, node: u32, life: u32) {
        let entry = &self.nodes[node as usize];
        let is_meant = entry.pod.life == life && entry.pod.phase == Phase::Stopping;
        if is_meant && entry.busy == 0 && entry.waiting == 0 {
            self.free_slot(node);
        }
    }

    /// A pod is gone.
    fn free_slot(&mut self, node: u32) {
        self.settle_busy(node as usize);
        self.nodes[node as usize].pod.phase = Phase::Absent;
        self.crash(node);
        let entry = &mut self.nodes[node as usize];
        entry.epoch += 1;
        entry.faults.clear();
        entry.pod.free_since = self.now;
        if let Some(group) = self.group_of(node) {
            self.todo.push_back(Todo::Reconcile { group });
        }
    }

    /// A pod becomes ready, or is no longer: the list of endpoints follows, and its controller looks again.
    pub(super) fn set_ready(&mut self, node: u32, is_ready: bool) {
        let entry = &mut self.nodes[node as usize];
        if entry.pod.is_ready == is_ready {
            return;
        }
        entry.pod.is_ready = is_ready;
        entry.pod.ready_since = self.now;
        entry.pod.metered = entry.pod.meter;
        let number = self.plan.nodes[node as usize].workload;
        self.measure.ready(self.now, number, if is_ready { 1 } else { -1 });
        self.change_endpoint(node);
        let Some(group) = self.group_of(node) else { return };
        self.todo.push_back(Todo::Reconcile { group });
        let min_ready = self.plan.workloads[number as usize].life.min_ready;
        if is_ready && min_ready > 0 {
            self.queue.push(self.now.saturating_add(min_ready), Event::Reconcile { group });
        }
    }

    /// A pod's container has begun to work.
    pub(super) fn pod_up(&mut self, node: u32) {
        let Some(_) = self.group_of(node) else { return };
        let life = &self.plan.workloads[self.plan.nodes[node as usize].workload as usize].life;
        if life.readiness.is_none() && self.nodes[node as usize].pod.has_started {
            self.set_ready(node, true);
        }
    }

    /// A pod's container is gone, and may come again.
    pub(super) fn pod_down(&mut self, node: u32) {
        if self.group_of(node).is_some() {
            self.nodes[node as usize].pod.results = Default::default();
            self.set_ready(node, false);
        }
    }

    /// Remembers faults that new pods have too.
    pub(super) fn fault_for_new_pods(&mut self, fault: u32, begins: bool) {
        let effect = self.plan.faults[fault as usize].effect;
        let is_lasting = matches!(
            effect,
            FaultEffect::Slow(_) | FaultEffect::Errors { .. } | FaultEffect::Capacity(_) | FaultEffect::Certificates
        );
        if !is_lasting {
            return;
        }
        super::faults::switch(&mut self.pods.faults, fault, begins);
        if begins {
            return;
        }
        for node in 0..self.nodes.len() as u32 {
            if self.nodes[node as usize].faults.contains(&fault) {
                self.nodes[node as usize].faults.retain(|known| *known != fault);
                self.update(node);
            }
        }
    }
}

impl Node {
    /// Whether it takes new connections.
    pub(crate) fn takes_connections(&self) -> bool {
        self.is_up && self.pod.phase != Phase::Stopping
    }
}
