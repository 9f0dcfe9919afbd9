//! Who gets a proxy, and what stands in for gateways that the manifests leave out.

use meshproof_model::ProxyMode;

use super::read;

fn deployment(namespace: &str, template: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: w, namespace: {namespace}}}\nspec: {{template: {template}}}\n---\n"
    )
}

fn namespace(labels: &str) -> String {
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: ns, labels: {{{labels}}}}}\n---\n")
}

const PLAIN: &str = "{spec: {containers: [{name: c}]}}";
const STRICT: &str =
    "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: p, namespace: m}\nspec: {}\n";

#[test]
fn pods_decide_before_namespaces() {
    let pod = |meta: &str, spec: &str| format!("{{metadata: {{{meta}}}, spec: {{{spec}containers: [{{name: c}}]}}}}");
    let label = |value: &str| pod(&format!("labels: {{sidecar.istio.io/inject: '{value}'}}"), "");
    let rows: Vec<(String, String, ProxyMode)> = vec![
        (namespace("istio-injection: enabled"), PLAIN.into(), ProxyMode::Sidecar),
        (namespace("istio-injection: disabled"), PLAIN.into(), ProxyMode::None),
        (namespace("istio.io/rev: canary"), PLAIN.into(), ProxyMode::Sidecar),
        (namespace("istio-injection: disabled, istio.io/rev: canary"), PLAIN.into(), ProxyMode::None),
        (namespace(""), PLAIN.into(), ProxyMode::None),
        (namespace("istio-injection: enabled"), label("false"), ProxyMode::None),
        (namespace("istio-injection: disabled"), label("true"), ProxyMode::Sidecar),
        (namespace(""), pod("annotations: {sidecar.istio.io/inject: 'true'}", ""), ProxyMode::Sidecar),
        (namespace("istio-injection: enabled"), pod("", "hostNetwork: true, "), ProxyMode::None),
        (namespace(""), pod("labels: {istio.io/rev: canary}", ""), ProxyMode::Sidecar),
        (namespace("istio-injection: disabled"), pod("labels: {istio.io/rev: canary}", ""), ProxyMode::None),
        (namespace("istio.io/dataplane-mode: ambient"), PLAIN.into(), ProxyMode::Ambient),
        (
            namespace("istio.io/dataplane-mode: ambient"),
            pod("labels: {istio.io/dataplane-mode: none}", ""),
            ProxyMode::None,
        ),
        (
            namespace("istio-injection: enabled"),
            pod("annotations: {inject.istio.io/templates: gateway}", ""),
            ProxyMode::Gateway,
        ),
        (namespace(""), "{spec: {containers: [{name: c}, {name: istio-proxy}]}}".into(), ProxyMode::Sidecar),
        (namespace(""), "{spec: {containers: [{name: istio-proxy}]}}".into(), ProxyMode::Gateway),
    ];
    for (namespace, template, mode) in rows {
        let mesh = read(&format!("{namespace}{}{STRICT}", deployment("ns", &template))).mesh;
        assert_eq!(mesh.workloads[0].proxy, mode, "{namespace}{template}");
    }
    let system = read(&deployment("kube-system", &label("true")));
    assert_eq!(system.mesh.workloads[0].proxy, ProxyMode::None);
}

#[test]
fn the_place_of_the_decision_is_kept() {
    let mesh = read(&format!("{}{}", namespace("istio-injection: enabled"), deployment("ns", PLAIN))).mesh;
    let at = &mesh.workloads[0].proxy_at;
    assert_eq!((at.line, at.column, at.path.to_string()), (3, 31, "metadata.labels.istio-injection".to_owned()));
}

#[test]
fn an_undefined_namespace_is_assumed_and_said() {
    for (rest, mode, word) in [(STRICT, ProxyMode::Sidecar, "injected"), ("", ProxyMode::None, "not injected")] {
        let mesh = read(&format!("{}{rest}", deployment("ns", PLAIN))).mesh;
        assert_eq!(mesh.workloads[0].proxy, mode);
        let notes: Vec<_> = mesh.unmodelled.iter().filter(|u| u.resource.kind == "Namespace").collect();
        assert_eq!(notes.len(), 1);
        assert!(notes[0].reason.contains(&format!("taken to be {word},")), "{}", notes[0].reason);
    }
}

#[test]
fn a_gateway_without_pods_gets_one() {
    let gateway = "apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: g, namespace: ns}\nspec:\n  \
                   selector: {istio: ingressgateway}\n  servers:\n  - {port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}\n---\n";
    let mesh = read(gateway).mesh;
    let workload = &mesh.workloads[0];
    assert_eq!(
        (workload.full_name().as_str(), workload.proxy),
        ("istio-system/istio-ingressgateway", ProxyMode::Gateway)
    );
    assert_eq!(workload.meta.resource.kind, "Gateway");
    assert_eq!(
        (mesh.services[0].full_name().as_str(), mesh.services[0].ports[0].number.value),
        ("istio-system/istio-ingressgateway", 80)
    );
    assert_eq!(mesh.workloads_of(mesh.find_service("istio-system", "istio-ingressgateway").unwrap()).count(), 1);
    assert_eq!(mesh.unmodelled.len(), 1);
    let own = format!(
        "{gateway}{}",
        deployment("ns", "{metadata: {labels: {istio: ingressgateway}}, spec: {containers: [{name: c}]}}")
    );
    let mesh = read(&own).mesh;
    assert_eq!((mesh.workloads.len(), mesh.workloads[0].proxy), (1, ProxyMode::Gateway));
}
