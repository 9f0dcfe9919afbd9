//! Settings that do nothing.

use super::read;

const MESH: &str = "apiVersion: v1
kind: Service
metadata: {name: pay, namespace: shop}
spec: {selector: {app: pay}, ports: [{port: 80, targetPort: web, name: http}]}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: pay, namespace: shop}
spec: {template: {metadata: {labels: {app: pay}}, spec: {containers: [{name: c, ports: [{name: web, containerPort: 8080}]}]}}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {name: edge, namespace: shop}
spec: {selector: {istio: ingressgateway}, servers: [{port: {number: 80, name: http, protocol: HTTP}, hosts: ['*']}]}
---
";

/// The findings of one more object, as `CODE line help`.
fn check(kind: &str, namespace: &str, spec: &str, wanted: &[(&str, &str)]) {
    let group =
        if kind.ends_with("Authentication") || kind == "AuthorizationPolicy" { "security" } else { "networking" };
    let object = format!(
        "apiVersion: {group}.istio.io/v1\nkind: {kind}\nmetadata: {{name: x, namespace: {namespace}}}\nspec: {spec}\n"
    );
    let imported = read(&format!("{MESH}{object}"));
    let shown: Vec<_> = imported.findings.iter().map(|f| (f.rule.code, f.help.clone().unwrap_or_default())).collect();
    assert_eq!(shown.len(), wanted.len(), "{kind} {spec}: {:?}", super::findings(&imported));
    for ((code, help), (wanted_code, part)) in shown.iter().zip(wanted) {
        assert!(code == wanted_code && help.contains(part), "{kind} {spec}: {code} {help}");
    }
}

#[test]
fn virtual_services() {
    let rule = |inner: &str| format!("{{hosts: [pay], http: [{{{inner}}}]}}");
    let to = "destination: {host: pay}";
    let one = format!("route: [{{{to}}}]");
    check("VirtualService", "shop", &rule(&one), &[]);
    check(
        "VirtualService",
        "shop",
        &rule(&format!("{one}, retries: {{perTryTimeout: 1s}}")),
        &[("MP0204", "add `attempts`")],
    );
    check("VirtualService", "shop", &rule(&format!("{one}, retries: {{attempts: 0}}")), &[]);
    check("VirtualService", "shop", &rule(&format!("route: [{{{to}, weight: 0}}]")), &[("MP0204", "leave it out")]);
    check("VirtualService", "shop", &rule(&format!("route: [{{{to}, weight: 100}}]")), &[]);
    check("VirtualService", "shop", &rule(&format!("route: [{{{to}, weight: 0}}, {{{to}, weight: 5}}]")), &[]);
    check(
        "VirtualService",
        "shop",
        &rule(&format!("route: [{{{to}}}, {{{to}, weight: 5}}]")),
        &[("MP0204", "give it a weight")],
    );
    let labels = format!("{one}, match: [{{sourceLabels: {{app: web}}}}]");
    check("VirtualService", "shop", &rule(&labels), &[]);
    let bound = rule(&labels).replace("hosts:", "gateways: [edge], hosts:");
    check("VirtualService", "shop", &bound, &[("MP0204", "of the mesh")]);
    let fault = |delay: &str| rule(&format!("{one}, fault: {{delay: {{fixedDelay: 1s{delay}}}}}"));
    check("VirtualService", "shop", &fault(""), &[("MP0204", "percentage")]);
    check("VirtualService", "shop", &fault(", percentage: {value: 0}"), &[]);
}

#[test]
fn two_virtual_services_of_one_host() {
    let vs = |name: &str, host: &str, more: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: shop}}\nspec: {{hosts: [{host}]{more}}}\n---\n"
        )
    };
    let codes = |text: &str| {
        let imported = read(text);
        let conflicts = imported.findings.iter().filter(|f| f.rule.code == "MP0205");
        conflicts.map(|f| (f.rule.code, f.related[0].0.line)).collect::<Vec<_>>()
    };
    let other = vs("b", "pay.shop.svc.cluster.local", "");
    assert_eq!(codes(&format!("{MESH}{other}{}", vs("a", "pay", ""))), [("MP0205", 21)], "the first by name counts");
    assert_eq!(codes(&format!("{MESH}{other}{}", vs("a", "pay", ", gateways: [edge]"))), []);
    assert_eq!(codes(&format!("{MESH}{other}{}", vs("a", "pay", ", exportTo: [.]"))), []);
}

#[test]
fn destination_rules() {
    let policy = |inner: &str| format!("{{host: pay, trafficPolicy: {{{inner}}}}}");
    let ports = "outlierDetection: {interval: 5s}, portLevelSettings: [{port: {number: 80}, tls: {mode: DISABLE}";
    check("DestinationRule", "shop", &policy(&format!("{ports}}}]")), &[("MP0204", "repeat `outlierDetection`")]);
    check("DestinationRule", "shop", &policy(&format!("{ports}, outlierDetection: {{interval: 1s}}}}]")), &[]);
    let locality = "loadBalancer: {localityLbSetting: {failover: [{from: a, to: b}]}}";
    check("DestinationRule", "shop", &policy(locality), &[("MP0204", "add `outlierDetection`")]);
    check("DestinationRule", "shop", &policy(&format!("{locality}, outlierDetection: {{interval: 5s}}")), &[]);
    check(
        "DestinationRule",
        "shop",
        &policy("outlierDetection: {consecutiveErrors: 3}"),
        &[("MP0204", "consecutive5xxErrors")],
    );
    // DR-13: gateway errors are 5xx errors too.
    let errors = |gateway: u32| policy(&format!("outlierDetection: {{consecutiveGatewayErrors: {gateway}}}"));
    check("DestinationRule", "shop", &errors(5), &[("MP0204", "below 5")]);
    check("DestinationRule", "shop", &errors(4), &[]);
    let away = "{host: pay.shop.svc.cluster.local}";
    check("DestinationRule", "elsewhere", away, &[("MP0204", "move it to `shop`")]);
    check("DestinationRule", "istio-system", away, &[]);
}

#[test]
fn policies() {
    let selector = "selector: {matchLabels: {app: pay}}";
    let strict = "{mode: STRICT}";
    check(
        "PeerAuthentication",
        "shop",
        &format!("{{portLevelMtls: {{8080: {strict}}}}}"),
        &[("MP0204", "select the pods")],
    );
    check("PeerAuthentication", "shop", &format!("{{{selector}, portLevelMtls: {{8080: {strict}}}}}"), &[]);
    check(
        "PeerAuthentication",
        "shop",
        &format!("{{{selector}, portLevelMtls: {{80: {strict}}}}}"),
        &[("MP0204", "write 8080")],
    );
    check("PeerAuthentication", "istio-system", &format!("{{{selector}, mtls: {strict}}}"), &[("MP0204", "move it")]);
    let rules = |rule: &str| format!("{{{selector}, rules: [{{{rule}}}]}}");
    let from = |name: &str| rules(&format!("from: [{{source: {{principals: ['{name}']}}}}]"));
    check("AuthorizationPolicy", "shop", &from("spiffe://td/ns/a/sa/b"), &[("MP0204", "write `td/ns/a/sa/b`")]);
    check("AuthorizationPolicy", "shop", &from("td/ns/a/sa/b"), &[]);
    let to = |port: &str| rules(&format!("to: [{{operation: {{ports: ['{port}']}}}}]"));
    check("AuthorizationPolicy", "shop", &to("80"), &[("MP0204", "write 8080")]);
    check("AuthorizationPolicy", "shop", &to("8080"), &[]);
    check("AuthorizationPolicy", "shop", "{action: DENY}", &[("MP0204", "rules: [{}]")]);
    check("AuthorizationPolicy", "shop", "{}", &[]);
}

#[test]
fn two_peer_authentications_of_one_scope() {
    let policy = |name: &str| {
        format!(
            "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: {name}, namespace: shop}}\n---\n"
        )
    };
    let imported = read(&format!("{}{}", policy("b"), policy("a")));
    let shown: Vec<_> = imported.findings.iter().map(|f| (f.rule.code, f.location.as_ref().unwrap().line)).collect();
    assert_eq!(shown, [("MP0205", 1)]);
}

#[test]
fn pods_and_exports() {
    let deployment = |life: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: a, namespace: shop}}\nspec: {{selector: {{app: a}}, \
             ports: [{{port: 80, name: http}}]}}\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: a, \
             namespace: shop}}\nspec: {{template: {{metadata: {{labels: {{app: a, sidecar.istio.io/inject: 'true'}}}}, \
             spec: {{containers: [{{name: c, {life}}}]}}}}}}\n---\n"
        )
    };
    let probe = "readinessProbe: {tcpSocket: {port: 80}, periodSeconds: 20}";
    let hook = "lifecycle: {preStop: {sleep: {seconds: 5}}}";
    let outlier = |base: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: a, namespace: shop}}\nspec: \
             {{host: a, trafficPolicy: {{outlierDetection: {{baseEjectionTime: {base}, maxEjectionPercent: \
             100}}}}}}\n---\n"
        )
    };
    let exported = |to: &str| {
        format!(
            "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: a, namespace: shop}}\nspec: \
             {{host: a, exportTo: [{to}]}}\n---\n"
        )
    };
    for (text, wanted) in [
        (deployment("image: i"), &[][..]),
        (deployment(probe), &["MP0701"]),
        (deployment(&format!("{probe}, {hook}")), &[]),
        (deployment(&format!("{probe}, {hook}")) + &outlier("30s"), &["MP0702"]),
        (deployment(&format!("{probe}, {hook}")) + &outlier("60s"), &[]),
        (deployment(hook) + &exported("nobody"), &["MP0206"]),
        (deployment(hook) + &exported("shop, istio-system"), &[]),
        (deployment(hook) + &exported("'*'"), &[]),
    ] {
        let imported = read(&text);
        let codes: Vec<&str> = imported.findings.iter().map(|finding| finding.rule.code).collect();
        assert_eq!(codes, wanted, "{text}{:?}", super::findings(&imported));
    }
    let imported = read(&(deployment(hook) + &exported("shop, nobody")));
    assert_eq!(imported.findings[0].location.as_ref().unwrap().path, "spec.exportTo[1]".into());
}
