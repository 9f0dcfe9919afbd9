//! Who calls whom, and what a rollout changes.

use indexmap::IndexMap;
use meshproof_model::{CallOrigin, Caller, Entry, Mesh, RolloutStep, read_behaviour};

use crate::fixture::{mesh, outbound, routes};

fn with(manifests: &str, behaviour: &str) -> Mesh {
    Mesh { behaviour: read_behaviour(behaviour).unwrap(), ..mesh(manifests) }
}

fn shown(mesh: &Mesh) -> Vec<String> {
    let calls = mesh.calls();
    let name = |caller: Caller| match caller {
        Caller::Client(client) => mesh.behaviour.clients.get_index(client).unwrap().0.clone(),
        Caller::Workload(id) => mesh.workload(id).full_name(),
    };
    let line = |call: &meshproof_model::Call| {
        let (from, to) = (name(call.from), mesh.service(call.to).full_name());
        format!(
            "{}: {from} -> {to}:{} {} {} {} x{} {}",
            call.stage, call.port, call.method, call.host, call.path, call.times, call.share
        )
    };
    calls.calls.iter().map(line).collect()
}

#[test]
fn calls_are_those_of_the_behaviour() {
    let mesh = with(
        "",
        r#"Mesh(version: 1,
            clients: {"user": (from: Outside, to: "istio-system/istio-ingressgateway:80", requests: [
                (name: "a", host: "shop.example", path: "/a", share: 3), (name: "b", method: "POST", share: 1)])},
            workloads: {"shop/web": (calls: [[(to: "reviews:9080", path: "/r"), (to: "pay/payments", share: "10%")], [(to: "ledger.pay:5432", times: 2)]])},
        )"#,
    );
    assert_eq!(mesh.check_behaviour(), []);
    assert_eq!(
        shown(&mesh),
        [
            "0: user -> istio-system/istio-ingressgateway:80 GET shop.example /a x1 75%",
            "0: user -> istio-system/istio-ingressgateway:80 POST istio-ingressgateway.istio-system / x1 25%",
            "0: shop/web -> shop/reviews:9080 GET reviews:9080 /r x1 100%",
            "0: shop/web -> pay/payments:80 GET payments.pay / x1 10%",
            "1: shop/web -> pay/ledger:5432 GET ledger.pay:5432 / x2 100%",
        ]
    );
    assert_eq!(mesh.calls().entries, [Entry::Client(0)]);
}

#[test]
fn without_behaviour_calls_are_inferred() {
    let caller = "apiVersion: apps/v1
kind: Deployment
metadata: {name: front, namespace: shop}
spec:
  selector: {matchLabels: {app: front}}
  template:
    metadata: {labels: {app: front}}
    spec: {containers: [{name: app, image: app, env: [{name: REVIEWS_ADDR, value: 'reviews:9080'}]}]}
";
    let mesh = mesh(caller);
    assert_eq!(shown(&mesh), ["0: shop/front -> shop/reviews:9080 GET reviews.shop.svc.cluster.local / x1 100%"]);
    let calls = mesh.calls();
    let CallOrigin::Inferred(at) = &calls.calls[0].origin else { panic!("{calls:?}") };
    assert_eq!(at.line, 8);
    let entries: Vec<String> = calls
        .entries
        .iter()
        .map(|entry| match entry {
            Entry::Service(id) => mesh.service(*id).full_name(),
            other => panic!("{other:?}"),
        })
        .collect();
    assert!(
        !entries.contains(&"shop/reviews".to_owned()) && entries.contains(&"pay/payments".to_owned()),
        "{entries:?}"
    );
}

const SPLIT: &str = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: reviews, namespace: shop}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews, subset: v1}, weight: 100}]}]}
";

#[test]
fn a_rollout_gives_another_mesh() {
    let base = mesh(SPLIT);
    let step = |weights: &[(&str, u32)]| RolloutStep::Weight {
        route: "shop/reviews".to_owned(),
        at: meshproof_model::Nanos::ZERO,
        weights: weights.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect::<IndexMap<_, _>>(),
    };
    for (weights, expect) in [
        (&[("v1", 80), ("v2", 20)][..], "outbound|9080|v1|reviews.shop~:80 outbound|9080|v2|reviews.shop~:20"),
        (&[("v1", 0), ("v2", 100)], "outbound|9080|v2|reviews.shop~:100"),
        (&[("v1", 100)], "outbound|9080|v1|reviews.shop~"),
    ] {
        let changed = base.apply(&step(weights)).unwrap();
        let lowered = outbound(&changed, "shop/web", "shop/reviews", 9080);
        let shown = routes(&lowered, "reviews.shop~")[0].split(" timeout").next().unwrap().to_owned();
        assert_eq!(shown, format!("prefix / -> {expect}"));
    }
    // A rule that does not split is left alone where another one does.
    let with_tester = SPLIT.replace(
        "http: [{route: [{destination: {host: reviews, subset: v1}, weight: 100}]}]",
        "http: [{match: [{headers: {user: {exact: jason}}}], route: [{destination: {host: reviews, subset: v2}}]}, {route: [{destination: {host: reviews, subset: v1}, weight: 90}, {destination: {host: reviews, subset: v2}, weight: 10}]}]",
    );
    let changed = mesh(&with_tester).apply(&step(&[("v1", 50), ("v2", 50)])).unwrap();
    let lowered = outbound(&changed, "shop/web", "shop/reviews", 9080);
    let shown: Vec<String> = routes(&lowered, "reviews.shop~")
        .iter()
        .map(|line| line.split(" timeout").next().unwrap().to_owned())
        .collect();
    assert_eq!(
        shown,
        [
            "prefix / user=jason -> outbound|9080|v2|reviews.shop~",
            "prefix / -> outbound|9080|v1|reviews.shop~:50 outbound|9080|v2|reviews.shop~:50",
        ]
    );
    for (route, weights, expect) in [
        ("shop/revews", &[("v1", 1)][..], "unknown VirtualService `shop/revews`; did you mean `shop/reviews`?"),
        ("shop/reviews", &[("v9", 1)], "no rule of `shop/reviews` has a destination `v9`"),
        ("shop/reviews", &[("v1", 0)], "all weights of `shop/reviews` are zero"),
    ] {
        let weights = weights.iter().map(|(name, weight)| ((*name).to_owned(), *weight)).collect();
        assert_eq!(base.with_weights(route, &weights).map(|_| ()).unwrap_err(), expect);
    }
}

#[test]
fn the_graph_leads_where_routes_lead() {
    let manifests = format!(
        "{SPLIT}---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: edge, namespace: istio-system}}
spec: {{selector: {{istio: ingressgateway}}, servers: [{{port: {{number: 80, name: http, protocol: HTTP}}, hosts: ['*']}}]}}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: front, namespace: shop}}
spec: {{hosts: [shop.example], gateways: [istio-system/edge], http: [{{route: [{{destination: {{host: ratings}}}}]}}]}}
"
    );
    let mesh = with(
        &manifests,
        r#"Mesh(version: 1,
            clients: {"user": (from: Outside, to: "istio-system/istio-ingressgateway:80", requests: [(name: "a", host: "shop.example")])},
            workloads: {"shop/ratings": (calls: [[(to: "reviews:9080")]])},
        )"#,
    );
    let graph = mesh.call_graph();
    let name = |node| match graph[node] {
        meshproof_model::Node::Client(client) => mesh.behaviour.clients.get_index(client).unwrap().0.clone(),
        meshproof_model::Node::Workload(id) => mesh.workload(id).full_name(),
    };
    let edges = graph.edge_indices().map(|edge| {
        let (from, to) = graph.edge_endpoints(edge).unwrap();
        format!("{} -> {} by {}", name(from), name(to), graph[edge].0)
    });
    assert_eq!(
        edges.collect::<Vec<_>>(),
        [
            "user -> istio-system/istio-ingressgateway by 0",
            "istio-system/istio-ingressgateway -> shop/ratings by 0",
            "shop/ratings -> shop/reviews-v1 by 1",
        ]
    );
    assert_eq!(mesh.cycle_of_calls(), None);
}
