//! `meshproof test`: written tests of a mesh.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod common;

use std::fs;

use common::{copy_of, meshproof, scratch};
use serde_json::Value;

/// Runs the tests of a folder that holds this file beside the manifests of bookinfo.
fn run(name: &str, tests: &str) -> (i32, Value, String) {
    let folder = scratch(name);
    let mesh = format!("{}/topologies/bookinfo", env!("CARGO_MANIFEST_DIR"));
    let text = format!("Tests(version: 1, mesh: {mesh:?}, tests: [{tests}])");
    fs::write(folder.join("a.test.ron"), text).unwrap();
    let answer = meshproof(&["test", folder.to_str().unwrap(), "--format", "json"]);
    (answer.code, serde_json::from_str(&answer.out).unwrap_or_default(), answer.err)
}

#[test]
fn the_shipped_tests_pass_and_touch_every_route_and_policy() {
    let answer = meshproof(&["test", "topologies/bookinfo", "--format", "json"]);
    let report = answer.json();
    assert_eq!(answer.code, 0, "{report:#}");
    let coverage = &report["coverage"]["topologies/bookinfo"];
    for what in ["routes", "policies"] {
        assert_eq!(coverage[what]["covered"], coverage[what]["of"], "{coverage:#}");
    }
}

#[test]
fn a_change_of_the_mesh_fails_the_tests_that_it_breaks() {
    let changes = [("routing.yaml", "weight: 90", "weight: 50"), ("routing.yaml", "weight: 10", "weight: 50")];
    let folder = copy_of("bookinfo", "changed-for-tests", &changes);
    let answer = meshproof(&["test", folder.to_str().unwrap(), "--format", "json"]);
    let report = answer.json();
    assert_eq!(answer.code, 1, "{}", answer.err);
    let failed: Vec<&Value> =
        report["tests"].as_array().unwrap().iter().filter(|test| test["failures"] != serde_json::json!([])).collect();
    assert_eq!(failed.len(), 1, "{failed:#?}");
    assert_eq!(failed[0]["name"], "one in ten of all others gets the third");
}

#[test]
fn what_differs_is_said() {
    let ask = |expect: &str| {
        format!(
            "Request(name: \"r\", from: (workload: \"default/productpage-v1\"), to: (host: \"reviews\", port: 9080), \
             expect: {expect})"
        )
    };
    let property = |rest: &str| format!("Property(name: \"p\", {rest})");
    let objective = |rest: &str| format!("Objective(name: \"o\", {rest})");
    let table = [
        (ask("(allowed: false)"), "allowed: expected false, got true"),
        (ask("(status: 403)"), "status: expected 403, got none"),
        (ask("(route: \"VirtualService default/details\")"), "got \"VirtualService default/reviews/1\""),
        (ask("(backends: [(host: \"reviews\", subset: \"v1\")])"), "subset v3 weight 10"),
        (ask("()"), "nothing is expected"),
        (property("code: \"MP0401\", verdict: Violated"), "expected Violated, got no such verdict"),
        (property("code: \"MP9999\", verdict: Holds"), "no rule has the code `MP9999`"),
        (
            property("code: \"MP0401\", subject: \"service default/ratings\", verdict: Holds, values: {\"bound\": 3}"),
            "\"bound\":4",
        ),
        (property("code: \"MP0401\", verdict: Holds, at_most: {\"bound\": 3}"), "bound: expected at most 3, got 4"),
        (property("code: \"MP0401\", verdict: Holds, at_most: {\"bond\": 4}"), "bond: expected at most 4, got null"),
        (objective("scenario: \"steady\", objectives: [\"ratings.attempts_per_request <= 0.5\"]"), "missed: "),
        (objective("scenario: \"stedy\""), "no scenario `stedy`"),
    ];
    let all: Vec<&str> = table.iter().map(|(test, _)| test.as_str()).collect();
    let (code, report, err) = run("differences", &all.join(", "));
    assert_eq!(code, 1, "{err}");
    for (test, (asked, part)) in report["tests"].as_array().unwrap().iter().zip(&table) {
        let said = test["failures"].to_string().replace("\\\"", "\"");
        assert!(said.contains(part), "{part} in {said} for {asked}");
    }
}

#[test]
fn what_cannot_be_read_has_its_place() {
    let (code, _, err) = run("unread", "Request(name: \"r\", too: (), expect: ())");
    assert_eq!(code, 2);
    assert!(err.contains("a.test.ron:1:") && err.contains("did you mean `to`?"), "{err}");
    let empty = scratch("no-tests");
    let answer = meshproof(&["test", empty.to_str().unwrap()]);
    assert_eq!(answer.code, 2);
    assert!(answer.err.contains("no tests in"), "{}", answer.err);
}

#[test]
fn junit_and_the_table_tell_the_same() {
    let table = meshproof(&["test", "topologies/bookinfo"]).out;
    let junit = meshproof(&["test", "topologies/bookinfo", "--format", "junit"]).out;
    let passed = table.lines().filter(|line| line.starts_with("ok ")).count();
    assert_eq!(junit.matches("<testcase").count(), passed);
    assert!(table.ends_with(&format!("{passed} passed, 0 failed\n")), "{table}");
}

/// Takes the tests of requests away from a copy of a mesh, and has them suggested again.
fn suggested(mesh: &str, name: &str, changes: &[(&str, &str, &str)]) -> (String, Value) {
    let folder = copy_of(mesh, name, changes);
    let tests = folder.join(format!("{mesh}.test.ron"));
    let _ = fs::remove_file(&tests);
    let folder = folder.to_str().unwrap();
    let answer = meshproof(&["test", "--suggest", folder]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    fs::write(&tests, &answer.out).unwrap();
    let report = meshproof(&["test", folder, "--format", "json"]);
    assert_eq!(report.code, 0, "{}\n{}", answer.out, report.out);
    let report = report.json();
    let again = meshproof(&["test", "--suggest", folder]).out;
    assert!(again.lines().all(|line| line.starts_with("//")), "{again}");
    (answer.out, report["coverage"][folder].clone())
}

#[test]
fn suggested_tests_pass_and_touch_what_no_test_touched() {
    for mesh in ["bookinfo", "locked-shop", "canary"] {
        let (text, coverage) = suggested(mesh, &format!("suggested-{mesh}"), &[]);
        for what in ["routes", "policies"] {
            assert_eq!(coverage[what]["covered"], coverage[what]["of"], "{mesh}: {coverage:#}\n{text}");
        }
    }
}

#[test]
fn a_route_that_takes_nothing_has_no_test_and_is_named() {
    let all = "  - name: all\n    route: [{destination: {host: reviews, subset: v1}}]\n  - name: testers";
    let (text, coverage) = suggested("bookinfo", "suggested-dead", &[("routing.yaml", "  - name: testers", all)]);
    let dead = ["VirtualService default/reviews/1", "VirtualService default/reviews/2"];
    assert_eq!(coverage["routes"]["missing"], serde_json::json!(dead), "{text}");
    for name in dead {
        assert!(text.contains(&format!("no request was found for {name}")), "{text}");
    }
}
