//! `meshproof diff`: each class of requests that differs with an example, policies, links and findings.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod common;

use std::{path::Path, process::Command};

use common::{copy_of, meshproof};
use serde_json::Value;

const SHOP: &str = "topologies/locked-shop";

/// What `diff` says of a change of the locked shop.
fn diff(name: &str, changes: &[(&str, &str, &str)]) -> Value {
    let head = copy_of("locked-shop", name, changes);
    let answer = meshproof(&["diff", SHOP, head.to_str().unwrap(), "--format", "json"]);
    assert!(answer.code < 2, "{}", answer.err);
    let report = answer.json();
    assert_eq!(answer.code == 0, report["verdict"] == "same");
    report
}

/// `from -> to` of a list.
fn pairs(list: &Value) -> Vec<String> {
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    list.as_array().unwrap().iter().map(|one| format!("{} -> {}", text(&one["from"]), text(&one["to"]))).collect()
}

#[test]
fn a_mesh_is_the_same_as_itself() {
    let report = diff("diff-same", &[]);
    assert_eq!(report["verdict"], "same");
    assert_eq!(report["findings"]["introduced"], serde_json::json!([]));
}

#[test]
fn access_that_is_lost_or_gained_has_an_example_each() {
    let lost = diff("diff-lost", &[("security.yaml", "        - cluster.local/ns/shop/sa/search\n", "")]);
    assert_eq!(pairs(&lost["access"]["newly_denied"]), ["shop/search -> shop/catalog"]);
    assert_eq!(pairs(&lost["access"]["newly_allowed"]), [""; 0]);
    assert_eq!(lost["findings"]["introduced"][0]["values"]["intent"], "every call is allowed");

    let rule = "  selector: {matchLabels: {app: payments}}\n  rules:\n";
    let probe = format!("{rule}  - to: [{{operation: {{paths: [\"/healthz*\"], methods: [PUT]}}}}]\n");
    let gained = diff("diff-gained", &[("security.yaml", rule, &probe)]);
    let allowed = gained["access"]["newly_allowed"].as_array().unwrap();
    // Everybody but those who could already; nobody from outside, as TLS is mutual.
    assert_eq!(allowed.len(), 11, "{allowed:#?}");
    for one in allowed {
        assert_eq!(
            (&one["request"]["request"]["method"], &one["request"]["request"]["path"]),
            (&"PUT".into(), &"/healthz".into())
        );
        assert!(one["because"][0]["file"].as_str().unwrap().ends_with("security.yaml"));
    }
    assert_eq!(gained["access"]["newly_denied"], serde_json::json!([]));
}

#[test]
fn rerouted_requests_are_told_class_by_class() {
    let route = "  - route: [{destination: {host: web, port: {number: 80}}}]\n    timeout: 5s\n";
    let cart = "  - match: [{uri: {prefix: /cart}, headers: {x-new: {exact: \"1\"}}}, {uri: {exact: /basket}}]\n    route: [{destination: {host: cart, port: {number: 80}}}]\n";
    let report = diff("diff-routes", &[("services.yaml", route, &format!("{cart}{route}"))]);
    let routing = report["routing"].as_array().unwrap();
    let example =
        |one: &Value| (one["request"]["request"]["path"].clone(), one["request"]["request"]["headers"].clone());
    let found: Vec<(Value, Value)> = routing.iter().map(example).collect();
    assert_eq!(found, [("/cart".into(), serde_json::json!({"x-new": "1"}))], "both matches of the rule are one class");
    let (before, after) = (&routing[0]["before"], &routing[0]["after"]);
    assert_eq!(before["cluster"], "outbound|80||web.shop.svc.cluster.local");
    assert_eq!(after["cluster"], "outbound|80||cart.shop.svc.cluster.local");
    assert_eq!(routing[0]["request"]["to"]["gateway"], "istio-system/istio-ingressgateway");

    let direct = "  - match: [{uri: {prefix: /old}}]\n    redirect: {uri: /new}\n";
    let report = diff("diff-redirect", &[("services.yaml", route, &format!("{direct}{route}"))]);
    assert_eq!(report["routing"][0]["after"]["status"], 301);
}

#[test]
fn values_and_links_that_change_are_told() {
    let report = diff("diff-policy", &[("services.yaml", "    timeout: 5s\n", "    timeout: 10s\n")]);
    let policy = &report["policy"][0];
    assert_eq!((&policy["before"], &policy["after"]), (&"5s".into(), &"10s".into()), "{policy}");
    assert!(policy["field"].as_str().unwrap().ends_with(".timeout"));
    assert!(policy["location"]["line"].as_u64().unwrap() > 1);
    assert_eq!(report["routing"], serde_json::json!([]), "it goes where it went");

    let plain = "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: mail, namespace: shop}\nspec:\n  host: mail\n  trafficPolicy: {tls: {mode: DISABLE}}\n";
    let strict = "  mtls: {mode: STRICT}\n";
    let report = diff("diff-links", &[("security.yaml", strict, &format!("{strict}{plain}"))]);
    let links = report["mtls"].as_array().unwrap();
    assert!(links.iter().all(|link| link["to"] == "shop/mail" && link["after"] == "fails"), "{links:?}");
    assert!(links.iter().any(|link| link["from"] == "shop/checkout" && link["before"] == "mutual"));
    let introduced = report["findings"]["introduced"].as_array().unwrap();
    assert!(introduced.iter().any(|finding| finding["code"] == "MP0602"));
    // What breaks and what is then denied are told the other way round too.
    let head = copy_of("locked-shop", "diff-links-back", &[("security.yaml", strict, &format!("{strict}{plain}"))]);
    let back = meshproof(&["diff", head.to_str().unwrap(), SHOP, "--format", "json"]).json();
    assert!(back["findings"]["fixed"].as_array().unwrap().iter().any(|finding| finding["code"] == "MP0602"));
}

fn git(folder: &Path, args: &[&str]) {
    let identity = ["-c", "user.name=a", "-c", "user.email=a@example.com", "-c", "commit.gpgsign=false"];
    let output = Command::new("git").arg("-C").arg(folder).args(identity).args(args).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_revision_is_compared_with_the_folder_as_it_is() {
    let folder = copy_of("locked-shop", "diff-git", &[]);
    git(&folder, &["init", "-q", "-b", "main"]);
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "-q", "-m", "first"]);
    let path = folder.to_str().unwrap();
    assert_eq!(meshproof(&["diff", "git:HEAD", path, "--quiet"]).code, 0);
    let file = folder.join("security.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(&file, text.replacen("        - cluster.local/ns/shop/sa/search\n", "", 1)).unwrap();
    let answer = meshproof(&["diff", "git:main", path]);
    assert_eq!(answer.code, 1, "{}", answer.err);
    assert!(answer.out.contains("shop/search -> shop/catalog:8080  GET /"), "{}", answer.out);

    // Only what is new since then fails.
    let answer = meshproof(&["verify", path, "--since", "git:main", "--format", "json"]);
    let report = answer.json();
    assert_eq!((answer.code, report["findings"].as_array().unwrap().len()), (1, 1), "{}", answer.out);
    git(&folder, &["commit", "-q", "-a", "-m", "second"]);
    let answer = meshproof(&["verify", path, "--since", "git:HEAD", "--format", "json"]);
    assert_eq!((answer.code, &answer.json()["summary"]["in_baseline"]), (0, &1.into()), "{}", answer.out);
    let answer = meshproof(&["diff", "git:nowhere", path]);
    assert!(answer.code == 2 && answer.err.contains("git:nowhere"), "{}", answer.err);
}

#[test]
fn an_order_in_which_nothing_breaks_is_told() {
    let strict = "  mtls: {mode: STRICT}\n";
    let subset = "---\napiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: mail, namespace: shop}\nspec:\n  exportTo: [\".\"]\n  host: mail\n  subsets: [{name: v1, labels: {app: mail}}]\n";
    let route = "---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: mail, namespace: shop}\nspec:\n  exportTo: [\".\"]\n  hosts: [mail]\n  http:\n  - route: [{destination: {host: mail, subset: v1}}]\n";
    let change = ("security.yaml", strict, &*format!("{strict}{subset}{route}"));
    let report = diff("diff-order", &[change]);
    let order = &report["order"];
    assert_eq!(order["unsafe"][0]["applied"][0]["kind"], "VirtualService");
    assert_eq!(order["unsafe"][0]["missing"][0]["kind"], "DestinationRule");
    let kinds: Vec<&str> = order["safe"].as_array().unwrap().iter().map(|one| one["kind"].as_str().unwrap()).collect();
    assert_eq!((kinds, &order["lag_breaks"]), (vec!["DestinationRule", "VirtualService"], &false.into()));
    let head = copy_of("locked-shop", "diff-order-text", &[change]);
    let answer = meshproof(&["diff", SHOP, head.to_str().unwrap()]);
    assert!(answer.out.contains("safe order: DestinationRule shop/mail, VirtualService shop/mail"), "{}", answer.out);
}

#[test]
fn intents_compare_with_a_revision() {
    let folder = copy_of("locked-shop", "diff-intent", &[]);
    let intents = "assert \"refactor\": for all q in requests: then destination(q) unchanged since git(\"HEAD\");\n\
        assert \"any order\": for all v in changes: then never outage(v);\n";
    std::fs::write(folder.join("change.intent"), intents).unwrap();
    git(&folder, &["init", "-q", "-b", "main"]);
    git(&folder, &["add", "."]);
    git(&folder, &["commit", "-q", "-m", "first"]);
    let path = folder.to_str().unwrap();
    let file = folder.join("services.yaml");
    let text = std::fs::read_to_string(&file).unwrap();
    let redirected =
        text.replacen("  - route: [", "  - match: [{uri: {prefix: /old}}]\n    redirect: {uri: /new}\n  - route: [", 1);
    std::fs::write(&file, redirected).unwrap();
    let answer = meshproof(&["verify", path, "--since", "git:HEAD", "--format", "json"]);
    let report = answer.json();
    let messages: Vec<&str> =
        report["findings"].as_array().unwrap().iter().map(|one| one["message"].as_str().unwrap()).collect();
    assert_eq!((answer.code, messages.len()), (1, 1), "{messages:?} {}", answer.err);
    assert!(messages[0].contains("intent \"refactor\" does not hold: `GET /old` to shop.example.com:80 goes to 301"));
    let holds = report["proofs"].as_array().unwrap().iter().any(|proof| proof["subject"] == "Intent any order");
    assert!(holds, "a single object has no order");
}

#[test]
fn queries_are_written_for_any_solver() {
    let folder = common::scratch("smt2");
    let path = folder.to_str().unwrap();
    let answer = meshproof(&["verify", SHOP, "--emit-smt2", path, "--quiet"]);
    assert_eq!(answer.code, 0, "{}", answer.err);
    let mut count = 0;
    for entry in std::fs::read_dir(&folder).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(text.starts_with("(set-logic QF_") && text.ends_with("(check-sat)\n"), "{text}");
        assert_eq!(text.matches('(').count(), text.matches(')').count());
        count += 1;
    }
    assert!(count > 5, "{count} queries");
}
