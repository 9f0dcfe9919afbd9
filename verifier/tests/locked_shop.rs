//! The locked-down shop: whatever line of its access control is deleted, exactly the calls that it should lose or win
//! are lost or won; and the rules that policy engines check hold of it, each broken by one mistake.
#![allow(clippy::unwrap_used)]

use std::collections::BTreeSet;

use meshproof_import::{ImportOptions, import};
use meshproof_model::{Mesh, Sources, read_behaviour};
use meshproof_verifier::{Intents, Passing, VerifyOptions, access_matrix, verify};

mod common;

const SECURITY: &str = include_str!("../../topologies/locked-shop/security.yaml");
const SERVICES: &str = include_str!("../../topologies/locked-shop/services.yaml");
const MESH: &str = include_str!("../../topologies/locked-shop/mesh.ron");
const RULES: &str = include_str!("../../topologies/locked-shop/rules.intent");
const ACCESS: &str = include_str!("../../topologies/locked-shop/access.intent");

fn mesh(services: &str, security: &str) -> Mesh {
    let mut sources = Sources::default();
    sources.add("services.yaml", services);
    sources.add("security.yaml", security);
    let mut mesh = import(&sources, &ImportOptions::default()).mesh;
    mesh.behaviour = read_behaviour(MESH).unwrap();
    mesh
}

type Edges = BTreeSet<(String, String)>;

/// Who can call whom with some request, and whether for all of those every request passes.
fn edges(security: &str) -> Edges {
    let matrix = access_matrix(&mesh(SERVICES, security));
    assert!(matrix.values().all(|passing| matches!(passing, Passing::None | Passing::All)), "nothing is in between");
    let passing = matrix.into_iter().filter(|(_, passing)| *passing == Passing::All);
    passing.map(|(pair, _)| (pair.from, pair.to)).collect()
}

/// The calls that the policies name, read from their text line by line.
fn written(security: &str) -> Edges {
    let (mut edges, mut to) = (Edges::new(), String::new());
    for line in security.lines() {
        if let Some(name) = line.trim().strip_prefix("selector: {matchLabels: {app: ") {
            to = format!("shop/{}", name.trim_end_matches('}'));
        }
        if let Some(principal) = line.trim().strip_prefix("- cluster.local/ns/") {
            let (namespace, account) = principal.split_once("/sa/").unwrap();
            edges.insert((format!("{namespace}/{account}"), to.clone()));
        }
    }
    edges
}

#[test]
fn deleting_any_principal_loses_exactly_its_call() {
    let all = edges(SECURITY);
    assert_eq!(all, written(SECURITY));
    assert_eq!(all.len(), 19);
    let lines: Vec<&str> = SECURITY.lines().collect();
    let principals: Vec<usize> = (0..lines.len()).filter(|at| lines[*at].contains("- cluster.local/")).collect();
    assert_eq!(principals.len(), 19);
    for at in principals {
        let kept: Vec<&str> = lines.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, line)| *line).collect();
        let without = kept.join("\n");
        let (left, expected) = (edges(&without), written(&without));
        // A source without any principal left asks for nothing, so it is anybody.
        let is_empty =
            lines[at - 1].ends_with("principals:") && !lines.get(at + 1).is_some_and(|l| l.contains("- cluster"));
        if is_empty {
            let gained: Edges = left.difference(&all).cloned().collect();
            let to = all.difference(&expected).next().unwrap().1.clone();
            assert!(gained.iter().all(|(_, server)| *server == to) && gained.len() >= 11, "{}: {gained:?}", lines[at]);
            assert!(all.is_subset(&left), "{}", lines[at]);
        } else {
            assert_eq!(left, expected, "{}", lines[at]);
        }
    }
}

#[test]
fn deleting_any_policy_loses_exactly_the_calls_that_it_allows() {
    let all = edges(SECURITY);
    let documents: Vec<&str> = SECURITY.split("---\n").collect();
    assert_eq!(documents.len(), 14);
    for at in 0..documents.len() {
        let kept: Vec<&str> = documents.iter().enumerate().filter(|(i, _)| *i != at).map(|(_, one)| *one).collect();
        let left = edges(&kept.join("---\n"));
        let lost: Edges = all.difference(&left).cloned().collect();
        // Mutual TLS and the policy that allows nothing allow nothing; each service has a policy of its own beside them.
        let expected = written(documents[at]);
        assert_eq!((lost, left.is_subset(&all)), (expected, true), "{}", documents[at]);
    }
    // Without the policy that allows nothing, a service whose own policy goes is open to everybody with a sidecar.
    let kept: Vec<&str> =
        documents.iter().copied().filter(|one| !one.contains("name: nothing") && !one.contains("app: mail")).collect();
    let gained: Edges = edges(&kept.join("---\n")).difference(&all).cloned().collect();
    assert!(gained.len() == 11 && gained.iter().all(|(_, to)| to == "shop/mail"), "{gained:?}");
}

/// The names of intents that do not hold.
fn broken(services: &str, security: &str, intents: &str) -> Vec<String> {
    let mesh = mesh(services, security);
    let mut sources = Sources::default();
    sources.add("shop.intent", intents);
    let select = ["MP1001", "MP1002", "MP1003"].map(str::to_owned).to_vec();
    let options = VerifyOptions { intents: Intents::read(&sources), select: Some(select), ..VerifyOptions::default() };
    let report = verify(&mesh, &options);
    assert_eq!(report.disagreements, [""; 0]);
    let names = report.findings.iter().map(|finding| finding.message.split('"').nth(1).unwrap_or(&finding.message));
    let mut names: Vec<String> = names.map(str::to_owned).collect();
    names.dedup();
    names
}

#[test]
fn every_intent_of_the_shop_holds() {
    assert_eq!(broken(SERVICES, SECURITY, RULES), [""; 0]);
    assert_eq!(broken(SERVICES, SECURITY, ACCESS), [""; 0]);
}

#[test]
fn each_rule_is_broken_by_its_mistake() {
    let policy = "apiVersion: security.istio.io/v1\nkind: ";
    let appended = |document: &str| format!("{SECURITY}---\n{policy}{document}");
    let services = |from: &str, to: &str| {
        assert!(SERVICES.contains(from), "{from}");
        SERVICES.replacen(from, to, 1)
    };
    let mail = "metadata: {labels: {app: mail}}";
    let rule = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: mail, namespace: shop}\nspec:\n  exportTo: [\".\"]\n  host: mail\n  trafficPolicy: {tls: {mode: DISABLE}}\n";
    for (services, security, expected) in [
        (
            SERVICES.to_owned(),
            appended("PeerAuthentication\nmetadata: {name: mail, namespace: shop}\nspec:\n  selector: {matchLabels: {app: mail}}\n  mtls: {mode: PERMISSIVE}\n"),
            "strict mutual TLS everywhere",
        ),
        (
            SERVICES.to_owned(),
            appended("PeerAuthentication\nmetadata: {name: all, namespace: shop}\nspec:\n  mtls: {mode: PERMISSIVE}\n"),
            "strict mutual TLS for pods to come",
        ),
        (format!("{SERVICES}---\n{rule}"), SECURITY.to_owned(), "TLS settings agree"),
        (
            format!("{SERVICES}---\n{rule}"),
            SECURITY.replace("mode: STRICT", "mode: PERMISSIVE"),
            "nobody switches TLS off",
        ),
        (SERVICES.to_owned(), appended("AuthorizationPolicy\nmetadata: {name: open, namespace: shop}\nspec:\n  rules: [{}]\n"), "default deny"),
        (
            SERVICES.to_owned(),
            appended("AuthorizationPolicy\nmetadata: {name: probes, namespace: shop}\nspec:\n  rules: [{to: [{operation: {paths: [/healthz]}}]}]\n")
                .replace("mode: STRICT", "mode: PERMISSIVE"),
            "only known callers",
        ),
        (services(mail, "metadata: {labels: {app: mail, sidecar.istio.io/inject: \"false\"}}"), SECURITY.to_owned(), "injection is on"),
        (services("ports: [{name: http, port: 80, targetPort: 8080}]", "ports: [{name: web, port: 80, targetPort: 8080}]"), SECURITY.to_owned(), "ports say what they speak"),
        (services("hosts: [shop.example.com]\n  gateways", "hosts: [\"*.example.com\"]\n  gateways"), SECURITY.to_owned(), "no wildcard hosts"),
        (services("  exportTo: [\".\", istio-system]\n", ""), SECURITY.to_owned(), "nothing is exported to everybody"),
        (services("      serviceAccountName: mail\n", ""), SECURITY.to_owned(), "own accounts"),
        (services("metadata: {name: mail, namespace: shop}\nspec:\n  replicas: 2", "metadata: {name: mail, namespace: shop}\nspec:\n  replicas: 1"), SECURITY.to_owned(), "at least two pods"),
        (
            services("  - route: [{destination: {host: web, port: {number: 80}}}]", "  - route: [{destination: {host: web, port: {number: 80}}}]\n  - match: [{uri: {prefix: /cart}}]\n    route: [{destination: {host: cart}}]"),
            SECURITY.to_owned(),
            "no dead routes",
        ),
    ] {
        let found = broken(&services, &security, RULES);
        assert!(found.iter().any(|name| name == expected), "{expected}: {found:?}");
    }
}
