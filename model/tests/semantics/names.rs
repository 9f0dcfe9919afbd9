//! Connections that are told apart by the name that they ask for: RT-22 in sidecars.

use crate::fixture::{mesh, outbound};

const ENTRY: &str = "apiVersion: networking.istio.io/v1
kind: ServiceEntry
metadata: {name: wild, namespace: shop}
spec: {hosts: ['*.example'], resolution: NONE, ports: [{number: 443, name: tls, protocol: TLS}]}
---
";

fn vs(tls: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: w, namespace: shop}}\nspec: {{hosts: ['*.example'], tls: {tls}}}\n---\n"
    )
}

#[test]
fn rt22_rules_by_name() {
    let to = |host: &str| format!("route: [{{destination: {{host: {host}, port: {{number: 9080}}}}}}]");
    let rule = |sni: &str, more: &str, host: &str| format!("{{match: [{{sniHosts: [{sni}]{more}}}], {}}}", to(host));
    let both = format!("[{}, {}]", rule("a.example", "", "reviews"), rule("'*.b.example', c.example", "", "ratings"));
    let first = format!("[{}, {}]", rule("a.example", "", "reviews"), rule("a.example", "", "ratings"));
    let others = format!("[{}]", rule("a.example", ", sourceLabels: {app: mobile}", "reviews"));
    let (reviews, ratings) = ("outbound|9080||reviews.shop~", "outbound|9080||ratings.shop~");
    for (case, manifests, expect) in [
        ("RT-22 none", String::new(), vec![("*", "outbound|443||*.example")]),
        (
            "RT-22 each its own",
            vs(&both),
            vec![("a.example", reviews), ("*.b.example", ratings), ("c.example", ratings)],
        ),
        ("RT-22 the first one of a name", vs(&first), vec![("a.example", reviews)]),
        ("RT-22 for other clients", vs(&others), vec![("*", "outbound|443||*.example")]),
    ] {
        let lowered = outbound(&mesh(&(ENTRY.to_owned() + &manifests)), "shop/web", "shop/wild", 443);
        let hosts = &lowered.config.listeners[0].route_config.virtual_hosts;
        let shown: Vec<(String, String)> = hosts
            .iter()
            .flat_map(|host| {
                let cluster = crate::fixture::show_route(&host.routes[0]);
                let cluster = cluster.split_whitespace().nth(2).unwrap().to_owned();
                host.domains.iter().map(move |domain| (domain.clone(), cluster.clone()))
            })
            .collect();
        let expect: Vec<(String, String)> = expect.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
        assert_eq!(shown, expect, "{case}");
    }
}
