//! What a proxy keeps when it gets another configuration.
#![allow(clippy::unwrap_used, clippy::expect_used, reason = "tests")]

mod support;

use std::sync::Arc;

use meshproof_proxy::{
    Cx, Effect, Effects, FractionalPercent, ListenerId, Nanos, Peer, Proxy, RequestHead, RequestKey, Table, Time,
    config::{Cluster, Config, Fault, Filter, FilterOverride, LocalRateLimit, TokenBucket},
};
use support::{Keyed, config, hosts, route, to_cluster};

/// Two requests, and then none for long.
fn two_tokens() -> LocalRateLimit {
    LocalRateLimit {
        bucket: TokenBucket { max_tokens: 2, tokens_per_fill: 1, fill_interval: Nanos::from_secs(3_600) },
        enabled: FractionalPercent::ALWAYS,
        enforced: FractionalPercent::ALWAYS,
        status: None,
        response_headers_to_add: Vec::new(),
        x_ratelimit_headers: false,
        per_connection: false,
        descriptors: Vec::new(),
    }
}

fn chain_limit() -> Config {
    let mut config = config(to_cluster("a"), Cluster::new("a", hosts(1)));
    config.listeners[0].filters.push(Filter::LocalRateLimit(two_tokens()));
    config
}

/// The chain's filter lets everything pass; the route has its own limit.
fn route_limit() -> Config {
    let mut config = chain_limit();
    let Filter::LocalRateLimit(limit) = &mut config.listeners[0].filters[0] else { unreachable!() };
    limit.bucket.max_tokens = 1_000;
    let routes = &mut config.listeners[0].route_config.virtual_hosts[0].routes;
    routes[0].filter_overrides.push(FilterOverride::LocalRateLimit(Some(two_tokens())));
    config
}

/// How many of three requests are refused after one was served and another configuration was installed.
fn refused_after(before: &Config, after: &Config) -> usize {
    let mut effects = Effects::default();
    let table = |config| Arc::new(Table::compile(config).unwrap());
    let mut cx = Cx { now: Time::START, entropy: &mut Keyed(1), effects: &mut effects };
    let mut proxy = Proxy::new(&mut cx, table(before));
    let request = |proxy: &mut Proxy, cx: &mut Cx<'_>, key: u64| {
        let head = RequestHead {
            key: RequestKey(key),
            method: "GET",
            authority: "svc",
            path: "/",
            headers: &[],
            tokens: &[],
            peer: Peer::default(),
            http2: false,
        };
        proxy.on_request(cx, ListenerId::new(0), &head, true);
        cx.effects.drain().any(|effect| matches!(effect, Effect::Respond { status: 429, .. }))
    };
    assert!(!request(&mut proxy, &mut cx, 1));
    proxy.install(&mut cx, table(after));
    (2..5).filter(|key| request(&mut proxy, &mut cx, *key)).count()
}

/// A configuration, what an update changes in it, how many of three requests are refused then.
type Change = (fn() -> Config, fn(&mut Config), usize);

#[test]
fn filters_keep_their_state_while_the_chain_stays() {
    let changed = |config: fn() -> Config, change: fn(&mut Config)| {
        let (before, mut after) = (config(), config());
        change(&mut after);
        refused_after(&before, &after)
    };
    // Two are refused if one of two tokens was gone already, else one.
    let table: [Change; 8] = [
        (chain_limit, |_| {}, 2),
        (chain_limit, |config| config.clusters.push(Cluster::new("b", hosts(2))), 2),
        (chain_limit, |config| config.listeners[0].route_config.virtual_hosts[0].routes[0].name.push('2'), 2),
        (chain_limit, |config| config.listeners[0].filters.push(Filter::Fault(Fault::default())), 1),
        (chain_limit, |config| config.listeners[0].connection_manager.merge_slashes = true, 1),
        (chain_limit, |config| config.listeners[0].name.push('2'), 1),
        (route_limit, |config| config.clusters.push(Cluster::new("b", hosts(2))), 2),
        (
            route_limit,
            |config| config.listeners[0].route_config.virtual_hosts[0].routes.push(route("x", "/x", to_cluster("a"))),
            1,
        ),
    ];
    for (row, (config, change, expect)) in table.into_iter().enumerate() {
        assert_eq!(changed(config, change), expect, "row {row}");
    }
}
