//! Active health checks (Envoy: `health_checker_base_impl`).

use super::stats::Counter;
use super::table::HealthCheckOptions;
use super::timers::Alarm;
use super::{Flags, Hosts};
use crate::{Cx, Effect, HostId, Nanos};

/// How a health check went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HealthResult {
    /// The host answered with this status; 200 is good.
    Status(u16),
    /// The host did not answer: its connection failed.
    Failed,
}

/// Active checks of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Checker {
    options: HealthCheckOptions,
    /// By [`HostId`].
    sessions: Vec<Session>,
    /// Hosts of the configuration that have had no result yet; until then the cluster warms up.
    warming: u32,
    /// Whether the cluster ever opened a connection for a request.
    traffic: bool,
}

/// The checks of one host.
#[derive(Clone, Copy, Debug, Default)]
struct Session {
    /// Whether some check has ended.
    checked: bool,
    /// Whether a check runs.
    running: bool,
    successes: u32,
    failures: u32,
}

/// What a result does to a host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    Unchanged,
    /// More results of this kind are needed.
    Pending,
    Changed,
}

impl Checker {
    pub(super) fn new(options: HealthCheckOptions) -> Self {
        Self { options, sessions: Vec::new(), warming: 0, traffic: false }
    }

    pub(super) fn options(&self) -> &HealthCheckOptions {
        &self.options
    }

    /// A host that came or came back is unknown.
    pub(super) fn admit(&mut self, host: HostId) {
        if self.sessions.len() <= host.index() {
            self.sessions.resize_with(host.index() + 1, Session::default);
        }
        self.sessions[host.index()] = Session::default();
    }

    /// The hosts of the configuration are being checked for the first time.
    pub(super) fn warm_up(&mut self, hosts: usize) {
        self.warming = u32::try_from(hosts).unwrap_or(u32::MAX);
    }
}

impl Hosts {
    /// Whether hosts of the configuration still wait for their first check; Envoy serves nothing before.
    pub(crate) fn is_warming(&self) -> bool {
        self.checker.as_ref().is_some_and(|checker| checker.warming > 0)
    }

    /// A connection was opened for a request: from now on checks come at their usual interval.
    pub(crate) fn connection_opened(&mut self) {
        if let Some(checker) = &mut self.checker {
            checker.traffic = true;
        }
    }

    /// A check has ended. One that took too long has ended already: its result must not be reported any more.
    pub(crate) fn on_health_checked(&mut self, cx: &mut Cx<'_>, host: HostId, result: HealthResult) {
        self.end_check(cx, host, Some(result));
    }

    /// A response carried `x-envoy-immediate-health-check-fail`.
    pub(crate) fn fail_immediately(&mut self, cx: &mut Cx<'_>, host: HostId) {
        let (Some(_), Some(state)) = (&self.checker, self.states.get_mut(host.index())) else {
            return;
        };
        state.flags.set(Flags::EXCLUDED);
        self.stats.add(Counter::HealthCheckFailure);
        if self.count_failure(host, true) == Verdict::Changed {
            self.checked_health_changed(cx);
        }
    }

    /// It is time for a check.
    pub(super) fn begin_check(&mut self, cx: &mut Cx<'_>, host: HostId) {
        let Some(checker) = &mut self.checker else {
            return;
        };
        let Some(session) = checker.sessions.get_mut(host.index()) else {
            return;
        };
        session.running = true;
        self.stats.add(Counter::HealthCheckAttempt);
        let timeout = checker.options.timeout;
        cx.effects.push(Effect::CheckHealth { cluster: self.cluster, host });
        self.arm(cx, Alarm::CheckTimeout(host), cx.now + timeout);
    }

    /// `None`: the check took too long.
    pub(super) fn end_check(&mut self, cx: &mut Cx<'_>, host: HostId, result: Option<HealthResult>) {
        let Some(checker) = &mut self.checker else {
            return;
        };
        let Some(session) = checker.sessions.get_mut(host.index()) else {
            return;
        };
        if !session.running {
            return;
        }
        session.running = false;
        self.disarm(cx, Alarm::CheckTimeout(host));
        if !self.is_member(host) {
            return;
        }
        let ok = result == Some(HealthResult::Status(200));
        let verdict = if ok {
            self.stats.add(Counter::HealthCheckSuccess);
            self.count_success(cx, host)
        } else {
            let answered = matches!(result, Some(HealthResult::Status(_)));
            self.stats.add(Counter::HealthCheckFailure);
            if !answered {
                self.stats.add(Counter::HealthCheckNetworkFailure);
            }
            self.count_failure(host, answered)
        };
        self.after_check(cx, host, ok, verdict);
    }

    /// Publishes what changed and arms the next check.
    fn after_check(&mut self, cx: &mut Cx<'_>, host: HostId, ok: bool, verdict: Verdict) {
        if verdict == Verdict::Changed {
            self.checked_health_changed(cx);
        }
        if ok {
            self.uneject_after_check(cx, host);
        }
        let Some(checker) = &mut self.checker else {
            return;
        };
        if let Some(session) = checker.sessions.get_mut(host.index())
            && !std::mem::replace(&mut session.checked, true)
        {
            checker.warming = checker.warming.saturating_sub(1);
        }
        let wait = if checker.traffic { checker.options.interval } else { checker.options.no_traffic_interval };
        self.arm(cx, Alarm::Check(host), cx.now + wait.max(Nanos::from_millis(1)));
    }

    /// The first success of an unknown host is enough; later the threshold counts.
    fn count_success(&mut self, cx: &mut Cx<'_>, host: HostId) -> Verdict {
        let (Some(checker), Some(state)) = (&mut self.checker, self.states.get_mut(host.index())) else {
            return Verdict::Unchanged;
        };
        let session = &mut checker.sessions[host.index()];
        session.failures = 0;
        if !state.flags.has(Flags::FAILED_CHECK) {
            return Verdict::Unchanged;
        }
        state.healthy_since = Some(cx.now);
        if session.checked {
            session.successes += 1;
            if session.successes != checker.options.healthy_threshold {
                return Verdict::Pending;
            }
        }
        state.flags.clear(Flags::FAILED_CHECK);
        state.flags.clear(Flags::EXCLUDED);
        Verdict::Changed
    }

    /// A bad answer is enough; silence and broken connections must reach the threshold.
    fn count_failure(&mut self, host: HostId, answered: bool) -> Verdict {
        let (Some(checker), Some(state)) = (&mut self.checker, self.states.get_mut(host.index())) else {
            return Verdict::Unchanged;
        };
        let Some(session) = checker.sessions.get_mut(host.index()) else {
            return Verdict::Unchanged;
        };
        session.successes = 0;
        if state.flags.has(Flags::FAILED_CHECK) {
            return Verdict::Unchanged;
        }
        if !answered {
            session.failures += 1;
            if session.failures != checker.options.unhealthy_threshold {
                return Verdict::Pending;
            }
        }
        state.flags.set(Flags::FAILED_CHECK);
        Verdict::Changed
    }

    /// While the cluster warms up nothing is merged: Envoy shows it to workers only when all hosts were checked.
    fn checked_health_changed(&mut self, cx: &mut Cx<'_>) {
        if self.is_warming() {
            self.publish(cx.now);
        } else {
            self.health_changed(cx);
        }
    }
}
