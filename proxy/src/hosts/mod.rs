//! The hosts of a cluster: their health, how it is published to the balancer, and which host a request gets.
//!
//! Two layers, as in Envoy: flags change at once (its main thread), the balancer sees them when they are published.

mod accrual;
mod balance;
mod health_check;
mod loads;
mod original_dst;
mod outlier;
mod publish;
mod state;
mod stats;
mod subset;
mod success_rate;
mod table;

use accrual::Accrual;
use balance::{Balancer, Ewma, World};
pub(crate) use balance::{Pick, RetryHosts, Tried};
use health_check::Checker;
pub use health_check::HealthResult;
use original_dst::OriginalDst;
use outlier::Detector;
pub(crate) use outlier::LocalOrigin;
pub(crate) use state::Health;
use state::{Flags, HostState};
pub(crate) use stats::{Counter, HostStats};
use subset::SubsetBalancer;
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
    subsets: Option<SubsetBalancer>,
    original_dst: OriginalDst,
    publication: publish::Publication,
    detector: Option<Detector>,
    checker: Option<Checker>,
    accrual: Option<Accrual>,
    /// Counts draws that belong to no request.
    draws: u32,
    stats: HostStats,
}

impl Hosts {
    /// The hosts of the configuration, published at once. Arms the outlier interval and begins the first checks.
    pub(crate) fn new(cx: &mut Cx<'_>, table: &ClusterTable) -> Self {
        let mut hosts = Self {
            cluster: table.id,
            options: table.balancing.clone(),
            states: Vec::new(),
            configs: Vec::new(),
            ewma: Vec::new(),
            members: Vec::new(),
            balancer: Balancer::new(0, cx.now),
            subsets: None,
            original_dst: OriginalDst::default(),
            publication: publish::Publication::default(),
            detector: table.outlier.map(Detector::new),
            checker: table.health_check.map(Checker::new),
            accrual: table.failure_accrual.map(Accrual::new),
            draws: 0,
            stats: HostStats::default(),
        };
        hosts.balancer = Balancer::new(hosts.draw(cx, Draw::LbStart), cx.now);
        if let Some(config) = table.balancing.subsets.clone() {
            hosts.subsets = Some(SubsetBalancer::new(config, cx.now, || hosts.draw(cx, Draw::LbStart)));
        }
        if let Some(checker) = &mut hosts.checker {
            checker.warm_up(table.hosts.len());
        }
        hosts.replace_members(cx, &table.hosts);
        hosts.arm_outlier_interval(cx);
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
        let chosen = match &mut self.subsets {
            _ if self.options.policy == Policy::OriginalDst => self.dialled(cx.now, want.original_destination),
            Some(subsets) => subsets.pick(&world, want, cx.entropy, &mut self.stats),
            None => self.balancer.pick(&world, want, cx.entropy, &mut self.stats),
        };
        if self.stats.get(Counter::LbHealthyPanic) > panics {
            cx.effects.push(Effect::Note(Note::Panic(self.cluster)));
        }
        if let Some(host) = chosen {
            want.tried.push(host);
            self.note_probe(cx, host);
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

    /// Whether the host belongs to the cluster now.
    pub(crate) fn is_member(&self, host: HostId) -> bool {
        self.states.get(host.index()).is_some_and(|state| state.member)
    }

    fn replace_members(&mut self, cx: &mut Cx<'_>, hosts: &[Host]) {
        let old = std::mem::take(&mut self.members);
        for host in &old {
            self.states[host.index()].member = false;
        }
        for config in hosts {
            let host = self.admit(cx.now, config);
            self.members.push(host);
        }
        for host in &old {
            self.dismiss(*host);
        }
        if self.subsets.is_some() {
            self.discover_subsets(cx);
        }
        self.publish(cx.now);
        let new: Vec<_> = self.members.iter().copied().filter(|host| !old.contains(host)).collect();
        for host in new {
            self.check(cx, host);
        }
    }

    /// Finds the host by its address, or makes a new one.
    fn admit(&mut self, now: Time, config: &Host) -> HostId {
        let known =
            self.configs.iter().zip(&self.states).position(|(known, state)| {
                !state.member && known.address == config.address && known.name == config.name
            });
        let host = host_id(known.unwrap_or(self.states.len()));
        if known.is_some() {
            self.configs[host.index()].clone_from(config);
            self.states[host.index()].renew(config);
        } else {
            self.configs.push(config.clone());
            self.states.push(HostState::new(config));
            self.ewma.push(Ewma::new(self.options.policy, now));
        }
        if !std::mem::replace(&mut self.states[host.index()].known, true) {
            self.watch(host);
        }
        host
    }

    /// Begins to watch a host that came or came back.
    fn watch(&mut self, host: HostId) {
        if let Some(detector) = &mut self.detector {
            detector.admit(host);
        }
        if let Some(accrual) = &mut self.accrual {
            accrual.admit(host);
        }
        if let Some(checker) = &mut self.checker {
            checker.admit(host);
            // Unhealthy until a check passes.
            self.states[host.index()].flags.set(Flags::FAILED_CHECK);
        }
    }

    /// What was learned of a host that left is forgotten; requests in flight go on.
    fn dismiss(&mut self, host: HostId) {
        let state = &mut self.states[host.index()];
        if state.member {
            return;
        }
        if state.flags.has(Flags::FAILED_OUTLIER)
            && let Some(detector) = &mut self.detector
        {
            detector.forget_ejected();
        }
        state.flags = Flags::NONE;
        state.healthy_since = None;
        state.known = false;
    }

    fn discover_subsets(&mut self, cx: &mut Cx<'_>) {
        let Some(mut subsets) = self.subsets.take() else {
            return;
        };
        let members: Vec<Host> = self.members.iter().filter_map(|host| self.config(*host)).cloned().collect();
        subsets.discover(&members, cx.now, || self.draw(cx, Draw::LbStart));
        self.subsets = Some(subsets);
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
        match &mut self.subsets {
            Some(subsets) => subsets.publish(&world, &self.members, &mut self.stats),
            None => {
                let priorities = world.priorities(&self.members);
                self.balancer.publish(&world, &self.members, priorities, &mut self.stats);
            }
        }
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

fn host_id(index: usize) -> HostId {
    HostId::new(u32::try_from(index).unwrap_or(u32::MAX))
}
