//! Kubernetes' Ingress: IN-1.

use meshproof_model::{Lowered, Missing};

use crate::{
    fixture::{checked, mesh, service, workload},
    gateway_api::ask,
};

fn ingress(name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: {name}, namespace: shop}}\nspec: {spec}\n---\n"
    )
}

fn paths(paths: &[(&str, &str, &str)]) -> String {
    let path = |(path, kind, service): &(&str, &str, &str)| {
        format!("{{path: {path}, pathType: {kind}, backend: {{service: {{name: {service}, port: {{number: 9080}}}}}}}}")
    };
    format!("{{paths: [{}]}}", paths.iter().map(path).collect::<Vec<_>>().join(", "))
}

fn lower(manifests: &str, gateway: &str) -> Lowered {
    let mesh = mesh(manifests);
    checked(mesh.gateway(workload(&mesh, gateway)))
}

const ISTIO: &str = "istio-system/istio-ingressgateway";

#[test]
fn in1_the_longest_path_decides_element_by_element() {
    let rules = paths(&[
        ("/", "Prefix", "reviews"),
        ("/a", "Prefix", "reviews"),
        ("/a", "Exact", "ratings"),
        ("/a/b/", "Prefix", "ratings"),
        ("/own", "ImplementationSpecific", "ratings"),
        ("/wild/*", "ImplementationSpecific", "ratings"),
    ]);
    let spec = |class: &str| format!("{{ingressClassName: {class}, rules: [{{host: a.example, http: {rules}}}]}}");
    let lowered = lower(&ingress("i", &spec("istio")), ISTIO);
    for (path, expect) in [
        ("/a", "0.2"),
        ("/a/x", "0.1"),
        ("/ab", "0.0"),
        ("/a/b", "0.3"),
        ("/a/b/c", "0.3"),
        ("/own", "0.4"),
        ("/own/x", "0.0"),
        ("/wild/x", "0.5"),
    ] {
        let answer = ask(&lowered, 80, &format!("GET a.example{path}"), &[]);
        assert!(answer.starts_with(&format!("Ingress shop/i {expect} Forward")), "{path}: {answer}");
    }
    assert_eq!(ask(&lowered, 80, "GET b.example/a", &[]), "404");
    // Other controllers compare paths of their own type by their elements.
    let nginx = lower(&ingress("i", &spec("nginx")), "ingress-nginx/ingress-nginx");
    let answer = ask(&nginx, 80, "GET a.example/own/x", &[]);
    assert!(answer.starts_with("Ingress shop/i 0.4 "), "{answer}");
}

#[test]
fn in1_backends_that_are_missing_are_503() {
    let lowered = lower(
        &ingress(
            "i",
            &format!("{{ingressClassName: istio, rules: [{{http: {}}}]}}", paths(&[("/", "Prefix", "nobody")])),
        ),
        ISTIO,
    );
    assert!(ask(&lowered, 80, "GET x/", &[]).ends_with("NoCluster(503)"));
    assert_eq!(lowered.provenance.listeners[0].routes[0].destinations[0].missing, Some(Missing::Host));
}

#[test]
fn in1_the_default_backend_takes_what_is_left_but_not_at_istio() {
    let rules = paths(&[("/a", "Prefix", "reviews")]);
    let spec = |class: &str| {
        format!(
            "{{{class}defaultBackend: {{service: {{name: ratings, port: {{name: http}}}}}}, rules: [{{host: a.example, http: {rules}}}]}}"
        )
    };
    let other = lower(&ingress("i", &spec("")), "ingress/ingress");
    for request in ["GET a.example/b", "GET b.example/"] {
        let answer = ask(&other, 80, request, &[]);
        assert!(answer.starts_with("Ingress shop/i 1 Forward") && answer.contains("ratings"), "{request}: {answer}");
    }
    let istio = lower(&ingress("i", &spec("ingressClassName: istio, ")), ISTIO);
    assert_eq!(ask(&istio, 80, "GET a.example/b", &[]), "404");
}

#[test]
fn in1_a_controller_outside_of_the_mesh_has_no_certificate() {
    let rules = paths(&[("/", "Prefix", "reviews")]);
    let tls = format!("{{ingressClassName: nginx, tls: [{{secretName: c}}], rules: [{{http: {rules}}}]}}");
    let mesh = mesh(&ingress("i", &tls));
    let nginx = workload(&mesh, "ingress-nginx/ingress-nginx");
    let lowered = checked(mesh.gateway(nginx));
    assert_eq!(lowered.provenance.listeners.iter().map(|listener| listener.port).collect::<Vec<_>>(), [80, 443]);
    let reviews = service(&mesh, "shop/reviews");
    let endpoint = workload(&mesh, "shop/reviews-v1");
    let transport = mesh.client_transport(Some(nginx), reviews, 9080, endpoint);
    assert_eq!(transport.value, meshproof_model::Transport::Plaintext);
    assert!(
        lowered.config.clusters.iter().all(|cluster| cluster.transport_matches.is_empty() && cluster.tls.is_none())
    );
}
