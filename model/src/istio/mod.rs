//! Istio's objects as typed data, field by field as its API names them, each leaf with its place.
//! What they mean together is decided in `lower`.

mod authorization_policy;
mod destination_rule;
mod envoy_filter;
mod gateway;
mod mesh_config;
mod peer_authentication;
mod rate_limit;
mod request_authentication;
mod sidecar;
mod virtual_service;

pub use authorization_policy::*;
pub use destination_rule::*;
pub use envoy_filter::*;
pub use gateway::*;
pub use mesh_config::*;
pub use peer_authentication::*;
pub use rate_limit::*;
pub use request_authentication::*;
pub use sidecar::*;
pub use virtual_service::*;
