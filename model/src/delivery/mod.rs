//! What changes a mesh step by step: rollouts, canaries, scalers, waves; and what follows from them by arithmetic.

mod analysis;
mod canary;
mod condition;
mod keda;
mod query;
mod release;
mod rollout;
mod token;
mod variant;
mod wave;

pub use analysis::*;
pub use canary::*;
pub use condition::*;
pub use keda::*;
pub use query::*;
pub use release::*;
pub use rollout::*;
pub use wave::*;

/// What changes a mesh step by step.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Delivery {
    /// Argo Rollouts (`AR-1`).
    pub rollouts: Vec<Rollout>,
    /// AnalysisTemplates and `ClusterAnalysisTemplate`s (`AR-5`).
    pub analyses: Vec<AnalysisTemplate>,
    /// Flagger's canaries (`FL-1`).
    pub canaries: Vec<Canary>,
    /// Queries of Flagger's users.
    pub templates: Vec<MetricTemplate>,
    /// KEDA's scalers (`KD-1`).
    pub scalers: Vec<ScaledObject>,
    /// Objects and when Argo CD applies them (`GO-2`), in the order of the manifests.
    pub waves: Vec<SyncPoint>,
}

#[cfg(test)]
mod tests {
    use crate::{Labels, Located, Location, Meta, ResourceRef, Sources};

    /// A place.
    pub(super) fn here() -> Location {
        let file = Sources::default().add("", "");
        Location { file, line: 1, column: 1, offset: 0, length: 1, path: "".into() }
    }

    /// A value that stands somewhere.
    pub(super) fn located<T>(value: T) -> Located<T> {
        Located::new(value, here())
    }

    /// An object's name and place.
    pub(super) fn meta(kind: &str, name: &str) -> Meta {
        let resource = ResourceRef { kind: kind.into(), namespace: "n".into(), name: name.into() };
        Meta { resource, labels: Labels::new(), annotations: Labels::new(), created: None, at: here() }
    }
}
