//! Who is allowed.

use serde_json::json;

use super::{ap, ask, mesh_config, object, short};

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
