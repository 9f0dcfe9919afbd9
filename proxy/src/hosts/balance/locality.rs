//! Localities that share the load by their weights (Envoy: `locality_weighted_lb_config`).
#![expect(clippy::float_arithmetic, reason = "Envoy scales the weights of localities in doubles")]

use super::edf::Edf;
use super::set::Locality;
use crate::hosts::loads::{Availability, Census};

/// A rotation over the localities that have a weight and usable hosts.
#[derive(Clone, Debug)]
pub(super) struct LocalitySchedule {
    /// Index of the locality and its effective weight.
    entries: Vec<(usize, f64)>,
    schedule: Edf,
}

impl LocalitySchedule {
    /// `None` if no locality can be chosen.
    pub(super) fn build(
        localities: &[Locality],
        availability: Availability,
        overprovisioning_factor: u32,
        seed: u64,
    ) -> Option<Self> {
        let entries: Vec<_> = localities
            .iter()
            .map(|locality| effective_weight(locality.weight, locality.census, availability, overprovisioning_factor))
            .enumerate()
            .filter(|(_, weight)| *weight > 0.0)
            .collect();
        let schedule = Edf::with_picks(entries.len(), seed, |entry| entries[entry].1);
        (!entries.is_empty()).then_some(Self { entries, schedule })
    }

    /// The locality whose turn it is.
    pub(super) fn pick(&mut self) -> Option<usize> {
        let entries = &self.entries;
        let entry = self.schedule.pick(|entry| entries[entry].1)?;
        entries.get(entry).map(|(locality, _)| *locality)
    }
}

/// A locality's weight, scaled down when too many of its hosts are out.
fn effective_weight(weight: u32, census: Census, availability: Availability, overprovisioning_factor: u32) -> f64 {
    let usable = match availability {
        Availability::Healthy => census.healthy,
        Availability::Degraded => census.degraded,
    };
    let hosts = census.all - census.excluded;
    if hosts == 0 {
        return 0.0;
    }
    let ratio = f64::from(usable) / f64::from(hosts);
    f64::from(weight) * (f64::from(overprovisioning_factor) / 100.0 * ratio).min(1.0)
}
