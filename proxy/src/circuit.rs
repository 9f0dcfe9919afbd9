//! Circuit breakers: what a cluster has in use for one routing priority, against its thresholds
//! (Envoy: `CircuitBreakers.Thresholds`). The check comes before the increment, so 0 blocks everything.

use crate::{budget::RetryAllowance, hosts::Limits};

/// One counted resource and its limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Resource {
    active: u32,
    max: u32,
}

impl Resource {
    pub(crate) const fn can_create(self) -> bool {
        self.active < self.max
    }

    pub(crate) const fn acquire(&mut self) {
        self.active += 1;
    }

    pub(crate) const fn release(&mut self) {
        debug_assert!(self.active > 0, "released more often than acquired");
        self.active = self.active.saturating_sub(1);
    }

    /// How much is in use.
    pub const fn active(self) -> u32 {
        self.active
    }

    /// The limit.
    pub const fn max(self) -> u32 {
        self.max
    }

    pub(crate) const fn set_max(&mut self, max: u32) {
        self.max = max;
    }
}

/// What one cluster has in use for one routing priority.
#[derive(Clone, Debug, Default)]
pub struct Circuit {
    /// Connections.
    pub connections: Resource,
    /// Requests that wait for a connection.
    pub pending: Resource,
    /// Requests on connections.
    pub requests: Resource,
    /// Retries, from the decision to their own verdict.
    pub retries: u32,
    pub(crate) allowance: RetryAllowance,
    pub(crate) connections_per_host: u32,
}

impl Circuit {
    pub(crate) fn new(limits: &Limits) -> Self {
        let mut circuit = Self::default();
        circuit.configure(limits);
        circuit
    }

    /// Takes new limits and keeps what is in use.
    pub(crate) fn configure(&mut self, limits: &Limits) {
        self.connections.set_max(limits.max_connections);
        self.pending.set_max(limits.max_pending_requests);
        self.requests.set_max(limits.max_requests);
        self.connections_per_host = limits.max_connections_per_host.unwrap_or(u32::MAX);
        self.allowance.configure(limits.retries);
    }
}
