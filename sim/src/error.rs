//! Why a run cannot begin.

use meshproof_model::ScenarioError;
use meshproof_proxy::CompileError;

/// Why a run cannot begin.
#[derive(Debug, thiserror::Error)]
pub enum SetupError {
    /// The mesh's behaviour or the scenario asks for what cannot be.
    #[error("{}", joined(.0))]
    Invalid(Vec<ScenarioError>),
    /// The configuration of a workload's proxy is one that Envoy would refuse.
    #[error("the proxy of `{workload}` would refuse its configuration: {}", joined(errors))]
    Refused {
        /// Whose proxy, as `namespace/name`.
        workload: String,
        /// What is wrong with it.
        errors: Vec<CompileError>,
    },
    /// A file of recorded arrivals was not handed in.
    #[error("the recorded arrivals `{0}` are missing")]
    NoRecording(String),
    /// The mesh after a step of the rollout was not handed in.
    #[error("what manifests become is missing: {0}")]
    NoStage(String),
    /// Releases that can stand at too many points at the same time.
    #[error("the releases can be at {0} points on the way, which are too many: release fewer in one scenario")]
    TooManyStages(usize),
    /// A witness names no scenario to replay.
    #[error("the witness has no scenario to replay")]
    NothingToReplay,
    /// Threads for replications could not be started.
    #[error("no threads for the replications: {0}")]
    Threads(#[from] rayon::ThreadPoolBuildError),
}

fn joined(errors: &[impl std::fmt::Display]) -> String {
    errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
