//! Which host a request goes to: priority, then list of hosts, then the policy's choice in that list.
//!
//! Everything that depends on health alone is computed when health is published; a pick walks tables.

mod edf;
mod hash_weights;
mod locality;
mod maglev;
mod peak_ewma;
mod ring_hash;
mod set;
mod slow_start;
mod source;
mod zone;

use super::loads::{Availability, Census, Loads, Scratch};
use super::state::HostState;
use super::stats::{Counter, HostStats};
use super::table::{BalancingOptions, Policy};
use crate::config::Host;
use crate::{Draw, DrawKey, Entropy, HostId, RequestKey, Time};
pub(super) use peak_ewma::Ewma;
use set::{PrioritySet, SourceKey};
use source::reduce;
use zone::{ZoneFault, ZoneRouting};

/// What one request asks of the balancer.
#[derive(Debug)]
pub(crate) struct Pick<'a> {
    /// Keys the draws.
    pub(crate) request: RequestKey,
    /// Which try, from 1.
    pub(crate) attempt: u32,
    /// What the route's hash policies gave; `None`: a random hash.
    pub(crate) hash: Option<u64>,
    /// The route's labels for subsets, in any order; empty: none.
    pub(crate) metadata_match: &'a [(String, String)],
    /// The `ip:port` that the client dialled, for `ORIGINAL_DST`.
    pub(crate) original_destination: Option<&'a str>,
    /// What the retry policy says about hosts; it counts from the second try on.
    pub(crate) retry: RetryHosts,
    /// The hosts of earlier tries; the chosen one is added.
    pub(crate) tried: &'a mut Tried,
}

/// How a retry policy guides the choice of a host (Envoy: `retry_host_predicate`, `retry_priority`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RetryHosts {
    /// Whether hosts that were tried are refused.
    pub(crate) previous_hosts: bool,
    /// How often a refused host is replaced.
    pub(crate) max_attempts: u32,
    /// After so many tries, their priorities are left out; `None`: never.
    pub(crate) previous_priorities: Option<u32>,
}

/// The hosts that a request was sent to; kept with the stream and reused.
#[derive(Clone, Debug, Default)]
pub(crate) struct Tried {
    hosts: Vec<HostId>,
    /// Where the list begins that `previous_priorities` has not forgotten.
    remembered: usize,
    /// Priorities that are left out, as bits.
    excluded: u64,
}

impl Tried {
    /// Forgets everything and keeps the memory.
    pub(crate) fn clear(&mut self) {
        self.hosts.clear();
        self.remembered = 0;
        self.excluded = 0;
    }

    #[cfg(test)]
    pub(crate) fn hosts(&self) -> &[HostId] {
        &self.hosts
    }

    pub(super) fn push(&mut self, host: HostId) {
        self.hosts.push(host);
    }
}

/// What a balancer reads but does not own.
pub(super) struct World<'a> {
    pub(super) options: &'a BalancingOptions,
    pub(super) hosts: &'a [HostState],
    pub(super) configs: &'a [Host],
    pub(super) ewma: &'a [Ewma],
    pub(super) now: Time,
}

impl World<'_> {
    fn host(&self, host: HostId) -> Option<&HostState> {
        self.hosts.get(host.index())
    }

    pub(super) fn config(&self, host: HostId) -> Option<&Host> {
        self.configs.get(host.index())
    }

    /// How many priorities these hosts span.
    pub(super) fn priorities(&self, hosts: &[HostId]) -> usize {
        hosts.iter().filter_map(|host| self.host(*host)).map(|host| host.priority as usize + 1).max().unwrap_or(1)
    }

    fn address(&self, host: HostId) -> &str {
        self.config(host).map_or("", |config| &config.address)
    }

    fn ewma_cost(&self, host: HostId) -> f64 {
        let (Some(ewma), Some(state)) = (self.ewma.get(host.index()), self.host(host)) else {
            return 0.0;
        };
        ewma.cost(self.options.policy, self.now, state.active)
    }
}

/// Draws of one pick, all under the request's key.
pub(super) struct Draws<'a> {
    pub(super) entropy: &'a mut dyn Entropy,
    pub(super) request: RequestKey,
    /// Distinguishes tries, and picks within a try.
    pub(super) base: u32,
}

impl Draws<'_> {
    fn draw(&mut self, what: Draw, sample: u32) -> u64 {
        let attempt = self.base.wrapping_add(sample);
        self.entropy.draw(DrawKey { request: self.request, attempt, what })
    }
}

/// Draws of different tries and of different picks in one try lie so far apart.
const DRAWS_PER_TRY: u32 = 1 << 16;
const DRAWS_PER_PICK: u32 = 1 << 10;

/// A balancer over one group of hosts: the whole cluster, or a subset.
#[derive(Clone, Debug)]
pub(super) struct Balancer {
    seed: u64,
    /// When the last host came (Envoy: `latest_host_added_time`); slow start may be on until a window later.
    latest: Time,
    sets: Vec<PrioritySet>,
    census: Vec<Census>,
    loads: Loads,
    zone: ZoneRouting,
    scratch: Scratch,
}

impl Balancer {
    /// A balancer without hosts. `seed` decides where its rotations start.
    pub(super) fn new(seed: u64, now: Time) -> Self {
        Self {
            seed,
            latest: now,
            sets: Vec::new(),
            census: Vec::new(),
            loads: Loads::default(),
            zone: ZoneRouting::Off,
            scratch: Scratch::default(),
        }
    }

    /// Takes over the present health of its hosts, which are given in their order.
    ///
    /// `priorities` is that of the whole cluster: a subset may have no host in some of them.
    pub(super) fn publish(&mut self, world: &World<'_>, hosts: &[HostId], priorities: usize, stats: &mut HostStats) {
        let warming = self.note_new_hosts(world, hosts);
        self.sets.resize_with(priorities, || PrioritySet::new(self.seed));
        self.census.clear();
        for (priority, set) in self.sets.iter_mut().enumerate() {
            let members = hosts
                .iter()
                .copied()
                .filter(|host| world.host(*host).is_some_and(|state| state.priority as usize == priority));
            self.census.push(set.update(world, self.seed, warming, members));
        }
        self.loads.update(&self.census, world.options.overprovisioning_factor, world.options.panic_threshold);
        for (priority, set) in self.sets.iter_mut().enumerate() {
            set.update_hashes(world, self.loads.panics(priority));
        }
        self.plan_zones(world, stats);
    }

    /// The host for a request; `None`: no healthy upstream.
    pub(super) fn pick(
        &mut self,
        world: &World<'_>,
        want: &mut Pick<'_>,
        entropy: &mut dyn Entropy,
        stats: &mut HostStats,
    ) -> Option<HostId> {
        let base = want.attempt.wrapping_mul(DRAWS_PER_TRY);
        let mut draws = Draws { entropy, request: want.request, base };
        if matches!(world.options.policy, Policy::RingHash { .. } | Policy::Maglev { .. }) {
            return self.pick_by_hash(want, &mut draws, stats);
        }
        let refuses = want.retry.previous_hosts && want.attempt > 1;
        let picks = if refuses { want.retry.max_attempts + 1 } else { 1 };
        let mut chosen = None;
        for pick in 0..picks {
            draws.base = base.wrapping_add(pick.wrapping_mul(DRAWS_PER_PICK));
            chosen = self.pick_once(world, want, &mut draws, stats);
            let again = chosen.is_some_and(|host| refuses && want.tried.hosts.contains(&host));
            if !again {
                break;
            }
        }
        chosen
    }

    fn pick_once(
        &mut self,
        world: &World<'_>,
        want: &mut Pick<'_>,
        draws: &mut Draws<'_>,
        stats: &mut HostStats,
    ) -> Option<HostId> {
        let (priority, availability, draw) = self.choose_priority(world, want, draws);
        let key = self.choose_source(world, priority, availability, draws, stats)?;
        self.sets.get_mut(priority)?.source(key)?.pick(world, draws, draw)
    }

    /// The priority, which of its hosts, and the draw if one was made.
    fn choose_priority(
        &mut self,
        world: &World<'_>,
        want: &mut Pick<'_>,
        draws: &mut Draws<'_>,
    ) -> (usize, Availability, Option<u64>) {
        let leaves_out = want.attempt > 1 && want.retry.previous_priorities.is_some();
        if self.loads.first_takes_all() && !leaves_out {
            return (0, Availability::Healthy, None);
        }
        let draw = draws.draw(Draw::LbPriority, 0);
        let other = want
            .retry
            .previous_priorities
            .filter(|_| leaves_out)
            .and_then(|frequency| self.choose_untried(world, want.tried, frequency, draw));
        let (priority, availability) = other.unwrap_or_else(|| self.loads.choose(draw));
        (priority, availability, Some(draw))
    }

    /// Envoy: `previous_priorities`. `None`: the usual shares hold.
    fn choose_untried(
        &mut self,
        world: &World<'_>,
        tried: &mut Tried,
        frequency: u32,
        draw: u64,
    ) -> Option<(usize, Availability)> {
        let count = tried.hosts.len() - tried.remembered;
        if count < frequency.max(1) as usize {
            return None;
        }
        if count.is_multiple_of(frequency.max(1) as usize) {
            for host in &tried.hosts[tried.remembered..] {
                let priority = world.host(*host).map_or(0, |state| state.priority);
                tried.excluded |= 1_u64.checked_shl(priority).unwrap_or(0);
            }
        }
        let chosen = self.loads.choose_without(tried.excluded, draw, &mut self.scratch);
        if chosen.is_none() {
            tried.remembered = tried.hosts.len();
            tried.excluded = 0;
        }
        chosen
    }

    /// Which list of hosts of a priority is used; `None`: no host.
    fn choose_source(
        &mut self,
        world: &World<'_>,
        priority: usize,
        availability: Availability,
        draws: &mut Draws<'_>,
        stats: &mut HostStats,
    ) -> Option<SourceKey> {
        if self.loads.panics(priority) {
            stats.add(Counter::LbHealthyPanic);
            return (!world.options.fail_traffic_on_panic).then_some(SourceKey::All);
        }
        if world.options.locality_weighted
            && let Some(locality) = self.sets.get_mut(priority)?.choose_locality(availability)
        {
            return Some(SourceKey::locality(availability, locality));
        }
        if priority != 0 || self.zone == ZoneRouting::Off {
            return Some(SourceKey::whole(availability));
        }
        Some(self.choose_zone(world, availability, draws, stats))
    }

    fn choose_zone(
        &self,
        world: &World<'_>,
        availability: Availability,
        draws: &mut Draws<'_>,
        stats: &mut HostStats,
    ) -> SourceKey {
        let enabled = world.options.zone_aware.as_ref().map_or(0, |options| u64::from(options.routing_enabled));
        if enabled < 100 && draws.draw(Draw::LbLocality, 0) % 100 >= enabled {
            return SourceKey::whole(availability);
        }
        let locality = match &self.zone {
            ZoneRouting::Off => return SourceKey::whole(availability),
            ZoneRouting::Direct => {
                stats.add(Counter::LbZoneRoutingAllDirectly);
                0
            }
            ZoneRouting::Residual { local, .. } if draws.draw(Draw::LbLocality, 1) % 10_000 < *local => {
                stats.add(Counter::LbZoneRoutingSampled);
                0
            }
            ZoneRouting::Residual { residual, .. } => {
                stats.add(Counter::LbZoneRoutingCrossZone);
                let draw = draws.draw(Draw::LbLocality, 2);
                if let Some(place) = draw.checked_rem(residual.last().copied().unwrap_or(0)) {
                    residual.partition_point(|sum| *sum <= place)
                } else {
                    stats.add(Counter::LbZoneNoCapacityLeft);
                    reduce(draw, residual.len())
                }
            }
        };
        SourceKey::locality(availability, locality)
    }

    /// The hash chooses the priority too, and predicates move on from the first host.
    fn pick_by_hash(&self, want: &Pick<'_>, draws: &mut Draws<'_>, stats: &mut HostStats) -> Option<HostId> {
        let hash = want.hash.unwrap_or_else(|| draws.draw(Draw::LbHash, 0));
        let (priority, _) = self.loads.choose(hash);
        if self.loads.panics(priority) {
            stats.add(Counter::LbHealthyPanic);
        }
        let set = self.sets.get(priority)?;
        let refuses = want.retry.previous_hosts && want.attempt > 1;
        let picks = if refuses { want.retry.max_attempts } else { 0 };
        let mut chosen = set.pick_by_hash(hash, 0)?;
        for skip in 1..=picks {
            if !want.tried.hosts.contains(&chosen) {
                break;
            }
            chosen = set.pick_by_hash(hash, skip)?;
        }
        Some(chosen)
    }

    /// Remembers when the last host became healthy; says whether one may be in slow start.
    fn note_new_hosts(&mut self, world: &World<'_>, hosts: &[HostId]) -> bool {
        let Some(options) = &world.options.slow_start else {
            return false;
        };
        for since in hosts.iter().filter_map(|host| world.host(*host)?.healthy_since) {
            let age = world.now.since(since).as_millis();
            if since > self.latest && age <= options.window.as_millis() {
                self.latest = since;
            }
        }
        slow_start::is_on(Some(options), world.now, self.latest)
    }

    /// Zones matter only in the first priority.
    fn plan_zones(&mut self, world: &World<'_>, stats: &mut HostStats) {
        let (Some(options), Some(set)) = (&world.options.zone_aware, self.sets.first()) else {
            return;
        };
        stats.add(Counter::LbRecalculateZoneStructures);
        let own = world.options.own_zone.as_deref();
        let (zone, fault) = ZoneRouting::plan(options, own, &set.zones());
        match fault {
            Some(ZoneFault::LocalClusterNotOk) => stats.add(Counter::LbLocalClusterNotOk),
            Some(ZoneFault::ClusterTooSmall) => stats.add(Counter::LbZoneClusterTooSmall),
            None => {}
        }
        self.zone = zone;
    }
}
