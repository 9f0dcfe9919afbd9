//! Proves and simulates what a service mesh's retries, timeouts, weights and mTLS do, from its manifests.
//!
//! The crates behind this one do the work; here they are put together for the command line and for other programs:
//! [`Project`] reads, [`verify`] proves and replays, [`report`] prints.

pub mod analytic;
pub mod baseline;
pub mod cases;
pub mod cli;
pub mod decide;
pub mod difference;
pub mod explain;
mod fingerprint;
#[cfg(feature = "lsp")]
pub mod lsp;
pub mod pages;
mod project;
mod recording;
pub mod repair;
pub mod report;
mod rollout;
mod settings;
mod suppression;
#[cfg(feature = "testing")]
pub mod testing;
mod verification;

pub use fingerprint::fingerprint;
pub use project::{InputError, Project};
pub use settings::{Checks, Ignore, Limits, Settings, SettingsError, SeverityName};
pub(crate) use verification::bounds_of_run;
pub use verification::{Choice, InternalError, Verified, proved_bounds, verify};
