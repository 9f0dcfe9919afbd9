//! Kubernetes' kinds beside services and workloads, with their places; what verdicts do not see stays named.

use meshproof_model::kubernetes::{
    IntOrPercent, MetricTarget, PolicyPeer, PortMatch, ProbeAction, SelectPolicy, TrafficDistribution,
};

use super::{place, read_clean, show};

#[test]
fn k2_k3_k4_the_life_of_pods_is_kept_and_named() {
    let text = "apiVersion: apps/v1
kind: Deployment
metadata: {name: w, namespace: ns}
spec:
  minReadySeconds: 5
  strategy: {rollingUpdate: {maxSurge: 50%, maxUnavailable: 0}}
  template:
    spec:
      terminationGracePeriodSeconds: 60
      containers:
      - name: c
        readinessProbe: {httpGet: {path: /ready, port: web}, periodSeconds: 5}
        livenessProbe: {grpc: {port: 9000}}
        lifecycle: {preStop: {exec: {command: [sh, -c, sleep 10]}}}
        resources: {requests: {cpu: 250m}, limits: {cpu: 1}}
";
    let mesh = read_clean(text).mesh;
    let life = &mesh.workloads[0].life;
    assert_eq!(show(life.strategy.max_surge.as_ref()), "Percent(50) @ 6:30 spec.strategy.rollingUpdate.maxSurge");
    assert_eq!(life.strategy.max_unavailable.as_ref().map(|n| n.value), Some(IntOrPercent::Count(0)));
    assert_eq!((life.grace().as_millis(), life.min_ready.as_ref().map(|n| n.value.as_millis())), (60_000, Some(5_000)));
    let container = &life.containers[0];
    let ready = container.readiness.as_ref().unwrap();
    assert_eq!(ready.action, ProbeAction::HttpGet { path: "/ready".into(), port: "web".into() });
    assert_eq!(ready.detection().as_millis(), 16_000, "K-2");
    assert_eq!(container.liveness.as_ref().unwrap().action, ProbeAction::Grpc(9000));
    assert_eq!(container.pre_stop.as_ref().unwrap().sleep.map(meshproof_model::Nanos::as_millis), Some(10_000));
    assert_eq!(container.cpu_request_milli.as_ref().map(|n| n.value), Some(250));
    assert_eq!(container.cpu_limit_milli.as_ref().map(|n| n.value), Some(1000));
    let gaps: Vec<String> = mesh.unmodelled.iter().map(|gap| place(&gap.at)).collect();
    for path in ["spec.strategy", "spec.minReadySeconds", "spec.template.spec.containers[0].readinessProbe"] {
        assert!(gaps.iter().any(|gap| gap.ends_with(path)), "{path} stays named: {gaps:?}");
    }
}

#[test]
fn k8_en1_options_of_services_are_kept_and_named() {
    let text = "apiVersion: v1
kind: Service
metadata: {name: s, namespace: ns}
spec:
  ports: [{port: 80}]
  sessionAffinity: ClientIP
  trafficDistribution: PreferClose
  internalTrafficPolicy: Local
  publishNotReadyAddresses: true
---
apiVersion: v1
kind: Service
metadata: {name: e, namespace: ns}
spec: {type: ExternalName, externalName: db.example.com}
";
    let mesh = read_clean(text).mesh;
    let options = &mesh.services[0].options;
    assert_eq!(options.client_affinity.as_ref().map(|n| n.value.as_millis()), Some(10_800_000), "K-8");
    assert_eq!(options.traffic_distribution.as_ref().map(|n| n.value), Some(TrafficDistribution::SameZone));
    assert_eq!(show(options.internal_local.as_ref()), "true @ 8:3 spec.internalTrafficPolicy");
    assert_eq!(options.publish_not_ready.as_ref().map(|n| n.value), Some(true));
    assert_eq!(show(mesh.services[1].options.external_name.as_ref()), "\"db.example.com\" @ 14:28 spec.externalName");
    assert_eq!(mesh.unmodelled.iter().filter(|gap| gap.matters).count(), 3);
}

#[test]
fn k5_k6_k7_k1_objects_are_read_to_their_leaves() {
    let text = "apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: h, namespace: ns}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: web}
  minReplicas: 2
  maxReplicas: 10
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}
  - {type: Pods, pods: {metric: {name: rps}, target: {type: AverageValue, averageValue: 1k}}}
  behavior: {scaleDown: {selectPolicy: Min, stabilizationWindowSeconds: 60, policies: [{type: Percent, value: 10, periodSeconds: 60}]}}
---
apiVersion: policy/v1
kind: PodDisruptionBudget
metadata: {name: b, namespace: ns}
spec: {minAvailable: 50%, selector: {matchLabels: {app: web}}}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: np, namespace: ns}
spec:
  podSelector: {}
  egress:
  - to: [{ipBlock: {cidr: 10.0.0.0/8, except: [10.1.0.0/16]}}]
    ports: [{port: web}, {port: 1000, endPort: 2000, protocol: UDP}]
---
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata: {name: e, namespace: ns, labels: {kubernetes.io/service-name: db}}
addressType: IPv4
endpoints: [{addresses: [10.9.9.9], conditions: {ready: false}, zone: a}]
ports: [{name: pg, port: 5432}]
---
apiVersion: v1
kind: Endpoints
metadata: {name: old, namespace: ns}
subsets: [{addresses: [{ip: 10.9.9.8}], ports: [{port: 80}]}]
";
    let mesh = read_clean(text).mesh;
    let kubernetes = &mesh.kubernetes;
    let scaler = &kubernetes.autoscalers[0];
    assert_eq!((scaler.range(), scaler.target.value.1.as_str()), ((2, 10), "web"));
    assert_eq!(scaler.metrics[0].target, MetricTarget::Utilization(50));
    assert_eq!(
        (scaler.metrics[1].name.as_str(), &scaler.metrics[1].target),
        ("rps", &MetricTarget::AverageValue("1k".into()))
    );
    assert_eq!(scaler.down.select.as_ref().map(|select| select.value), Some(SelectPolicy::Min));
    assert_eq!(kubernetes.disruption_budgets[0].disruptions(5), 2, "K-6");
    let policy = &kubernetes.network_policies[0];
    assert!(policy.isolates_ingress && policy.isolates_egress, "K-7");
    let rule = &policy.egress[0];
    assert!(matches!(&rule.peers[0], PolicyPeer::Block { except, .. } if except == &["10.1.0.0/16"]));
    assert_eq!(rule.ports[0].port.as_ref().map(|port| port.value.clone()), Some(PortMatch::Name("web".into())));
    assert_eq!(rule.ports[1].port.as_ref().map(|port| port.value.clone()), Some(PortMatch::Range(1000, 2000)));
    let slice = &kubernetes.endpoints[0];
    assert_eq!((slice.service.as_str(), slice.addresses[0].is_ready, slice.ports[0].1.value), ("db", false, 5432));
    assert_eq!(
        (kubernetes.endpoints[1].service.as_str(), kubernetes.endpoints[1].addresses[0].is_ready),
        ("old", true)
    );
    assert_eq!(mesh.unmodelled.len(), 5, "kept, and named since verdicts do not see them");
}
