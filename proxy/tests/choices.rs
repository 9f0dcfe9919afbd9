//! Choices among routes and weighted clusters against their theory: chi-square at 0.001, over keyed draws.
//!
//! Those among hosts stand beside the balancers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]
#![allow(clippy::float_arithmetic, clippy::cast_precision_loss, reason = "statistics")]

mod support;

use meshproof_proxy::{
    Draw, DrawKey, Entropy, ListenerId, Peer, RequestHead, RequestKey, RouteDoes, Table,
    config::{Cluster, ClusterSpecifier, Config, HeaderMutations, RouteAction, WeightedCluster},
};
use support::{Keyed, hosts, listener, route, to_cluster};

/// 0.1 % points of the chi-square distribution for 1, 2, ... degrees of freedom.
const POINTS: [f64; 4] = [10.828, 13.816, 16.266, 18.467];

const REQUESTS: u64 = 50_000;

#[track_caller]
fn assert_shares(counts: &[u64], shares: &[u64]) {
    let whole: u64 = shares.iter().sum();
    let expected = |share: u64| REQUESTS as f64 * share as f64 / whole as f64;
    let mut sum = 0.0;
    let mut classes = 0;
    for (count, share) in counts.iter().zip(shares) {
        if *share == 0 {
            assert_eq!(*count, 0, "{counts:?} against {shares:?}");
        } else {
            sum += (*count as f64 - expected(*share)) * (*count as f64 - expected(*share)) / expected(*share);
            classes += 1;
        }
    }
    assert!(sum < POINTS[classes - 2], "{counts:?} against {shares:?}: {sum}");
}

/// How many requests each cluster gets.
fn spread(config: &Config) -> Vec<u64> {
    let table = Table::compile(config).unwrap();
    let mut counts = vec![0; config.clusters.len()];
    for key in 1..=REQUESTS {
        let draw = Keyed(7).draw(DrawKey { request: RequestKey(key), attempt: 0, what: Draw::Stream });
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
        let route = table.route(ListenerId::new(0), &head, draw).expect("a route takes every request");
        let RouteDoes::Forward { cluster, .. } = route.does else { panic!("it forwards") };
        counts[cluster.index()] += 1;
    }
    counts
}

fn clusters(n: usize) -> Vec<Cluster> {
    (0..n).map(|n| Cluster::new(n.to_string(), hosts(1))).collect()
}

#[test]
fn weighted_clusters_get_their_shares() {
    let table: [&[u64]; 5] = [&[1, 1], &[90, 10], &[1, 2, 7], &[50, 0, 50], &[1, 1, 1, 1, 996]];
    for weights in table {
        let entry = |(n, weight): (usize, &u64)| WeightedCluster {
            name: n.to_string(),
            weight: u32::try_from(*weight).unwrap(),
            headers: HeaderMutations::default(),
        };
        let split = ClusterSpecifier::Weighted(weights.iter().enumerate().map(entry).collect());
        let listeners = vec![listener(vec![route("r", "/", RouteAction::to(split))])];
        let config = Config { listeners, clusters: clusters(weights.len()), zone: None };
        assert_shares(&spread(&config), weights);
    }
}

#[test]
fn a_fraction_of_requests_takes_a_route() {
    for percent in [1, 30, 50, 99] {
        let mut first = route("some", "/", to_cluster("0"));
        first.matches.runtime_fraction = Some((percent, 100));
        let listeners = vec![listener(vec![first, route("rest", "/", to_cluster("1"))])];
        let config = Config { listeners, clusters: clusters(2), zone: None };
        assert_shares(&spread(&config), &[u64::from(percent), u64::from(100 - percent)]);
    }
}
