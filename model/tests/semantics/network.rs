//! Whether connections pass: K-7, 11.9.

use meshproof_model::kubernetes::Direction;

use crate::fixture::{mesh, workload};

fn policy(name: &str, namespace: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
    )
}

/// `yes`, or the side that refuses; then the deciding policies.
fn passes(manifests: &str, from: &str, to: &str, port: u16) -> String {
    let mesh = mesh(manifests);
    let passage = mesh.connection_allowed(workload(&mesh, from), workload(&mesh, to), port);
    let names: Vec<&str> = passage.policies.iter().map(|(policy, _)| policy.name.as_str()).collect();
    let side = match passage.refused_by {
        None => "yes",
        Some(Direction::Ingress) => "ingress",
        Some(Direction::Egress) => "egress",
    };
    assert_eq!(passage.allowed, passage.refused_by.is_none());
    format!("{side} {}", names.join(",")).trim_end().to_owned()
}

#[test]
#[expect(clippy::too_many_lines, reason = "one table")]
fn k7_what_isolates_must_allow() {
    let to_reviews =
        |rules: &str| policy("p", "shop", &format!("{{podSelector: {{matchLabels: {{app: reviews}}}}, {rules}}}"));
    let both = |out: &str| {
        policy("out", "shop", &format!("{{podSelector: {{matchLabels: {{app: web}}}}, policyTypes: [Egress], {out}}}"))
    };
    for (case, manifests, from, port, expect) in [
        ("nothing isolates", String::new(), "shop/web", 9080, "yes"),
        (
            "another pod is isolated",
            policy("p", "shop", "{podSelector: {matchLabels: {app: ratings}}}"),
            "shop/web",
            9080,
            "yes",
        ),
        ("without rules nobody comes in", to_reviews("ingress: []"), "shop/web", 9080, "ingress p"),
        ("no field is no rule either", policy("p", "shop", "{podSelector: {}}"), "shop/web", 9080, "ingress p"),
        ("an empty rule lets all in", to_reviews("ingress: [{}]"), "ops/ops", 9080, "yes p"),
        ("an empty list of peers is everyone", to_reviews("ingress: [{from: []}]"), "ops/ops", 9080, "yes p"),
        (
            "pods alone are the policy's namespace",
            to_reviews("ingress: [{from: [{podSelector: {}}]}]"),
            "ops/ops",
            9080,
            "ingress p",
        ),
        (
            "pods of the policy's namespace",
            to_reviews("ingress: [{from: [{podSelector: {matchLabels: {app: web}}}]}]"),
            "shop/web",
            9080,
            "yes p",
        ),
        (
            "one element is both",
            to_reviews(
                "ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ops}}, podSelector: {matchLabels: {app: web}}}]}]",
            ),
            "ops/ops",
            9080,
            "ingress p",
        ),
        (
            "two elements are either",
            to_reviews(
                "ingress: [{from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: ops}}}, {podSelector: {matchLabels: {app: web}}}]}]",
            ),
            "ops/ops",
            9080,
            "yes p",
        ),
        ("all namespaces", to_reviews("ingress: [{from: [{namespaceSelector: {}}]}]"), "legacy/client", 9080, "yes p"),
        (
            "expressions",
            to_reviews(
                "ingress: [{from: [{podSelector: {matchExpressions: [{key: app, operator: NotIn, values: [web]}]}}]}]",
            ),
            "shop/web",
            9080,
            "ingress p",
        ),
        ("another port", to_reviews("ingress: [{ports: [{port: 80}]}]"), "shop/web", 9080, "ingress p"),
        (
            "a range of ports",
            to_reviews("ingress: [{ports: [{port: 9000, endPort: 9100}]}]"),
            "shop/web",
            9080,
            "yes p",
        ),
        (
            "another protocol",
            to_reviews("ingress: [{ports: [{port: 9080, protocol: UDP}]}]"),
            "shop/web",
            9080,
            "ingress p",
        ),
        (
            "addresses are not pods",
            to_reviews("ingress: [{from: [{ipBlock: {cidr: 192.168.0.0/16}}]}]"),
            "shop/web",
            9080,
            "ingress p",
        ),
        (
            "policies add up",
            to_reviews("ingress: []")
                + &policy("q", "shop", "{podSelector: {}, ingress: [{from: [{namespaceSelector: {}}]}]}"),
            "ops/ops",
            9080,
            "yes q",
        ),
        ("types without rules", to_reviews("policyTypes: [Egress]"), "shop/web", 9080, "yes"),
        ("the source is isolated too", both("egress: []"), "shop/web", 9080, "egress out"),
        (
            "both sides allow",
            both("egress: [{to: [{podSelector: {}}]}]") + &to_reviews("ingress: [{}]"),
            "shop/web",
            9080,
            "yes out,p",
        ),
        ("one of two sides refuses", both("egress: [{}]") + &to_reviews("ingress: []"), "shop/web", 9080, "ingress p"),
    ] {
        assert_eq!(passes(&manifests, from, "shop/reviews-v1", port), expect, "K-7 {case}");
    }
}

#[test]
fn k7_addresses_from_outside() {
    let block = "{podSelector: {}, ingress: [{from: [{ipBlock: {cidr: 203.0.113.0/24, except: [203.0.113.128/25]}}]}]}";
    let mesh = mesh(&policy("p", "shop", block));
    let reviews = workload(&mesh, "shop/reviews-v1");
    for (address, allowed) in [("203.0.113.7", true), ("203.0.113.200", false), ("198.51.100.1", false), ("::1", false)]
    {
        assert_eq!(mesh.outside_allowed(address.parse().unwrap(), reviews, 9080).allowed, allowed, "K-7 {address}");
    }
}
