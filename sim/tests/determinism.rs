//! The same input gives the same bytes; another seed does not.
#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod support;

use meshproof_sim::{Digest, SimOptions};
use support::{chain, run, scenario};

const LOAD: &str = "seed: 7, horizon: \"3s\",
    load: [Open(client: \"load\", rate: [Hold(rate: \"200rps\", during: \"1s\"), Ramp(to: \"600rps\", during: \"1s\")])],
    faults: [
        Crash(workload: \"default/s2\", replicas: Count(1), at: \"1s\", during: \"500ms\"),
        Slow(workload: \"default/s3\", at: \"2s\", during: \"500ms\", factor: 5),
        Errors(workload: \"default/s3\", replicas: Share(\"50%\"), at: \"1500ms\", during: \"1s\", status: 503, share: \"30%\"),
    ]";

fn digest(seed: Option<u64>, replications: Option<u32>, threads: usize) -> (Digest, String) {
    let mesh = chain(3, 2, "{attempts: 2, perTryTimeout: 100ms, retryOn: 5xx}", "Exponential(mean: \"3ms\")");
    let options = SimOptions { seed, replications, threads, ..SimOptions::default() };
    let run = run(&mesh, &scenario(LOAD), &options);
    (run.digest, serde_json::to_string(&run).unwrap())
}

#[test]
fn a_run_repeats_itself_and_a_seed_changes_it() {
    let first = digest(None, None, 0);
    // Something else in between must leave no trace: another seed, and another mesh under another scenario.
    let other = digest(Some(8), None, 0);
    let burst = "seed: 3, horizon: \"1s\", load: [Burst(client: \"load\", requests: 500, at: \"100ms\")]";
    run(&chain(1, 1, "{attempts: 1}", "Constant(\"1ms\")"), &scenario(burst), &SimOptions::default());
    assert_eq!(digest(None, None, 0), first);
    assert_ne!(other.0, first.0);
    assert_eq!(digest(Some(8), None, 0), other);
}

#[test]
fn the_number_of_threads_changes_nothing() {
    let one = digest(None, Some(4), 1);
    for threads in [2, 8] {
        assert_eq!(digest(None, Some(4), threads), one);
    }
    assert!(one.1.contains("\"lo\""), "several replications have intervals");
}

/// A policy that allows everybody makes the servers' proxies decide; without it they are passed by. Nothing differs.
#[test]
fn a_proxy_that_has_nothing_to_decide_is_left_out_without_a_trace() {
    let allow = "---\napiVersion: security.istio.io/v1\nkind: AuthorizationPolicy
metadata: {name: all, namespace: default}\nspec: {rules: [{}]}\n";
    let policy = "{attempts: 2, perTryTimeout: 20ms, retryOn: \"5xx,reset,connect-failure\"}";
    let figures = |more: &str| {
        let mesh = support::chain_with(3, 2, policy, "Exponential(mean: \"3ms\")", more);
        let mut json = serde_json::to_value(run(&mesh, &scenario(LOAD), &SimOptions::default())).unwrap();
        let figures = json.as_object_mut().unwrap();
        // Entries of events are numbered otherwise.
        figures.remove("digest");
        json
    };
    assert_eq!(figures(""), figures(allow));
}

/// A second of `topologies/chain4`: what every build gives, debug or release, on every machine. The same scenario under
/// `cargo test --release`, and `cargo run --release -p meshproof-sim --example chain4 -- 1`, show it.
#[test]
fn a_short_run_has_the_same_bytes_in_every_build() {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../topologies/chain4");
    let read = |file: &str| std::fs::read_to_string(format!("{folder}/{file}")).unwrap();
    let mesh = support::mesh(&read("chain.yaml"), &read("mesh.ron"));
    let mut scenario = meshproof_model::read_scenario(&read("scenarios/spike.ron")).unwrap();
    scenario.horizon = meshproof_model::Nanos::from_secs(1);
    scenario.warm_up = meshproof_model::WarmUp::Off;
    scenario.objectives.clear();
    let run = run(&mesh, &scenario, &SimOptions::default());
    assert_eq!((run.client_requests, run.digest.to_string().as_str()), (9988, "c43fbcc7cf3fb42bab3d0959d84fb1df"));
}
