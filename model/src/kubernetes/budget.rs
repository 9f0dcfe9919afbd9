//! Kubernetes: `policy.v1.PodDisruptionBudget` (`K-6`).

use super::{IntOrPercent, LabelSelector};
use crate::{Located, Mesh, Meta, WorkloadId};

/// How many pods may be away on purpose. It holds against evictions only, not against crashes and rollouts.
#[derive(Clone, Debug, PartialEq)]
pub struct PodDisruptionBudget {
    /// Its name and place.
    pub meta: Meta,
    /// Pods of its namespace; `None`: none.
    pub pods: Option<LabelSelector>,
    /// `minAvailable`.
    pub min_available: Option<Located<IntOrPercent>>,
    /// `maxUnavailable`.
    pub max_unavailable: Option<Located<IntOrPercent>>,
}

impl PodDisruptionBudget {
    /// How many of so many healthy pods may be evicted; shares round up. 0: nodes cannot be drained.
    pub fn disruptions(&self, pods: u32) -> u32 {
        match (&self.min_available, &self.max_unavailable) {
            (Some(least), _) => pods.saturating_sub(least.value.round_up(pods)),
            (None, Some(most)) => most.value.round_up(pods).min(pods),
            (None, None) => pods,
        }
    }
}

impl Mesh {
    /// The budgets that hold for a workload's pods.
    pub fn disruption_budgets_of(&self, workload: WorkloadId) -> impl Iterator<Item = &PodDisruptionBudget> {
        let workload = self.workload(workload);
        self.kubernetes.disruption_budgets.iter().filter(move |budget| {
            budget.meta.namespace() == workload.meta.namespace()
                && budget.pods.as_ref().is_some_and(|pods| pods.matches(&workload.labels))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Labels, ResourceRef, kubernetes::tests::located};

    #[test]
    fn k6_shares_round_up() {
        let resource = ResourceRef { kind: "PodDisruptionBudget".into(), namespace: "n".into(), name: "b".into() };
        let at = located(()).at;
        let meta = Meta { resource, labels: Labels::new(), annotations: Labels::new(), created: None, at };
        let of = |min: Option<IntOrPercent>, max: Option<IntOrPercent>| PodDisruptionBudget {
            meta: meta.clone(),
            pods: None,
            min_available: min.map(located),
            max_unavailable: max.map(located),
        };
        let (count, percent) = (|n| Some(IntOrPercent::Count(n)), |n| Some(IntOrPercent::Percent(n)));
        for (budget, pods, disruptions) in [
            (of(count(2), None), 3, 1),
            (of(percent(100), None), 3, 0),
            (of(percent(50), None), 7, 3),
            (of(None, count(0)), 3, 0),
            (of(None, percent(30)), 7, 3),
            (of(count(9), None), 3, 0),
            (of(None, None), 3, 3),
        ] {
            assert_eq!(budget.disruptions(pods), disruptions, "K-6 {budget:?}");
        }
    }
}
