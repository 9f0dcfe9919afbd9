//! What happens under ordinary load: limits that act too soon or too late, queues, budgets of pods, hopeless calls.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeMap;

use common::yaml::{namespace, route, rule, service};
use meshproof_verifier::{VerifyOptions, verify};

mod common;

/// `a` with one pod calls `b` with two; what `mesh.ron` says of `b`, and how much the client `user` sends.
fn verdicts(policies: &str, b: &str, extra: &str, rps: u64, codes: &[&str]) -> (String, String) {
    let yaml = namespace(true) + &service("a", "http", 1, &[]) + &service("b", "http", 2, &[]) + policies;
    let behaviour = format!(
        "Mesh(version: 1, clients: {{\"user\": (from: Workload(\"default/a\"), to: \"default/b:80\", requests: [(name: \
         \"r\")])}}, {extra} workloads: {{\"default/a\": (calls: []), \"default/b\": ({b})}})"
    );
    let (sources, mesh) = common::mesh(&yaml, if b.is_empty() { "" } else { &behaviour });
    let demand = BTreeMap::from([("user".to_owned(), rps * 1000)]).into_iter().filter(|_| rps > 0).collect();
    let report = verify(&mesh, &VerifyOptions { demand, ..VerifyOptions::default() });
    assert_eq!(report.disagreements, [""; 0]);
    let (replayed, failed) = common::replay_all(&mesh, &report);
    assert_eq!(failed, [""; 0], "{replayed}");
    (common::findings(&sources, &report, codes), common::proofs(&report, codes))
}

/// Each row: the policies, what is said of `b`, the load, and a part of the only finding, empty for a proof instead.
fn table(code: &str, rows: &[(&str, &str, u64, &str)]) {
    for (policies, b, rps, expected) in rows {
        let (findings, proofs) = verdicts(policies, b, "", *rps, &[code]);
        assert_eq!(findings.is_empty(), expected.is_empty(), "{policies} {b} {rps} {findings}");
        assert!(findings.contains(expected), "{policies} {b} {rps} {findings}");
        assert_eq!(proofs.contains(code), expected.is_empty(), "{policies} {b} {rps} {proofs}");
    }
}

const WORKER: &str = "concurrency: 32, service_time: Constant(\"20ms\")";

#[test]
fn breakers_let_ordinary_load_through() {
    let limit = |most: u32| rule("b", &format!("{{connectionPool: {{http: {{http2MaxRequests: {most}}}}}}}"));
    table(
        "MP0503",
        &[
            (&limit(16), WORKER, 1_000, "16 requests at a time through (1 proxies with 16 each), and the 1000 rps"),
            (&limit(19), WORKER, 1_000, "keep 20 of them busy"),
            (&limit(20), WORKER, 1_000, ""),
        ],
    );
    let (findings, proofs) = verdicts(&limit(1), WORKER, "", 0, &["MP0503"]);
    assert_eq!(findings + &proofs, "", "nobody says how much is sent");
}

#[test]
fn a_load_that_is_above_or_stays_above_what_pods_answer() {
    let retries = |policy: &str| route("b", &format!("    retries: {{{policy}}}\n"));
    let storm = retries("attempts: 3, perTryTimeout: 100ms, retryOn: 5xx");
    let cancels = format!("{WORKER}, cancels_abandoned_work: true");
    // Two pods answer 3,200 requests per second; a full queue of 1,024 takes 640 ms.
    let codes = &["MP0508", "MP0509"];
    for (policies, b, rps, expected) in [
        (&storm, WORKER, 4_000, "MP0508"),
        (&(storm.clone() + &bucket(1_000, 1_600)), WORKER, 4_000, "-"),
        (&(storm.clone() + &bucket(1_000, 1_601)), WORKER, 4_000, "MP0508"),
        (
            &storm,
            WORKER,
            2_000,
            "2000 rps are within the 3200 that its pods answer, but once they are late retries make them 8000",
        ),
        (&storm, WORKER, 700, ""),
        (&retries("attempts: 3, perTryTimeout: 1s, retryOn: 5xx"), WORKER, 2_000, "-"),
        (&retries("attempts: 3, perTryTimeout: 100ms, retryOn: connect-failure"), WORKER, 2_000, ""),
        (&(retries("attempts: 1, perTryTimeout: 100ms, retryOn: 5xx")), WORKER, 1_500, ""),
        (&storm, cancels.as_str(), 2_000, "-"),
        (&(storm.clone() + &rule("b", "{retryBudget: {percent: 20}}")), WORKER, 2_000, "-"),
        (&(storm.clone() + &rule("b", "{connectionPool: {http: {maxRetries: 3}}}")), WORKER, 2_000, "-"),
        (&String::new(), WORKER, 3_000, ""),
    ] {
        let (findings, proofs) = verdicts(policies, b, "", rps, codes);
        match expected {
            "" => assert!(findings.is_empty() && proofs.contains("MP0509 service default/b"), "{policies} {findings}"),
            // Neither told nor proved: it depends on how the pods fail.
            "-" => {
                assert!(findings.is_empty() && !proofs.contains("MP0509 service default/b"), "{policies} {findings}");
            }
            expected => assert!(findings.contains(expected), "{policies} {findings}"),
        }
    }
}

/// A local rate limit on `b`.
fn bucket(tokens: u64, fill: u64) -> String {
    common::yaml::bucket("b", tokens, fill, "1s")
}

#[test]
fn local_rate_limits_are_for_each_pod() {
    table(
        "MP0505",
        &[
            (&bucket(2_000, 2_000), WORKER, 0, "2000 rps into each pod, which answers 1600"),
            (
                &bucket(1_100, 1_000),
                WORKER,
                0,
                "1100 requests at once into a pod, which works on 32 and lets 1024 wait",
            ),
            (&bucket(1_000, 1_600), WORKER, 0, ""),
            (&bucket(100, 100), &format!("{WORKER}, queue: (limit: 67)"), 0, "100 requests at once"),
            (&bucket(100, 100), &format!("{WORKER}, queue: (limit: 68)"), 0, ""),
        ],
    );
    table(
        "MP0506",
        &[
            (&bucket(100, 100), WORKER, 201, "2 pods with a limit of 100 rps each let 200 rps through"),
            (&bucket(100, 100), WORKER, 200, ""),
            // A small bucket is filled as fast as a large one.
            (&bucket(5, 100), WORKER, 200, ""),
        ],
    );
}

#[test]
fn a_message_is_done_before_it_is_handed_out_again() {
    let consumer = |time: &str| format!("service_time: {time}, consumes: (queue: \"q\")");
    let queue = |rest: &str| format!("queues: {{\"q\": ({rest}), \"dead\": ()}},");
    for (time, rest, expected) in [
        ("Constant(\"5s\")", "visibility_timeout: \"5s\"", ""),
        (
            "Uniform(min: \"1s\", max: \"12s\")",
            "visibility_timeout: \"5s\"",
            "Warning - `default/b` may work on a message for 12s",
        ),
        ("Uniform(min: \"1s\", max: \"12s\")", "visibility_timeout: \"5s\"", "worked on up to 3 times\n"),
        ("Constant(\"12s\")", "visibility_timeout: \"5s\", max_receives: 2, dead_letters: \"dead\"", "Error"),
        (
            "Constant(\"12s\")",
            "visibility_timeout: \"5s\", max_receives: 2, dead_letters: \"dead\"",
            "becomes a dead letter",
        ),
    ] {
        let (findings, proofs) = verdicts("", &consumer(time), &queue(rest), 0, &["MP0507"]);
        assert_eq!(findings.is_empty(), expected.is_empty(), "{time} {rest} {findings}");
        assert!(findings.contains(expected), "{time} {rest} {findings}");
        assert_eq!(proofs.is_empty(), !expected.is_empty(), "{time} {rest} {proofs}");
    }
}

#[test]
fn a_call_whose_limit_is_below_the_least_time_is_hopeless() {
    let uniform = "service_time: Uniform(min: \"150ms\", max: \"300ms\")";
    table(
        "MP0405",
        &[
            (
                &route("b", "    timeout: 149ms\n"),
                uniform,
                0,
                "gives up on `default/b` after 149ms, and it needs 150ms",
            ),
            (
                &route("b", "    retries: {attempts: 2, perTryTimeout: 100ms, retryOn: 5xx}\n"),
                uniform,
                0,
                "after 100ms",
            ),
            (&route("b", "    timeout: 150ms\n"), uniform, 0, ""),
        ],
    );
    let (findings, _) =
        verdicts(&route("b", "    timeout: 1ms\n"), "service_time: Exponential(mean: \"1s\")", "", 0, &["MP0405"]);
    assert_eq!(findings, "", "it may be quick");
}

#[test]
fn budgets_let_some_pods_go_and_not_all() {
    let budget = |name: &str, rest: &str| {
        format!(
            "apiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {{name: {name}}}\nspec: {{selector: \
             {{matchLabels: {{app: b}}}}, {rest}}}\n---\n"
        )
    };
    let scaler = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {name: b}\nspec: {scaleTargetRef: \
                  {kind: Deployment, name: b}, minReplicas: 2, maxReplicas: 9}\n---\n";
    for (policies, expected) in [
        (budget("b", "minAvailable: 2"), "MP0703 Warning mesh.yaml:46 none of its 2 pods may be evicted"),
        (budget("b", "minAvailable: 51%"), "none of its 2 pods may be evicted"),
        (budget("b", "maxUnavailable: 0"), "MP0703"),
        (budget("b", "minAvailable: 2") + scaler, "none of its 2 pods, its fewest, may be evicted"),
        (budget("b", "minAvailable: 1") + scaler, ""),
        (budget("b", "maxUnavailable: 1"), ""),
        (budget("b", "maxUnavailable: 1") + &budget("c", "maxUnavailable: 1"), "no pod under two budgets is evicted"),
        (budget("b", "maxUnavailable: 100%"), "MP0704 Warning mesh.yaml:46 the budget lets all 2 pods go at once"),
        (budget("b", "minAvailable: 0"), "MP0704"),
    ] {
        let (findings, proofs) = verdicts(&policies, "", "", 0, &["MP0703", "MP0704"]);
        assert_eq!(findings.is_empty(), expected.is_empty(), "{policies} {findings}");
        assert!(findings.contains(expected), "{policies} {findings}");
        assert_eq!(proofs.contains("MP0703"), !findings.contains("MP0703"), "{policies} {proofs}");
    }
}

#[test]
fn outlier_detection_leaves_hosts_and_leaves_ejected_ones_alone() {
    let outlier = |rest: &str| rule("b", &format!("{{outlierDetection: {{{rest}}}}}"));
    table(
        "MP0504",
        &[
            (&outlier("maxEjectionPercent: 100"), "", 0, "Info mesh.yaml:48 all 2 hosts of `default/b` can be ejected"),
            (&outlier("maxEjectionPercent: 100, minHealthPercent: 1"), "", 0, ""),
            (&outlier("maxEjectionPercent: 99"), "", 0, ""),
        ],
    );
    table(
        "MP0501",
        &[
            (
                &outlier("maxEjectionPercent: 50, minHealthPercent: 51"),
                "",
                0,
                "less than `minHealthPercent` 51 is left",
            ),
            (&outlier("maxEjectionPercent: 50, minHealthPercent: 50"), "", 0, ""),
            (&outlier("maxEjectionPercent: 50, consecutive5xxErrors: 0"), "", 0, "it counts no failures"),
            (&outlier("maxEjectionPercent: 50, consecutive5xxErrors: 0, consecutiveGatewayErrors: 3"), "", 0, ""),
        ],
    );
}

#[test]
fn what_is_left_after_a_zone_is_enough() {
    let zones = "placement: (zones: [\"a\", \"b\"]),";
    // A pod answers 400 requests per second; one of two is left.
    let b = "concurrency: 8, service_time: Constant(\"20ms\")";
    for (b, zones, rps, expected) in [
        (b, zones, 400, ""),
        (b, zones, 401, "once zone `b` is lost a pod gets 401 rps and answers 400"),
        (b, "", 500, "-"),
        // More than all pods answer is another rule's to tell.
        (b, zones, 801, "-"),
        // With the only zone that has pods, their callers are lost too.
        (b, "placement: (zones: [\"a\", \"b\"], spread: First),", 100, ""),
    ] {
        let (findings, proofs) = verdicts("", b, zones, rps, &["MP0705"]);
        match expected {
            "" => assert!(findings.is_empty() && proofs.contains("MP0705"), "{zones} {rps} {findings}{proofs}"),
            "-" => assert_eq!(findings + &proofs, "", "{zones} {rps}"),
            expected => assert!(findings.contains(expected), "{zones} {rps} {findings}"),
        }
    }
}
