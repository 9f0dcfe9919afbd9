//! The hosts of a cluster, driven by hand.

mod accrual;
mod choice;
mod hash;
mod health_check;
mod outlier;
mod reference;
mod statistics;
mod subset;

use super::{ClusterTable, Counter, Hosts, Pick, RetryHosts, Tried};
use crate::config::{Cluster, Host, HostHealth, Zone};
use crate::{ClusterId, Cx, Draw, DrawKey, Effect, Effects, Entropy, HostId, Nanos, RequestKey, Time, TimerId};

/// Keyed draws: splitmix64 over the seed and the key. Rotations start at the first host.
struct Keyed(u64);

impl Entropy for Keyed {
    fn draw(&mut self, key: DrawKey) -> u64 {
        if key.what == Draw::LbStart {
            return 0;
        }
        [key.request.0, u64::from(key.attempt), key.what as u64].iter().fold(self.0, |state, part| {
            let mut z = (state ^ part).wrapping_add(0x9e37_79b9_7f4a_7c15);
            z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        })
    }
}

/// A cluster's hosts with a clock and pending timers.
struct Rig {
    hosts: Hosts,
    entropy: Keyed,
    now: Time,
    timers: Vec<(Time, TimerId)>,
    checks: Vec<HostId>,
    requests: u64,
    tried: Tried,
}

impl Rig {
    fn new(cluster: &Cluster) -> Self {
        Self::in_zone(cluster, None)
    }

    fn in_zone(cluster: &Cluster, zone: Option<&Zone>) -> Self {
        let table = ClusterTable::compile(ClusterId::new(0), cluster, zone).unwrap();
        let (mut entropy, mut effects) = (Keyed(7), Effects::default());
        let now = Time::START;
        let hosts = Hosts::new(&mut Cx { now, entropy: &mut entropy, effects: &mut effects }, &table);
        let mut rig =
            Self { hosts, entropy, now, timers: Vec::new(), checks: Vec::new(), requests: 0, tried: Tried::default() };
        rig.take(effects);
        rig
    }

    fn call<R>(&mut self, call: impl FnOnce(&mut Hosts, &mut Cx<'_>) -> R) -> R {
        let mut effects = Effects::default();
        let mut cx = Cx { now: self.now, entropy: &mut self.entropy, effects: &mut effects };
        let result = call(&mut self.hosts, &mut cx);
        self.take(effects);
        result
    }

    fn take(&mut self, mut effects: Effects) {
        for effect in effects.drain() {
            match effect {
                Effect::SetTimer { timer, at } => self.timers.push((at, timer)),
                Effect::CheckHealth { host, .. } => self.checks.push(host),
                _ => {}
            }
        }
    }

    /// Lets time pass and fires the timers that are due on the way.
    fn run_to(&mut self, millis: u64) {
        let end = Time::from_nanos(millis * 1_000_000);
        while let Some(next) =
            (0..self.timers.len()).filter(|i| self.timers[*i].0 <= end).min_by_key(|i| self.timers[*i].0)
        {
            let (at, timer) = self.timers.remove(next);
            self.now = at;
            self.call(|hosts, cx| hosts.on_timer(cx, timer));
        }
        self.now = end;
    }

    fn put(&mut self, host: u32, codes: &[u16]) {
        for code in codes {
            self.call(|hosts, cx| hosts.put_code(cx, HostId::new(host), *code));
        }
    }

    /// The host of a new request.
    fn pick(&mut self) -> Option<usize> {
        self.pick_with(|_| {})
    }

    fn pick_with(&mut self, change: impl FnOnce(&mut Pick<'_>)) -> Option<usize> {
        self.requests += 1;
        let mut tried = std::mem::take(&mut self.tried);
        tried.clear();
        let mut want = want(self.requests, 1, &mut tried);
        change(&mut want);
        let chosen = self.call(|hosts, cx| hosts.pick(cx, &mut want)).map(HostId::index);
        self.tried = tried;
        chosen
    }

    fn picks(&mut self, count: usize) -> Vec<usize> {
        (0..count).filter_map(|_| self.pick()).collect()
    }

    /// How often each host is chosen for so many new requests.
    fn spread(&mut self, hosts: usize, count: usize) -> Vec<u64> {
        let mut counts = vec![0; hosts];
        for host in self.picks(count) {
            counts[host] += 1;
        }
        counts
    }

    fn is_ejected(&self, host: u32) -> bool {
        self.hosts.states[host as usize].flags.has(super::Flags::FAILED_OUTLIER)
    }

    fn stat(&self, counter: Counter) -> u64 {
        self.hosts.stats.get(counter)
    }
}

fn want(request: u64, attempt: u32, tried: &mut Tried) -> Pick<'_> {
    Pick {
        request: RequestKey(request),
        attempt,
        hash: None,
        metadata_match: &[],
        original_destination: None,
        retry: RetryHosts::default(),
        tried,
    }
}

fn host(number: usize) -> Host {
    Host::new(format!("h{number}"), format!("127.0.0.1:{}", 20_901 + number))
}

fn cluster(count: usize) -> Cluster {
    Cluster::new("c", (0..count).map(host).collect())
}

/// Hosts given as (priority, weight, health).
fn described(hosts: &[(u32, u32, HostHealth)]) -> Cluster {
    let describe = |(number, (priority, weight, health)): (usize, &(u32, u32, HostHealth))| Host {
        priority: *priority,
        weight: *weight,
        health: *health,
        ..host(number)
    };
    Cluster::new("c", hosts.iter().enumerate().map(describe).collect())
}

const fn ms(millis: u64) -> Nanos {
    Nanos::from_millis(millis)
}
