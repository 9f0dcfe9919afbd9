//! Tokens (T43, `RA-1` to `RA-3`), and what ports and pods are taken to be (T45, `PR-1`, `IJ-1`).

use std::sync::Arc;

use meshproof_model::{Protocol, ProxyMode};
use meshproof_proxy::{Access, ListenerId, Peer, RequestHead, RequestKey, Table, Token};

use crate::fixture::{checked, mesh, service, workload};

fn object(kind: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: pay}}\nspec: {spec}\n---\n"
    )
}

/// What the server answers to a request with these headers: 200, or its refusal.
fn status(manifests: &str, server: &str, method: &str, headers: &[(&str, &str)]) -> u16 {
    let mesh = mesh(manifests);
    let lowered = checked(mesh.inbound(workload(&mesh, server)));
    let table = Table::compile(&lowered.config).unwrap();
    let token = |text: &str, issuer: &str, key: &str| {
        let own = str::to_owned;
        let (issuer, subject) = (Some(own(issuer)), Some(own("amy")));
        Arc::new(Token { text: own(text), issuer, subject, signed_by: own(key), ..Token::default() })
    };
    let tokens = [token("good", "x", "x"), token("forged", "x", "other"), token("second", "y", "y")];
    let head = RequestHead {
        key: RequestKey::default(),
        method,
        authority: "payments.pay",
        path: "/",
        headers,
        tokens: &tokens,
        peer: Peer::default(),
        http2: false,
    };
    match table.authorize(ListenerId::new(0), &head, 0) {
        Access::Allowed => 200,
        Access::Denied { status, .. } => status,
    }
}

#[test]
fn t43_ra1_to_ra3_tokens() {
    let rules = |rules: &str| {
        object(
            "RequestAuthentication",
            "r",
            &format!("{{selector: {{matchLabels: {{app: payments}}}}, jwtRules: [{rules}]}}"),
        )
    };
    let x = rules("{issuer: x}");
    let both = rules("{issuer: y, fromHeaders: [{name: x-token}]}, {issuer: x}");
    let required = object("AuthorizationPolicy", "a", "{rules: [{from: [{source: {requestPrincipals: ['*']}}]}]}");
    let bearer = |token: &'static str| [("authorization", token)];
    for (case, manifests, method, headers, expect) in [
        ("T43 no token passes", x.clone(), "GET", vec![], 200),
        ("T43 a good one", x.clone(), "GET", bearer("Bearer good").to_vec(), 200),
        ("T43 a bad one", x.clone(), "GET", bearer("Bearer forged").to_vec(), 401),
        ("RA-2 an unknown issuer", x.clone(), "GET", bearer("Bearer second").to_vec(), 401),
        ("T43 required, missing", x.clone() + &required, "GET", vec![], 403),
        ("T43 required, good", x.clone() + &required, "GET", bearer("Bearer good").to_vec(), 200),
        ("T43 required, bad", x.clone() + &required, "GET", bearer("Bearer forged").to_vec(), 401),
        ("RA-2 one of two is enough", both.clone(), "GET", vec![("x-token", "second")], 200),
        ("RA-2 the other's place", both.clone(), "GET", bearer("Bearer good").to_vec(), 200),
        ("RA-2 none of two", both, "GET", vec![], 200),
        (
            "RA-3 preflights pass",
            x.clone(),
            "OPTIONS",
            vec![("authorization", "Bearer forged"), ("origin", "a"), ("access-control-request-method", "GET")],
            200,
        ),
    ] {
        assert_eq!(status(&manifests, "pay/payments", method, &headers), expect, "{case}");
    }
    // RA-1: other pods of the namespace are not selected.
    let mesh = mesh(&x);
    let other = mesh.inbound(workload(&mesh, "pay/ledger"));
    assert!(other.config.listeners.iter().all(|listener| listener.filters.is_empty()), "RA-1");
}

#[test]
fn t45_pr1_what_ports_speak() {
    for (port, expect) in [
        ("{name: postgres, port: 5432}", Protocol::Auto),
        ("{name: mysql, port: 5000}", Protocol::Tcp),
        ("{port: 3306}", Protocol::Tcp),
        ("{name: grpc-web-x, port: 80}", Protocol::GrpcWeb),
        ("{name: http, port: 80, appProtocol: kubernetes.io/h2c}", Protocol::Http2),
        ("{name: http-web, port: 80}", Protocol::Http),
        ("{name: https, port: 443}", Protocol::Https),
        ("{name: dns, port: 53, protocol: UDP}", Protocol::Udp),
    ] {
        let manifest = format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: t45, namespace: shop}}\nspec: {{selector: {{app: x}}, ports: [{port}]}}\n"
        );
        let mesh = mesh(&manifest);
        assert_eq!(mesh.service(service(&mesh, "shop/t45")).ports[0].protocol, expect, "T45 PR-1 {port}");
    }
}

#[test]
fn ij1_who_gets_a_sidecar() {
    let pods = |namespace: &str, labels: &str, spec: &str| {
        format!(
            "apiVersion: v1\nkind: Pod\nmetadata: {{name: ij, namespace: {namespace}, labels: {{app: ij{labels}}}}}\nspec: {{containers: [{{name: app, image: app}}]{spec}}}\n"
        )
    };
    for (case, namespace, labels, spec, expect) in [
        ("its namespace's label", "shop", "", "", ProxyMode::Sidecar),
        ("no label", "legacy", "", "", ProxyMode::None),
        ("the pod opts out", "shop", ", sidecar.istio.io/inject: 'false'", "", ProxyMode::None),
        ("the pod opts in", "legacy", ", sidecar.istio.io/inject: 'true'", "", ProxyMode::Sidecar),
        ("the node's network", "shop", "", ", hostNetwork: true", ProxyMode::None),
        ("a system namespace", "kube-system", "", "", ProxyMode::None),
    ] {
        let mesh = mesh(&pods(namespace, labels, spec));
        assert_eq!(mesh.workload(workload(&mesh, &format!("{namespace}/ij"))).proxy, expect, "IJ-1 {case}");
    }
}
