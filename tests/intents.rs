//! Intents on the command line: exit codes, the place of a finding, and the replay of the request that shows it.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod common;

use common::{copy_of, line_of, meshproof};

fn verify(path: &std::path::Path) -> common::Answer {
    meshproof(&["verify", path.to_str().unwrap(), "--format", "json", "--no-timing"])
}

#[test]
fn the_locked_shop_holds() {
    let answer = meshproof(&["verify", "topologies/locked-shop", "--format", "json", "--no-timing"]);
    let report = answer.json();
    assert_eq!((answer.code, &report["verdict"]), (0, &"holds".into()), "{}", answer.out);
    let proofs = report["proofs"].as_array().unwrap();
    let intents = proofs.iter().filter(|proof| proof["code"] == "MP1001").count();
    assert_eq!(intents, 18);
}

#[test]
fn a_broken_fence_is_shown_by_a_request_that_the_proxy_core_lets_pass() {
    let rule = "  selector: {matchLabels: {app: payments}}\n  rules:\n";
    let probe = format!("{rule}  - to: [{{operation: {{paths: [\"/healthz*\"]}}}}]\n");
    let folder = copy_of("locked-shop", "intents-fence", &[("security.yaml", rule, &probe)]);
    let answer = verify(&folder);
    assert_eq!(answer.code, 1, "{}", answer.err);
    let report = answer.json();
    let found = report["findings"].as_array().unwrap();
    let fence = found.iter().find(|finding| finding["values"]["intent"] == "payments fence").unwrap();
    assert_eq!(fence["code"], "MP1001");
    assert_eq!(fence["location"]["line"], line_of("locked-shop", "access.intent", "payments fence"));
    assert_eq!(fence["witness"]["kind"], "request");
    assert_eq!(fence["witness"]["replayed"], true);
    assert_eq!(fence["witness"]["request"]["request"]["path"], "/healthz");
    assert_eq!(fence["values"]["clients"], 10);
    let related = &fence["related"][0]["location"];
    assert_eq!(related["line"], line_of("locked-shop", "security.yaml", rule.lines().next().unwrap()) + 2);
}

#[test]
fn exit_codes_tell_bad_texts_and_empty_intents_apart() {
    let text = "assert \"no strangers\": for all w in workloads: then injected(w);\n";
    let intents = |name: &str, text: &str| {
        let folder = copy_of("locked-shop", name, &[]);
        std::fs::write(folder.join("access.intent"), text).unwrap();
        verify(&folder).code
    };
    assert_eq!(intents("intents-good", text), 0);
    assert_eq!(intents("intents-typo", &text.replace("injected", "inject")), 2);
    assert_eq!(intents("intents-empty", &text.replace("workloads", "[app = nobody]")), 4);
    assert_eq!(intents("intents-broken", &text.replace("injected(w)", "replicas(w) > 2")), 1);
}
