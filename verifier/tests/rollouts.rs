//! How much a bad version gets, and for how long, of Rollouts and Canaries in YAML.
#![allow(clippy::unwrap_used)]

use common::yaml::{namespace, service};
use insta::assert_snapshot;

mod common;

const CODES: [&str; 3] = ["MP0801", "MP0802", "MP0803"];

fn rollout(replicas: u32, strategy: &str, metric: &str) -> (String, String) {
    let yaml = format!(
        "{}{}apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {{name: w}}\nspec: {{replicas: {replicas}, \
         template: {{metadata: {{labels: {{app: a}}}}, spec: {{containers: [{{name: c, image: c}}]}}}}, strategy: \
         {{canary: {{{strategy}}}}}}}\n---\napiVersion: argoproj.io/v1alpha1\nkind: AnalysisTemplate\nmetadata: \
         {{name: ok}}\nspec: {{metrics: [{{name: m, provider: {{job: {{}}}}, {metric}}}]}}\n",
        namespace(true),
        service("a", "http", 2, &[]),
    );
    verdicts(&yaml)
}

fn verdicts(yaml: &str) -> (String, String) {
    let (sources, mesh) = common::mesh(yaml, "");
    let report = common::judge(&mesh);
    assert_eq!(report.disagreements, [""; 0]);
    (common::findings(&sources, &report, &CODES), common::proofs(&report, &CODES))
}

#[test]
fn the_same_metric_beside_the_steps_and_between_them() {
    let steps = "steps: [{setWeight: 20}, {pause: {duration: 5m}}, {setWeight: 60}, {pause: {duration: 5m}}]";
    let beside = format!("{steps}, analysis: {{templates: [{{templateName: ok}}]}}");
    let metric = "interval: 1m, failureLimit: 2, successCondition: ok";
    let (findings, proofs) = rollout(10, &beside, metric);
    assert_snapshot!(findings, @"");
    assert_snapshot!(proofs, @r#"
    MP0801 Rollout default/w bad_from_the_start_time_ms=180000 bad_from_the_start_weight_percent=20 exposure_percent_s=10800 time_until_rollback_ms=180000 weight_percent=60
    MP0803 Rollout default/w most_above_percent_points=0
    "#);
    let between = "steps: [{setWeight: 20}, {analysis: {templates: [{templateName: ok}]}}, {setWeight: 60}, {pause: {duration: 1h}}]";
    let (findings, proofs) = rollout(10, between, &format!("{metric}, count: 5"));
    assert_snapshot!(findings, @"");
    assert_snapshot!(proofs, @r#"
    MP0801 Rollout default/w bad_from_the_start_time_ms=120000 bad_from_the_start_weight_percent=20 exposure_percent_s=3600 time_until_rollback_ms=180000 weight_percent=20
    MP0803 Rollout default/w most_above_percent_points=0
    "#);
}

#[test]
fn what_cannot_fail_is_blind_and_what_is_slow_is_told() {
    let steps = "steps: [{setWeight: 50}, {analysis: {templates: [{templateName: ok}]}}]";
    for (metric, expected) in [
        ("interval: 1m, count: 3, successCondition: ok", ""),
        ("interval: 1m, count: 3, failureLimit: 3, successCondition: ok", "allows 3 failures and is measured 3 times"),
        ("interval: 1m, count: 3, failureLimit: -1, successCondition: ok", "allows any number of failures"),
        ("interval: 1m, count: 3", "has no condition"),
        (
            "interval: 10m, count: 30, failureLimit: 9, failureCondition: bad",
            "keeps up to 50 % of the requests for 6000s",
        ),
    ] {
        let (findings, proofs) = rollout(10, steps, metric);
        assert_eq!(findings.is_empty(), expected.is_empty(), "{metric} {findings}");
        assert!(findings.contains(expected), "{metric} {findings}");
        assert_eq!(proofs.contains("MP0801"), expected.is_empty(), "{metric} {proofs}");
    }
}

#[test]
fn what_a_person_ends_is_left_to_that_person_and_what_nobody_measures_is_news() {
    let unknown = "steps: [{setWeight: 50}, {analysis: {templates: [{templateName: elsewhere}]}}]";
    for (strategy, expected) in [
        ("steps: [{setWeight: 20}, {pause: {}}]", ""),
        ("steps: [{setWeight: 20}, {pause: {duration: 1h}}]", "MP0802 Info"),
        (unknown, ""),
        ("steps: [{setWeight: 0}]", ""),
    ] {
        let (findings, _) = rollout(10, strategy, "successCondition: ok");
        assert_eq!(findings.is_empty(), expected.is_empty(), "{strategy} {findings}");
        assert!(findings.starts_with(expected), "{strategy} {findings}");
    }
}

#[test]
fn pods_make_coarse_weights() {
    for (replicas, weight, expected) in [
        (1, 10, "means 50 % of the requests: without traffic routing it is 1 of 2 pods"),
        (3, 10, "means 25 % of the requests"),
        (5, 10, ""),
        (10, 10, ""),
        (2, 40, ""),
    ] {
        let (findings, _) =
            rollout(replicas, &format!("steps: [{{setWeight: {weight}}}, {{pause: {{}}}}]"), "count: 1");
        assert_eq!(findings.is_empty(), expected.is_empty(), "{replicas} {weight} {findings}");
        assert!(findings.contains(expected), "{findings}");
    }
}

#[test]
fn flaggers_threshold_decides() {
    let canary = |threshold: u32| {
        format!(
            "{}{}apiVersion: flagger.app/v1beta1\nkind: Canary\nmetadata: {{name: a}}\nspec: {{targetRef: {{apiVersion: \
             apps/v1, kind: Deployment, name: a}}, service: {{port: 80}}, analysis: {{interval: 1m, threshold: \
             {threshold}, maxWeight: 50, stepWeight: 10}}}}\n",
            namespace(true),
            service("a", "http", 2, &[]),
        )
    };
    let (findings, proofs) = verdicts(&canary(10));
    assert_snapshot!(findings, @"MP0801 Warning mesh.yaml:27 a version that fails keeps up to 50 % of the requests for 660s: that alone is 12 % of what may fail in a month at 99.9 %");
    assert_snapshot!(proofs, @"");
    let (findings, proofs) = verdicts(&canary(5));
    assert_snapshot!(findings, @"");
    assert_snapshot!(proofs, @"MP0801 Canary default/a bad_from_the_start_time_ms=360000 bad_from_the_start_weight_percent=10 exposure_percent_s=18000 failed_checks_tolerated=4 time_until_rollback_ms=360000 weight_percent=50");
}
