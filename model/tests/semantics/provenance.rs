//! Each value says where it is written, or which rule of the book it follows.

use std::fmt::Write as _;

use meshproof_model::{Lowered, Origin};

use crate::fixture::{mesh, outbound};

const POLICY: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec:
  hosts: [reviews]
  http:
  - name: front
    match:
    - uri: {prefix: /front}
    timeout: 2s
    retries:
      attempts: 3
      retryOn: 5xx
      perTryTimeout: 500ms
    fault:
      delay: {fixedDelay: 1s, percentage: {value: 1}}
    route:
    - destination: {host: reviews, subset: v1}
      weight: 90
    - destination: {host: reviews, subset: v9}
      weight: 10
---
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec:
  host: reviews
  trafficPolicy:
    connectionPool:
      tcp: {maxConnections: 50}
    outlierDetection:
      interval: 5s
      maxEjectionPercent: 50
    loadBalancer: {simple: ROUND_ROBIN}
    tls: {mode: ISTIO_MUTUAL}
  subsets:
  - name: v1
    labels: {version: v1}
";

fn at(origin: &Origin) -> String {
    match origin {
        Origin::Written(at) => format!("line {} {}", at.line, at.path),
        Origin::Default(rule) => (*rule).to_owned(),
    }
}

fn show(lowered: &Lowered) -> String {
    let mut shown = String::new();
    for route in lowered.provenance.listeners.iter().flat_map(|listener| &listener.routes) {
        let _ = writeln!(shown, "route {:?} of {:?}: {}", route.name, route.host, at(&route.route));
        for (name, origin) in [
            ("timeout", &route.timeout),
            ("retries", &route.retries),
            ("attempts", &route.attempts),
            ("retry on", &route.retry_on),
            ("per-try timeout", &route.per_try_timeout),
            ("back-off", &route.back_off),
        ] {
            let _ = writeln!(shown, "  {name}: {}", at(origin));
        }
        for destination in &route.destinations {
            let (place, weight) = (at(&destination.at), at(&destination.weight));
            let _ = writeln!(
                shown,
                "  to {}: {place}, weight {weight}, missing {:?}",
                destination.cluster, destination.missing
            );
        }
    }
    for cluster in lowered.provenance.clusters.iter().filter(|cluster| cluster.service.is_some()) {
        let _ = writeln!(shown, "cluster {:?} with {} endpoints", cluster.subset, cluster.endpoints.len());
        for (name, origin) in [
            ("max connections", &cluster.max_connections),
            ("max pending requests", &cluster.max_pending_requests),
            ("max retries", &cluster.max_retries),
            ("connect timeout", &cluster.connect_timeout),
            ("outlier detection", &cluster.outlier_detection),
            ("max ejection percent", &cluster.max_ejection_percent),
            ("panic threshold", &cluster.panic_threshold),
            ("load balancer", &cluster.load_balancer),
            ("tls", &cluster.tls),
        ] {
            let _ = writeln!(shown, "  {name}: {}", at(origin));
        }
    }
    shown
}

#[test]
fn written_values_lead_to_their_lines() {
    insta::assert_snapshot!(show(&outbound(&mesh(POLICY), "shop/web", "shop/reviews", 9080)), @r#"
    route Some("front") of "reviews.shop.svc.cluster.local": line 9 spec.http[0].match[0]
      timeout: line 10 spec.http[0].timeout
      retries: line 11 spec.http[0].retries
      attempts: line 12 spec.http[0].retries.attempts
      retry on: line 13 spec.http[0].retries.retryOn
      per-try timeout: line 14 spec.http[0].retries.perTryTimeout
      back-off: RT-11
      to outbound|9080|v1|reviews.shop.svc.cluster.local: line 18 spec.http[0].route[0].destination.subset, weight line 19 spec.http[0].route[0].weight, missing None
      to outbound|9080|v9|reviews.shop.svc.cluster.local: line 20 spec.http[0].route[1].destination.subset, weight line 21 spec.http[0].route[1].weight, missing Some(Subset)
    route None of "*": MC-1
      timeout: SC-3
      retries: SC-3
      attempts: SC-3
      retry on: SC-3
      per-try timeout: SC-3
      back-off: SC-3
    cluster Some("v1") with 2 endpoints
      max connections: line 30 spec.trafficPolicy.connectionPool.tcp.maxConnections
      max pending requests: DR-POOL
      max retries: DR-11
      connect timeout: MC-1
      outlier detection: line 31 spec.trafficPolicy.outlierDetection
      max ejection percent: line 33 spec.trafficPolicy.outlierDetection.maxEjectionPercent
      panic threshold: DR-19
      load balancer: line 34 spec.trafficPolicy.loadBalancer.simple
      tls: line 35 spec.trafficPolicy.tls.mode
    "#);
}

#[test]
fn defaults_name_their_rules() {
    insta::assert_snapshot!(show(&outbound(&mesh(""), "shop/web", "shop/reviews", 9080)), @r#"
    route None of "reviews.shop.svc.cluster.local": VS-12
      timeout: RT-10
      retries: RT-11
      attempts: RT-11
      retry on: RT-11
      per-try timeout: RT-15
      back-off: RT-11
      to outbound|9080||reviews.shop.svc.cluster.local: VS-12, weight VS-12, missing None
    route None of "*": MC-1
      timeout: SC-3
      retries: SC-3
      attempts: SC-3
      retry on: SC-3
      per-try timeout: SC-3
      back-off: SC-3
    cluster None with 4 endpoints
      max connections: DR-POOL
      max pending requests: DR-POOL
      max retries: DR-11
      connect timeout: MC-1
      outlier detection: DR-OUTLIER
      max ejection percent: DR-OUTLIER
      panic threshold: DR-19
      load balancer: DR-16
      tls: 2.2
    "#);
}
