//! Every decision case recorded from the real Envoy, replayed through the proxy core.

#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "a test stops where something is missing, and prints")]

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use meshproof_conformance::{judge, replay, replay_case};
use serde_json::Value;

const FOLDER: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/envoy");

/// Every recorded case: by area, then those that showed a difference when they were first recorded.
fn cases() -> Vec<Value> {
    let files = |folder| fs::read_dir(format!("{FOLDER}/{folder}")).unwrap().map(|file| file.unwrap().path());
    let mut files: Vec<_> = files("vectors").chain(files("found")).collect();
    files.sort();
    files
        .iter()
        .flat_map(|file| serde_json::from_str::<Vec<Value>>(&fs::read_to_string(file).unwrap()).unwrap())
        .collect()
}

/// Ids that are known to differ, each on a line of its own, with the reason after a colon.
fn known_differences() -> BTreeSet<String> {
    let text = fs::read_to_string(format!("{FOLDER}/known-differences.txt")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines
        .map(|line| {
            let (id, reason) = line.split_once(": ").unwrap();
            assert!(!reason.is_empty(), "{id} has no reason");
            id.to_owned()
        })
        .collect()
}

#[test]
fn recorded_cases_replay() {
    let mut areas = BTreeMap::<String, [u32; 2]>::new();
    let mut failed = BTreeSet::new();
    for case in cases() {
        let id = case["id"].as_str().unwrap();
        let answer = replay_case(&case);
        let differences = match answer["unsupported"].as_str() {
            Some(reason) => vec![format!("unsupported: {reason}")],
            None => judge(&case, &answer["observed"]),
        };
        let area = areas.entry(case["area"].as_str().unwrap().to_owned()).or_default();
        area[usize::from(!differences.is_empty())] += 1;
        if !differences.is_empty() {
            println!("{id}\n    {}", differences.join("\n    "));
            failed.insert(id.to_owned());
        }
    }
    println!("{:<20}{:>8}{:>8}", "area", "passed", "failed");
    for (area, [passed, failed]) in &areas {
        println!("{area:<20}{passed:>8}{failed:>8}");
        assert!(f64::from(*passed) >= 0.97 * f64::from(passed + failed), "{area}: too many differences");
    }
    let [passed, differing] = [0, 1].map(|index| areas.values().map(|counts| counts[index]).sum::<u32>());
    println!("{:<20}{passed:>8}{differing:>8}", "all");
    assert!(f64::from(passed) >= 0.99 * f64::from(passed + differing), "too many differences");
    assert_eq!(failed, known_differences(), "known-differences.txt must list exactly the cases that differ");
}

#[test]
fn replay_gives_the_same_bytes_and_names_what_it_cannot_do() {
    let mut cases: Vec<_> = cases().into_iter().step_by(40).collect();
    let mut odd = cases[0].clone();
    odd["id"] = Value::from("odd");
    odd["config"]["surprise"] = Value::from(1);
    cases.push(odd);
    let input = serde_json::to_vec(&cases).unwrap();
    let [first, second] = [(), ()].map(|()| {
        let mut output = Vec::new();
        replay(&input[..], &mut output).unwrap();
        String::from_utf8(output).unwrap()
    });
    assert_eq!(first, second);
    let last: Value = serde_json::from_str(first.lines().last().unwrap()).unwrap();
    assert_eq!(last["id"], "odd");
    assert!(last["unsupported"].as_str().unwrap().contains("surprise"), "{last}");
    assert!(replay(&b"{}"[..], Vec::new()).is_err());
}
