//! Argo Rollouts: `argoproj.io/v1alpha1.Rollout` (`AR-1` to `AR-4`, `AR-7`).

use std::collections::BTreeSet;

use crate::{Located, Location, Meta, Nanos, kubernetes::IntOrPercent};

/// Pods that are replaced step by step.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollout {
    /// Its name and place.
    pub meta: Meta,
    /// `replicas`; absent: 1.
    pub replicas: Option<Located<u32>>,
    /// How they are replaced.
    pub strategy: RolloutStrategy,
}

/// How a Rollout replaces its pods.
#[derive(Clone, Debug, PartialEq)]
pub enum RolloutStrategy {
    /// New pods get a growing share.
    Canary(Box<CanaryStrategy>),
    /// New pods get everything at once.
    BlueGreen {
        /// `activeService`.
        active: Option<Located<String>>,
        /// `previewService`.
        preview: Option<Located<String>>,
        /// `autoPromotionEnabled`; absent: yes.
        auto_promotion: bool,
    },
    /// Nothing is written.
    None,
}

/// New pods get a growing share (`AR-1`).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct CanaryStrategy {
    /// `canaryService`.
    pub canary_service: Option<Located<String>>,
    /// `stableService`.
    pub stable_service: Option<Located<String>>,
    /// The steps, in order.
    pub steps: Vec<CanaryStep>,
    /// What shares the requests; none: the numbers of pods do (`AR-2`).
    pub traffic: Option<TrafficRouting>,
    /// `maxSurge`; absent: 25 %.
    pub max_surge: Option<Located<IntOrPercent>>,
    /// `maxUnavailable`; absent: 25 %.
    pub max_unavailable: Option<Located<IntOrPercent>>,
    /// `dynamicStableScale`.
    pub dynamic_stable_scale: bool,
    /// Templates of the analysis that runs beside the steps.
    pub background: Vec<Located<String>>,
    /// `analysis.startingStep`.
    pub starting_step: Option<Located<u32>>,
    /// `analysis.args`.
    pub background_args: Vec<(String, String)>,
}

/// One step.
#[derive(Clone, Debug, PartialEq)]
pub struct CanaryStep {
    /// Where it begins.
    pub at: Location,
    /// What it does.
    pub action: StepAction,
    /// Of an analysis: `args`.
    pub args: Vec<(String, String)>,
}

/// What stands for the hash of the new pods in arguments: `valueFrom.podTemplateHashValue: Latest`.
pub const NEW_PODS: &str = "new";
/// The same of the old pods: `valueFrom.podTemplateHashValue: Stable`.
pub const OLD_PODS: &str = "stable";

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StepAction {
    /// `setWeight` in percent.
    Weight(u32),
    /// `pause`; without a time until somebody goes on.
    Pause(Option<Nanos>),
    /// `analysis`, by templates.
    Analysis(Vec<String>),
    /// `setCanaryScale`, `setHeaderRoute`, `setMirrorRoute`, `experiment`, `plugin`.
    Other(String),
}

/// What shares the requests of a Rollout.
#[derive(Clone, Debug, PartialEq)]
pub struct TrafficRouting {
    /// Where it begins.
    pub at: Location,
    /// Its key, such as `istio`.
    pub kind: String,
    /// Routes whose weights the controller sets (`AR-4`).
    pub routes: Vec<ManagedRoute>,
    /// `destinationRule`: its name, `canarySubsetName`, `stableSubsetName`.
    pub subsets: Option<(Located<String>, String, String)>,
}

/// A route whose weights a controller sets.
#[derive(Clone, Debug, PartialEq)]
pub struct ManagedRoute {
    /// `VirtualService`, `HTTPRoute`, ….
    pub kind: String,
    /// Its name, in the Rollout's namespace unless it says `name.namespace`.
    pub name: Located<String>,
    /// The names of its rules; empty: its only rule.
    pub rules: Vec<Located<String>>,
}

/// Numbers of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaCounts {
    /// New ones.
    pub canary: u32,
    /// Old ones.
    pub stable: u32,
}

impl ReplicaCounts {
    /// The share of the canary, in percent rounded to the nearest.
    pub fn share(self) -> u32 {
        let total = u64::from(self.canary) + u64::from(self.stable);
        if total == 0 {
            return 0;
        }
        u32::try_from((u64::from(self.canary) * 200 + total) / (2 * total)).unwrap_or(100)
    }
}

/// Pods of a canary at a weight in percent without traffic routing (`AR-2`): of the numbers next to the wanted share,
/// with `replicas` pods or, where a surge is possible, one more, those whose share is nearest; of equals the first.
pub fn approximate_counts(replicas: u32, weight: u32, surge: bool) -> ReplicaCounts {
    if weight == 0 || replicas == 0 {
        return ReplicaCounts { canary: 0, stable: replicas };
    }
    if weight >= 100 {
        return ReplicaCounts { canary: replicas, stable: 0 };
    }
    let mut best: Option<(u64, u64, ReplicaCounts)> = None;
    let totals = if surge { vec![replicas, replicas.saturating_add(1)] } else { vec![replicas] };
    for total in totals {
        let wanted = u64::from(total) * u64::from(weight);
        for canary in [wanted.div_ceil(100), wanted / 100] {
            let canary = u32::try_from(canary).unwrap_or(u32::MAX);
            // Neither side is without pods, unless one pod cannot be shared.
            let is_split = canary > 0 && canary < total;
            if !is_split && (total > 1 || surge) {
                continue;
            }
            let counts = ReplicaCounts { canary: canary.max(1).min(total), stable: total - canary.max(1).min(total) };
            // |canary/total - weight/100|, compared as fractions over a common denominator.
            let off = (u64::from(counts.canary) * 100).abs_diff(u64::from(weight) * u64::from(total));
            let nearer = best.is_none_or(|(least, over, _)| off * over < least * u64::from(total));
            if nearer {
                best = Some((off, u64::from(total), counts));
            }
        }
    }
    best.map_or(ReplicaCounts { canary: 1, stable: replicas.saturating_sub(1) }, |(_, _, counts)| counts)
}

/// Pods at a weight with traffic routing (`AR-2`): the canary's share rounded up, the stable ones stay unless they are
/// scaled too.
pub fn routed_counts(replicas: u32, weight: u32, dynamic_stable: bool) -> ReplicaCounts {
    let share = |weight: u32| {
        u32::try_from((u64::from(replicas) * u64::from(weight.min(100))).div_ceil(100)).unwrap_or(u32::MAX)
    };
    let stable = if dynamic_stable { share(100 - weight.min(100)) } else { replicas };
    ReplicaCounts { canary: share(weight), stable }
}

impl CanaryStrategy {
    /// Every weight that the canary can have: none, those of the steps, all (`AR-4`).
    pub fn weights(&self) -> Vec<u32> {
        let mut weights: BTreeSet<u32> = [0, 100].into();
        weights.extend(self.steps.iter().filter_map(|step| match step.action {
            StepAction::Weight(weight) => Some(weight.min(100)),
            _ => None,
        }));
        weights.into_iter().collect()
    }

    /// Pods at a weight.
    pub fn counts(&self, replicas: u32, weight: u32) -> ReplicaCounts {
        if self.traffic.is_some() {
            return routed_counts(replicas, weight, self.dynamic_stable_scale);
        }
        let quarter = IntOrPercent::Percent(25);
        let surge = self.max_surge.as_ref().map_or(quarter, |surge| surge.value).round_up(replicas) > 0;
        approximate_counts(replicas, weight, surge)
    }

    /// Steps and the weight that holds during each.
    pub fn weighted_steps(&self) -> Vec<(&CanaryStep, u32)> {
        let mut weight = 0;
        let mut steps = Vec::new();
        for step in &self.steps {
            if let StepAction::Weight(set) = step.action {
                weight = set.min(100);
            }
            steps.push((step, weight));
        }
        steps
    }

    /// Whether an analysis can end it: one beside the steps, or one of the steps. Without, only a person can.
    pub fn aborts_by_itself(&self) -> bool {
        !self.background.is_empty() || self.steps.iter().any(|step| matches!(step.action, StepAction::Analysis(_)))
    }

    /// The shortest time from the first step to the last, pauses without a time left out.
    pub fn least_time(&self) -> Nanos {
        let pauses = self.steps.iter().map(|step| match step.action {
            StepAction::Pause(Some(time)) => time,
            _ => Nanos::ZERO,
        });
        pauses.fold(Nanos::ZERO, |sum, time| sum + time)
    }

    /// What requests are exposed to a canary that is bad from the beginning, as percent times seconds, until
    /// `detection` has passed since its first share (`AR-7`); `None`: nothing ends it while it waits.
    pub fn exposure(&self, detection: Option<Nanos>) -> Option<u64> {
        let mut left = detection?.get() / 1_000_000_000;
        let mut exposed = 0;
        for (step, weight) in self.weighted_steps() {
            // An analysis holds the step until it has judged.
            let time = match step.action {
                StepAction::Pause(time) => time,
                StepAction::Analysis(_) => None,
                StepAction::Weight(_) | StepAction::Other(_) => continue,
            };
            let seconds = time.map_or(left, |time| time.get() / 1_000_000_000);
            let spent = if weight == 0 { 0 } else { seconds.min(left) };
            exposed += spent * u64::from(weight);
            left -= spent;
        }
        // After the last step everything goes to it.
        Some(exposed + left * 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::here;

    fn steps(actions: Vec<StepAction>) -> CanaryStrategy {
        let step = |action| CanaryStep { at: here(), action, args: Vec::new() };
        CanaryStrategy { steps: actions.into_iter().map(step).collect(), ..CanaryStrategy::default() }
    }

    #[test]
    fn ar2_pods_stand_for_weights() {
        for (replicas, weight, surge, canary, stable) in [
            (10, 20, true, 2, 8),
            (10, 25, true, 3, 8),
            (1, 10, true, 1, 1),
            (1, 10, false, 1, 0),
            (4, 50, true, 2, 2),
            (3, 50, true, 2, 2),
            (3, 50, false, 2, 1),
            (5, 1, true, 1, 5),
            (5, 99, true, 5, 1),
            (5, 0, true, 0, 5),
            (5, 100, true, 5, 0),
        ] {
            let counts = approximate_counts(replicas, weight, surge);
            assert_eq!(
                (counts.canary, counts.stable),
                (canary, stable),
                "AR-2 {replicas} at {weight} %, surge {surge}"
            );
        }
        assert_eq!(approximate_counts(1, 10, true).share(), 50, "AR-2 one replica at 10 % is half");
    }

    #[test]
    fn ar2_counts_are_the_nearest_of_all_splits() {
        for replicas in 1..30 {
            for weight in 1..100 {
                let counts = approximate_counts(replicas, weight, true);
                let off =
                    |canary: u32, total: u32| (f64::from(canary) / f64::from(total) - f64::from(weight) / 100.0).abs();
                let best = [replicas, replicas + 1]
                    .into_iter()
                    .flat_map(|total| (1..total).map(move |canary| (canary, total)))
                    .map(|(canary, total)| off(canary, total))
                    .fold(f64::INFINITY, f64::min);
                let found = off(counts.canary, counts.canary + counts.stable);
                assert!(found <= best + 1e-9 || counts.canary == 0, "AR-2 {replicas} at {weight}: {counts:?}");
            }
        }
    }

    #[test]
    fn ar2_ar4_weights_with_traffic_routing() {
        assert_eq!(routed_counts(10, 25, false), ReplicaCounts { canary: 3, stable: 10 }, "AR-2");
        assert_eq!(routed_counts(10, 25, true), ReplicaCounts { canary: 3, stable: 8 }, "AR-2 dynamicStableScale");
        let plain = steps(vec![
            StepAction::Weight(20),
            StepAction::Pause(Some(Nanos::from_secs(600))),
            StepAction::Weight(60),
            StepAction::Pause(None),
        ]);
        assert_eq!(plain.weights(), [0, 20, 60, 100], "T50 AR-4");
        assert!(!plain.aborts_by_itself(), "T50 no automatic abort");
        assert_eq!(plain.least_time(), Nanos::from_secs(600));
        assert_eq!(plain.exposure(None), None, "AR-7");
        assert_eq!(plain.exposure(Some(Nanos::from_secs(100))), Some(2_000), "AR-7 20 % for 100 s");
        assert_eq!(plain.exposure(Some(Nanos::from_secs(700))), Some(12_000 + 6_000), "AR-7 then 60 % for 100 s");
        let analysed = steps(vec![StepAction::Weight(5), StepAction::Analysis(vec!["ok".into()])]);
        assert!(analysed.aborts_by_itself());
    }
}
