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
        ("networking.istio.io/v1alpha3", "ProxyConfig"),
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

#[test]
fn hooks_that_no_install_applies_are_no_part_of_the_mesh() {
    let pod = |name: &str, hook: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: {name}, annotations: {{helm.sh/hook: '{hook}'}}}}\nspec: \
             {{containers: [{{name: c}}]}}\n---\n"
        )
    };
    let read = read(&(pod("a", "test") + &pod("b", "pre-install, test") + &pod("c", "post-delete,pre-rollback")));
    let names: Vec<&str> = read.mesh.workloads.iter().map(|workload| workload.meta.name()).collect();
    assert_eq!(names, ["b"]);
    let reasons = read.mesh.unmodelled.iter().map(|gap| gap.reason.as_str());
    assert_eq!(
        reasons.filter(|reason| reason.contains("hook")).collect::<Vec<_>>(),
        [
            "a Helm hook that no install or upgrade applies: `test`",
            "a Helm hook that no install or upgrade applies: `post-delete,pre-rollback`",
        ]
    );
}

#[test]
fn manifests_of_a_terraform_plan_are_read_and_the_rest_is_named() {
    let plan = r#"{"format_version": "1.2", "terraform_version": "1.9.0", "planned_values": {"root_module": {
  "resources": [
    {"address": "kubernetes_manifest.web", "mode": "managed", "type": "kubernetes_manifest", "name": "web", "values": {
      "manifest": {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web", "namespace": "shop"},
        "spec": {"ports": [{"name": "http", "port": 80}], "selector": {"app": "web"}}}, "wait": null}},
    {"address": "aws_s3_bucket.b", "type": "aws_s3_bucket", "values": {"bucket": "b"}}],
  "child_modules": [{"address": "module.x", "resources": [
    {"address": "module.x.helm_release.r", "type": "helm_release", "values": {"chart": "c"}},
    {"address": "module.x.kubernetes_manifest.v", "type": "kubernetes_manifest", "values": {"manifest": {
      "apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "v", "namespace": "shop"},
      "spec": {"hosts": ["web"], "http": [{"timeuot": "1s", "route": [{"destination": {"host": "web"}}]}]}}}}]}]}}}"#;
    let read = read(plan);
    assert_eq!((read.mesh.services.len(), read.mesh.virtual_services.len()), (1, 1));
    let paths: Vec<String> = read.findings.iter().map(|finding| place(finding.location.as_ref().unwrap())).collect();
    let field = "planned_values.root_module.child_modules[0].resources[1].values.manifest.spec.http[0].timeuot";
    assert_eq!(paths, [format!("11:44 {field}")]);
    let gaps: Vec<_> = read.mesh.unmodelled.iter().map(|gap| (gap.resource.name.as_str(), gap.matters)).collect();
    assert_eq!(gaps, [("aws_s3_bucket.b", false), ("module.x.helm_release.r", true)]);
}
