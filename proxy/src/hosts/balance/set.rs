//! The hosts of one priority by health and locality (Envoy: `HostSet`).

use super::World;
use super::hash_weights::HashWeights;
use super::locality::LocalitySchedule;
use super::maglev::Maglev;
use super::ring_hash::Ring;
use super::source::Source;
use crate::HostId;
use crate::hosts::loads::{Availability, Census};
use crate::hosts::state::{Flags, Health};
use crate::hosts::table::Policy;

/// Names a list of hosts within a priority.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SourceKey {
    All,
    Healthy,
    Degraded,
    LocalityHealthy(usize),
    LocalityDegraded(usize),
}

impl SourceKey {
    pub(super) const fn whole(availability: Availability) -> Self {
        match availability {
            Availability::Healthy => Self::Healthy,
            Availability::Degraded => Self::Degraded,
        }
    }

    pub(super) const fn locality(availability: Availability, index: usize) -> Self {
        match availability {
            Availability::Healthy => Self::LocalityHealthy(index),
            Availability::Degraded => Self::LocalityDegraded(index),
        }
    }
}

/// The hosts of one priority.
#[derive(Clone, Debug)]
pub(super) struct PrioritySet {
    all: Source,
    healthy: Source,
    degraded: Source,
    /// The proxy's own locality first, the others by name.
    localities: Vec<Locality>,
    healthy_localities: Option<LocalitySchedule>,
    degraded_localities: Option<LocalitySchedule>,
    hashes: Hashes,
}

/// The hosts of one locality.
#[derive(Clone, Debug)]
pub(super) struct Locality {
    name: String,
    pub(super) weight: u32,
    pub(super) census: Census,
    hosts: Vec<HostId>,
    healthy: Source,
    degraded: Source,
}

/// What hashes are looked up in.
#[derive(Clone, Debug)]
enum Hashes {
    None,
    Ring(Ring),
    Maglev(Maglev),
}

impl PrioritySet {
    pub(super) fn new(seed: u64) -> Self {
        Self {
            all: Source::new(seed),
            healthy: Source::new(seed),
            degraded: Source::new(seed),
            localities: Vec::new(),
            healthy_localities: None,
            degraded_localities: None,
            hashes: Hashes::None,
        }
    }

    /// Sorts the hosts of this priority into their lists.
    pub(super) fn update(
        &mut self,
        world: &World<'_>,
        seed: u64,
        warming: bool,
        hosts: impl Iterator<Item = HostId> + Clone,
    ) -> Census {
        let is =
            |health: Health| move |host: &HostId| world.host(*host).is_some_and(|state| state.flags.health() == health);
        self.all.update(world, seed, warming, hosts.clone());
        self.healthy.update(world, seed, warming, hosts.clone().filter(is(Health::Healthy)));
        self.degraded.update(world, seed, warming, hosts.clone().filter(is(Health::Degraded)));
        self.sort_localities(world, seed, &hosts);
        for locality in &mut self.localities {
            let hosts = locality.hosts.iter().copied();
            locality.census = count(world, hosts.clone());
            locality.healthy.update(world, seed, warming, hosts.clone().filter(is(Health::Healthy)));
            locality.degraded.update(world, seed, warming, hosts.filter(is(Health::Degraded)));
        }
        if world.options.locality_weighted {
            let factor = world.options.overprovisioning_factor;
            let schedule = |kind| LocalitySchedule::build(&self.localities, kind, factor, seed);
            self.healthy_localities = schedule(Availability::Healthy);
            self.degraded_localities = schedule(Availability::Degraded);
        }
        count(world, hosts)
    }

    /// Builds the ring or the table over the healthy hosts, in panic over all.
    pub(super) fn update_hashes(&mut self, world: &World<'_>, panic: bool) {
        let weights = || {
            let states = world.hosts;
            // Degraded hosts never take part (Envoy: `ThreadAwareLoadBalancerBase::refresh`).
            if world.options.locality_weighted && self.localities.iter().any(|locality| locality.weight > 0) {
                let lists = self.localities.iter().map(|locality| {
                    (locality.weight, if panic { &locality.hosts[..] } else { locality.healthy.hosts() })
                });
                return HashWeights::by_locality(states, lists);
            }
            HashWeights::flat(states, if panic { self.all.hosts() } else { self.healthy.hosts() })
        };
        let hashes = match world.options.policy {
            Policy::RingHash { minimum, maximum } => {
                Hashes::Ring(Ring::build(&weights(), minimum, maximum, |host| world.address(host)))
            }
            Policy::Maglev { table_size } => {
                Hashes::Maglev(Maglev::build(&weights(), table_size, |host| world.address(host)))
            }
            _ => return,
        };
        self.hashes = hashes;
    }

    pub(super) fn pick_by_hash(&self, hash: u64, skip: u32) -> Option<HostId> {
        match &self.hashes {
            Hashes::None => None,
            Hashes::Ring(ring) => ring.pick(hash, skip),
            Hashes::Maglev(table) => table.pick(hash, skip),
        }
    }

    pub(super) fn source(&mut self, key: SourceKey) -> Option<&mut Source> {
        match key {
            SourceKey::All => Some(&mut self.all),
            SourceKey::Healthy => Some(&mut self.healthy),
            SourceKey::Degraded => Some(&mut self.degraded),
            SourceKey::LocalityHealthy(index) => self.localities.get_mut(index).map(|locality| &mut locality.healthy),
            SourceKey::LocalityDegraded(index) => self.localities.get_mut(index).map(|locality| &mut locality.degraded),
        }
    }

    /// The locality whose turn it is by weight; `None`: localities have no weights, or no usable host.
    pub(super) fn choose_locality(&mut self, availability: Availability) -> Option<usize> {
        match availability {
            Availability::Healthy => self.healthy_localities.as_mut()?.pick(),
            Availability::Degraded => self.degraded_localities.as_mut()?.pick(),
        }
    }

    /// Names and numbers of healthy hosts of the localities.
    pub(super) fn zones(&self) -> Vec<(&str, u32)> {
        self.localities.iter().map(|locality| (locality.name.as_str(), locality.census.healthy)).collect()
    }

    /// Groups hosts by locality. Rotations of the same place in the list go on (Envoy keys them by index).
    fn sort_localities(&mut self, world: &World<'_>, seed: u64, hosts: &(impl Iterator<Item = HostId> + Clone)) {
        let own = world.options.own_zone.as_deref();
        let config = |host: HostId| world.configs.get(host.index());
        let mut names: Vec<&str> = hosts.clone().filter_map(config).map(|host| host.locality.as_str()).collect();
        names.sort_unstable_by_key(|name| (own != Some(name), *name));
        names.dedup();
        self.localities.resize_with(names.len(), || Locality {
            name: String::new(),
            weight: 0,
            census: Census::default(),
            hosts: Vec::new(),
            healthy: Source::new(seed),
            degraded: Source::new(seed),
        });
        for (locality, name) in self.localities.iter_mut().zip(names) {
            name.clone_into(&mut locality.name);
            locality.hosts.clear();
            locality.hosts.extend(hosts.clone().filter(|host| config(*host).is_some_and(|one| one.locality == name)));
            let weights = locality.hosts.iter().filter_map(|host| config(*host)?.locality_weight);
            locality.weight = weights.take(1).sum();
        }
    }
}

fn count(world: &World<'_>, hosts: impl Iterator<Item = HostId>) -> Census {
    let mut census = Census::default();
    for state in hosts.filter_map(|host| world.host(host)) {
        census.all += 1;
        census.healthy += u32::from(state.flags.health() == Health::Healthy);
        census.degraded += u32::from(state.flags.health() == Health::Degraded);
        census.excluded += u32::from(state.flags.has(Flags::EXCLUDED));
    }
    census
}
