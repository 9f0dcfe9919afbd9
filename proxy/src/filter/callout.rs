//! Filters that ask a service and wait: external authorization and the global rate limit.

use super::chain::Step;
use crate::{
    Effect, Nanos, ResponseFlag, StreamId, TimerId,
    config::{RateLimit, RateLimitAction},
    machine::Machine,
    reply::Reply,
    stats::HttpCounter,
    stream::{Alarm, Phase, Stream},
    table::{ExtAuthzTable, FilterTable},
};

/// What an external authorizer says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authorization {
    /// The request may pass.
    Allowed,
    /// It may not; the client gets this status.
    Denied(u16),
    /// The authorizer failed.
    Failed,
}

/// What an authorizer wants changed; names in lower case, pseudo headers left out (Envoy: `OkHttpResponse` and
/// `DeniedHttpResponse`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct AuthorizationChanges<'a> {
    /// Headers that replace the request's, if it may pass.
    pub set: &'a [(&'a str, &'a str)],
    /// Headers that are added to the request, if it may pass.
    pub append: &'a [(&'a str, &'a str)],
    /// Headers that are taken from the request, if it may pass; last of all.
    pub remove: &'a [&'a str],
    /// Headers of the answer: added to the upstream's if the request may pass, set in the refusal if not.
    pub response: &'a [(&'a str, &'a str)],
    /// The body of a refusal.
    pub body: &'a str,
}

/// What the rate limit service says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RateLimitAnswer {
    /// Within the limit.
    Ok,
    /// Over the limit.
    OverLimit,
    /// The service failed.
    Failed,
}

impl Stream {
    fn change_as_authorized(&mut self, changes: &AuthorizationChanges<'_>) {
        let headers = self.request.headers_mut();
        changes.set.iter().for_each(|(name, value)| headers.set(name, value));
        changes.append.iter().for_each(|(name, value)| headers.push(name, value));
        changes.remove.iter().for_each(|name| _ = headers.remove(name));
        changes.response.iter().for_each(|(name, value)| self.authorized.push(name, value));
    }
}

impl Machine<'_, '_> {
    pub(super) fn ext_authz(&mut self, id: StreamId, filter: &ExtAuthzTable) -> Step {
        let request = &self.core.streams[id].request;
        if filter.enabled.as_ref().is_some_and(|rules| rules.decide(request).policy.is_none()) {
            return Step::Continue;
        }
        self.wait_for_answer(id, filter.config.timeout.unwrap_or(Nanos::from_millis(200)));
        self.emit(Effect::Authorize { stream: id });
        Step::Stop
    }

    pub(super) fn rate_limit(&mut self, id: StreamId, config: &RateLimit) -> Step {
        let actions = self.forward_action(id).map_or(&[][..], |forward| &forward.rate_limit_actions);
        let request = &self.core.streams[id].request;
        // A descriptor of which one entry is missing is not sent.
        let has_entry = |action: &RateLimitAction| match action {
            RateLimitAction::GenericKey { .. } => true,
            RateLimitAction::RequestHeader { header, .. } => request.first(header).is_some(),
        };
        if !actions.iter().any(|descriptor| descriptor.iter().all(has_entry)) {
            return Step::Continue;
        }
        self.wait_for_answer(id, config.timeout.unwrap_or(Nanos::from_millis(20)));
        self.emit(Effect::CheckRateLimit { stream: id });
        Step::Stop
    }

    fn wait_for_answer(&mut self, id: StreamId, timeout: Nanos) {
        if timeout.is_zero() {
            return;
        }
        let at = self.cx.now + timeout;
        self.stream(id).callout = Alarm::at(at);
        self.set_timer(TimerId::Authorize(id), at);
    }

    /// The service took too long: the same as a failure.
    pub(crate) fn callout_timeout(&mut self, id: StreamId) {
        let now = self.cx.now;
        let Some(stream) = self.core.streams.get_mut(id) else { return };
        if !stream.callout.ring(now) {
            return;
        }
        let Phase::Filters(index) = stream.phase else { return };
        match self.filter(id, index) {
            Some((FilterTable::ExtAuthz(_), _)) => {
                self.authorized(id, Authorization::Failed, &AuthorizationChanges::default());
            }
            Some((FilterTable::RateLimit(_), _)) => self.rate_limited(id, RateLimitAnswer::Failed),
            _ => {}
        }
    }

    /// The external authorizer has answered.
    pub(crate) fn authorized(&mut self, id: StreamId, answer: Authorization, changes: &AuthorizationChanges<'_>) {
        let Some(index) = self.waiting_filter(id) else { return };
        let Some((FilterTable::ExtAuthz(filter), _)) = self.filter(id, index) else { return };
        self.answer_came(id);
        let listener = self.stream(id).listener;
        let reply = match answer {
            Authorization::Allowed => {
                self.count_http(listener, HttpCounter::ExtAuthzOk);
                self.stream(id).change_as_authorized(changes);
                None
            }
            Authorization::Denied(status) => {
                self.count_http(listener, HttpCounter::ExtAuthzDenied);
                if let Some(cluster) = self.stream(id).cluster {
                    self.core.stats.cluster_mut(cluster).charge(status);
                }
                Some(Reply::new(status, "ext_authz_denied").body(changes.body).set(changes.response))
            }
            Authorization::Failed => {
                self.count_http(listener, HttpCounter::ExtAuthzError);
                if filter.config.failure_mode_allow {
                    self.count_http(listener, HttpCounter::ExtAuthzFailureModeAllowed);
                    None
                } else {
                    Some(Reply::new(filter.config.status_on_error.unwrap_or(403), "ext_authz_error"))
                }
            }
        };
        match reply {
            Some(reply) => self.local_reply(id, reply.flag(ResponseFlag::UnauthorizedExternalService)),
            None => self.run_filters(id, index + 1),
        }
    }

    /// The rate limit service has answered.
    pub(crate) fn rate_limited(&mut self, id: StreamId, answer: RateLimitAnswer) {
        let Some(index) = self.waiting_filter(id) else { return };
        let Some((FilterTable::RateLimit(config), _)) = self.filter(id, index) else { return };
        self.answer_came(id);
        let listener = self.stream(id).listener;
        let reply = match answer {
            RateLimitAnswer::Ok => {
                self.count_http(listener, HttpCounter::RateLimitOk);
                None
            }
            RateLimitAnswer::OverLimit => {
                self.count_http(listener, HttpCounter::RateLimitOverLimit);
                if let Some(cluster) = self.stream(id).cluster {
                    self.core.stats.cluster_mut(cluster).charge(429);
                }
                let reply = Reply::new(429, "request_rate_limited").header("x-envoy-ratelimited", "true");
                Some(reply.flag(ResponseFlag::RateLimited))
            }
            RateLimitAnswer::Failed => {
                self.count_http(listener, HttpCounter::RateLimitError);
                if config.failure_mode_deny {
                    let status = config.status_on_error.unwrap_or(500);
                    Some(Reply::new(status, "rate_limiter_error").flag(ResponseFlag::RateLimitServiceError))
                } else {
                    self.count_http(listener, HttpCounter::RateLimitFailureModeAllowed);
                    None
                }
            }
        };
        match reply {
            Some(reply) => self.local_reply(id, reply),
            None => self.run_filters(id, index + 1),
        }
    }

    fn waiting_filter(&self, id: StreamId) -> Option<usize> {
        match self.core.streams.get(id)?.phase {
            Phase::Filters(index) => Some(index),
            _ => None,
        }
    }

    fn answer_came(&mut self, id: StreamId) {
        if self.stream(id).callout.clear() {
            self.emit(Effect::ClearTimer(TimerId::Authorize(id)));
        }
    }
}
