//! The sans-IO proxy core: given an event, the time and a source of draws, says what a sidecar does next.
//!
//! Contract: call one `on_*` function of a proxy, drain its [`Effects`] completely, then call the next.
//! The core holds no clock, no socket and no random generator; what it decides is what Envoy 1.40 decides.

mod back_off;
mod budget;
mod circuit;
pub mod config;
mod cx;
mod effect;
mod flag;
mod grpc;
mod head;
mod header_list;
mod hosts;
mod id;
mod ratio;
mod slab;
mod stats;
mod time;
mod timeout;

pub use circuit::{Circuit, Resource};
pub use cx::*;
pub use effect::*;
pub use flag::*;
pub use head::*;
pub use hosts::ClusterError;
pub use id::*;
pub use ratio::*;
pub use stats::{ClusterCounter, ClusterStats, Codes, HttpCounter, HttpStats, Stats};
pub use time::*;
