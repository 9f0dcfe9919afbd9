//! Rollouts, analyses, canaries, scalers and waves, with their places; verdicts do not see them, so they stay named.

use meshproof_model::{
    Nanos,
    delivery::{RolloutStrategy, StepAction, SyncPhase, waves},
};

use super::{findings, read, read_clean, show};

#[test]
fn ar1_ar4_ar5_argo_rollouts_is_read() {
    let text = "apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: w, namespace: ns}
spec:
  replicas: 10
  strategy:
    canary:
      canaryService: w-canary
      stableService: w-stable
      dynamicStableScale: true
      analysis: {templates: [{templateName: ok}], startingStep: 2}
      trafficRouting:
        istio:
          virtualService: {name: w, routes: [primary]}
          destinationRule: {name: w, canarySubsetName: canary, stableSubsetName: stable}
      steps:
      - setWeight: 20
      - pause: {duration: 10m}
      - pause: {}
      - analysis: {templates: [{templateName: ok}]}
      - setCanaryScale: {replicas: 3}
  template: {metadata: {labels: {app: w}}, spec: {containers: [{name: c}]}}
---
apiVersion: argoproj.io/v1alpha1
kind: ClusterAnalysisTemplate
metadata: {name: ok}
spec:
  dryRun: [{metricName: b}]
  metrics:
  - {name: a, interval: 1m, count: 5, failureLimit: 2, successCondition: 'result > 0.9', provider: {prometheus: {query: x}}}
  - {name: b, interval: '{{args.i}}', count: '{{args.n}}'}
";
    let mesh = read_clean(text).mesh;
    assert_eq!(mesh.workloads[0].replicas.value, 10, "a Rollout runs pods too");
    let RolloutStrategy::Canary(canary) = &mesh.delivery.rollouts[0].strategy else { panic!() };
    let actions: Vec<StepAction> = canary.steps.iter().map(|step| step.action.clone()).collect();
    assert_eq!(
        actions,
        [
            StepAction::Weight(20),
            StepAction::Pause(Some(Nanos::from_secs(600))),
            StepAction::Pause(None),
            StepAction::Analysis(vec!["ok".into()]),
            StepAction::Other("setCanaryScale".into()),
        ]
    );
    let traffic = canary.traffic.as_ref().unwrap();
    assert_eq!((traffic.kind.as_str(), traffic.routes[0].rules[0].value.as_str()), ("istio", "primary"));
    assert_eq!(
        show(Some(&traffic.routes[0].name)),
        "\"w\" @ 14:28 spec.strategy.canary.trafficRouting.istio.virtualService.name"
    );
    assert_eq!(traffic.subsets.as_ref().map(|(_, canary, _)| canary.as_str()), Some("canary"));
    assert_eq!((canary.weights(), canary.counts(10, 20).stable), (vec![0, 20, 100], 8), "AR-4");
    let template = &mesh.delivery.analyses[0];
    assert_eq!(template.metrics[0].detection(), Some(Nanos::from_secs(180)), "AR-7");
    assert_eq!((template.metrics[1].interval.is_none(), template.dry_run.as_slice()), (true, &["b".to_owned()][..]));
    let gaps: Vec<&str> = mesh.unmodelled.iter().map(|gap| &*gap.reason).collect();
    assert!(gaps.iter().any(|gap| gap.contains("spec.strategy")), "{gaps:?}");
    assert!(gaps.iter().any(|gap| gap.contains("changes what runs over time")), "{gaps:?}");
}

#[test]
fn fl1_kd1_flagger_and_keda_are_read() {
    let text = "apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: w, namespace: ns}
spec:
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: w}
  service: {port: 80, gateways: [g], hosts: [w.example.com], timeout: 5s, retries: {attempts: 3, perTryTimeout: 1s}}
  analysis: {interval: 1m, threshold: 5, maxWeight: 50, stepWeight: 10, metrics: [{name: request-success-rate}]}
---
apiVersion: keda.sh/v1alpha1
kind: ScaledObject
metadata: {name: s, namespace: ns}
spec:
  scaleTargetRef: {name: w}
  minReplicaCount: 1
  triggers: [{type: aws-sqs-queue, metadata: {queueURL: u, awsRegion: r, queueLength: '20', activationQueueLength: '2'}}]
";
    let mesh = read_clean(text).mesh;
    let canary = &mesh.delivery.canaries[0];
    assert_eq!(canary.analysis.least_time(), Nanos::from_secs(480), "T50");
    assert_eq!(show(canary.service.timeout.as_ref()), "Nanos(5000000000) @ 6:62 spec.service.timeout");
    assert_eq!(canary.service.retries.as_ref().and_then(|r| r.attempts.as_ref()).map(|n| n.value), Some(3));
    let scaler = &mesh.delivery.scalers[0];
    assert_eq!((scaler.desired(&[2_000]), scaler.desired(&[50_000])), (1, 3), "KD-2");
    assert_eq!(mesh.unmodelled.len(), 2);
}

#[test]
fn fl1_routes_that_flagger_makes() {
    let text = "apiVersion: apps/v1
kind: Deployment
metadata: {name: w, namespace: ns}
spec: {replicas: 3, template: {metadata: {labels: {app: w}}, spec: {containers: [{name: c, image: c}]}}}
---
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: w, namespace: ns}
spec:
  provider: istio
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: w}
  service:
    port: 80
    targetPort: 8080
    timeout: 5s
    retries: {attempts: 3}
    match: [{uri: {prefix: /}}]
    trafficPolicy: {connectionPool: {tcp: {maxConnections: 9}}}
";
    let mesh = read(text).mesh;
    let pods: Vec<(&str, u32, &str)> = mesh
        .workloads
        .iter()
        .map(|workload| (workload.meta.name(), workload.replicas.value, workload.labels["app"].as_str()))
        .collect();
    assert_eq!(pods, [("w", 0, "w"), ("w-primary", 3, "w-primary")], "FL-1");
    let services: Vec<(&str, &str)> =
        mesh.services.iter().map(|service| (service.meta.name(), service.selector["app"].as_str())).collect();
    assert_eq!(services, [("w", "w-primary"), ("w-primary", "w-primary"), ("w-canary", "w")], "FL-1");
    let routes = &mesh.virtual_services[0];
    assert_eq!(show(Some(&routes.hosts[0])), "\"w\" @ 11:3 spec.targetRef");
    let rule = &routes.http[0];
    assert_eq!(show(rule.timeout.as_ref()), "Nanos(5000000000) @ 15:5 spec.service.timeout");
    let weights: Vec<(&str, u32)> =
        rule.route.iter().map(|to| (to.host.value.as_str(), to.weight.as_ref().unwrap().value)).collect();
    assert_eq!(weights, [("w-primary", 100), ("w-canary", 0)], "FL-1");
    assert_eq!((rule.matches.len(), mesh.destination_rules.len()), (1, 2));
    assert!(mesh.unmodelled.iter().any(|gap| gap.reason.contains("all requests for the primary")));
}

#[test]
fn go2_waves_are_read_from_every_object() {
    let object = |kind: &str, name: &str, annotations: &str| {
        format!("apiVersion: v1\nkind: {kind}\nmetadata: {{name: {name}, annotations: {{{annotations}}}}}\n---\n")
    };
    let text = object("Secret", "late", "argocd.argoproj.io/sync-wave: '2'")
        + &object("ServiceAccount", "plain", "")
        + &object("Secret", "first", "argocd.argoproj.io/hook: PreSync");
    let mesh = read_clean(&text).mesh;
    let order: Vec<(SyncPhase, i64, &str)> = waves(&mesh.delivery.waves)
        .iter()
        .map(|wave| (wave.phase, wave.number, wave.resources[0].name.as_str()))
        .collect();
    assert_eq!(order, [(SyncPhase::PreSync, 0, "first"), (SyncPhase::Sync, 0, "plain"), (SyncPhase::Sync, 2, "late")]);
    let broken = object("Secret", "x", "argocd.argoproj.io/sync-wave: soon");
    assert_eq!(findings(&read(&broken)), ["MP0105 3:35 a sync wave is a whole number"]);
}
