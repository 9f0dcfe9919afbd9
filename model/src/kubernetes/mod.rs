//! Kubernetes' objects beside services and workloads, as typed data, each leaf with its place.

mod selector;

pub use selector::*;

/// Kubernetes' objects beside services and workloads.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Kubernetes {}
