//! What the network does to calls: K-7.

use serde_json::json;

use crate::{ask, object, short};

fn policy(name: &str, spec: &str) -> String {
    object("networking.k8s.io", "NetworkPolicy", name, spec)
}

#[test]
fn k7_the_network_comes_before_the_mesh() {
    let web = "from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: shop}}}]";
    let only_shop = policy("pay/in", &format!("{{podSelector: {{}}, ingress: [{{{web}}}]}}"));
    let by_service_port =
        policy("pay/in", &format!("{{podSelector: {{}}, ingress: [{{{web}, ports: [{{port: 80}}]}}]}}"));
    let closed = policy("shop/out", "{podSelector: {}, policyTypes: [Egress]}");
    let block = policy("pay/in", "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24}}]}]}");
    let outside = |ip: &str| json!({"ip": ip});
    let workload = |name: &str| json!({"workload": name});
    for (case, manifests, from, expect) in [
        ("K-7 a peer that is allowed", &only_shop, workload("shop/web"), "+ route payments.pay~:80=100 mtls"),
        ("K-7 another one", &only_shop, workload("ops/ops"), "- DENY pay/in denied 503 payments.pay~:80=100 mtls"),
        (
            "K-7 without a proxy",
            &only_shop,
            workload("legacy/client"),
            "- DENY pay/in denied payments.pay~:80=100 plaintext",
        ),
        (
            "K-7 ports are those of pods",
            &by_service_port,
            workload("shop/web"),
            "- DENY pay/in denied 503 payments.pay~:80=100 mtls",
        ),
        (
            "K-7 the client's own side",
            &closed,
            workload("shop/web"),
            "- DENY shop/out denied 503 payments.pay~:80=100 mtls",
        ),
        ("K-7 an address", &block, outside("203.0.113.9"), "+ route payments.pay~:80=100 plaintext"),
        ("K-7 another address", &block, outside("198.51.100.9"), "- DENY pay/in denied payments.pay~:80=100 plaintext"),
        // Of a peer that only has a name, no pods are known.
        (
            "K-7 a name",
            &only_shop,
            json!({"principal": "cluster.local/ns/ops/sa/ops"}),
            "+ route payments.pay~:80=100 mtls",
        ),
    ] {
        let question = json!({"from": from, "to": {"host": "payments.pay.svc.cluster.local", "port": 80}});
        let answer = ask(manifests, &question);
        assert_eq!(short(&answer), expect, "{case}: {}", answer.why);
        assert!(answer.not_modelled.is_empty(), "{case}");
    }
}
