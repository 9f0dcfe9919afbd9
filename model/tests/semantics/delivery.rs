//! What controllers make of a mesh on the way to a new version: AR-4, FL-1.

use crate::fixture::{mesh, outbound, routes};

const ROLLOUT: &str = "apiVersion: argoproj.io/v1alpha1
kind: Rollout
metadata: {name: reviews, namespace: shop}
spec:
  strategy:
    canary:
      canaryService: reviews-new
      stableService: reviews
      trafficRouting: {istio: {virtualService: {name: r, routes: [primary]}}}
      steps: [{setWeight: 20}, {pause: {}}, {setWeight: 60}]
  selector: {matchLabels: {app: reviews}}
  template: {metadata: {labels: {app: reviews}}, spec: {containers: [{name: c, image: c}]}}
---
apiVersion: v1
kind: Service
metadata: {name: reviews-new, namespace: shop}
spec: {selector: {app: reviews}, ports: [{name: http, port: 9080}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: r, namespace: shop}
spec:
  hosts: [reviews]
  http:
  - name: primary
    route:
    - {destination: {host: reviews}, weight: 100}
    - {destination: {host: reviews-new.shop.svc.cluster.local}, weight: 0}
---
";

const CANARY: &str = "apiVersion: apps/v1
kind: Deployment
metadata: {name: api, namespace: shop}
spec: {replicas: 3, template: {metadata: {labels: {app: api}}, spec: {containers: [{name: c, image: c}]}}}
---
apiVersion: flagger.app/v1beta1
kind: Canary
metadata: {name: api, namespace: shop}
spec:
  provider: istio
  targetRef: {apiVersion: apps/v1, kind: Deployment, name: api}
  service: {port: 80, timeout: 3s}
  analysis: {stepWeight: 25, maxWeight: 50}
---
";

/// The routes of a client to a service before and during a change, each with its condition.
fn shown(manifests: &str, to: &str, port: u16) -> Vec<(String, String)> {
    let mesh = mesh(manifests);
    let before = ("at first".to_owned(), mesh.clone());
    let all = std::iter::once(before).chain(mesh.rollout_variants());
    all.map(|(when, mesh)| {
        let lowered = outbound(&mesh, "shop/web", to, port);
        let route = routes(&lowered, to.split('/').nth(1).unwrap()).remove(0);
        let own = lowered.config.clusters.iter().filter(|cluster| cluster.name.starts_with("outbound"));
        let pods: usize = own.map(|cluster| cluster.hosts.len()).sum();
        (when, format!("{} pods={pods}", route.split(" retries").next().unwrap()))
    })
    .collect()
}

#[test]
fn ar4_weights_that_a_rollout_sets() {
    let (stable, new) = ("outbound|9080||reviews.shop~", "outbound|9080||reviews-new.shop~");
    let shown = shown(ROLLOUT, "shop/reviews", 9080);
    let expect = [
        ("at first", format!("prefix / -> {stable}:100 timeout=0s pods=10")),
        (
            "while Rollout shop/reviews gives its canary 20 %",
            format!("prefix / -> {stable}:80 {new}:20 timeout=0s pods=15"),
        ),
        ("while Rollout shop/reviews gives its canary 100 %", format!("prefix / -> {new}:100 timeout=0s pods=10")),
    ];
    let expect: Vec<(String, String)> = expect.into_iter().map(|(when, route)| (when.to_owned(), route)).collect();
    assert_eq!(
        shown.iter().map(|(when, route)| (when, route.split(" pods").next().unwrap())).collect::<Vec<_>>(),
        expect.iter().map(|(when, route)| (when, route.split(" pods").next().unwrap())).collect::<Vec<_>>(),
        "AR-4"
    );
}

#[test]
fn fl1_weights_that_flagger_sets() {
    let shown = shown(CANARY, "shop/api", 80);
    let cluster = |name: &str| format!("outbound|80||api-{name}.shop~");
    let (primary, new) = (cluster("primary"), cluster("canary"));
    let expect = [
        ("at first", format!("prefix / -> {primary}:100 timeout=3s pods=3")),
        (
            "while Canary shop/api gives the new version 25 %",
            format!("prefix / -> {primary}:75 {new}:25 timeout=3s pods=6"),
        ),
    ];
    let expect: Vec<(String, String)> = expect.into_iter().map(|(when, route)| (when.to_owned(), route)).collect();
    assert_eq!(shown, expect, "FL-1");
}
