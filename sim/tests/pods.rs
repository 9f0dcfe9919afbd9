//! Pods that come and go: rolling updates, terminations, probes, drains and autoscalers do what Kubernetes says.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::float_cmp, reason = "a test may stop")]

mod support;

use std::sync::Arc;

use meshproof_import::{ImportOptions, import};
use meshproof_model::{Distribution, Mesh, Nanos, Sources};
use meshproof_sim::{Run, SimOptions};
use support::{INJECTED, mesh, retries, run, scenario, service};

const STEADY: &str =
    "load: [Open(client: \"load\", arrivals: Constant, rate: [Hold(rate: \"100rps\", during: \"1s\")])]";

/// A front calls `s`, which has so many replicas; `pod` and `deployment` are put into its manifest.
fn manifests(replicas: u32, deployment: &str, pod: &str, container: &str) -> String {
    let s = service("s", replicas)
        .replace("  selector: {matchLabels", &format!("{deployment}  selector: {{matchLabels"))
        .replace("spec: {containers: [{name: app,", &format!("spec: {{{pod}containers: [{{name: app, {container}"));
    INJECTED.to_owned() + &service("front", 1) + &s + &retries("s", "{attempts: 0}")
}

/// Requests outside of which nothing takes time; endpoints are heard of after two seconds.
fn of(manifests: &str, workload: &str, more: &str) -> Mesh {
    let behaviour = format!(
        "Mesh(version: 1,
            clients: {{\"load\": (from: Workload(\"default/front\"), to: \"default/s:80\", requests: [(name: \"r\")],
                patience: Constant(\"1s\"))}},
            workloads: {{\"default/s\": (start_up: \"1s\", {workload})}},
            control_plane: (push: Constant(\"2s\")), {more})"
    );
    mesh(manifests, &behaviour)
}

fn during(mesh: &Mesh, rest: &str) -> Run {
    run(mesh, &scenario(&format!("horizon: \"60s\", {STEADY}, {rest}")), &SimOptions::default())
}

fn failed(run: &Run) -> f64 {
    run.clients[0].failed.value().unwrap()
}

/// The fewest and the most replicas that were ready.
fn replicas(run: &Run) -> (f64, f64) {
    let series = &run.timeline.series["s.replicas"];
    (series.iter().copied().fold(f64::MAX, f64::min), series.iter().copied().fold(0.0, f64::max))
}

const RESTART: &str = "rollout: [Restart(workload: \"default/s\", at: \"5s\")]";
const SLEEP: &str = "lifecycle: {preStop: {sleep: {seconds: 5}}}, ";

#[test]
fn a_rolling_update_keeps_to_its_strategy() {
    let strategy = |text: &str| format!("  strategy: {text}\n");
    for (replicas_wanted, deployment, expect) in [
        // An old one goes at the moment at which a new one is ready. One fewer than four; none; one; all.
        (4, String::new(), (3.0, 4.0)),
        (4, strategy("{rollingUpdate: {maxUnavailable: 0, maxSurge: 2}}"), (4.0, 4.0)),
        (4, strategy("{rollingUpdate: {maxUnavailable: 1, maxSurge: 0}}"), (3.0, 4.0)),
        (4, strategy("{type: Recreate}"), (0.0, 4.0)),
    ] {
        let mesh = of(&manifests(replicas_wanted, &deployment, "", ""), "", "");
        let run = during(&mesh, RESTART);
        assert_eq!(replicas(&run), expect, "{deployment}");
        assert_eq!(run.timeline.series["s.replicas"][59], 4.0, "{deployment}");
        assert_eq!(run.rollout[0].reason, "restart default/s");
    }
}

#[test]
fn pods_that_stop_before_everybody_knows_cost_requests() {
    let at_once = failed(&during(&of(&manifests(4, "", "", ""), "", ""), RESTART));
    // Each of the four is missed for two seconds, at a quarter of a hundred requests, or more while few are known.
    assert!((200.0..=240.0).contains(&at_once), "{at_once}");
    let sleeps = during(&of(&manifests(4, "", "", SLEEP), "", ""), RESTART);
    assert_eq!(failed(&sleeps), 0.0, "`preStop` is longer than the lag");
    let finishes = failed(&during(&of(&manifests(4, "", "", ""), "finishes_work: true", ""), RESTART));
    assert!(finishes > 0.0, "connections are refused all the same");
    let short = "terminationGracePeriodSeconds: 1, ";
    let cut = failed(&during(&of(&manifests(4, "", short, SLEEP), "", ""), RESTART));
    assert!(cut > 0.0 && cut < at_once, "the grace period ends the sleep: {cut}");
}

#[test]
fn a_pod_that_finishes_its_work_loses_none() {
    // Endpoints are heard of at once; what counts is what is under way.
    let quick =
        "network: (same_zone: Constant(\"0ms\"), connect: \"0ms\", tls_handshake: \"0ms\", proxy: Constant(\"0ms\"))";
    let run_of = |workload: &str| {
        let workload = format!("service_time: Constant(\"800ms\"), {workload}");
        let mut mesh = of(&manifests(2, "", "", ""), &workload, quick);
        mesh.behaviour.control_plane.push = Distribution::Constant(Nanos::ZERO);
        failed(&during(&mesh, RESTART))
    };
    // Two pods with 40 requests each.
    let lost = run_of("");
    assert!((60.0..=90.0).contains(&lost), "{lost}");
    assert_eq!(run_of("finishes_work: true"), 0.0);
}

#[test]
fn a_control_plane_that_is_away_hides_new_pods_and_old_ones() {
    let mesh = of(&manifests(4, "", "", SLEEP), "", "");
    let run = during(&mesh, &format!("{RESTART}, faults: [ControlPlane(at: \"4s\", during: \"20s\")]"));
    // New pods get no configuration before it is back, so old ones stay, but for the one that may be missing.
    assert_eq!(replicas(&run).0, 3.0);
    assert!(run.timeline.series["s.replicas"][20] <= 3.0);
    assert!(failed(&run) > 300.0, "{}", failed(&run));
}

#[test]
fn evictions_wait_for_the_budget() {
    let zones = "placement: (zones: [\"a\", \"b\"], spread: Even)";
    let budget = "---\napiVersion: policy/v1\nkind: PodDisruptionBudget\nmetadata: {name: s, namespace: default}
spec: {minAvailable: 3, selector: {matchLabels: {app: s}}}\n";
    let drain = "rollout: [Drain(zone: \"b\", at: \"5s\", during: \"40s\")]";
    let without = during(&of(&manifests(4, "", "", SLEEP), "", zones), drain);
    assert_eq!(replicas(&without).0, 2.0, "both pods of the zone go at once");
    let with = during(&of(&(manifests(4, "", "", SLEEP) + budget), "", zones), drain);
    assert_eq!(replicas(&with), (3.0, 4.0));
    assert_eq!((failed(&without), failed(&with)), (0.0, 0.0));
    let stuck = budget.replace("minAvailable: 3", "maxUnavailable: 0");
    let stuck = during(&of(&(manifests(4, "", "", "") + &stuck), "", zones), drain);
    assert_eq!(replicas(&stuck), (4.0, 4.0), "the drain never gets anywhere");
}

fn autoscaler(metric: &str, target: &str) -> String {
    format!(
        "---\napiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nmetadata: {{name: s, namespace: default}}
spec:
  scaleTargetRef: {{apiVersion: apps/v1, kind: Deployment, name: s}}
  minReplicas: 2
  maxReplicas: 10
  metrics: [{{type: {metric}, target: {target}}}]\n"
    )
}

/// Twenty requests a second for each pod.
fn by_rate() -> String {
    let target = "{type: AverageValue, averageValue: \"20\"}}";
    autoscaler("Pods, pods: {metric: {name: requests_per_second}", target)
}

#[test]
fn an_autoscaler_follows_the_load() {
    let until = |time: &str| {
        format!(
            "horizon: \"400s\", load: [Open(client: \"load\", arrivals: Constant,
            rate: [Hold(rate: \"100rps\", during: \"{time}\"), Hold(rate: \"10rps\", during: \"1s\")])]"
        )
    };
    let mesh = of(&(manifests(2, "", "", "") + &by_rate()), "", "");
    let all = run(&mesh, &scenario(&until("30s")), &SimOptions::default());
    let series = &all.timeline.series["s.replicas"];
    // 50 a second each: 2 * 50 / 20 at 15 s, and a second to start; down to the least 300 s after it was last needed.
    assert_eq!((series[14], series[17], series[300]), (2.0, 5.0, 5.0));
    assert_eq!((series[350], replicas(&all)), (2.0, (2.0, 5.0)));
    let slow = "  behavior: {scaleDown: {stabilizationWindowSeconds: 0, policies: [{type: Pods, value: 1, periodSeconds: 60}]}}\n";
    let mesh = of(&(manifests(2, "", "", SLEEP) + &by_rate() + slow), "", "");
    let all = run(&mesh, &scenario(&until("100s")), &SimOptions::default());
    let series = &all.timeline.series["s.replicas"];
    // One in a minute, by steps of 15 s.
    assert_eq!((series[100], series[170], series[190], series[300]), (5.0, 4.0, 3.0, 2.0));
    assert_eq!(failed(&all), 0.0);
}

#[test]
fn an_autoscaler_on_cpu_needs_requests() {
    let cpu = autoscaler("Resource, resource: {name: cpu", "{type: Utilization, averageUtilization: 50}}");
    let busy = "concurrency: 1, service_time: Constant(\"16ms\")";
    let run_with = |container: &str| during(&of(&(manifests(2, "", "", container) + &cpu), busy, ""), "");
    // Each of two is busy for 50 * 16 ms a second: ceil(2 * 80 / 50).
    let scaled = run_with("resources: {requests: {cpu: 500m}}, ");
    assert_eq!(replicas(&scaled), (2.0, 4.0));
    let not = run_with("");
    assert!(not.warnings.iter().any(|warning| warning.contains("request no CPU")), "{:?}", not.warnings);
    assert_eq!(replicas(&not), (2.0, 2.0));
}

#[test]
fn probes_take_out_what_does_not_answer_and_start_it_anew() {
    let freeze = "faults: [Freeze(workload: \"default/s\", replicas: Count(1), at: \"10s\", during: \"30s\")]";
    let probe = |kind: &str| format!("{kind}: {{tcpSocket: {{port: 8080}}, periodSeconds: 1, failureThreshold: 2}}, ");
    let run_with = |container: &str, rest: &str| during(&of(&manifests(2, "", "", container), "", ""), rest);
    let blind = failed(&run_with("", freeze));
    // The balancer prefers who has fewer requests: a quarter of those of 30 s.
    assert!((680.0..=770.0).contains(&blind), "{blind}");
    // Found out after two to three seconds, and heard of two seconds later.
    let ready = run_with(&probe("readinessProbe"), freeze);
    assert!((80.0..=150.0).contains(&failed(&ready)), "{}", failed(&ready));
    assert_eq!(replicas(&ready), (1.0, 2.0));
    // A start takes 10 s, and the probe allows 3 s of them: new pods never become ready, and old ones stay.
    let impatient = of(&manifests(2, "", "", &probe("livenessProbe")), "", "");
    let mut slow = impatient.clone();
    slow.behaviour.workloads["default/s"].start_up = Nanos::from_secs(10);
    let stuck = during(&slow, RESTART);
    assert_eq!((replicas(&stuck), failed(&stuck)), ((2.0, 2.0), 0.0));
    let patient = probe("livenessProbe")
        + "startupProbe: {tcpSocket: {port: 8080}, periodSeconds: 1, failureThreshold: 30}, "
        + SLEEP;
    let mut patient = of(&manifests(2, "", "", &patient), "", "");
    patient.behaviour.workloads["default/s"].start_up = Nanos::from_secs(10);
    assert_eq!(replicas(&during(&patient, RESTART)), (2.0, 2.0));
}

/// A namespace gets its label; pods get sidecars when they are replaced, not before.
#[test]
fn sidecars_come_with_new_pods() {
    let meshed = manifests(2, "", "", SLEEP);
    let label = ", labels: {istio-injection: enabled}";
    let without = meshed.replace(label, ", labels: {istio-injection: disabled}");
    let base = of(&without, "", "");
    let mut sources = Sources::default();
    sources.add("mesh.yaml", meshed);
    let stage = base.stage(import(&sources, &ImportOptions::default()).mesh, Vec::new()).expect("a stage");
    let stages = [(0, Arc::new(stage))].into_iter().collect();
    let options = SimOptions { stages, ..SimOptions::default() };
    let run_with = |steps: &str| {
        let text = format!("horizon: \"60s\", {STEADY}, rollout: [Apply(files: [\"f\"], at: \"5s\"), {steps}]");
        run(&base, &scenario(&text), &options)
    };
    let mtls = |run: &Run| run.calls[0].mtls_ratio.value().unwrap();
    let labelled = run_with("");
    assert_eq!((mtls(&labelled), failed(&labelled)), (0.0, 0.0));
    let servers = run_with("Restart(workload: \"default/s\", at: \"10s\")");
    assert_eq!((mtls(&servers), failed(&servers)), (0.0, 0.0), "the client has no certificate");
    let both =
        run_with("Restart(workload: \"default/s\", at: \"10s\"), Restart(workload: \"default/front\", at: \"30s\")");
    assert!((0.35..0.5).contains(&mtls(&both)), "{}", mtls(&both));
}

#[test]
fn a_template_that_changes_rolls_and_one_that_does_not_stays() {
    let base = of(&manifests(2, "", "", SLEEP), "", "");
    let run_with = |manifests: &str| {
        let mut sources = Sources::default();
        sources.add("mesh.yaml", manifests);
        let stage = base.stage(import(&sources, &ImportOptions::default()).mesh, Vec::new()).expect("a stage");
        let options = SimOptions { stages: [(0, Arc::new(stage))].into_iter().collect(), ..SimOptions::default() };
        let text = format!("horizon: \"60s\", {STEADY}, rollout: [Apply(files: [\"f\"], at: \"5s\")]");
        run(&base, &scenario(&text), &options)
    };
    let same = run_with(&manifests(2, "", "", SLEEP));
    assert!(!same.timeline.series.contains_key("s.replicas"));
    let more = run_with(&manifests(5, "", "", SLEEP));
    assert_eq!((replicas(&more), failed(&more)), ((2.0, 5.0), 0.0));
    let labels = ("labels: {app: s}}\n    spec", "labels: {app: s, version: v2}}\n    spec");
    let labelled = manifests(2, "", "", "").replace(labels.0, labels.1);
    let labelled = run_with(&labelled);
    // Those of the start sleep before they stop; all that is seen of the others is that they are there.
    assert_eq!((replicas(&labelled), failed(&labelled)), ((2.0, 2.0), 0.0));
    assert!(labelled.events > more.events, "pods were replaced");
}

#[test]
fn runs_with_pods_repeat_themselves_over_any_number_of_threads() {
    let mut mesh = of(
        &(manifests(2, "", "", "readinessProbe: {tcpSocket: {port: 8080}, periodSeconds: 3}, ") + &by_rate()),
        "",
        "",
    );
    mesh.behaviour.control_plane.push = Distribution::Exponential { mean: Nanos::from_secs(1) };
    let text = format!(
        "horizon: \"60s\", load: [Open(client: \"load\", rate: [Hold(rate: \"100rps\", during: \"1s\")])], {RESTART},
            faults: [Crash(workload: \"default/s\", replicas: Count(1), at: \"20s\", during: \"5s\")]"
    );
    let digest = |threads: usize| {
        let options = SimOptions { threads, replications: Some(3), ..SimOptions::default() };
        serde_json::to_string(&run(&mesh, &scenario(&text), &options)).unwrap()
    };
    assert_eq!(digest(1), digest(2));
    assert_eq!(digest(1), digest(1));
}
