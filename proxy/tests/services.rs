//! Filters that ask a service: external authorization and the global rate limit.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::sync::Arc;

use meshproof_proxy::{
    Authorization, AuthorizationChanges, ClusterId, Cx, Effect, Effects, ListenerId, Peer, Proxy, RateLimitAnswer,
    RequestHead, RequestKey, ResponseHead, StreamId, Table, Time, TimerId,
    config::{Cluster, Config, ExtAuthz, Filter, RateLimit, RateLimitAction, RouteAction},
};
use support::{Keyed, config, hosts, ms, to_cluster};

/// What the service does.
#[derive(Clone, Copy, Debug)]
enum Service {
    Authorizes(Authorization),
    Limits(RateLimitAnswer),
    /// Nothing, until the filter's timeout fires.
    IsSilent,
    /// It must not be asked.
    IsNotAsked,
}

/// One request through one filter: what the client gets, and when the filter stopped waiting.
struct Outcome {
    /// `None`: the request went on.
    status: Option<u16>,
    flags: String,
    details: String,
    ratelimited: bool,
    waited_ms: u64,
    proxy: Proxy,
}

fn run(filter: Filter, action: RouteAction, headers: &[(&str, &str)], service: Service) -> Outcome {
    let mut config = config(action, Cluster::new("a", hosts(1)));
    config.listeners[0].filters.push(filter);
    let mut driver = Driver::new(&config);
    let head = RequestHead {
        key: RequestKey(1),
        method: "GET",
        authority: "svc",
        path: "/",
        headers,
        tokens: &[],
        peer: Peer::default(),
        http2: false,
    };
    let stream = driver.call(|proxy, cx| proxy.on_request(cx, ListenerId::new(0), &head, true));
    let asked = driver.seen.iter().any(|e| matches!(e, Effect::Authorize { .. } | Effect::CheckRateLimit { .. }));
    assert_eq!(asked, !matches!(service, Service::IsNotAsked));
    match service {
        Service::Authorizes(answer) => driver.call(|proxy, cx| proxy.on_authorized(cx, stream, answer)),
        Service::Limits(answer) => driver.call(|proxy, cx| proxy.on_rate_limit_answered(cx, stream, answer)),
        Service::IsSilent => driver.wait(stream),
        Service::IsNotAsked => {}
    }
    driver.outcome(stream)
}

struct Driver {
    proxy: Proxy,
    effects: Effects,
    now: Time,
    seen: Vec<Effect>,
}

impl Driver {
    fn new(config: &Config) -> Self {
        let mut effects = Effects::default();
        let table = Arc::new(Table::compile(config).unwrap());
        let proxy = Proxy::new(&mut Cx { now: Time::START, entropy: &mut Keyed(1), effects: &mut effects }, table);
        Self { proxy, effects, now: Time::START, seen: Vec::new() }
    }

    fn call<T>(&mut self, event: impl FnOnce(&mut Proxy, &mut Cx<'_>) -> T) -> T {
        let result =
            event(&mut self.proxy, &mut Cx { now: self.now, entropy: &mut Keyed(1), effects: &mut self.effects });
        self.seen.extend(self.effects.drain());
        result
    }

    /// Lets the time pass that the filter waits.
    fn wait(&mut self, stream: StreamId) {
        let timer = TimerId::Authorize(stream);
        let set = self.seen.iter().find_map(|effect| match effect {
            Effect::SetTimer { timer: other, at } if *other == timer => Some(*at),
            _ => None,
        });
        self.now = set.expect("a filter that asks sets a timer");
        self.call(|proxy, cx| proxy.on_timer(cx, timer));
    }

    fn outcome(self, stream: StreamId) -> Outcome {
        let connects = self.seen.iter().any(|effect| matches!(effect, Effect::Connect { .. }));
        let status = self.seen.iter().find_map(|effect| match effect {
            Effect::Respond { status, .. } => Some(*status),
            _ => None,
        });
        assert_ne!(connects, status.is_some(), "the request goes on or is answered");
        assert!(!self.proxy.is_live(TimerId::Authorize(stream)));
        let log = self.proxy.access_log(stream).unwrap();
        let response = self.proxy.response(stream).unwrap();
        let (flags, details) = (log.flags.to_string(), log.details.to_owned());
        let ratelimited = response.headers().any(|header| header == ("x-envoy-ratelimited", "true"));
        let waited_ms = self.now.as_nanos() / 1_000_000;
        Outcome { status, flags, details, ratelimited, waited_ms, proxy: self.proxy }
    }
}

impl Outcome {
    fn http(&self, name: &str) -> u64 {
        self.proxy.stats().http(ListenerId::new(0)).by_name(name).expect("a known counter")
    }

    fn cluster(&self, name: &str) -> u64 {
        self.proxy.counter(ClusterId::new(0), name).expect("a known counter")
    }
}

#[test]
fn an_authorizer_allows_denies_or_fails() {
    let closed = ExtAuthz { provider: "authz".to_owned(), ..ExtAuthz::default() };
    let open = ExtAuthz { failure_mode_allow: true, ..closed.clone() };
    let other = ExtAuthz { status_on_error: Some(500), timeout: Some(ms(50)), ..closed.clone() };
    let denied = |status| Some((status, "UAEX", "ext_authz_denied"));
    let failed = |status| Some((status, "UAEX", "ext_authz_error"));
    // filter, what the service does, the answer, how long the filter waited in ms, the counter that moves
    let table = [
        (&closed, Service::Authorizes(Authorization::Allowed), None, 0, "ext_authz.ok"),
        (&closed, Service::Authorizes(Authorization::Denied(403)), denied(403), 0, "ext_authz.denied"),
        (&closed, Service::Authorizes(Authorization::Denied(401)), denied(401), 0, "ext_authz.denied"),
        (&open, Service::Authorizes(Authorization::Denied(403)), denied(403), 0, "ext_authz.denied"),
        (&closed, Service::Authorizes(Authorization::Failed), failed(403), 0, "ext_authz.error"),
        (&open, Service::Authorizes(Authorization::Failed), None, 0, "ext_authz.failure_mode_allowed"),
        (&other, Service::Authorizes(Authorization::Failed), failed(500), 0, "ext_authz.error"),
        (&closed, Service::IsSilent, failed(403), 200, "ext_authz.error"),
        (&open, Service::IsSilent, None, 200, "ext_authz.error"),
        (&other, Service::IsSilent, failed(500), 50, "ext_authz.error"),
    ];
    for (filter, service, expect, waited_ms, counter) in table {
        let outcome = run(Filter::ExtAuthz(filter.clone()), to_cluster("a"), &[], service);
        let answer = outcome.status.map(|status| (status, &*outcome.flags, &*outcome.details));
        assert_eq!((answer, outcome.waited_ms), (expect, waited_ms), "{filter:?} {service:?}");
        assert_eq!(outcome.http(counter), 1, "{counter} {service:?}");
        if let Some((status, _, "ext_authz_denied")) = expect {
            assert_eq!(outcome.cluster(&format!("upstream_rq_{status}")), 1, "charged to the route's cluster");
        }
    }
}

#[test]
fn an_authorizer_changes_the_request_or_the_refusal() {
    let changes = AuthorizationChanges {
        set: &[("x-user", "ann")],
        append: &[("x-role", "b")],
        remove: &["cookie"],
        response: &[("x-checked", "1"), ("content-type", "text/html")],
        body: "<p>no</p>",
    };
    let filter = ExtAuthz { provider: "authz".to_owned(), ..ExtAuthz::default() };
    let mut config = config(to_cluster("a"), Cluster::new("a", hosts(1)));
    config.listeners[0].filters.push(Filter::ExtAuthz(filter));
    let head = RequestHead {
        key: RequestKey(1),
        method: "GET",
        authority: "svc",
        path: "/",
        headers: &[("x-user", "forged"), ("x-role", "a"), ("cookie", "c")],
        tokens: &[],
        peer: Peer::default(),
        http2: false,
    };
    // answer, values of x-user, x-role and cookie upstream, of x-checked and content-type downstream, the body
    let table = [
        (Authorization::Allowed, ["ann", "a,b", ""], ["1", "text/plain,text/html"], ""),
        (Authorization::Denied(401), ["", "", ""], ["1", "text/html"], "<p>no</p>"),
        (Authorization::Failed, ["", "", ""], ["", ""], ""),
    ];
    for (answer, upstream, downstream, body) in table {
        let mut driver = Driver::new(&config);
        let stream = driver.call(|proxy, cx| proxy.on_request(cx, ListenerId::new(0), &head, true));
        driver.call(|proxy, cx| proxy.on_authorized_with(cx, stream, answer, &changes));
        let connect = driver.seen.iter().find_map(|effect| match effect {
            Effect::Connect { connection, .. } => Some(*connection),
            _ => None,
        });
        if let Some(connection) = connect {
            driver.call(|proxy, cx| proxy.on_connected(cx, connection, None));
            let attempt = driver.seen.iter().find_map(|effect| match effect {
                Effect::Send { attempt, .. } => Some(*attempt),
                _ => None,
            });
            let attempt = attempt.expect("the request is sent");
            let request = driver.proxy.upstream_request(attempt).unwrap();
            let got = ["x-user", "x-role", "cookie"].map(|name| request.header(name).collect::<Vec<_>>().join(","));
            assert_eq!(got, upstream, "{answer:?}");
            let head = ResponseHead { status: 200, headers: &[("content-type", "text/plain")] };
            driver.call(|proxy, cx| proxy.on_response(cx, attempt, &head, true));
        }
        let response = driver.proxy.response(stream).unwrap();
        let values = |name| {
            response.headers().filter(|(key, _)| *key == name).map(|(_, value)| value).collect::<Vec<_>>().join(",")
        };
        assert_eq!(["x-checked", "content-type"].map(values), downstream, "{answer:?}");
        assert_eq!(response.body(), body, "{answer:?}");
    }
}

#[test]
fn a_rate_limit_service_admits_limits_or_fails() {
    let open = RateLimit { domain: "d".to_owned(), ..RateLimit::default() };
    let closed = RateLimit { failure_mode_deny: true, ..open.clone() };
    let other = RateLimit { status_on_error: Some(503), timeout: Some(ms(5)), ..closed.clone() };
    let limited = Some((429, "RL", "request_rate_limited"));
    let failed = |status| Some((status, "RLSE", "rate_limiter_error"));
    // filter, what the service does, the answer, how long the filter waited in ms, the counter that moves
    let table = [
        (&open, Service::Limits(RateLimitAnswer::Ok), None, 0, "ratelimit.ok"),
        (&open, Service::Limits(RateLimitAnswer::OverLimit), limited, 0, "ratelimit.over_limit"),
        (&closed, Service::Limits(RateLimitAnswer::OverLimit), limited, 0, "ratelimit.over_limit"),
        (&open, Service::Limits(RateLimitAnswer::Failed), None, 0, "ratelimit.failure_mode_allowed"),
        (&closed, Service::Limits(RateLimitAnswer::Failed), failed(500), 0, "ratelimit.error"),
        (&other, Service::Limits(RateLimitAnswer::Failed), failed(503), 0, "ratelimit.error"),
        (&open, Service::IsSilent, None, 20, "ratelimit.error"),
        (&closed, Service::IsSilent, failed(500), 20, "ratelimit.error"),
        (&other, Service::IsSilent, failed(503), 5, "ratelimit.error"),
    ];
    for (filter, service, expect, waited_ms, counter) in table {
        let outcome = run(Filter::RateLimit(filter.clone()), with_actions(vec![vec![generic("all")]]), &[], service);
        let answer = outcome.status.map(|status| (status, &*outcome.flags, &*outcome.details));
        assert_eq!((answer, outcome.waited_ms), (expect, waited_ms), "{filter:?} {service:?}");
        assert_eq!(outcome.ratelimited, outcome.status == Some(429), "x-envoy-ratelimited {service:?}");
        assert_eq!(outcome.http(counter), 1, "{counter} {service:?}");
        assert_eq!(outcome.cluster("upstream_rq_429"), u64::from(outcome.status == Some(429)));
    }
}

#[test]
fn a_service_is_asked_about_descriptors_only() {
    let by_user = || RateLimitAction::RequestHeader { header: "x-user".to_owned(), key: "user".to_owned() };
    let user: &[(&str, &str)] = &[("x-user", "ann")];
    let table = [
        (Vec::new(), user, false),
        (vec![vec![generic("all")]], &[], true),
        (vec![vec![by_user()]], user, true),
        (vec![vec![by_user()]], &[], false),
        // One missing entry, and there is no descriptor; another descriptor is asked about all the same.
        (vec![vec![generic("all"), by_user()]], &[], false),
        (vec![vec![by_user()], vec![generic("all")]], &[], true),
    ];
    for (actions, headers, is_asked) in table {
        let service = if is_asked { Service::Limits(RateLimitAnswer::OverLimit) } else { Service::IsNotAsked };
        let filter = Filter::RateLimit(RateLimit { domain: "d".to_owned(), ..RateLimit::default() });
        let outcome = run(filter, with_actions(actions.clone()), headers, service);
        assert_eq!(outcome.status, is_asked.then_some(429), "{actions:?} {headers:?}");
    }
}

fn with_actions(actions: Vec<Vec<RateLimitAction>>) -> RouteAction {
    RouteAction { rate_limit_actions: actions, ..to_cluster("a") }
}

fn generic(value: &str) -> RateLimitAction {
    RateLimitAction::GenericKey { key: "generic_key".to_owned(), value: value.to_owned() }
}
