//! Plaintext paths and mTLS outages on meshes in YAML.
#![allow(clippy::unwrap_used)]

use common::yaml::{namespace, peers, rule, service};
use insta::assert_snapshot;

mod common;

fn verdicts(yaml: &str) -> (String, String) {
    let (sources, mesh) = common::mesh(yaml, "");
    let report = common::judge(&mesh);
    assert_eq!(report.disagreements, [""; 0]);
    let (_, failed) = common::replay_all(&mesh, &report);
    assert_eq!(failed, [""; 0]);
    let codes = ["MP0601", "MP0602"];
    (common::findings(&sources, &report, &codes), common::proofs(&report, &codes))
}

/// a calls b; both have a sidecar.
fn pair() -> String {
    namespace(true) + &service("a", "http", 1, &["b"]) + &service("b", "http", 1, &[])
}

/// The same, `name` without a sidecar.
fn without_sidecar(name: &str) -> String {
    let label = format!("labels: {{app: {name}}}}}\n    spec");
    pair().replace(&label, &format!("labels: {{app: {name}, sidecar.istio.io/inject: \"false\"}}}}\n    spec"))
}

#[test]
fn strict_everywhere_holds() {
    let (findings, proofs) = verdicts(&(pair() + &peers("istio-system", "STRICT")));
    assert_snapshot!(findings, @"");
    assert_snapshot!(proofs, @r#"
    MP0601 workload default/a ports=8080
    MP0601 workload default/b ports=8080
    MP0602 workload default/a links=1
    MP0602 workload default/b links=1
    "#);
}

#[test]
fn where_nobody_asks_for_strict_it_is_a_remark() {
    let (findings, proofs) = verdicts(&pair());
    assert_snapshot!(findings, @r#"
    MP0601 Info mesh.yaml:1 `default/a` and `default/b` accept plaintext: nobody asks for STRICT
    "#);
    assert!(proofs.contains("MP0602 workload default/b"), "{proofs}");
    let (findings, _) = verdicts(&(pair() + &peers("default", "PERMISSIVE")));
    assert!(findings.starts_with("MP0601 Info"), "{findings}");
}

#[test]
fn exceptions_from_strict_are_found_at_their_line() {
    let exception = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: b}\nspec:\n  \
                     selector: {matchLabels: {app: b}}\n  mtls: {mode: STRICT}\n  portLevelMtls:\n    8080: {mode: \
                     PERMISSIVE}\n---\n";
    for (exception, expected) in [
        (exception.to_owned(), "mode PERMISSIVE"),
        (exception.replace("PERMISSIVE", "DISABLE"), "mode DISABLE"),
        (peers("default", "DISABLE"), "mode DISABLE"),
    ] {
        let (findings, _) = verdicts(&(pair() + &peers("istio-system", "STRICT") + &exception));
        assert!(findings.contains(expected) && findings.contains("MP0601 Error"), "{findings}");
    }
    let (findings, _) = verdicts(&(pair() + &peers("istio-system", "STRICT") + exception));
    assert_snapshot!(findings, @r#"
    MP0601 Error mesh.yaml:56 clients outside of the mesh can speak plaintext to `default/b` on port 8080: mode PERMISSIVE
        mesh.yaml:47 STRICT is asked for here
        witness: default/b [Plaintext { from: "", to: "default/b" }]
    "#);
}

#[test]
fn a_server_without_a_sidecar_falls_outside_of_strict() {
    let (findings, _) = verdicts(&(without_sidecar("b") + &peers("istio-system", "STRICT")));
    assert_snapshot!(findings, @r#"
    MP0601 Error mesh.yaml:38 clients outside of the mesh can speak plaintext to `default/b` on port 8080: it has no sidecar, and `default/a` does so
        mesh.yaml:47 STRICT is asked for here
        witness: default/a -> default/b [Plaintext { from: "default/a", to: "default/b" }]
    MP0602 Info mesh.yaml:38 `default/b` has no sidecar and speaks plaintext, but `default/a` accepts only Istio's mutual TLS (STRICT): every connection fails if it calls it
        mesh.yaml:47 what the server accepts is decided here
        witness: default/b -> default/a [HandshakeFails { from: "default/b", to: "default/a" }]
    "#);
}

#[test]
fn a_client_without_a_sidecar_cannot_call_a_strict_server() {
    let (findings, _) = verdicts(&(without_sidecar("a") + &peers("default", "STRICT")));
    assert_snapshot!(findings, @r#"
    MP0601 Error mesh.yaml:19 clients outside of the mesh can speak plaintext to `default/a` on port 8080: it has no sidecar, and `default/b` does so
        mesh.yaml:47 STRICT is asked for here
        witness: default/b -> default/a [Plaintext { from: "default/b", to: "default/a" }]
    MP0602 Error mesh.yaml:19 `default/a` has no sidecar and speaks plaintext, but `default/b` accepts only Istio's mutual TLS (STRICT): every connection fails
        mesh.yaml:47 what the server accepts is decided here
        witness: default/a -> default/b [HandshakeFails { from: "default/a", to: "default/b" }]
    "#);
}

#[test]
fn destination_rules_that_do_not_fit_the_server_are_outages() {
    let strict = peers("default", "STRICT");
    for (policy, server, expected) in [
        ("{tls: {mode: DISABLE}}", strict.as_str(), Some("speaks plaintext")),
        ("{tls: {mode: SIMPLE}}", strict.as_str(), Some("originates TLS of its own")),
        ("{tls: {mode: SIMPLE}}", "", Some("originates TLS of its own")),
        ("{tls: {mode: ISTIO_MUTUAL}}", strict.as_str(), None),
        ("{tls: {mode: ISTIO_MUTUAL}}", "", None),
        ("{tls: {mode: DISABLE}}", "", None),
        ("{loadBalancer: {simple: RANDOM}}", strict.as_str(), None),
    ] {
        let (findings, _) = verdicts(&(pair() + server + &rule("b", policy)));
        let outage: Vec<&str> = findings.lines().filter(|line| line.starts_with("MP0602")).collect();
        assert_eq!(outage.is_empty(), expected.is_none(), "{policy} {findings}");
        assert!(expected.is_none_or(|text| outage[0].contains(text)), "{policy} {findings}");
    }
    let (findings, _) = verdicts(&(without_sidecar("b") + &rule("b", "{tls: {mode: ISTIO_MUTUAL}}")));
    assert_snapshot!(findings, @r#"
    MP0601 Info mesh.yaml:1 `default/a` and `default/b` accept plaintext: nobody asks for STRICT
    MP0602 Error mesh.yaml:48 `default/a` insists on Istio's mutual TLS, but `default/b` has no sidecar to accept it: every connection fails
        mesh.yaml:38 what the server accepts is decided here
        witness: default/a -> default/b [HandshakeFails { from: "default/a", to: "default/b" }]
    "#);
    let (findings, _) = verdicts(&(pair() + &peers("default", "DISABLE") + &rule("b", "{tls: {mode: ISTIO_MUTUAL}}")));
    assert!(findings.contains("MP0602 Error"), "{findings}");
}
