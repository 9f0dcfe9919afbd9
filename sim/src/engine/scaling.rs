//! The horizontal autoscaler: every 15 s it compares what pods measure with its targets (`K-5`).

use super::{Engine, Event, Todo, pods::Phase};
use crate::plan::{Metered, Scaler};

/// The time between two looks, in nanoseconds.
pub(super) const PERIOD: u64 = meshproof_model::kubernetes::AUTOSCALER_PERIOD.get();
/// BOUND: what an autoscaler remembers; its longest window is an hour.
const REMEMBERED: usize = 240;

/// What the pods of a group measure of one metric.
#[derive(Clone, Copy, Debug, Default)]
struct Measured {
    sum: u64,
    ready: u32,
    /// Pods that are not ready, which count as idle where more would be asked for.
    waiting: u32,
}

impl Engine<'_> {
    pub(super) fn on_scale(&mut self, group: u32) -> bool {
        let plan = self.plan;
        let scaler = plan.pods.as_ref().and_then(|pods| pods.groups.get(group as usize)?.scaler.as_ref());
        let Some(scaler) = scaler else { return false };
        let nodes: Vec<u32> =
            self.plan.slots(group).filter(|node| self.nodes[*node as usize].pod.phase == Phase::There).collect();
        for node in &nodes {
            self.settle_busy(*node as usize);
        }
        let current = self.pods.groups[group as usize].replicas;
        let wanted = scaler.metrics.iter().map(|(what, target)| {
            let measured = self.measured(&nodes, *what, group);
            asked_for(measured, current, *target)
        });
        let wanted = wanted.max().unwrap_or(current);
        let next = self.next_size(group, scaler, wanted);
        for node in nodes {
            let pod = &mut self.nodes[node as usize].pod;
            pod.metered = pod.meter;
        }
        self.pods.groups[group as usize].looked_at = self.now;
        if next != current {
            self.pods.groups[group as usize].replicas = next;
            self.todo.push_back(Todo::Reconcile { group });
        }
        let again = self.now.saturating_add(PERIOD);
        if again <= plan.horizon {
            self.queue.push(again, Event::Scale { group });
        }
        true
    }

    fn measured(&self, nodes: &[u32], what: Metered, group: u32) -> Measured {
        let since = self.pods.groups[group as usize].looked_at;
        let mut out = Measured::default();
        for node in nodes {
            let pod = &self.nodes[*node as usize].pod;
            let length = u128::from(self.now - since.max(pod.ready_since));
            if !pod.is_ready || length == 0 {
                out.waiting += 1;
                continue;
            }
            let workload = &self.plan.workloads[self.plan.nodes[*node as usize].workload as usize];
            let grown = |at: usize| pod.meter[at].saturating_sub(pod.metered[at]);
            let value = match what {
                // A processor is a core; a place for work is its part of what the pod requests.
                Metered::Cpu if workload.discipline == meshproof_model::Discipline::Shared => {
                    let request = u128::from(workload.life.cpu_request.unwrap_or(1000).max(1));
                    grown(0) * 1000 * 100_000 / (length * request)
                }
                Metered::Cpu => grown(0) * 100_000 / (length * u128::from(workload.concurrency.max(1))),
                Metered::Jobs => grown(1) * 1000 / length,
                Metered::Rate => grown(2) * 1000 * 1_000_000_000 / length,
            };
            out.sum = out.sum.saturating_add(u64::try_from(value).unwrap_or(u64::MAX));
            out.ready += 1;
        }
        out
    }

    /// The number after windows and policies, which is remembered.
    fn next_size(&mut self, group: u32, scaler: &Scaler, wanted: u32) -> u32 {
        let now = self.now;
        let state = &mut self.pods.groups[group as usize];
        let aged = |all: &[(u64, u32)]| -> Vec<(u32, u32)> {
            let seconds = |at: u64| u32::try_from((now - at) / 1_000_000_000).unwrap_or(u32::MAX);
            all.iter().map(|(at, replicas)| (seconds(*at), *replicas)).collect()
        };
        let next = scaler.rules.step(state.replicas, wanted, &aged(&state.recommended), &aged(&state.history));
        state.recommended.insert(0, (now, wanted));
        state.history.insert(0, (now, state.replicas));
        state.recommended.truncate(REMEMBERED);
        state.history.truncate(REMEMBERED);
        next
    }
}

/// The number of pods that a metric asks for (`K-5`).
fn asked_for(measured: Measured, current: u32, target: u64) -> u32 {
    let Measured { sum, ready, waiting } = measured;
    if ready == 0 || target == 0 {
        return current;
    }
    let is_near = |value: u64| value.abs_diff(target) * 10 <= target;
    let mean = sum / u64::from(ready);
    if is_near(mean) {
        return current;
    }
    let pods = |count: u32, value: u64| {
        u32::try_from((u128::from(count) * u128::from(value)).div_ceil(u128::from(target))).unwrap_or(u32::MAX)
    };
    if mean < target || waiting == 0 {
        return pods(ready, mean);
    }
    let count = ready + waiting;
    let mean = sum / u64::from(count);
    if is_near(mean) || mean < target { current } else { pods(count, mean) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k5_pods_that_are_not_ready_count_as_idle_where_more_would_be_asked_for() {
        for (sum, ready, waiting, current, target, expect) in [
            (90_000 * 4, 4, 0, 4, 50_000, 8),
            (55_000 * 4, 4, 0, 4, 50_000, 4),
            (10_000 * 4, 4, 0, 4, 50_000, 1),
            // Four more are on their way: nothing more is asked for.
            (90_000 * 4, 4, 4, 8, 50_000, 8),
            (90_000 * 4, 4, 1, 5, 50_000, 8),
            (10_000 * 4, 4, 2, 6, 50_000, 1),
            (0, 0, 3, 3, 50_000, 3),
        ] {
            assert_eq!(asked_for(Measured { sum, ready, waiting }, current, target), expect, "{sum} {ready} {waiting}");
        }
    }
}
