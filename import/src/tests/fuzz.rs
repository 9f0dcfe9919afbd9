//! Whatever comes, the importer answers; it never panics, and it answers the same twice.

use proptest::prelude::*;

use super::{VIRTUAL_SERVICE, findings, read};

const SEED: &str = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: &m {name: d, namespace: shop, annotations: {meshproof.dev/ignore: 'MP0401 reason=\"x\"'}}
spec: # meshproof: ignore MP0102 reason=\"y\"
  host: reviews
  trafficPolicy: &p
    connectionPool: {tcp: {maxConnections: 10, connectTimeout: 1.5s}, http: {maxRetries: 3}}
    outlierDetection: {consecutive5xxErrors: 3, interval: 5s}
  subsets:
  - {name: v1, labels: {version: v1}, trafficPolicy: *p}
---
apiVersion: v1
kind: List
items:
- {apiVersion: v1, kind: Service, metadata: *m, spec: {ports: [{port: 80, targetPort: web}]}}
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: istio, namespace: istio-system}
  data:
    mesh: |-
      defaultHttpRetryPolicy: {attempts: 2}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: w}
spec: {replicas: 2, template: {metadata: {labels: {app: w}}, spec: {containers: [{name: c, env: [{name: A_URL, value: 'http://d.shop'}]}]}}}
";

/// What stands where something else stood.
fn splices() -> impl Strategy<Value = Vec<(prop::sample::Index, usize, String)>> {
    let words = prop::sample::select(vec![
        "",
        "-1",
        "[",
        "]",
        "{",
        "}",
        "null",
        "on",
        "*m",
        "&m",
        "!!str",
        "|",
        ">-",
        "---\n",
        "\t",
        "'",
        "\"",
        "{{ .Values.a }}",
        "99999999999999999999",
        "0x",
        "1e999",
        "é",
        "\u{feff}",
        "\r\n",
        ":",
        "- ",
        "<<: *p",
        "kind: Pod\n",
        "\0",
        "%YAML 1.1\n",
    ]);
    let text = prop_oneof![words.prop_map(str::to_owned), "\\PC{0,6}"];
    prop::collection::vec((any::<prop::sample::Index>(), 0_usize..12, text), 1..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(if std::env::var_os("MESHPROOF_SLOW").is_some() { 50_000 } else { 400 }))]

    #[test]
    fn any_text_is_answered(text in any::<Vec<u8>>()) {
        let text = String::from_utf8_lossy(&text).into_owned();
        let _ = read(&text);
        let _ = read(&format!("{VIRTUAL_SERVICE}{text}"));
    }

    #[test]
    fn changed_manifests_are_answered_the_same_twice(splices in splices()) {
        let mut text: Vec<char> = SEED.chars().collect();
        for (at, length, with) in splices {
            let at = at.index(text.len().max(1)).min(text.len());
            let end = (at + length).min(text.len());
            text.splice(at..end, with.chars());
        }
        let text: String = text.into_iter().collect();
        let (first, second) = (read(&text), read(&text));
        prop_assert_eq!(findings(&first), findings(&second));
        prop_assert_eq!(first.mesh.unmodelled, second.mesh.unmodelled);
        for finding in &first.findings {
            if let Some(at) = &finding.location {
                prop_assert!(at.line >= 1 && at.column >= 1 && (at.offset as usize) <= text.len());
            }
        }
    }
}
