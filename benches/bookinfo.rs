//! What each stage costs on the shipped mesh: import, proofs, a simulated second. Side by side in one run, so that a
//! change shows as a shift of one against the others.

#![allow(missing_docs, clippy::unwrap_used, reason = "a benchmark stops where something is missing")]

use criterion::{Criterion, criterion_group, criterion_main};
use meshproof::{Choice, Project, verify};
use meshproof_import::ImportOptions;
use meshproof_model::{Load, Phase, Rate};
use meshproof_sim::SimOptions;

fn stages(criterion: &mut Criterion) {
    let folder = [concat!(env!("CARGO_MANIFEST_DIR"), "/topologies/bookinfo").to_owned()];
    let project = Project::read(&folder, &ImportOptions::default()).unwrap();
    let mut group = criterion.benchmark_group("bookinfo");
    group.sample_size(20);
    group.bench_function("read and import", |b| b.iter(|| Project::read(&folder, &ImportOptions::default()).unwrap()));
    group.bench_function("prove every property", |b| b.iter(|| verify(&project, &Choice::default()).unwrap()));

    let (_, mut scenario) = project.scenario("steady").unwrap();
    let second = meshproof_model::Nanos::from_secs(1);
    scenario.horizon = second;
    scenario.warm_up = meshproof_model::WarmUp::Off;
    scenario.objectives.clear();
    for load in &mut scenario.load {
        if let Load::Open { rate, .. } = load {
            *rate = vec![Phase::Hold { rate: Rate::per_second(10_000), during: second }];
        }
    }
    let options = SimOptions { threads: 1, ..SimOptions::default() };
    group.bench_function("simulate 10,000 requests", |b| {
        b.iter(|| meshproof_sim::simulate(&project.imported.mesh, &scenario, &options).unwrap());
    });
    group.finish();
}

criterion_group!(benches, stages);
criterion_main!(benches);
