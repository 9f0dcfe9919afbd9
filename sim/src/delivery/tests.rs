//! Courses of releases, computed by hand from what Argo Rollouts and Flagger do.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

use std::collections::BTreeMap;

use meshproof_import::{ImportOptions, import};
use meshproof_model::{
    Sources,
    delivery::{Query, Release},
    read_scenario,
};

use super::*;

const SECOND: u64 = 1_000_000_000;

const PODS: &str = "apiVersion: v1
kind: Namespace
metadata: {name: ns, labels: {istio-injection: enabled}}
---
apiVersion: v1
kind: Service
metadata: {name: old, namespace: ns}
spec: {selector: {app: w}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: new, namespace: ns}
spec: {selector: {app: w}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: route, namespace: ns}
spec:
  hosts: [old]
  http: [{route: [{destination: {host: old}, weight: 100}, {destination: {host: new}, weight: 0}]}]
---
";

const QUERY: &str = "sum(rate(istio_requests_total[1m]))";

/// A Rollout of ten pods with these steps, and what else its strategy says.
fn rollout(steps: &str, more: &str, metrics: &str) -> String {
    format!(
        "{PODS}apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {{name: w, namespace: ns}}
spec:
  replicas: 10
  strategy:
    canary:
      stableService: old
      canaryService: new
      trafficRouting: {{istio: {{virtualService: {{name: route}}}}}}
      {more}
      steps: [{steps}]
  selector: {{matchLabels: {{app: w}}}}
  template: {{metadata: {{labels: {{app: w}}}}, spec: {{containers: [{{name: c, image: c}}]}}}}
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {{name: t, namespace: ns}}
spec:
  args: [{{name: window, value: 1m}}]
  {metrics}
"
    )
}

/// A metric of a template: its name, what it says beside its query.
fn metric(name: &str, more: &str) -> String {
    let query = QUERY.replace("1m", "{{args.window}}");
    format!("{{name: {name}, provider: {{prometheus: {{query: '{query}'}}}}, {more}}}")
}

fn canary(analysis: &str) -> String {
    format!(
        "apiVersion: apps/v1
kind: Deployment
metadata: {{name: w, namespace: ns}}
spec: {{replicas: 3, template: {{metadata: {{labels: {{app: w}}}}, spec: {{containers: [{{name: c, image: c}}]}}}}}}
---
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {{name: w, namespace: ns}}
spec:
  provider: istio
  targetRef: {{apiVersion: apps/v1, kind: Deployment, name: w}}
  service: {{port: 80}}
  {analysis}
"
    )
}

const RELEASE: &str = "Release(of: \"ns/w\", at: \"0s\")";

fn prepare(manifests: &str, step: &str) -> Result<Release, String> {
    let mut sources = Sources::default();
    sources.add("mesh.yaml", manifests);
    let mesh = import(&sources, &ImportOptions::default()).mesh;
    let scenario = read_scenario(&format!("Scenario(version: 1, horizon: \"1h\", rollout: [{step}])")).unwrap();
    match mesh.with_releases(&scenario) {
        Ok(released) => Ok(released.unwrap().1.remove(0)),
        Err(errors) => Err(errors[0].1.clone()),
    }
}

/// Seconds, weight and words of everything that a controller does in an hour.
fn course(release: &Release, mut figure: impl FnMut(u64) -> Option<f64>) -> Vec<String> {
    let mut controller = Controller::new(release);
    let mut lines = Vec::new();
    let mut next = Some(release.at.get());
    while let Some(now) = next.filter(|now| *now <= 3600 * SECOND) {
        let decision = controller.wake(now, &mut |_: &Query| figure(now / SECOND));
        for entry in decision.entries {
            let gate = entry.gate.map_or_else(String::new, |gate| format!("{gate}: "));
            lines.push(format!("{} {} {gate}{}", entry.at / SECOND, entry.weight, entry.reason));
        }
        if let Some((weight, is_promoted)) = decision.shift {
            assert!(release.stage(weight, is_promoted).is_some(), "the mesh was prepared for it");
        }
        assert_eq!(decision.end.is_some(), decision.next.is_none() && !lines.is_empty() && decision.end.is_some());
        next = decision.next;
    }
    lines
}

const T50: &str = "analysis: {interval: 1m, threshold: 5, maxWeight: 50, stepWeight: 10, metrics: [\
    {name: request-success-rate, thresholdRange: {min: 99}, interval: 1m}]}";

#[test]
fn t50_fl3_a_good_version_is_promoted_after_eight_minutes() {
    let release = prepare(&canary(T50), RELEASE).unwrap();
    let lines = course(&release, |_| Some(100.0));
    let expect = [
        "0 0 the new version is scaled up",
        "60 10 the new version gets 10 %",
        "120 10 request-success-rate: 100 is good",
        "120 20 the new version gets 20 %",
        "180 20 request-success-rate: 100 is good",
        "180 30 the new version gets 30 %",
        "240 30 request-success-rate: 100 is good",
        "240 40 the new version gets 40 %",
        "300 40 request-success-rate: 100 is good",
        "300 50 the new version gets 50 %",
        "360 50 request-success-rate: 100 is good",
        "360 50 the new version is copied to the primary",
        "365 50 the primary runs the new version",
        "420 0 the primary gets 100 %",
        "480 0 promoted",
    ];
    assert_eq!(lines, expect, "T50");
}

#[test]
fn t50_fl3_a_version_that_fails_keeps_its_weight_for_threshold_and_one_ticks() {
    let release = prepare(&canary(T50), RELEASE).unwrap();
    let lines = course(&release, |now| Some(if now < 240 { 99.5 } else { 98.99 }));
    assert_eq!(lines[5], "180 30 the new version gets 30 %");
    let expect = [
        "240 30 request-success-rate: 98.99 is bad",
        "300 30 request-success-rate: 98.99 is bad",
        "360 30 request-success-rate: 98.99 is bad",
        "420 30 request-success-rate: 98.99 is bad",
        "480 30 request-success-rate: 98.99 is bad",
        "540 0 rolled back: 5 checks have failed",
    ];
    assert_eq!(lines[6..], expect, "T50 FL-3");
}

#[test]
fn fl3_failed_checks_add_up_and_hold_the_weight() {
    let two = T50.replace("threshold: 5", "threshold: 2");
    let release = prepare(&canary(&two), RELEASE).unwrap();
    // Bad at 120 s, good at 180 s, bad at 240 s.
    let lines = course(&release, |now| (now == 180).then_some(100.0));
    let expect = [
        "60 10 the new version gets 10 %",
        "120 10 request-success-rate: no value is bad",
        "180 10 request-success-rate: 100 is good",
        "180 20 the new version gets 20 %",
        "240 20 request-success-rate: no value is bad",
        "300 0 rolled back: 2 checks have failed",
    ];
    assert_eq!(lines[1..], expect, "FL-3 FL-4 no values are a failure, and successes do not take it back");
}

#[test]
fn fl2_fl3_promotion_in_steps_and_without_an_analysis() {
    let stepped = T50.replace("stepWeight: 10", "stepWeight: 50, stepWeightPromotion: 40");
    let lines = course(&prepare(&canary(&stepped), RELEASE).unwrap(), |_| Some(100.0));
    let expect = [
        "120 50 the new version is copied to the primary",
        "125 50 the primary runs the new version",
        "180 10 the primary gets 90 %",
        "240 0 the primary gets 100 %",
        "300 0 promoted",
    ];
    assert_eq!(lines[3..], expect, "FL-2");
    let skipped = format!("skipAnalysis: true\n  {T50}");
    let lines = course(&prepare(&canary(&skipped), RELEASE).unwrap(), |_| None);
    assert_eq!(lines, ["0 0 the new version is scaled up", "60 0 promoted without an analysis"]);
}

#[test]
fn fl4_checks_have_ranges_and_durations_are_whole_milliseconds() {
    for (metric, figure, is_good) in [
        ("{name: request-duration, thresholdRange: {max: 200}}", 200.9, true),
        ("{name: request-duration, thresholdRange: {max: 200}}", 201.0, false),
        ("{name: request-duration, threshold: 200}", 201.0, false),
        ("{name: request-success-rate, threshold: 99}", 98.9, false),
        ("{name: request-success-rate, threshold: 99}", 99.0, true),
        ("{name: request-success-rate, thresholdRange: {min: 99, max: 99.5}}", 99.6, false),
        ("{name: own, thresholdRange: {max: 5}, query: 'sum(rate(istio_requests_total[1m]))'}", 5.5, false),
        ("{name: own, query: 'sum(rate(istio_requests_total[1m]))'}", 0.0, true),
    ] {
        let text = canary(&format!("analysis: {{threshold: 1, stepWeight: 50, maxWeight: 50, metrics: [{metric}]}}"));
        let lines = course(&prepare(&text, RELEASE).unwrap(), |_| Some(figure));
        let is_promoted = lines.last().unwrap().ends_with("promoted");
        assert_eq!(is_promoted, is_good, "FL-4 {metric} {figure} {lines:?}");
    }
}

#[test]
fn ar1_ar3_steps_pauses_and_somebody() {
    let text = rollout("{setWeight: 20}, {pause: {duration: 10m}}, {setWeight: 60}, {pause: {}}", "", "metrics: []");
    let release = prepare(&text, "Release(of: \"ns/w\", at: \"60s\", resume: [\"5m\", \"20m\"])").unwrap();
    let expect = [
        "65 20 step 1: the new version gets 20 %",
        "670 60 step 3: the new version gets 60 %",
        "670 60 step 4: it waits for somebody",
        "1205 100 last step: the new version gets 100 %",
        "1205 100 promoted",
    ];
    assert_eq!(course(&release, |_| None), expect, "AR-1 AR-3: pods start in 5 s, weights follow them");
    let never = prepare(&text, "Release(of: \"ns/w\", at: \"60s\")").unwrap();
    assert_eq!(course(&never, |_| None).len(), 3, "nobody lets it go on");
    let pods: Vec<(u32, Vec<u32>)> = release.stages.iter().map(|stage| (stage.weight, stage.pods.clone())).collect();
    let of = |weight: u32, canary: u32| (weight, vec![10, canary]);
    assert_eq!(pods, [of(0, 0), of(20, 2), of(60, 6), of(100, 10)], "AR-2");
}

#[test]
fn ar5_ar6_an_inline_analysis_decides() {
    let steps = "{setWeight: 10}, {analysis: {templates: [{templateName: t}]}}";
    let success = "interval: 1m, count: 3, failureLimit: 1, successCondition: 'result[0] >= 0.95'";
    let text = rollout(steps, "", &format!("metrics: [{}]", metric("rate", success)));
    let release = prepare(&text, RELEASE).unwrap();
    let good = course(&release, |now| Some(if now == 65 { 0.9 } else { 0.99 }));
    let expect = [
        "5 10 step 1: the new version gets 10 %",
        "5 10 rate: 0.99 is good",
        "65 10 rate: 0.9 is bad",
        "125 10 rate: 0.99 is good",
        "130 100 last step: the new version gets 100 %",
        "130 100 promoted",
    ];
    assert_eq!(good, expect, "AR-5 one failure is allowed");
    let bad = course(&release, |_| Some(0.9));
    let expect =
        ["5 10 rate: 0.9 is bad", "65 10 rate: 0.9 is bad", "65 0 rate: rolled back: the new version gets nothing"];
    assert_eq!(bad[1..], expect, "AR-6 at once");
    let silent = course(&release, |_| None);
    assert_eq!(silent.last().unwrap(), "245 0 rate: rolled back: the new version gets nothing", "AR-5 five errors");
}

#[test]
fn ar5_ar6_an_analysis_beside_the_steps_starts_where_it_should() {
    let more = "analysis: {templates: [{templateName: t}], startingStep: 2}";
    let steps = "{setWeight: 10}, {pause: {duration: 1m}}, {setWeight: 50}, {pause: {duration: 5m}}";
    let limits = "interval: 30s, initialDelay: 20s, failureCondition: 'result[0] > 0.5'";
    let text = rollout(steps, more, &format!("metrics: [{}]", metric("errors", limits)));
    let release = prepare(&text, RELEASE).unwrap();
    let lines = course(&release, |now| Some(if now < 120 { 0.1 } else { 0.6 }));
    let expect = [
        "5 10 step 1: the new version gets 10 %",
        "70 50 step 3: the new version gets 50 %",
        "85 50 errors: 0.1 is good",
        "115 50 errors: 0.1 is good",
        "145 50 errors: 0.6 is bad",
        "145 0 errors: rolled back: the new version gets nothing",
    ];
    assert_eq!(lines, expect, "AR-6: it begins with step 3 at 65 s, its first measurement 20 s later");
}

#[test]
fn ar6_inconclusive_is_for_somebody_to_judge() {
    let steps = "{setWeight: 10}, {analysis: {templates: [{templateName: t}]}}, {setWeight: 50}";
    let both = "successCondition: 'result[0] > 0.9', failureCondition: 'result[0] < 0.5'";
    let text = rollout(steps, "", &format!("metrics: [{}]", metric("rate", both)));
    let release = prepare(&text, "Release(of: \"ns/w\", at: \"0s\", resume: [\"10m\"])").unwrap();
    let expect = [
        "5 10 rate: 0.7 is inconclusive",
        "5 10 rate: inconclusive: it waits for somebody",
        "600 10 somebody lets it go on",
        "605 50 step 3: the new version gets 50 %",
        "610 100 last step: the new version gets 100 %",
        "610 100 promoted",
    ];
    assert_eq!(course(&release, |_| Some(0.7))[1..], expect, "AR-6");
}

#[test]
fn ar2_ar6_old_pods_come_back_first_and_dry_metrics_decide_nothing() {
    let success = "count: 1, successCondition: 'result[0] > 0.9'";
    let steps = "{setWeight: 50}, {analysis: {templates: [{templateName: t}]}}";
    let metrics = format!("metrics: [{}]", metric("rate", success));
    let release = prepare(&rollout(steps, "dynamicStableScale: true", &metrics), RELEASE).unwrap();
    let expect = [
        "5 50 rate: 0.1 is bad",
        "5 50 rate: aborted: old pods start again",
        "10 0 rate: rolled back: the new version gets nothing",
    ];
    assert_eq!(course(&release, |_| Some(0.1))[1..], expect, "dynamicStableScale");
    let dry = rollout(steps, "", &format!("dryRun: [{{metricName: rate}}]\n  {metrics}"));
    let lines = course(&prepare(&dry, RELEASE).unwrap(), |_| Some(0.1));
    assert_eq!(lines.last().unwrap(), "10 100 promoted", "AR-6 dryRun");
}

#[test]
fn what_is_not_modelled_is_named() {
    let steps = "{setWeight: 10}, {analysis: {templates: [{templateName: t}]}}";
    let of = |metrics: &str| rollout(steps, "", metrics);
    let asked = |query: &str| of(&format!("metrics: [{{name: m, provider: {{prometheus: {{query: '{query}'}}}}}}]"));
    for (text, expect) in [
        (asked("max(up)"), "metric `m` of AnalysisTemplate `t`: `max` is not modelled"),
        (
            asked("sum(rate(istio_requests_total[{{args.x}}]))"),
            "metric `m` of AnalysisTemplate `t`: `{{ args.x }}` has no value that a run knows",
        ),
        (
            of("metrics: [{name: m, provider: {web: {url: x}}}]"),
            "metric `m` of AnalysisTemplate `t`: what is not asked of Prometheus is not modelled",
        ),
        (
            of(&format!("metrics: [{}]", metric("m", "count: '{{args.n}}'"))),
            "metric `m` of AnalysisTemplate `t`: `count` is an argument, which is not modelled",
        ),
        (
            rollout("{analysis: {templates: [{templateName: u}]}}", "", "metrics: []"),
            "there is no AnalysisTemplate `u`",
        ),
        (canary("analysis: {iterations: 3}"), "`iterations` and `match` (blue/green, A/B) are not modelled in a run"),
        (
            canary("analysis: {stepWeight: 10, metrics: [{name: latency}]}"),
            "metric `latency`: it is not built in, and has no query",
        ),
        (
            canary("analysis: {stepWeight: 10, metrics: [{name: l, templateRef: {name: l}}]}"),
            "metric `l`: there is no MetricTemplate `ns/l`",
        ),
    ] {
        assert_eq!(prepare(&text, RELEASE).map(|_| ()).unwrap_err(), expect);
    }
    let unknown = prepare(&canary(T50), "Release(of: \"ns/v\", at: \"0s\")").map(|_| ()).unwrap_err();
    assert_eq!(unknown, "there is no Rollout and no Canary `ns/v`; did you mean `ns/w`?");
    let passed = prepare(&rollout("{setCanaryScale: {replicas: 1}}, {setWeight: 5}", "", "metrics: []"), RELEASE);
    assert_eq!(passed.unwrap().warnings, ["step 1 (`setCanaryScale`) of a Rollout in `ns` is passed over"]);
}

/// Counters that are read every ten seconds, of one workload and one service.
fn counters(requests: impl IntoIterator<Item = (u64, u16, u64)>) -> (Counters, Names) {
    let mut counters = Counters::new(meshproof_model::Nanos::from_secs(10));
    for (second, status, millis) in requests {
        counters.record(second * SECOND, Side::Destination, (0, 0), status, millis * 1_000_000);
    }
    let names = |key: &'static str, value: &str| vec![BTreeMap::from([(key, value.to_owned())])];
    let names = Names { workloads: names("destination_workload", "w"), services: names("destination_service", "s") };
    (counters, names)
}

#[test]
fn prometheus_answers_from_its_samples() {
    // One good request a second from 0 s, and one bad one every five seconds from 30 s.
    let good = (0..120).map(|second| (second, 200, 80));
    let bad = (30..120).step_by(5).map(|second| (second, 503, 200));
    let (counters, names) = counters(good.chain(bad));
    let all = "sum(rate(istio_requests_total{destination_workload=\"w\"}[60s]))";
    let good = "sum(rate(istio_requests_total{response_code!~\"5.*\"}[60s]))";
    let bad = "sum(rate(istio_requests_total{response_code=~\"5..\"}[60s]))";
    let p99 = "histogram_quantile(0.99, sum(rate(istio_request_duration_milliseconds_bucket[60s])) by (le))";
    let of = |text: &str, now: u64| counters.answer(&names, now * SECOND, &Query::parse(text).unwrap());
    for (query, now, expect) in [
        // No two samples yet.
        (all.to_owned(), 19, None),
        (all.to_owned(), 15, None),
        // The samples of 110 s and of 60 s, 60 requests apart, stretched from 50 s to 55 s: the window begins at 55 s,
        // which is half an interval before the first sample, and ends 5 s after the last.
        (format!("{good} * 60"), 115, Some(60.0)),
        (bad.to_owned(), 115, Some(0.2)),
        (format!("{good} / {all}"), 115, Some(1.0 / 1.2)),
        // No bad request has been seen by 30 s, and at 50 s they are in the window with one sample each.
        (bad.to_owned(), 39, None),
        (format!("{bad} or vector(0)"), 39, Some(0.0)),
        (format!("({bad} / {all}) or on() vector(1)"), 39, Some(1.0)),
        ("sum(irate(istio_requests_total[60s]))".to_owned(), 119, Some(1.2)),
        ("sum(increase(istio_requests_total{response_code=\"200\"}[60s]))".to_owned(), 115, Some(60.0)),
        // Of 1.2 requests a second a sixth lies between 100 and 250 ms: rank 1.188 lies at 0.188 of that 0.2.
        (p99.to_owned(), 115, Some(100.0 + 150.0 * (0.188 / 0.2))),
        ("histogram_quantile(0.5, sum by (le) (rate(istio_request_duration_milliseconds_bucket[60s])))".to_owned(), 115, Some(80.0)),
        ("sum(rate(istio_request_duration_milliseconds_sum[60s])) / sum(rate(istio_request_duration_milliseconds_count[60s]))".to_owned(), 115, Some(100.0)),
        ("sum(rate(istio_requests_total{reporter=\"source\"}[60s]))".to_owned(), 115, None),
        // Nothing has come since: no change is no request, and no share.
        (all.to_owned(), 300, Some(0.0)),
    ] {
        let answer = of(&query, now);
        let is_near = match (answer, expect) {
            (Some(answer), Some(expect)) => (answer - expect).abs() < 1e-9,
            (answer, expect) => answer == expect,
        };
        assert!(is_near, "{query} at {now}: {answer:?}, not {expect:?}");
    }
    assert!(of(&format!("{good} / {all}"), 300).unwrap().is_nan(), "0 / 0");
}
