//! The crate graph is a table; a new edge is a reviewed change to this file.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

use std::fs;

const ALLOWED: &[(&str, &[&str])] = &[
    ("proxy", &[]),
    ("conformance", &["proxy"]),
    ("model", &["proxy"]),
    ("import", &["model"]),
    ("sim", &["model", "proxy"]),
    ("verifier", &["model", "proxy"]),
];

/// The normal dependencies among our own crates that a manifest names.
fn edges(folder: &str) -> Vec<String> {
    let path = format!("{}/{folder}/Cargo.toml", env!("CARGO_MANIFEST_DIR"));
    let manifest = fs::read_to_string(path).unwrap();
    let normal = manifest.split("[dev-dependencies]").next().unwrap();
    let names = normal.lines().filter_map(|line| line.strip_prefix("meshproof-"));
    names.filter_map(|rest| rest.split([' ', '.', '=']).next()).map(str::to_owned).collect()
}

#[test]
fn crates_depend_only_on_what_the_table_allows() {
    for (folder, allowed) in ALLOWED {
        for edge in edges(folder) {
            assert!(allowed.contains(&edge.as_str()), "{folder} -> {edge} is not in the table: see ARCHITECTURE.md");
        }
    }
}

#[test]
fn the_table_names_every_crate() {
    let manifest = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml")).unwrap();
    let members = manifest.lines().find(|line| line.starts_with("members")).unwrap();
    for member in members.split('"').skip(1).step_by(2) {
        assert!(ALLOWED.iter().any(|(folder, _)| *folder == member), "{member} is missing from the table");
    }
}
