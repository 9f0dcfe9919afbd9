//! What cannot be used is said clearly, and the exit code is 2.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod common;

use common::{copy_of, meshproof, meshproof_with_input, scratch};

#[test]
fn bad_input_is_told_clearly() {
    let empty = scratch("empty");
    let no_yaml = scratch("no-yaml");
    std::fs::write(no_yaml.join("mesh.yaml"), "kind: Service\nmetadata: {name: a\n").unwrap();
    let unmade = scratch("unmade");
    let kustomization = "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources: [../base]\n";
    std::fs::write(unmade.join("kustomization.yaml"), kustomization).unwrap();
    let bad_ron = copy_of("bookinfo", "bad-ron", &[("mesh.ron", "concurrency: 128", "concurency: 128")]);
    let bad_toml = copy_of("bookinfo", "bad-toml", &[]);
    std::fs::write(bad_toml.join("meshproof.toml"), "[limits]\nretry_amplifications = 3\n").unwrap();
    let path = |p: &std::path::Path| p.to_str().unwrap().to_owned();
    let table: &[(&[&str], &str)] = &[
        (&["verify", "no/such/folder"], "cannot read `no/such/folder`"),
        (&["verify", &path(&empty)], "no manifests in"),
        (&["verify", &path(&no_yaml)], "mesh.yaml:"),
        (&["verify", &path(&unmade)], "but `Kustomization`: it says how manifests are made; run `kubectl kustomize`"),
        (&["verify", &path(&bad_ron)], "mesh.ron:"),
        (&["verify", &path(&bad_toml)], "meshproof.toml:2:"),
        (&["simulate", "topologies/bookinfo", "--scenario", "spikes"], "there are `ratings-down`, `spike`, `steady`"),
        (&["simulate", "topologies/bookinfo", "--scenario", "no/such.ron"], "cannot read `no/such.ron`"),
        (&["simulate", "topologies/bookinfo"], "--scenario"),
        (&["verify", "topologies/bookinfo", "--format", "xml"], "xml"),
        (&["verify", "topologies/bookinfo", "--select", "MP9999"], "no rule has a code that begins with `MP9999`"),
        (&["explain", "MP9999"], "no rule has the code `MP9999`"),
    ];
    for (args, told) in table {
        let answer = meshproof(args);
        assert_eq!(answer.code, 2, "{args:?}: {}{}", answer.out, answer.err);
        assert!(format!("{}{}", answer.out, answer.err).contains(told), "{args:?}: {}{}", answer.out, answer.err);
    }
}

/// What a scenario asks for and cannot be is told with its file and line.
#[test]
fn scenarios_that_cannot_be_are_told_with_their_place() {
    let (mesh, steady) = ("mesh.ron", "scenarios/stock-is-down.ron");
    let table = [
        (mesh, "to: \"stock:80\"", "to: \"stok:80\"", "mesh.ron:22:27: workloads.default/packer.calls[0][0].to: "),
        (
            mesh,
            "concurrency: 8",
            "concurrency: 0",
            "mesh.ron:20:26: workloads.default/packer.concurrency: the capacity is",
        ),
        (mesh, "calls: [[(to: \"stock:80\"", "calls: [[(to: \"packer:80\"", "calls go round in a circle: "),
        (
            mesh,
            "dead_letters: \"failed\"",
            "dead_letters: \"fialed\"",
            "no queue named `fialed`; did you mean `failed`?",
        ),
        (steady, "rate: \"150rps\"", "rate: \"9000000000krps\"", "stock-is-down.ron:8:"),
        (steady, "at: \"60s\"", "at: \"-60s\"", "stock-is-down.ron:9:"),
        (
            steady,
            "workload: \"default/stock\"",
            "workload: \"default/stck\"",
            "stock-is-down.ron:9:31: faults[0].workload: ",
        ),
        (steady, "orders.dead_letters > 2000", "orders.dead_letter > 2000", "stock-is-down.ron:10:"),
    ];
    for (number, (file, from, to, told)) in table.iter().enumerate() {
        let folder = copy_of("dead-letters", &format!("cannot-be-{number}"), &[(file, from, to)]);
        let answer = meshproof(&["simulate", folder.to_str().unwrap(), "--scenario", "stock-is-down"]);
        assert_eq!(answer.code, 2, "{to}: {}{}", answer.out, answer.err);
        assert!(answer.err.contains(told), "{to}: {}", answer.err);
    }
}

/// Recorded arrivals stand in a file beside the scenario.
#[test]
fn recorded_arrivals_are_read_beside_their_scenario() {
    let folder = copy_of("dead-letters", "recorded", &[]);
    let scenario = "Scenario(version: 1, horizon: \"10s\",
        load: [Open(client: \"buyers\", arrivals: Recorded(\"orders.csv\"), rate: [])])";
    std::fs::write(folder.join("scenarios/recorded.ron"), scenario).unwrap();
    let args = ["simulate", folder.to_str().unwrap(), "--scenario", "recorded", "--format", "json"];
    let missing = meshproof(&args);
    assert_eq!(missing.code, 2);
    assert!(missing.err.contains("orders.csv`"), "{}", missing.err);
    std::fs::write(folder.join("scenarios/orders.csv"), "seconds\n0.5\n1\n1\n11\n").unwrap();
    assert_eq!(meshproof(&args).json()["client_requests"], 3, "the last one comes after the horizon");
    std::fs::write(folder.join("scenarios/orders.csv"), "1\n0.5\n").unwrap();
    let bad = meshproof(&args);
    assert_eq!(bad.code, 2);
    assert!(bad.err.contains("orders.csv:2: `0.5` comes before"), "{}", bad.err);
}

#[test]
fn one_broken_document_leaves_the_others() {
    let broken = "kind: VirtualService\nmetadata: {name: [}\n---\n";
    let rest = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/topologies/bookinfo-broken/routing.yaml"))
        .unwrap();
    let answer = meshproof_with_input(&["verify", "-", "--format", "json"], &format!("{broken}{rest}"));
    assert_eq!(answer.code, 2);
    let json = answer.json();
    let codes: Vec<_> =
        json["findings"].as_array().unwrap().iter().map(|f| f["code"].as_str().unwrap().to_owned()).collect();
    assert!(codes.contains(&"MP0101".to_owned()), "{codes:?}");
    assert!(codes.contains(&"MP0103".to_owned()), "{codes:?}");
}

#[test]
fn annotations_name_file_and_line() {
    let answer = meshproof(&["verify", "topologies/bookinfo-broken", "--format", "github"]);
    let line = common::line_of("bookinfo-broken", "report.yaml", "sidecar.istio.io/inject");
    let start = format!("::error file=topologies/bookinfo-broken/report.yaml,line={line},");
    assert!(answer.out.lines().any(|l| l.starts_with(&start)), "{}", answer.out);
}

#[test]
fn decision_cases_are_answered_line_by_line() {
    let cases = include_str!("envoy/vectors/fault.json");
    let count = serde_json::from_str::<serde_json::Value>(cases).unwrap().as_array().unwrap().len();
    let answer = meshproof_with_input(&["conformance", "replay"], cases);
    assert_eq!((answer.code, answer.out.lines().count()), (0, count), "{}", answer.err);
    assert_eq!(answer.out, meshproof_with_input(&["conformance", "replay"], cases).out);
    assert_eq!(meshproof_with_input(&["conformance", "replay"], "{}").code, 2);
}

/// Who asks about one file hears what cannot be known from it.
#[test]
fn a_route_alone_is_not_said_to_lead_somewhere() {
    let route = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: cart, namespace: shop}\n\
                 spec: {hosts: [cart], http: [{route: [{destination: {host: cart, subset: v9}}]}]}\n";
    let service = "---\napiVersion: v1\nkind: Service\nmetadata: {name: cart, namespace: shop}\n\
                   spec: {ports: [{name: http, port: 80}]}\n";
    let told = "no Service was read, so no host was looked up";
    let alone = meshproof_with_input(&["verify", "-"], route);
    assert!(alone.code == 0 && alone.out.contains(told), "{}", alone.out);
    let both = meshproof_with_input(&["verify", "-"], &format!("{route}{service}"));
    assert!(both.code == 1 && both.out.contains("MP0202") && !both.out.contains(told), "{}", both.out);
}
