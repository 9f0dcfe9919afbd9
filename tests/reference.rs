//! The page of files and flags has all of them.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod common;

use std::collections::BTreeSet;

use common::{commands, meshproof};
use serde_json::Value;

const PAGE: &str = include_str!("../book/src/reference.md");

/// Whether the page has a word.
fn has(word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_' || c == '-';
    PAGE.match_indices(word)
        .any(|(at, _)| !PAGE[..at].ends_with(is_part) && !PAGE[at + word.len()..].starts_with(is_part))
}

/// The names of all fields and variants of a schema.
fn names(schema: &Value, into: &mut BTreeSet<String>) {
    if let Some(fields) = schema["properties"].as_object() {
        into.extend(fields.keys().cloned());
    }
    match schema {
        Value::Object(parts) => parts.values().for_each(|part| names(part, into)),
        Value::Array(parts) => parts.iter().for_each(|part| names(part, into)),
        _ => {}
    }
}

#[test]
fn every_field_of_our_files_is_on_the_page() {
    for file in ["mesh", "scenario", "settings"] {
        let mut all = BTreeSet::new();
        names(&meshproof(&["schema", file]).json(), &mut all);
        assert!(all.len() > 5, "{all:?}");
        let missing: Vec<&String> = all.iter().filter(|name| !has(name)).collect();
        assert!(missing.is_empty(), "{file}: {missing:?}");
    }
}

#[test]
fn every_flag_of_every_command_is_on_the_page() {
    let mut missing = BTreeSet::new();
    for command in commands() {
        for line in meshproof(&[&command, "--help"]).out.lines() {
            let flag =
                line.trim().trim_start_matches("-q, ").trim_start_matches("-H, ").split(' ').next().unwrap_or_default();
            let is_common = ["--help", "--version"].contains(&flag);
            if flag.starts_with("--") && !is_common && !has(flag) {
                missing.insert(format!("{command} {flag}"));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}
