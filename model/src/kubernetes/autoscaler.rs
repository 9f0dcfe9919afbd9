//! Kubernetes: `autoscaling.v2.HorizontalPodAutoscaler` and its arithmetic (`K-5`, `11.10`).

use crate::{Located, Location, Meta, Nanos};

/// What changes the number of pods.
#[derive(Clone, Debug, PartialEq)]
pub struct HorizontalPodAutoscaler {
    /// Its name and place.
    pub meta: Meta,
    /// Kind and name of what is scaled.
    pub target: Located<(String, String)>,
    /// `minReplicas`; absent: 1.
    pub min_replicas: Option<Located<u32>>,
    /// `maxReplicas`.
    pub max_replicas: Located<u32>,
    /// What is measured.
    pub metrics: Vec<Metric>,
    /// `behavior.scaleUp`.
    pub up: ScalingRules,
    /// `behavior.scaleDown`.
    pub down: ScalingRules,
}

/// What is measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Metric {
    /// Where it begins.
    pub at: Location,
    /// `Resource`, `ContainerResource`, `Pods`, `Object` or `External`.
    pub kind: String,
    /// The resource or metric.
    pub name: String,
    /// What it is held at.
    pub target: MetricTarget,
}

/// What a metric is held at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MetricTarget {
    /// Percent of what the pods request.
    Utilization(u32),
    /// A value per pod, as written.
    AverageValue(String),
    /// A value, as written.
    Value(String),
}

/// How fast the number may change in one direction; what is absent has Kubernetes' default.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ScalingRules {
    /// `stabilizationWindowSeconds`; absent: 0 up, 300 s down.
    pub stabilization_window: Option<Located<u32>>,
    /// `selectPolicy`; absent: the policy that changes most.
    pub select: Option<Located<SelectPolicy>>,
    /// `policies`; `None`: 100 % in 15 s, and up also 4 pods in 15 s.
    pub policies: Option<Vec<ScalingPolicy>>,
}

/// Which of several policies counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum SelectPolicy {
    /// That which changes most.
    #[default]
    Max,
    /// That which changes least.
    Min,
    /// No change at all.
    Disabled,
}

/// A bound on the change in a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ScalingPolicy {
    /// So many.
    pub value: u32,
    /// Percent of the pods there were, else pods.
    pub is_percent: bool,
    /// In this time, in seconds.
    pub period: u32,
}

/// The time between two steps of an autoscaler.
pub const AUTOSCALER_PERIOD: Nanos = Nanos::from_secs(15);

/// What one metric asks for: `current` replicas times `value` over `target`, rounded up; nothing changes while the
/// ratio is within a tenth of 1 (`11.10`). Without a target nothing changes.
pub fn desired_replicas(current: u32, value: u64, target: u64) -> u32 {
    if target == 0 || value.abs_diff(target) * 10 <= target {
        return current;
    }
    let desired = (u128::from(current) * u128::from(value)).div_ceil(u128::from(target));
    u32::try_from(desired).unwrap_or(u32::MAX)
}

impl HorizontalPodAutoscaler {
    /// The fewest and the most replicas.
    pub fn range(&self) -> (u32, u32) {
        let least = self.min_replicas.as_ref().map_or(1, |least| least.value);
        (least, self.max_replicas.value.max(least))
    }

    /// The number after one step of 15 s (`11.10`). `desired`: the greatest that a metric asks for now;
    /// `recommendations`: what was asked for in the last minutes, with its age in seconds; `history`: the number of
    /// replicas so many seconds ago, the newest first.
    pub fn step(&self, current: u32, desired: u32, recommendations: &[(u32, u32)], history: &[(u32, u32)]) -> u32 {
        let (least, most) = self.range();
        let window = |rules: &ScalingRules, default| rules.stabilization_window.as_ref().map_or(default, |w| w.value);
        let within = |window: u32| recommendations.iter().filter(move |(age, _)| *age <= window).map(|(_, n)| *n);
        // Down goes to the highest of the window, up to the lowest.
        let highest = within(window(&self.down, 300)).fold(desired, u32::max);
        let lowest = within(window(&self.up, 0)).fold(desired, u32::min);
        let stable = if desired > current { lowest.max(current) } else { highest.min(current) };
        let limited = if stable > current {
            stable.min(limit_up(&self.up, current, history))
        } else {
            stable.max(limit_down(&self.down, current, history))
        };
        limited.clamp(least, most)
    }
}

/// Replicas at the beginning of a period: those of the oldest entry that is not older.
fn then(history: &[(u32, u32)], period: u32, current: u32) -> u32 {
    history.iter().filter(|(age, _)| *age <= period).map(|(_, replicas)| *replicas).next_back().unwrap_or(current)
}

fn limit_up(rules: &ScalingRules, current: u32, history: &[(u32, u32)]) -> u32 {
    let default = [
        ScalingPolicy { value: 4, is_percent: false, period: 15 },
        ScalingPolicy { value: 100, is_percent: true, period: 15 },
    ];
    let policies = rules.policies.as_deref().unwrap_or(&default);
    let limits = policies.iter().map(|policy| {
        let before = then(history, policy.period, current);
        let more = if policy.is_percent {
            u32::try_from((u64::from(before) * u64::from(policy.value)).div_ceil(100)).unwrap_or(u32::MAX)
        } else {
            policy.value
        };
        before.saturating_add(more)
    });
    match rules.select.as_ref().map(|select| select.value).unwrap_or_default() {
        SelectPolicy::Max => limits.max().unwrap_or(current),
        SelectPolicy::Min => limits.min().unwrap_or(current),
        SelectPolicy::Disabled => current,
    }
    .max(current)
}

fn limit_down(rules: &ScalingRules, current: u32, history: &[(u32, u32)]) -> u32 {
    let default = [ScalingPolicy { value: 100, is_percent: true, period: 15 }];
    let policies = rules.policies.as_deref().unwrap_or(&default);
    let limits = policies.iter().map(|policy| {
        let before = then(history, policy.period, current);
        let fewer = if policy.is_percent {
            u32::try_from(u64::from(before) * u64::from(policy.value) / 100).unwrap_or(u32::MAX)
        } else {
            policy.value
        };
        before.saturating_sub(fewer)
    });
    match rules.select.as_ref().map(|select| select.value).unwrap_or_default() {
        SelectPolicy::Max => limits.min().unwrap_or(current),
        SelectPolicy::Min => limits.max().unwrap_or(current),
        SelectPolicy::Disabled => current,
    }
    .min(current)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Labels, ResourceRef, kubernetes::tests::located};

    fn autoscaler(up: ScalingRules, down: ScalingRules) -> HorizontalPodAutoscaler {
        let resource = ResourceRef { kind: "HorizontalPodAutoscaler".into(), namespace: "n".into(), name: "h".into() };
        let at = located(()).at;
        HorizontalPodAutoscaler {
            meta: Meta { resource, labels: Labels::new(), annotations: Labels::new(), created: None, at },
            target: located(("Deployment".into(), "web".into())),
            min_replicas: None,
            max_replicas: located(20),
            metrics: Vec::new(),
            up,
            down,
        }
    }

    #[test]
    fn t49_k5_a_metric_asks_for_its_share_rounded_up() {
        for (current, value, target, desired) in
            [(4, 90, 50, 8), (4, 105, 100, 4), (4, 110, 100, 4), (4, 111, 100, 5), (4, 10, 100, 1), (3, 5, 0, 3)]
        {
            assert_eq!(desired_replicas(current, value, target), desired, "K-5 {current} {value}/{target}");
        }
    }

    #[test]
    fn t49_k5_steps_keep_to_windows_and_policies() {
        let plain = autoscaler(ScalingRules::default(), ScalingRules::default());
        assert_eq!(plain.step(4, 8, &[], &[]), 8, "K-5 up at once, twice as many at most or 4 more");
        assert_eq!(plain.step(4, 30, &[], &[]), 8, "K-5 100 % or 4 pods in 15 s");
        assert_eq!(plain.step(1, 30, &[], &[]), 5, "K-5 4 pods in 15 s");
        assert_eq!(plain.step(8, 2, &[(100, 6)], &[]), 6, "K-5 down to the highest of 300 s");
        assert_eq!(plain.step(8, 2, &[(301, 6)], &[]), 2, "K-5 after the window");
        assert_eq!(plain.step(19, 30, &[], &[]), 20, "K-5 clamped");
        assert_eq!(plain.step(2, 0, &[], &[]), 1, "K-5 one at least");
        assert_eq!(plain.step(8, 10, &[], &[(15, 5)]), 10, "K-5 5 pods a period ago: 10 at most");
        let policy = ScalingPolicy { value: 1, is_percent: false, period: 60 };
        let slow = ScalingRules { policies: Some(vec![policy]), ..ScalingRules::default() };
        assert_eq!(autoscaler(slow.clone(), slow.clone()).step(4, 9, &[], &[]), 5, "K-5 one in a minute");
        assert_eq!(autoscaler(slow.clone(), slow.clone()).step(5, 9, &[], &[(45, 4)]), 5, "K-5 it was used");
        assert_eq!(autoscaler(slow.clone(), slow).step(9, 1, &[], &[]), 8, "K-5 one fewer");
        let off = ScalingRules { select: Some(located(SelectPolicy::Disabled)), ..ScalingRules::default() };
        assert_eq!(autoscaler(ScalingRules::default(), off).step(9, 1, &[], &[]), 9, "K-5 disabled");
        let window = ScalingRules { stabilization_window: Some(located(60)), ..ScalingRules::default() };
        assert_eq!(autoscaler(window, ScalingRules::default()).step(4, 8, &[(30, 5)], &[]), 5, "K-5 up to the lowest");
    }
}
