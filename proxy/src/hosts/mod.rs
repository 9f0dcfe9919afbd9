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
mod timers;

use accrual::Accrual;
use balance::{Balancer, Ewma, World};
pub(crate) use balance::{Pick, RetryHosts, Tried};
use health_check::Checker;
pub use health_check::HealthResult;
use original_dst::OriginalDst;
use outlier::Detector;
pub(crate) use outlier::LocalOrigin;
use state::{Flags, Health, HostState};
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
    /// When health was last published; membership changes do not count.
    published: Option<Time>,
    timers: timers::Timers,
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
            published: None,
            timers: timers::Timers::default(),
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

    /// Takes over a changed description of the cluster. What was learned of hosts that stay is kept.
    pub(crate) fn reconfigure(&mut self, cx: &mut Cx<'_>, table: &ClusterTable) {
        self.options = table.balancing.clone();
        self.subsets = self
            .options
            .subsets
            .clone()
            .map(|config| SubsetBalancer::new(config, cx.now, || self.draw(cx, Draw::LbStart)));
        self.reconfigure_checks(cx, table);
        self.set_hosts(cx, &table.hosts);
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

    /// The description of a host; those that left are still known.
    pub(crate) fn config(&self, host: HostId) -> Option<&Host> {
        self.configs.get(host.index())
    }

    /// A counter or gauge by Envoy's name behind `cluster.<name>.`.
    pub(crate) fn counter(&self, name: &str) -> Option<u64> {
        let members = |wanted: fn(Flags) -> bool| {
            self.members.iter().filter(|host| wanted(self.states[host.index()].flags)).count() as u64
        };
        Some(match name {
            "membership_total" => self.members.len() as u64,
            "membership_healthy" => members(|flags| flags.health() == Health::Healthy),
            "membership_degraded" => members(|flags| flags.health() == Health::Degraded),
            "membership_excluded" => members(|flags| flags.has(Flags::EXCLUDED)),
            "outlier_detection.ejections_active" => u64::from(self.ejections_active()),
            _ => return self.stats.iter().find(|(other, _)| *other == name).map(|(_, value)| value),
        })
    }

    /// Whether the host belongs to the cluster now.
    pub(crate) fn is_member(&self, host: HostId) -> bool {
        self.states.get(host.index()).is_some_and(|state| state.member)
    }

    /// Outlier detection, checks and breakers go on if none of them changed; otherwise all begin anew.
    fn reconfigure_checks(&mut self, cx: &mut Cx<'_>, table: &ClusterTable) {
        let goes_on = self.detector.as_ref().map(Detector::options) == table.outlier.as_ref()
            && self.checker.as_ref().map(Checker::options) == table.health_check.as_ref()
            && self.accrual.as_ref().map(Accrual::options) == table.failure_accrual.as_ref();
        if goes_on {
            return;
        }
        self.detector = table.outlier.map(Detector::new);
        self.checker = table.health_check.map(Checker::new);
        self.accrual = table.failure_accrual.map(Accrual::new);
        for index in 0..self.states.len() {
            self.disarm_host(cx, host_id(index));
            self.states[index].forget();
        }
        self.disarm(cx, timers::Alarm::Outlier);
        self.arm_outlier_interval(cx);
    }

    fn replace_members(&mut self, cx: &mut Cx<'_>, hosts: &[Host]) {
        let old = std::mem::take(&mut self.members);
        for host in &old {
            self.states[host.index()].member = false;
        }
        let mut new = Vec::new();
        for config in hosts {
            let host = self.admit(cx.now, config);
            self.members.push(host);
            if !std::mem::replace(&mut self.states[host.index()].known, true) {
                self.watch(host);
                new.push(host);
            }
        }
        for host in &old {
            self.dismiss(cx, *host);
        }
        if self.subsets.is_some() {
            self.discover_subsets(cx);
        }
        self.publish(cx.now);
        for host in new {
            self.begin_check(cx, host);
        }
    }

    /// Address and port of a host.
    pub(crate) fn address(&self, host: HostId) -> &str {
        &self.configs[host.index()].address
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
        host
    }

    /// Begins to watch a host that came or came back.
    fn watch(&mut self, host: HostId) {
        self.timers.admit(host);
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
    fn dismiss(&mut self, cx: &mut Cx<'_>, host: HostId) {
        if self.is_member(host) {
            return;
        }
        self.disarm_host(cx, host);
        let state = &mut self.states[host.index()];
        if state.flags.has(Flags::FAILED_OUTLIER)
            && let Some(detector) = &mut self.detector
        {
            detector.forget_ejected();
        }
        state.forget();
    }

    fn discover_subsets(&mut self, cx: &mut Cx<'_>) {
        let Some(mut subsets) = self.subsets.take() else {
            return;
        };
        let members: Vec<Host> = self.members.iter().filter_map(|host| self.config(*host)).cloned().collect();
        subsets.discover(&members, cx.now, || self.draw(cx, Draw::LbStart));
        self.subsets = Some(subsets);
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

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::similar_names, clippy::type_complexity, reason = "tests")]
mod tests;
