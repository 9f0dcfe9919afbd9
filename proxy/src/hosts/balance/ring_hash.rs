//! A ring of hashes, several for each host (Envoy: `RING_HASH`, ketama).
#![expect(clippy::float_arithmetic, reason = "Envoy shares the ring out in doubles")]

use twox_hash::XxHash64;

use super::hash_weights::HashWeights;
use crate::HostId;

/// Sorted hashes.
#[derive(Clone, Debug, Default)]
pub(crate) struct Ring {
    entries: Vec<(u64, HostId)>,
}

impl Ring {
    /// Gives each host entries by its share, so that the lightest gets a whole number of them.
    pub(crate) fn build<'a>(
        weights: &HashWeights,
        minimum: u64,
        maximum: u64,
        address: impl Fn(HostId) -> &'a str,
    ) -> Self {
        #[expect(clippy::cast_precision_loss, reason = "ring sizes are far below 2^53")]
        let (minimum, maximum) = (minimum as f64, maximum as f64);
        let scale = ((weights.least * minimum).ceil() / weights.least).min(maximum);
        let mut entries = Vec::new();
        let (mut have, mut want) = (0.0, 0.0);
        for (host, weight) in &weights.hosts {
            want += scale * weight;
            let mut number = 0_u64;
            while have < want {
                let key = format!("{}_{number}", address(*host));
                entries.push((XxHash64::oneshot(0, key.as_bytes()), *host));
                number += 1;
                have += 1.0;
            }
        }
        entries.sort_by_key(|(hash, _)| *hash);
        Self { entries }
    }

    /// The first entry at or after `hash`, and `skip` entries further when a host was refused.
    pub(crate) fn pick(&self, hash: u64, skip: u32) -> Option<HostId> {
        let first = self.entries.partition_point(|(own, _)| *own < hash);
        let first = if first == self.entries.len() { 0 } else { first };
        let slot = (first + skip as usize).checked_rem(self.entries.len())?;
        self.entries.get(slot).map(|(_, host)| *host)
    }
}
