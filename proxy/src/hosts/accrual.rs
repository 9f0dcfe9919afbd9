//! Linkerd's circuit breaker for single hosts (linkerd2-proxy: `failure_accrual::ConsecutiveFailures`).
//!
//! After failures in a row a host rests; then one request probes it, and the next answer decides.

use super::timers::Alarm;
use super::{Flags, Hosts};
use crate::config::FailureAccrual;
use crate::{Cx, Draw, HostId, Nanos};

/// The breakers of one cluster.
#[derive(Clone, Debug)]
pub(super) struct Accrual {
    options: FailureAccrual,
    /// By [`HostId`].
    breakers: Vec<Breaker>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Breaker {
    state: State,
    /// Failures in a row while requests pass.
    failures: u32,
    /// Rests since the host was last good.
    rests: u32,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum State {
    /// Requests pass.
    #[default]
    Open,
    /// No request passes until the penalty has ended; answers are ignored.
    Resting,
    /// One request may pass.
    Probing,
}

impl Accrual {
    pub(super) fn new(options: FailureAccrual) -> Self {
        Self { options, breakers: Vec::new() }
    }

    pub(super) fn options(&self) -> &FailureAccrual {
        &self.options
    }

    pub(super) fn admit(&mut self, host: HostId) {
        if self.breakers.len() <= host.index() {
            self.breakers.resize_with(host.index() + 1, Breaker::default);
        }
        self.breakers[host.index()] = Breaker::default();
    }
}

impl Hosts {
    /// A penalty has ended: one request may probe the host.
    pub(super) fn end_penalty(&mut self, cx: &mut Cx<'_>, host: HostId) {
        let Some(breaker) = self.accrual.as_mut().and_then(|accrual| accrual.breakers.get_mut(host.index())) else {
            return;
        };
        if breaker.state == State::Resting {
            breaker.state = State::Probing;
            self.let_pass(cx, host, true);
        }
    }

    /// The balancer chose this host; a host on probation gets no other request before its next answer.
    pub(super) fn note_probe(&mut self, cx: &mut Cx<'_>, host: HostId) {
        let breaker = self.accrual.as_ref().and_then(|accrual| accrual.breakers.get(host.index()));
        if breaker.is_some_and(|breaker| breaker.state == State::Probing) {
            self.let_pass(cx, host, false);
        }
    }

    /// Takes in the end of an attempt.
    pub(super) fn accrue(&mut self, cx: &mut Cx<'_>, host: HostId, ok: bool) {
        let Some(accrual) = &mut self.accrual else {
            return;
        };
        let Some(breaker) = accrual.breakers.get_mut(host.index()) else {
            return;
        };
        match (breaker.state, ok) {
            (State::Open, true) => breaker.failures = 0,
            (State::Open, false) => {
                breaker.failures += 1;
                if breaker.failures == accrual.options.max_failures {
                    self.rest(cx, host);
                }
            }
            (State::Probing, true) => {
                *breaker = Breaker::default();
                self.let_pass(cx, host, true);
            }
            (State::Probing, false) => self.rest(cx, host),
            (State::Resting, _) => {}
        }
    }

    fn rest(&mut self, cx: &mut Cx<'_>, host: HostId) {
        let draw = self.draw(cx, Draw::PenaltyJitter);
        let Some(accrual) = &mut self.accrual else {
            return;
        };
        let Some(breaker) = accrual.breakers.get_mut(host.index()) else {
            return;
        };
        let length = penalty(&accrual.options, breaker.rests, draw);
        *breaker = Breaker { state: State::Resting, failures: 0, rests: breaker.rests + 1 };
        self.arm(cx, Alarm::Penalty(host), cx.now + length);
        self.let_pass(cx, host, false);
    }

    /// Linkerd's balancer sees the change at once: there is no merge window.
    fn let_pass(&mut self, cx: &mut Cx<'_>, host: HostId, pass: bool) {
        let Some(state) = self.states.get_mut(host.index()) else {
            return;
        };
        let before = state.flags;
        if pass {
            state.flags.clear(Flags::PENALIZED);
        } else {
            state.flags.set(Flags::PENALIZED);
        }
        if state.flags != before {
            self.publish(cx.now);
        }
    }
}

/// Doubles from the least to the greatest penalty, and adds up to the configured share of it.
fn penalty(options: &FailureAccrual, rests: u32, draw: u64) -> Nanos {
    let factor = 1_u64.checked_shl(rests).unwrap_or(u64::MAX);
    let base = options.min_penalty.times(factor).min(options.max_penalty);
    let longest = u128::from(base.get()) * u128::from(options.jitter_ratio_milli) / 1000;
    let jitter = (longest * u128::from(draw)) >> 64;
    base + Nanos::new(u64::try_from(jitter).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn penalties_double_up_to_the_greatest() {
        let options = FailureAccrual {
            max_failures: 7,
            min_penalty: Nanos::from_secs(1),
            max_penalty: Nanos::from_secs(60),
            jitter_ratio_milli: 500,
        };
        let table = [(0, 0, 1000), (1, 0, 2000), (5, 0, 32_000), (6, 0, 60_000), (80, 0, 60_000), (2, 1 << 63, 5000)];
        for (rests, draw, millis) in table {
            assert_eq!(penalty(&options, rests, draw), Nanos::from_millis(millis), "{rests} rests, draw {draw}");
        }
    }
}
