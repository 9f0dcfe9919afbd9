//! A table in which every host fills its share in its own order (Envoy: `MAGLEV`).
#![expect(clippy::float_arithmetic, reason = "Envoy compares shares in doubles while it fills the table")]

use twox_hash::XxHash64;

use super::hash_weights::HashWeights;
use crate::HostId;

/// The filled table; empty without hosts.
#[derive(Clone, Debug, Default)]
pub(crate) struct Maglev {
    slots: Vec<HostId>,
}

struct Filler {
    host: HostId,
    offset: u64,
    skip: u64,
    weight: f64,
    target: f64,
    next: u64,
}

impl Maglev {
    /// Fills a table of `size` slots; `size` is a prime.
    pub(crate) fn build<'a>(weights: &HashWeights, size: u64, address: impl Fn(HostId) -> &'a str) -> Self {
        let mut fillers: Vec<_> = weights.hosts.iter().map(|(host, weight)| (address(*host), *host, *weight)).collect();
        if fillers.is_empty() {
            return Self::default();
        }
        fillers.sort_by(|a, b| a.0.cmp(b.0));
        let mut fillers: Vec<_> = fillers
            .into_iter()
            .map(|(address, host, weight)| Filler {
                host,
                offset: XxHash64::oneshot(0, address.as_bytes()) % size,
                skip: XxHash64::oneshot(1, address.as_bytes()) % (size - 1) + 1,
                weight,
                target: 0.0,
                next: 0,
            })
            .collect();
        Self { slots: fill(&mut fillers, weights.greatest, size) }
    }

    /// The host of the hash's slot; `skip` disturbs the hash when a host was refused.
    pub(crate) fn pick(&self, hash: u64, skip: u32) -> Option<HostId> {
        let hash = if skip == 0 { hash } else { hash ^ 0_u64.wrapping_sub(u64::from(skip)) };
        let slot = hash.checked_rem(self.slots.len() as u64)?;
        self.slots.get(usize::try_from(slot).ok()?).copied()
    }
}

/// Lets the hosts take turns, each as often as its weight allows, until every slot is taken.
fn fill(fillers: &mut [Filler], greatest: f64, size: u64) -> Vec<HostId> {
    let mut slots = vec![None; usize::try_from(size).unwrap_or(0)];
    let mut free = slots.len();
    let mut round = 1.0;
    while free > 0 {
        for filler in fillers.iter_mut() {
            if free == 0 || round * filler.weight < filler.target {
                continue;
            }
            filler.target += greatest;
            let slot = filler.first_free(&slots, size);
            slots[slot] = Some(filler.host);
            free -= 1;
        }
        round += 1.0;
    }
    slots.into_iter().flatten().collect()
}

impl Filler {
    fn first_free(&mut self, slots: &[Option<HostId>], size: u64) -> usize {
        loop {
            let slot = usize::try_from((self.offset + self.skip * self.next) % size).unwrap_or(0);
            self.next += 1;
            if slots[slot].is_none() {
                return slot;
            }
        }
    }
}
