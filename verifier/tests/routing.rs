//! Shadowed routes on `VirtualServices` in YAML.
#![allow(clippy::unwrap_used)]

use common::yaml::{namespace, service};
use insta::assert_snapshot;

mod common;

fn verdicts(rules: &[&str]) -> String {
    let mut yaml = namespace(true) + &service("a", "http", 1, &[]);
    yaml +=
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: a}\nspec:\n  hosts: [a]\n  http:\n";
    for rule in rules {
        yaml += "  - {";
        yaml += rule;
        yaml += "route: [{destination: {host: a}}]}\n";
    }
    let (sources, mesh) = common::mesh(&yaml, "");
    let report = common::judge(&mesh);
    assert_eq!(report.disagreements, [""; 0]);
    let proofs = report.proofs.iter().filter(|proof| proof.rule.code == "MP0301").count();
    let findings = report.findings.iter().filter(|finding| finding.rule.code == "MP0301").count();
    assert_eq!(proofs + findings, rules.len(), "every rule has a verdict");
    common::findings(&sources, &report, &["MP0301"])
}

#[test]
fn rules_that_earlier_rules_leave_nothing_for_are_found() {
    assert_snapshot!(verdicts(&["match: [{uri: {prefix: /a}}], ", "match: [{uri: {exact: /a/b}, method: {exact: GET}}], ", ""]), @r#"
    MP0301 Warning mesh.yaml:31 `http[1]` never acts: `http[0]` before it takes all of its requests
        mesh.yaml:30 this rule comes first
    "#);
    assert_snapshot!(verdicts(&["", "match: [{uri: {prefix: /a}}], "]), @r#"
    MP0301 Warning mesh.yaml:31 `http[1]` never acts: `http[0]` before it takes all of its requests
        mesh.yaml:30 this rule comes first
    "#);
    assert_snapshot!(verdicts(&["match: [{uri: {regex: '/v[0-9]+/.*'}}], ", "match: [{uri: {regex: '/v1/users/.*'}}], ", ""]), @r#"
    MP0301 Warning mesh.yaml:31 `http[1]` never acts: `http[0]` before it takes all of its requests
        mesh.yaml:30 this rule comes first
    "#);
    assert_snapshot!(verdicts(&[
        "match: [{headers: {end-user: {}}}], ",
        "match: [{withoutHeaders: {end-user: {}}, uri: {prefix: /}}], ",
        "name: late, match: [{uri: {prefix: /a}}], ",
    ]), @r#"
    MP0301 Warning mesh.yaml:32 `late` never acts: `http[0]` and `http[1]` before it take all of its requests
        mesh.yaml:30 this rule comes first
        mesh.yaml:31 this rule comes first
    "#);
    assert_snapshot!(verdicts(&["match: [{gateways: [edge]}], ", "match: [{sourceLabels: {app: x}}], ", "match: [{port: 80}], ", ""]), @"");
    assert_snapshot!(verdicts(&["match: [{ignoreUriCase: true, uri: {prefix: /A}}], ", "match: [{uri: {prefix: /aB}}], ", ""]), @r#"
    MP0301 Warning mesh.yaml:31 `http[1]` never acts: `http[0]` before it takes all of its requests
        mesh.yaml:30 this rule comes first
    "#);
}

#[test]
fn live_rules_hold() {
    for rules in [
        vec!["match: [{uri: {exact: /a}}], ", "match: [{uri: {prefix: /a}}], ", ""],
        vec!["match: [{headers: {x: {exact: \"1\"}}}], ", "match: [{headers: {x: {prefix: \"1\"}}}], ", ""],
        vec!["match: [{method: {exact: GET}}, {method: {exact: POST}}], ", ""],
        vec!["match: [{uri: {regex: '/a.*'}}], ", "match: [{uri: {prefix: /b}}], ", ""],
    ] {
        assert_eq!(verdicts(&rules), "", "{rules:?}");
    }
}
