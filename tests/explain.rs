//! What `meshproof explain` prints of a call: values, their places, and a request step by step.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod common;

use common::{meshproof, scratch};

const ROUTES: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: r, namespace: shop}
spec:
  hosts: [reviews]
  http:
  - match: [{uri: {prefix: /api}, headers: {x-team: {exact: a}}}]
    timeout: 2s
    route: [{destination: {host: ratings}}]
  - route: [{destination: {host: reviews}}]
";

fn folder(test: &str) -> String {
    let folder = scratch(test);
    std::fs::write(folder.join("f0.yaml"), include_str!("../model/tests/semantics/f0.yaml")).unwrap();
    std::fs::write(folder.join("routes.yaml"), ROUTES).unwrap();
    folder.to_str().unwrap().to_owned()
}

#[test]
fn every_value_has_its_place_or_its_rule() {
    let path = folder("explain-values");
    let answer = meshproof(&["explain", &path, "--from", "shop/web", "--to", "reviews:9080", "--format", "json"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let json = answer.json();
    assert_eq!((&json["from"], &json["to"], &json["port"]), (&"shop/web".into(), &"shop/reviews".into(), &9080.into()));
    let outbound = &json["outbound"];
    assert_eq!(outbound["route[00].timeout"]["value"], "2s");
    assert_eq!(outbound["route[00].timeout"]["origin"]["location"]["line"], 8);
    assert_eq!(outbound["route[01].timeout"]["origin"]["default"], "RT-10");
    assert_eq!(outbound["route[01].retries.attempts"]["value"], 2);
    let cluster = "cluster[outbound|9080||reviews.shop.svc.cluster.local]";
    assert_eq!(outbound[format!("{cluster}.maxConnections")]["value"], "unlimited");
    assert_eq!(outbound[format!("{cluster}.tls")]["value"], "mutual TLS");
    let inbound = json["inbound"].as_object().unwrap();
    assert!(inbound.iter().any(|(name, leaf)| name.contains("].mtls") && leaf["value"] == "PERMISSIVE"), "{inbound:?}");
    for (name, leaf) in outbound.as_object().unwrap().iter().chain(inbound) {
        let origin = leaf["origin"].as_object().unwrap();
        assert!(origin.contains_key("location") || origin.contains_key("default"), "{name}");
    }
    // An older version retries 503 by default (RT-11).
    let old = ["explain", &path, "--from", "web", "--to", "reviews", "--format", "json", "--istio-version", "1.23"];
    assert!(meshproof(&old).json()["outbound"]["route[01].retries.on"]["value"].as_str().unwrap().ends_with(",503"));
}

#[test]
fn a_request_is_followed_step_by_step() {
    let path = folder("explain-request");
    let ask = |request: &str, header: &str| {
        let call = ["explain", &path, "--from", "shop/web", "--to", "reviews", "--request", request, "-H", header];
        (meshproof(&[&call[..], &["--format", "json"]].concat()).json(), meshproof(&call).out)
    };
    let (json, table) = ask("GET /api/x", "x-team=b");
    let steps = json["decision"]["steps"].as_array().unwrap();
    assert_eq!(steps[0]["result"], "not taken: x-team = a", "{steps:?}");
    assert_eq!(steps[0]["because"]["location"]["line"], 7);
    assert_eq!(steps[1]["result"], "taken");
    assert_eq!(json["decision"]["route"], "VirtualService shop/r rule 1");
    assert_eq!((&json["decision"]["allowed"], &json["decision"]["mtls"]), (&true.into(), &true.into()));
    assert!(table.contains("routes.yaml:7") && table.contains("it gets through"), "{table}");
    let (json, _) = ask("GET /api/x", "x-team=a");
    assert_eq!(json["decision"]["cluster"][0], "outbound|9080||ratings.shop.svc.cluster.local");
    let (json, _) = ask("/other", "x-team=b");
    assert_eq!(json["decision"]["steps"][0]["result"], "not taken: path /api*, x-team = a");
}

#[test]
fn k7_network_policies_are_facts_about_the_call() {
    let path = folder("explain-network");
    let policy = "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: in, namespace: shop}\nspec:\n  podSelector: {}\n  ingress:\n  - from: [{podSelector: {}}]\n";
    std::fs::write(std::path::Path::new(&path).join("network.yaml"), policy).unwrap();
    let ask = |from: &str| {
        let call = ["explain", &path, "--from", from, "--to", "shop/reviews", "--request", "GET /", "--format", "json"];
        meshproof(&call).json()
    };
    let leaf = |json: &serde_json::Value| json["inbound"]["server[shop/reviews-v1:9080].network"].clone();
    let own = ask("shop/web");
    assert_eq!(leaf(&own)["value"], "open by NetworkPolicy shop/in");
    assert_eq!(leaf(&own)["origin"]["location"]["line"], 7, "the rule that allows it");
    assert_eq!(own["decision"]["allowed"], true);
    let other = ask("ops/ops");
    assert_eq!(leaf(&other)["value"], "closed: the server may not take it by NetworkPolicy shop/in");
    assert_eq!((&other["decision"]["allowed"], &other["decision"]["outcome"]), (&false.into(), &"denied".into()));
    let steps = other["decision"]["steps"].as_array().unwrap();
    assert_eq!(steps.last().unwrap()["because"]["location"]["line"], 1, "{steps:?}");
}

const DUMP: &str = r#"{"configs": [
 {"@type": "type.googleapis.com/envoy.admin.v3.BootstrapConfigDump", "bootstrap": {"node": {"id": "sidecar~10.0.0.1~web-7c-x1.shop~shop.svc.cluster.local"}}},
 {"@type": "type.googleapis.com/envoy.admin.v3.ClustersConfigDump", "dynamic_active_clusters": [
  {"cluster": {"name": "outbound|80||a.shop.svc.cluster.local", "connect_timeout": "3s", "lb_policy": "LEAST_REQUEST",
   "circuit_breakers": {"thresholds": [{"max_retries": 7}]}}}]},
 {"@type": "type.googleapis.com/envoy.admin.v3.RoutesConfigDump", "dynamic_route_configs": [
  {"route_config": {"name": "9090", "virtual_hosts": [{"name": "other", "domains": ["*"], "routes": [
   {"match": {"prefix": "/"}, "direct_response": {"status": 404}}]}]}},
  {"route_config": {"name": "80", "virtual_hosts": [
  {"name": "any", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "direct_response": {"status": 502}}]},
  {"name": "a", "domains": ["a", "a.shop"], "routes": [
   {"match": {"path": "/old"}, "redirect": {"path_redirect": "/new"}},
   {"match": {"prefix": "/", "headers": [{"name": "x-user", "string_match": {"exact": "j"}}]}, "route": {"cluster": "outbound|80||a.shop.svc.cluster.local", "timeout": "2s",
     "retry_policy": {"retry_on": "5xx", "num_retries": 4}}}]}]}}]}
]}"#;

#[test]
fn a_dump_is_explained_by_itself() {
    let path = scratch("explain-dump");
    std::fs::write(path.join("dump.json"), DUMP).unwrap();
    let path = path.to_str().unwrap();
    let ask = |from: &str, to: &str, more: &[&str]| {
        meshproof(&[&["explain", path, "--from", from, "--to", to, "--format", "json"], more].concat())
    };
    for from in ["shop/web", "web-7c-x1", "sidecar~10.0.0.1~web-7c-x1.shop~shop.svc.cluster.local"] {
        let json = ask(from, "a:80", &["--request", "GET /x", "-H", "x-user=j"]).json();
        let outbound = &json["outbound"];
        assert_eq!(outbound["route[01].timeout"]["value"], "2s", "{from}");
        assert_eq!(outbound["route[01].timeout"]["origin"]["location"]["line"], 13);
        assert_eq!(outbound["route[01].retries.attempts"]["value"], 4);
        let cluster = &outbound["cluster[outbound|80||a.shop.svc.cluster.local].maxRetries"];
        assert_eq!((&cluster["value"], &cluster["origin"]["location"]["line"]), (&7.into(), &4.into()));
        assert_eq!(json["decision"]["cluster"][0], "outbound|80||a.shop.svc.cluster.local");
        assert_eq!(json["decision"]["steps"][0]["result"], "not taken: path /old");
    }
    let json = ask("shop/web", "a.shop", &["--request", "/x"]).json();
    assert_eq!(
        (&json["decision"]["outcome"], json["outbound"].as_object().unwrap().is_empty()),
        (&"not-found".into(), false)
    );
    assert_eq!(ask("shop/web", "b:80", &["--request", "/x"]).json()["decision"]["outcome"], "direct", "the wildcard");
    assert_eq!(ask("shop/api", "a:80", &[]).code, 2);
}

#[test]
fn en1_an_alias_is_explained_as_its_target() {
    let path = folder("explain-alias");
    let alias = "apiVersion: v1\nkind: Service\nmetadata: {name: other, namespace: shop}\nspec: {type: ExternalName, externalName: reviews.shop.svc.cluster.local}\n";
    std::fs::write(std::path::Path::new(&path).join("alias.yaml"), alias).unwrap();
    let call = ["explain", &path, "--from", "shop/web", "--to", "other", "--request", "GET /api", "-H", "x-team=a"];
    let json = meshproof(&[&call[..], &["--format", "json"]].concat()).json();
    assert_eq!((&json["to"], &json["port"]), (&"shop/other".into(), &9080.into()), "EN-1");
    assert_eq!(json["outbound"]["route[00].timeout"]["value"], "2s");
    assert_eq!(json["decision"]["route"], "VirtualService shop/r rule 0");
}

#[test]
fn names_that_nobody_knows_are_told() {
    let path = folder("explain-names");
    let table: &[(&[&str], &str)] = &[
        (&["--from", "shop/wbe", "--to", "reviews"], "unknown workload `shop/wbe`; did you mean `shop/web`?"),
        (&["--from", "shop/web", "--to", "review"], "unknown service `review`; did you mean `shop/reviews`?"),
        (&["--from", "shop/web", "--to", "reviews:1"], "service `shop/reviews` has no port 1; it has 9080"),
        (&["--from", "shop/web"], "--to"),
        (&["--from", "shop/web", "--to", "reviews", "--request", "x"], "`x` is no request"),
        (&["--from", "shop/web", "--to", "reviews", "--istio-version", "1.2"], "1.22 to 1.32"),
    ];
    for (args, told) in table {
        let answer = meshproof(&[&["explain", &path], *args].concat());
        assert_eq!(answer.code, 2, "{args:?}: {}", answer.out);
        assert!(answer.err.contains(told), "{args:?}: {}", answer.err);
    }
    assert_eq!(meshproof(&["explain", "MP0401"]).code, 0);
    assert_eq!(meshproof(&["explain"]).code, 2);
}
