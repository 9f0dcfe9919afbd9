//! Pods that come and go, compiled: room for every pod that a run may need, and what makes pods change.
//!
//! Lowering numbers endpoints, so their number is fixed before a run: each workload whose pods may change has as many
//! slots as it can need, most of them asleep. A pod whose template differs is one of another workload with the same name.

use std::{collections::BTreeMap, sync::Arc};

use meshproof_model::{
    Mesh, RolloutStep, Scenario, Stage, Workload, WorkloadId,
    kubernetes::{
        HorizontalPodAutoscaler, Metric, MetricTarget, PodDisruptionBudget, PodLife, RolloutBounds, Strategy,
    },
};

use crate::Stages;

/// BOUND: slots of one workload, unless more pods are asked for at the start.
const SLOTS_MAX: u32 = 2048;
/// Kinds of workloads that are no pods.
const NO_PODS: [&str; 3] = ["WorkloadEntry", "WorkloadGroup", "ServiceEntry"];

/// Everything that makes pods come and go.
#[derive(Debug, Default)]
pub(crate) struct Pods {
    pub(crate) groups: Vec<Group>,
    pub(crate) budgets: Vec<Budget>,
    /// In the order of time.
    pub(crate) steps: Vec<PodStep>,
}

/// Pods that one controller keeps: a Deployment with all its templates.
#[derive(Debug)]
pub(crate) struct Group {
    /// One workload for each template, the one of the start first.
    pub(crate) workloads: Vec<u32>,
    /// How many pods there are at the start.
    pub(crate) replicas: u32,
    pub(crate) scaler: Option<Scaler>,
    /// Whether it keeps its pods while a zone is drained.
    pub(crate) stays: bool,
}

/// What the template of a pod says of its life. Times in nanoseconds.
#[derive(Clone, Debug)]
pub(crate) struct Life {
    pub(crate) strategy: Strategy,
    pub(crate) is_stateful: bool,
    pub(crate) min_ready: u64,
    pub(crate) pre_stop: u64,
    pub(crate) grace: u64,
    /// Whether it finishes what it has begun when it is told to stop.
    pub(crate) finishes_work: bool,
    pub(crate) startup: Option<Probe>,
    pub(crate) readiness: Option<Probe>,
    pub(crate) liveness: Option<Probe>,
    /// Of all containers, in thousandths of a core.
    pub(crate) cpu_request: Option<u64>,
}

/// How the kubelet asks (`K-2`). Times in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Probe {
    pub(crate) initial_delay: u64,
    pub(crate) period: u64,
    pub(crate) timeout: u64,
    pub(crate) successes: u32,
    pub(crate) failures: u32,
}

/// What changes the number of pods with the load.
#[derive(Debug)]
pub(crate) struct Scaler {
    pub(crate) rules: HorizontalPodAutoscaler,
    pub(crate) metrics: Vec<(Metered, u64)>,
}

/// What an autoscaler measures of a pod; its target has the same unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Metered {
    /// Thousandths of a percent of what the pod requests.
    Cpu,
    /// Thousandths of requests in work or waiting.
    Jobs,
    /// Thousandths of requests per second.
    Rate,
}

/// How many pods may be evicted.
#[derive(Debug)]
pub(crate) struct Budget {
    pub(crate) rule: PodDisruptionBudget,
    pub(crate) groups: Vec<u32>,
}

/// Something that is done to pods.
#[derive(Debug)]
pub(crate) struct PodStep {
    pub(crate) at: u64,
    pub(crate) change: PodChange,
    /// For the report.
    pub(crate) reason: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum PodChange {
    /// All pods are replaced.
    Replace { group: u32 },
    /// New pods are of this workload.
    Template { group: u32, workload: u32 },
    /// So many pods are wanted.
    Scale { group: u32, replicas: u32 },
    /// A zone takes no pods until then, and is emptied.
    Drain { zone: u32, until: u64 },
}

/// A mesh with room for all pods.
pub(super) struct Room {
    pub(super) mesh: Mesh,
    pub(super) stages: Stages,
    pub(super) pods: Pods,
    /// By workload: the one of the start that it is a template of.
    pub(super) base: Vec<WorkloadId>,
    pub(super) warnings: Vec<String>,
}

impl Room {
    /// `None`: all pods stay as they are.
    pub(super) fn of(mesh: &Mesh, scenario: &Scenario, stages: &Stages) -> Option<Self> {
        let in_time = in_time(scenario, stages);
        let elastic = elastic(mesh, scenario, stages);
        if elastic.is_empty() {
            return None;
        }
        let mut room = Self {
            mesh: mesh.clone(),
            stages: BTreeMap::new(),
            pods: Pods::default(),
            base: mesh.workload_ids().collect(),
            warnings: Vec::new(),
        };
        for id in &elastic {
            room.group(mesh, scenario, &in_time, *id);
        }
        room.budgets(mesh, &elastic);
        room.steps(mesh, scenario, stages, &elastic);
        for (number, stage) in stages {
            let mut staged = Stage::clone(stage);
            staged.mesh.workloads.clone_from(&room.mesh.workloads);
            room.stages.insert(*number, Arc::new(staged));
        }
        Some(room)
    }

    fn group(&mut self, mesh: &Mesh, scenario: &Scenario, stages: &[&Arc<Stage>], id: WorkloadId) {
        let workload = mesh.workload(id);
        let scaler = self.scaler(mesh, workload);
        let all = std::iter::once(workload).chain(stages.iter().map(|stage| stage.mesh.workload(id)));
        let mut templates: Vec<&Workload> = Vec::new();
        let mut most = scaler.as_ref().map_or(0, |scaler| scaler.rules.range().1);
        for one in all {
            most = most.max(one.replicas.value);
            if !templates.iter().any(|known| is_same(known, one) && has_same_proxy(known, one)) {
                templates.push(one);
            }
        }
        let surge = templates.iter().map(|one| Life::of(one).bounds(most).surge).max().unwrap_or(0);
        let moves =
            templates.len() > 1 || scaler.is_some() || scenario.rollout.iter().any(|step| moves(step, workload));
        // Pods that end still take theirs.
        let slots = if moves { most.saturating_mul(2).saturating_add(surge) } else { most };
        let zones = mesh.behaviour.placement.zones.len() as u32;
        let drained = scenario.rollout.iter().filter(|step| matches!(step, RolloutStep::Drain { .. })).count() as u32;
        let left = zones.saturating_sub(drained).max(1);
        let slots = slots.saturating_mul(zones.max(1)).div_ceil(left).min(SLOTS_MAX.max(most)).max(1);
        let mut workloads = vec![id.0];
        self.mesh.workloads[id.index()].replicas.value = slots;
        for template in templates.iter().skip(1) {
            let mut template = Workload::clone(template);
            template.replicas.value = slots;
            workloads.push(self.mesh.workloads.len() as u32);
            self.mesh.workloads.push(template);
            self.base.push(id);
        }
        let range = scaler.as_ref().map(|scaler| scaler.rules.range());
        let replicas = workload.replicas.value;
        let replicas = range.map_or(replicas, |(least, most)| replicas.clamp(least, most));
        let stays = workload.meta.resource.kind == "DaemonSet";
        self.pods.groups.push(Group { workloads, replicas, scaler, stays });
    }

    fn scaler(&mut self, mesh: &Mesh, workload: &Workload) -> Option<Scaler> {
        let rules = mesh.kubernetes.autoscalers.iter().find(|rules| scales(rules, workload))?;
        let request = Life::of(workload).cpu_request;
        let metrics: Vec<_> = rules.metrics.iter().filter_map(|metric| metered(metric, request)).collect();
        if metrics.len() < rules.metrics.len() || metrics.is_empty() {
            let cpu = if request.is_none() { " (its pods request no CPU)" } else { "" };
            let name = &rules.meta.resource;
            self.warnings.push(format!("metrics of {name} are left out that no run knows{cpu}"));
        }
        (!metrics.is_empty()).then(|| Scaler { rules: rules.clone(), metrics })
    }

    fn budgets(&mut self, mesh: &Mesh, elastic: &[WorkloadId]) {
        for rule in &mesh.kubernetes.disruption_budgets {
            let is_held = |id: &WorkloadId| {
                let workload = mesh.workload(*id);
                let is_near = rule.meta.namespace() == workload.meta.namespace();
                is_near && rule.pods.as_ref().is_some_and(|pods| pods.matches(&workload.labels))
            };
            let groups: Vec<u32> = (0..).zip(elastic).filter(|(_, id)| is_held(id)).map(|(group, _)| group).collect();
            if !groups.is_empty() {
                self.pods.budgets.push(Budget { rule: rule.clone(), groups });
            }
        }
    }

    fn steps(&mut self, mesh: &Mesh, scenario: &Scenario, stages: &Stages, elastic: &[WorkloadId]) {
        let mut current = mesh;
        for (number, step) in scenario.steps() {
            let at = step.at().get();
            let mut add = |change: PodChange, reason: Option<String>| {
                self.pods.steps.push(PodStep { at, change, reason });
            };
            match step {
                RolloutStep::Restart { workload, .. } => {
                    let group = mesh.named_workload(workload).and_then(|id| elastic.iter().position(|one| *one == id));
                    if let Some(group) = group {
                        add(PodChange::Replace { group: group as u32 }, Some(step.to_string()));
                    }
                }
                RolloutStep::Drain { zone, during, .. } => {
                    let zone = mesh.behaviour.placement.zones.iter().position(|known| known == zone).unwrap_or(0);
                    let until = at.saturating_add(during.get());
                    add(PodChange::Drain { zone: zone as u32, until }, Some(step.to_string()));
                }
                _ => {
                    let Some(stage) = stages.get(&number) else { continue };
                    for (group, id) in (0..).zip(elastic) {
                        let (was, is) = (current.workload(*id), stage.mesh.workload(*id));
                        let workloads = &self.pods.groups[group as usize].workloads;
                        let is_it = |workload: &&u32| {
                            let template = &self.mesh.workloads[**workload as usize];
                            is_same(template, is) && has_same_proxy(template, is)
                        };
                        if let Some(workload) = workloads.iter().find(is_it).copied() {
                            self.pods.steps.push(PodStep {
                                at,
                                change: PodChange::Template { group, workload },
                                reason: None,
                            });
                        }
                        if !is_same(was, is) {
                            self.pods.steps.push(PodStep { at, change: PodChange::Replace { group }, reason: None });
                        }
                        if was.replicas.value != is.replicas.value {
                            let change = PodChange::Scale { group, replicas: is.replicas.value };
                            self.pods.steps.push(PodStep { at, change, reason: None });
                        }
                    }
                    current = &stage.mesh;
                }
            }
        }
    }
}

/// What manifests become during a run, in order.
fn in_time<'s>(scenario: &Scenario, stages: &'s Stages) -> Vec<&'s Arc<Stage>> {
    scenario.steps().into_iter().filter_map(|(number, _)| stages.get(&number)).collect()
}

/// Workloads whose pods may come, go, or be found not to be ready.
pub(super) fn elastic(mesh: &Mesh, scenario: &Scenario, stages: &Stages) -> Vec<WorkloadId> {
    let in_time = in_time(scenario, stages);
    mesh.workload_ids().filter(|id| is_elastic(mesh, scenario, &in_time, *id)).collect()
}

/// What a run with a release leaves out: it moves no pods but those of the release.
pub(super) fn standing_still(mesh: &Mesh, elastic: &[WorkloadId]) -> Option<String> {
    let names: Vec<String> = elastic.iter().map(|id| mesh.workload(*id).full_name()).collect();
    (!names.is_empty()).then(|| {
        format!(
            "pods of {} stay as they are: beside a release, probes, autoscalers, restarts and drains are left out",
            names.join(", ")
        )
    })
}

/// Whether pods of a workload may come, go, or be found not to be ready.
fn is_elastic(mesh: &Mesh, scenario: &Scenario, stages: &[&Arc<Stage>], id: WorkloadId) -> bool {
    let workload = mesh.workload(id);
    if NO_PODS.contains(&workload.meta.resource.kind.as_str()) {
        return false;
    }
    let life = Life::of(workload);
    life.readiness.is_some()
        || life.liveness.is_some()
        || life.startup.is_some()
        || scenario.rollout.iter().any(|step| moves(step, workload))
        || mesh.kubernetes.autoscalers.iter().any(|rules| scales(rules, workload))
        || stages.iter().any(|stage| {
            let other = stage.mesh.workload(id);
            other.replicas.value != workload.replicas.value
                || other.proxy != workload.proxy
                || !is_same(workload, other)
        })
}

/// Whether a step replaces or moves pods of a workload.
fn moves(step: &RolloutStep, workload: &Workload) -> bool {
    match step {
        RolloutStep::Restart { workload: name, .. } => *name == workload.full_name(),
        RolloutStep::Drain { .. } => workload.meta.resource.kind != "DaemonSet",
        _ => false,
    }
}

fn scales(rules: &HorizontalPodAutoscaler, workload: &Workload) -> bool {
    let (kind, name) = &rules.target.value;
    rules.meta.namespace() == workload.meta.namespace()
        && *kind == workload.meta.resource.kind
        && name == workload.meta.name()
}

/// Whether two templates say the same, what the namespace makes of them aside.
fn is_same(a: &Workload, b: &Workload) -> bool {
    let env = |workload: &Workload| -> Vec<(String, String)> {
        workload.env.iter().map(|(name, value)| (name.clone(), value.value.clone())).collect()
    };
    let (life, other) = (Life::of(a), Life::of(b));
    a.labels == b.labels
        && a.annotations == b.annotations
        && a.service_account.value == b.service_account.value
        && a.ports == b.ports
        && a.host_network == b.host_network
        && env(a) == env(b)
        && (life.pre_stop, life.grace, life.startup, life.readiness, life.liveness, life.cpu_request)
            == (other.pre_stop, other.grace, other.startup, other.readiness, other.liveness, other.cpu_request)
}

/// Whether a namespace makes the same of the pods of two templates.
fn has_same_proxy(a: &Workload, b: &Workload) -> bool {
    a.proxy == b.proxy && a.istio_version == b.istio_version
}

/// What a metric measures, and its target in the same unit; `None`: no run knows it.
fn metered(metric: &Metric, cpu_request: Option<u64>) -> Option<(Metered, u64)> {
    let milli = |text: &str| match (text.strip_suffix('m'), text.strip_suffix('k')) {
        (Some(milli), _) => milli.parse().ok(),
        (_, Some(thousands)) => Some(thousands.parse::<u64>().ok()?.saturating_mul(1_000_000)),
        _ => Some(text.parse::<u64>().ok()?.saturating_mul(1000)),
    };
    match (metric.kind.as_str(), metric.name.as_str(), &metric.target) {
        ("Resource" | "ContainerResource", "cpu", MetricTarget::Utilization(percent)) => {
            cpu_request.map(|_| (Metered::Cpu, u64::from(*percent) * 1000))
        }
        ("Pods", "concurrency" | "requests_in_flight", MetricTarget::AverageValue(value)) => {
            Some((Metered::Jobs, milli(value)?))
        }
        ("Pods", "requests_per_second" | "http_requests_per_second", MetricTarget::AverageValue(value)) => {
            Some((Metered::Rate, milli(value)?))
        }
        _ => None,
    }
}

impl Life {
    pub(crate) fn of(workload: &Workload) -> Self {
        let life: &PodLife = &workload.life;
        let probe =
            |of: fn(&meshproof_model::kubernetes::ContainerLife) -> &Option<meshproof_model::kubernetes::Probe>| {
                life.containers.iter().find_map(|container| of(container).as_ref()).map(Probe::of)
            };
        let grace = life.grace().get();
        let sleep = |container: &meshproof_model::kubernetes::ContainerLife| {
            container.pre_stop.as_ref().and_then(|hook| hook.sleep).map_or(0, meshproof_model::Nanos::get)
        };
        let requests: Vec<u64> =
            life.containers.iter().filter_map(|one| Some(u64::from(one.cpu_request_milli.as_ref()?.value))).collect();
        Self {
            strategy: life.strategy.clone(),
            is_stateful: workload.meta.resource.kind == "StatefulSet",
            min_ready: life.min_ready.as_ref().map_or(0, |time| time.value.get()),
            // The container that stops first is missed first (`K-4`).
            pre_stop: life.containers.iter().map(sleep).min().unwrap_or(0).min(grace),
            grace,
            finishes_work: false,
            startup: probe(|container| &container.startup),
            readiness: probe(|container| &container.readiness),
            liveness: probe(|container| &container.liveness),
            cpu_request: (!requests.is_empty()).then(|| requests.iter().sum()),
        }
    }

    /// What an update keeps to; a `StatefulSet` replaces one pod after the other.
    pub(crate) fn bounds(&self, replicas: u32) -> RolloutBounds {
        let bounds = self.strategy.bounds(replicas);
        if !self.is_stateful {
            return bounds;
        }
        RolloutBounds { surge: 0, unavailable: 1, min_available: replicas.saturating_sub(1), max_total: replicas }
    }

    /// Whether all old pods go before a new one comes.
    pub(crate) const fn recreates(&self) -> bool {
        self.strategy.recreates
    }
}

impl Probe {
    fn of(probe: &meshproof_model::kubernetes::Probe) -> Self {
        let value = |written: &Option<meshproof_model::Located<u32>>, default: u32| {
            written.as_ref().map_or(default, |written| written.value)
        };
        let nanos = |seconds: u32| u64::from(seconds) * 1_000_000_000;
        Self {
            initial_delay: nanos(value(&probe.initial_delay, 0)),
            period: nanos(value(&probe.period, 10).max(1)),
            timeout: nanos(value(&probe.timeout, 1).max(1)),
            successes: value(&probe.success_threshold, 1).max(1),
            failures: value(&probe.failure_threshold, 3).max(1),
        }
    }
}
