//! Each rule's page has a mesh that the rule finds fault with, and one that it does not; both are judged here.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod common;

use common::{judged, meshproof};
use meshproof::pages::page;
use meshproof_model::RULES;

#[test]
fn both_examples_of_each_rule_are_what_they_are_said_to_be() {
    let mut faults = Vec::new();
    // What a simulation judges is shown by scenarios, not by manifests.
    for rule in RULES.iter().filter(|rule| rule.code != "MP0901") {
        let Some(page) = page(rule.code) else {
            faults.push(format!("{} has no examples", rule.code));
            continue;
        };
        let fires = |input: &str| {
            let mut args = vec!["verify", "-", "--format", "json"];
            args.extend(page.flags.split_whitespace());
            let found = judged(&args, input).json();
            found["findings"].as_array().unwrap().iter().any(|finding| finding["code"] == rule.code)
        };
        if !fires(page.bad) {
            faults.push(format!("{}: the bad example is not found", rule.code));
        }
        if fires(page.good) {
            faults.push(format!("{}: the good example is", rule.code));
        }
    }
    assert!(faults.is_empty(), "{faults:#?}");
}

#[test]
fn a_page_shows_both() {
    let answer = meshproof(&["explain", "MP0301"]);
    assert!(answer.out.contains("\nBad:\n") && answer.out.contains("\nGood:\n"), "{}", answer.out);
}

/// `MESHPROOF_BLESS=1` writes the page.
#[test]
fn the_book_has_every_rule() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/book/src/rules.md");
    let printed = meshproof(&["rules", "--format", "markdown"]).out;
    if std::env::var_os("MESHPROOF_BLESS").is_some() {
        std::fs::write(path, &printed).unwrap();
    }
    assert_eq!(std::fs::read_to_string(path).unwrap(), printed, "write it anew with MESHPROOF_BLESS=1");
    for rule in RULES {
        assert!(printed.contains(&format!("### {} {}\n", rule.code, rule.name)), "{}", rule.code);
    }
}
