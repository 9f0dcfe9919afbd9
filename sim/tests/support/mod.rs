//! Meshes from a few lines.
#![allow(dead_code, clippy::expect_used, clippy::unwrap_used, reason = "each test file uses a part, and may stop")]

use std::fmt::Write;

use meshproof_import::{ImportOptions, import};
use meshproof_model::{Mesh, Scenario, Sources, read_behaviour, read_scenario};
use meshproof_sim::{Run, SimOptions, simulate};

/// A namespace with sidecars.
pub(crate) const INJECTED: &str =
    "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {istio-injection: enabled}}\n";

/// A workload and its service on port 80.
pub(crate) fn service(name: &str, replicas: u32) -> String {
    format!(
        "---
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: default}}
spec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {{name: {name}, namespace: default}}
spec:
  replicas: {replicas}
  selector: {{matchLabels: {{app: {name}}}}}
  template:
    metadata: {{labels: {{app: {name}}}}}
    spec: {{containers: [{{name: app, image: x, ports: [{{containerPort: 8080}}]}}]}}
"
    )
}

/// A route with this retry policy, in YAML's flow style.
pub(crate) fn retries(host: &str, policy: &str) -> String {
    format!(
        "---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: {host}, namespace: default}}
spec: {{hosts: [{host}], http: [{{route: [{{destination: {{host: {host}}}}}], retries: {policy}}}]}}
"
    )
}

/// A mesh from manifests and a `mesh.ron`.
pub(crate) fn mesh(manifests: &str, behaviour: &str) -> Mesh {
    let mut sources = Sources::default();
    sources.add("mesh.yaml", manifests);
    let imported = import(&sources, &ImportOptions::default());
    assert!(!imported.unreadable, "{:?}", imported.findings);
    let mut mesh = imported.mesh;
    mesh.behaviour = read_behaviour(behaviour).expect("a readable mesh.ron");
    mesh
}

/// A scenario: what stands between `Scenario(version: 1,` and the closing parenthesis.
pub(crate) fn scenario(text: &str) -> Scenario {
    read_scenario(&format!("Scenario(version: 1, {text})")).expect("a readable scenario")
}

/// Runs a scenario that must not break what always holds.
pub(crate) fn run(mesh: &Mesh, scenario: &Scenario, options: &SimOptions) -> Run {
    let run = simulate(mesh, scenario, options).expect("a run");
    assert_eq!(run.internal_errors, Vec::<String>::new());
    run
}

/// A front workload without a service, and services `s1` to `sN` that call each other in a row.
pub(crate) fn chain(length: u32, replicas: u32, policy: &str, service_time: &str) -> Mesh {
    chain_with(length, replicas, policy, service_time, "")
}

/// The same, with further manifests.
pub(crate) fn chain_with(length: u32, replicas: u32, policy: &str, service_time: &str, more: &str) -> Mesh {
    let mut manifests = INJECTED.to_owned() + more;
    manifests.push_str(&service("front", 1));
    let mut workloads = String::new();
    for number in 1..=length {
        let name = format!("s{number}");
        manifests.push_str(&service(&name, replicas));
        manifests.push_str(&retries(&name, policy));
        let calls = if number < length { format!("[[(to: \"s{}:80\")]]", number + 1) } else { "[]".to_owned() };
        write!(workloads, "\"default/{name}\": (service_time: {service_time}, calls: {calls}),").unwrap();
    }
    let behaviour = format!(
        "Mesh(version: 1, clients: {{\"load\": (from: Workload(\"default/front\"), to: \"default/s1:80\",
            requests: [(name: \"r\")])}}, workloads: {{{workloads}}})"
    );
    mesh(&manifests, &behaviour)
}
