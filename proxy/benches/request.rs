//! What one request costs: through the two sidecars between a client and a server, and through one of them.
//!
//! Every request begins with its head and ends with its answer; a hop is one sidecar. Beside it, in the same run, a plain
//! loop over the paths of the same routes: what a router without an index does before anything else.
#![allow(missing_docs, reason = "a benchmark")]

mod support;

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use support::{Driver, Paths, all_filters, config, retries};

/// Outbound: many routes and a retry policy. Inbound: one route.
fn two_hops(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("outbound and inbound");
    let inbound = config(1, Paths::Prefix, None, Vec::new());
    for (name, paths) in [("exact", Paths::Exact), ("prefix", Paths::Prefix)] {
        for routes in [10, 1_000] {
            let path = paths.path(routes - 1);
            let mut outbound = Driver::new(&config(routes, paths, Some(&retries()), Vec::new()), &path, 200);
            let mut inbound = Driver::new(&inbound, "/service-0/", 200);
            group.bench_function(BenchmarkId::new(name, routes), |bencher| {
                bencher.iter(|| {
                    outbound.request();
                    inbound.request();
                });
            });
        }
    }
    group.finish();
}

fn one_hop(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("one hop");
    let retries = retries();
    let cases = [
        ("plain", None, Vec::new(), 200),
        ("may retry", Some(&retries), Vec::new(), 200),
        ("retried once", Some(&retries), Vec::new(), 503),
        ("all filters", None, all_filters(), 200),
        ("all filters, retried once", Some(&retries), all_filters(), 503),
    ];
    for (name, retry, filters, first) in cases {
        let mut driver = Driver::new(&config(10, Paths::Prefix, retry, filters), "/service-5/", first);
        group.bench_function(name, |bencher| bencher.iter(|| driver.request()));
    }
    group.finish();
}

fn match_loop(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("a plain match loop");
    for routes in [10, 1_000] {
        let paths: Vec<_> = (0..routes).map(|n| Paths::Prefix.path(n)).collect();
        let path = Paths::Prefix.path(routes - 1);
        group.bench_function(BenchmarkId::new("prefix", routes), |bencher| {
            bencher.iter(|| black_box(&paths).iter().position(|prefix| black_box(&path).starts_with(prefix.as_str())));
        });
    }
    group.finish();
}

criterion_group!(benches, two_hops, one_hop, match_loop);
criterion_main!(benches);
