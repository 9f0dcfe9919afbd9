//! What servers' own proxies do: RT-17, DR-12, and the listener's TLS.

use meshproof_model::istio::MtlsMode;
use meshproof_proxy::config::TlsMode;

use crate::fixture::{checked, limits, mesh, show_route, workload};

#[test]
fn rt17_retries_before_the_application() {
    let config = |policy: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata: {{mesh: 'defaultInboundHttpRetryPolicy: {policy}'}}\n---\n"
        )
    };
    for (case, manifests, server, expect) in [
        ("RT-17", String::new(), "shop/reviews-v1", "retries=2 on reset-before-request []"),
        ("RT-17 switched off", config("{}"), "shop/reviews-v1", "no-retries"),
        ("RT-17 the mesh's", config("{attempts: 1, retryOn: reset}"), "shop/reviews-v1", "retries=1 on reset []"),
        ("TCP has none", String::new(), "pay/ledger", "no-retries"),
        ("no proxy, no retries", String::new(), "legacy/old", "no-retries"),
    ] {
        let mesh = mesh(&manifests);
        let lowered = checked(mesh.inbound(workload(&mesh, server)));
        let port = lowered.provenance.listeners[0].port;
        let shown = show_route(&lowered.config.listeners[0].route_config.virtual_hosts[0].routes[0]);
        assert_eq!(shown, format!("prefix / -> inbound|{port}|| timeout=0s {expect}"), "{case}");
    }
}

#[test]
fn grpc_ports_have_no_inbound_retries() {
    let manifests = "apiVersion: v1
kind: Service
metadata: {name: rpc, namespace: shop}
spec: {selector: {app: web}, ports: [{name: grpc, port: 50051}]}
";
    let mesh = mesh(manifests);
    let lowered = checked(mesh.inbound(workload(&mesh, "shop/web")));
    let shown = show_route(&lowered.config.listeners[0].route_config.virtual_hosts[0].routes[0]);
    assert_eq!(shown, "prefix / -> inbound|50051|| timeout=0s no-retries");
}

#[test]
fn dr12_the_pool_holds_a_second_time() {
    let rule = |namespace: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: d, namespace: {namespace}}}\nspec: {{host: payments.pay.svc.cluster.local, trafficPolicy: {{connectionPool: {{http: {{http1MaxPendingRequests: 10, http2MaxRequests: 20}}}}, outlierDetection: {{interval: 5s}}}}}}\n---\n"
        )
    };
    for (case, manifests, expect) in [
        ("T22 DR-12", rule("pay"), "pending=10 requests=20"),
        ("only what the server's namespace resolves", rule("shop"), ""),
    ] {
        let mesh = mesh(&manifests);
        let lowered = checked(mesh.inbound(workload(&mesh, "pay/payments")));
        let cluster = &lowered.config.clusters[0];
        assert_eq!(limits(cluster), expect, "{case}");
        assert!(cluster.outlier_detection.is_none() && cluster.hosts.len() == 1, "{case}");
    }
}

#[test]
fn pa5_listeners_accept_what_the_mode_says() {
    for (mode, expect, expect_mode) in [
        ("PERMISSIVE", TlsMode::Permissive, MtlsMode::Permissive),
        ("STRICT", TlsMode::Strict, MtlsMode::Strict),
        ("DISABLE", TlsMode::Plaintext, MtlsMode::Disable),
    ] {
        let manifests = format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: d, namespace: pay}}\nspec: {{mtls: {{mode: {mode}}}}}\n"
        );
        let mesh = mesh(&manifests);
        let lowered = checked(mesh.inbound(workload(&mesh, "pay/payments")));
        assert_eq!(lowered.config.listeners[0].tls.mode, expect);
        let origin = lowered.provenance.listeners[0].mode.as_ref().unwrap();
        assert_eq!(origin.value, expect_mode);
        assert_eq!(origin.origin.location().map(|at| at.line), Some(4), "the policy's own line");
    }
}

#[test]
fn rl3_a_local_rate_limit_stands_in_the_servers_own_proxy() {
    use meshproof_proxy::config::Filter;
    let filter = |context: &str, port: &str, share: u32| {
        format!(
            "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {{name: limit, namespace: shop}}\nspec:\n  \
             workloadSelector: {{labels: {{app: reviews}}}}\n  configPatches:\n  - applyTo: HTTP_FILTER\n    \
             match: {{context: {context}{port}}}\n    patch:\n      operation: INSERT_BEFORE\n      value:\n        typed_config:\n          \
             '@type': type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit\n          \
             token_bucket: {{max_tokens: 10, tokens_per_fill: 5, fill_interval: 1s}}\n          \
             filter_enabled: {{default_value: {{numerator: {share}}}}}\n          filter_enforced: {{default_value: {{numerator: 100}}}}\n"
        )
    };
    for (case, text, limit) in [
        ("inbound", filter("SIDECAR_INBOUND", "", 100), Some(10)),
        ("its port", filter("ANY", ", listener: {portNumber: 9080}", 100), Some(10)),
        ("another port", filter("ANY", ", listener: {portNumber: 80}", 100), None),
        ("outbound", filter("SIDECAR_OUTBOUND", "", 100), None),
        ("never", filter("SIDECAR_INBOUND", "", 0), None),
    ] {
        let mesh = crate::fixture::mesh(&text);
        let lowered = crate::fixture::checked(mesh.inbound(crate::fixture::workload(&mesh, "shop/reviews-v1")));
        let found = lowered.config.listeners[0].filters.iter().find_map(|filter| match filter {
            Filter::LocalRateLimit(limit) => Some(limit.bucket.max_tokens),
            _ => None,
        });
        assert_eq!(found, limit, "RL-3 {case}");
    }
}
