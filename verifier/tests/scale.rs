//! Large meshes: the report does not depend on threads.
#![allow(clippy::unwrap_used)]

use common::{
    layered::behaviour,
    yaml::{namespace, peers, route, service},
};
use meshproof_verifier::{VerifyOptions, verify};

mod common;

/// Services in layers, with retries on some of the routes.
fn layered(services: usize) -> (String, String) {
    let mut yaml = namespace(true) + &peers("istio-system", "STRICT");
    for number in 0..services {
        let name = format!("s{number}");
        yaml += &service(&name, "http", 2, &[]);
        let policy = match number % 7 {
            0 => "    timeout: 2s\n    retries: {attempts: 1, perTryTimeout: 900ms, retryOn: 5xx}\n",
            3 => "    timeout: 1s\n",
            _ => "",
        };
        if !policy.is_empty() {
            yaml += &route(&name, policy);
        }
    }
    (yaml, behaviour(services))
}

#[test]
fn the_report_is_the_same_for_any_number_of_threads() {
    let is_slow = std::env::var_os("MESHPROOF_SLOW").is_some();
    let (services, runs) = if is_slow { (200, 100) } else { (40, 6) };
    let (yaml, behaviour) = layered(services);
    let (_, mesh) = common::mesh(&yaml, &behaviour);
    let report = |threads| format!("{:?}", verify(&mesh, &VerifyOptions { threads, ..VerifyOptions::default() }));
    let one = report(1);
    assert!(one.contains("disagreements: []"));
    for run in 0..runs {
        let threads = [2, 3, 8, 0, 1][run % 5];
        assert_eq!(one, report(threads), "{threads} threads in run {run}");
    }
}
