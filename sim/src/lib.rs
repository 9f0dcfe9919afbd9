//! A deterministic discrete-event simulator of a mesh of real proxy cores.
//!
//! A mesh and a scenario become a plan: dense ids, samplers, one compiled table for each workload and direction. A run
//! drives one [`Proxy`](meshproof_proxy::Proxy) for each replica and direction through virtual time, in whole
//! nanoseconds and in the order (time, sequence). Every draw is a function of the seed and of what is drawn, so the
//! same scenario gives the same bytes on any machine, in any build, over any number of threads.

#![allow(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    clippy::similar_names,
    reason = "ids are dense and far below 2^32; callers and callees have similar names; floats stand in samplers and in reports, never in event time"
)]

mod aftermath;
mod bounds;
mod checker;
mod collapse;
mod compare;
mod delivery;
mod digest;
mod dist;
mod engine;
mod entropy;
mod error;
mod figure;
mod histogram;
mod load;
mod measure;
mod number;
mod objective;
mod plan;
mod queue;
mod queues;
mod recovery;
mod replay;
mod report;
mod simulate;
mod slab;
mod splitting;
mod statistics;
mod tipping;

pub use aftermath::{After, RecoveryReport};
pub use collapse::{Collapse, LoadClass, LoadRow, Spontaneous, TriggerCell, collapse};
pub use compare::{Comparison, Difference, compare};
pub use digest::Digest;
pub use error::SetupError;
pub use number::Number;
pub use objective::ObjectiveResult;
pub use replay::{ReplayOutcome, Replayer, replay};
pub use report::{
    CallReport, ClientReport, Latency, QueueReport, ReleaseReport, RolloutReport, Run, ServiceReport, Timeline,
};
pub use simulate::{REPLICATIONS_MAX, SimOptions, Stages, simulate};
pub use splitting::Splitting;
pub use tipping::{TippedShare, Tipping};
