//! The timers of one cluster's hosts: when each is due, so that dead ones are recognised and live ones can move.

use super::Hosts;
use crate::{ClusterId, Cx, Effect, HostId, Time, TimerId};

/// When the timers of a cluster are due; `None`: not armed.
#[derive(Clone, Debug, Default)]
pub(super) struct Timers {
    outlier: Option<Time>,
    publish: Option<Time>,
    /// By [`HostId`].
    hosts: Vec<HostTimers>,
}

#[derive(Clone, Copy, Debug, Default)]
struct HostTimers {
    check: Option<Time>,
    check_timeout: Option<Time>,
    penalty: Option<Time>,
}

/// Which of a cluster's timers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    Outlier,
    Publish,
    Check(HostId),
    CheckTimeout(HostId),
    Penalty(HostId),
}

impl Alarm {
    const fn id(self, cluster: ClusterId) -> TimerId {
        match self {
            Self::Outlier => TimerId::Outlier(cluster),
            Self::Publish => TimerId::Publish(cluster),
            Self::Check(host) => TimerId::HealthCheck(cluster, host),
            Self::CheckTimeout(host) => TimerId::HealthCheckTimeout(cluster, host),
            Self::Penalty(host) => TimerId::Penalty(cluster, host),
        }
    }

    const fn of(timer: TimerId) -> Option<Self> {
        match timer {
            TimerId::Outlier(_) => Some(Self::Outlier),
            TimerId::Publish(_) => Some(Self::Publish),
            TimerId::HealthCheck(_, host) => Some(Self::Check(host)),
            TimerId::HealthCheckTimeout(_, host) => Some(Self::CheckTimeout(host)),
            TimerId::Penalty(_, host) => Some(Self::Penalty(host)),
            _ => None,
        }
    }
}

impl Timers {
    fn slot(&mut self, alarm: Alarm) -> Option<&mut Option<Time>> {
        let host = match alarm {
            Alarm::Outlier => return Some(&mut self.outlier),
            Alarm::Publish => return Some(&mut self.publish),
            Alarm::Check(host) | Alarm::CheckTimeout(host) | Alarm::Penalty(host) => host,
        };
        let timers = self.hosts.get_mut(host.index())?;
        Some(match alarm {
            Alarm::Check(_) => &mut timers.check,
            Alarm::CheckTimeout(_) => &mut timers.check_timeout,
            _ => &mut timers.penalty,
        })
    }

    fn due(&self, alarm: Alarm) -> Option<Time> {
        let host = |host: HostId| self.hosts.get(host.index()).copied().unwrap_or_default();
        match alarm {
            Alarm::Outlier => self.outlier,
            Alarm::Publish => self.publish,
            Alarm::Check(id) => host(id).check,
            Alarm::CheckTimeout(id) => host(id).check_timeout,
            Alarm::Penalty(id) => host(id).penalty,
        }
    }

    /// Makes room for a host.
    pub(super) fn admit(&mut self, host: HostId) {
        if self.hosts.len() <= host.index() {
            self.hosts.resize_with(host.index() + 1, HostTimers::default);
        }
    }
}

impl Hosts {
    /// A timer of this cluster has fired. One that is not due any more is ignored.
    pub(crate) fn on_timer(&mut self, cx: &mut Cx<'_>, timer: TimerId) {
        let Some(alarm) = Alarm::of(timer) else {
            return;
        };
        match self.timers.slot(alarm) {
            Some(slot) if slot.is_some_and(|due| due <= cx.now) => *slot = None,
            _ => return,
        }
        match alarm {
            Alarm::Outlier => self.end_interval(cx),
            Alarm::Publish => self.end_merge_window(cx),
            Alarm::Check(host) => self.begin_check(cx, host),
            Alarm::CheckTimeout(host) => self.end_check(cx, host, None),
            Alarm::Penalty(host) => self.end_penalty(cx, host),
        }
    }

    /// Whether a timer still means something.
    pub(crate) fn is_timer_live(&self, timer: TimerId) -> bool {
        Alarm::of(timer).is_some_and(|alarm| self.timers.due(alarm).is_some())
    }

    /// The cluster has another place in a new table: its timers get their new names.
    pub(crate) fn move_to(&mut self, cx: &mut Cx<'_>, cluster: ClusterId) {
        if self.cluster == cluster {
            return;
        }
        self.cluster = cluster;
        let hosts = (0..self.states.len()).map(super::host_id);
        let alarms = hosts.flat_map(|host| [Alarm::Check(host), Alarm::CheckTimeout(host), Alarm::Penalty(host)]);
        for alarm in [Alarm::Outlier, Alarm::Publish].into_iter().chain(alarms) {
            if let Some(at) = self.timers.due(alarm) {
                cx.effects.push(Effect::SetTimer { timer: alarm.id(cluster), at });
            }
        }
    }

    pub(super) fn is_alarm_set(&self, alarm: Alarm) -> bool {
        self.timers.due(alarm).is_some()
    }

    pub(super) fn arm(&mut self, cx: &mut Cx<'_>, alarm: Alarm, at: Time) {
        if let Some(slot) = self.timers.slot(alarm) {
            *slot = Some(at);
            cx.effects.push(Effect::SetTimer { timer: alarm.id(self.cluster), at });
        }
    }

    pub(super) fn disarm(&mut self, cx: &mut Cx<'_>, alarm: Alarm) {
        if let Some(slot) = self.timers.slot(alarm)
            && slot.take().is_some()
        {
            cx.effects.push(Effect::ClearTimer(alarm.id(self.cluster)));
        }
    }

    /// A host left: none of its timers means anything.
    pub(super) fn disarm_host(&mut self, cx: &mut Cx<'_>, host: HostId) {
        for alarm in [Alarm::Check(host), Alarm::CheckTimeout(host), Alarm::Penalty(host)] {
            self.disarm(cx, alarm);
        }
    }
}
