//! How the load is shared over priorities, and which of them panic (Envoy: `LoadBalancerBase`).

/// How many hosts of one priority are in which state.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Census {
    pub(super) all: u32,
    pub(super) healthy: u32,
    pub(super) degraded: u32,
    /// Hosts that do not count in shares.
    pub(super) excluded: u32,
}

/// The availability of each priority and its share of the load, in percent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Loads {
    /// Healthy and degraded availability by priority, each at most 100.
    availability: Vec<[u32; 2]>,
    /// Share of the healthy hosts and share of the degraded hosts by priority; they sum up to 100.
    shares: Vec<[u32; 2]>,
    /// Which priorities use all of their hosts.
    panic: Vec<bool>,
}

/// Which hosts of a priority are asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Availability {
    Healthy,
    Degraded,
}

impl Loads {
    /// Recomputes everything from the hosts' states.
    pub(super) fn update(&mut self, census: &[Census], overprovisioning_factor: u32, panic_threshold: u32) {
        self.availability.clear();
        self.availability.extend(census.iter().map(|one| available(*one, overprovisioning_factor)));
        let total = total(&self.availability);
        self.shares.clear();
        self.shares.resize(census.len(), [0; 2]);
        self.panic.clear();
        self.panic.resize(census.len(), false);
        if total > 0 {
            share(&self.availability, total, &mut self.shares);
        }
        if panic_threshold == 0 && total == 0 {
            self.give_all_to_first();
            return;
        }
        if total < 100 {
            for (panic, one) in self.panic.iter_mut().zip(census) {
                *panic = panics(*one, panic_threshold);
            }
        }
        if self.panic.iter().all(|panic| *panic) {
            self.share_by_size(census);
        }
    }

    /// Whether this priority uses all of its hosts.
    pub(super) fn panics(&self, priority: usize) -> bool {
        self.panic.get(priority).copied().unwrap_or(false)
    }

    /// Whether no draw is needed: the healthy hosts of the first priority take everything.
    pub(super) fn first_takes_all(&self) -> bool {
        self.shares.first().is_some_and(|share| share[0] == 100)
    }

    /// The priority that a draw falls on.
    pub(super) fn choose(&self, draw: u64) -> (usize, Availability) {
        choose(&self.shares, draw)
    }

    /// As [`Loads::choose`], over the priorities that are not in the bit set `excluded`.
    ///
    /// `None` if none of the others is available (Envoy: `PreviousPrioritiesRetryPriority`).
    pub(super) fn choose_without(
        &self,
        excluded: u64,
        draw: u64,
        scratch: &mut Scratch,
    ) -> Option<(usize, Availability)> {
        scratch.availability.clear();
        scratch.availability.extend(
            self.availability
                .iter()
                .enumerate()
                .map(|(priority, both)| if priority < 64 && excluded & (1 << priority) != 0 { [0; 2] } else { *both }),
        );
        let total = total(&scratch.availability);
        if total == 0 {
            return None;
        }
        scratch.shares.clear();
        scratch.shares.resize(self.shares.len(), [0; 2]);
        share(&scratch.availability, total, &mut scratch.shares);
        Some(choose(&scratch.shares, draw))
    }

    fn give_all_to_first(&mut self) {
        if let Some(share) = self.shares.first_mut() {
            share[0] = 100;
        }
    }

    /// In total panic the numbers of hosts decide, whatever their state.
    fn share_by_size(&mut self, census: &[Census]) {
        let total: u64 = census.iter().map(|one| u64::from(one.all)).sum();
        if total == 0 {
            self.give_all_to_first();
            return;
        }
        let mut left = 100;
        for (share, one) in self.shares.iter_mut().zip(census) {
            let part = u32::try_from(100 * u64::from(one.all) / total).unwrap_or(100);
            *share = [part, 0];
            left -= part;
        }
        if let Some(first) = census.iter().position(|one| one.all > 0) {
            self.shares[first][0] += left;
        }
    }

    #[cfg(test)]
    pub(super) fn shares(&self) -> &[[u32; 2]] {
        &self.shares
    }
}

/// Buffers for shares that hold for one pick only.
#[derive(Clone, Debug, Default)]
pub(super) struct Scratch {
    availability: Vec<[u32; 2]>,
    shares: Vec<[u32; 2]>,
}

/// Healthy and degraded availability of one priority in percent.
fn available(census: Census, overprovisioning_factor: u32) -> [u32; 2] {
    let hosts = u64::from(census.all - census.excluded);
    if hosts == 0 {
        return [0; 2];
    }
    let scaled = |count: u32| {
        let percent = u64::from(overprovisioning_factor) * u64::from(count) / hosts;
        u32::try_from(percent.min(100)).unwrap_or(100)
    };
    [scaled(census.healthy), scaled(census.degraded)]
}

fn total(availability: &[[u32; 2]]) -> u32 {
    availability.iter().flatten().sum::<u32>().min(100)
}

/// Healthy hosts first, then degraded ones, in order of priority; the rounding goes to the first that is available.
fn share(availability: &[[u32; 2]], total: u32, shares: &mut [[u32; 2]]) {
    let mut left = 100;
    for kind in 0..2 {
        for (share, available) in shares.iter_mut().zip(availability) {
            share[kind] = left.min(available[kind] * 100 / total);
            left -= share[kind];
        }
    }
    for kind in 0..2 {
        if let Some(first) = availability.iter().position(|available| available[kind] > 0) {
            shares[first][kind] += left;
            return;
        }
    }
}

/// Strictly below the threshold; a priority without hosts counts as 0 %.
fn panics(census: Census, threshold: u32) -> bool {
    let hosts = u64::from(census.all - census.excluded);
    let usable = u64::from(census.healthy) + u64::from(census.degraded);
    hosts == 0 && threshold > 0 || 100 * usable < u64::from(threshold) * hosts
}

fn choose(shares: &[[u32; 2]], draw: u64) -> (usize, Availability) {
    let mut rest = draw % 100;
    for (kind, availability) in [(0, Availability::Healthy), (1, Availability::Degraded)] {
        for (priority, share) in shares.iter().enumerate() {
            let share = u64::from(share[kind]);
            if rest < share {
                return (priority, availability);
            }
            rest -= share;
        }
    }
    (0, Availability::Healthy)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn census(all: u32, healthy: u32, degraded: u32) -> Census {
        Census { all, healthy, degraded, excluded: 0 }
    }

    #[test]
    fn shares_are_those_of_envoy() {
        // (hosts, healthy, degraded) by priority; threshold; shares; which priorities panic.
        let table = [
            (vec![(2, 1, 0), (1, 1, 0)], 50, vec![[70, 0], [30, 0]], vec![false, false]),
            (vec![(3, 1, 1)], 50, vec![[50, 50]], vec![false]),
            (vec![(3, 1, 0)], 50, vec![[100, 0]], vec![true]),
            (vec![(2, 1, 0)], 50, vec![[100, 0]], vec![false]),
            (vec![(3, 1, 0)], 30, vec![[100, 0]], vec![false]),
            (vec![(3, 0, 0)], 0, vec![[100, 0]], vec![false]),
            (vec![(1, 0, 0), (2, 0, 0)], 50, vec![[34, 0], [66, 0]], vec![true, true]),
            (vec![(3, 1, 0), (1, 1, 0)], 50, vec![[46, 0], [54, 0]], vec![false, false]),
            (vec![(2, 0, 0), (1, 1, 0)], 50, vec![[0, 0], [100, 0]], vec![false, false]),
            (vec![(4, 1, 0), (4, 1, 0)], 50, vec![[50, 0], [50, 0]], vec![true, true]),
            (vec![(4, 1, 0), (2, 1, 0), (2, 1, 0)], 50, vec![[35, 0], [65, 0], [0, 0]], vec![false; 3]),
            (vec![], 50, vec![], vec![]),
            (vec![(0, 0, 0)], 50, vec![[100, 0]], vec![true]),
        ];
        for (hosts, threshold, shares, panic) in table {
            let hosts: Vec<_> =
                hosts.iter().map(|(all, healthy, degraded)| census(*all, *healthy, *degraded)).collect();
            let mut loads = Loads::default();
            loads.update(&hosts, 140, threshold);
            assert_eq!(loads.shares(), shares, "{hosts:?} at {threshold}");
            assert_eq!(loads.panic, panic, "{hosts:?} at {threshold}");
        }
    }

    #[test]
    fn rounding_goes_to_the_first_healthy_priority() {
        let mut shares = vec![[0; 2]; 3];
        share(&[[10, 20], [20, 10], [10, 0]], 70, &mut shares);
        assert_eq!(shares, [[16, 28], [28, 14], [14, 0]]);
    }

    #[test]
    fn excluded_hosts_do_not_count() {
        let mut loads = Loads::default();
        loads.update(&[Census { all: 3, healthy: 1, degraded: 0, excluded: 1 }], 140, 50);
        assert!(!loads.panics(0));
        loads.update(&[Census { all: 3, healthy: 1, degraded: 0, excluded: 0 }], 140, 50);
        assert!(loads.panics(0));
    }

    #[test]
    fn tried_priorities_give_their_load_away() {
        let mut loads = Loads::default();
        let mut scratch = Scratch::default();
        loads.update(&[census(2, 2, 0), census(2, 2, 0), census(2, 1, 0)], 140, 50);
        let priority = |excluded, scratch: &mut Scratch| loads.choose_without(excluded, 99, scratch).map(|pair| pair.0);
        assert_eq!(priority(0b000, &mut scratch), Some(0));
        assert_eq!(priority(0b001, &mut scratch), Some(1));
        assert_eq!(priority(0b011, &mut scratch), Some(2));
        assert_eq!(priority(0b111, &mut scratch), None);
    }
}
