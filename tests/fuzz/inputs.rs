//! What comes in on standard input: decision cases, experiments, cases with known answers, questions.

use std::{fs, sync::LazyLock};

use meshproof::{
    analytic::{Effort, answer_case},
    decide::{Decider, Prepared, Question},
};
use meshproof_conformance::{experiment, replay_case};
use proptest::{prelude::*, sample::Index};
use serde_json::{Value, json};

use super::{BOOKINFO, cases, shipped};

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

/// A document with oddities at some places.
fn changed(mut document: Value, odd: Vec<(Index, Value)>) -> Value {
    for (at, value) in odd {
        let mut all = Vec::new();
        pointers(&document, "", &mut all);
        *document.pointer_mut(&all[at.index(all.len())]).unwrap() = value;
    }
    document
}

/// Recorded experiments, made small.
static EXPERIMENTS: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let folder = format!("{}/tests/envoy/experiments", env!("CARGO_MANIFEST_DIR"));
    let files = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let small = files.map(|file| {
        let mut read: Value = serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap();
        read["load"]["rate_rps"] = json!(5);
        read["load"]["duration_s"] = json!(1);
        read.as_object_mut().unwrap().retain(|name, _| !["runs", "summary", "envoy"].contains(&name.as_str()));
        read
    });
    small.collect()
});

/// Cases whose answer is known.
static KNOWN: LazyLock<Vec<Value>> = LazyLock::new(|| {
    let all: Value = serde_json::from_str(&shipped("tests/analytic/cases.json")).unwrap();
    ["cases", "metastable_cases"].iter().filter_map(|name| all[name].as_array()).flatten().cloned().collect()
});

/// Questions that use every member.
fn questions() -> Vec<Value> {
    let request = json!({
        "protocol": "http", "method": "GET", "path": "/a?b=c", "host": "reviews", "scheme": "http",
        "headers": {"end-user": "jason", "x": ["1", "2"]}, "sni": "a.example",
        "claims": {"iss": "i", "sub": "s", "aud": ["a"], "a": {"b": "c"}}, "metadata": {"filter": {"key": "value"}},
    });
    let from = json!({"workload": "default/productpage-v1", "ip": "10.0.0.1", "remote_ip": "10.0.0.2"});
    let named = json!({"principal": "cluster.local/ns/default/sa/bookinfo-productpage", "ip": "10.0.0.1"});
    vec![
        json!({"id": "a", "from": from, "to": {"host": "reviews", "port": 9080}, "request": request}),
        json!({"id": "b", "from": named, "to": {"workload": "default/ratings-v1", "port": 9080, "ip": "10.0.0.3"},
            "request": request}),
        json!({"id": "c", "to": {"gateway": "default/bookinfo-gateway", "port": 8080},
            "request": {"host": "bookinfo.example.com", "path": "/productpage"}}),
    ]
}

proptest! {
    #![proptest_config(cases(40, 30_000))]

    #[test]
    fn decision_cases_are_answered(case in any::<Index>(), odd in oddities()) {
        let case = changed(CASES[case.index(CASES.len())].clone(), odd);
        let answer = replay_case(&case);
        prop_assert!(answer.get("observed").is_some() != answer.get("unsupported").is_some(), "{}", answer);
        prop_assert_eq!(replay_case(&case), answer);
    }

    #[test]
    fn questions_are_answered_the_same_twice_or_refused(question in prop::sample::select(questions()), odd in oddities()) {
        let Ok(question) = serde_json::from_value::<Question>(changed(question, odd)) else { return Ok(()) };
        let prepared = Prepared::with_questions(&BOOKINFO, [&question]);
        let decider = Decider::new(&prepared);
        let answer = json!(decider.answer(&question));
        prop_assert_eq!(json!(decider.answer(&question)), answer);
    }
}

proptest! {
    #![proptest_config(cases(10, 3_000))]

    #[test]
    fn experiments_are_answered(case in any::<Index>(), odd in oddities()) {
        let case = changed(EXPERIMENTS[case.index(EXPERIMENTS.len())].clone(), odd);
        let mut out = Vec::new();
        experiment(json!([case]).to_string().as_bytes(), &mut out).unwrap();
        let answer: Value = serde_json::from_slice(&out).unwrap();
        prop_assert!(answer.get("summary").is_some() != answer.get("unsupported").is_some(), "{}", answer);
    }

    #[test]
    fn cases_with_known_answers_are_answered(case in any::<Index>(), odd in oddities()) {
        let case = changed(KNOWN[case.index(KNOWN.len())].clone(), odd);
        let answer = answer_case(&case, Effort { requests: 2000.0, threads: 1 });
        let is_answer = ["observed", "runs", "unsupported"].map(|name| answer.get(name).is_some());
        prop_assert_eq!(is_answer.into_iter().filter(|is| *is).count(), 1, "{}", answer);
    }
}
