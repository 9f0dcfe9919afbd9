//! Runs the chain: each filter lets the request pass, holds it, or answers it (Envoy: `FilterManager`).

use super::{
    admission,
    concurrency::ConcurrencyState,
    fault,
    local_rate_limit::{BucketId, Matched},
    state::{FilterState, filter_of_timer},
};
use crate::{
    Draw, ResponseFlag, StreamId, TimerId,
    config::{AdaptiveConcurrency, AdmissionControl, LocalRateLimitDescriptor, RateLimitAction},
    machine::Machine,
    reply::Reply,
    stats::HttpCounter,
    stream::{Alarm, Phase, Stream},
    table::{FaultTable, FilterTable, LocalRateLimitTable},
};

/// What a filter did with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The next filter's turn.
    Continue,
    /// The filter holds the request, or has answered it.
    Stop,
}

/// A filter that counts a request until its end, noted in the stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Admitted {
    /// By admission control.
    Admission(u8),
    /// By adaptive concurrency.
    Concurrency(u8),
    /// By a local rate limit that shows this bucket in response headers.
    RateLimit { place: u8, bucket: BucketId },
}

impl<'a> Machine<'a, '_> {
    /// Runs the filters from this one on, then the router.
    pub(crate) fn run_filters(&mut self, id: StreamId, from: usize) {
        let listener = self.listener(id);
        for index in from..listener.chain_len {
            self.stream(id).phase = Phase::Filters(index);
            if self.run_filter(id, index) == Step::Stop {
                return;
            }
        }
        self.route_request(id);
    }

    /// The configuration of a filter for the stream's route, and where its state is; `None`: it does not run.
    pub(super) fn filter(&self, id: StreamId, index: usize) -> Option<(&'a FilterTable, usize)> {
        let listener = self.listener(id);
        let index = listener.filter(index, self.route(id))? as usize;
        Some((&listener.filters[index], index))
    }

    fn run_filter(&mut self, id: StreamId, index: usize) -> Step {
        let Some((filter, place)) = self.filter(id, index) else {
            if let FilterTable::Jwt(jwt) = &self.listener(id).filters[index] {
                let passed = jwt.pass(&mut self.stream(id).request);
                return self.jwt_judged(id, passed);
            }
            return Step::Continue;
        };
        match filter {
            FilterTable::Fault(fault) => self.fault(id, fault),
            FilterTable::LocalRateLimit(limit) => self.local_rate_limit(id, limit, place),
            FilterTable::Rbac(rbac) => self.rbac(id, rbac),
            FilterTable::Jwt(jwt) => self.jwt(id, jwt),
            FilterTable::AdmissionControl(config) => self.admission(id, config, place),
            FilterTable::AdaptiveConcurrency(config) => self.concurrency(id, config, place),
            FilterTable::ExtAuthz(config) => self.ext_authz(id, config),
            FilterTable::RateLimit(config) => self.rate_limit(id, config),
        }
    }

    fn state(&mut self, id: StreamId, place: usize) -> Option<&mut FilterState> {
        let stream = &self.core.streams[id];
        self.core.filters.get_mut(stream.version, stream.listener, place)
    }

    fn fault(&mut self, id: StreamId, filter: &FaultTable) -> Step {
        let stream = &self.core.streams[id];
        let (key, listener) = (stream.key, stream.listener);
        let config = &filter.config;
        let cluster = stream.cluster.map(|cluster| &*self.core.clusters[cluster.index()].table.name);
        let is_meant = filter.headers.iter().all(|matcher| stream.request.matches(matcher))
            && config.upstream_cluster.as_deref().is_none_or(|name| Some(name) == cluster);
        if !is_meant {
            return Step::Continue;
        }
        let delay = config.delay.as_ref().and_then(|config| {
            let draw = self.draw(key, 0, Draw::FaultDelay);
            let request = &self.core.streams[id].request;
            fault::delay(config, |name| request.first(name), draw)
        });
        let Some(delay) = delay.filter(|_| self.fault_is_allowed(id, filter)) else {
            return self.fault_abort(id, filter, false);
        };
        if let Some(active) = self.active_faults(id) {
            *active += 1;
        }
        self.count_http(listener, HttpCounter::FaultDelaysInjected);
        let at = self.cx.now + delay;
        let stream = self.stream(id);
        stream.flag(ResponseFlag::DelayInjected);
        stream.fault_delay = Alarm::at(at);
        self.set_timer(TimerId::FaultDelay(id), at);
        Step::Stop
    }

    /// The count of delays in progress, one for all fault filters of a listener and their overrides.
    fn active_faults(&mut self, id: StreamId) -> Option<&mut u32> {
        let listener = self.listener(id);
        let place = listener.filters.iter().position(|filter| matches!(filter, FilterTable::Fault(_)))?;
        match self.state(id, place) {
            Some(FilterState::Fault { active }) => Some(active),
            _ => None,
        }
    }

    /// Whether one more fault may be injected. A refusal is counted, for the delay and for the abort of one request.
    fn fault_is_allowed(&mut self, id: StreamId, filter: &FaultTable) -> bool {
        let Some(max) = filter.config.max_active_faults else { return true };
        let is_allowed = self.active_faults(id).is_none_or(|active| *active < max);
        if !is_allowed {
            let listener = self.stream(id).listener;
            self.count_http(listener, HttpCounter::FaultFaultsOverflow);
        }
        is_allowed
    }

    /// `after_delay`: the request counts as a fault already.
    fn fault_abort(&mut self, id: StreamId, filter: &FaultTable, after_delay: bool) -> Step {
        let stream = &self.core.streams[id];
        let (key, listener) = (stream.key, stream.listener);
        let abort = filter.config.abort.as_ref().and_then(|config| {
            let draw = self.draw(key, 0, Draw::FaultAbort);
            let request = &self.core.streams[id].request;
            fault::abort(config, |name| request.first(name), draw)
        });
        let Some(abort) = abort else { return Step::Continue };
        if !after_delay && !self.fault_is_allowed(id, filter) {
            return Step::Continue;
        }
        self.count_http(listener, HttpCounter::FaultAbortsInjected);
        let reply = match abort {
            fault::Abort::Http(status) => Reply::new(status, "fault_filter_abort"),
            fault::Abort::Grpc(status) => Reply::new(200, "fault_filter_abort").grpc_status(status),
        };
        self.local_reply(id, reply.body("fault filter abort").flag(ResponseFlag::FaultInjected));
        Step::Stop
    }

    /// An injected delay is over.
    pub(crate) fn fault_delay_over(&mut self, id: StreamId) {
        let now = self.cx.now;
        let Some(stream) = self.core.streams.get_mut(id) else { return };
        if !stream.fault_delay.ring(now) {
            return;
        }
        let Phase::Filters(index) = stream.phase else { return };
        self.delay_ends(id);
        let Some((FilterTable::Fault(filter), _)) = self.filter(id, index) else { return };
        if self.fault_abort(id, filter, true) == Step::Continue {
            self.run_filters(id, index + 1);
        }
    }

    /// A delay is over, or given up.
    pub(crate) fn delay_ends(&mut self, id: StreamId) {
        if let Some(active) = self.active_faults(id) {
            *active = active.saturating_sub(1);
        }
    }

    fn local_rate_limit(&mut self, id: StreamId, filter: &LocalRateLimitTable, place: usize) -> Step {
        let config = &filter.config;
        let now = self.cx.now;
        let key = self.stream(id).key;
        if !config.enabled.holds(self.draw(key, 0, Draw::RateLimitEnabled)) {
            return Step::Continue;
        }
        let actions = self.forward_action(id).map_or(&[][..], |forward| &forward.rate_limit_actions);
        let stream = &self.core.streams[id];
        let Some(FilterState::LocalRateLimit(state)) =
            self.core.filters.get_mut(stream.version, stream.listener, place)
        else {
            return Step::Continue;
        };
        let matched = actions.iter().filter_map(|actions| matched(stream, actions, &config.descriptors));
        let met = state.take(config, stream.request.peer.connection, now, matched.collect());
        state.stats.enabled += 1;
        if met.allowed {
            state.stats.ok += 1;
        } else {
            state.stats.rate_limited += 1;
        }
        if config.x_ratelimit_headers {
            self.stream(id).filters.push(Admitted::RateLimit { place: small(place), bucket: met.bucket });
        }
        if met.allowed || !config.enforced.holds(self.draw(key, 0, Draw::RateLimitEnforced)) {
            return Step::Continue;
        }
        if let Some(FilterState::LocalRateLimit(state)) = self.state(id, place) {
            state.stats.enforced += 1;
        }
        let status = config.status.filter(|status| *status >= 400).unwrap_or(429);
        let reply = Reply::new(status, "local_rate_limited").body("local_rate_limited");
        let reply = reply.late_flag(ResponseFlag::RateLimited).mutations(&filter.response);
        self.local_reply(id, reply);
        Step::Stop
    }

    fn admission(&mut self, id: StreamId, config: &AdmissionControl, place: usize) -> Step {
        let now = self.cx.now;
        let (key, listener) = (self.stream(id).key, self.stream(id).listener);
        let draw = self.draw(key, 0, Draw::Admission);
        let Some(FilterState::Admission(state)) = self.state(id, place) else { return Step::Continue };
        if state.rejects(config, now, draw) {
            self.count_http(listener, HttpCounter::AdmissionRejected);
            self.local_reply(id, Reply::new(503, "denied_by_admission_control"));
            return Step::Stop;
        }
        self.stream(id).filters.push(Admitted::Admission(small(place)));
        Step::Continue
    }

    fn concurrency(&mut self, id: StreamId, config: &AdaptiveConcurrency, place: usize) -> Step {
        let listener = self.stream(id).listener;
        let Some(FilterState::Concurrency(state)) = self.state(id, place) else { return Step::Continue };
        if state.admits() {
            self.stream(id).filters.push(Admitted::Concurrency(small(place)));
            return Step::Continue;
        }
        self.count_http(listener, HttpCounter::ConcurrencyBlocked);
        let status = config.status.unwrap_or(503);
        self.local_reply(id, Reply::new(status, "reached_concurrency_limit").body("reached concurrency limit"));
        Step::Stop
    }

    /// The limit of an adaptive concurrency filter is due for an update.
    pub(crate) fn concurrency_tick(&mut self, number: u32) {
        let (version, listener, place) = filter_of_timer(number);
        let now = self.cx.now;
        let Some(FilterTable::AdaptiveConcurrency(config)) = self
            .versions
            .get(version)
            .and_then(|version| version.table.listeners().get(listener.index()))
            .and_then(|listener| listener.filters.get(place))
        else {
            return;
        };
        let Some(FilterState::Concurrency(state)) = self.core.filters.get_mut(version, listener, place) else { return };
        state.tick(config, now);
        let at = state.next_tick();
        self.set_timer(TimerId::Concurrency(number), at);
    }

    /// Response headers are about to go downstream: filters that the request passed add theirs. A local rate limit
    /// shows its bucket as it is by now.
    pub(crate) fn encode_headers(&mut self, id: StreamId) {
        let now = self.cx.now;
        let filters = &self.listener(id).filters;
        let stream = &mut self.core.streams[id];
        stream.authorized.iter().for_each(|(name, value)| stream.response.headers.push(name, value));
        for admitted in &stream.filters {
            let Admitted::RateLimit { place, bucket } = *admitted else { continue };
            let state = self.core.filters.get_mut(stream.version, stream.listener, usize::from(place));
            if let FilterTable::LocalRateLimit(limit) = &filters[usize::from(place)]
                && let Some(FilterState::LocalRateLimit(state)) = state
            {
                let bucket = state.bucket(&limit.config, stream.request.peer.connection, now, bucket);
                let headers = &mut stream.response.headers;
                headers.set_number("x-ratelimit-limit", u64::from(bucket.limit()));
                headers.set_number("x-ratelimit-remaining", bucket.remaining());
                headers.set_number("x-ratelimit-reset", bucket.reset_s());
            }
        }
    }

    /// A stream is over: filters that counted it learn how it went.
    pub(crate) fn filters_end(&mut self, id: StreamId, is_complete: bool) {
        let now = self.cx.now;
        let listener = self.listener(id);
        for index in 0..self.core.streams[id].filters.len() {
            match self.core.streams[id].filters[index] {
                Admitted::Admission(place) => self.admission_ends(id, usize::from(place)),
                Admitted::Concurrency(place) => {
                    let place = usize::from(place);
                    let FilterTable::AdaptiveConcurrency(config) = &listener.filters[place] else { continue };
                    let stream = &self.core.streams[id];
                    let latency = is_complete.then(|| now.since(stream.started));
                    let jitter = self.draw(self.core.streams[id].key, 0, Draw::ConcurrencyJitter);
                    if let Some(FilterState::Concurrency(state)) = self.state(id, place) {
                        ConcurrencyState::ended(state, config, now, latency, jitter);
                    }
                }
                Admitted::RateLimit { .. } => {}
            }
        }
    }

    fn admission_ends(&mut self, id: StreamId, place: usize) {
        let now = self.cx.now;
        let stream = &self.core.streams[id];
        let (listener, outcome) = (stream.listener, &stream.outcome);
        if !stream.response_started {
            return;
        }
        let grpc_status = if stream.request.is_grpc() { outcome.grpc_status.or(Some(2)) } else { None };
        let filters = &self.listener(id).filters;
        let FilterTable::AdmissionControl(config) = &filters[place] else { return };
        let success = admission::is_success(config, outcome.status, grpc_status);
        if let Some(FilterState::Admission(state)) = self.state(id, place) {
            state.record(config, now, success);
        }
        self.count_http(listener, if success { HttpCounter::AdmissionSuccess } else { HttpCounter::AdmissionFailure });
    }
}

fn small(place: usize) -> u8 {
    u8::try_from(place).unwrap_or(u8::MAX)
}

/// The descriptor that a list of actions makes of this request: one with just these values, or else the first one whose
/// empty values stand for any (Envoy: `DynamicDescriptorMap`).
fn matched(stream: &Stream, actions: &[RateLimitAction], descriptors: &[LocalRateLimitDescriptor]) -> Option<Matched> {
    let is_wild = |descriptor: &LocalRateLimitDescriptor| descriptor.entries.iter().any(|(_, value)| value.is_empty());
    let index = |wild| {
        let is_matched = |descriptor: &LocalRateLimitDescriptor| {
            is_wild(descriptor) == wild && is_descriptor(stream, actions, &descriptor.entries)
        };
        descriptors.iter().position(is_matched).and_then(|index| u16::try_from(index).ok())
    };
    index(false).map(Matched::Exact).or_else(|| {
        let values =
            || actions.iter().filter_map(|action| entry(stream, action)).map(|(_, value)| value.into()).collect();
        index(true).map(|index| Matched::Wildcard(index, values()))
    })
}

/// Whether a list of actions makes exactly these entries of this request.
fn is_descriptor(stream: &Stream, actions: &[RateLimitAction], entries: &[(String, String)]) -> bool {
    actions.len() == entries.len()
        && actions.iter().zip(entries).all(|(action, (key, value))| {
            entry(stream, action).is_some_and(|(own, text)| own == key && (value.is_empty() || text == value))
        })
}

/// The entry that an action makes of this request; `None`: the header is absent.
fn entry<'a>(stream: &'a Stream, action: &'a RateLimitAction) -> Option<(&'a str, &'a str)> {
    match action {
        RateLimitAction::GenericKey { key, value } => Some((key, value)),
        RateLimitAction::RequestHeader { header, key } => stream.request.first(header).map(|value| (&**key, value)),
    }
}
