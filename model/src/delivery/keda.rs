//! KEDA: `keda.sh/v1alpha1.ScaledObject` (`KD-1`, `KD-2`).

use crate::{Located, Location, Meta, Nanos};

/// A workload whose number of pods follows a queue or a metric.
#[derive(Clone, Debug, PartialEq)]
pub struct ScaledObject {
    /// Its name and place.
    pub meta: Meta,
    /// Kind and name of what is scaled.
    pub target: Located<(String, String)>,
    /// `minReplicaCount`; absent: 0.
    pub min_replicas: Option<Located<u32>>,
    /// `maxReplicaCount`; absent: 100.
    pub max_replicas: Option<Located<u32>>,
    /// `idleReplicaCount`.
    pub idle_replicas: Option<Located<u32>>,
    /// `pollingInterval`; absent: 30 s.
    pub polling_interval: Option<Located<Nanos>>,
    /// `cooldownPeriod`; absent: 300 s.
    pub cooldown: Option<Located<Nanos>>,
    /// `fallback`: failed queries, and the pods after them.
    pub fallback: Option<(Located<u32>, Located<u32>)>,
    /// What it follows.
    pub triggers: Vec<Trigger>,
}

/// What a scaler follows.
#[derive(Clone, Debug, PartialEq)]
pub struct Trigger {
    /// Where it begins.
    pub at: Location,
    /// Its type, such as `aws-sqs-queue`.
    pub kind: String,
    /// The value for each pod, in thousandths, where its type is known.
    pub target_milli: Option<Located<u64>>,
    /// The value above which there is one pod at least, in thousandths; absent: 0.
    pub activation_milli: Option<Located<u64>>,
}

impl ScaledObject {
    /// The number of pods for values of the triggers in thousandths, in their order (`KD-1`): none or `idle` while no
    /// trigger is above its activation, else the greatest that a trigger asks for.
    pub fn desired(&self, values_milli: &[u64]) -> u32 {
        let count = |written: &Option<Located<u32>>, default| written.as_ref().map_or(default, |count| count.value);
        let (least, most) = (count(&self.min_replicas, 0), count(&self.max_replicas, 100));
        let active = |(trigger, value): (&Trigger, &u64)| {
            *value > trigger.activation_milli.as_ref().map_or(0, |activation| activation.value)
        };
        if !self.triggers.iter().zip(values_milli).any(active) {
            return self.idle_replicas.as_ref().map_or(least, |idle| idle.value);
        }
        let asked = self.triggers.iter().zip(values_milli).map(|(trigger, value)| {
            let target = trigger.target_milli.as_ref().map_or(0, |target| target.value);
            if target == 0 { 1 } else { u32::try_from(value.div_ceil(target)).unwrap_or(u32::MAX) }
        });
        asked.max().unwrap_or(1).clamp(least.max(1), most.max(least).max(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::{here, located, meta};

    #[test]
    fn kd1_kd2_pods_follow_the_queue() {
        let trigger = |target: u64, activation: u64| Trigger {
            at: here(),
            kind: "aws-sqs-queue".into(),
            target_milli: Some(located(target * 1000)),
            activation_milli: Some(located(activation * 1000)),
        };
        let mut scaled = ScaledObject {
            meta: meta("ScaledObject", "s"),
            target: located(("Deployment".into(), "w".into())),
            min_replicas: None,
            max_replicas: Some(located(10)),
            idle_replicas: None,
            polling_interval: None,
            cooldown: None,
            fallback: None,
            triggers: vec![trigger(5, 0), trigger(100, 50)],
        };
        for (queue, lag, pods) in [(0, 0, 0), (1, 0, 1), (26, 0, 6), (500, 0, 10), (0, 50, 0), (0, 51, 1), (6, 900, 9)]
        {
            assert_eq!(scaled.desired(&[queue * 1000, lag * 1000]), pods, "KD-1 {queue} {lag}");
        }
        scaled.min_replicas = Some(located(2));
        assert_eq!((scaled.desired(&[0, 0]), scaled.desired(&[1000, 0])), (2, 2), "KD-1");
        scaled.idle_replicas = Some(located(0));
        assert_eq!(scaled.desired(&[0, 0]), 0, "KD-1 idle");
    }
}
