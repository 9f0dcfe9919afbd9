//! The 44 typical mistakes: each is found. The thirtieth is `SE-2`: rules for requests on a port that passes TLS on.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod common;

use std::{fs, path::Path};

use common::meshproof_with_input;

#[test]
fn typical_mistakes_are_found() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/mistakes");
    let mut faults = Vec::new();
    for number in 1..=44 {
        let text = fs::read_to_string(folder.join(format!("{number:02}.yaml"))).unwrap();
        let (title, rest) = text.split_once('\n').unwrap();
        let wanted = rest.lines().next().unwrap();
        let code = wanted.strip_prefix("# expect: ").unwrap();
        let json = meshproof_with_input(&["verify", "-", "--format", "json"], &text).json();
        let found: Vec<_> = json["findings"].as_array().unwrap().iter().map(|f| f["code"].clone()).collect();
        if !found.iter().any(|own| own == code) {
            faults.push(format!("{number} {title}: {code} is not among {found:?}"));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}
