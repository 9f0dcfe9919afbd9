//! Replays recorded cases and shows how they differ from the recording.
//!
//! `cargo run -p meshproof-conformance --example replay -- [AREA or part of an id]... [--file=CASES] [--observed]`
#![allow(clippy::print_stdout, clippy::unwrap_used, reason = "an example prints")]

use std::collections::BTreeMap;

use meshproof_conformance::{judge, replay_case};
use serde_json::Value;

fn main() {
    let (flags, wanted): (Vec<_>, Vec<_>) = std::env::args().skip(1).partition(|word| word.starts_with("--"));
    let mut areas = BTreeMap::<String, [usize; 2]>::new();
    let file = flags.iter().find_map(|flag| flag.strip_prefix("--file="));
    for case in file.map_or_else(cases, read) {
        let (id, area) = (case["id"].as_str().unwrap(), case["area"].as_str().unwrap());
        if !wanted.is_empty() && !wanted.iter().any(|word| area == word || id.contains(word.as_str())) {
            continue;
        }
        let answer = replay_case(&case);
        let differences = match answer["unsupported"].as_str() {
            Some(reason) => vec![format!("unsupported: {reason}")],
            None => judge(&case, &answer["observed"]),
        };
        areas.entry(area.to_owned()).or_default()[usize::from(!differences.is_empty())] += 1;
        if !differences.is_empty() {
            println!("FAIL {id}");
            for difference in differences.iter().take(12) {
                println!("     {difference}");
            }
        }
        if flags.iter().any(|flag| flag == "--observed") {
            println!("{}", serde_json::to_string_pretty(&answer).unwrap());
        }
    }
    println!("{:<20}{:>8}{:>8}", "area", "passed", "failed");
    for (area, [passed, failed]) in &areas {
        println!("{area:<20}{passed:>8}{failed:>8}");
    }
    let sum = |index: usize| areas.values().map(|counts| counts[index]).sum::<usize>();
    println!("{:<20}{:>8}{:>8}", "all", sum(0), sum(1));
}

/// Every recorded case, by area.
fn cases() -> Vec<Value> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/envoy/vectors");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files.iter().flat_map(|file| read(file.to_str().unwrap())).collect()
}

fn read(file: &str) -> Vec<Value> {
    serde_json::from_str(&std::fs::read_to_string(file).unwrap()).unwrap()
}
