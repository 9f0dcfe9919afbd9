//! Weights of hosts scaled to a sum of one, for ring hash and Maglev (Envoy: `normalizeWeights`).
#![expect(clippy::float_arithmetic, reason = "Envoy normalises these weights in doubles")]

use crate::HostId;
use crate::hosts::state::HostState;

/// Hosts with their share, and the least and greatest share.
#[derive(Clone, Debug)]
pub(crate) struct HashWeights {
    pub(crate) hosts: Vec<(HostId, f64)>,
    pub(crate) least: f64,
    pub(crate) greatest: f64,
}

impl HashWeights {
    /// Shares within one list of hosts.
    pub(super) fn flat(states: &[HostState], hosts: &[HostId]) -> Self {
        let mut weights = Self::empty();
        weights.add(states, hosts, 1.0);
        weights
    }

    /// Shares within localities, whose own weights are the first number.
    pub(super) fn by_locality<'a>(
        states: &[HostState],
        localities: impl Iterator<Item = (u32, &'a [HostId])> + Clone,
    ) -> Self {
        let mut weights = Self::empty();
        let total: u64 = localities.clone().map(|(weight, _)| u64::from(weight)).sum();
        for (weight, hosts) in localities.filter(|(weight, _)| *weight > 0) {
            weights.add(states, hosts, f64::from(weight) / as_f64(total));
        }
        weights
    }

    fn empty() -> Self {
        Self { hosts: Vec::new(), least: 1.0, greatest: 0.0 }
    }

    fn add(&mut self, states: &[HostState], hosts: &[HostId], share: f64) {
        let weight = |host: HostId| states.get(host.index()).map_or(0, |state| state.weight);
        let total: u64 = hosts.iter().map(|host| u64::from(weight(*host))).sum();
        for host in hosts {
            let own = f64::from(weight(*host)) * share / as_f64(total);
            self.hosts.push((*host, own));
            self.least = self.least.min(own);
            self.greatest = self.greatest.max(own);
        }
    }
}

#[expect(clippy::cast_precision_loss, reason = "a sum of 32-bit weights stays below 2^53")]
fn as_f64(sum: u64) -> f64 {
    sum as f64
}
