//! Replays decision cases recorded from the real Envoy through the proxy core, in virtual time.
//!
//! A case describes proxies, what a client sends and what the hosts behind them do; `SCHEMA.md` beside the recorded
//! cases is its format. [`replay`] answers with what the client, the hosts and the proxies' own logs saw, and
//! [`judge`] compares that with the recording.

mod case;
mod drive;
mod experiment;
mod judge;
mod observe;
mod replay;

pub use experiment::experiment;
pub use judge::judge;
pub use replay::{ReplayError, replay, replay_case};
