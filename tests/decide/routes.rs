//! Which route and backends, of clients and of gateways.

use std::fmt::Write as _;

use serde_json::json;

use super::{F0, ap, ask, mesh_config, object, short, vs};
use crate::common::{meshproof_with_input, scratch};

#[test]
fn rt9_dr8_routes_of_a_client() {
    let get = |path: &str| json!({"from": {"workload": "shop/web"}, "to": {"host": "reviews.shop.svc.cluster.local", "port": 9080}, "request": {"path": path}});
    let subsets = object(
        "networking.istio.io",
        "DestinationRule",
        "shop/d",
        "{host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}",
    );
    let routes = subsets
        + &vs(
            "shop/r",
            "
  hosts: [reviews]
  http:
  - {name: split, match: [{uri: {exact: /x}}, {uri: {prefix: /split}}], route: [{destination: {host: reviews, subset: v2}, weight: 3}, {destination: {host: reviews, subset: v1}, weight: 1}]}
  - {match: [{uri: {prefix: /old}}], redirect: {uri: /new, authority: a.example, redirectCode: 302}}
  - {match: [{uri: {prefix: /teapot}}], directResponse: {status: 418}}
  - {match: [{uri: {prefix: /gone}}], route: [{destination: {host: reviews, subset: v9}}]}
  - {match: [{uri: {prefix: /half}}], route: [{destination: {host: reviews}, weight: 1}, {destination: {host: nobody}, weight: 1}]}
  - {match: [{uri: {prefix: /api}}], rewrite: {uri: /v2, authority: r.example}, route: [{destination: {host: ratings}}]}
  - {match: [{uri: {prefix: /fault}}], fault: {abort: {httpStatus: 503, percentage: {value: 100}}}, route: [{destination: {host: ratings}}]}
  - {match: [{uri: {prefix: /rest}}], route: [{destination: {host: reviews, subset: v1}, weight: 90}, {destination: {host: reviews, subset: v2}, weight: 0}]}
",
        );
    for (path, expect) in [
        ("/split/a", "+ route by shop/r[0][1] `split` reviews.shop~:9080/v1=1 reviews.shop~:9080/v2=3 mtls"),
        ("/old?q=1", "+ redirect 302 by shop/r[1][0] to http://a.example/new?q=1"),
        ("/teapot", "+ direct 418 by shop/r[2][0]"),
        ("/gone", "+ no-backend 503 by shop/r[3][0] ?:?/v9=100"),
        ("/half", "+ route by shop/r[4][0] ?:?=1 reviews.shop~:9080=1 mtls"),
        ("/api/x?y", "+ route by shop/r[5][0] ratings.shop~:9080=100 as r.example/v2/x?y mtls"),
        ("/fault", "+ direct 503 by shop/r[6][0]"),
        ("/rest", "+ route by shop/r[7][0] reviews.shop~:9080/v1=100 mtls"),
        ("/none", "+ not-found 404"),
    ] {
        let answer = ask(&routes, &get(path));
        assert_eq!(short(&answer), expect, "{path}: {}", answer.why);
    }
}

#[test]
fn what_is_configured_is_shown_and_defaults_are_not() {
    let get = json!({"from": {"workload": "shop/web"}, "to": {"host": "reviews.shop.svc.cluster.local", "port": 9080}});
    let plain = ask("", &get);
    assert!(
        plain.timeout_ms.is_none() && plain.retries.is_none() && plain.mirrors.is_empty() && plain.headers.is_none()
    );
    let answer = ask(
        &vs(
            "shop/r",
            "
  hosts: [reviews]
  http:
  - timeout: 5s
    retries: {attempts: 2, perTryTimeout: 500ms, retryOn: 'reset,503'}
    mirror: {host: ratings}
    mirrorPercentage: {value: 25}
    headers: {request: {set: {x-a: '1'}, remove: [x-b]}, response: {add: {x-c: '2'}}}
    route: [{destination: {host: reviews}}]
",
        ),
        &get,
    );
    insta::assert_json_snapshot!(answer);
}

#[test]
fn a_gateway_routes_and_its_peer_is_what_servers_see() {
    let gateway = object(
        "networking.istio.io",
        "Gateway",
        "shop/edge",
        "{selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: [shop.example], tls: {httpsRedirect: false}}, {port: {number: 8443, name: https, protocol: HTTPS}, hosts: [safe.example], tls: {mode: SIMPLE, credentialName: c}}, {port: {number: 8081, name: up, protocol: HTTP}, hosts: [up.example], tls: {httpsRedirect: true}}]}",
    ) + &vs(
        "shop/r",
        "{hosts: [shop.example, safe.example], gateways: [edge], http: [{match: [{uri: {prefix: /pay}}], route: [{destination: {host: payments.pay.svc.cluster.local, port: {number: 80}}}]}, {match: [{scheme: {exact: https}}], redirect: {uri: /s}}]}",
    );
    let only_gateway = ap(
        "pay/a",
        "{rules: [{from: [{source: {principals: [cluster.local/ns/istio-system/sa/istio-ingressgateway]}}]}]}",
    );
    let remote = ap("pay/a", "{rules: [{from: [{source: {remoteIpBlocks: [203.0.113.0/24]}}]}]}");
    let direct = ap("pay/a", "{rules: [{from: [{source: {ipBlocks: [203.0.113.0/24]}}]}]}");
    let at_gateway = object(
        "security.istio.io",
        "AuthorizationPolicy",
        "istio-system/g",
        "{selector: {matchLabels: {istio: ingressgateway}}, action: DENY, rules: [{to: [{operation: {hosts: [shop.example], ports: ['8080']}}]}]}",
    );
    let pay = |host: &str, port: u16, path: &str| json!({"from": {"ip": "203.0.113.9"}, "to": {"gateway": "shop/edge", "port": port}, "request": {"host": host, "path": path}});
    let to_payments = "by shop/r[0][0] payments.pay~:80=100 mtls";
    for (case, more, question, expect) in [
        ("routed", "", pay("shop.example", 80, "/pay"), format!("+ route {to_payments}")),
        (
            "its identity",
            only_gateway.as_str(),
            pay("shop.example", 80, "/pay"),
            format!("+ ALLOW pay/a#0 route {to_payments}"),
        ),
        (
            "the client's address",
            remote.as_str(),
            pay("shop.example", 80, "/pay"),
            format!("+ ALLOW pay/a#0 route {to_payments}"),
        ),
        (
            "the peer's address",
            direct.as_str(),
            pay("shop.example", 80, "/pay"),
            format!("- ALLOW pay/a denied 403 {to_payments}"),
        ),
        (
            "its own policies",
            at_gateway.as_str(),
            pay("shop.example", 80, "/pay"),
            "- DENY istio-system/g#0 denied 403".to_owned(),
        ),
        ("VS-10 another host", "", pay("other.example", 80, "/pay"), "+ not-found 404".to_owned()),
        ("no route", "", pay("shop.example", 80, "/x"), "+ not-found 404".to_owned()),
        ("VS-10 to https", "", pay("up.example", 8081, "/x"), "+ redirect 301 to https://up.example/x".to_owned()),
        (
            "TLS is https",
            "",
            pay("safe.example", 8443, "/x"),
            "+ redirect 301 by shop/r[1][0] to https://safe.example/s".to_owned(),
        ),
    ] {
        let answer = ask(&format!("{gateway}{more}"), &question);
        assert_eq!(short(&answer), expect, "{case}: {}", answer.why);
    }
}

#[test]
fn hosts_of_all_kinds() {
    let entry = object(
        "networking.istio.io",
        "ServiceEntry",
        "shop/out",
        "{hosts: [api.example, '*.wild.example'], location: MESH_EXTERNAL, resolution: DNS, ports: [{number: 80, name: http, protocol: HTTP}]}",
    );
    let call = |host: &str, port: u16| json!({"from": {"workload": "shop/web"}, "to": {"host": host, "port": port}});
    let only = mesh_config("{outboundTrafficPolicy: {mode: REGISTRY_ONLY}}");
    let bare = "apiVersion: v1\nkind: Service\nmetadata: {name: bare, namespace: pay}\nspec: {selector: {app: bare}, ports: [{name: http, port: 80}]}\n---\n";
    let bare_only = ap("pay/a", "{selector: {matchLabels: {app: bare}}}");
    for (case, manifests, question, expect) in [
        ("a short name", String::new(), call("reviews", 9080), "+ route reviews.shop~:9080=100 mtls"),
        ("a name with its namespace", String::new(), call("payments.pay", 80), "+ route payments.pay~:80=100 mtls"),
        ("SE-1", entry.clone(), call("api.example", 80), "+ route api.example:80=100 plaintext"),
        ("SE-1 a wildcard", entry.clone(), call("a.wild.example", 80), "+ route *.wild.example:80=100 plaintext"),
        (
            "VS-6 a host beside a service",
            vs("shop/r", "{hosts: [reviews, api.shop], http: [{directResponse: {status: 200}}]}"),
            json!({"from": {"workload": "shop/web"}, "to": {"host": "reviews", "port": 9080}, "request": {"host": "api.shop"}}),
            "+ direct 200 by shop/r[0][0]",
        ),
        ("SC-3 passes", String::new(), call("nobody.example", 80), "+ route nobody.example:80=100 plaintext"),
        ("SC-3 is refused", only.clone(), call("nobody.example", 80), "+ direct 502"),
        ("SC-3 is closed", only, call("nobody.example", 9999), "- no-backend"),
        (
            "pods that are not described",
            bare.to_owned() + &bare_only,
            call("bare.pay.svc.cluster.local", 80),
            "- ALLOW pay/a denied 403 bare.pay~:80=100 mtls",
        ),
        (
            "no proxy on the way",
            String::new(),
            json!({"from": {}, "to": {"host": "payments.pay.svc.cluster.local"}}),
            "+ route payments.pay~:80=100 plaintext",
        ),
    ] {
        let answer = ask(&manifests, &question);
        assert_eq!(short(&answer), expect, "{case}: {}", answer.why);
    }
}

#[test]
fn every_line_is_answered_in_order() {
    let folder = scratch("decide");
    std::fs::write(folder.join("mesh.yaml"), F0).unwrap();
    let path = folder.to_str().unwrap().to_owned();
    let mut lines = String::new();
    for number in 0..200 {
        let to = ["pay/payments", "shop/reviews-v1", "no/such"][number % 3];
        let _ = writeln!(lines, "{}", json!({"id": number.to_string(), "to": {"workload": to}}));
    }
    let one = meshproof_with_input(&["decide", &path, "--threads", "1"], &lines);
    let many = meshproof_with_input(&["decide", &path, "--threads", "4"], &lines);
    assert_eq!((one.code, &one.out), (0, &many.out), "{}", one.err);
    assert_eq!(one.out.lines().count(), 200);
    for (number, line) in one.out.lines().enumerate() {
        let answer: serde_json::Value = serde_json::from_str(line).unwrap();
        assert_eq!(answer["id"], number.to_string());
        assert_eq!(answer["outcome"] == "unknown", number % 3 == 2, "{line}");
    }
    let broken = meshproof_with_input(
        &["decide", &path],
        "{\"id\": \"a\", \"to\": 1}\nnonsense\n{\"id\": \"b\", \"to\": {\"workload\": \"pay/payments\"}}\n",
    );
    assert_eq!((broken.code, broken.out.lines().count()), (2, 3), "{}", broken.err);
    assert!(broken.out.starts_with("{\"id\":\"a\",\"allowed\":null"), "{}", broken.out);
    assert_eq!(meshproof_with_input(&["decide", "no/such/folder"], "").code, 2);
}

#[test]
fn a_gateway_of_gateway_api_is_asked_by_its_own_name() {
    let manifests = "apiVersion: gateway.networking.k8s.io/v1
kind: Gateway
metadata: {name: edge, namespace: ops}
spec:
  gatewayClassName: istio
  listeners:
  - {name: web, port: 80, protocol: HTTP, hostname: '*.example.org', allowedRoutes: {namespaces: {from: All}}}
---
apiVersion: gateway.networking.k8s.io/v1
kind: HTTPRoute
metadata: {name: r, namespace: shop}
spec:
  parentRefs: [{name: edge, namespace: ops}]
  hostnames: [shop.example.org]
  rules:
  - name: half
    matches: [{path: {type: PathPrefix, value: /api}}]
    backendRefs: [{name: reviews, port: 9080, weight: 9}, {name: missing, port: 80}]
  - matches: [{path: {type: PathPrefix, value: /old}}]
    filters:
    - type: RequestRedirect
      requestRedirect: {scheme: https, path: {type: ReplacePrefixMatch, replacePrefixMatch: /new}, statusCode: 301}
  - matches: [{path: {type: PathPrefix, value: /none}}]
  - matches: [{path: {type: PathPrefix, value: /gone}}]
    backendRefs: [{name: missing, port: 80}]
";
    for (path, host, expected) in [
        ("/api/x", "shop.example.org", "+ route by shop/r[0][0] `half` ?:?=1 reviews.shop~:9080=9"),
        ("/old/y?z=1", "shop.example.org:80", "+ redirect 301 by shop/r[1][0] to https://shop.example.org/new/y?z=1"),
        ("/none", "shop.example.org", "+ no-backend 500 by shop/r[2][0]"),
        ("/gone", "shop.example.org", "+ no-backend 500 by shop/r[3][0] ?:?=100"),
        ("/apix", "shop.example.org", "+ not-found 404"),
        ("/api", "other.example.org", "+ not-found 404"),
    ] {
        let question =
            json!({"id": "q", "to": {"gateway": "ops/edge", "port": 80}, "request": {"path": path, "host": host}});
        let line = short(&ask(manifests, &question));
        assert!(line.starts_with(expected), "{host}{path}: {line}");
    }
}

#[test]
fn rt6_claims_choose_routes_of_gateways() {
    let gateway = object(
        "networking.istio.io",
        "Gateway",
        "istio-system/edge",
        "{selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}",
    );
    let tokens = object(
        "security.istio.io",
        "RequestAuthentication",
        "istio-system/jwt",
        "{selector: {matchLabels: {istio: ingressgateway}}, jwtRules: [{issuer: i, jwksUri: 'https://i/keys'}]}",
    );
    let rule = |name: &str, condition: &str, to: &str| {
        format!(
            "{{match: [{{headers: {{'{name}': {condition}}}}}], route: [{{destination: {{host: {to}.shop.svc.cluster.local}}}}]}}"
        )
    };
    let routes = |rules: &str| {
        let last = "{match: [{withoutHeaders: {'@request.auth.claims.sub': {exact: root}}}], route: [{destination: {host: payments.pay.svc.cluster.local}}]}";
        vs("shop/r", &format!("{{hosts: [shop.example], gateways: [istio-system/edge], http: [{rules}, {last}]}}"))
    };
    let exact = routes(&rule("@request.auth.claims.groups", "{exact: admin}", "reviews"));
    let nested = routes(&rule("@request.auth.claims[a][b]", "{prefix: x}", "ratings"));
    let regex = routes(&rule("@request.auth.claims.groups", "{regex: 'ad.*|op'}", "ratings"));
    let (reviews, ratings) = ("reviews.shop~:9080=100", "ratings.shop~:9080=100");
    let payments = "payments.pay~:80=100";
    for (case, manifests, claims, expect) in [
        ("a list holds it", exact.clone() + &tokens, json!({"groups": ["user", "admin"]}), reviews),
        ("a text is it", exact.clone() + &tokens, json!({"groups": "admin"}), reviews),
        ("a list does not hold it", exact.clone() + &tokens, json!({"groups": ["administrator"]}), payments),
        ("no claim", exact.clone() + &tokens, json!({}), payments),
        ("nobody verifies tokens", exact, json!({"groups": "admin"}), payments),
        ("nested", nested.clone() + &tokens, json!({"a": {"b": "xy"}}), ratings),
        ("nested, another", nested + &tokens, json!({"a": {"b": "yx"}}), payments),
        ("a regular expression", regex.clone() + &tokens, json!({"groups": ["user", "op"]}), ratings),
        ("of the whole text", regex + &tokens, json!({"groups": ["stop"]}), payments),
    ] {
        let question = json!({
            "to": {"gateway": "istio-system/edge", "port": 80}, "request": {"host": "shop.example", "claims": claims},
        });
        let answer = ask(&(gateway.clone() + &manifests), &question);
        assert!(short(&answer).contains(expect), "RT-6 {case}: {} {}", short(&answer), answer.why);
    }
    // A header of that name is no claim, and one that must not be there is compared too.
    let all = gateway + &tokens + &routes(&rule("x", "{exact: never}", "reviews"));
    let root =
        json!({"to": {"gateway": "istio-system/edge"}, "request": {"host": "shop.example", "claims": {"sub": "root"}}});
    assert!(short(&ask(&all, &root)).contains("not-found"), "RT-6");
}
