//! Kubernetes' kinds: what can be called, what runs, and who gets a proxy.

pub(crate) mod ingress;
pub(crate) mod injection;
pub(crate) mod namespace;
pub(crate) mod protocol;
pub(crate) mod selector;
pub(crate) mod service;
pub(crate) mod workload;
