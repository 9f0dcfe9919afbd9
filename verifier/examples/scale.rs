//! How long a large mesh takes from its text to its verdicts: `cargo run --release -p meshproof-verifier --example scale
//! [SERVICES]`. For each service it has four calls, five routes and ten authorization rules.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "it prints what it measures")]

use std::{fmt::Write as _, time::Instant};

use meshproof_import::{ImportOptions, import};
use meshproof_model::{Sources, read_behaviour};
use meshproof_verifier::{VerifyOptions, verify};

/// Layers of services that call some of the next layer, with their routes and policies; and their behaviour.
fn mesh(services: usize) -> (String, String) {
    let width = services.div_ceil(6);
    let mut yaml = "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {istio-injection: enabled}}\n---\n\
        apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: istio-system}\n\
        spec:\n  mtls: {mode: STRICT}\n---\n"
        .to_owned();
    let mut workloads = String::new();
    for number in 0..services {
        let name = format!("s{number}");
        // Writing to a string does not fail.
        let _ = write!(
            yaml,
            "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  selector: {{app: {name}}}\n  ports: \
             [{{name: http, port: 80, targetPort: 8080}}]\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: \
             {name}}}\nspec:\n  replicas: 2\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: \
             {{labels: {{app: {name}}}}}\n    spec:\n      serviceAccountName: {name}\n      containers: [{{name: {name}, \
             image: {name}, ports: [{{containerPort: 8080}}]}}]\n---\napiVersion: networking.istio.io/v1\nkind: \
             VirtualService\nmetadata: {{name: {name}}}\nspec:\n  hosts: [{name}]\n  http:\n"
        );
        for route in 0..4 {
            let _ = writeln!(
                yaml,
                "  - match: [{{uri: {{prefix: /v{route}/{name}}}, method: {{exact: GET}}}}]\n    route: [{{destination: \
                 {{host: {name}}}}}]\n    timeout: {}s",
                route + 1
            );
        }
        let _ = write!(
            yaml,
            "  - route: [{{destination: {{host: {name}}}}}]\n---\napiVersion: security.istio.io/v1\nkind: \
             AuthorizationPolicy\nmetadata: {{name: {name}}}\nspec:\n  selector: {{matchLabels: {{app: {name}}}}}\n  rules:\n"
        );
        for rule in 0..10 {
            let caller = (number + rule * 37) % services;
            let _ = writeln!(
                yaml,
                "  - from: [{{source: {{principals: [cluster.local/ns/default/sa/s{caller}]}}}}]\n    to: [{{operation: \
                 {{methods: [GET, POST], paths: [\"/v{}/*\", \"/p{rule}\"]}}}}]",
                rule % 5
            );
        }
        yaml += "---\n";
        let next = (number / width + 1) * width;
        let calls: Vec<String> = (0..4)
            .map(|call| next + (number * 7 + call * 13) % width)
            .filter(|to| *to < services)
            .map(|to| format!("[(to: \"s{to}:80\")]"))
            .collect();
        let _ =
            write!(workloads, "\"default/{name}\": (service_time: Constant(\"5ms\"), calls: [{}]), ", calls.join(", "));
    }
    let behaviour = format!(
        "Mesh(version: 1, clients: {{\"user\": (from: Outside, to: \"default/s0:80\", requests: [(name: \"r\")])}}, \
         workloads: {{{workloads}}})"
    );
    (yaml, behaviour)
}

fn main() {
    let services = std::env::args().nth(1).and_then(|count| count.parse().ok()).unwrap_or(1000);
    let (yaml, behaviour) = mesh(services);
    let mut sources = Sources::default();
    sources.add("mesh.yaml", yaml);
    let started = Instant::now();
    let mut mesh = import(&sources, &ImportOptions::default()).mesh;
    mesh.behaviour = read_behaviour(&behaviour).unwrap();
    let imported = started.elapsed();
    let report = verify(&mesh, &VerifyOptions::default());
    let total = started.elapsed();
    println!(
        "{services} services: import {:.2} s, verify {:.2} s, total {:.2} s; {} proofs, {} findings, {} disagreements",
        imported.as_secs_f64(),
        total.saturating_sub(imported).as_secs_f64(),
        total.as_secs_f64(),
        report.proofs.len(),
        report.findings.len(),
        report.disagreements.len()
    );
    for code in ["MP0301", "MP0401", "MP0402", "MP0601", "MP0602", "MP0609", "MP0610"] {
        let alone = Instant::now();
        let options = VerifyOptions { select: Some(vec![code.to_owned()]), ..VerifyOptions::default() };
        let found = verify(&mesh, &options);
        println!("{code}: {:.2} s, {} proofs", alone.elapsed().as_secs_f64(), found.proofs.len());
    }
}
