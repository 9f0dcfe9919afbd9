//! Deadlines that are passed on, on a chain of three in YAML: who looks at the time that its caller waits.
#![allow(clippy::unwrap_used)]

use common::yaml::{namespace, route, service};
use insta::assert_snapshot;

mod common;

/// `user` calls `a`, which calls `b`, which calls `c`; what `mesh.ron` says of `b` and `c`, and the limits of both calls.
fn verdicts(b: &str, c: &str, limits: [&str; 2]) -> (String, String) {
    let routes = route("b", &format!("    timeout: {}\n", limits[0])) + &route("c", &format!("    {}\n", limits[1]));
    let services = ["a", "b", "c"].map(|name| service(name, "http", 1, &[])).concat();
    let behaviour = format!(
        "Mesh(version: 1, clients: {{\"user\": (from: Outside, to: \"default/a:80\", requests: [(name: \"r\")])}}, \
         workloads: {{\"default/a\": (calls: [[(to: \"b:80\")]]), \"default/b\": ({b}), \"default/c\": ({c})}})"
    );
    let (sources, mesh) = common::mesh(&(namespace(true) + &services + &routes), &behaviour);
    let report = common::judge(&mesh);
    assert_eq!(report.disagreements, [""; 0]);
    let (_, failed) = common::replay_all(&mesh, &report);
    assert_eq!(failed, [""; 0]);
    (common::findings(&sources, &report, &["MP0402"]), common::proofs(&report, &["MP0402"]))
}

const CALLS_C: &str = "calls: [[(to: \"c:80\")]], service_time: Constant(\"5ms\")";
const LOOKS: &str = "obeys_deadlines: true";

#[test]
fn the_first_hop_that_does_not_look_at_the_time_is_told() {
    let (b, slow) = (format!("{CALLS_C}, {LOOKS}"), "service_time: Constant(\"10ms\")");
    let limits = ["1s", "timeout: 2s"];
    // `c` may hang as long as its caller waits for it.
    let (findings, _) = verdicts(CALLS_C, slow, limits);
    assert!(findings.contains("timeout inversion: `default/a` gives up on `default/b` after 1s"), "{findings}");
    let (findings, _) = verdicts(&b, slow, limits);
    assert!(findings.contains("timeout inversion: `default/a` gives up on `default/b` after 1s"), "{findings}");
    let (findings, proofs) = verdicts(&b, &format!("{slow}, {LOOKS}"), limits);
    assert_snapshot!(findings, @"");
    assert_snapshot!(proofs, @"
    MP0402 call default/a -> default/b callee_busy_ms=1000 caller_limit_ms=1000
    MP0402 call default/b -> default/c callee_busy_ms=10 caller_limit_ms=2000
    ");
}

#[test]
fn work_of_ones_own_ends_in_time_and_calls_in_a_row_may_not() {
    let slow = "service_time: Constant(\"3s\")";
    for (b, expected) in [
        (slow.to_owned(), "zombie work: `default/a` gives up on `default/b` after 1s, but `default/b` may be busy"),
        (format!("{slow}, {LOOKS}"), ""),
        (format!("{slow}, cancels_abandoned_work: true"), ""),
    ] {
        let (findings, proofs) = verdicts(&b, "", ["1s", "timeout: 2s"]);
        assert_eq!(findings.is_empty(), expected.is_empty(), "{b} {findings}");
        assert!(findings.contains(expected), "{b} {findings}");
        assert_eq!(proofs.contains("default/a -> default/b"), expected.is_empty(), "{b} {proofs}");
    }
    // One call of 600 ms ends in time; the second one begins in time only.
    let twice = format!("calls: [[(to: \"c:80\")], [(to: \"c:80\")]], {LOOKS}");
    let (findings, _) = verdicts(&twice, "", ["1s", "timeout: 600ms"]);
    assert_snapshot!(findings, @"
    MP0402 Warning mesh.yaml:69 zombie work: `default/a` gives up on `default/b` after 1s; `default/b` looks at that time, but its call to `default/c` goes on, and it is busy for 1.205s
        mesh.yaml:78 timeout 600ms towards `default/c`
    ");
    let (findings, _) = verdicts(&twice, "", ["1205ms", "timeout: 600ms"]);
    assert_snapshot!(findings, @"");
}

#[test]
fn a_retry_of_the_answer_at_the_deadline_pauses_first() {
    let looks = format!("service_time: Constant(\"10ms\"), {LOOKS}");
    let b = format!("{CALLS_C}, {LOOKS}");
    let retried = |conditions: &str| format!("retries: {{attempts: 2, perTryTimeout: 2s, retryOn: \"{conditions}\"}}");
    let (findings, proofs) = verdicts(&b, &looks, ["1s", &retried("connect-failure")]);
    assert!(
        findings.is_empty() && proofs.contains("default/a -> default/b callee_busy_ms=1000"),
        "{findings} {proofs}"
    );
    let (findings, _) = verdicts(&b, &looks, ["1s", &retried("5xx")]);
    assert_snapshot!(findings, @"
    MP0402 Warning mesh.yaml:69 zombie work: `default/a` gives up on `default/b` after 1s; `default/b` looks at that time, but its call to `default/c` goes on, and it is busy for 1.073s
        mesh.yaml:78 perTryTimeout 2s towards `default/c`
    ");
}
