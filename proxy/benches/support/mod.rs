//! What the benchmarks share: a driver whose hosts answer at once, and configurations to drive.
#![allow(dead_code, reason = "each benchmark uses a part of it")]
#![allow(unreachable_pub, clippy::unwrap_used, reason = "a benchmark")]

use std::{collections::BTreeMap, hint::black_box, sync::Arc};

use meshproof_proxy::{
    AttemptId, Authorization, ConnectionId, Cx, DrawKey, Effect, Effects, Entropy, FractionalPercent, ListenerId,
    Nanos, Peer, Percent, Proxy, RateLimitAnswer, RequestHead, RequestKey, ResponseHead, StreamId, Table, Time,
    TimerId, Token, TokenAlgorithm,
    config::{
        Action, AdaptiveConcurrency, AdmissionControl, Cluster, ClusterSpecifier, Config, ExtAuthz, Fault, FaultDelay,
        Filter, HeaderMutations, Host, Jwt, JwtProvider, JwtRequirement, JwtRule, Listener, LocalRateLimit,
        OutlierDetection, PathMatcher, Permission, Principal, RateLimit, RateLimitAction, Rbac, RbacAction, RbacPolicy,
        RbacRules, RetryPolicy, Route, RouteAction, RouteMatch, TokenBucket, VirtualHost,
    },
};

/// Draws that cost next to nothing.
struct Mixed;

impl Entropy for Mixed {
    fn draw(&mut self, key: DrawKey) -> u64 {
        (key.request.0 ^ u64::from(key.attempt) ^ key.what as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// One warm proxy: connections open at once, hosts and services answer at once, back-offs last as long as they must.
pub struct Driver {
    proxy: Proxy,
    effects: Effects,
    now: Time,
    key: u64,
    path: String,
    /// What the first attempt of each request is answered.
    first: u16,
    tokens: Vec<Arc<Token>>,
    ticks: Option<(TimerId, Time)>,
}

impl Driver {
    /// A proxy that has served enough requests to be warm. `first`: the answer to each request's first attempt.
    pub fn new(config: &Config, path: &str, first: u16) -> Self {
        let mut effects = Effects::default();
        let table = Arc::new(Table::compile(config).unwrap());
        let cx = &mut Cx { now: Time::START, entropy: &mut Mixed, effects: &mut effects };
        let proxy = Proxy::new(cx, table);
        let has_filters = !config.listeners[0].filters.is_empty();
        let tokens = if has_filters { vec![Arc::new(token())] } else { Vec::new() };
        let (now, path) = (Time::START, path.to_owned());
        let mut driver = Self { proxy, effects, now, key: 0, path, first, tokens, ticks: None };
        (0..5_000).for_each(|_| driver.request());
        driver
    }

    /// One request, from its head to its end.
    pub fn request(&mut self) {
        self.key += 1;
        self.now = self.now + Nanos::new(100_000);
        if let Some((timer, _)) = self.ticks.take_if(|(_, at)| *at <= self.now) {
            self.call(|proxy, cx| proxy.on_timer(cx, timer));
        }
        let path = std::mem::take(&mut self.path);
        let tokens = std::mem::take(&mut self.tokens);
        let head = RequestHead {
            key: RequestKey(self.key),
            method: "GET",
            authority: "svc",
            path: &path,
            headers: if tokens.is_empty() { &HEADERS[..2] } else { HEADERS },
            tokens: &tokens,
            peer: Peer::default(),
            http2: false,
        };
        self.call(|proxy, cx| _ = proxy.on_request(cx, ListenerId::new(0), &head, true));
        self.path = path;
        self.tokens = tokens;
        let mut status = self.first;
        while let Some(next) = self.next() {
            match next {
                Next::Connected(connection) => self.call(|proxy, cx| proxy.on_connected(cx, connection, None)),
                Next::Answer(attempt) => {
                    let head = ResponseHead { status, headers: &[("content-type", "text/plain")] };
                    status = 200;
                    self.call(|proxy, cx| proxy.on_response(cx, attempt, &head, true));
                }
                Next::Authorize(stream) => {
                    self.call(|proxy, cx| proxy.on_authorized(cx, stream, Authorization::Allowed));
                }
                Next::Limit(stream) => {
                    self.call(|proxy, cx| proxy.on_rate_limit_answered(cx, stream, RateLimitAnswer::Ok));
                }
                Next::Timer(timer, at) => {
                    self.now = at;
                    self.call(|proxy, cx| proxy.on_timer(cx, timer));
                }
            }
        }
    }

    fn call(&mut self, event: impl FnOnce(&mut Proxy, &mut Cx<'_>)) {
        let cx = &mut Cx { now: self.now, entropy: &mut Mixed, effects: &mut self.effects };
        event(&mut self.proxy, cx);
    }

    /// What the effects ask the world to do; of several, the last.
    fn next(&mut self) -> Option<Next> {
        let mut next = None;
        for effect in self.effects.drain() {
            match effect {
                Effect::Connect { connection, .. } => next = Some(Next::Connected(connection)),
                Effect::Send { attempt, .. } => next = Some(Next::Answer(attempt)),
                Effect::Authorize { stream } => next = Some(Next::Authorize(stream)),
                Effect::CheckRateLimit { stream } => next = Some(Next::Limit(stream)),
                Effect::SetTimer { timer: timer @ TimerId::BackOff(_), at } => next = Some(Next::Timer(timer, at)),
                Effect::SetTimer { timer: timer @ TimerId::Concurrency(_), at } => self.ticks = Some((timer, at)),
                _ => _ = black_box(effect),
            }
        }
        next
    }
}

/// Of each request; the last one only where somebody reads it.
const HEADERS: &[(&str, &str)] =
    &[("user-agent", "bench"), ("x-request-id", "0a1b2c3d-4e5f"), ("authorization", "Bearer t")];

enum Next {
    Connected(ConnectionId),
    Answer(AttemptId),
    Authorize(StreamId),
    Limit(StreamId),
    Timer(TimerId, Time),
}

/// How routes look at paths.
#[derive(Clone, Copy)]
pub enum Paths {
    Exact,
    Prefix,
}

impl Paths {
    /// The path that the `n`-th route takes.
    pub fn path(self, n: usize) -> String {
        match self {
            Self::Exact => format!("/service-{n}/cart"),
            Self::Prefix => format!("/service-{n}/"),
        }
    }

    fn condition(self, n: usize) -> RouteMatch {
        match self {
            Self::Exact => RouteMatch { path: PathMatcher::Path(self.path(n)), ..RouteMatch::prefix("/") },
            Self::Prefix => RouteMatch::prefix(self.path(n)),
        }
    }
}

/// So many routes to a cluster of three hosts with outlier detection.
pub fn config(routes: usize, paths: Paths, retry: Option<&RetryPolicy>, filters: Vec<Filter>) -> Config {
    let hosts = (0..3).map(|n| Host::new(format!("h{n}"), format!("10.0.0.{n}:80"))).collect();
    let cluster = Cluster { outlier_detection: Some(OutlierDetection::default()), ..Cluster::new("a", hosts) };
    let actions = if filters.is_empty() { Vec::new() } else { vec![vec![descriptor()]] };
    let route = |n| {
        let action = RouteAction::to(ClusterSpecifier::Cluster("a".to_owned()));
        route(paths.condition(n), RouteAction { retry: retry.cloned(), rate_limit_actions: actions.clone(), ..action })
    };
    Config { listeners: vec![listener((0..routes).map(route).collect(), filters)], clusters: vec![cluster], zone: None }
}

/// One route to this cluster.
pub fn to_cluster(cluster: Cluster) -> Config {
    let action = RouteAction::to(ClusterSpecifier::Cluster(cluster.name.clone()));
    let listener = listener(vec![route(RouteMatch::prefix("/"), action)], Vec::new());
    Config { listeners: vec![listener], clusters: vec![cluster], zone: None }
}

/// Two tries of whatever fails.
pub fn retries() -> RetryPolicy {
    RetryPolicy { retry_on: vec!["5xx".to_owned(), "connect-failure".to_owned()], ..RetryPolicy::default() }
}

/// Every filter that there is, each letting the request pass.
pub fn all_filters() -> Vec<Filter> {
    let policy =
        RbacPolicy { name: "p".to_owned(), permissions: vec![Permission::Any], principals: vec![Principal::Any] };
    let rules = RbacRules { action: RbacAction::Allow, policies: vec![policy] };
    let delay = FaultDelay { fixed: Some(Nanos::from_millis(5)), percentage: FractionalPercent::NEVER };
    vec![
        Filter::Fault(Fault { delay: Some(delay), ..Fault::default() }),
        Filter::Jwt(jwt()),
        Filter::Rbac(Rbac { rules: Some(rules), shadow_rules: None }),
        Filter::ExtAuthz(ExtAuthz { provider: "authz".to_owned(), ..ExtAuthz::default() }),
        Filter::LocalRateLimit(LocalRateLimit {
            bucket: TokenBucket { max_tokens: 1 << 30, tokens_per_fill: 1 << 20, fill_interval: Nanos::from_secs(1) },
            enabled: FractionalPercent::ALWAYS,
            enforced: FractionalPercent::ALWAYS,
            status: None,
            response_headers_to_add: Vec::new(),
            x_ratelimit_headers: false,
            per_connection: false,
            descriptors: Vec::new(),
        }),
        Filter::RateLimit(RateLimit { domain: "d".to_owned(), ..RateLimit::default() }),
        Filter::AdmissionControl(AdmissionControl::default()),
        Filter::AdaptiveConcurrency(AdaptiveConcurrency {
            max_concurrency: None,
            update_interval: Nanos::from_millis(100),
            min_rtt_interval: None,
            min_rtt_request_count: None,
            fixed_min_rtt: Some(Nanos::from_millis(1)),
            min_concurrency: None,
            buffer: Some(Percent::new(25)),
            sample_percentile: None,
            status: None,
        }),
    ]
}

fn jwt() -> Jwt {
    let provider = JwtProvider { issuer: "i".to_owned(), keys: vec!["k".to_owned()], ..JwtProvider::default() };
    let requires = Some(JwtRequirement::Provider { name: "p".to_owned(), audiences: Vec::new() });
    Jwt {
        providers: vec![("p".to_owned(), provider)],
        rules: vec![JwtRule { prefix: "/".to_owned(), requires }],
        ..Jwt::default()
    }
}

fn token() -> Token {
    Token {
        text: "t".to_owned(),
        issuer: Some("i".to_owned()),
        subject: Some("user".to_owned()),
        audiences: Vec::new(),
        expires_in_s: Some(3_600),
        not_before_in_s: None,
        issued_in_s: None,
        algorithm: TokenAlgorithm::Es256,
        key_id: None,
        signed_by: "k".to_owned(),
        is_tampered: false,
        claims: BTreeMap::default(),
    }
}

fn descriptor() -> RateLimitAction {
    RateLimitAction::GenericKey { key: "generic_key".to_owned(), value: "all".to_owned() }
}

fn listener(routes: Vec<Route>, filters: Vec<Filter>) -> Listener {
    let host = VirtualHost { name: "v".to_owned(), domains: vec!["*".to_owned()], routes, ..VirtualHost::default() };
    let mut listener = Listener { name: "in".to_owned(), filters, ..Listener::default() };
    listener.route_config.virtual_hosts.push(host);
    listener
}

fn route(matches: RouteMatch, action: RouteAction) -> Route {
    Route {
        name: "r".to_owned(),
        matches,
        action: Action::Forward(Box::new(action)),
        headers: HeaderMutations::default(),
        filter_overrides: Vec::new(),
    }
}
