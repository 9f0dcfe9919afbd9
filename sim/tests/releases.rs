//! Releases in whole runs: what a controller decides reaches the proxies, and what they count reaches the controller.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod support;

use meshproof_sim::{Number, Run, SimOptions, simulate};
use support::{INJECTED, mesh, scenario, service};

/// A Flagger canary of `api`, looked at every ten seconds.
const CANARY: &str = "---
apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: default}
spec:
  replicas: 2
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: app, image: x, ports: [{containerPort: 8080}]}]}
---
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: api, namespace: default}
spec:
  provider: istio
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: api}
  service: {port: 80, targetPort: 8080}
  analysis:
    interval: 10s
    threshold: 2
    stepWeights: [20, 50]
    metrics:
    - {name: request-success-rate, interval: 10s, thresholdRange: {min: 99}}
    - {name: request-duration, interval: 10s, thresholdRange: {max: 40}}
";

/// An Argo Rollout of `api` that goes by numbers of pods, with an analysis beside its steps.
const ROLLOUT: &str = "---
apiVersion: v1
kind: Service
metadata: {name: api, namespace: default}
spec: {selector: {app: api}, ports: [{name: http, port: 80, targetPort: 8080}]}
---
apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: api, namespace: default}
spec:
  replicas: 4
  strategy:
    canary:
      analysis:
        templates: [{templateName: errors}]
        args: [{name: hash, valueFrom: {podTemplateHashValue: Latest}}]
      steps: [{setWeight: 20}, {pause: {duration: 60s}}]
  selector: {matchLabels: {app: api}}
  template:
    metadata: {labels: {app: api}}
    spec: {containers: [{name: app, image: x, ports: [{containerPort: 8080}]}]}
---
apiVersion: argoproj.io/v1alpha1
kind: AnalysisTemplate
metadata: {name: errors, namespace: default}
spec:
  args: [{name: hash}]
  metrics:
  - name: errors
    interval: 10s
    initialDelay: 20s
    failureCondition: result[0] > 0.5
    provider:
      prometheus:
        query: >
          sum(rate(istio_requests_total{reporter=\"source\",rollouts_pod_template_hash=\"{{args.hash}}\",response_code=~\"5..\"}[20s]))
          / sum(rate(istio_requests_total{reporter=\"source\",rollouts_pod_template_hash=\"{{args.hash}}\"}[20s]))
";

const BEHAVIOUR: &str = r#"Mesh(
    version: 1,
    clients: {"web": (from: Workload("default/web"), to: "default/api:80", requests: [(name: "r")])},
    workloads: {
        "default/web": (calls: []),
        "default/api": (service_time: Constant("5ms"), start_up: "3s"),
    },
)"#;

fn released(manifests: &str, build: &str, options: &SimOptions) -> Run {
    let mesh = mesh(&(INJECTED.to_owned() + &service("web", 1) + manifests), BEHAVIOUR);
    let scenario = scenario(&format!(
        r#"horizon: "110s",
        load: [Open(client: "web", arrivals: Constant, rate: [Hold(rate: "100rps", during: "110s")])],
        rollout: [Release(of: "default/api", at: "10s", scrape: "5s", build: ({build}))]"#
    ));
    let run = simulate(&mesh, &scenario, options).unwrap();
    assert_eq!(run.internal_errors, [""; 0]);
    run
}

/// Seconds, the new version's weight, and words, of the changes of the course.
fn course(run: &Run, new: &str) -> Vec<String> {
    let is_change = |reason: &str| !reason.contains(" is good");
    let lines = run.rollout.iter().filter(|line| is_change(&line.reason));
    lines.map(|line| format!("{} {} {}", line.at_s, line.weight[new], line.reason)).collect()
}

#[test]
fn a_promoted_version_is_what_the_primary_runs() {
    let run = released(CANARY, "service_time: Constant(\"20ms\")", &SimOptions::default());
    let expect = [
        "10 0 the new version is scaled up",
        "20 20 the new version gets 20 %",
        "30 50 the new version gets 50 %",
        "40 50 the new version is copied to the primary",
        "43 50 the primary runs the new version",
        "50 0 the primary gets 100 %",
        "60 0 promoted",
    ];
    assert_eq!(course(&run, "api-canary"), expect);
    let release = &run.releases[0];
    assert_eq!((release.promoted, release.rolled_back), (Number::Count(1), Number::Count(0)));
    assert_eq!(release.weight_max, Number::Real(0.5));
    assert_eq!((release.exposed_ms, release.took_ms), (Number::Real(30_000.0), Number::Real(50_000.0)));
    // One way out and back, and the handler: 5 ms longer before, 20 ms afterwards.
    let means = &run.timeline.series["web.mean_ms"];
    let (before, after) = (means[5], means[100]);
    assert!((after - before - 15.0).abs() < 0.01, "{before} {after}");
    let to_primary = run.calls.iter().find(|call| call.to == "api-primary").unwrap();
    // All requests up to 20 s and from 50 s on, and 80 % and a half of those between, are the primary's; from 43 s on
    // they are the new version's.
    let expect = (3.5 + 60.0) / (20.0 + 8.0 + 6.5 + 3.5 + 60.0);
    let share = to_primary.split["default/api-primary-promoted"].value().unwrap();
    assert!((share - expect).abs() < 0.02, "{share} {expect}");
    assert_eq!(run.clients[0].failed, Number::Count(0), "nobody notices");
}

#[test]
fn checks_that_fail_take_a_version_back() {
    let failing = released(CANARY, "errors: [(status: 500, share: \"100%\")]", &SimOptions::default());
    let expect = [
        "10 0 the new version is scaled up",
        "20 20 the new version gets 20 %",
        "30 20 no value is bad",
        "40 20 no value is bad",
        "50 0 rolled back: 2 checks have failed",
    ];
    // Without a good answer there is no series of good answers, and Prometheus has nothing to give.
    assert_eq!(course(&failing, "api-canary"), expect);
    assert_eq!(failing.releases[0].exposed_ms, Number::Real(30_000.0));
    // A fifth of the requests of half a minute, up to chance.
    let failed = failing.clients[0].failed.value().unwrap();
    assert!((failed - 600.0).abs() < 90.0, "{failed}");
    // A p99 of 41 ms or so lies between 25 and 50 ms: Prometheus says 49.75 ms.
    let slow = released(CANARY, "service_time: Constant(\"40ms\")", &SimOptions::default());
    assert_eq!(course(&slow, "api-canary")[2..4], ["30 20 49.75 is bad", "40 20 49.75 is bad"]);
}

#[test]
fn pods_stand_for_weights_without_a_route() {
    let run = released(ROLLOUT, "errors: [(status: 503, share: \"100%\")]", &SimOptions::default());
    let course = course(&run, "canary");
    // One of five pods is new, three seconds later; its first look is due twenty seconds after the beginning.
    assert_eq!(course[0], "13 20 the new version gets 20 %");
    assert_eq!(course[1..], ["30 20 1 is bad", "30 0 rolled back: the new version gets nothing"], "AR-2 AR-6");
    let share = run.calls[0].split["default/api-canary"].value().unwrap();
    let expect = 17.0 / 5.0 / 110.0;
    assert!((share - expect).abs() < expect / 3.0, "{share} {expect}");
}

/// A release's controller moves its own pods; that nobody else's move is told.
#[test]
fn pods_that_a_release_keeps_still_are_named() {
    let probed = CANARY.replace(
        "ports: [{containerPort: 8080}]",
        "ports: [{containerPort: 8080}], readinessProbe: {httpGet: {path: /, port: 8080}}",
    );
    assert_eq!(released(CANARY, "", &SimOptions::default()).warnings, [""; 0]);
    let expect = "pods of default/api, default/api-primary stay as they are: beside a release, probes, autoscalers, restarts and drains are left out";
    assert_eq!(released(&probed, "", &SimOptions::default()).warnings, [expect]);
}

#[test]
fn releases_are_the_same_on_any_number_of_threads() {
    let run = |threads: usize| {
        let options = SimOptions { replications: Some(3), threads, ..SimOptions::default() };
        released(CANARY, "errors: [(status: 500, share: \"1%\")]", &options)
    };
    assert_eq!(run(1), run(2));
}
