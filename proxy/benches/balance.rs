//! What one request costs by the way its host is chosen, with 3 and with 300 hosts.
//!
//! The rest of the request is the same, so that differences are those of the balancers.
#![allow(missing_docs, reason = "a benchmark")]

mod support;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use meshproof_proxy::{
    Nanos,
    config::{Cluster, Host, LbPolicy, LeastRequest},
};
use support::{Driver, to_cluster};

fn cluster(hosts: usize, lb_policy: LbPolicy, weight: u32) -> Cluster {
    let address = |n| format!("10.0.{}.{}:80", n / 250, n % 250);
    let mut hosts: Vec<_> = (0..hosts).map(|n| Host::new(format!("h{n}"), address(n))).collect();
    hosts[0].weight = weight;
    Cluster { lb_policy, ..Cluster::new("a", hosts) }
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
            let mut driver = Driver::new(&to_cluster(cluster(hosts, policy.clone(), weight)), "/", 200);
            group.bench_function(BenchmarkId::new(name, hosts), |bencher| bencher.iter(|| driver.request()));
        }
    }
    group.finish();
}

criterion_group!(benches, balance);
criterion_main!(benches);
