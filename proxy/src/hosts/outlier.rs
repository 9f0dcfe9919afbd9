//! Passive health checks: which hosts are ejected, and for how long (Envoy: `outlier_detection_impl`).

use super::stats::Counter;
use super::success_rate::{self, Bucket};
use super::table::OutlierOptions;
use super::timers::Alarm;
use super::{Flags, Hosts};
use crate::{Cx, Draw, Effect, HostId, Nanos, Note, Time};

/// What the proxy itself saw of an attempt, apart from the response.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum LocalOrigin {
    /// The request was attached to a connection.
    Connected,
    /// The connection failed or the stream was reset.
    Failed,
    /// A timeout passed; the number is the status that the client gets for it.
    Timeout(u16),
}

/// Why a host is an outlier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(super) enum Cause {
    Consecutive5xx,
    ConsecutiveGatewayFailure,
    ConsecutiveLocalOriginFailure,
    SuccessRate,
    LocalOriginSuccessRate,
    FailurePercentage,
    LocalOriginFailurePercentage,
}

const DETECTED: [Counter; 7] = [
    Counter::DetectedConsecutive5xx,
    Counter::DetectedConsecutiveGatewayFailure,
    Counter::DetectedConsecutiveLocalOriginFailure,
    Counter::DetectedSuccessRate,
    Counter::DetectedLocalOriginSuccessRate,
    Counter::DetectedFailurePercentage,
    Counter::DetectedLocalOriginFailurePercentage,
];

const ENFORCED: [Counter; 7] = [
    Counter::EnforcedConsecutive5xx,
    Counter::EnforcedConsecutiveGatewayFailure,
    Counter::EnforcedConsecutiveLocalOriginFailure,
    Counter::EnforcedSuccessRate,
    Counter::EnforcedLocalOriginSuccessRate,
    Counter::EnforcedFailurePercentage,
    Counter::EnforcedLocalOriginFailurePercentage,
];

/// Outlier detection of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Detector {
    options: OutlierOptions,
    /// By [`HostId`].
    monitors: Vec<Monitor>,
    /// Members that are ejected now.
    ejected: u32,
}

/// What is counted for one host.
#[derive(Clone, Copy, Debug, Default)]
struct Monitor {
    consecutive_5xx: u32,
    consecutive_gateway_failure: u32,
    consecutive_local_origin_failure: u32,
    external: Bucket,
    local: Bucket,
    ejected_at: Time,
    jitter: Nanos,
    unejected_at: Option<Time>,
    /// How many times the base time the next ejection lasts, less one.
    multiplier: u32,
}

impl Detector {
    pub(super) fn new(options: OutlierOptions) -> Self {
        Self { options, monitors: Vec::new(), ejected: 0 }
    }

    pub(super) fn options(&self) -> &OutlierOptions {
        &self.options
    }

    /// A host that came or came back starts from nothing.
    pub(super) fn admit(&mut self, host: HostId) {
        if self.monitors.len() <= host.index() {
            self.monitors.resize_with(host.index() + 1, Monitor::default);
        }
        self.monitors[host.index()] = Monitor::default();
    }

    /// An ejected host left the cluster.
    pub(super) fn forget_ejected(&mut self) {
        self.ejected = self.ejected.saturating_sub(1);
    }
}

impl Monitor {
    /// Counts an answer; returns what it makes of the host, the gateway's verdict first.
    fn put_code(&mut self, options: &OutlierOptions, code: u16) -> [Option<Cause>; 2] {
        let ok = !(500..600).contains(&code);
        self.external.put(ok);
        if ok {
            self.consecutive_5xx = 0;
            self.consecutive_gateway_failure = 0;
            return [None; 2];
        }
        let is_gateway = matches!(code, 502..=504);
        self.consecutive_gateway_failure = if is_gateway { self.consecutive_gateway_failure + 1 } else { 0 };
        self.consecutive_5xx += 1;
        let gateway = is_gateway && self.consecutive_gateway_failure == options.consecutive_gateway_failure;
        let all = self.consecutive_5xx == options.consecutive_5xx;
        [gateway.then_some(Cause::ConsecutiveGatewayFailure), all.then_some(Cause::Consecutive5xx)]
    }

    fn put_local(&mut self, options: &OutlierOptions, ok: bool) -> Option<Cause> {
        self.local.put(ok);
        self.consecutive_local_origin_failure = if ok { 0 } else { self.consecutive_local_origin_failure + 1 };
        (self.consecutive_local_origin_failure == options.consecutive_local_origin_failure && !ok)
            .then_some(Cause::ConsecutiveLocalOriginFailure)
    }

    fn reset_counter(&mut self, cause: Cause) {
        match cause {
            Cause::Consecutive5xx => self.consecutive_5xx = 0,
            Cause::ConsecutiveGatewayFailure => self.consecutive_gateway_failure = 0,
            Cause::ConsecutiveLocalOriginFailure => self.consecutive_local_origin_failure = 0,
            _ => {}
        }
    }

    /// Whether the ejection is over.
    fn is_over(&self, options: &OutlierOptions, now: Time) -> bool {
        let length = options.base_ejection_time.times(u64::from(self.multiplier)).min(options.max_ejection_time);
        length + self.jitter <= now.since(self.ejected_at)
    }
}

impl Hosts {
    /// A response's status came from this host; gRPC statuses in headers are mapped to HTTP before.
    pub(crate) fn put_code(&mut self, cx: &mut Cx<'_>, host: HostId, code: u16) {
        self.accrue(cx, host, !(500..600).contains(&code));
        self.put_external(cx, host, code);
    }

    /// The proxy itself saw an attempt succeed or fail.
    pub(crate) fn put_local(&mut self, cx: &mut Cx<'_>, host: HostId, event: LocalOrigin) {
        if event == LocalOrigin::Failed {
            self.accrue(cx, host, false);
        }
        let Some(detector) = &mut self.detector else {
            return;
        };
        if !detector.options.split {
            match event {
                LocalOrigin::Connected => {}
                LocalOrigin::Failed => self.put_external(cx, host, 503),
                LocalOrigin::Timeout(code) => self.put_external(cx, host, code),
            }
            return;
        }
        let Some(monitor) = detector.monitors.get_mut(host.index()) else {
            return;
        };
        if let Some(cause) = monitor.put_local(&detector.options, event == LocalOrigin::Connected) {
            self.notify(cx, host, cause);
        }
    }

    /// The interval has passed: hosts come back, rates are compared, multipliers decay.
    pub(super) fn end_interval(&mut self, cx: &mut Cx<'_>) {
        let Some(options) = self.detector.as_ref().map(|detector| detector.options) else {
            return;
        };
        for index in 0..self.states.len() {
            self.end_interval_of(cx, index, &options);
        }
        self.compare_rates(cx, &options, false);
        self.compare_rates(cx, &options, true);
        for index in 0..self.states.len() {
            let healthy = !self.states[index].flags.has(Flags::FAILED_OUTLIER);
            let Some(monitor) = self.detector.as_mut().and_then(|detector| detector.monitors.get_mut(index)) else {
                continue;
            };
            let rested = monitor.unejected_at.is_some_and(|at| cx.now.since(at) >= options.interval);
            if healthy && rested {
                monitor.multiplier = monitor.multiplier.saturating_sub(1);
            }
        }
        self.arm_outlier_interval(cx);
    }

    pub(super) fn arm_outlier_interval(&mut self, cx: &mut Cx<'_>) {
        if let Some(interval) = self.detector.as_ref().map(|detector| detector.options.interval) {
            self.arm(cx, Alarm::Outlier, cx.now + interval);
        }
    }

    /// How many members are ejected (Envoy: `ejections_active`).
    pub(crate) fn ejections_active(&self) -> u32 {
        self.detector.as_ref().map_or(0, |detector| detector.ejected)
    }

    /// Ends an ejection at once when an active check passes, if the configuration says so.
    pub(super) fn uneject_after_check(&mut self, cx: &mut Cx<'_>, host: HostId) {
        let allowed = self.detector.as_ref().is_some_and(|detector| detector.options.health_check_unejects);
        let flags = self.states.get(host.index()).map_or(Flags::NONE, |state| state.flags);
        if allowed && flags.has(Flags::FAILED_OUTLIER) && !flags.has(Flags::FAILED_CHECK) {
            self.uneject(cx, host.index());
        }
    }

    fn put_external(&mut self, cx: &mut Cx<'_>, host: HostId, code: u16) {
        let Some(detector) = &mut self.detector else {
            return;
        };
        let Some(monitor) = detector.monitors.get_mut(host.index()) else {
            return;
        };
        for cause in monitor.put_code(&detector.options, code).into_iter().flatten() {
            self.notify(cx, host, cause);
        }
    }

    /// A run of failures is complete. Its counter begins anew, whether the host is ejected or not.
    fn notify(&mut self, cx: &mut Cx<'_>, host: HostId, cause: Cause) {
        let Some(state) = self.states.get(host.index()) else {
            return;
        };
        if state.flags.has(Flags::FAILED_OUTLIER) || !state.member {
            return;
        }
        self.detect(cx, host.index(), cause);
        if cause == Cause::Consecutive5xx {
            self.stats.add(Counter::EjectionsConsecutive5xx);
        }
        if let Some(monitor) = self.detector.as_mut().and_then(|detector| detector.monitors.get_mut(host.index())) {
            monitor.reset_counter(cause);
        }
    }

    /// Ejects the host if the share of ejected hosts and the enforcing percentage allow it.
    fn detect(&mut self, cx: &mut Cx<'_>, index: usize, cause: Cause) {
        self.stats.add(DETECTED[cause as usize]);
        let Some(options) = self.detector.as_ref().map(|detector| detector.options) else {
            return;
        };
        let ejected = u64::from(self.ejections_active());
        // All priorities count together.
        let fits = 100 * (ejected + 1) <= u64::from(options.max_ejection_percent) * self.members.len() as u64;
        let is_first = options.always_eject_one_host && ejected == 0;
        if !fits && !is_first {
            self.stats.add(Counter::EjectionsOverflow);
            return;
        }
        if matches!(cause, Cause::Consecutive5xx | Cause::SuccessRate) {
            self.stats.add(Counter::EjectionsTotal);
        }
        let enforcing = u64::from(options.enforcing[cause as usize]);
        if enforcing < 100 && (enforcing == 0 || self.draw(cx, Draw::OutlierEnforce) % 100 >= enforcing) {
            return;
        }
        self.stats.add(Counter::EjectionsEnforcedTotal);
        self.stats.add(ENFORCED[cause as usize]);
        self.eject(cx, index, &options);
    }

    fn eject(&mut self, cx: &mut Cx<'_>, index: usize, options: &OutlierOptions) {
        let longest = options.max_ejection_time_jitter.as_millis();
        let jitter = if longest == 0 { 0 } else { self.draw(cx, Draw::OutlierJitter) % (longest + 1) };
        let Some(detector) = &mut self.detector else {
            return;
        };
        let (Some(monitor), Some(state)) = (detector.monitors.get_mut(index), self.states.get_mut(index)) else {
            return;
        };
        state.flags.set(Flags::FAILED_OUTLIER);
        detector.ejected += 1;
        monitor.ejected_at = cx.now;
        monitor.jitter = Nanos::from_millis(jitter);
        let ceiling = options.max_ejection_time + options.base_ejection_time;
        if options.base_ejection_time.times(u64::from(monitor.multiplier)) < ceiling {
            monitor.multiplier += 1;
        }
        cx.effects.push(Effect::Note(Note::Ejected(self.cluster, super::host_id(index))));
        self.health_changed(cx);
    }

    fn uneject(&mut self, cx: &mut Cx<'_>, index: usize) {
        let Some(detector) = &mut self.detector else {
            return;
        };
        let (Some(monitor), Some(state)) = (detector.monitors.get_mut(index), self.states.get_mut(index)) else {
            return;
        };
        state.flags.clear(Flags::FAILED_OUTLIER);
        detector.ejected = detector.ejected.saturating_sub(1);
        monitor.consecutive_5xx = 0;
        monitor.consecutive_gateway_failure = 0;
        monitor.consecutive_local_origin_failure = 0;
        monitor.unejected_at = Some(cx.now);
        cx.effects.push(Effect::Note(Note::Unejected(self.cluster, super::host_id(index))));
        self.health_changed(cx);
    }

    fn end_interval_of(&mut self, cx: &mut Cx<'_>, index: usize, options: &OutlierOptions) {
        let ejected = self.states[index].flags.has(Flags::FAILED_OUTLIER) && self.states[index].member;
        let Some(monitor) = self.detector.as_mut().and_then(|detector| detector.monitors.get_mut(index)) else {
            return;
        };
        monitor.external.finish();
        monitor.local.finish();
        if ejected && monitor.is_over(options, cx.now) {
            self.uneject(cx, index);
        }
    }

    /// Success rate, then failure percentage, over what the finished interval showed of hosts that are not ejected.
    ///
    /// Envoy walks a hash map of pointers; here hosts come in the order of their ids.
    fn compare_rates(&mut self, cx: &mut Cx<'_>, options: &OutlierOptions, local: bool) {
        let members = self.members.len();
        let minimum = options.success_rate_minimum_hosts.min(options.failure_percentage_minimum_hosts);
        if members < minimum as usize {
            return;
        }
        let Some(detector) = &self.detector else {
            return;
        };
        let buckets: Vec<_> = self
            .states
            .iter()
            .zip(&detector.monitors)
            .enumerate()
            .filter(|(_, (state, _))| state.member && !state.flags.has(Flags::FAILED_OUTLIER))
            .map(|(index, (_, monitor))| (index, if local { monitor.local } else { monitor.external }))
            .collect();
        let (rate, percentage) = if local {
            (Cause::LocalOriginSuccessRate, Cause::LocalOriginFailurePercentage)
        } else {
            (Cause::SuccessRate, Cause::FailurePercentage)
        };
        for index in success_rate::outliers(options, &buckets) {
            self.stats.add(Counter::EjectionsSuccessRate);
            self.detect_once(cx, index, rate);
        }
        for index in success_rate::failing(options, &buckets) {
            self.detect_once(cx, index, percentage);
        }
    }

    /// A host may be detected twice in one interval, but is ejected once.
    fn detect_once(&mut self, cx: &mut Cx<'_>, index: usize, cause: Cause) {
        if self.states[index].flags.has(Flags::FAILED_OUTLIER) {
            self.stats.add(DETECTED[cause as usize]);
        } else {
            self.detect(cx, index, cause);
        }
    }
}
