//! The sans-IO proxy core: given an event, the time and a source of draws, says what a sidecar does next.
//!
//! Contract: call one `on_*` function of a proxy, drain its [`Effects`] completely, then call the next.
//! The core holds no clock, no socket and no random generator; what it decides is what Envoy 1.40 decides.

#![deny(missing_docs)]
#![cfg_attr(not(test), deny(clippy::float_arithmetic))]
#![allow(clippy::struct_excessive_bools, reason = "Envoy's options are many independent switches")]
mod access_log;
mod back_off;
mod budget;
mod cidr;
mod circuit;
mod codec;
pub mod config;
mod course;
mod cx;
mod effect;
mod error;
mod filter;
mod flag;
mod grpc;
mod hash;
mod head;
mod header_list;
mod headers;
mod held;
mod hosts;
mod id;
mod install;
mod jwt;
mod machine;
mod manager;
mod path;
mod pool;
mod prepared;
mod proxy;
mod queue;
mod ratio;
mod rbac;
mod redirect;
mod regex;
mod reply;
mod request;
mod response;
mod retry;
mod rewrite;
mod router;
mod slab;
mod stats;
mod stream;
mod streams;
mod table;
mod time;
mod timeout;
mod timer;
pub mod tls;
mod token;
mod upstream;
mod upstream_host;
mod xfcc;

pub use access_log::AccessLog;
pub use circuit::{Circuit, Resource};
pub use cx::*;
pub use effect::*;
pub use error::{CompileError, CompileFault};
pub use filter::{Authorization, AuthorizationChanges, RateLimitAnswer, RateLimitStats};
pub use flag::*;
pub use head::*;
pub use hosts::{ClusterError, HealthResult};
pub use id::*;
pub use prepared::PreparedRequest;
pub use proxy::Proxy;
pub use ratio::*;
pub use response::Response;
pub use stats::{ClusterCounter, ClusterStats, Codes, HttpCounter, HttpStats, Stats};
pub use table::{Access, Question, RouteDoes, RouteRef, Routed, Table, Verdict};
pub use time::*;
pub use token::*;
pub use upstream::UpstreamRequest;
