//! The formats of `verify` that other programs read.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod common;

use common::{meshproof, meshproof_with_input};
use serde_json::Value;

const BROKEN: &str = "topologies/bookinfo-broken";
/// Retries under a `DestinationRule`, which are misplaced, under a suppression.
const SUPPRESSED: &str = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: a, namespace: \
                          shop}\nspec:\n  host: a.example\n  retries: {attempts: 2} # meshproof: ignore MP0103 \
                          reason=\"known to the team\"\n";

fn render(format: &str) -> String {
    meshproof(&["verify", BROKEN, "--format", format, "--no-timing"]).out
}

fn findings() -> Vec<Value> {
    let json: Value = serde_json::from_str(&render("json")).unwrap();
    json["findings"].as_array().unwrap().clone()
}

/// The OASIS schema, from a copy beside this test.
fn check_sarif(document: &Value) {
    let (mut schemas, mut compiler) = (boon::Schemas::new(), boon::Compiler::new());
    compiler.set_default_draft(boon::Draft::V7);
    let schema: Value = serde_json::from_str(include_str!("sarif/sarif-schema-2.1.0.json")).unwrap();
    compiler.add_resource("sarif.json", schema).unwrap();
    let index = compiler.compile("sarif.json", &mut schemas).unwrap();
    let outcome = schemas.validate(document, index).map_err(|error| format!("{error:#}"));
    assert_eq!(outcome, Ok(()));
}

#[test]
fn sarif_is_valid_and_tells_the_witness_step_by_step() {
    let document: Value = serde_json::from_str(&render("sarif")).unwrap();
    check_sarif(&document);
    let run = &document["runs"][0];
    let results = run["results"].as_array().unwrap();
    let findings = findings();
    assert_eq!(results.len(), findings.len());
    for (result, finding) in results.iter().zip(&findings) {
        assert_eq!(result["ruleId"], finding["code"]);
        let rule = usize::try_from(result["ruleIndex"].as_u64().unwrap()).unwrap();
        assert_eq!(run["tool"]["driver"]["rules"][rule]["id"], finding["code"]);
        assert_eq!(result["partialFingerprints"]["meshproof/v1"], finding["fingerprint"]);
        let place = &result["locations"][0]["physicalLocation"];
        assert_eq!(place["artifactLocation"]["uri"], finding["location"]["file"]);
        assert_eq!(place["region"]["startLine"], finding["location"]["line"]);
        let steps = finding["witness"]["steps"].as_array().map_or(0, Vec::len);
        let shown = result["codeFlows"][0]["threadFlows"][0]["locations"].as_array().map_or(0, Vec::len);
        assert_eq!(shown, steps, "{}", finding["message"]);
    }
    assert!(findings.iter().any(|finding| finding["witness"]["steps"].as_array().is_some_and(|s| !s.is_empty())));
}

#[test]
fn sarif_shows_what_is_suppressed_and_why() {
    let args = ["verify", "-", "--format", "sarif", "--no-timing", "--select", "MP0103,MP0190"];
    let answer = meshproof_with_input(&args, SUPPRESSED);
    let document: Value = serde_json::from_str(&answer.out).unwrap();
    check_sarif(&document);
    let results = document["runs"][0]["results"].as_array().unwrap();
    assert_eq!(results.len(), 1, "{results:?}");
    assert_eq!(results[0]["suppressions"][0]["justification"], "known to the team");
    assert_eq!(answer.code, 0, "what is suppressed does not fail: {}", answer.err);
}

#[test]
fn an_invalid_document_would_be_noticed() {
    let mut document: Value = serde_json::from_str(&render("sarif")).unwrap();
    document["runs"][0]["results"][0]["level"] = "fatal".into();
    assert!(std::panic::catch_unwind(|| check_sarif(&document)).is_err());
}

#[test]
fn gitlab_entries_have_a_place_and_a_fingerprint_each() {
    let entries: Vec<Value> = serde_json::from_str(&render("gitlab")).unwrap();
    assert_eq!(entries.len(), findings().len());
    let mut prints: Vec<&str> = entries.iter().map(|entry| entry["fingerprint"].as_str().unwrap()).collect();
    prints.sort_unstable();
    prints.dedup();
    assert_eq!(prints.len(), entries.len());
    for entry in &entries {
        assert!(entry["location"]["lines"]["begin"].as_u64().unwrap() > 0, "{entry}");
        assert!(["critical", "major", "info"].contains(&entry["severity"].as_str().unwrap()), "{entry}");
    }
}

#[test]
fn junit_counts_what_fails() {
    let text = render("junit");
    let failures = findings().iter().filter(|finding| finding["severity"] == "error").count();
    assert_eq!(text.matches("<failure").count(), failures);
    assert!(text.contains(&format!("failures=\"{failures}\"")), "{text}");
    let json: Value = serde_json::from_str(&render("json")).unwrap();
    let cases = findings().len() + json["proofs"].as_array().unwrap().len();
    assert_eq!(text.matches("<testcase").count(), cases);
}

#[test]
fn markdown_has_a_row_for_each_finding_and_tells_how_to_replay() {
    let text = render("markdown");
    let rows = text.lines().filter(|line| line.starts_with("| error |") || line.starts_with("| warning |")).count();
    let shown = findings().iter().filter(|finding| finding["severity"] != "info").count();
    assert_eq!(rows, shown);
    for part in
        ["```mermaid", "meshproof simulate topologies/bookinfo-broken --scenario witnesses/witness-MP0401-1.ron"]
    {
        assert!(text.contains(part), "{part} in {text}");
    }
}

#[test]
fn the_page_is_self_contained_and_escapes_what_users_write() {
    let hostile = SUPPRESSED.replace("a.example", "<script>alert(1)</script>").replace("# meshproof", "# no");
    let text = meshproof_with_input(&["verify", "-", "--format", "html", "--no-timing"], &hostile).out;
    assert!(text.starts_with("<!DOCTYPE html>"));
    assert!(text.contains("&lt;script&gt;"), "{text}");
    for foreign in ["<script", "http://", "https://", "src="] {
        assert!(!text.contains(foreign), "{foreign} in {text}");
    }
}

#[test]
fn every_format_goes_where_its_output_says() {
    let folder = common::scratch("formats");
    let (sarif, junit) = (folder.join("a.sarif"), folder.join("a.xml"));
    let paths = [sarif.to_str().unwrap(), junit.to_str().unwrap()];
    let args = ["verify", BROKEN, "--format", "sarif", "--output", paths[0], "--format", "junit", "--output", paths[1]];
    let answer = meshproof(&args);
    assert_eq!((answer.code, answer.out.as_str()), (1, ""), "{}", answer.err);
    assert!(std::fs::read_to_string(sarif).unwrap().contains("\"2.1.0\""));
    assert!(std::fs::read_to_string(junit).unwrap().contains("<testsuites"));
}
