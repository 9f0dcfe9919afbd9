#![allow(clippy::unwrap_used, clippy::panic)]

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;

const TEXTS: [&str; 4] = ["/", "/a", "/a/b", "/A"];
const REGEXES: [&str; 4] = ["/a.*", "/(a|b)", "/.*", "/a/b"];

/// A value for each attribute; absent: none.
type Values = BTreeMap<Attribute, Option<String>>;

fn some_pattern() -> impl Strategy<Value = Pattern> {
    prop_oneof![
        (0..TEXTS.len()).prop_map(|text| Pattern::exact(TEXTS[text])),
        (0..TEXTS.len()).prop_map(|text| Pattern::Prefix(TEXTS[text].to_owned())),
        (0..REGEXES.len()).prop_map(|regex| Pattern::Regex(REGEXES[regex].to_owned())),
        Just(Pattern::Present),
    ]
}

fn some_block() -> impl Strategy<Value = Block> {
    let method = prop_oneof![Just("GET"), Just("PUT")];
    (
        proptest::option::of(some_pattern()),
        proptest::option::of(some_pattern()),
        proptest::option::of(method),
        proptest::option::of((some_pattern(), any::<bool>())),
    )
        .prop_map(|(path, folded, method, header)| {
            let mut block = Vec::new();
            block.extend(path.map(|pattern| Condition::new(Attribute::Path, pattern)));
            block.extend(folded.filter(|p| !matches!(p, Pattern::Regex(_))).map(|pattern| {
                let pattern = match pattern {
                    Pattern::Exact(text) => Pattern::Exact(text.to_ascii_lowercase()),
                    Pattern::Prefix(text) => Pattern::Prefix(text.to_ascii_lowercase()),
                    other => other,
                };
                Condition::new(Attribute::FoldedPath, pattern)
            }));
            block.extend(method.map(|method| Condition::new(Attribute::Method, Pattern::exact(method))));
            block.extend(header.map(|(pattern, negated)| Condition {
                negated,
                ..Condition::new(Attribute::Header("x".to_owned()), pattern)
            }));
            block
        })
}

/// Enough requests to tell any two sets of these patterns apart.
fn requests() -> Vec<Values> {
    let mut paths: Vec<String> = Vec::new();
    for text in TEXTS.iter().chain(&["/b", "/A/b", "/a/B", "/A/B"]) {
        paths.extend([(*text).to_owned(), format!("{text}~"), format!("{text}/~")]);
    }
    paths.sort();
    paths.dedup();
    let texts = TEXTS.iter().flat_map(|text| ["", "~"].map(|tail| format!("{text}{tail}")));
    let values: Vec<Option<String>> = [None, Some(String::new()), Some("~".to_owned()), Some("/b".to_owned())]
        .into_iter()
        .chain(texts.map(Some))
        .collect();
    let mut all = Vec::new();
    for path in &paths {
        for method in ["GET", "PUT", "POST"] {
            for value in &values {
                all.push(BTreeMap::from([
                    (Attribute::Path, Some(path.clone())),
                    (Attribute::FoldedPath, Some(path.to_ascii_lowercase())),
                    (Attribute::Method, Some(method.to_owned())),
                    (Attribute::Header("x".to_owned()), value.clone()),
                ]));
            }
        }
    }
    all
}

/// Whether a value is in a pattern; each answer is computed once.
fn contains(known: &mut BTreeMap<(Pattern, String), bool>, pattern: &Pattern, value: &str) -> bool {
    *known.entry((pattern.clone(), value.to_owned())).or_insert_with(|| pattern.contains(value).unwrap())
}

fn takes_it(known: &mut BTreeMap<(Pattern, String), bool>, block: &Block, request: &Values) -> bool {
    block.iter().all(|condition| {
        let absent_is_empty = condition.negated && !condition.any.contains(&Pattern::Present);
        let value = request[&condition.attribute].clone().or_else(|| absent_is_empty.then(String::new));
        let meets = value.is_some_and(|value| condition.any.iter().any(|p| contains(known, p, &value)));
        meets != condition.negated
    })
}

#[test]
fn z3_and_subsumption_agree_with_enumeration() {
    use proptest::{strategy::ValueTree as _, test_runner::TestRunner};

    let mut runner = TestRunner::deterministic();
    let strategy = proptest::collection::vec(proptest::collection::vec(some_block(), 1..3), 2..6);
    let requests = requests();
    let mut known = BTreeMap::new();
    let (mut dead, mut live, mut unions) = (0, 0, 0);
    let cases = crate::testing::cases(400);
    for _ in 0..cases {
        let rules: Vec<Vec<Block>> = strategy.new_tree(&mut runner).unwrap().current();
        let (rule, earlier) = rules.split_last().unwrap();
        let expected = requests.iter().any(|request| {
            rule.iter().any(|block| takes_it(&mut known, block, request))
                && !earlier.iter().flatten().any(|block| takes_it(&mut known, block, request))
        });
        let found = match reach(&super::earlier(earlier), rule, 1_000_000) {
            Reach::Takes(..) => true,
            Reach::Never => false,
            other => panic!("{other:?}: {rules:#?}"),
        };
        assert_eq!(found, expected, "{rules:#?}");
        *(if expected { &mut live } else { &mut dead }) += 1;
        if let Some(by) = coverers(earlier, rule) {
            assert!(!found, "subsumption by {by:?} is wrong: {rules:#?}");
        } else if !found {
            unions += 1;
        }
    }
    assert!(dead * 4 >= cases && live * 4 >= cases && unions >= 2, "both verdicts occur: {dead} {live} {unions}");
}
