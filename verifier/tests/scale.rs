//! Large meshes: time is bounded by steps, and the report does not depend on threads. Prints what it measures.
#![allow(clippy::unwrap_used)]

use std::fmt::Write as _;

use common::yaml::{namespace, peers, route, service};
use meshproof_verifier::{VerifyOptions, verify};

mod common;

/// Layers of services, each calling three or four of the next layer; `retries` on some of the routes.
fn layered(services: usize) -> (String, String) {
    let width = services.div_ceil(6);
    let mut yaml = namespace(true) + &peers("istio-system", "STRICT");
    let mut workloads = String::new();
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
        let next = (number / width + 1) * width;
        let calls: Vec<String> = (0..4)
            .map(|call| next + (number * 7 + call * 13) % width)
            .filter(|to| *to < services)
            .map(|to| format!("[(to: \"s{to}:80\")]"))
            .collect();
        let _ =
            write!(workloads, "\"default/{name}\": (service_time: Constant(\"5ms\"), calls: [{}]), ", calls.join(", "));
    }
    let behaviour = format!(
        "Mesh(version: 1, clients: {{\"user\": (from: Outside, to: \"default/s0:80\", requests: [(name: \"r\")])}}, \
         workloads: {{{workloads}}})"
    );
    (yaml, behaviour)
}

#[test]
fn the_report_is_the_same_for_any_number_of_threads() {
    let (yaml, behaviour) = layered(if std::env::var_os("MESHPROOF_SLOW").is_some() { 1000 } else { 40 });
    let (_, mesh) = common::mesh(&yaml, &behaviour);
    let options = |threads| VerifyOptions { threads, ..VerifyOptions::default() };
    let one = verify(&mesh, &options(1));
    assert_eq!(one.disagreements, [""; 0]);
    for threads in [2, 3, 0] {
        assert_eq!(format!("{one:?}"), format!("{:?}", verify(&mesh, &options(threads))), "{threads} threads");
    }
}
