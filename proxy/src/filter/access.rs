//! Filters that let a request pass or refuse it by what it is: access control and tokens.

use super::chain::Step;
use crate::{
    StreamId,
    jwt::{Authentication, JwtTable},
    machine::Machine,
    rbac::RbacTable,
    reply::Reply,
    stats::HttpCounter,
};

impl Machine<'_, '_> {
    /// Envoy counts the shadow rules first; refusals have no response flag.
    pub(super) fn rbac(&mut self, id: StreamId, filter: &RbacTable) -> Step {
        let stream = &self.core.streams[id];
        let listener = stream.listener;
        let shadow = filter.shadow(&stream.request);
        let verdict = filter.decide(&stream.request);
        if let Some(shadow) = shadow {
            let counters = [HttpCounter::RbacShadowDenied, HttpCounter::RbacShadowAllowed];
            self.count_http(listener, counters[usize::from(shadow.is_allowed)]);
        }
        let Some(verdict) = verdict else { return Step::Continue };
        if verdict.is_allowed {
            self.count_http(listener, HttpCounter::RbacAllowed);
            return Step::Continue;
        }
        self.count_http(listener, HttpCounter::RbacDenied);
        let details = verdict.details();
        self.local_reply(id, Reply::written(403, format_args!("{details}")).body("RBAC: access denied"));
        Step::Stop
    }

    pub(super) fn jwt(&mut self, id: StreamId, filter: &JwtTable) -> Step {
        let named = self.route(id).and_then(|route| route.overrides.jwt_requirement.as_deref());
        let stream = &mut self.core.streams[id];
        let judged = filter.authenticate(&mut stream.request, named);
        self.jwt_judged(id, judged)
    }

    pub(super) fn jwt_judged(&mut self, id: StreamId, judged: Authentication) -> Step {
        let Authentication { denial, is_preflight, cache_misses } = judged;
        let listener = self.stream(id).listener;
        for _ in 0..cache_misses {
            self.count_http(listener, HttpCounter::JwtCacheMiss);
        }
        if is_preflight {
            self.count_http(listener, HttpCounter::JwtCorsPreflightBypassed);
        }
        let Some(denial) = denial else {
            self.count_http(listener, HttpCounter::JwtAllowed);
            return Step::Continue;
        };
        self.count_http(listener, HttpCounter::JwtDenied);
        let challenge = denial.challenge.as_deref();
        let details = &denial.details;
        self.deny(id, Reply::written(denial.status, format_args!("{details}")).body(&denial.body), challenge);
        Step::Stop
    }

    fn deny(&mut self, id: StreamId, reply: Reply<'_>, challenge: Option<&str>) {
        match challenge {
            Some(challenge) => self.local_reply(id, reply.header("www-authenticate", challenge)),
            None => self.local_reply(id, reply),
        }
    }
}
