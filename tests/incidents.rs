//! Published incidents, restated as small meshes: each is found, and its mended twin is silent.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod common;

use common::judged;

const INCIDENTS: &[(&str, &str)] = &[
    ("knative-serving-7791", "MP0402"),
    ("knative-serving-2528", "MP0401"),
    ("kserve-808", "MP0401"),
    ("kserve-1663", "MP0402"),
    ("istio-55748", "MP0404"),
    ("istio-13167", "MP0403"),
    ("istio-21137", "MP0402"),
    ("istio-40299", "MP0232"),
    // Nobody else tells these.
    ("ejection-of-less-than-one", "MP0501"),
    ("limit-per-proxy", "MP0502"),
];

/// Codes of findings that are worse than remarks, with their messages.
fn found(name: &str, mesh: &str) -> Vec<(String, String)> {
    let answer = judged(&["verify", "-", "--format", "json"], mesh);
    assert!(answer.code < 2, "{name}: {}", answer.err);
    let report = answer.json();
    let findings = report["findings"].as_array().unwrap().iter();
    let worse = findings.filter(|finding| finding["severity"] != "info");
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    worse.map(|finding| (text(&finding["code"]), text(&finding["message"]))).collect()
}

#[test]
fn incidents_are_found_and_their_mended_twins_are_silent() {
    for (name, code) in INCIDENTS {
        let path = format!("{}/tests/incidents/{name}.yaml", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(path).unwrap();
        let (bad, good) = text.split_once("# bad\n").unwrap().1.split_once("# good\n").unwrap();
        let (bad, good) = (found(name, bad), found(name, good));
        assert!(bad.iter().any(|(known, _)| known == code), "{name}: {bad:?}");
        assert_eq!(good, [], "{name}");
    }
}
