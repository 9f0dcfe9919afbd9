//! How long a large mesh takes from its text to its verdicts: `cargo run --release -p meshproof-verifier --example scale
//! [SERVICES [FOLDER]]`. For each service it has four calls, five routes and ten authorization rules. With a folder, the
//! mesh is written there instead, twenty services a file.
#![allow(clippy::unwrap_used, clippy::print_stdout, reason = "it prints what it measures")]

use std::{fmt::Write as _, fs, path::Path, time::Instant};

use meshproof_import::{ImportOptions, import};
use meshproof_model::{Sources, read_behaviour};
use meshproof_verifier::{VerifyOptions, verify};

#[path = "../tests/common/layered.rs"]
mod layered;

const SERVICES_PER_FILE: usize = 20;

/// What holds for the whole mesh.
const COMMON: &str = "apiVersion: v1\nkind: Namespace\nmetadata: {name: default, labels: {istio-injection: enabled}}\n\
                      ---\napiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, \
                      namespace: istio-system}\nspec:\n  mtls: {mode: STRICT}\n";

/// A service with its pods, routes and policy.
fn service(number: usize, services: usize) -> String {
    let name = format!("s{number}");
    let mut yaml = format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  selector: {{app: {name}}}\n  ports: [{{name: \
         http, port: 80, targetPort: 8080}}]\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: \
         {name}}}\nspec:\n  replicas: 2\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    metadata: {{labels: \
         {{app: {name}}}}}\n    spec:\n      serviceAccountName: {name}\n      containers: [{{name: {name}, image: {name}, \
         ports: [{{containerPort: 8080}}]}}]\n---\napiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: \
         {{name: {name}}}\nspec:\n  hosts: [{name}]\n  http:\n"
    );
    for route in 0..4 {
        // Writing to a string does not fail.
        let _ = writeln!(
            yaml,
            "  - match: [{{uri: {{prefix: /v{route}/{name}}}, method: {{exact: GET}}}}]\n    route: [{{destination: {{host: \
             {name}}}}}]\n    timeout: {}s",
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
    yaml
}

/// Files by name.
fn files(services: usize) -> Vec<(String, String)> {
    let numbers: Vec<usize> = (0..services).collect();
    let of_file = |numbers: &[usize]| {
        let name = format!("services-{:05}.yaml", numbers[0]);
        (name, numbers.iter().map(|number| service(*number, services)).collect::<Vec<_>>().join("---\n"))
    };
    let common = ("common.yaml".to_owned(), COMMON.to_owned());
    std::iter::once(common).chain(numbers.chunks(SERVICES_PER_FILE).map(of_file)).collect()
}

/// Wall time, and the processors' time that this process has used where the system tells (Linux).
struct Clock(Instant, f64);

impl Clock {
    fn start() -> Self {
        Self(Instant::now(), processor_seconds())
    }

    fn times(&self) -> String {
        let used = processor_seconds() - self.1;
        format!("{:.2} s of processors, {:.2} s on the wall", used, self.0.elapsed().as_secs_f64())
    }
}

fn processor_seconds() -> f64 {
    let Ok(stat) = fs::read_to_string("/proc/self/stat") else { return f64::NAN };
    // After the name in brackets, which may hold spaces: user and system time in ticks of 10 ms.
    let fields: Vec<&str> = stat.rsplit(") ").next().unwrap_or("").split(' ').collect();
    [11, 12].iter().map(|at| fields[*at].parse::<f64>().unwrap()).sum::<f64>() / 100.0
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let services = arguments.next().and_then(|count| count.parse().ok()).unwrap_or(1000);
    let (files, behaviour) = (files(services), layered::behaviour(services));
    if let Some(folder) = arguments.next() {
        fs::create_dir_all(&folder).unwrap();
        for (name, text) in files.iter().chain([&("mesh.ron".to_owned(), behaviour)]) {
            fs::write(Path::new(&folder).join(name), text).unwrap();
        }
        return;
    }
    let mut sources = Sources::default();
    for (name, text) in files {
        sources.add(name, text);
    }
    let whole = Clock::start();
    let mut mesh = import(&sources, &ImportOptions::default()).mesh;
    mesh.behaviour = read_behaviour(&behaviour).unwrap();
    println!("{services} services: import {}", whole.times());
    let clock = Clock::start();
    let report = verify(&mesh, &VerifyOptions::default());
    println!("verify {}", clock.times());
    let (proofs, findings, disagreements) = (report.proofs.len(), report.findings.len(), report.disagreements.len());
    println!("both {}; {proofs} proofs, {findings} findings, {disagreements} disagreements", whole.times());
    for code in ["MP0301", "MP0401", "MP0402", "MP0601", "MP0602", "MP0609", "MP0610"] {
        let clock = Clock::start();
        let options = VerifyOptions { select: Some(vec![code.to_owned()]), ..VerifyOptions::default() };
        let found = verify(&mesh, &options);
        println!("{code} alone: {}, {} proofs", clock.times(), found.proofs.len());
    }
}
