//! What one request costs: through one proxy, and through the two sidecars between a client and a server.
#![allow(clippy::unwrap_used, clippy::cast_possible_truncation, missing_docs, reason = "a benchmark")]

use std::{hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use meshproof_proxy::{
    Cx, DrawKey, Effect, Effects, Entropy, FractionalPercent, ListenerId, Nanos, Peer, Proxy, RequestHead, RequestKey,
    ResponseHead, Table, Time,
    config::{
        Action, AdmissionControl, Cluster, ClusterSpecifier, Config, Fault, FaultDelay, Filter, HeaderMutations, Host,
        Listener, LocalRateLimit, OutlierDetection, Permission, Principal, Rbac, RbacAction, RbacPolicy, RbacRules,
        RetryPolicy, Route, RouteAction, RouteMatch, TokenBucket, VirtualHost,
    },
};

struct Mixed;

impl Entropy for Mixed {
    fn draw(&mut self, key: DrawKey) -> u64 {
        (key.request.0 ^ u64::from(key.attempt) ^ key.what as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15)
    }
}

/// One warm proxy whose hosts answer at once.
struct Driver {
    proxy: Proxy,
    effects: Effects,
    now: Time,
    key: u64,
    path: String,
}

impl Driver {
    fn new(config: &Config, path: &str) -> Self {
        let mut effects = Effects::default();
        let table = Arc::new(Table::compile(config).unwrap());
        let cx = &mut Cx { now: Time::START, entropy: &mut Mixed, effects: &mut effects };
        let proxy = Proxy::new(cx, table);
        let mut driver = Self { proxy, effects, now: Time::START, key: 0, path: path.to_owned() };
        (0..100).for_each(|_| driver.request());
        driver
    }

    fn request(&mut self) {
        self.key += 1;
        self.now = self.now + Nanos::new(100_000);
        let head = RequestHead {
            key: RequestKey(self.key),
            method: "GET",
            authority: "svc",
            path: &self.path,
            headers: &[("user-agent", "bench"), ("x-request-id", "0a1b2c3d-4e5f")],
            tokens: &[],
            peer: Peer::default(),
            http2: false,
        };
        let cx = &mut Cx { now: self.now, entropy: &mut Mixed, effects: &mut self.effects };
        self.proxy.on_request(cx, ListenerId::new(0), &head, true);
        let mut sent = None;
        let mut connect = None;
        for effect in self.effects.drain() {
            match effect {
                Effect::Send { attempt, .. } => sent = Some(attempt),
                Effect::Connect { connection, .. } => connect = Some(connection),
                _ => {}
            }
        }
        if let Some(connection) = connect {
            let cx = &mut Cx { now: self.now, entropy: &mut Mixed, effects: &mut self.effects };
            self.proxy.on_connected(cx, connection, None);
            for effect in self.effects.drain() {
                if let Effect::Send { attempt, .. } = effect {
                    sent = Some(attempt);
                }
            }
        }
        let cx = &mut Cx { now: self.now, entropy: &mut Mixed, effects: &mut self.effects };
        let head = ResponseHead { status: 200, headers: &[("content-type", "text/plain")] };
        self.proxy.on_response(cx, sent.unwrap(), &head, true);
        black_box(self.effects.drain().count());
    }
}

fn config(routes: usize, filters: Vec<Filter>, retry: Option<&RetryPolicy>) -> Config {
    let route = |n: usize| {
        let action =
            RouteAction { retry: retry.cloned(), ..RouteAction::to(ClusterSpecifier::Cluster("a".to_owned())) };
        Route {
            name: format!("r{n}"),
            matches: RouteMatch::prefix(format!("/service-{n}/")),
            action: Action::Forward(Box::new(action)),
            headers: HeaderMutations::default(),
            filter_overrides: Vec::new(),
        }
    };
    let host = VirtualHost {
        name: "v".to_owned(),
        domains: vec!["*".to_owned()],
        routes: (0..routes).map(route).collect(),
        ..VirtualHost::default()
    };
    let mut listener = Listener { name: "in".to_owned(), filters, ..Listener::default() };
    listener.route_config.virtual_hosts.push(host);
    let hosts = (0..3).map(|i| Host::new(format!("h{i}"), format!("10.0.0.{i}:80"))).collect();
    let cluster = Cluster { outlier_detection: Some(OutlierDetection::default()), ..Cluster::new("a", hosts) };
    Config { listeners: vec![listener], clusters: vec![cluster], zone: None }
}

fn all_filters() -> Vec<Filter> {
    let policy =
        RbacPolicy { name: "p".to_owned(), permissions: vec![Permission::Any], principals: vec![Principal::Any] };
    let rules = RbacRules { action: RbacAction::Allow, policies: vec![policy] };
    let delay = FaultDelay { fixed: Some(Nanos::from_millis(5)), percentage: FractionalPercent::NEVER };
    vec![
        Filter::Fault(Fault { delay: Some(delay), ..Fault::default() }),
        Filter::Rbac(Rbac { rules: Some(rules), shadow_rules: None }),
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
        Filter::AdmissionControl(AdmissionControl::default()),
    ]
}

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("request");
    for routes in [10, 1_000] {
        for place in [0, routes - 1] {
            let path = format!("/service-{place}/cart");
            let mut driver = Driver::new(&config(routes, Vec::new(), None), &path);
            group.bench_function(BenchmarkId::new(format!("{routes} routes"), place), |b| b.iter(|| driver.request()));
        }
    }
    let retry = RetryPolicy { retry_on: vec!["5xx".to_owned()], ..RetryPolicy::default() };
    let mut driver = Driver::new(&config(10, Vec::new(), Some(&retry)), "/service-5/cart");
    group.bench_function("with retries", |b| b.iter(|| driver.request()));
    let mut driver = Driver::new(&config(10, all_filters(), Some(&retry)), "/service-5/cart");
    group.bench_function("with retries and all filters", |b| b.iter(|| driver.request()));
    let mut outbound = Driver::new(&config(10, Vec::new(), Some(&retry)), "/service-5/cart");
    let mut inbound = Driver::new(&config(1, all_filters(), None), "/service-0/cart");
    group.bench_function("outbound and inbound sidecar", |b| {
        b.iter(|| {
            outbound.request();
            inbound.request();
        });
    });
    group.finish();
}

criterion_group!(benches, requests);
criterion_main!(benches);
