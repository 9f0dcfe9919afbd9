//! Whatever a file of ours holds, it is read or refused with a place; nothing panics, and what is read can be written.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

use std::{fs, sync::LazyLock};

use meshproof::Project;
use meshproof_conformance::replay_case;
use meshproof_import::ImportOptions;
use meshproof_model::{Mesh, Sources, read_behaviour, read_scenario, write_behaviour, write_scenario};
use meshproof_verifier::{Intents, VerifyOptions, verify};
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

fn cases(few: u32, many: u32) -> ProptestConfig {
    ProptestConfig::with_cases(if std::env::var_os("MESHPROOF_SLOW").is_some() { many } else { few })
}

fn shipped(path: &str) -> String {
    fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

static BOOKINFO: LazyLock<Mesh> = LazyLock::new(|| {
    let path = format!("{}/topologies/bookinfo", env!("CARGO_MANIFEST_DIR"));
    Project::read(&[path], &ImportOptions::default()).unwrap().imported.mesh
});

static BEHAVIOUR: LazyLock<String> = LazyLock::new(|| shipped("topologies/bookinfo/mesh.ron"));

static SCENARIO: LazyLock<String> = LazyLock::new(|| shipped("topologies/bookinfo/scenarios/spike.ron"));

/// The examples of the language, and what we ship.
static INTENTS: LazyLock<String> = LazyLock::new(|| {
    let shipped = shipped("topologies/locked-shop/rules.intent");
    shipped
        + "let callers = workloads minus {reviews-v1};\n\
           assert \"fence\" (severity = warning, timeout = 9 ops): for all r in requests from callers to {ratings}: then not allowed(r);\n\
           assert \"surge\": for all s in {ratings}: when surge <= 5x for 10s then within 60s goodput(s) >= 0.99 * demand(s);\n\
           assert \"zones\": for all f in failures up to 1 zones: for all s in {ratings}: then up(s, f) and load(s, f) <= capacity(s, f);\n\
           assert \"paths\": for all p in paths from {ingress} to {ratings}: then worst_latency(p) <= 2s;\n\
           assert \"same\": for all q in requests: then destination(q) unchanged since git(\"main\") except {ratings};\n"
});

/// Recorded cases of the real Envoy, each tenth.
static CASES: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let folder = format!("{}/tests/envoy/vectors", env!("CARGO_MANIFEST_DIR"));
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let cases = files.iter().flat_map(|file| {
        let cases: Vec<Value> = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        cases.into_iter().step_by(10)
    });
    cases.collect()
});

/// What stands where something else stood.
fn splices() -> impl Strategy<Value = Vec<(Index, usize, String)>> {
    let words = [
        "",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'",
        ",",
        ":",
        ";",
        "-1",
        "0",
        "1e999",
        "NaN",
        "inf",
        "99999999999999999999",
        "\"5%\"",
        "\"-5ms\"",
        "\"1e30h\"",
        "Some(",
        "None",
        "//",
        "/*",
        "*/",
        "r#\"",
        "\\",
        "é",
        "\u{feff}",
        "\0",
        "for all ",
        "not ",
        "and ",
        "(((((((((((((((((((((((((",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        "\n",
    ];
    let text = prop_oneof![prop::sample::select(words.to_vec()).prop_map(str::to_owned), "\\PC{0,6}"];
    prop::collection::vec((any::<Index>(), 0_usize..12, text), 1..8)
}

fn spliced(text: &str, splices: Vec<(Index, usize, String)>) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for (at, length, with) in splices {
        let at = at.index(text.len().max(1)).min(text.len());
        let end = (at + length).min(text.len());
        text.splice(at..end, with.chars());
    }
    text.into_iter().collect()
}

/// A place of a text, from 1, at most one line behind its end.
fn is_place(text: &str, line: u32, column: u32) -> bool {
    line >= 1 && column >= 1 && line as usize <= text.split('\n').count() + 1
}

/// Values that a field is not meant for.
fn oddities() -> impl Strategy<Value = Vec<(Index, Value)>> {
    let odd = [
        json!(null),
        json!(true),
        json!(-1),
        json!(0),
        json!(1),
        json!(4_294_967_296_u64),
        json!(u64::MAX),
        json!(0.5),
        json!(1e308),
        json!(""),
        json!("é"),
        json!("\u{0}"),
        json!("1s"),
        json!("-1s"),
        json!("*"),
        json!("(("),
        json!([]),
        json!([[]]),
        json!({}),
        json!({"a": {}}),
    ];
    prop::collection::vec((any::<Index>(), prop::sample::select(odd.to_vec())), 1..5)
}

/// Every place of a document.
fn pointers(value: &Value, at: &str, into: &mut Vec<String>) {
    into.push(at.to_owned());
    match value {
        Value::Array(items) => {
            for (i, item) in items.iter().enumerate() {
                pointers(item, &format!("{at}/{i}"), into);
            }
        }
        Value::Object(fields) => fields.iter().for_each(|(name, field)| {
            pointers(field, &format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), into);
        }),
        _ => {}
    }
}

proptest! {
    #![proptest_config(cases(300, 60_000))]

    #[test]
    fn behaviour_is_read_or_refused_with_a_place(splices in splices()) {
        let text = spliced(&BEHAVIOUR, splices);
        match read_behaviour(&text) {
            Ok(behaviour) => {
                let mesh = Mesh { behaviour: behaviour.clone(), ..BOOKINFO.clone() };
                let _ = mesh.check_behaviour();
                prop_assert_eq!(read_behaviour(&write_behaviour(&behaviour).unwrap()), Ok(behaviour));
            }
            Err(error) => prop_assert!(is_place(&text, error.line, error.column), "{}", error),
        }
    }

    #[test]
    fn scenarios_are_read_or_refused_with_a_place(splices in splices()) {
        let text = spliced(&SCENARIO, splices);
        match read_scenario(&text) {
            Ok(scenario) => {
                let _ = BOOKINFO.check_scenario(&scenario);
                prop_assert_eq!(read_scenario(&write_scenario(&scenario).unwrap()), Ok(scenario));
            }
            Err(error) => prop_assert!(is_place(&text, error.line, error.column), "{}", error),
        }
    }
}

proptest! {
    #![proptest_config(cases(40, 30_000))]

    #[test]
    fn intents_are_judged_or_refused_with_a_place(splices in splices()) {
        let text = spliced(&INTENTS, splices);
        let mut sources = Sources::default();
        sources.add("x.intent", text.as_str());
        let options = VerifyOptions {
            intents: Intents::read(&sources),
            select: Some(["MP1001", "MP1002", "MP1003"].map(str::to_owned).to_vec()),
            rlimit: 100_000,
            ..VerifyOptions::default()
        };
        let report = verify(&BOOKINFO, &options);
        prop_assert_eq!(&report.disagreements, &Vec::<String>::new());
        for finding in &report.findings {
            let at = finding.location.as_ref().unwrap();
            prop_assert!(is_place(&text, at.line, at.column), "{}", finding.message);
        }
    }

    #[test]
    fn decision_cases_are_answered(case in any::<Index>(), odd in oddities()) {
        let mut case = CASES[case.index(CASES.len())].clone();
        for (at, value) in odd {
            let mut all = Vec::new();
            pointers(&case, "", &mut all);
            *case.pointer_mut(&all[at.index(all.len())]).unwrap() = value;
        }
        let answer = replay_case(&case);
        prop_assert!(answer.get("observed").is_some() != answer.get("unsupported").is_some(), "{}", answer);
        prop_assert_eq!(replay_case(&case), answer);
    }
}
