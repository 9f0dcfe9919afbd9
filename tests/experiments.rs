//! System experiments recorded from the real Envoy under Poisson load, reproduced within the recorded spread: one
//! always, all of them where `MESHPROOF_SLOW` is set. The widths are those of `envoy/rig/compare_experiments.py`.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test stops where something is missing, and prints")]

use std::fs;

use meshproof_conformance::experiment;
use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/envoy/experiments");
/// The one that is always run.
const QUICK: &str = "canary-10.json";

/// How far a figure may lie outside of the recorded runs.
fn width(name: &str, highest: f64) -> f64 {
    if name.starts_with("latency_ms") {
        return if name.ends_with("p99") { 0.12 * highest + 6.0 } else { 0.08 * highest + 3.0 };
    }
    if name.ends_with("_per_request") { 0.05 * highest } else { 0.03 }
}

/// What lies outside of its width.
fn differences(recorded: &Value, observed: &Value) -> Vec<String> {
    let mut wrong = Vec::new();
    for (name, spread) in recorded.as_object().unwrap() {
        if let Some(seconds) = spread.as_array() {
            let is_off = |second: &&Value| {
                let same = observed[name].as_array().into_iter().flatten().find(|row| row["t_s"] == second["t_s"]);
                let fraction = same.and_then(|row| row["error_fraction"].as_f64());
                let (lowest, highest) = (second["min"].as_f64().unwrap(), second["max"].as_f64().unwrap());
                !fraction.is_some_and(|fraction| (lowest - 0.12..=highest + 0.12).contains(&fraction))
            };
            let off: Vec<&Value> = seconds.iter().filter(is_off).map(|second| &second["t_s"]).collect();
            if off.len() * 10 > seconds.len() {
                wrong.push(format!("{name}: seconds {off:?}"));
            }
            continue;
        }
        let (lowest, highest) = (spread["min"].as_f64().unwrap(), spread["max"].as_f64().unwrap());
        let width = width(name, highest);
        match observed[name].as_f64() {
            None if highest <= 0.02 => {}
            None => wrong.push(format!("{name}: not reported")),
            Some(figure) if (lowest - width..=highest + width).contains(&figure) => {}
            Some(figure) => wrong.push(format!("{name}: {figure} is not in {lowest}..{highest} ± {width}")),
        }
    }
    wrong
}

#[test]
fn recorded_experiments_are_reproduced() {
    let is_slow = std::env::var_os("MESHPROOF_SLOW").is_some();
    let mut files: Vec<_> = fs::read_dir(FOLDER).unwrap().map(|file| file.unwrap().path()).collect();
    files.sort();
    files.retain(|file| is_slow || file.ends_with(QUICK));
    let mut recorded: Vec<Value> =
        files.iter().map(|file| serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()).collect();
    let summaries: Vec<Value> = recorded.iter().map(|experiment| experiment["summary"].clone()).collect();
    for experiment in &mut recorded {
        let experiment = experiment.as_object_mut().unwrap();
        experiment.retain(|name, _| name != "runs" && name != "summary");
    }
    let mut output = Vec::new();
    experiment(Value::Array(recorded.clone()).to_string().as_bytes(), &mut output).unwrap();
    let answers: Vec<Value> =
        String::from_utf8(output).unwrap().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(answers.len(), summaries.len());
    let mut wrong = Vec::new();
    for (summary, answer) in summaries.iter().zip(&answers) {
        let differences = differences(summary, &answer["summary"]);
        println!("{}: {} figures, {} differ", answer["id"], summary.as_object().unwrap().len(), differences.len());
        wrong.extend(differences.into_iter().map(|difference| format!("{}: {difference}", answer["id"])));
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
