//! Who speaks mutual TLS with whom: T33 to T39, and the matrix of clients and servers.

use meshproof_model::{Mesh, Transport, istio::MtlsMode};

use crate::fixture::{cluster, mesh, outbound, service, workload};

fn pa(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
    )
}

fn dr(namespace: &str, host: &str, policy: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: tls, namespace: {namespace}}}\nspec: {{host: '{host}', trafficPolicy: {policy}}}\n---\n"
    )
}

/// How a call ends, from what the client does and the server accepts: `P` plaintext, `M` mutual TLS, `X` failure.
fn outcome(mesh: &Mesh, client: &str, to: &str, port: u16, server: &str, container_port: u16) -> char {
    let (client, to, server) = (workload(mesh, client), service(mesh, to), workload(mesh, server));
    let transport = mesh.client_transport(Some(client), to, port, server).value;
    let has_proxy = mesh.workload(server).proxy != meshproof_model::ProxyMode::None;
    match (transport, mesh.server_mode(server, container_port).value) {
        (Transport::Plaintext, MtlsMode::Disable | MtlsMode::Permissive) => 'P',
        (Transport::IstioMutual, MtlsMode::Permissive | MtlsMode::Strict) if has_proxy => 'M',
        (Transport::Plaintext | Transport::IstioMutual | Transport::Tls, _) => 'X',
    }
}

#[test]
fn t33_to_t39_client_and_server() {
    let strict = pa("istio-system", "default", "{mtls: {mode: STRICT}}");
    let old = ("legacy/old", 80, "legacy/old", 80);
    let payments = ("pay/payments", 80, "pay/payments", 8080);
    for (case, manifests, client, (to, port, server, container), expect) in [
        ("T33 no policy", String::new(), "legacy/client", payments, 'P'),
        ("T33 automatic", String::new(), "shop/web", payments, 'M'),
        ("T34 plaintext is refused", strict.clone(), "legacy/client", payments, 'X'),
        ("T34", strict.clone(), "shop/web", payments, 'M'),
        ("T34 no sidecar", strict.clone(), "shop/web", old, 'P'),
        (
            "T35 PA-4 by container port",
            format!(
                "{strict}{}",
                pa("pay", "p", "{selector: {matchLabels: {app: payments}}, portLevelMtls: {8080: {mode: PERMISSIVE}}}")
            ),
            "legacy/client",
            payments,
            'P',
        ),
        (
            "T35 PA-4 the service's port has no effect",
            format!(
                "{strict}{}",
                pa("pay", "p", "{selector: {matchLabels: {app: payments}}, portLevelMtls: {80: {mode: PERMISSIVE}}}")
            ),
            "legacy/client",
            payments,
            'X',
        ),
        (
            "T36 automatic plaintext",
            format!("{strict}{}", pa("pay", "ns", "{mtls: {mode: DISABLE}}")),
            "shop/web",
            payments,
            'P',
        ),
        (
            "T37 the client disables",
            format!("{strict}{}", dr("shop", "payments.pay.svc.cluster.local", "{tls: {mode: DISABLE}}")),
            "shop/web",
            payments,
            'X',
        ),
        (
            "T37 others do not",
            format!("{strict}{}", dr("shop", "payments.pay.svc.cluster.local", "{tls: {mode: DISABLE}}")),
            "ops/ops",
            payments,
            'M',
        ),
        ("T38 AM-2 no sidecar", dr("istio-system", "*.local", "{tls: {mode: ISTIO_MUTUAL}}"), "shop/web", old, 'X'),
        ("T38", dr("istio-system", "*.local", "{tls: {mode: ISTIO_MUTUAL}}"), "shop/web", payments, 'M'),
        (
            "T39 PA-1 ignored",
            pa("istio-system", "p", "{selector: {matchLabels: {app: payments}}, mtls: {mode: STRICT}}"),
            "legacy/client",
            payments,
            'P',
        ),
        (
            "PA-3 UNSET inherits",
            format!("{strict}{}", pa("pay", "ns", "{mtls: {mode: UNSET}}")),
            "legacy/client",
            payments,
            'X',
        ),
        (
            "PA-2 the first by name",
            format!("{}{}", pa("pay", "b", "{mtls: {mode: STRICT}}"), pa("pay", "a", "{mtls: {mode: PERMISSIVE}}")),
            "legacy/client",
            payments,
            'P',
        ),
    ] {
        assert_eq!(outcome(&mesh(&manifests), client, to, port, server, container), expect, "{case}");
    }
}

#[test]
fn the_matrix_of_clients_and_servers() {
    let servers = ["none", "PERMISSIVE", "STRICT", "DISABLE"];
    for (client, rule, expect) in [
        ("legacy/client", "", "PPXP"),
        ("shop/web", "", "PMMP"),
        ("shop/web", "{tls: {mode: ISTIO_MUTUAL}}", "XMMX"),
        ("shop/web", "{tls: {mode: DISABLE}}", "PPXP"),
        ("shop/web", "{tls: {mode: SIMPLE}}", "XXXX"),
        ("shop/web", "{loadBalancer: {simple: RANDOM}}", "PMMP"),
        // DR-10: the port's own entry has no TLS, and what the client would originate is lost.
        (
            "shop/web",
            "{tls: {mode: SIMPLE}, portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}}]}",
            "PPXP",
        ),
        (
            "shop/web",
            "{tls: {mode: ISTIO_MUTUAL}, portLevelSettings: [{port: {number: 80}, loadBalancer: {simple: RANDOM}}]}",
            "XMMX",
        ),
        // DR-17: a credential at a sidecar needs a rule that is bound to workloads.
        ("shop/web", "{tls: {mode: SIMPLE, credentialName: c}}", "PPXP"),
        ("istio-system/istio-ingressgateway", "", "PMMP"),
    ] {
        let outcomes: String = servers
            .iter()
            .map(|mode| {
                let (to, host, server, container) = match *mode {
                    "none" => ("legacy/old", "old.legacy", "legacy/old", 80),
                    _ => ("pay/payments", "payments.pay", "pay/payments", 8080),
                };
                let mut manifests = String::new();
                if *mode != "none" {
                    manifests += &pa("pay", "ns", &format!("{{mtls: {{mode: {mode}}}}}"));
                }
                if !rule.is_empty() {
                    manifests += &dr("shop", &format!("{host}.svc.cluster.local"), rule);
                }
                outcome(&mesh(&manifests), client, to, 80, server, container)
            })
            .collect();
        assert_eq!(outcomes, expect, "{client} {rule}");
    }
}

#[test]
fn automatic_mutual_tls_can_be_switched_off() {
    let config = "apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: 'enableAutoMtls: false'}
";
    assert_eq!(outcome(&mesh(config), "shop/web", "pay/payments", 80, "pay/payments", 8080), 'P');
}

#[test]
fn pa6_ports_that_are_kept_from_the_sidecar() {
    let strict = pa("istio-system", "default", "{mtls: {mode: STRICT}}");
    let pods = |annotations: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: db, namespace: pay}}\nspec: {{template: {{metadata: {{labels: {{app: db}}, annotations: {{{annotations}}}}}, spec: {{containers: [{{name: c, image: c}}]}}}}}}\n---\napiVersion: v1\nkind: Service\nmetadata: {{name: db, namespace: pay}}\nspec: {{selector: {{app: db}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}\n---\n"
        )
    };
    let inbound = |key: &str, ports: &str| pods(&format!("traffic.sidecar.istio.io/{key}InboundPorts: '{ports}'"));
    for (case, manifests, client, expect) in [
        ("captured", strict.clone() + &pods(""), "legacy/client", 'X'),
        ("excluded: STRICT does not hold", strict.clone() + &inbound("exclude", "9090, 8080"), "legacy/client", 'P'),
        ("excluded: clients are not told", strict.clone() + &inbound("exclude", "8080"), "shop/web", 'X'),
        ("another port", strict.clone() + &inbound("exclude", "80"), "legacy/client", 'X'),
        ("not included", strict.clone() + &inbound("include", "9090"), "legacy/client", 'P'),
        ("included", strict.clone() + &inbound("include", "8080"), "legacy/client", 'X'),
        ("all included", strict.clone() + &inbound("include", "*"), "legacy/client", 'X'),
    ] {
        assert_eq!(outcome(&mesh(&manifests), client, "pay/db", 80, "pay/db", 8080), expect, "PA-6 {case}");
    }
    let dials = pods("traffic.sidecar.istio.io/excludeOutboundPorts: '9080'");
    let lowered = outbound(&mesh(&dials), "pay/db", "shop/reviews", 9080);
    assert_eq!(
        crate::fixture::routes(&lowered, "*"),
        ["prefix  -> outbound|9080||reviews.shop~ timeout=0s no-retries"]
    );
    assert!(cluster(&lowered, "outbound|9080||reviews.shop~").transport_matches.is_empty(), "PA-6");
    assert_eq!(outcome(&mesh(&(strict + &dials)), "pay/db", "shop/reviews", 9080, "shop/reviews-v1", 9080), 'X');
}

#[test]
fn endpoints_are_marked_and_servers_are_known_by_name() {
    let lowered = outbound(&mesh(""), "shop/web", "pay/payments", 80);
    let found = cluster(&lowered, "outbound|80||payments.pay~");
    assert!(found.hosts.iter().all(|host| host.transport_metadata == [("tlsMode".to_owned(), "istio".to_owned())]));
    let tls = found.transport_matches[0].tls.as_ref().unwrap();
    let own = tls.identity.as_ref().unwrap();
    assert_eq!(own.uri_sans, ["spiffe://cluster.local/ns/shop/sa/web"]);
    assert_eq!(tls.server_sans.len(), 1, "AM-1");
    assert_eq!(tls.sni.as_deref(), Some("outbound_.80_._.payments.pay.svc.cluster.local"));
    // A workload's policy that disables TLS takes the mark away, and so the namespace's mode is not asked.
    let off = pa("pay", "w", "{selector: {matchLabels: {app: payments}}, mtls: {mode: DISABLE}}");
    let lowered = outbound(&mesh(&off), "shop/web", "pay/payments", 80);
    assert!(
        cluster(&lowered, "outbound|80||payments.pay~").hosts.iter().all(|host| host.transport_metadata.is_empty())
    );
}

#[test]
fn ab2_ambient_pods_have_mutual_tls_and_no_routes() {
    let ambient = "apiVersion: v1
kind: Namespace
metadata: {name: mesh, labels: {istio.io/dataplane-mode: ambient}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: a, namespace: mesh}
spec:
  selector: {matchLabels: {app: a}}
  template:
    metadata: {labels: {app: a}}
    spec: {containers: [{name: app, image: app, ports: [{containerPort: 80}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: a, namespace: mesh}
spec: {selector: {app: a}, ports: [{name: http, port: 80}]}
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: reviews, namespace: shop}
spec: {hosts: [reviews], http: [{route: [{destination: {host: reviews}}], timeout: 1s}]}
---
";
    let strict = format!("{ambient}{}", pa("mesh", "p", "{mtls: {mode: STRICT}}"));
    let disable = format!("{ambient}{}", pa("mesh", "p", "{mtls: {mode: DISABLE}}"));
    for (case, manifests, client, expect) in [
        ("between ambient pods", ambient, "mesh/a", 'M'),
        ("from a sidecar", ambient, "shop/web", 'M'),
        ("from outside of the mesh", ambient, "legacy/client", 'P'),
        ("STRICT", strict.as_str(), "legacy/client", 'X'),
        ("DISABLE is treated as PERMISSIVE", disable.as_str(), "legacy/client", 'P'),
    ] {
        assert_eq!(outcome(&mesh(manifests), client, "mesh/a", 80, "mesh/a", 80), expect, "{case}");
    }
    let lowered = outbound(&mesh(ambient), "mesh/a", "shop/reviews", 9080);
    let shown = crate::fixture::routes(&lowered, "*");
    assert_eq!(shown, ["prefix  -> outbound|9080||reviews.shop~ timeout=0s no-retries"], "no timeout, no retries");
}
