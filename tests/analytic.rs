//! Cases whose answer is known, through the real engine: the cheap ones always, all of them where `MESHPROOF_SLOW` is set.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test stops where something is missing, and prints")]

use std::fs;

use meshproof::analytic::{Effort, answer_case};
use serde_json::Value;

const CASES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/analytic/cases.json");

/// Cheap enough for every run of the tests, one of each family.
const QUICK: [&str; 15] = [
    "mm1_mean_sojourn",
    "mmc_erlang_c_wait_prob",
    "breaker_mmck_loss",
    "erlang_a_abandon",
    "mg1_ps_mean",
    "mg1_deterministic_wait",
    "jackson_feedback_load",
    "mm1_retrial_attempts",
    "retry_attempt_amplification",
    "retry_chain_amplification",
    "retry_budget_total_failure",
    "fanout_max_mean",
    "consecutive_errors_mean",
    "k_of_n_availability",
    "hedge_mean_no_queue",
];
/// The cheap ones stop early; their answer may lie this much further from the truth than they allow.
const QUICK_REQUESTS: f64 = 20_000.0;
const QUICK_SLACK: f64 = 0.1;

fn is_slow() -> bool {
    std::env::var_os("MESHPROOF_SLOW").is_some()
}

fn cases(list: &str) -> Vec<Value> {
    let document: Value = serde_json::from_str(&fs::read_to_string(CASES).unwrap()).unwrap();
    document[list].as_array().unwrap().clone()
}

#[test]
fn closed_forms_are_reproduced() {
    let mut wrong = Vec::new();
    for case in cases("cases") {
        let id = case["id"].as_str().unwrap();
        if !is_slow() && !QUICK.contains(&id) {
            continue;
        }
        let effort = if is_slow() { Effort::default() } else { Effort { requests: QUICK_REQUESTS, threads: 0 } };
        let answer = answer_case(&case, effort);
        println!("{answer}");
        let is_near = || {
            let (observed, expected) = (answer["observed"].as_f64()?, case["expected"].as_f64()?);
            let exact = case["tolerance_kind"] == "exact";
            Some(!exact && !is_slow() && (observed / expected - 1.0).abs() <= QUICK_SLACK)
        };
        if answer["within"] != true && is_near() != Some(true) {
            wrong.push(answer.to_string());
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// Within the tolerance that the criterion of the case names.
fn run_is_as_expected(run: &Value, tolerance: f64) -> bool {
    let observed = &run["observed"];
    let is_near = |name: &str| match (run[name].as_f64(), observed[name].as_f64()) {
        (Some(expected), Some(observed)) => (observed / expected - 1.0).abs() <= tolerance,
        (None, None) => true,
        _ => false,
    };
    if let Some(expected) = run["expect"].as_str() {
        return observed["outcome"] == expected;
    }
    if run.get("smallest_tipping_freeze_ms").is_some() {
        return is_near("smallest_tipping_freeze_ms");
    }
    is_near("recovery_s")
}

#[test]
fn metastable_failures_come_out_as_published() {
    let mut wrong = Vec::new();
    for case in cases("metastable_cases") {
        let id = case["id"].as_str().unwrap();
        if !is_slow() && id != "gc_pause_collapse" {
            continue;
        }
        let tolerance = if case["criterion"].as_str().unwrap().contains("2%") { 0.02 } else { 0.15 };
        let answer = answer_case(&case, Effort::default());
        println!("{answer}");
        let runs = answer["runs"].as_array().cloned().unwrap_or_default();
        assert_eq!(runs.len(), case["runs"].as_array().unwrap().len(), "{answer}");
        wrong.extend(
            runs.into_iter().filter(|run| !run_is_as_expected(run, tolerance)).map(|run| format!("{id}: {run}")),
        );
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// A case is recognised by its parameters: another name, other numbers, and one that is not known.
#[test]
fn a_case_is_what_its_parameters_say() {
    let case = serde_json::json!({
        "id": "unheard_of", "metric": "mean response ms", "expected": 4.0, "tolerance": 0.2,
        "parameters": { "lambda_rps": 75, "service_mean_ms": 10, "workers": 2 },
    });
    let answer = answer_case(&case, Effort { requests: 20_000.0, threads: 0 });
    // M/M/2 at a load of 0.375: the service time over 1 - 0.375^2.
    let observed = answer["observed"].as_f64().unwrap();
    assert!((observed / (10.0 / (1.0 - 0.375 * 0.375)) - 1.0).abs() < 0.05, "{answer}");
    let mut odd = case;
    odd["parameters"]["phase_of_the_moon"] = 1.into();
    let answer = answer_case(&odd, Effort::default());
    assert!(answer["unsupported"].as_str().unwrap().contains("phase_of_the_moon"), "{answer}");
}
