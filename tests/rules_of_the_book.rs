//! Every rule of the chapter on semantics, and every case of it, is cited by a test or listed as not modelled.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

use std::{collections::BTreeSet, fs, path::Path};

#[test]
fn every_rule_is_cited_or_listed() {
    let mut tests = String::new();
    collect(Path::new(env!("CARGO_MANIFEST_DIR")), &mut tests);
    let words: BTreeSet<String> = tests
        .split(|c: char| !c.is_ascii_alphanumeric() && c != '-')
        .chain(tests.split(|c: char| !c.is_ascii_alphanumeric()))
        .map(|word| word.to_ascii_lowercase().replace('-', ""))
        .collect();
    let mut uncited = Vec::new();
    for line in include_str!("rules.txt").lines().filter(|line| !line.starts_with('#')) {
        match line.split_once(": ") {
            Some((_, reason)) => assert!(!reason.trim().is_empty(), "{line}"),
            None if words.contains(&line.to_ascii_lowercase().replace('-', "")) => {}
            None => uncited.push(line),
        }
    }
    assert!(uncited.is_empty(), "no test cites {uncited:?}");
}

/// The text of all tests: files of test folders, and modules of tests in other files.
fn collect(folder: &Path, tests: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap().to_owned();
        if path.is_dir() {
            if !name.starts_with('.') && name != "target" {
                collect(&path, tests);
            }
        } else if path.extension().is_some_and(|extension| extension == "rs") && name != "rules_of_the_book.rs" {
            let text = fs::read_to_string(&path).unwrap();
            let is_test = path.components().any(|part| part.as_os_str() == "tests") || name == "tests.rs";
            let from = if is_test { Some(0) } else { text.find("#[cfg(test)]") };
            tests.push_str(from.map_or("", |from| &text[from..]));
            tests.push('\n');
        }
    }
}
