//! Once warm, a request through a proxy allocates nothing.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::{alloc::System, sync::Arc};

use meshproof_proxy::{
    AttemptId, Authorization, AuthorizationChanges, ConnectionId, Cx, Effect, Effects, FractionalPercent, ListenerId,
    Nanos, Peer, Percent, Proxy, RateLimitAnswer, RequestHead, RequestKey, ResponseHead, StreamId, Table, Time,
    TimerId, Token,
    config::{
        AdaptiveConcurrency, AdmissionControl, Cluster, Config, ExtAuthz, Fault, FaultDelay, Filter, HostHealth, Jwt,
        JwtProvider, JwtRequirement, JwtRule, LbPolicy, LeastRequest, LocalRateLimit, OutlierDetection, Permission,
        Principal, RateLimit, RateLimitAction, Rbac, RbacAction, RbacPolicy, RbacRules, RetryPolicy, RouteAction,
        TokenBucket,
    },
};
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use support::{Keyed, config, hosts, listener, ms, route, to_cluster};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// A driver that allocates nothing itself: every connection opens at once, every request is answered at once.
struct Loop {
    proxy: Proxy,
    effects: Effects,
    now: Time,
    connects: Vec<ConnectionId>,
    sends: Vec<AttemptId>,
    authorizes: Vec<StreamId>,
    limits: Vec<StreamId>,
    tokens: Vec<Arc<Token>>,
    back_offs: Vec<(TimerId, Time)>,
    window: Option<(TimerId, Time)>,
    key: u64,
}

impl Loop {
    fn new(config: &Config) -> Self {
        let mut effects = Effects::default();
        let table = Arc::new(Table::compile(config).unwrap());
        let cx = &mut Cx { now: Time::START, entropy: &mut Keyed(1), effects: &mut effects };
        let proxy = Proxy::new(cx, table);
        Self {
            proxy,
            effects,
            now: Time::START,
            connects: Vec::with_capacity(64),
            sends: Vec::with_capacity(64),
            authorizes: Vec::with_capacity(64),
            limits: Vec::with_capacity(64),
            tokens: Vec::new(),
            back_offs: Vec::with_capacity(64),
            window: None,
            key: 0,
        }
    }

    /// Makes a request and answers its attempts with `first`, then with 200.
    fn request(&mut self, first: u16) -> u16 {
        self.now = self.now + ms(10);
        self.key += 1;
        let tokens = std::mem::take(&mut self.tokens);
        let head = RequestHead {
            key: RequestKey(self.key),
            method: "GET",
            authority: "svc",
            path: "/service-7/cart?user=1",
            headers: &[("user-agent", "test"), ("x-request-id", "0a1b2c3d"), ("authorization", "Bearer t")],
            tokens: &tokens,
            peer: Peer::default(),
            http2: false,
        };
        if let Some((timer, _)) = self.window.take_if(|(_, at)| *at <= self.now) {
            self.call(|proxy, cx| proxy.on_timer(cx, timer));
        }
        let (mut status, mut done, mut answer) = (0, false, first);
        self.call(|proxy, cx| _ = proxy.on_request(cx, ListenerId::new(0), &head, true));
        self.tokens = tokens;
        while !done {
            for effect in self.effects.drain() {
                match effect {
                    Effect::Connect { connection, .. } => self.connects.push(connection),
                    Effect::Send { attempt, .. } => self.sends.push(attempt),
                    Effect::SetTimer { timer: timer @ TimerId::BackOff(_), at } => self.back_offs.push((timer, at)),
                    Effect::SetTimer { timer: timer @ TimerId::Concurrency(_), at } => self.window = Some((timer, at)),
                    Effect::Authorize { stream } => self.authorizes.push(stream),
                    Effect::CheckRateLimit { stream } => self.limits.push(stream),
                    Effect::Respond { status: final_status, .. } => status = final_status,
                    Effect::End { .. } => done = true,
                    _ => {}
                }
            }
            if let Some(connection) = self.connects.pop() {
                self.call(|proxy, cx| proxy.on_connected(cx, connection, None));
            } else if let Some(attempt) = self.sends.pop() {
                let head = ResponseHead { status: answer, headers: &[("content-type", "text/plain")] };
                answer = 200;
                self.call(|proxy, cx| proxy.on_response(cx, attempt, &head, true));
            } else if let Some(stream) = self.authorizes.pop() {
                let changes = AuthorizationChanges {
                    set: &[("x-user", "ann")],
                    remove: &["user-agent"],
                    response: &[("x-checked", "1")],
                    ..AuthorizationChanges::default()
                };
                self.call(|proxy, cx| proxy.on_authorized_with(cx, stream, Authorization::Allowed, &changes));
            } else if let Some(stream) = self.limits.pop() {
                self.call(|proxy, cx| proxy.on_rate_limit_answered(cx, stream, RateLimitAnswer::Ok));
            } else if let Some((timer, at)) = self.back_offs.pop() {
                self.now = at;
                self.call(|proxy, cx| proxy.on_timer(cx, timer));
            } else {
                assert!(done, "nothing is left to happen");
            }
        }
        status
    }

    fn call(&mut self, event: impl FnOnce(&mut Proxy, &mut Cx<'_>)) {
        let cx = &mut Cx { now: self.now, entropy: &mut Keyed(1), effects: &mut self.effects };
        event(&mut self.proxy, cx);
    }
}

fn with_retries() -> RouteAction {
    let retry = RetryPolicy { retry_on: vec!["5xx".to_owned()], ..RetryPolicy::default() };
    RouteAction { retry: Some(retry), ..to_cluster("a") }
}

fn cluster() -> Cluster {
    Cluster { outlier_detection: Some(OutlierDetection::default()), ..Cluster::new("a", hosts(3)) }
}

/// A cluster for each way to choose a host.
fn balancers() -> impl Iterator<Item = (&'static str, Cluster)> {
    let with = |lb_policy| Cluster { lb_policy, ..cluster() };
    let weighted = |lb_policy| {
        let mut cluster = with(lb_policy);
        cluster.hosts[0].weight = 3;
        cluster
    };
    let mut spread = cluster();
    spread.hosts[0].health = HostHealth::Unhealthy;
    spread.hosts[2].priority = 1;
    let mut localities = cluster();
    localities.common_lb.locality_weighted = true;
    for (host, (locality, weight)) in localities.hosts.iter_mut().zip([("a", 1), ("b", 2), ("b", 2)]) {
        locality.clone_into(&mut host.locality);
        host.locality_weight = Some(weight);
    }
    [
        ("weighted rotation", weighted(LbPolicy::RoundRobin)),
        ("weighted least request", weighted(LbPolicy::LeastRequest(LeastRequest::default()))),
        ("random", with(LbPolicy::Random)),
        ("ring", with(LbPolicy::RingHash { minimum_ring_size: None, maximum_ring_size: None })),
        ("maglev", with(LbPolicy::Maglev { table_size: None })),
        ("peak ewma", with(LbPolicy::PeakEwma { default_rtt: ms(30), decay: Nanos::from_secs(10) })),
        ("priorities", spread),
        ("localities", localities),
    ]
    .into_iter()
}

fn all_filters() -> Vec<Filter> {
    let policy =
        RbacPolicy { name: "p".to_owned(), permissions: vec![Permission::Any], principals: vec![Principal::Any] };
    let rules = RbacRules { action: RbacAction::Allow, policies: vec![policy] };
    let delay = FaultDelay { fixed: Some(ms(5)), percentage: FractionalPercent::NEVER };
    vec![
        Filter::Fault(Fault { delay: Some(delay), ..Fault::default() }),
        Filter::Rbac(Rbac { rules: Some(rules), shadow_rules: None }),
        Filter::LocalRateLimit(LocalRateLimit {
            bucket: TokenBucket { max_tokens: 1 << 30, tokens_per_fill: 1, fill_interval: Nanos::from_secs(1) },
            enabled: FractionalPercent::ALWAYS,
            enforced: FractionalPercent::ALWAYS,
            status: None,
            response_headers_to_add: Vec::new(),
            x_ratelimit_headers: true,
            per_connection: false,
            descriptors: Vec::new(),
        }),
        Filter::AdmissionControl(AdmissionControl::default()),
        Filter::AdaptiveConcurrency(AdaptiveConcurrency {
            max_concurrency: None,
            update_interval: ms(100),
            min_rtt_interval: None,
            min_rtt_request_count: None,
            fixed_min_rtt: Some(ms(1)),
            min_concurrency: None,
            buffer: Some(Percent::new(25)),
            sample_percentile: None,
            status: None,
        }),
    ]
}

/// A listener whose only filter is this one.
fn filtered_by(filter: Filter) -> Config {
    let mut action = with_retries();
    action.rate_limit_actions =
        vec![vec![RateLimitAction::GenericKey { key: "generic_key".to_owned(), value: "all".to_owned() }]];
    let mut config = config(action, cluster());
    config.listeners[0].filters = vec![filter];
    config
}

/// Filters that ask a service.
fn services() -> [(&'static str, Config); 2] {
    let authorizer = ExtAuthz { provider: "authz".to_owned(), ..ExtAuthz::default() };
    let limit = RateLimit { domain: "d".to_owned(), ..RateLimit::default() };
    [
        ("external authorization", filtered_by(Filter::ExtAuthz(authorizer))),
        ("global rate limit", filtered_by(Filter::RateLimit(limit))),
    ]
}

/// What a request with a token that is good allocates.
fn token_allocations() -> usize {
    let provider = JwtProvider {
        issuer: "main".to_owned(),
        keys: vec!["right".to_owned()],
        payload_in_metadata: Some("payload".to_owned()),
        ..JwtProvider::default()
    };
    let requires = JwtRequirement::Provider { name: "main".to_owned(), audiences: Vec::new() };
    let rules = vec![JwtRule { prefix: "/".to_owned(), requires: Some(requires) }];
    let jwt = Jwt { providers: vec![("main".to_owned(), provider)], rules, ..Jwt::default() };
    let mut driver = Loop::new(&filtered_by(Filter::Jwt(jwt)));
    driver.tokens = vec![Arc::new(Token {
        text: "t".to_owned(),
        issuer: Some("main".to_owned()),
        expires_in_s: Some(3600),
        signed_by: "right".to_owned(),
        ..Token::default()
    })];
    (0..1_000).for_each(|_| assert_eq!(driver.request(200), 200));
    let region = Region::new(ALLOCATOR);
    (0..1_000).for_each(|_| _ = driver.request(200));
    let change = region.change();
    (change.allocations + change.reallocations).div_ceil(1_000)
}

#[test]
fn a_warm_proxy_does_not_allocate() {
    let plain = config(to_cluster("a"), cluster());
    let retried = config(with_retries(), cluster());
    let least = Cluster { lb_policy: LbPolicy::LeastRequest(LeastRequest::default()), ..cluster() };
    let mut filtered = config(with_retries(), least);
    filtered.listeners[0].filters = all_filters();
    let routes = (0..1_000).map(|n| route(&format!("r{n}"), &format!("/service-{n}"), to_cluster("a"))).collect();
    let many = Config { listeners: vec![listener(routes)], ..config(to_cluster("a"), cluster()) };
    let table = [("plain", plain, 200), ("retried", retried, 503), ("filtered", filtered, 503), ("many", many, 200)];
    let balanced = balancers().map(|(name, cluster)| (name, config(with_retries(), cluster), 503));
    let services = services().into_iter().map(|(name, config)| (name, config, 503));
    for (name, config, first) in table.into_iter().chain(balanced).chain(services) {
        let mut driver = Loop::new(&config);
        (0..1_000).for_each(|_| assert_eq!(driver.request(first), 200, "{name}"));
        let region = Region::new(ALLOCATOR);
        (0..1_000).for_each(|_| _ = driver.request(first));
        let change = region.change();
        assert_eq!(change.allocations + change.reallocations, 0, "{name}: {change:?}");
    }
    // Beside the others: a second test would run at the same time, and be counted.
    assert_eq!(token_allocations(), 0);
}
