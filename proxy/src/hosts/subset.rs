//! Balancers over subsets of hosts with equal labels (Envoy: `SubsetLoadBalancer`).

use super::balance::{Balancer, Pick, World};
use super::stats::{Counter, HostStats};
use crate::config::{Host, SubsetFallback, Subsets};
use crate::{Entropy, HostId, Time};

/// Labels: key and value.
type Labels = [(String, String)];

/// The subsets of one cluster.
#[derive(Clone, Debug)]
pub(super) struct SubsetBalancer {
    config: Subsets,
    subsets: Vec<Subset>,
    any: Balancer,
    default: Balancer,
}

#[derive(Clone, Debug)]
struct Subset {
    labels: Vec<(String, String)>,
    /// Whether some member has these labels.
    active: bool,
    balancer: Balancer,
}

impl SubsetBalancer {
    pub(super) fn new(config: Subsets, now: Time, mut seed: impl FnMut() -> u64) -> Self {
        let (any, default) = (Balancer::new(seed(), now), Balancer::new(seed(), now));
        Self { config, subsets: Vec::new(), any, default }
    }

    /// Makes a balancer for each set of values that the members have for some selector's keys.
    pub(super) fn discover(&mut self, members: &[Host], now: Time, mut seed: impl FnMut() -> u64) {
        for subset in &mut self.subsets {
            subset.active = false;
        }
        for selector in &self.config.selectors {
            for host in members {
                let Some(labels) = values(host, &selector.keys) else {
                    continue;
                };
                if let Some(subset) = self.subsets.iter_mut().find(|subset| same(&subset.labels, &labels)) {
                    subset.active = true;
                } else {
                    let balancer = Balancer::new(seed(), now);
                    self.subsets.push(Subset { labels, active: true, balancer });
                }
            }
        }
    }

    /// Takes over the present health of the members.
    pub(super) fn publish(&mut self, world: &World<'_>, members: &[HostId], stats: &mut HostStats) {
        let with = |labels: &Labels| -> Vec<HostId> {
            members.iter().copied().filter(|host| world.config(*host).is_some_and(|one| has(one, labels))).collect()
        };
        let priorities = world.priorities(members);
        for subset in &mut self.subsets {
            subset.balancer.publish(world, &with(&subset.labels), priorities, stats);
        }
        self.any.publish(world, members, priorities, stats);
        self.default.publish(world, &with(&self.config.default_subset), priorities, stats);
    }

    /// A subset that matches decides alone; otherwise the fallback of the keys, then that of the cluster.
    pub(super) fn pick(
        &mut self,
        world: &World<'_>,
        want: &mut Pick<'_>,
        entropy: &mut dyn Entropy,
        stats: &mut HostStats,
    ) -> Option<HostId> {
        let labels = want.metadata_match;
        if !labels.is_empty() {
            if let Some(subset) = self.subsets.iter_mut().find(|subset| subset.active && same(&subset.labels, labels)) {
                stats.add(Counter::LbSubsetsSelected);
                return subset.balancer.pick(world, want, entropy, stats);
            }
            if let Some(fallback) = self.fallback_of_keys(labels) {
                return self.fallback(fallback)?.pick(world, want, entropy, stats);
            }
        }
        let chosen = self.fallback(self.config.fallback)?.pick(world, want, entropy, stats);
        if chosen.is_some() {
            stats.add(Counter::LbSubsetsFallback);
            return chosen;
        }
        let chosen = self.config.panic_mode_any.then(|| self.any.pick(world, want, entropy, stats))?;
        if chosen.is_some() {
            stats.add(Counter::LbSubsetsFallbackPanic);
        }
        chosen
    }

    fn fallback(&mut self, fallback: SubsetFallback) -> Option<&mut Balancer> {
        match fallback {
            SubsetFallback::NoFallback => None,
            SubsetFallback::AnyEndpoint => Some(&mut self.any),
            SubsetFallback::DefaultSubset => Some(&mut self.default),
        }
    }

    fn fallback_of_keys(&self, labels: &Labels) -> Option<SubsetFallback> {
        let matches = |keys: &[String]| {
            keys.len() == labels.len() && keys.iter().all(|key| labels.iter().any(|(name, _)| name == key))
        };
        self.config.selectors.iter().find(|selector| matches(&selector.keys))?.fallback
    }
}

/// The host's values for these keys; `None` if it lacks one.
fn values(host: &Host, keys: &[String]) -> Option<Vec<(String, String)>> {
    keys.iter().map(|key| host.metadata.iter().find(|(name, _)| name == key).cloned()).collect()
}

fn has(host: &Host, labels: &Labels) -> bool {
    labels.iter().all(|label| host.metadata.contains(label))
}

fn same(a: &Labels, b: &Labels) -> bool {
    a.len() == b.len() && a.iter().all(|label| b.contains(label))
}
