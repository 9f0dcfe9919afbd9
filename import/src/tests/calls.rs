//! Calls that the manifests suggest.

use super::read;

const SERVICES: &str = "apiVersion: v1
kind: Service
metadata: {name: cart, namespace: shop}
spec: {selector: {app: cart}, ports: [{name: grpc, port: 7070}]}
---
apiVersion: v1
kind: Service
metadata: {name: web, namespace: shop}
spec: {selector: {app: web}, ports: [{name: http, port: 80, targetPort: 8080}, {name: http-admin, port: 9000}]}
---
apiVersion: v1
kind: Service
metadata: {name: pay, namespace: money}
spec: {selector: {app: pay}, ports: [{name: http, port: 80}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}, spec: {serviceAccountName: web, containers: [{name: c}]}}}
---
";

fn caller(env: &str) -> String {
    format!(
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: front, namespace: shop}}\nspec: {{template: {{metadata: \
         {{labels: {{app: front}}}}, spec: {{serviceAccountName: front, containers: [{{name: c, env: [{env}]}}]}}}}}}\n---\n"
    )
}

fn calls(text: &str) -> Vec<String> {
    let mesh = read(text).mesh;
    let show = |call: &meshproof_model::InferredCall| {
        let (from, to) = (mesh.workload(call.from).full_name(), mesh.service(call.to).full_name());
        format!("{from} -> {to}:{}", call.port)
    };
    mesh.inferred_calls.iter().map(show).collect()
}

#[test]
fn variables_name_services() {
    let rows = [
        ("CART_ADDR", "cart:7070", Some("cart:7070")),
        ("CART_ADDR", "cart", Some("cart:7070")),
        ("CART_HOST", "cart.shop", Some("cart:7070")),
        ("CART_HOST", "cart.shop.svc:7070", Some("cart:7070")),
        ("CART_URL", "grpc://cart.shop.svc.cluster.local:7070/x", Some("cart:7070")),
        ("WEB_URL", "http://web/path?x=1", Some("web:80")),
        ("WEB_URL", "http://user:pw@web", Some("web:80")),
        ("WEB_HOST", "web", None),
        ("WEB_ADDR", "web:81", None),
        ("CART_NAME", "cart:7070", None),
        ("X_HOST", "localhost:80", None),
        ("X_URL", "http://example.com", None),
        ("CART_ADDR", "cart.money:7070", None),
    ];
    for (name, value, to) in rows {
        let text = format!("{SERVICES}{}", caller(&format!("{{name: {name}, value: '{value}'}}")));
        let wanted: Vec<String> = to.iter().map(|to| format!("shop/front -> shop/{to}")).collect();
        assert_eq!(calls(&text), wanted, "{name}={value}");
    }
    let pair = "{name: WEB_HOST, value: web}, {name: WEB_PORT, value: '9000'}";
    assert_eq!(calls(&format!("{SERVICES}{}", caller(pair))), ["shop/front -> shop/web:9000"]);
    let across = "{name: PAY_URL, value: 'http://pay.money'}, {name: PAY2_URL, value: 'http://pay.money:80'}";
    assert_eq!(calls(&format!("{SERVICES}{}", caller(across))), ["shop/front -> money/pay:80"], "one call each");
}

#[test]
fn a_workload_does_not_call_itself() {
    let text = SERVICES
        .replace("containers: [{name: c}]", "containers: [{name: c, env: [{name: A_URL, value: 'http://web'}]}]");
    assert_eq!(calls(&text), Vec::<String>::new());
}

#[test]
fn policies_and_source_labels_name_callers() {
    let policy = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: a, namespace: shop}\nspec:\n  \
                  selector: {matchLabels: {app: web}}\n  rules:\n  - from: [{source: {principals: [cluster.local/ns/shop/sa/front]}}]\n";
    let text = format!("{SERVICES}{}{policy}", caller(""));
    assert_eq!(calls(&text), ["shop/front -> shop/web:80"]);
    let ports = "    to: [{operation: {ports: ['9000']}}]\n";
    assert_eq!(calls(&format!("{text}{ports}")), ["shop/front -> shop/web:9000"]);
    let routes = "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: v, namespace: shop}\nspec:\n  \
                  hosts: [cart]\n  http:\n  - match: [{sourceLabels: {app: front}}]\n    route: [{destination: {host: cart}}]\n";
    assert_eq!(calls(&format!("{SERVICES}{}{routes}", caller(""))), ["shop/front -> shop/cart:7070"]);
}
