//! Argo CD: phases and waves in which objects are applied (`GO-2`).

use crate::{Located, Meta, ResourceRef};

/// When an object is applied.
#[derive(Clone, Debug, PartialEq)]
pub struct SyncPoint {
    /// The object.
    pub meta: Meta,
    /// Its phase (`argocd.argoproj.io/hook`).
    pub phase: SyncPhase,
    /// `argocd.argoproj.io/sync-wave`; absent: 0.
    pub wave: Option<Located<i64>>,
}

/// When an object is applied, before its wave counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SyncPhase {
    /// Before.
    PreSync,
    /// With the others.
    #[default]
    Sync,
    /// After.
    PostSync,
    /// Only if it failed.
    SyncFail,
    /// Not at all.
    Skip,
}

impl SyncPhase {
    /// The phase of a hook's annotation; the first that is known counts.
    pub fn of_hook(text: &str) -> Option<Self> {
        text.split(',').find_map(|word| match word.trim() {
            "PreSync" => Some(Self::PreSync),
            "Sync" => Some(Self::Sync),
            "PostSync" => Some(Self::PostSync),
            "SyncFail" => Some(Self::SyncFail),
            "Skip" => Some(Self::Skip),
            _ => None,
        })
    }
}

/// Objects that are applied together: within, any order is possible.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wave<'a> {
    /// The phase.
    pub phase: SyncPhase,
    /// The wave.
    pub number: i64,
    /// The objects: by kind as Argo CD sorts them, then by name.
    pub resources: Vec<&'a ResourceRef>,
}

/// The waves of a sync that does not fail, in order.
pub fn waves(points: &[SyncPoint]) -> Vec<Wave<'_>> {
    let number = |point: &SyncPoint| point.wave.as_ref().map_or(0, |wave| wave.value);
    let mut sorted: Vec<&SyncPoint> =
        points.iter().filter(|point| !matches!(point.phase, SyncPhase::SyncFail | SyncPhase::Skip)).collect();
    sorted.sort_by_key(|point| {
        let resource = &point.meta.resource;
        (point.phase, number(point), rank(&resource.kind), &resource.kind, &resource.name, &resource.namespace)
    });
    let mut waves: Vec<Wave<'_>> = Vec::new();
    for point in sorted {
        let resource = &point.meta.resource;
        match waves.last_mut() {
            Some(wave) if wave.phase == point.phase && wave.number == number(point) => wave.resources.push(resource),
            _ => waves.push(Wave { phase: point.phase, number: number(point), resources: vec![resource] }),
        }
    }
    waves
}

/// Argo CD's order of kinds within a wave; kinds that it does not know come last.
fn rank(kind: &str) -> usize {
    const KINDS: &[&str] = &[
        "Namespace",
        "NetworkPolicy",
        "ResourceQuota",
        "LimitRange",
        "PodSecurityPolicy",
        "PodDisruptionBudget",
        "ServiceAccount",
        "Secret",
        "SecretList",
        "ConfigMap",
        "StorageClass",
        "PersistentVolume",
        "PersistentVolumeClaim",
        "CustomResourceDefinition",
        "ClusterRole",
        "ClusterRoleList",
        "ClusterRoleBinding",
        "ClusterRoleBindingList",
        "Role",
        "RoleList",
        "RoleBinding",
        "RoleBindingList",
        "Service",
        "DaemonSet",
        "Pod",
        "ReplicationController",
        "ReplicaSet",
        "Deployment",
        "HorizontalPodAutoscaler",
        "StatefulSet",
        "Job",
        "CronJob",
        "IngressClass",
        "Ingress",
        "APIService",
    ];
    KINDS.iter().position(|known| *known == kind).unwrap_or(KINDS.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::delivery::tests::{located, meta};

    #[test]
    fn go2_phases_then_waves_then_kinds_then_names() {
        let point = |kind: &str, name: &str, phase, wave: Option<i64>| SyncPoint {
            meta: meta(kind, name),
            phase,
            wave: wave.map(located),
        };
        let points = [
            point("VirtualService", "b", SyncPhase::Sync, None),
            point("VirtualService", "a", SyncPhase::Sync, None),
            point("Namespace", "z", SyncPhase::Sync, Some(0)),
            point("DestinationRule", "d", SyncPhase::Sync, Some(-1)),
            point("Job", "migrate", SyncPhase::PreSync, Some(5)),
            point("Job", "test", SyncPhase::PostSync, None),
            point("Job", "alarm", SyncPhase::SyncFail, None),
        ];
        let shown: Vec<String> = waves(&points)
            .iter()
            .map(|wave| {
                let names: Vec<&str> = wave.resources.iter().map(|resource| resource.name.as_str()).collect();
                format!("{:?} {} {}", wave.phase, wave.number, names.join(","))
            })
            .collect();
        assert_eq!(shown, ["PreSync 5 migrate", "Sync -1 d", "Sync 0 z,a,b", "PostSync 0 test"], "GO-2");
        assert_eq!(SyncPhase::of_hook("x, PostSync"), Some(SyncPhase::PostSync));
    }
}
