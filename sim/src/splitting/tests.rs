//! Splitting against a closed form, and against waiting.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

use meshproof_import::{ImportOptions, import};
use meshproof_model::{Mesh, Sources, read_behaviour, read_scenario};

use super::{
    walk::{Path, Walk},
    *,
};
use crate::SimOptions;

const QUEUE: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: q, namespace: default}
spec: {selector: {app: q}, ports: [{name: http, port: 80}]}\n---\napiVersion: apps/v1\nkind: Deployment
metadata: {name: q, namespace: default}\nspec: {replicas: 1, selector: {matchLabels: {app: q}},
  template: {metadata: {labels: {app: q}}, spec: {containers: [{name: app, image: i, ports: [{containerPort: 80}]}]}}}\n";

fn plan(client: &str, workload: &str, rate: &str) -> Plan {
    let mut sources = Sources::default();
    sources.add("q.yaml", QUEUE);
    let mut mesh: Mesh = import(&sources, &ImportOptions::default()).mesh;
    let behaviour = format!(
            "Mesh(version: 1, clients: {{\"c\": (from: Outside, to: \"default/q:80\", requests: [(name: \"r\")], {client})}},
                workloads: {{\"default/q\": (queue: (limit: 100000), {workload})}},
                network: (same_zone: Constant(\"0ms\"), proxy: Constant(\"0ms\")))"
        );
    mesh.behaviour = read_behaviour(&behaviour).unwrap();
    let scenario = read_scenario(&format!(
        "Scenario(version: 1, horizon: \"10000s\", load: [Open(client: \"c\", rate: [Hold(rate: \"{rate}\", during: \"1s\")])])"
    ));
    Plan::new(&mesh, &scenario.unwrap(), &SimOptions::default()).unwrap()
}

/// The mean time until an empty M/M/1 queue first holds so many: the sum of the times from each number to the next.
fn hitting_time(arrivals: f64, services: f64, goal: u32) -> f64 {
    let mut step = 1.0 / arrivals;
    let mut sum = 0.0;
    for _ in 0..goal {
        sum += step;
        step = (1.0 + services * step) / arrivals;
    }
    sum
}

#[test]
fn a_queue_first_holds_twenty_when_the_closed_form_says() {
    let plan = plan("", "concurrency: 1, service_time: Exponential(mean: \"2ms\")", "250rps");
    let expected = hitting_time(250.0, 500.0, 20);
    assert!((expected - 8388.5).abs() < 0.1, "{expected}");
    let found = split(&plan, Goal::Strain(20_000), 3, 16).unwrap();
    let (lo, hi) = (found.interval.0, found.interval.1.unwrap());
    assert!(lo < expected && expected < hi && hi / lo < 3.0, "{expected} {found:?}");
    // Sixteen independent waits for it would have taken a hundred times as long.
    assert!(found.simulated_s * 100.0 < 16.0 * expected, "{found:?}");
}

/// Each request is tried again after 50 ms, and what was left goes on being worked at.
#[test]
fn falls_come_as_often_as_long_runs_show() {
    let plan = plan(
        "patience: Constant(\"50ms\"), retries: (max: 1)",
        "concurrency: 4, service_time: Exponential(mean: \"10ms\")",
        "240rps",
    );
    let walk = Walk { plan: &plan, goal: Goal::Fall, looks_every: 1 };
    let wait = |run: u32| {
        let (mut path, mut calm) = (walk.start(&Keys::new(9, run)), 0);
        while walk.walk(&mut path) && path.is_bad() != Some(true) {
            if path.engine.strain() <= 1000 {
                calm = path.engine.now;
                path = Path::new(path.engine);
            }
        }
        calm as f64 / 1e9
    };
    let waits: Vec<f64> = (0..48_u32).into_par_iter().map(wait).collect();
    let waited = Mean::of(&waits).unwrap();
    let found = split(&plan, Goal::Fall, 4, 16).unwrap();
    let (lo, hi) = (found.interval.0, found.interval.1.unwrap());
    assert!(lo < waited.mean && waited.mean < hi && hi / lo < 3.0, "{waited:?} {found:?}");
    assert_eq!(split(&plan, Goal::Fall, 4, 16).as_ref(), Some(&found), "it is a function of the seed");
}

/// Without retries nothing sustains an overload: whatever queue there was is worked off.
#[test]
fn a_mesh_that_never_falls_is_said_to_fall_less_often_than_so() {
    let plan = plan("", "concurrency: 4, service_time: Exponential(mean: \"10ms\")", "240rps");
    let found = split(&plan, Goal::Fall, 4, 6).unwrap();
    assert!(found.mean_time_s.is_none() && found.interval.1.is_none(), "{found:?}");
    assert!(found.interval.0 > 1e6, "{found:?}");
}
