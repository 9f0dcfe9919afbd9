//! Random meshes: every violated verdict replays in the simulator, and the bound is reached exactly.
#![allow(clippy::unwrap_used, clippy::panic, clippy::needless_range_loop)]

use std::fmt::Write as _;

use common::yaml::{namespace, route, service};
use meshproof_model::{Expectation, Value};
use meshproof_verifier::{Limits, VerifyOptions, verify};
use proptest::prelude::*;

mod common;

/// A call: caller, callee, how often, with the previous one in one stage.
type Edge = (usize, usize, u32, bool);

/// Retries of the route to a service: attempts and conditions.
const CONDITIONS: [&str; 5] = ["5xx", "gateway-error,connect-failure", "\"503\"", "connect-failure", ""];

fn manifests(services: usize, retries: &[(u32, usize)]) -> String {
    let mut yaml = namespace(true);
    for number in 0..services {
        yaml += &service(&format!("s{number}"), "http", 2, &[]);
        let (attempts, condition) = retries[number];
        let condition = CONDITIONS[condition];
        if !condition.is_empty() {
            yaml += &route(
                &format!("s{number}"),
                &format!("    retries: {{attempts: {attempts}, retryOn: {condition}}}\n"),
            );
        }
    }
    yaml
}

fn behaviour(services: usize, edges: &[Edge], own_retries: u32) -> String {
    let mut workloads = String::new();
    for number in 0..services {
        let mut stages: Vec<Vec<String>> = Vec::new();
        for (_, to, times, joined) in edges.iter().filter(|edge| edge.0 == number) {
            let call = format!("(to: \"s{to}:80\", times: {times})");
            match stages.last_mut().filter(|_| *joined) {
                Some(stage) => stage.push(call),
                None => stages.push(vec![call]),
            }
        }
        let stages: Vec<String> = stages.iter().map(|stage| format!("[{}]", stage.join(", "))).collect();
        let _ = write!(
            workloads,
            "\"default/s{number}\": (service_time: Constant(\"1ms\"), calls: [{}]), ",
            stages.join(", ")
        );
    }
    format!(
        "Mesh(version: 1, clients: {{\"user\": (from: Outside, to: \"default/edge:80\", requests: [(name: \"r\")], \
         retries: (max: {own_retries}))}}, workloads: {{{workloads} \"default/edge\": (calls: [[(to: \"s0:80\")]])}})"
    )
}

fn small_mesh() -> impl Strategy<Value = (usize, Vec<(u32, usize)>, Vec<Edge>, u32)> {
    (2_usize..7).prop_flat_map(|services| {
        let retries = proptest::collection::vec((0_u32..4, 0_usize..CONDITIONS.len()), services);
        let edge = (0..services, 0..services, 1_u32..3, any::<bool>());
        let edges = proptest::collection::vec(edge, 0..services + 2).prop_map(|edges| {
            let forward = |(a, b, times, joined): Edge| (a.min(b), a.max(b), times, joined);
            edges.into_iter().map(forward).filter(|(from, to, ..)| from < to).collect::<Vec<_>>()
        });
        (Just(services), retries, edges, 0_u32..2)
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn bounds_are_reached_exactly_and_never_exceeded((services, retries, edges, own_retries) in small_mesh()) {
        let yaml = manifests(services, &retries) + &service("edge", "http", 1, &[]);
        let (_, mesh) = common::mesh(&yaml, &behaviour(services, &edges, own_retries));
        // Every service is over a limit of nothing, so that each has a witness.
        let options = VerifyOptions { limits: Limits { retry_amplification: 0 }, ..VerifyOptions::default() };
        let report = verify(&mesh, &options);
        prop_assert!(report.disagreements.is_empty(), "{:?}", report.disagreements);
        let mut judged = 0;
        for finding in report.findings.iter().filter(|finding| finding.rule.code == "MP0401") {
            let witness = finding.witness.as_ref().unwrap();
            let Some(Expectation::RequestsAt { count, .. }) = &witness.expectation else {
                panic!("not replayable: {}", finding.message)
            };
            prop_assert_eq!(&finding.values["bound"], &Value::Int(*count), "{}", finding.message);
            prop_assume!(*count <= 500);
            judged += 1;
        }
        prop_assert!(judged >= 2, "the edge and the first service at least");
        let (_, failed) = common::replay_all(&mesh, &report);
        prop_assert!(failed.is_empty(), "{:?}", failed);
    }
}
