//! What it costs to read the manifests of a large sound mesh: 5,000 documents, about 26 MB. Beside it, in the same run, the
//! YAML parser alone on the same text, which is the floor.

#![allow(missing_docs, reason = "a benchmark")]

use std::{fmt::Write as _, hint::black_box};

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use granit_parser::Parser;
use meshproof_import::{ImportOptions, import};
use meshproof_model::Sources;

const SERVICES: usize = 1_000;

/// Five documents for each service: itself, its workload, routes, policy and permissions.
fn manifests() -> String {
    let mut text = String::new();
    for number in 0..SERVICES {
        let name = format!("svc{number}");
        let namespace = format!("team{}", number % 20);
        let mut document = |api: &str, kind: &str, body: &str| {
            let _ = write!(
                text,
                "---\napiVersion: {api}\nkind: {kind}\nmetadata:\n  name: {name}\n  namespace: {namespace}\n{body}"
            );
        };
        let ports = repeated(10, |n| format!("  - name: http-{n}\n    port: {0}\n    targetPort: {0}\n", 8000 + n));
        document("v1", "Service", &format!("spec:\n  selector: {{app: {name}}}\n  ports:\n{ports}"));
        let env = repeated(60, |n| format!("        - name: SETTING_{n}\n          value: value {n} of {name}\n"));
        document(
            "apps/v1",
            "Deployment",
            &format!(
                "spec:\n  replicas: 3\n  selector:\n    matchLabels: {{app: {name}}}\n  template:\n    metadata:\n      \
                 labels: {{app: {name}, version: v1}}\n    spec:\n      serviceAccountName: {name}\n      \
                 containers:\n      - name: main\n        image: example/{name}:1.0\n        env:\n{env}"
            ),
        );
        let destination = |subset: &str, weight: u32| {
            format!(
                "    - destination:\n        host: {name}\n        subset: {subset}\n        port: {{number: 8000}}\n      weight: {weight}\n"
            )
        };
        let rules = repeated(30, |n| {
            format!(
                "  - name: rule-{n}\n    match:\n    - uri:\n        prefix: /api/{n}\n      headers:\n        \
                 x-version:\n          exact: \"v{n}\"\n    route:\n{}{}    timeout: 5s\n    retries:\n      \
                 attempts: 2\n      perTryTimeout: 1s\n",
                destination("v1", 90),
                destination("v2", 10)
            )
        });
        document("networking.istio.io/v1", "VirtualService", &format!("spec:\n  hosts: [{name}]\n  http:\n{rules}"));
        let subsets = repeated(39, |n| format!("  - name: v{n}\n    labels: {{version: v1}}\n"));
        document("networking.istio.io/v1", "DestinationRule", &format!("spec:\n  host: {name}\n  subsets:\n{subsets}"));
        let rules = repeated(50, |n| {
            // Of the same namespace, which every twentieth service is in.
            let caller = (number + 20 * n as usize) % SERVICES;
            format!(
                "  - from:\n    - source:\n        principals: [cluster.local/ns/{namespace}/sa/svc{caller}]\n    to:\n    \
                 - operation:\n        methods: [GET, POST]\n        paths: [\"/api/{n}/*\"]\n"
            )
        });
        document(
            "security.istio.io/v1",
            "AuthorizationPolicy",
            &format!("spec:\n  selector:\n    matchLabels: {{app: {name}}}\n  action: ALLOW\n  rules:\n{rules}"),
        );
    }
    text
}

fn repeated(times: u32, one: impl Fn(u32) -> String) -> String {
    (0..times).map(one).collect()
}

fn reading(criterion: &mut Criterion) {
    let text = manifests();
    let mut group = criterion.benchmark_group("5,000 documents");
    group.sample_size(10).throughput(Throughput::Bytes(text.len() as u64));
    group.bench_function("the parser alone, one core", |b| {
        b.iter(|| Parser::new_from_str(black_box(&text)).flatten().count());
    });
    let mut sources = Sources::default();
    sources.add("all.yaml", text.clone());
    group.bench_function("import", |b| {
        b.iter_with_large_drop(|| import(black_box(&sources), &ImportOptions::default()));
    });
    group.finish();
}

criterion_group!(benches, reading);
criterion_main!(benches);
