//! Redirects: those the proxy answers with, and those it follows itself (Envoy: `Filter::setupRedirect`).

use std::cell::Cell;

use crate::{
    AttemptId, ResetReason, ResponseHead, StreamId,
    machine::Machine,
    redirect,
    reply::Reply,
    request::Request,
    stats::ClusterCounter,
    table::{Redirect, Resolution},
};

impl Machine<'_, '_> {
    /// A route's direct response. 201 and 3xx carry the request's own address.
    pub(crate) fn reply_directly(&mut self, id: StreamId, status: u16, body: &str) {
        let mut location = String::new();
        let mut reply = Reply::new(status, "direct_response").body(body);
        if status == 201 || (300..400).contains(&status) {
            location = redirect::own_location(&self.stream(id).request);
        }
        if !location.is_empty() {
            reply = reply.header("location", &location);
        }
        self.local_reply(id, reply);
    }

    pub(crate) fn reply_redirect(&mut self, id: StreamId, redirect: &Redirect) {
        let location = redirect.location(&self.stream(id).request);
        let reply = Reply::new(redirect.status, "direct_response").header("location", &location);
        self.local_reply(id, reply);
    }

    /// The virtual host wants TLS.
    pub(crate) fn reply_require_tls(&mut self, id: StreamId) {
        let location = redirect::https_location(&self.stream(id).request);
        self.local_reply(id, Reply::new(301, "direct_response").header("location", &location).without_route());
    }

    /// Follows a redirect if the route says so: the stream starts over with the new address. `true`: it did.
    pub(crate) fn follow_redirect(&mut self, id: AttemptId, head: &ResponseHead<'_>, end_stream: bool) -> bool {
        let Some(policy) = self
            .route(id.stream)
            .and_then(|route| route.forward())
            .and_then(|forward| forward.internal_redirect.as_ref())
        else {
            return false;
        };
        if !policy.codes.contains(&head.status) {
            return false;
        }
        let routes = &self.listener(id.stream).routes;
        let stream = &mut self.core.streams[id.stream];
        let (cluster, draw) = (stream.cluster, stream.draw);
        let lost_route = Cell::new(false);
        let has_route = |request: &Request| {
            lost_route.set(routes.route(request, draw) == Resolution::NotFound);
            !lost_route.get()
        };
        let is_allowed = stream.is_request_complete() && stream.redirects < policy.max && !stream.router.gave_up_buffer;
        let is_done = is_allowed
            && head
                .get("location")
                .is_some_and(|location| stream.request.redirect_to(location, head.status, has_route));
        stream.lost_route |= lost_route.get();
        if let Some(cluster) = cluster {
            let counter = if is_done {
                ClusterCounter::UpstreamInternalRedirectSucceeded
            } else {
                ClusterCounter::UpstreamInternalRedirectFailed
            };
            self.count(cluster, counter);
        }
        if is_done {
            if !end_stream {
                self.count_reset(id, ResetReason::LocalReset);
            }
            self.release_attempt(id, end_stream);
            self.abandon_router(id.stream);
            self.filters_end(id.stream, false);
            let stream = &mut self.core.streams[id.stream];
            stream.redirects += 1;
            stream.router.reset();
            stream.filters.clear();
            self.resolve(id.stream);
            self.run_filters(id.stream, 0);
        }
        is_done
    }
}
