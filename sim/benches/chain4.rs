//! What a simulated request costs: four services in a row, both proxies on every hop, per-try timeout, one retry, 1 % of
//! errors on each hop, 10,000 requests per second, full figures. The shipped mesh `topologies/chain4`, a second of it.
//!
//! `cargo bench -p meshproof-sim` prints the time of 10,000 requests.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark stops where something is missing")]

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use meshproof_import::{ImportOptions, import};
use meshproof_model::{Mesh, Nanos, Scenario, Sources, WarmUp, read_behaviour, read_scenario};
use meshproof_sim::{SimOptions, simulate};

const MANIFESTS: &str = include_str!("../../topologies/chain4/chain.yaml");
const BEHAVIOUR: &str = include_str!("../../topologies/chain4/mesh.ron");
const SPIKE: &str = include_str!("../../topologies/chain4/scenarios/spike.ron");

fn chain4() -> (Mesh, Scenario) {
    let mut sources = Sources::default();
    sources.add("chain.yaml", MANIFESTS);
    let mut mesh = import(&sources, &ImportOptions::default()).mesh;
    mesh.behaviour = read_behaviour(BEHAVIOUR).unwrap();
    let mut scenario = read_scenario(SPIKE).unwrap();
    scenario.horizon = Nanos::from_secs(1);
    scenario.warm_up = WarmUp::Off;
    scenario.objectives.clear();
    (mesh, scenario)
}

fn chain(criterion: &mut Criterion) {
    let (mesh, scenario) = chain4();
    let options = SimOptions { threads: 1, ..SimOptions::default() };
    let requests = simulate(&mesh, &scenario, &options).unwrap().client_requests;
    let mut group = criterion.benchmark_group("chain4");
    group.sample_size(10).throughput(Throughput::Elements(requests));
    group.bench_function(BenchmarkId::new("requests", requests), |b| {
        b.iter(|| simulate(&mesh, &scenario, &options).unwrap());
    });
    group.finish();
}

criterion_group!(benches, chain);
criterion_main!(benches);
