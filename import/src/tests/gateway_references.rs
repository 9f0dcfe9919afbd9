//! References of Gateway API and Ingress that lead nowhere.

use super::{findings, read};

const BASE: &str = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec: {gatewayClassName: istio, listeners: [{name: http, port: 80, protocol: HTTP, hostname: '*.example'}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: pay, namespace: pay}
spec: {selector: {app: pay}, ports: [{name: http, port: 80}]}
---
";

fn route(namespace: &str, spec: &str) -> String {
    format!(
        "{BASE}apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: r, namespace: {namespace}}}\nspec: {spec}\n"
    )
}

/// The only finding, if there is one.
fn only(text: &str) -> (String, String) {
    let imported = read(text);
    let all = findings(&imported);
    assert!(all.len() <= 1, "{all:?}");
    let help = imported.findings.first().and_then(|finding| finding.help.clone()).unwrap_or_default();
    (all.into_iter().next().unwrap_or_default(), help)
}

#[test]
fn routes_that_attach_nowhere() {
    let backends = "rules: [{backendRefs: [{name: web, namespace: shop, port: 80}]}]";
    for (namespace, parent, hosts, expect, help) in [
        ("shop", "{name: edge}", "[a.example]", "", ""),
        (
            "shop",
            "{name: egde}",
            "[]",
            "MP0240 19:22 the route does not attach (NoMatchingParent): no Gateway `shop/egde`",
            "did you mean `edge`?",
        ),
        (
            "shop",
            "{name: edge, namespace: pay}",
            "[]",
            "MP0240 19:22 the route does not attach (NoMatchingParent)",
            "did you mean `edge`?",
        ),
        (
            "shop",
            "{name: edge, sectionName: https}",
            "[]",
            "MP0240 19:22 the route does not attach (NoMatchingParent)",
            "it has `http` on port 80",
        ),
        ("shop", "{name: edge}", "[a.org]", "MP0240 19:22 the route does not attach (NoMatchingListenerHostname)", ""),
        (
            "shop",
            "{name: web, kind: Service}",
            "[]",
            "MP0240 19:22 the route does not attach (UnsupportedValue)",
            "write `group: \"\"`",
        ),
        ("shop", "{name: web, kind: Service, group: ''}", "[]", "", ""),
        (
            "shop",
            "{name: wbe, kind: Service, group: ''}",
            "[]",
            "MP0240 19:22 the route does not attach (NoMatchingParent)",
            "did you mean `web`?",
        ),
        ("shop", "{name: x, namespace: away, kind: Service, group: ''}", "[]", "", ""),
    ] {
        let (found, said) =
            only(&route(namespace, &format!("{{parentRefs: [{parent}], hostnames: {hosts}, {backends}}}")));
        assert!(found.starts_with(expect) && found.is_empty() == expect.is_empty(), "{parent} {hosts}: {found}");
        assert!(said.starts_with(help), "{said}");
    }
    // 9.4 35: listeners take routes of their own namespace.
    let (found, help) = only(&route(
        "pay",
        "{parentRefs: [{name: edge, namespace: shop}], rules: [{backendRefs: [{name: pay, port: 80}]}]}",
    ));
    assert!(
        found.contains(
            "(NotAllowedByListeners): the listeners of Gateway `shop/edge` take no routes of the namespace `pay`"
        ),
        "{found}"
    );
    assert!(help.contains("from: All"));
}

#[test]
fn backends_that_are_answered_500() {
    for (backend, expect, help) in [
        ("{name: web, port: 80}", "", ""),
        ("{name: wbe, port: 80}", "MP0241 19:60 no Service `shop/wbe` is defined", "did you mean `web`?"),
        ("{name: web, port: 81}", "MP0241 19:71 the Service `shop/web` has no port 81", "it has 80"),
        ("{name: web}", "MP0241 19:60 the backend `shop/web` has no `port`", "it has 80"),
        ("{name: pay, namespace: pay, port: 80}", "MP0242 19:60 no ReferenceGrant of `pay`", "add a ReferenceGrant"),
        ("{name: x, namespace: away, port: 80}", "MP0242 19:60 no ReferenceGrant of `away`", "add a ReferenceGrant"),
        ("{name: x, kind: Bucket, group: s3, port: 80}", "", ""),
    ] {
        let (found, said) =
            only(&route("shop", &format!("{{parentRefs: [{{name: edge}}], rules: [{{backendRefs: [{backend}]}}]}}")));
        assert!(found.starts_with(expect) && found.is_empty() == expect.is_empty(), "{backend}: {found}");
        assert!(said.starts_with(help), "{said}");
    }
    let reasons =
        |text: &str| read(text).mesh.unmodelled.into_iter().map(|gap| gap.reason).collect::<Vec<_>>().join("|");
    let bucket = route(
        "shop",
        "{parentRefs: [{name: edge}], rules: [{backendRefs: [{name: x, kind: Bucket, group: s3, port: 80}]}]}",
    );
    assert!(reasons(&bucket).contains("`Bucket` of `s3` is no kind of backend"));
    let extension = route(
        "shop",
        "{parentRefs: [{name: edge}], rules: [{filters: [{type: ExtensionRef, extensionRef: {group: g, kind: K, name: x}}], backendRefs: [{name: web, port: 80}]}]}",
    );
    assert!(reasons(&extension).contains("the extension `K x` of `g` is not known"));
}

#[test]
fn backends_of_an_ingress() {
    for (service, expect) in [
        ("{name: web, port: {number: 80}}", ""),
        ("{name: web, port: {name: http}}", ""),
        ("{name: web, port: {name: grpc}}", "MP0241 19:98 the Service `shop/web` has no port `grpc`"),
        ("{name: wbe, port: {number: 80}}", "MP0241 19:80 no Service `shop/wbe`"),
    ] {
        let text = format!(
            "{BASE}apiVersion: networking.k8s.io/v1\nkind: Ingress\nmetadata: {{name: i, namespace: shop}}\nspec: {{rules: [{{http: {{paths: [{{path: /, pathType: Prefix, backend: {{service: {service}}}}}]}}}}]}}\n"
        );
        let (found, _) = only(&text);
        assert!(found.starts_with(expect) && found.is_empty() == expect.is_empty(), "{service}: {found}");
    }
}
