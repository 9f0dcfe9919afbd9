//! What `meshproof decide` answers: manifests and a question in, the answer in short out.

#![allow(
    clippy::unwrap_used,
    clippy::too_many_lines,
    reason = "a test stops where something is missing; tables are long"
)]

mod common;

use std::fmt::Write as _;

use common::{meshproof_with_input, scratch};
use meshproof::decide::{Answer, Decider, Prepared, Question};
use meshproof_import::{ImportOptions, import};
use meshproof_model::Sources;
use serde_json::json;

/// Namespaces `shop`, `pay`, `ops` with sidecars, `legacy` without.
const F0: &str = include_str!("../model/tests/semantics/f0.yaml");

/// The answer to one question, written as JSON.
fn ask(manifests: &str, question: &serde_json::Value) -> Answer {
    let mut sources = Sources::default();
    sources.add("f0.yaml", F0);
    sources.add("more.yaml", manifests);
    let imported = import(&sources, &ImportOptions::default());
    assert!(!imported.unreadable, "{:?}", imported.findings);
    let prepared = Prepared::new(&imported.mesh);
    let question: Question = serde_json::from_value(question.clone()).unwrap();
    Decider::new(&prepared).answer(&question)
}

/// `+`, `-` or `?`, the policies that decide, then what else is not the default.
fn short(answer: &Answer) -> String {
    let mut line = match answer.allowed {
        Some(true) => "+",
        Some(false) => "-",
        None => "?",
    }
    .to_owned();
    for policy in &answer.by {
        let rule = policy.rule.map_or_else(String::new, |rule| format!("#{rule}"));
        let _ = write!(line, " {} {}/{}{rule}", policy.action, policy.namespace, policy.name);
    }
    let _ = write!(line, " {}", serde_json::to_value(answer.outcome).unwrap().as_str().unwrap());
    if let Some(status) = answer.status {
        let _ = write!(line, " {status}");
    }
    if let Some(route) = &answer.route {
        let label = route.label.as_ref().map_or_else(String::new, |label| format!(" `{label}`"));
        let _ = write!(line, " by {}/{}[{}][{}]{label}", route.namespace, route.name, route.rule, route.r#match);
    }
    for backend in &answer.backends {
        let host = backend.host.as_deref().unwrap_or("?").replace(".svc.cluster.local", "~");
        let port = backend.port.map_or_else(|| "?".to_owned(), |port| port.to_string());
        let subset = backend.subset.as_ref().map_or_else(String::new, |subset| format!("/{subset}"));
        let _ = write!(line, " {host}:{port}{subset}={}", backend.weight);
    }
    if let Some(redirect) = &answer.redirect {
        let _ = write!(line, " to {}", redirect.location);
    }
    if let Some(rewrite) = &answer.rewrite {
        let _ = write!(line, " as {}{}", rewrite.host.as_deref().unwrap_or(""), rewrite.path.as_deref().unwrap_or(""));
    }
    match answer.mtls {
        Some(true) => line.push_str(" mtls"),
        Some(false) => line.push_str(" plaintext"),
        None => {}
    }
    line
}

fn object(group: &str, kind: &str, name: &str, spec: &str) -> String {
    let (namespace, name) = name.split_once('/').unwrap();
    format!(
        "apiVersion: {group}/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
    )
}

fn ap(name: &str, spec: &str) -> String {
    object("security.istio.io", "AuthorizationPolicy", name, spec)
}

fn vs(name: &str, spec: &str) -> String {
    object("networking.istio.io", "VirtualService", name, spec)
}

fn mesh_config(settings: &str) -> String {
    format!(
        "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata: {{mesh: '{settings}'}}\n---\n"
    )
}

/// Every field of a rule, its negation and its odd values, against the requests that tell them apart.
#[test]
fn az4_to_az8_every_field_of_a_rule() {
    let web = "cluster.local/ns/shop/sa/web";
    let http = |from: serde_json::Value, request: serde_json::Value| json!({"from": from, "to": {"workload": "pay/payments", "port": 8080, "ip": "10.1.2.3"}, "request": request});
    let from_web = || json!({"principal": web, "ip": "192.168.1.7", "remote_ip": "203.0.113.9"});
    let token = |claims: serde_json::Value| json!({"claims": claims});
    let table: &[(&str, serde_json::Value, bool)] = &[
        // Who (AZ-6, AZ-11).
        ("from: [{source: {principals: ['*']}}]", http(json!({"principal": web}), json!({})), true),
        ("from: [{source: {principals: ['*']}}]", http(json!({"principal": null}), json!({})), false),
        ("from: [{source: {principals: ['*/sa/web']}}]", http(from_web(), json!({})), true),
        ("from: [{source: {principals: ['cluster.local/ns/shop/*']}}]", http(from_web(), json!({})), true),
        ("from: [{source: {principals: ['cluster.local/ns/ops/*']}}]", http(from_web(), json!({})), false),
        ("from: [{source: {notPrincipals: ['*/sa/web']}}]", http(json!({"principal": null}), json!({})), true),
        ("from: [{source: {namespaces: ['sh*']}}]", http(from_web(), json!({})), true),
        ("from: [{source: {namespaces: ['s*p']}}]", http(from_web(), json!({})), true),
        ("from: [{source: {namespaces: ['sho']}}]", http(from_web(), json!({})), false),
        ("from: [{source: {notNamespaces: ['shop']}}]", http(json!({"principal": null}), json!({})), true),
        ("from: [{source: {serviceAccounts: ['shop/web']}}]", http(from_web(), json!({})), true),
        ("from: [{source: {serviceAccounts: ['web']}}]", http(from_web(), json!({})), false),
        ("from: [{source: {notServiceAccounts: ['shop/web']}}]", http(from_web(), json!({})), false),
        // Addresses.
        ("from: [{source: {ipBlocks: ['192.168.0.0/16']}}]", http(from_web(), json!({})), true),
        ("from: [{source: {ipBlocks: ['192.168.0.0/16']}}]", http(json!({}), json!({})), false),
        ("from: [{source: {notIpBlocks: ['192.168.0.0/16']}}]", http(json!({}), json!({})), true),
        ("from: [{source: {remoteIpBlocks: ['203.0.113.9']}}]", http(from_web(), json!({})), true),
        ("from: [{source: {remoteIpBlocks: ['192.168.1.7']}}]", http(json!({"ip": "192.168.1.7"}), json!({})), true),
        ("from: [{source: {notRemoteIpBlocks: ['203.0.113.0/24']}}]", http(from_web(), json!({})), false),
        ("from: [{source: {ipBlocks: ['not-an-address']}}]", http(from_web(), json!({})), false),
        // Tokens (AZ-7).
        ("from: [{source: {requestPrincipals: ['*']}}]", http(json!({}), token(json!({"iss": "i", "sub": "s"}))), true),
        ("from: [{source: {requestPrincipals: ['*']}}]", http(json!({}), json!({})), false),
        (
            "from: [{source: {requestPrincipals: ['https://i/*']}}]",
            http(json!({}), token(json!({"iss": "https://i", "sub": "s"}))),
            true,
        ),
        (
            "from: [{source: {requestPrincipals: ['*/s']}}]",
            http(json!({}), token(json!({"iss": "i", "sub": "t"}))),
            false,
        ),
        ("from: [{source: {notRequestPrincipals: ['*']}}]", http(json!({}), json!({})), true),
        // What (AZ-5).
        ("to: [{operation: {hosts: ['Pay.Example']}}]", http(json!({}), json!({"host": "pay.example"})), true),
        ("to: [{operation: {hosts: ['pay.example']}}]", http(json!({}), json!({"host": "pay.example:80"})), false),
        ("to: [{operation: {hosts: ['pay.example:*']}}]", http(json!({}), json!({"host": "pay.example:80"})), true),
        ("to: [{operation: {notHosts: ['*.example']}}]", http(json!({}), json!({"host": "pay.example"})), false),
        ("to: [{operation: {ports: ['8080']}}]", http(json!({}), json!({})), true),
        ("to: [{operation: {ports: ['80']}}]", http(json!({}), json!({})), false),
        ("to: [{operation: {notPorts: ['80']}}]", http(json!({}), json!({})), true),
        ("to: [{operation: {methods: ['G*']}}]", http(json!({}), json!({})), true),
        ("to: [{operation: {notMethods: ['GET']}}]", http(json!({}), json!({"method": "PUT"})), true),
        ("to: [{operation: {paths: ['/v1/*']}}]", http(json!({}), json!({"path": "/v1/x?y=/v2"})), true),
        ("to: [{operation: {paths: ['*/x']}}]", http(json!({}), json!({"path": "/v1/x?y=z"})), true),
        ("to: [{operation: {paths: ['/v1/{*}/x']}}]", http(json!({}), json!({"path": "/v1/a/x"})), true),
        ("to: [{operation: {paths: ['/v1/{*}/x']}}]", http(json!({}), json!({"path": "/v1/a/b/x"})), false),
        ("to: [{operation: {paths: ['/v1/{**}']}}]", http(json!({}), json!({"path": "/v1/a/b/x"})), true),
        ("to: [{operation: {paths: ['/admin']}}]", http(json!({}), json!({"path": "/x/../admin"})), true),
        ("to: [{operation: {paths: ['/admin']}}]", http(json!({}), json!({"path": "//admin"})), false),
        ("to: [{operation: {notPaths: ['/admin*']}}]", http(json!({}), json!({"path": "/administrator"})), false),
        // When (AZ-7).
        (
            "when: [{key: 'request.headers[X-Team]', values: ['a*']}]",
            http(json!({}), json!({"headers": {"x-team": "abc"}})),
            true,
        ),
        (
            "when: [{key: 'request.headers[x-team]', values: ['*']}]",
            http(json!({}), json!({"headers": {"x-team": ""}})),
            true,
        ),
        ("when: [{key: 'request.headers[x-team]', values: ['*']}]", http(json!({}), json!({})), false),
        ("when: [{key: 'request.headers[x-team]', notValues: ['a']}]", http(json!({}), json!({})), true),
        ("when: [{key: source.ip, values: ['192.168.1.0/24']}]", http(from_web(), json!({})), true),
        ("when: [{key: remote.ip, notValues: ['203.0.113.9']}]", http(from_web(), json!({})), false),
        ("when: [{key: source.namespace, values: [shop]}]", http(from_web(), json!({})), true),
        ("when: [{key: source.principal, notValues: ['*']}]", http(json!({"principal": null}), json!({})), true),
        ("when: [{key: source.serviceAccount, values: ['shop/web']}]", http(from_web(), json!({})), true),
        (
            "when: [{key: request.auth.principal, values: ['i/s']}]",
            http(json!({}), token(json!({"iss": "i", "sub": "s"}))),
            true,
        ),
        (
            "when: [{key: request.auth.audiences, values: [b]}]",
            http(json!({}), token(json!({"aud": ["a", "b"]}))),
            true,
        ),
        ("when: [{key: request.auth.audiences, values: [a]}]", http(json!({}), token(json!({"aud": "a"}))), true),
        ("when: [{key: request.auth.presenter, values: [p]}]", http(json!({}), token(json!({"azp": "p"}))), true),
        (
            "when: [{key: 'request.auth.claims[a][b]', values: [c]}]",
            http(json!({}), token(json!({"a": {"b": "c"}}))),
            true,
        ),
        (
            "when: [{key: 'request.auth.claims[a][b]', values: [c]}]",
            http(json!({}), token(json!({"a": {"b": ["x", "c"]}}))),
            true,
        ),
        (
            "when: [{key: 'request.auth.claims[a]', values: [c]}]",
            http(json!({}), token(json!({"a": {"b": "c"}}))),
            false,
        ),
        (
            "when: [{key: 'request.auth.claims[scope]', values: [write]}]",
            http(json!({}), token(json!({"scope": "read write"}))),
            true,
        ),
        ("when: [{key: 'request.auth.claims[a]', notValues: [c]}]", http(json!({}), json!({})), true),
        ("when: [{key: destination.ip, values: ['10.1.0.0/16']}]", http(json!({}), json!({})), true),
        ("when: [{key: destination.port, values: ['8080']}]", http(json!({}), json!({})), true),
        ("when: [{key: connection.sni, values: ['*.example']}]", http(json!({}), json!({"sni": "a.example"})), true),
        ("when: [{key: connection.sni, values: ['*.example']}]", http(json!({}), json!({})), false),
        (
            "when: [{key: 'experimental.envoy.filters.network.mysql_proxy[db.t]', values: ['[update]']}]",
            http(json!({}), json!({"metadata": {"envoy.filters.network.mysql_proxy": {"db.t": ["insert", "update"]}}})),
            true,
        ),
        (
            "when: [{key: 'experimental.envoy.filters.http.x[k]', values: ['v*']}]",
            http(json!({}), json!({"metadata": {"envoy.filters.http.x": {"k": "v1"}}})),
            true,
        ),
        ("when: [{key: 'experimental.envoy.filters.http.x[k]', values: ['v']}]", http(json!({}), json!({})), false),
        ("when: [{key: request.nonsense, values: [a]}]", http(json!({}), json!({})), false),
        // A rule: some `from`, some `to`, all of `when` (AZ-4).
        (
            "to: [{operation: {methods: [PUT]}}, {operation: {paths: ['/a']}}]",
            http(json!({}), json!({"path": "/a"})),
            true,
        ),
        ("to: [{operation: {methods: [PUT], paths: ['/a']}}]", http(json!({}), json!({"path": "/a"})), false),
        ("to: [{operation: {paths: ['/a'], notPaths: ['/a']}}]", http(json!({}), json!({"path": "/a"})), false),
        (
            "from: [{source: {namespaces: [ops]}}, {source: {namespaces: [shop]}}]\n    to: [{operation: {methods: [GET]}}]\n    when: [{key: source.ip, values: ['192.168.1.7']}]",
            http(from_web(), json!({})),
            true,
        ),
    ];
    for (rule, question, expect) in table {
        let policy = ap("pay/a", &format!("\n  rules:\n  - {rule}"));
        let answer = ask(&policy, question);
        assert_eq!(answer.allowed, Some(*expect), "{rule} {question}: {}", answer.why);
        // The same rule refuses exactly what it would allow.
        if *expect && !rule.contains("not-an-address") {
            let answer = ask(&ap("pay/a", &format!("\n  action: DENY\n  rules:\n  - {rule}")), question);
            assert_eq!(answer.allowed, Some(false), "DENY {rule} {question}: {}", answer.why);
        }
    }
}

#[test]
fn az1_to_az3_az8_to_az11_policies_together() {
    let to = |name: &str, port: u16, principal: Option<&str>, protocol: &str| json!({"from": {"principal": principal}, "to": {"workload": name, "port": port}, "request": {"protocol": protocol}});
    let web = Some("cluster.local/ns/shop/sa/web");
    let payments = || to("pay/payments", 8080, web, "http");
    let ledger = || to("pay/ledger", 5432, web, "tcp");
    let custom = |name: &str| {
        ap(
            "pay/ask",
            &format!(
                "{{action: CUSTOM, provider: {{name: {name}}}, rules: [{{to: [{{operation: {{paths: ['/']}}}}]}}]}}"
            ),
        )
    };
    let providers = mesh_config(
        "{extensionProviders: [{name: oauth, envoyExtAuthzHttp: {}}, {name: opa, envoyExtAuthzGrpc: {}}, {name: logs, zipkin: {}}]}",
    );
    let dry = "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: dry, namespace: pay, annotations: {istio.io/dry-run: 'true'}}\nspec: {}\n---\n";
    for (case, manifests, question, expect) in [
        ("no policy", String::new(), payments(), "+ route mtls"),
        (
            "PA-7 a port that no Service names",
            ap("pay/a", "{}"),
            to("pay/payments", 9999, web, "http"),
            "- ALLOW pay/a denied 403 mtls",
        ),
        ("AZ-3 empty", ap("pay/a", "{}"), payments(), "- ALLOW pay/a denied 403 mtls"),
        ("AZ-3 a rule for everything", ap("pay/a", "{rules: [{}]}"), payments(), "+ ALLOW pay/a#0 route mtls"),
        ("AZ-3 DENY without rules", ap("pay/a", "{action: DENY}"), payments(), "+ route mtls"),
        ("AZ-1 another selector", ap("pay/a", "{selector: {matchLabels: {app: other}}}"), payments(), "+ route mtls"),
        ("AZ-1 the root namespace", ap("istio-system/a", "{}"), payments(), "- ALLOW istio-system/a denied 403 mtls"),
        (
            "AZ-1 with targets",
            ap("pay/a", "{targetRefs: [{kind: Service, group: '', name: payments}]}"),
            payments(),
            "+ route mtls",
        ),
        (
            "AZ-2 DENY before ALLOW",
            ap("pay/a", "{rules: [{}]}")
                + &ap(
                    "pay/d",
                    "{action: DENY, rules: [{to: [{operation: {methods: [PUT]}}]}, {to: [{operation: {methods: [GET]}}]}]}",
                ),
            payments(),
            "- DENY pay/d#1 denied 403 mtls",
        ),
        ("AZ-9 trials decide nothing", dry.to_owned(), payments(), "+ route mtls"),
        ("AUDIT decides nothing", ap("pay/a", "{action: AUDIT, rules: [{}]}"), payments(), "+ route mtls"),
        (
            "AZ-8 ALLOW on TCP",
            ap("pay/a", "{rules: [{to: [{operation: {methods: [GET]}}]}]}"),
            ledger(),
            "- ALLOW pay/a denied mtls",
        ),
        (
            "AZ-8 DENY on TCP",
            ap("pay/a", "{action: DENY, rules: [{to: [{operation: {methods: [GET]}}]}]}"),
            ledger(),
            "- DENY pay/a#0 denied mtls",
        ),
        (
            "AZ-8 what is left",
            ap(
                "pay/a",
                "{action: DENY, rules: [{from: [{source: {namespaces: [ops]}}], to: [{operation: {methods: [GET]}}]}]}",
            ),
            ledger(),
            "+ route mtls",
        ),
        ("AZ-10 asked", custom("oauth") + &providers, payments(), "? CUSTOM pay/ask#0 route mtls"),
        ("AZ-10 without the mesh's settings", custom("oauth"), payments(), "? CUSTOM pay/ask#0 route mtls"),
        ("AZ-10 unknown", custom("nobody") + &providers, payments(), "- CUSTOM pay/ask#0 denied 403 mtls"),
        ("AZ-10 no authorizer", custom("logs") + &providers, payments(), "- CUSTOM pay/ask#0 denied 403 mtls"),
        ("AZ-10 HTTP on TCP", custom("oauth") + &providers, ledger(), "+ route mtls"),
        ("AZ-10 gRPC on TCP", custom("opa") + &providers, ledger(), "? CUSTOM pay/ask#0 route mtls"),
        (
            "AZ-10 several",
            custom("oauth")
                + &providers
                + &ap(
                    "pay/other",
                    "{action: CUSTOM, provider: {name: opa}, rules: [{to: [{operation: {methods: [PUT]}}]}]}",
                ),
            payments(),
            "- CUSTOM pay/ask#0 denied 403 mtls",
        ),
        (
            "AZ-2 all else allows",
            custom("oauth") + &providers + &ap("pay/a", "{}"),
            payments(),
            "- ALLOW pay/a denied 403 mtls",
        ),
        (
            "AZ-11 aliases",
            mesh_config("{trustDomain: new, trustDomainAliases: [old]}")
                + &ap("pay/a", "{rules: [{from: [{source: {principals: [new/ns/shop/sa/web]}}]}]}"),
            to("pay/payments", 8080, Some("old/ns/shop/sa/web"), "http"),
            "+ ALLOW pay/a#0 route mtls",
        ),
        (
            "AZ-11 cluster.local means the mesh's own",
            mesh_config("{trustDomain: new}")
                + &ap("pay/a", "{rules: [{from: [{source: {principals: [cluster.local/ns/shop/sa/web]}}]}]}"),
            to("pay/payments", 8080, Some("new/ns/shop/sa/web"), "http"),
            "+ ALLOW pay/a#0 route mtls",
        ),
        (
            "AZ-11 a foreign domain stays",
            mesh_config("{trustDomain: new, trustDomainAliases: [old]}")
                + &ap("pay/a", "{rules: [{from: [{source: {principals: [other/ns/shop/sa/web]}}]}]}"),
            to("pay/payments", 8080, Some("old/ns/shop/sa/web"), "http"),
            "- ALLOW pay/a denied 403 mtls",
        ),
        (
            "STRICT refuses plaintext",
            object("security.istio.io", "PeerAuthentication", "pay/p", "{mtls: {mode: STRICT}}"),
            to("pay/payments", 8080, None, "http"),
            "- denied plaintext",
        ),
    ] {
        let answer = ask(&manifests, &question);
        assert_eq!(short(&answer), expect, "{case}: {}", answer.why);
    }
}

#[test]
fn az2_custom_never_sees_the_token() {
    let question =
        json!({"to": {"workload": "pay/payments", "port": 8080}, "request": {"claims": {"iss": "i", "sub": "s"}}});
    let rule = "rules: [{from: [{source: {requestPrincipals: ['*']}}]}]";
    let custom = ap("pay/ask", &format!("{{action: CUSTOM, provider: {{name: x}}, {rule}}}"));
    assert_eq!(short(&ask(&custom, &question)), "+ route plaintext", "T43 AZ-2");
    assert_eq!(short(&ask(&ap("pay/a", &format!("{{{rule}}}")), &question)), "+ ALLOW pay/a#0 route plaintext", "T43");
}

#[test]
fn az5_paths_are_normalised_as_the_mesh_says() {
    let question = |path: &str| json!({"to": {"workload": "pay/payments", "port": 8080}, "request": {"path": path}});
    let deny = ap("pay/a", "{action: DENY, rules: [{to: [{operation: {paths: [/admin/x]}}]}]}");
    for (how, path, expect) in [
        ("NONE", "/a/../admin/x", '+'),
        ("BASE", "/a/../admin/x", '-'),
        ("BASE", "/admin//x", '+'),
        ("MERGE_SLASHES", "/admin//x", '-'),
        ("MERGE_SLASHES", "/admin%2Fx", '+'),
        ("DECODE_AND_MERGE_SLASHES", "/admin%2Fx", '-'),
    ] {
        let manifests = mesh_config(&format!("{{pathNormalization: {{normalization: {how}}}}}")) + &deny;
        assert_eq!(short(&ask(&manifests, &question(path))).chars().next(), Some(expect), "{how} {path}");
    }
}

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

/// The Sidecar of T44, with and without the rest of the mesh closed.
#[test]
fn t44_sc1_to_sc3_what_a_sidecar_knows() {
    let sidecar = |name: &str, more: &str| object("networking.istio.io", "Sidecar", name, &format!("{{{more}}}"));
    let egress = "egress: [{hosts: ['./*', 'istio-system/*']}]";
    let closed = "outboundTrafficPolicy: {mode: REGISTRY_ONLY}";
    let call =
        |client: &str, host: &str, port: u16| json!({"from": {"workload": client}, "to": {"host": host, "port": port}});
    let payments = || call("shop/web", "payments.pay.svc.cluster.local", 80);
    let strict = object("security.istio.io", "PeerAuthentication", "istio-system/p", "{mtls: {mode: STRICT}}");
    let no_ingress = "egress: [{hosts: ['./*']}]";
    let to_payments =
        vs("pay/v", "{hosts: [payments], http: [{timeout: 1s, route: [{destination: {host: payments}}]}]}");
    for (case, manifests, question, expect) in [
        (
            "T44 the ingress gateway shares the port",
            sidecar("shop/default", &format!("{egress}, {closed}")),
            payments(),
            "+ direct 502",
        ),
        (
            "T44 nothing shares the port",
            sidecar("shop/default", &format!("{no_ingress}, {closed}")),
            payments(),
            "- no-backend",
        ),
        (
            "T44 what is imported",
            sidecar("shop/default", &format!("{egress}, {closed}")),
            call("shop/web", "reviews", 9080),
            "+ route reviews.shop~:9080=100 mtls",
        ),
        (
            "T44 other namespaces",
            sidecar("shop/default", &format!("{egress}, {closed}")),
            call("ops/ops", "payments.pay", 80),
            "+ route payments.pay~:80=100 mtls",
        ),
        (
            "T44 it passes through",
            sidecar("shop/default", egress),
            payments(),
            "+ route payments.pay~:80=100 plaintext",
        ),
        (
            "SC-1 the root namespace's",
            sidecar("istio-system/default", &format!("{egress}, {closed}")),
            call("ops/ops", "payments.pay", 80),
            "+ direct 502",
        ),
        (
            "SC-1 its own selector first",
            sidecar("shop/default", &format!("{egress}, {closed}"))
                + &sidecar("shop/web", "workloadSelector: {labels: {app: web}}, egress: [{hosts: ['*/*']}]"),
            payments(),
            "+ route payments.pay~:80=100 mtls",
        ),
        (
            "SC-2 on another port",
            sidecar(
                "shop/default",
                "egress: [{port: {number: 9080, protocol: HTTP, name: http}, hosts: ['*/*']}], outboundTrafficPolicy: {mode: REGISTRY_ONLY}",
            ),
            payments(),
            "- no-backend",
        ),
        (
            "SC-2 an exclusion",
            sidecar("shop/default", &format!("egress: [{{hosts: ['*/*', '~pay/*']}}], {closed}")),
            payments(),
            "+ direct 502",
        ),
        (
            "VS-4 a VirtualService that is not imported",
            sidecar("shop/default", "egress: [{hosts: ['*/reviews.shop.svc.cluster.local']}]") + &to_payments,
            payments(),
            "+ route payments.pay~:80=100 plaintext",
        ),
    ] {
        let answer = ask(&manifests, &question);
        assert_eq!(short(&answer), expect, "{case}: {}", answer.why);
    }
    let refused = ask(&(sidecar("shop/default", egress) + &strict), &payments());
    assert_eq!(
        short(&refused),
        "- denied 503 payments.pay~:80=100 plaintext",
        "T44 STRICT refuses what passes through"
    );
}

#[test]
fn we1_en1_endpoints_outside_of_pods() {
    let entry = |labels: &str, account: &str| {
        object(
            "networking.istio.io",
            "WorkloadEntry",
            "shop/vm",
            &format!("{{address: 10.9.9.9, labels: {{app: vm{labels}}}{account}}}"),
        )
    };
    let service = object(
        "networking.istio.io",
        "ServiceEntry",
        "shop/vms",
        "{hosts: [vm.shop.example], location: MESH_INTERNAL, resolution: STATIC, ports: [{number: 80, name: http, protocol: HTTP}], workloadSelector: {labels: {app: vm}}}",
    );
    let alias = "apiVersion: v1\nkind: Service\nmetadata: {name: alias, namespace: shop}\nspec: {type: ExternalName, externalName: api.example, ports: [{name: http, port: 80}]}\n---\n";
    let call = |host: &str| json!({"from": {"workload": "shop/web"}, "to": {"host": host, "port": 80}});
    for (case, manifests, host, expect) in [
        (
            "WE-1 an account",
            entry("", ", serviceAccount: vm") + &service,
            "vm.shop.example",
            "+ route vm.shop.example:80=100 mtls",
        ),
        ("WE-1 without", entry("", "") + &service, "vm.shop.example", "+ route vm.shop.example:80=100 plaintext"),
        (
            "WE-1 the label decides",
            entry(", security.istio.io/tlsMode: disabled", ", serviceAccount: vm") + &service,
            "vm.shop.example",
            "+ route vm.shop.example:80=100 plaintext",
        ),
        ("EN-1", alias.to_owned(), "alias.shop.svc.cluster.local", "+ route alias.shop~:80=100 plaintext"),
    ] {
        let answer = ask(&manifests, &call(host));
        assert_eq!(short(&answer), expect, "{case}: {}", answer.why);
    }
}

#[test]
fn ab1_to_ab5_waypoints() {
    let pods = |name: &str, more: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: mesh}}\nspec: {{selector: {{matchLabels: {{app: {name}}}}}, template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{serviceAccountName: {name}, containers: [{{name: app, image: app}}]}}}}}}\n---\n\
             apiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: mesh{more}}}\nspec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80}}]}}\n---\n"
        )
    };
    let waypoint = ", labels: {istio.io/use-waypoint: wp}";
    let ambient =
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: mesh, labels: {istio.io/dataplane-mode: ambient}}\n---\n"
            .to_owned()
            + &pods("a", "")
            + &pods("b", waypoint)
            + &object(
                "gateway.networking.k8s.io",
                "Gateway",
                "mesh/wp",
                "{gatewayClassName: istio-waypoint, listeners: [{name: mesh, port: 15008, protocol: HBONE}]}",
            );
    let target =
        |kind: &str, group: &str, name: &str| format!("targetRefs: [{{kind: {kind}, group: '{group}', name: {name}}}]");
    let get = "rules: [{to: [{operation: {methods: [GET]}}]}]";
    let from_a = "rules: [{from: [{source: {principals: [cluster.local/ns/mesh/sa/a]}}]}]";
    let from_wp = "rules: [{from: [{source: {principals: [cluster.local/ns/mesh/sa/wp]}}]}]";
    let b = "selector: {matchLabels: {app: b}}";
    for (case, policy, client, expect) in [
        ("AB-1 through the waypoint", String::new(), "mesh/a", "+ route b.mesh~:80=100 mtls"),
        (
            "AB-4 a policy with a target",
            ap("mesh/p", &format!("{{{}, action: DENY, {get}}}", target("Service", "", "b"))),
            "mesh/a",
            "- DENY mesh/p#0 denied 403 b.mesh~:80=100 mtls",
        ),
        (
            "AB-4 the waypoint itself",
            ap("mesh/p", &format!("{{{}, action: DENY, {get}}}", target("Gateway", "gateway.networking.k8s.io", "wp"))),
            "mesh/a",
            "- DENY mesh/p#0 denied 403 b.mesh~:80=100 mtls",
        ),
        (
            "AB-4 another service",
            ap("mesh/p", &format!("{{{}, action: DENY, {get}}}", target("Service", "", "a"))),
            "mesh/a",
            "+ route b.mesh~:80=100 mtls",
        ),
        (
            "AZ-1 every waypoint",
            ap(
                "istio-system/p",
                &format!(
                    "{{{}, action: DENY, {get}}}",
                    target("GatewayClass", "gateway.networking.k8s.io", "istio-waypoint")
                ),
            ),
            "mesh/a",
            "- DENY istio-system/p#0 denied 403 b.mesh~:80=100 mtls",
        ),
        (
            "AB-4 clients past the waypoint are not seen behind it",
            ap("mesh/p", &format!("{{{b}, {from_a}}}")),
            "mesh/a",
            "- ALLOW mesh/p denied 403 b.mesh~:80=100 mtls",
        ),
        (
            "AB-4 the waypoint is",
            ap("mesh/p", &format!("{{{b}, {from_wp}}}")),
            "mesh/a",
            "+ ALLOW mesh/p#0 route b.mesh~:80=100 mtls",
        ),
        (
            "AB-4 sidecars go past it",
            ap("mesh/p", &format!("{{{}, action: DENY, {get}}}", target("Service", "", "b"))),
            "shop/web",
            "+ route b.mesh~:80=100 mtls",
        ),
    ] {
        let question = json!({"from": {"workload": client}, "to": {"host": "b.mesh.svc.cluster.local", "port": 80}});
        let answer = ask(&(ambient.clone() + &policy), &question);
        assert_eq!(short(&answer), expect, "{case}: {}", answer.why);
    }
    // AB-2, AB-3: without a waypoint only connections are seen.
    let to_a = json!({"from": {"workload": "mesh/b"}, "to": {"host": "a.mesh.svc.cluster.local", "port": 80}});
    let selected = "selector: {matchLabels: {app: a}}";
    for (case, policy, expect) in [
        ("AB-3 ALLOW of requests", format!("{{{selected}, {get}}}"), "- ALLOW mesh/p denied 403 a.mesh~:80=100 mtls"),
        (
            "AB-3 DENY of requests",
            format!("{{{selected}, action: DENY, rules: [{{to: [{{operation: {{paths: [/admin]}}}}]}}]}}"),
            "+ route a.mesh~:80=100 mtls",
        ),
        (
            "AB-3 DENY of requests of one client",
            format!(
                "{{{selected}, action: DENY, rules: [{{from: [{{source: {{namespaces: [mesh]}}}}], to: [{{operation: {{paths: \
                 [/admin]}}}}]}}]}}"
            ),
            "- DENY mesh/p#0 denied 403 a.mesh~:80=100 mtls",
        ),
        (
            "AB-2 ALLOW of connections",
            format!("{{{selected}, rules: [{{from: [{{source: {{namespaces: [mesh]}}}}]}}]}}"),
            "+ ALLOW mesh/p#0 route a.mesh~:80=100 mtls",
        ),
    ] {
        let answer = ask(&(ambient.clone() + &ap("mesh/p", &policy)), &to_a);
        assert_eq!(short(&answer), expect, "{case}: {}", answer.why);
    }
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
