//! What still works when something has failed (`P6`).
//!
//! **Statement.** A handler is up where a pod of it is left, and each call that it cannot do without has, at each
//! destination that its requests can go to, some endpoint that is up. It is the greatest such set: what depends on
//! itself in a cycle keeps running, as it did before the failure. Proxies know which pods are gone (readiness and
//! outlier detection have acted), and nothing else is slow.
//!
//! **Decided by** a fixpoint for each set of failures; sets of up to `k` failures are gone through one by one, smaller
//! ones first, so that a set that breaks something and has no smaller one inside is a smallest cut, and its being so is
//! proved by the sets before it. The fixpoint is the definition itself; its oracle in the tests is the other direction,
//! the least set of handlers that go down.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use meshproof_model::{Distribution, Mesh, ServiceId, Spread, WorkloadId};

use crate::graph::{Graph, NodeKind};

/// Something that fails.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Failure {
    /// Every pod in a zone, by its number.
    Zone(usize),
    /// Every pod behind a service.
    Service(ServiceId),
    /// So many pods of a workload.
    Pods(WorkloadId, u32),
    /// The control plane: proxies keep what they have, and nothing that runs stops.
    ControlPlane,
}

/// What a handler needs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Need {
    /// Each a group of nodes of which one must be up.
    pub groups: Vec<Vec<usize>>,
}

/// The handlers of a mesh, what each needs, and where its pods are.
#[derive(Clone, Debug)]
pub(crate) struct Dependencies {
    /// By node of the graph.
    needs: Vec<Need>,
    /// By node: the workload whose pods run it; `None`: somebody who cannot fail.
    workloads: Vec<Option<WorkloadId>>,
    /// By workload: pods in each zone.
    pods: Vec<Vec<u32>>,
    /// By workload: the services that it serves.
    serves: Vec<Vec<ServiceId>>,
}

impl Dependencies {
    /// Of a mesh.
    pub(crate) fn of(mesh: &Mesh, graph: &Graph) -> Self {
        let zones = mesh.behaviour.placement.zones.len().max(1);
        let spread = |replicas: u32| {
            let mut pods = vec![0; zones];
            for replica in 0..replicas as usize {
                pods[if mesh.behaviour.placement.spread == Spread::Even { replica % zones } else { 0 }] += 1;
            }
            pods
        };
        let mut serves = vec![Vec::new(); mesh.workloads.len()];
        for service in mesh.service_ids() {
            for id in mesh.workloads_of(service) {
                serves[id.index()].push(service);
            }
        }
        let workload = |node: usize| match graph.nodes[node].kind {
            NodeKind::Workload | NodeKind::Gateway => mesh.named_workload(&graph.nodes[node].name),
            NodeKind::Client | NodeKind::Entry => None,
        };
        Self {
            needs: (0..graph.nodes.len()).map(|node| need(graph, node)).collect(),
            workloads: (0..graph.nodes.len()).map(workload).collect(),
            pods: mesh.workloads.iter().map(|workload| spread(workload.replicas.value)).collect(),
            serves,
        }
    }

    /// Pods of a workload that are left.
    pub(crate) fn left(&self, id: WorkloadId, failures: &[Failure]) -> u32 {
        let gone = |zone: usize| failures.contains(&Failure::Zone(zone));
        let pods = &self.pods[id.index()];
        let standing: u32 = (0..pods.len()).filter(|zone| !gone(*zone)).map(|zone| pods[zone]).sum();
        let mut left = standing;
        for failure in failures {
            match failure {
                Failure::Service(service) if self.serves[id.index()].contains(service) => return 0,
                Failure::Pods(failed, count) if *failed == id => left = left.saturating_sub(*count),
                _ => {}
            }
        }
        left
    }

    /// Which nodes are up after these failures.
    pub(crate) fn up(&self, failures: &[Failure]) -> Vec<bool> {
        let alive = |node: usize| self.workloads[node].is_none_or(|id| self.left(id, failures) > 0);
        let mut up: Vec<bool> = (0..self.needs.len()).map(alive).collect();
        loop {
            let falls = |node: usize| {
                up[node] && !self.needs[node].groups.iter().all(|group| group.iter().any(|other| up[*other]))
            };
            let falling: Vec<usize> = (0..up.len()).filter(|node| falls(*node)).collect();
            if falling.is_empty() {
                return up;
            }
            for node in falling {
                up[node] = false;
            }
        }
    }
}

impl Dependencies {
    /// The same from the other side: what goes down, from what has no pod left. A handler goes down once some need of it
    /// has nobody that is not down.
    pub(crate) fn down(&self, failures: &[Failure]) -> Vec<bool> {
        let mut down: Vec<bool> =
            self.workloads.iter().map(|id| id.is_some_and(|id| self.left(id, failures) == 0)).collect();
        for _ in 0..down.len() {
            let before = down.clone();
            for node in 0..down.len() {
                down[node] |= self.needs[node].groups.iter().any(|group| group.iter().all(|other| down[*other]));
            }
            if down == before {
                break;
            }
        }
        down
    }
}

/// Calls that a node cannot do without: for each destination that requests can go to, whoever answers there. A
/// destination outside of the model does not fail.
fn need(graph: &Graph, node: usize) -> Need {
    let mut groups = BTreeSet::new();
    for call in graph.calls(node).filter(|call| !call.optional && call.times > 0) {
        // Of alternatives that are not taken nothing is known to depend.
        for arm in call.ways.iter().filter(|way| way.taken).flat_map(|way| &way.arms) {
            let group: BTreeSet<usize> = arm.targets.iter().map(|target| target.node).collect();
            if !group.is_empty() {
                groups.insert(group.into_iter().collect::<Vec<_>>());
            }
        }
    }
    Need { groups: groups.into_iter().collect() }
}

/// Sets of up to `most` of some things, smaller ones first, in order; the empty one too.
pub(crate) fn up_to<T: Clone>(things: &[T], most: u32) -> Vec<Vec<T>> {
    let mut all: Vec<Vec<usize>> = vec![Vec::new()];
    let mut last = all.clone();
    for _ in 0..most {
        let longer = last.iter().flat_map(|set| {
            let next = set.last().map_or(0, |place| place + 1);
            (next..things.len()).map(move |place| set.iter().copied().chain([place]).collect::<Vec<_>>())
        });
        last = longer.collect();
        all.extend(last.clone());
    }
    all.into_iter().map(|set| set.into_iter().map(|place| things[place].clone()).collect()).collect()
}

/// Requests that a pod of a workload answers in a second, in thousandths, if all places work all the time on what the
/// handler itself does; `None`: `mesh.ron` does not describe it, or it takes no time.
pub(crate) fn milli_rps_of_pod(mesh: &Mesh, id: WorkloadId) -> Option<u64> {
    let known = mesh.behaviour.workloads.get(&mesh.workload(id).full_name())?;
    let mean = mean_nanos(&known.service_time);
    (mean > 0).then(|| u64::from(known.concurrency).saturating_mul(1_000_000_000_000) / mean)
}

/// The mean of a distribution in nanoseconds, rounded up.
pub(crate) fn mean_nanos(time: &Distribution) -> u64 {
    match time {
        Distribution::Constant(value) => value.get(),
        Distribution::Exponential { mean } | Distribution::Gamma { mean, .. } => mean.get(),
        Distribution::Uniform { min, max } => u64::midpoint(min.get(), max.get()).saturating_add(1),
        Distribution::Bimodal { fast, slow, slow_share } => {
            let (slow_share, all) = (u128::from(slow_share.ppm()), 1_000_000);
            let area = u128::from(slow.get()) * slow_share + u128::from(fast.get()) * (all - slow_share);
            u64::try_from(area.div_ceil(all)).unwrap_or(u64::MAX)
        }
        Distribution::LogNormal { median, p99 } => {
            #[allow(clippy::cast_precision_loss, clippy::cast_possible_truncation, clippy::cast_sign_loss)]
            let mean = {
                // The 99th percentile is 2.3263 deviations above the median, in logarithms.
                let deviation = (p99.get() as f64 / median.get().max(1) as f64).ln() / 2.326_347_9;
                (median.get() as f64 * (deviation * deviation / 2.0).exp()).ceil() as u64
            };
            mean
        }
        Distribution::Quantiles(quantiles) => {
            let mut before = (0_u64, 0_u64);
            let mut area = 0_u128;
            for (share, value) in quantiles {
                let (at, value) = (u64::from(share.ppm()), value.get());
                area += u128::from(at.saturating_sub(before.0)) * u128::from(before.1.saturating_add(value)) / 2;
                before = (at, value);
            }
            u64::try_from(area / 1_000_000 + 1).unwrap_or(u64::MAX)
        }
    }
}
