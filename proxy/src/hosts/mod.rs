//! The hosts of a cluster: their health, how it is published to the balancer, and which host a request gets.
//!
//! Two layers, as in Envoy: flags change at once (its main thread), the balancer sees them when they are published.

mod balance;
mod loads;
mod publish;
mod state;
mod stats;
mod table;

use balance::{Balancer, Ewma, World};
pub(crate) use balance::{Pick, RetryHosts, Tried};
pub(crate) use state::Health;
use state::{Flags, HostState};
pub(crate) use stats::{Counter, HostStats};
pub use table::ClusterError;
use table::{BalancingOptions, Policy};
pub(crate) use table::{ClusterTable, Limits};

use crate::config::Host;
use crate::{ClusterId, Cx, Draw, DrawKey, Effect, HostId, Nanos, Note, RequestKey, Time};

/// The live hosts of one cluster.
///
/// A [`HostId`] stays with an address for the cluster's life: a host that left and comes back gets its old one.
#[derive(Clone, Debug)]
pub(crate) struct Hosts {
    cluster: ClusterId,
    options: BalancingOptions,
    /// By [`HostId`], those that left included.
    states: Vec<HostState>,
    configs: Vec<Host>,
    ewma: Vec<Ewma>,
    /// The members in their order.
    members: Vec<HostId>,
    balancer: Balancer,
    publication: publish::Publication,
    /// Counts draws that belong to no request.
    draws: u32,
    stats: HostStats,
}

impl Hosts {
    /// The hosts of the configuration, published at once. Timers are armed by [`Hosts::start`].
    pub(crate) fn new(cx: &mut Cx<'_>, table: &ClusterTable) -> Self {
        let mut hosts = Self {
            cluster: table.id,
            options: table.balancing.clone(),
            states: Vec::new(),
            configs: Vec::new(),
            ewma: Vec::new(),
            members: Vec::new(),
            balancer: Balancer::new(0, cx.now),
            publication: publish::Publication::default(),
            draws: 0,
            stats: HostStats::default(),
        };
        let seed = hosts.draw(cx, Draw::LbStart);
        hosts.balancer = Balancer::new(seed, cx.now);
        hosts.replace_members(cx, &table.hosts);
        hosts
    }

    /// Takes over a new list of hosts (EDS). Membership is never delayed.
    pub(crate) fn set_hosts(&mut self, cx: &mut Cx<'_>, hosts: &[Host]) {
        self.stats.add(Counter::MembershipChange);
        self.replace_members(cx, hosts);
    }

    /// The host for a request, remembered in `want.tried`; `None`: no healthy upstream.
    pub(crate) fn pick(&mut self, cx: &mut Cx<'_>, want: &mut Pick<'_>) -> Option<HostId> {
        let panics = self.stats.get(Counter::LbHealthyPanic);
        let world = world(&self.options, &self.states, &self.configs, &self.ewma, cx.now);
        let chosen = self.balancer.pick(&world, want, cx.entropy, &mut self.stats);
        if self.stats.get(Counter::LbHealthyPanic) > panics {
            cx.effects.push(Effect::Note(Note::Panic(self.cluster)));
        }
        if let Some(host) = chosen {
            want.tried.push(host);
        }
        chosen
    }

    /// A request was attached to a connection of this host.
    pub(crate) fn request_started(&mut self, host: HostId) {
        if let Some(state) = self.states.get_mut(host.index()) {
            state.active += 1;
        }
    }

    /// The request has left its connection.
    pub(crate) fn request_ended(&mut self, host: HostId) {
        if let Some(state) = self.states.get_mut(host.index()) {
            state.active = state.active.saturating_sub(1);
        }
    }

    /// A response took this long; only Linkerd's balancer listens.
    pub(crate) fn observe_latency(&mut self, now: Time, host: HostId, latency: Nanos) {
        if let (Policy::PeakEwma { .. }, Some(ewma)) = (self.options.policy, self.ewma.get_mut(host.index())) {
            ewma.observe(self.options.policy, now, latency);
        }
    }

    /// Publishes what waited for the end of the merge window.
    pub(crate) fn on_publish(&mut self, cx: &mut Cx<'_>) {
        if self.publication.on_timer(cx.now) {
            self.publish(cx.now);
        }
    }

    /// The description of a host; those that left are still known.
    pub(crate) fn config(&self, host: HostId) -> Option<&Host> {
        self.configs.get(host.index())
    }

    /// The health of a host as it is now, published or not.
    pub(crate) fn health(&self, host: HostId) -> Option<Health> {
        self.states.get(host.index()).map(|state| state.flags.health())
    }

    /// Requests in flight to a host.
    pub(crate) fn active(&self, host: HostId) -> u32 {
        self.states.get(host.index()).map_or(0, |state| state.active)
    }

    /// The members in their order.
    pub(crate) fn members(&self) -> &[HostId] {
        &self.members
    }

    /// Counters under Envoy's names.
    pub(crate) fn stats(&self) -> &HostStats {
        &self.stats
    }

    fn replace_members(&mut self, cx: &mut Cx<'_>, hosts: &[Host]) {
        for state in &mut self.states {
            state.member = false;
        }
        self.members.clear();
        for config in hosts {
            let host = self.admit(cx.now, config);
            self.members.push(host);
        }
        self.publish(cx.now);
    }

    /// Finds the host by its address, or makes a new one.
    fn admit(&mut self, now: Time, config: &Host) -> HostId {
        let known =
            self.configs.iter().zip(&self.states).position(|(known, state)| {
                !state.member && known.address == config.address && known.name == config.name
            });
        let index = known.unwrap_or(self.states.len());
        if known.is_some() {
            self.configs[index].clone_from(config);
            self.states[index].renew(config);
        } else {
            self.configs.push(config.clone());
            self.states.push(HostState::new(config));
            self.ewma.push(Ewma::new(self.options.policy, now));
        }
        HostId::new(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// A host's health changed: the balancer learns it now or at the end of the merge window.
    fn health_changed(&mut self, cx: &mut Cx<'_>) {
        if self.publication.request(cx, self.cluster, self.options.update_merge_window) {
            self.publish(cx.now);
        }
    }

    fn publish(&mut self, now: Time) {
        if self.options.slow_start.is_some() {
            for host in &self.members {
                let state = &mut self.states[host.index()];
                if state.healthy_since.is_none() && state.flags.health() == Health::Healthy {
                    state.healthy_since = Some(now);
                }
            }
        }
        let world = world(&self.options, &self.states, &self.configs, &self.ewma, now);
        self.balancer.publish(&world, &self.members, &mut self.stats);
    }

    /// A draw that belongs to no request; each has its own key.
    fn draw(&mut self, cx: &mut Cx<'_>, what: Draw) -> u64 {
        let cluster = u32::try_from(self.cluster.index()).unwrap_or(0);
        let attempt = cluster.wrapping_shl(20).wrapping_add(self.draws);
        self.draws = self.draws.wrapping_add(1);
        cx.entropy.draw(DrawKey { request: RequestKey::default(), attempt, what })
    }
}

/// What balancers read; apart from `Hosts`, so that the balancer itself stays free to change.
fn world<'a>(
    options: &'a BalancingOptions,
    states: &'a [HostState],
    configs: &'a [Host],
    ewma: &'a [Ewma],
    now: Time,
) -> World<'a> {
    World { options, hosts: states, configs, ewma, now }
}
