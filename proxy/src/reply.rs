//! The two ways out: every answer of the proxy itself goes through `local_reply`, and every stream ends in `end`.

use std::fmt::{self, Write};

use crate::{
    AttemptId, Effect, ResetReason, ResponseFlag, StreamEnd, StreamId, TimerId,
    course::Course,
    grpc,
    headers::Mutations,
    machine::Machine,
    stats::{ClusterCounter, HttpCounter},
    stream::{AttemptState, Phase, Stream},
};

/// An answer of the proxy itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Reply<'r> {
    status: u16,
    details: Details<'r>,
    body: Text<'r>,
    flag: Option<ResponseFlag>,
    flags_late: bool,
    header: Option<(&'r str, &'r str)>,
    set: &'r [(&'r str, &'r str)],
    mutations: Option<&'r Mutations>,
    grpc_status: GrpcStatus,
    from_router: bool,
    skips_route: bool,
}

#[derive(Clone, Copy, Debug)]
enum Text<'r> {
    Text(&'r str),
    Written(fmt::Arguments<'r>),
}

/// Details for the access log.
#[derive(Clone, Copy, Debug)]
enum Details<'r> {
    Fixed(&'static str),
    Written(fmt::Arguments<'r>),
}

/// What `grpc-status` a reply carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum GrpcStatus {
    /// To gRPC requests, what the HTTP status means.
    Mapped,
    /// To gRPC requests, this one.
    Fixed(u32),
}

impl<'r> Reply<'r> {
    /// An answer with an empty body and no flag.
    pub(crate) const fn new(status: u16, details: &'static str) -> Self {
        Self {
            status,
            details: Details::Fixed(details),
            body: Text::Text(""),
            flag: None,
            flags_late: false,
            header: None,
            set: &[],
            mutations: None,
            grpc_status: GrpcStatus::Mapped,
            from_router: false,
            skips_route: false,
        }
    }

    /// An answer whose details are formatted.
    pub(crate) const fn written(status: u16, details: fmt::Arguments<'r>) -> Self {
        Self { details: Details::Written(details), ..Self::new(status, "") }
    }

    pub(crate) const fn flag(self, flag: ResponseFlag) -> Self {
        Self { flag: Some(flag), ..self }
    }

    /// A flag that is set after the headers have been changed, so that these cannot tell it.
    pub(crate) const fn late_flag(self, flag: ResponseFlag) -> Self {
        Self { flag: Some(flag), flags_late: true, ..self }
    }

    pub(crate) const fn body(self, body: &'r str) -> Self {
        Self { body: Text::Text(body), ..self }
    }

    pub(crate) const fn body_fmt(self, body: fmt::Arguments<'r>) -> Self {
        Self { body: Text::Written(body), ..self }
    }

    pub(crate) const fn header(self, name: &'r str, value: &'r str) -> Self {
        Self { header: Some((name, value)), ..self }
    }

    /// Headers that replace whatever else is there.
    pub(crate) const fn set(self, headers: &'r [(&'r str, &'r str)]) -> Self {
        Self { set: headers, ..self }
    }

    /// Further changes to the headers of the answer.
    pub(crate) const fn mutations(self, mutations: &'r Mutations) -> Self {
        Self { mutations: Some(mutations), ..self }
    }

    pub(crate) const fn grpc_status(self, status: u32) -> Self {
        Self { grpc_status: GrpcStatus::Fixed(status), ..self }
    }

    /// Raised by the router once the attempt count is known.
    pub(crate) const fn by_router(self) -> Self {
        Self { from_router: true, ..self }
    }

    /// The route's changes to response headers do not apply.
    pub(crate) const fn without_route(self) -> Self {
        Self { skips_route: true, ..self }
    }
}

impl Text<'_> {
    fn write(self, out: &mut String) {
        out.clear();
        match self {
            Self::Text(text) => out.push_str(text),
            // Writing to a string does not fail.
            Self::Written(text) => _ = out.write_fmt(text),
        }
    }
}

impl Stream {
    /// Says that an HTTP/1.1 connection cannot be used again: the client wants so, has not sent all of its request, or
    /// sent a bad one.
    pub(crate) fn close_header(&mut self) {
        if !self.http2 && (self.request.framing.closes || !self.is_request_complete()) {
            self.response.headers.set("connection", "close");
        }
    }
}

impl Machine<'_, '_> {
    /// Answers, or cuts the answer off if it has begun: then its status stays.
    pub(crate) fn local_reply(&mut self, id: StreamId, reply: Reply<'_>) {
        let route = if reply.skips_route { None } else { self.route(id) };
        let stream = &mut self.core.streams[id];
        if stream.phase == Phase::Ended {
            return;
        }
        if let Some(flag) = reply.flag.filter(|_| !reply.flags_late) {
            stream.flag(flag);
        }
        match reply.details {
            Details::Fixed(details) => stream.outcome.details = details,
            Details::Written(details) => {
                stream.outcome.details = "";
                Text::Written(details).write(&mut stream.outcome.details_text);
            }
        }
        if stream.response_started {
            return self.end(id, StreamEnd::Reset);
        }
        stream.response_started = true;
        if reply.status == 400 {
            stream.request.framing.closes = true;
        }
        let is_grpc = stream.request.is_grpc();
        let response = &mut stream.response;
        response.clear();
        response.is_local = true;
        reply.body.write(&mut response.body);
        response.status = if is_grpc { 200 } else { reply.status };
        if is_grpc {
            let status = match reply.grpc_status {
                GrpcStatus::Mapped => grpc::status_of_http(reply.status),
                GrpcStatus::Fixed(status) => status,
            };
            stream.outcome.grpc_status = Some(status);
            response.headers.push("content-type", "application/grpc");
            response.headers.push_fmt("grpc-status", format_args!("{status}"));
            if !response.body.is_empty() {
                response.headers.push("grpc-message", &response.body);
                response.body.clear();
            }
        } else if !response.body.is_empty() {
            let length = response.body.len();
            response.headers.push_fmt("content-length", format_args!("{length}"));
            response.headers.push("content-type", "text/plain");
        }
        let is_empty = !is_grpc && response.body.is_empty() && !stream.http2;
        if is_empty && status_has_length(response.status) {
            response.headers.push("content-length", "0");
        }
        if let Some((name, value)) = reply.header {
            response.headers.push(name, value);
        }
        if stream.request.method() == "HEAD" || matches!(response.status, 204 | 304) {
            response.body.clear();
        }
        let cluster = stream.cluster.map(|cluster| &self.core.clusters[cluster.index()]);
        let course = Course::new(&stream.outcome, &stream.router, stream.body_bytes, cluster);
        // No upstream has answered; the status is still that of HTTP, to gRPC requests too.
        let course = Course { code: 0, status: reply.status, grpc_status: None, ..course };
        if let Some(route) = route {
            if reply.from_router && route.include_attempt_count_in_response {
                let attempts = stream.router.attempt_count;
                response.headers.set_number("x-envoy-attempt-count", u64::from(attempts));
            }
            route.finalize_response(&stream.request, &mut response.headers, stream.weighted, course);
        }
        if let Some(mutations) = reply.mutations {
            let course = route.map_or(course, |route| route.on(course));
            mutations.apply_to_reply(&stream.request, &mut response.headers, &course);
        }
        reply.set.iter().for_each(|(name, value)| response.headers.set(name, value));
        response.headers.set("server", "envoy");
        let status = response.status;
        stream.close_header();
        stream.outcome.status = status;
        if let Some(flag) = reply.flag {
            stream.flag(flag);
        }
        self.encode_headers(id);
        let stream = &self.core.streams[id];
        if !stream.shadow {
            let body = stream.response.body.len() as u64;
            self.emit(Effect::Respond { stream: id, status });
            if body > 0 {
                self.emit(Effect::RespondBody { stream: id, bytes: body });
            }
        }
        self.end(id, StreamEnd::Complete);
    }

    /// The only end of a stream: stops its timers, resets what is in flight, gives back what it holds.
    pub(crate) fn end(&mut self, id: StreamId, how: StreamEnd) {
        let stream = &mut self.core.streams[id];
        if stream.phase == Phase::Ended {
            return;
        }
        stream.phase = Phase::Ended;
        let was_delayed = stream.fault_delay.is_set();
        stream.outcome.duration = self.cx.now.since(stream.started);
        let (idle, max_duration) = (stream.idle.alarm.clear(), stream.max_duration.clear());
        let (request, delay) = (stream.request_timeout.clear(), stream.fault_delay.clear());
        let callout = stream.callout.clear();
        let (listener, status, is_shadow) = (stream.listener, stream.outcome.status, stream.shadow);
        self.disarm(idle, TimerId::StreamIdle(id));
        self.disarm(max_duration, TimerId::MaxStreamDuration(id));
        self.disarm(request, TimerId::RequestTimeout(id));
        self.disarm(delay, TimerId::FaultDelay(id));
        self.disarm(callout, TimerId::Authorize(id));
        self.abandon_router(id);
        if was_delayed {
            self.delay_ends(id);
        }
        self.filters_end(id, how == StreamEnd::Complete);
        if !is_shadow {
            self.count_http(listener, HttpCounter::DownstreamRqCompleted);
            self.core.stats.http_mut(listener).codes.add(status);
        }
        self.emit(Effect::End { stream: id, how });
        self.core.ended.push(id);
    }

    /// Resets every attempt, the last one first, and gives up scheduled retries and the route's limit.
    pub(crate) fn abandon_router(&mut self, id: StreamId) {
        while let Some(attempt) = self.core.streams[id].router.attempts.last().copied() {
            let name = AttemptId { stream: id, number: attempt.number };
            match attempt.state {
                AttemptState::Active(_) => self.count_reset(name, ResetReason::LocalReset),
                AttemptState::Queued => self.count(attempt.pool.cluster, ClusterCounter::UpstreamRqCancelled),
                AttemptState::Unplaced => {}
            }
            self.release_attempt(name, false);
        }
        self.drop_retries(id);
        self.leave_queue(id);
        if self.core.streams[id].router.global.clear() {
            self.emit(Effect::ClearTimer(TimerId::Route(id)));
        }
    }
}

/// Whether HTTP/1.1 says the length of an answer with this status, even if it is empty.
const fn status_has_length(status: u16) -> bool {
    status >= 200 && status != 204
}
