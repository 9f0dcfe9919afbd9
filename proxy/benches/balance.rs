//! What one request costs by the way its host is chosen, with 3 and with 300 hosts.
//!
//! The rest of the request is the same, so that differences are those of the balancers.
#![allow(clippy::unwrap_used, missing_docs, reason = "a benchmark")]

use std::{hint::black_box, sync::Arc};

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use meshproof_proxy::{
    AttemptId, ConnectionId, Cx, DrawKey, Effect, Effects, Entropy, ListenerId, Nanos, Peer, Proxy, RequestHead,
    RequestKey, ResponseHead, Table, Time,
    config::{
        Action, Cluster, ClusterSpecifier, Config, HeaderMutations, Host, LbPolicy, LeastRequest, Listener, Route,
        RouteAction, RouteMatch, VirtualHost,
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
}

impl Driver {
    fn new(config: &Config) -> Self {
        let mut effects = Effects::default();
        let table = Arc::new(Table::compile(config).unwrap());
        let cx = &mut Cx { now: Time::START, entropy: &mut Mixed, effects: &mut effects };
        let proxy = Proxy::new(cx, table);
        let mut driver = Self { proxy, effects, now: Time::START, key: 0 };
        (0..5_000).for_each(|_| driver.request());
        driver
    }

    fn request(&mut self) {
        self.key += 1;
        self.now = self.now + Nanos::new(100_000);
        let head = RequestHead {
            key: RequestKey(self.key),
            method: "GET",
            authority: "svc",
            path: "/",
            headers: &[],
            tokens: &[],
            peer: Peer::default(),
            http2: false,
        };
        self.call(|proxy, cx| _ = proxy.on_request(cx, ListenerId::new(0), &head, true));
        let (mut sent, connect) = self.take();
        if let Some(connection) = connect {
            self.call(|proxy, cx| proxy.on_connected(cx, connection, None));
            sent = self.take().0;
        }
        let head = ResponseHead { status: 200, headers: &[] };
        self.call(|proxy, cx| proxy.on_response(cx, sent.unwrap(), &head, true));
        black_box(self.effects.drain().count());
    }

    fn call(&mut self, event: impl FnOnce(&mut Proxy, &mut Cx<'_>)) {
        let cx = &mut Cx { now: self.now, entropy: &mut Mixed, effects: &mut self.effects };
        event(&mut self.proxy, cx);
    }

    fn take(&mut self) -> (Option<AttemptId>, Option<ConnectionId>) {
        let (mut sent, mut connect) = (None, None);
        for effect in self.effects.drain() {
            match effect {
                Effect::Send { attempt, .. } => sent = Some(attempt),
                Effect::Connect { connection, .. } => connect = Some(connection),
                _ => {}
            }
        }
        (sent, connect)
    }
}

fn config(hosts: usize, lb_policy: LbPolicy, weight: u32) -> Config {
    let route = Route {
        name: "r".to_owned(),
        matches: RouteMatch::prefix("/"),
        action: Action::Forward(Box::new(RouteAction::to(ClusterSpecifier::Cluster("a".to_owned())))),
        headers: HeaderMutations::default(),
        filter_overrides: Vec::new(),
    };
    let host = VirtualHost {
        name: "v".to_owned(),
        domains: vec!["*".to_owned()],
        routes: vec![route],
        ..VirtualHost::default()
    };
    let mut listener = Listener { name: "in".to_owned(), ..Listener::default() };
    listener.route_config.virtual_hosts.push(host);
    let mut hosts: Vec<_> =
        (0..hosts).map(|n| Host::new(format!("h{n}"), format!("10.0.{}.{}:80", n / 250, n % 250))).collect();
    hosts[0].weight = weight;
    let cluster = Cluster { lb_policy, ..Cluster::new("a", hosts) };
    Config { listeners: vec![listener], clusters: vec![cluster], zone: None }
}

fn balance(criterion: &mut Criterion) {
    let least = LbPolicy::LeastRequest(LeastRequest::default());
    let ring = LbPolicy::RingHash { minimum_ring_size: None, maximum_ring_size: None };
    let ewma = LbPolicy::PeakEwma { default_rtt: Nanos::from_millis(30), decay: Nanos::from_secs(10) };
    let policies = [
        ("round_robin", LbPolicy::RoundRobin, 1),
        ("weighted_round_robin", LbPolicy::RoundRobin, 3),
        ("least_request", least.clone(), 1),
        ("weighted_least_request", least, 3),
        ("random", LbPolicy::Random, 1),
        ("ring_hash", ring, 1),
        ("maglev", LbPolicy::Maglev { table_size: None }, 1),
        ("peak_ewma", ewma, 1),
    ];
    let mut group = criterion.benchmark_group("request_by_balancer");
    for (name, policy, weight) in policies {
        for hosts in [3, 300] {
            let mut driver = Driver::new(&config(hosts, policy.clone(), weight));
            group.bench_function(BenchmarkId::new(name, hosts), |bencher| bencher.iter(|| driver.request()));
        }
    }
    group.finish();
}

criterion_group!(benches, balance);
criterion_main!(benches);
