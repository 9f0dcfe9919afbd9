//! Common random numbers: a change that touches one service is seen in a fraction of the runs, and the intervals say
//! what they promise.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test may stop, and prints")]

mod support;

use meshproof_model::Mesh;
use meshproof_sim::{Comparison, Difference, Number, SimOptions, compare, simulate};
use support::{mesh, scenario, service};

/// Three stations in a row, asked one after the other; the second one works on so many requests at a time.
fn row(places: u32) -> Mesh {
    let stations = ["s1", "s2", "s3"]
        .iter()
        .map(|name| {
            let places = if *name == "s2" { places } else { 8 };
            format!("\"default/{name}\": (concurrency: {places}, queue: (limit: 100000), service_time: Exponential(mean: \"1ms\")),")
        })
        .collect::<Vec<_>>()
        .concat();
    let manifests: String = ["front", "s1", "s2", "s3"].iter().map(|name| service(name, 1)).collect();
    let calls = "[[(to: \"s1:80\")], [(to: \"s2:80\")], [(to: \"s3:80\")]]";
    let no_time = "Constant(\"0ms\")";
    let behaviour = format!(
        "Mesh(version: 1, clients: {{\"c\": (from: Outside, to: \"default/front:80\", requests: [(name: \"r\")])}},
        workloads: {{\"default/front\": (concurrency: 100000, service_time: {no_time}, calls: {calls}), {stations}}},
        network: (same_zone: {no_time}, connect: \"0ms\", proxy: {no_time}))"
    );
    mesh(&manifests, &behaviour)
}

fn mean(comparison: &Comparison) -> &Difference {
    comparison.figures.iter().find(|figure| figure.name == "c.mean").unwrap()
}

fn half(number: Number) -> f64 {
    let [lo, hi] = number.interval().unwrap();
    (hi - lo) / 2.0
}

/// For the same width of the interval, independent seeds need as many times more runs as their variance is greater.
#[test]
fn a_change_of_one_service_needs_a_twentieth_of_the_runs() {
    let (before, after) = (row(8), row(9));
    let load = "seed: 11, horizon: \"4s\", warm_up: Fixed(\"200ms\"),
        load: [Open(client: \"c\", rate: [Hold(rate: \"5600rps\", during: \"1s\")])]";
    let options = SimOptions { replications: Some(16), ..SimOptions::default() };
    let paired = compare(&before, &after, &scenario(load), &options).unwrap();
    let [lo, hi] = mean(&paired).interval.unwrap();
    let of = |mesh: &Mesh, seed: u64| {
        let options = SimOptions { seed: Some(seed), ..options.clone() };
        half(simulate(mesh, &scenario(load), &options).unwrap().clients[0].latency_ms.mean)
    };
    let (base, head) = (of(&before, 11), of(&after, 12));
    let ratio = (base * base + head * head) / ((hi - lo) / 2.0).powi(2);
    println!(
        "paired {:.6} ± {:.6} ms; independent seeds need {ratio:.1} times the runs",
        mean(&paired).difference,
        (hi - lo) / 2.0
    );
    assert!(ratio >= 20.0, "{ratio}");
    assert_eq!(mean(&paired).significant, Some(true));
}

/// A figure that the change cannot touch does not move at all: the draws are the same.
#[test]
fn what_a_change_does_not_touch_stays_the_same() {
    let load = "seed: 3, horizon: \"1s\", load: [Open(client: \"c\", rate: [Hold(rate: \"2krps\", during: \"1s\")])]";
    let options = SimOptions { replications: Some(4), ..SimOptions::default() };
    let comparison = compare(&row(8), &row(9), &scenario(load), &options).unwrap();
    let of = |name: &str| comparison.figures.iter().find(|figure| figure.name == name).unwrap();
    for name in ["default/s1.mean", "default/s1.queue_wait_ms", "default/s1.attempts", "c.success_ratio"] {
        assert!(of(name).difference.abs() < 1e-12, "{name}: {:?}", of(name));
    }
    assert!(comparison.tipping.base.value < 1e-12 && comparison.tipping.head.value < 1e-12);
}

/// The mean time at a station with so many places, by Erlang's formula, in service times.
fn erlang(load: f64, places: u32) -> f64 {
    let term = |n: u32| (1..=n).fold(1.0, |product, k| product * load / f64::from(k));
    let waiting = term(places) / (1.0 - load / f64::from(places));
    let queued = waiting / ((0..places).map(term).sum::<f64>() + waiting);
    1.0 + queued / (f64::from(places) - load)
}

/// The truth is known: the stations are independent of each other (Jackson), so the change is worth what Erlang says of
/// the second one. The load is moderate and the runs are many: means of few runs close to overload are too skewed for
/// Student's t. A quick look at ten comparisons, all hundred where `MESHPROOF_SLOW` is set.
#[test]
fn intervals_of_differences_cover_the_truth() {
    let is_slow = std::env::var_os("MESHPROOF_SLOW").is_some();
    let (trials, least) = if is_slow { (100, 93) } else { (10, 8) };
    let truth = erlang(4.8, 9) - erlang(4.8, 8);
    let (before, after) = (row(8), row(9));
    let load = "horizon: \"1200ms\", warm_up: Fixed(\"200ms\"),
        load: [Open(client: \"c\", rate: [Hold(rate: \"4800rps\", during: \"1s\")])]";
    let covered = (0..trials).filter(|trial| {
        let options = SimOptions { seed: Some(1000 + trial), replications: Some(24), ..SimOptions::default() };
        let comparison = compare(&before, &after, &scenario(load), &options).unwrap();
        let [lo, hi] = mean(&comparison).interval.unwrap();
        (lo..=hi).contains(&truth)
    });
    let covered = covered.count();
    println!("{covered} of {trials} intervals hold the true difference of {truth:.5} ms");
    assert!(covered >= least, "{covered} of {trials}");
}
