//! Nothing is skipped silently.

use super::{place, read, read_clean};
use crate::{ImportOptions, import};

fn gaps(text: &str) -> Vec<String> {
    read(text).mesh.unmodelled.iter().map(|u| format!("{} | {}", place(&u.at), u.reason)).collect()
}

#[test]
fn fields_of_istio_are_named_one_by_one() {
    let text = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: v}
spec:
  hosts: [a]
  http:
  - corsPolicy: {allowOrigins: [{exact: x}]}
    route:
    - destination: {host: a}
    match: [{statPrefix: s}]
";
    assert_eq!(
        gaps(text),
        [
            "7:5 spec.http[0].corsPolicy | `spec.http[].corsPolicy` is not modelled",
            "10:14 spec.http[0].match[0].statPrefix | `spec.http[].match[].statPrefix` is not modelled",
        ]
    );
}

#[test]
fn fields_of_pods_are_named_together_unless_they_can_matter() {
    let text = "apiVersion: apps/v1
kind: Deployment
metadata: {name: d, namespace: ns}
spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec:
      containers:
      - name: c
        image: i
        readinessProbe: {httpGet: {port: 80}}
      - {name: e, image: j, command: [x], env: []}
";
    let gaps = gaps(text);
    assert_eq!(
        gaps[0],
        "1:1  | not modelled, and taken to change no verdict: `spec.template.spec.containers[].command`, \
         `spec.template.spec.containers[].image`"
    );
    assert!(gaps[1].starts_with("1:1  | the manifests do not define the namespace `ns`"));
    assert!(gaps[2].starts_with("12:9 spec.template.spec.containers[0].readinessProbe | "));
    assert_eq!(gaps.len(), 3);
}

#[test]
fn every_object_is_read_or_named() {
    let rows = [
        ("v1", "Secret"),
        ("apps/v1", "ControllerRevision"),
        ("networking.istio.io/v1alpha3", "EnvoyFilter"),
        ("gateway.networking.x-k8s.io/v1alpha1", "XMesh"),
        ("policy.linkerd.io/v1alpha1", "EgressNetwork"),
        ("example.com/v1", "Whatever"),
    ];
    for (api, kind) in rows {
        let mesh = read_clean(&format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{name: x, namespace: ns}}\n")).mesh;
        assert_eq!(mesh.unmodelled.len(), 1, "{kind}");
        assert_eq!(mesh.unmodelled[0].resource.kind, kind);
    }
    let rollout = "apiVersion: argoproj.io/v1alpha1\nkind: Rollout\nmetadata: {name: x, namespace: ns}\nspec: {workloadRef: {}}\n";
    assert_eq!(gaps(rollout)[0], "1:1  | its pods are described elsewhere");
    let nothing = read("apiVersion: v1\nkind: Service\nmetadata: {name: x}\n");
    assert_eq!(super::findings(&nothing), ["MP0105 1:1 `Service default/x` has no `spec`, so it says nothing"]);
    assert_eq!(gaps("replicas: 3\n").len(), 1, "a values file");
    assert_eq!(
        gaps("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec: {replicas: 2}\n").len(),
        1,
        "a patch"
    );
}

#[test]
fn strict_makes_gaps_errors() {
    let mut sources = meshproof_model::Sources::default();
    sources.add("a.yaml", "apiVersion: example.com/v1\nkind: X\nmetadata: {name: x}\n");
    let options = ImportOptions { strict: true, ..ImportOptions::default() };
    let imported = import(&sources, &options);
    let [finding] = imported.findings.as_slice() else { panic!("one finding") };
    assert_eq!((finding.rule.code, finding.severity), ("MP0102", meshproof_model::Severity::Error));
}
