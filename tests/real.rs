//! Findings on manifests that other projects publish, each judged by hand: `tests/real/findings.json`.
//!
//! The manifests are no part of this project. With `MESHPROOF_REAL` set to a folder with one folder for each
//! application, the list is compared with what is found there.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod common;

use std::{collections::BTreeSet, path::Path};

use common::meshproof;
use serde_json::Value;

#[test]
fn every_finding_is_judged() {
    let judged: Value = serde_json::from_str(include_str!("real/findings.json")).unwrap();
    let text = |row: &Value, key: &str| row[key].as_str().unwrap().to_owned();
    let mut wanted: BTreeSet<[String; 3]> = BTreeSet::new();
    for row in judged.as_array().unwrap() {
        assert!(!text(row, "reason").is_empty() && row["true"].is_boolean(), "{row}");
        wanted.insert(["application", "code", "resource"].map(|key| text(row, key)));
    }
    let Some(folder) = std::env::var_os("MESHPROOF_REAL") else { return };
    let mut found = BTreeSet::new();
    let applications: BTreeSet<String> = wanted.iter().map(|row| row[0].clone()).collect();
    for application in applications {
        let path = Path::new(&folder).join(&application);
        let answer = meshproof(&["verify", path.to_str().unwrap(), "--format", "json"]);
        for finding in answer.json()["findings"].as_array().unwrap() {
            let resource = &finding["resource"];
            let [kind, namespace, name] =
                ["kind", "namespace", "name"].map(|key| resource[key].as_str().unwrap_or_default());
            let place = if namespace.is_empty() { String::new() } else { format!("{namespace}/") };
            found.insert([application.clone(), text(finding, "code"), format!("{kind} {place}{name}")]);
        }
    }
    assert_eq!(found, wanted);
}
