//! From a routed request to its first attempt (Envoy: `Filter::decodeHeaders`).

use super::{ControlHeaders, control};
use crate::{
    ResponseFlag, StreamId, TimerId,
    course::Course,
    machine::Machine,
    reply::Reply,
    retry::RetryState,
    stats::HttpCounter,
    stream::{Alarm, Phase},
    table::{Action, ForwardAction, Resolution, RouteEntry},
    timeout::Timeouts,
};

impl Machine<'_, '_> {
    /// The end of the filter chain.
    pub(crate) fn route_request(&mut self, id: StreamId) {
        let listener = self.stream(id).listener;
        self.stream(id).phase = Phase::Router;
        self.count_http(listener, HttpCounter::RqTotal);
        let Some(route) = self.route(id) else { return self.reply_without_route(id) };
        match &route.action {
            Action::DirectResponse(direct) => {
                self.count_http(listener, HttpCounter::RqDirectResponse);
                self.reply_directly(id, direct.status, &direct.body);
            }
            Action::Redirect(redirect) => {
                self.count_http(listener, HttpCounter::RqRedirect);
                self.reply_redirect(id, redirect);
            }
            Action::Forward(forward) => self.forward(id, route, forward),
        }
    }

    fn reply_without_route(&mut self, id: StreamId) {
        let listener = self.stream(id).listener;
        if matches!(self.stream(id).resolution, Resolution::RequireTls) {
            self.count_http(listener, HttpCounter::RqRedirect);
            return self.reply_require_tls(id);
        }
        self.count_http(listener, HttpCounter::NoRoute);
        self.local_reply(id, Reply::new(404, "route_not_found").flag(ResponseFlag::NoRouteFound));
    }

    fn forward(&mut self, id: StreamId, route: &RouteEntry, forward: &ForwardAction) {
        let listener = self.stream(id).listener;
        let Some(cluster) = self.stream(id).cluster else {
            self.count_http(listener, HttpCounter::NoCluster);
            let reply = Reply::new(forward.cluster_not_found_status, "cluster_not_found");
            return self.local_reply(id, reply.flag(ResponseFlag::NoClusterFound));
        };
        let options = &self.listener(id).router;
        if let Some(header) = control::malformed(&self.stream(id).request, options) {
            let details = format_args!("request_headers_failed_strict_check{{{header}}}");
            let value = self.core.streams[id].request.first(header).unwrap_or_default().to_owned();
            let body = format_args!("invalid header '{header}' with value '{value}'");
            let reply = Reply::written(400, details).body_fmt(body);
            return self.local_reply(id, reply.flag(ResponseFlag::InvalidEnvoyRequestHeaders));
        }
        self.prepare(id, route, forward);
        let hash = route.hash(&self.stream(id).request);
        self.stream(id).router.hash = hash;
        match self.ready_host(id, cluster) {
            Some(host) => self.start_attempt(id, cluster, host),
            None => self.wait_for_host(id, cluster),
        }
        if self.stream(id).phase == Phase::Ended {
            return;
        }
        self.start_mirrors(id, forward);
        if self.stream(id).is_request_complete() {
            self.request_complete(id);
        }
    }

    /// Limits, retries and the head as it goes upstream.
    fn prepare(&mut self, id: StreamId, route: &RouteEntry, forward: &ForwardAction) {
        let options = &self.listener(id).router;
        let stream = &mut self.core.streams[id];
        let control = ControlHeaders::read(&stream.request, options);
        if stream.request.may_control() {
            ControlHeaders::strip(&mut stream.request);
        }
        let is_retriable = forward.retry.as_ref().is_none_or(|policy| {
            let matchers = &policy.request_headers;
            matchers.is_empty() || matchers.iter().any(|matcher| stream.request.matches(matcher))
        });
        let router = &mut stream.router;
        router.reset();
        router.high_priority = forward.high_priority;
        router.timeouts = Timeouts::resolve(&forward.timeouts, &control.timeouts);
        router.timeout_status = if control.alt_response { 204 } else { 504 };
        router.attempt_count = 1;
        router.retry = RetryState::new(forward.retry.as_ref(), control.retry, is_retriable);
        if !route.changes_request(stream.weighted) {
            return;
        }
        let cluster = stream.cluster.map(|cluster| &self.core.clusters[cluster.index()]);
        let course = Course::new(&stream.outcome, &stream.router, stream.body_bytes, cluster);
        route.finalize_request(&mut stream.request, stream.weighted, options, course);
    }

    /// The request has arrived completely: the limits on the answer begin to run. If the only attempt has failed
    /// already and a retry waits, the route's limit never does.
    pub(crate) fn request_complete(&mut self, id: StreamId) {
        let now = self.cx.now;
        let router = &mut self.core.streams[id].router;
        if router.attempts.is_empty() && !router.is_queued {
            return;
        }
        if !router.timeouts.global.is_zero() {
            let at = now + router.timeouts.global;
            router.global = Alarm::at(at);
            self.set_timer(TimerId::Route(id), at);
        }
        for index in 0..self.core.streams[id].router.attempts.len() {
            self.start_attempt_timers(id, index);
        }
    }
}
