//! The sans-IO proxy core: given an event, the time and a source of draws, says what a sidecar does next.
//!
//! Contract: call one `on_*` function of a proxy, drain its [`Effects`] completely, then call the next.
//! The core holds no clock, no socket and no random generator; what it decides is what Envoy 1.40 decides.

pub mod config;
mod cx;
mod effect;
mod flag;
mod head;
mod id;
mod ratio;
mod time;

pub use cx::*;
pub use effect::*;
pub use flag::*;
pub use head::*;
pub use id::*;
pub use ratio::*;
pub use time::*;
