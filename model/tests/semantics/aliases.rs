//! Services of type `ExternalName`: EN-1.

use crate::fixture::{DEFAULT_RETRIES, mesh, outbound, routes};

fn alias(name: &str, target: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: ops}}\nspec: {{type: ExternalName, externalName: {target}}}\n---\n"
    )
}

fn vs(hosts: &str, to: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: r, namespace: shop}}\nspec: {{hosts: [{hosts}], http: [{{route: [{{destination: {{host: {to}}}}}], timeout: 1s}}]}}\n---\n"
    )
}

fn to(cluster: &str, timeout: &str) -> Vec<String> {
    vec![format!("prefix / -> {cluster} timeout={timeout} {DEFAULT_RETRIES}")]
}

#[test]
fn en1_an_alias_has_the_routes_of_its_target() {
    let reviews = "outbound|9080||reviews.shop~";
    let plain = alias("other", "reviews.shop.svc.cluster.local");
    let chain = alias("other", "next.ops.svc.cluster.local") + &alias("next", "reviews.shop.svc.cluster.local.");
    let own = vs("other.ops.svc.cluster.local", "ratings");
    for (case, manifests, expect) in [
        ("EN-1 the default route", plain.clone(), to(reviews, "0s")),
        ("EN-1 the target's VirtualService", plain.clone() + &vs("reviews", "reviews"), to(reviews, "1s")),
        ("EN-1 the alias' own VirtualService has no effect", plain + &own, to(reviews, "0s")),
        ("EN-1 an alias of an alias", chain, to(reviews, "0s")),
    ] {
        let lowered = outbound(&mesh(&manifests), "ops/ops", "ops/other", 9080);
        // By every name that resolves from there.
        for name in ["other", "other.ops", "other.ops~", "reviews.shop"] {
            assert_eq!(routes(&lowered, name), expect, "{case}: {name}");
        }
    }
}

#[test]
fn en1_an_alias_as_a_destination_is_its_target() {
    let manifests = alias("other", "ratings.shop.svc.cluster.local") + &vs("reviews", "other.ops.svc.cluster.local");
    let lowered = outbound(&mesh(&manifests), "shop/web", "shop/reviews", 9080);
    assert_eq!(routes(&lowered, "reviews"), to("outbound|9080||ratings.shop~", "1s"), "EN-1");
}

#[test]
fn en1_an_alias_of_nothing_known_stands_for_itself() {
    let circle = alias("other", "next.ops.svc.cluster.local") + &alias("next", "other.ops.svc.cluster.local");
    for manifests in [alias("other", "api.example"), circle] {
        let mesh = mesh(&manifests);
        let lowered = outbound(&mesh, "ops/ops", "ops/other", 9080);
        assert_eq!(lowered.provenance.listeners[0].services, [crate::fixture::service(&mesh, "ops/other")]);
        assert!(lowered.config.clusters.iter().all(|cluster| cluster.hosts.is_empty()), "EN-1");
    }
}
