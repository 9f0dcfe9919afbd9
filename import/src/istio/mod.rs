//! Istio's kinds, one file each: from fields to the model's types, each leaf with its place.

pub(crate) mod authorization_policy;
pub(crate) mod destination_rule;
mod endpoint;
pub(crate) mod envoy_filter;
pub(crate) mod gateway;
pub(crate) mod mesh_config;
pub(crate) mod peer_authentication;
pub(crate) mod request_authentication;
pub(crate) mod retries;
pub(crate) mod service_entry;
pub(crate) mod sidecar;
pub(crate) mod virtual_service;
pub(crate) mod workload_entry;
