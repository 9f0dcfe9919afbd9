//! Retry amplification, timeout inversion, dead retries and inert outlier detection on meshes in YAML.
#![allow(clippy::unwrap_used)]

use common::yaml::{namespace, route, rule, service};
use insta::assert_snapshot;

mod common;

const RETRIES: &str = "    retries:\n      attempts: 2\n      retryOn: 5xx\n";

/// a -> b -> c -> d with a route for each callee.
fn chain(port_name: &str, policy: &str) -> String {
    let services = [("a", vec!["b"]), ("b", vec!["c"]), ("c", vec!["d"]), ("d", vec![])];
    let mut yaml = namespace(true);
    for (name, calls) in services {
        yaml += &service(name, port_name, 1, &calls);
    }
    for host in ["b", "c", "d"].iter().filter(|_| !policy.is_empty()) {
        yaml += &route(host, policy);
    }
    yaml
}

fn verdicts(yaml: &str, behaviour: &str, codes: &[&str]) -> (String, String) {
    let (sources, mesh) = common::mesh(yaml, behaviour);
    let report = common::judge(&mesh);
    assert_eq!(report.disagreements, [""; 0]);
    let (_, failed) = common::replay_all(&mesh, &report);
    assert_eq!(failed, [""; 0]);
    (common::findings(&sources, &report, codes), common::proofs(&report, codes))
}

#[test]
fn defaults_alone_connect_but_do_not_multiply() {
    let (findings, proofs) = verdicts(&chain("http", ""), "", &["MP0401"]);
    assert_snapshot!(findings, @"");
    assert_snapshot!(proofs, @r"
    MP0401 service default/a bound=1 connects=3 exact=true limit=4
    MP0401 service default/b bound=1 connects=9 exact=true limit=4
    MP0401 service default/c bound=1 connects=9 exact=true limit=4
    MP0401 service default/d bound=1 connects=9 exact=true limit=4
    ");
}

#[test]
fn defaults_on_a_grpc_port_are_after_work() {
    let (findings, _) = verdicts(&chain("grpc", ""), "", &["MP0401"]);
    assert_snapshot!(findings, @r#"
    MP0401 Error mesh.yaml:48 one request at the entry can become 9 requests at `default/c` (limit 4) over default/a -> default/b -> default/c
        mesh.yaml:29 a gRPC port: `default/a` tries up to 3 times by default (RT-11)
        witness: default/a -> default/b -> default/c [not replayable]
    MP0401 Error mesh.yaml:67 one request at the entry can become 27 requests at `default/d` (limit 4) over default/a -> default/b -> default/c -> default/d
        mesh.yaml:48 a gRPC port: `default/b` tries up to 3 times by default (RT-11)
        mesh.yaml:29 a gRPC port: `default/a` tries up to 3 times by default (RT-11)
        witness: default/a -> default/b -> default/c -> default/d [not replayable]
    "#);
}

#[test]
fn retries_at_every_hop_multiply() {
    let (findings, proofs) = verdicts(&chain("http", RETRIES), "", &["MP0401"]);
    assert_snapshot!(findings, @r#"
    MP0401 Error mesh.yaml:100 one request at the entry can become 9 requests at `default/c` (limit 4) over default/a -> default/b -> default/c
        mesh.yaml:89 `default/a` tries up to 3 times
        witness: default/a -> default/b -> default/c [RequestsAt { service: "default/c", count: 9 }]
    MP0401 Error mesh.yaml:111 one request at the entry can become 27 requests at `default/d` (limit 4) over default/a -> default/b -> default/c -> default/d
        mesh.yaml:100 `default/b` tries up to 3 times
        mesh.yaml:89 `default/a` tries up to 3 times
        witness: default/a -> default/b -> default/c -> default/d [RequestsAt { service: "default/d", count: 27 }]
    "#);
    assert_snapshot!(proofs, @r"
    MP0401 service default/a bound=1 connects=3 exact=true limit=4
    MP0401 service default/b bound=3 connects=9 exact=true limit=4
    ");
}

#[test]
fn without_sidecars_nothing_is_retried() {
    let yaml = chain("http", RETRIES).replace("istio-injection: enabled", "istio-injection: disabled");
    let (findings, proofs) = verdicts(&yaml, "", &["MP0401"]);
    assert_snapshot!(findings, @"");
    assert!(proofs.contains("MP0401 service default/d bound=1 connects=1"), "{proofs}");
}

#[test]
fn retries_within_a_budget_of_linkerd_are_no_error() {
    let mut yaml = "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, annotations: {linkerd.io/inject: \
                    enabled}}\n---\n"
        .to_owned();
    yaml += &(service("a", "http", 1, &["b"]) + &service("b", "http", 1, &[]));
    yaml += "apiVersion: linkerd.io/v1alpha2\nkind: ServiceProfile\nmetadata: {name: b.default.svc.cluster.local}\nspec:\n  \
             routes:\n  - {name: all, condition: {pathRegex: /.*}, isRetryable: true}\n";
    let (findings, _) = verdicts(&yaml, "", &["MP0401"]);
    assert!(findings.starts_with("MP0401 Warning "), "{findings}");
    assert!(findings.contains("a retry budget grants that"), "{findings}");
}

/// A client in the mesh that tries three times itself, and says what a and b do.
const BEHAVIOUR: &str = r#"Mesh(version: 1,
    clients: {"cron": (from: Workload("default/a"), to: "b:80", requests: [(name: "r")], retries: (max: 2))},
    workloads: {
        "default/b": (service_time: Constant("10ms"), calls: [[(to: "c:80", times: 2)], [(to: "d:80")]]),
        "default/c": (service_time: Constant("20ms"), calls: []),
        "default/d": (service_time: Constant("30ms"), calls: []),
    },
)"#;

#[test]
fn a_client_retries_on_its_own_and_the_scenario_forces_all_of_it() {
    let yaml = chain("http", "") + &route("b", "    retries: {attempts: 1, retryOn: \"503\"}\n");
    let (sources, mesh) = common::mesh(&yaml, BEHAVIOUR);
    let report = common::judge(&mesh);
    assert_snapshot!(common::findings(&sources, &report, &["MP0401"]), @r#"
    MP0401 Error mesh.yaml:88 one request at the entry can become 6 requests at `default/b` (limit 4) over default/b
        witness: default/b [RequestsAt { service: "default/b", count: 6 }]
    MP0401 Error mesh.yaml:88 one request at the entry can become 12 requests at `default/c` (limit 4) over default/b -> default/c
        witness: default/b -> default/c [RequestsAt { service: "default/c", count: 12 }]
    MP0401 Error mesh.yaml:88 one request at the entry can become 6 requests at `default/d` (limit 4) over default/b -> default/d
        witness: default/b -> default/d [RequestsAt { service: "default/d", count: 6 }]
    "#);
    let finding = report.findings.iter().find(|finding| finding.rule.code == "MP0401").unwrap();
    let witness = finding.witness.as_ref().unwrap();
    let script: Vec<String> =
        witness.scenario.as_ref().unwrap().script.iter().map(|answer| format!("{answer:?}")).collect();
    assert_snapshot!(script.join("\n"), @r#"
    ScriptedAnswer { at: "default/b", from: Some("cron"), fail_attempts: 4294967295, status: 503, takes: Some(Nanos(0)) }
    "#);
}

#[test]
fn a_callee_with_a_longer_timeout_is_an_inversion() {
    let yaml = chain("http", "") + &route("b", "    timeout: 1s\n") + &route("c", "    timeout: 2s\n");
    let (findings, proofs) = verdicts(&yaml, "", &["MP0402"]);
    assert_snapshot!(findings, @r#"
    MP0402 Error mesh.yaml:88 timeout inversion: `default/a` gives up on `default/b` after 1s, but the call of `default/b` to `default/c` may last 2s
        mesh.yaml:97 timeout 2s towards `default/c`
        witness: default/a -> default/b [CallerLeavesFirst { caller: "default/a", callee: "default/b" }]
    MP0402 Warning mesh.yaml:97 `default/b` gives up on `default/c` after 2s, but the call of `default/c` to `default/d` has no timeout
    "#);
    assert_snapshot!(proofs, @r#"
    "#);
}

#[test]
fn stages_that_add_up_are_zombie_work() {
    let calls = BEHAVIOUR.replace("times: 2", "times: 1");
    let yaml = chain("http", "") + &route("b", "    timeout: 1s\n");
    let yaml = yaml + &route("c", "    timeout: 600ms\n") + &route("d", "    timeout: 600ms\n");
    let (findings, _) = verdicts(&yaml, &calls, &["MP0402"]);
    assert_snapshot!(findings, @r#"
    MP0402 Error mesh.yaml:88 zombie work: `cron` and `default/a` give up on `default/b` after 1s, but `default/b` may be busy with it for 1.21s
        mesh.yaml:97 timeout 600ms towards `default/c`
        mesh.yaml:106 timeout 600ms towards `default/d`
        witness: cron -> default/b [CallerLeavesFirst { caller: "cron", callee: "default/b" }]
    "#);
    // Side by side they fit.
    let (findings, proofs) = verdicts(&yaml, &calls.replace("], [(to: \"d:80\")", ", (to: \"d:80\")"), &["MP0402"]);
    assert_snapshot!(findings, @"");
    assert_snapshot!(proofs, @r#"
    MP0402 call cron -> default/b callee_busy_ms=610 caller_limit_ms=1000
    MP0402 call default/a -> default/b callee_busy_ms=610 caller_limit_ms=1000
    MP0402 call default/b -> default/c callee_busy_ms=20 caller_limit_ms=600
    MP0402 call default/b -> default/d callee_busy_ms=30 caller_limit_ms=600
    "#);
}

#[test]
fn a_callee_without_a_timeout_is_a_warning_unless_its_time_is_known() {
    let yaml = chain("http", "") + &route("b", "    timeout: 1s\n");
    let (findings, _) = verdicts(&yaml, "", &["MP0402"]);
    assert_snapshot!(findings, @r#"
    MP0402 Warning mesh.yaml:88 `default/a` gives up on `default/b` after 1s, but the call of `default/b` to `default/c` has no timeout
    "#);
    let (findings, proofs) = verdicts(&yaml, BEHAVIOUR, &["MP0402"]);
    assert_snapshot!(findings, @"");
    assert_snapshot!(proofs, @r#"
    MP0402 call cron -> default/b callee_busy_ms=518 caller_limit_ms=1000
    MP0402 call default/a -> default/b callee_busy_ms=518 caller_limit_ms=1000
    "#);
}

#[test]
fn retries_that_cannot_start_are_dead() {
    for (policy, expected) in [
        ("    timeout: 2s\n    retries: {attempts: 2, perTryTimeout: 2s}\n", Some("no retry can start")),
        ("    timeout: 2s\n    retries: {attempts: 3, perTryTimeout: 800ms}\n", Some("retry 3 of 3")),
        ("    timeout: 2s\n    retries: {attempts: 2, perTryTimeout: 800ms}\n", None),
        ("    timeout: 2s\n    retries: {attempts: 0, perTryTimeout: 3s}\n", None),
        ("    timeout: 0s\n    retries: {attempts: 2, perTryTimeout: 3s}\n", None),
        ("    retries: {attempts: 2, perTryTimeout: 3s}\n", None),
    ] {
        let (findings, proofs) = verdicts(&(chain("http", "") + &route("b", policy)), "", &["MP0403"]);
        assert_eq!(findings.is_empty(), expected.is_none(), "{policy}{findings}");
        assert!(expected.is_none_or(|text| findings.contains(text)), "{policy}{findings}");
        assert_eq!(proofs.is_empty(), !policy.contains("attempts: 2, perTryTimeout: 800ms"), "{policy}");
    }
}

#[test]
fn outlier_detection_needs_hosts_to_eject() {
    for (replicas, policy, expected) in [
        (1, "{outlierDetection: {maxEjectionPercent: 99}}", Some("99 of default/a (1 host)")),
        (1, "{outlierDetection: {maxEjectionPercent: 100}}", None),
        (3, "{outlierDetection: {maxEjectionPercent: 33}}", Some("33 of default/a (3 hosts)")),
        (3, "{outlierDetection: {maxEjectionPercent: 34}}", None),
        (9, "{outlierDetection: {interval: 5s}}", Some("10 (the default) of default/a (9 hosts)")),
        (10, "{outlierDetection: {interval: 5s}}", None),
        (10, "{outlierDetection: {consecutiveGatewayErrors: 5}}", Some("`consecutiveGatewayErrors` 5 never acts")),
        (10, "{outlierDetection: {consecutiveGatewayErrors: 4}}", None),
        (10, "{outlierDetection: {consecutiveGatewayErrors: 9, consecutive5xxErrors: 0}}", None),
    ] {
        let yaml = namespace(true) + &service("a", "http", replicas, &[]) + &rule("a", policy);
        let (findings, proofs) = verdicts(&yaml, "", &["MP0501"]);
        assert_eq!(findings.is_empty(), expected.is_none(), "{replicas} {policy} {findings}");
        assert!(expected.is_none_or(|text| findings.contains(text)), "{replicas} {policy} {findings}");
        assert!(findings.contains("never eject") != proofs.contains("MP0501"), "{replicas} {policy}");
    }
}
