//! What is wrong, and where.

use super::{VIRTUAL_SERVICE, findings, read, read_all};

/// One object of Istio with this `spec`.
fn object(kind: &str, spec: &str) -> String {
    let group =
        if kind.ends_with("Authentication") || kind == "AuthorizationPolicy" { "security" } else { "networking" };
    format!("apiVersion: {group}.istio.io/v1\nkind: {kind}\nmetadata: {{name: x, namespace: ns}}\nspec: {spec}\n")
}

/// The codes of the findings, and whether the first one's help has the text.
fn check(kind: &str, spec: &str, codes: &[&str], help: &str) {
    let imported = read(&object(kind, spec));
    let found: Vec<&str> = imported.findings.iter().map(|f| f.rule.code).collect();
    assert_eq!(found, codes, "{kind} {spec}: {:?}", findings(&imported));
    let first = imported.findings.first().map(|f| f.help.clone().unwrap_or_default()).unwrap_or_default();
    assert!(first.contains(help), "{kind} {spec}: {first}");
}

#[test]
fn misplaced_fields_are_told_where_they_belong() {
    let policy = |inner: &str| format!("{{host: a, trafficPolicy: {{{inner}}}}}");
    let rule = |inner: &str| format!("{{hosts: [a], http: [{{route: [{{destination: {{host: a}}}}], {inner}}}]}}");
    let rows: Vec<(&str, String, &str)> = vec![
        ("DestinationRule", policy("retries: {attempts: 3}"), "VirtualService `spec.http[].retries`"),
        ("DestinationRule", policy("timeout: 3s"), "VirtualService `spec.http[].timeout`"),
        ("DestinationRule", policy("circuitBreaker: {}"), "outlierDetection"),
        ("DestinationRule", policy("connectionPool: {outlierDetection: {}}"), "beside `connectionPool`"),
        ("DestinationRule", policy("connectionPool: {tcp: {maxRetries: 3}}"), "connectionPool.http.maxRetries"),
        ("DestinationRule", policy("connectionPool: {http: {maxConnections: 3}}"), "connectionPool.tcp.maxConnections"),
        ("DestinationRule", policy("mtls: {mode: STRICT}"), "PeerAuthentication"),
        ("DestinationRule", "{host: a, outlierDetection: {}}".into(), "spec.trafficPolicy.outlierDetection"),
        ("VirtualService", rule("outlierDetection: {}"), "DestinationRule `spec.trafficPolicy.outlierDetection`"),
        ("VirtualService", rule("connectionPool: {}"), "DestinationRule"),
        ("VirtualService", rule("perTryTimeout: 2s"), "spec.http[].retries.perTryTimeout"),
        ("VirtualService", rule("attempts: 2"), "spec.http[].retries.attempts"),
        ("VirtualService", "{hosts: [a], timeout: 3s}".into(), "spec.http[].timeout"),
        ("VirtualService", rule("fixedDelay: 3s"), "spec.http[].fault.delay.fixedDelay"),
        ("VirtualService", rule("match: [{prefix: /a}]"), "uri.prefix"),
        ("PeerAuthentication", "{mode: STRICT}".into(), "spec.mtls.mode"),
        ("PeerAuthentication", "{mtls: {portLevelMtls: {}}}".into(), "beside `mtls`"),
        ("AuthorizationPolicy", "{rules: [{from: [{principals: [a]}]}]}".into(), "source.principals"),
        ("AuthorizationPolicy", "{rules: [{to: [{methods: [GET]}]}]}".into(), "operation.methods"),
        ("Gateway", "{hosts: [a]}".into(), "spec.servers[].hosts"),
    ];
    for (kind, spec, help) in rows {
        check(kind, &spec, &["MP0103"], help);
    }
}

#[test]
fn slips_are_errors_and_strangers_are_warnings() {
    let rule = |inner: &str| format!("{{hosts: [a], http: [{{route: [{{destination: {{host: a}}}}], {inner}}}]}}");
    for (spec, code, help) in [
        (rule("timout: 3s"), "MP0103", "did you mean `timeout`?"),
        (rule("retires: {attempts: 1}"), "MP0103", "did you mean `retries`?"),
        (rule("direct_response: {}"), "MP0103", "did you mean `directResponse`?"),
        ("{hosts: [a], gatways: [g]}".to_owned(), "MP0103", "did you mean `gateways`?"),
        ("{hosts: [a], gateWays: [g]}".to_owned(), "MP0103", "did you mean `gateways`?"),
        ("{hosts: [a], gtway: [g]}".to_owned(), "MP0102", "its fields are `exportTo`"),
        ("{hosts: [a], exprtTos: [g]}".to_owned(), "MP0102", "did you mean `exportTo`?"),
        (rule("quux: 1"), "MP0102", "its fields are"),
    ] {
        check("VirtualService", &spec, &[code], help);
    }
    let imported = read(&format!(
        "{VIRTUAL_SERVICE}  hosts: [a]\n  http:\n  - route:\n    - destination: {{host: a}}\n      weigth: 3\n"
    ));
    assert_eq!(findings(&imported), ["MP0103 9:7 `weigth` is not a field of VirtualService `spec.http[0].route[0]`"]);
    assert_eq!(imported.findings[0].location.as_ref().unwrap().length, 9);
    assert_eq!(imported.mesh.unmodelled, []);
}

#[test]
fn values_that_their_fields_do_not_take_are_errors() {
    let rule = |inner: &str| format!("{{hosts: [a], http: [{{{inner}}}]}}");
    let to = "destination: {host: a}";
    let rows: Vec<(&str, String, &str)> = vec![
        ("VirtualService", rule("timeout: 5"), "in quotes"),
        ("VirtualService", rule("timeout: 5 seconds"), "`500ms`, `2s` or `1m30s`"),
        ("VirtualService", rule("timeout: 1.5ms"), "whole milliseconds"),
        ("VirtualService", rule("retries: {attempts: '3'}"), "leave the quotes out"),
        ("VirtualService", rule("retries: {attempts: -1}"), "0 for no retries"),
        ("VirtualService", rule("fault: {abort: {httpStatus: 42, percentage: {value: 1}}}"), "200 to 599"),
        ("VirtualService", rule("fault: {delay: {fixedDelay: 1s, percentage: {value: 101}}}"), "0 to 100"),
        (
            "VirtualService",
            rule(&format!("route: [{{{to}, weight: 0}}, {{{to}, weight: 0}}]")),
            "give a destination a weight",
        ),
        ("VirtualService", rule("match: [{port: 70000}]"), "1 to 65535"),
        ("VirtualService", "{hosts: a}".into(), "`- `"),
        ("VirtualService", rule("match: [{headers: {x: {exact: on}}}]"), "\"on\""),
        ("VirtualService", rule("route: [{destination: {subset: v1}}]"), ""),
        ("VirtualService", rule("route: [{destination: {host: a}, weight: 99999999999999999999}]"), ""),
        ("VirtualService", rule("route: [{destination: {host: a}, weight: 9999999999}]"), "write 0 or more"),
        ("DestinationRule", "{host: a, trafficPolicy: {tls: {mode: STRICT}}}".into(), "`DISABLE`, `SIMPLE`"),
        (
            "DestinationRule",
            "{host: a, trafficPolicy: {tls: {mode: ISTIO_MUTAL}}}".into(),
            "did you mean `ISTIO_MUTUAL`?",
        ),
        (
            "DestinationRule",
            "{host: a, trafficPolicy: {outlierDetection: {maxEjectionPercent: 200}}}".into(),
            "0 to 100",
        ),
        ("PeerAuthentication", "{mtls: {mode: MUTUAL}}".into(), "`STRICT`"),
        ("PeerAuthentication", "{portLevelMtls: {http: {mode: STRICT}}}".into(), "ports of the pods"),
        ("AuthorizationPolicy", "{rules: [{to: [{operation: {ports: [80]}}]}]}".into(), "\"80\""),
        ("Gateway", "{servers: [{port: {number: 80, name: a, protocol: HTPP}, hosts: [a.example]}]}".into(), "`HTTP`"),
        ("Gateway", "{servers: [{port: {number: 80, protocol: HTTP}, hosts: [a.example]}]}".into(), ""),
    ];
    for (kind, spec, help) in rows {
        check(kind, &spec, &["MP0105"], help);
    }
}

#[test]
fn labels_are_texts_for_kubernetes_too() {
    let text = "apiVersion: v1\nkind: Service\nmetadata: {name: s, labels: {version: 1.10, on: on}}\nspec: {ports: [{port: 0, name: http}]}\n";
    assert_eq!(
        findings(&read(text)),
        [
            "MP0105 3:30 `metadata.labels.version` takes a text, and `1.10` is a number",
            "MP0105 3:45 `metadata.labels.on` takes a text, and `on` is a boolean",
            "MP0105 4:17 `0` is not a port",
        ]
    );
}

#[test]
fn the_last_definition_by_path_counts() {
    let service = |port: u16| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: s}}\nspec: {{ports: [{{port: {port}, name: http}}]}}\n"
        )
    };
    let imported = read_all(&[("b.yaml", &service(2)), ("a.yaml", &service(1)), ("c.yaml", &service(3))]);
    assert_eq!(imported.mesh.services.len(), 1);
    assert_eq!(imported.mesh.services[0].ports[0].number.value, 3);
    let places: Vec<_> = imported
        .findings
        .iter()
        .map(|f| (f.rule.code, f.location.as_ref().unwrap().file.index(), f.related[0].0.file.index()))
        .collect();
    assert_eq!(places, [("MP0104", 0, 2), ("MP0104", 1, 2)]);
}

#[test]
fn kinds_in_other_groups_and_slips_of_kinds_are_told() {
    let object =
        |api: &str, kind: &str| format!("apiVersion: {api}\nkind: {kind}\nmetadata: {{name: x}}\nspec: {{}}\n");
    for (api, kind, help) in [
        ("networking.istio.io/v1", "VirtualServce", Some("`VirtualService`")),
        ("networking.istio.io/v1beta1", "PeerAuthentication", Some("`security.istio.io`")),
        ("v1", "Deployment", None),
        ("apps/v1", "Service", Some("`v1`")),
        ("example.com/v1", "Thing", None),
    ] {
        let imported = read(&object(api, kind));
        let told = imported.findings.first().and_then(|f| f.help.as_deref());
        match help {
            Some(help) => assert!(told.unwrap().contains(help), "{api} {kind}: {told:?}"),
            None => assert_eq!(told, None, "{api} {kind}"),
        }
        assert_eq!(imported.mesh.unmodelled.len(), 1, "{api} {kind}");
    }
}

#[test]
fn what_cannot_be_read_is_told_and_leaves_the_rest() {
    let service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec: {ports: [{port: 80, name: http}]}\n";
    let text =
        format!("a: [1\n---\n{service}---\nname: {{{{ .Values.name }}}}\n---\nkind: Service\nmetadata: {{name: t}}\n");
    let imported = read(&text);
    let codes: Vec<_> = imported.findings.iter().map(|f| (f.rule.code, f.location.as_ref().unwrap().line)).collect();
    assert_eq!(codes, [("MP0101", 1), ("MP0106", 8), ("MP0105", 10)]);
    assert!(imported.unreadable);
    assert_eq!(imported.mesh.services.len(), 1);
    let quoted = service.replace("{name: s}", "{name: '{{ .Release.Name }}-x'}");
    assert_eq!(read(&quoted).findings[0].rule.code, "MP0106");
}

#[test]
fn dr18_what_admission_refuses_of_a_rule() {
    let rule = |policy: &str| {
        object("DestinationRule", &format!("{{host: a.shop.svc.cluster.local, trafficPolicy: {policy}}}"))
    };
    for (policy, expect) in [
        ("{outlierDetection: {consecutiveLocalOriginFailures: 3}}", Some("splitExternalLocalOriginErrors: true")),
        ("{outlierDetection: {consecutiveLocalOriginFailures: 3, splitExternalLocalOriginErrors: true}}", None),
        ("{outlierDetection: {maxEjectionPercent: 101}}", Some("percentage")),
        ("{}", Some("at least")),
        ("{loadBalancer: {simple: RANDOM}}", None),
    ] {
        let found = findings(&read(&rule(policy)));
        match expect {
            Some(text) => assert!(found.iter().any(|finding| finding.contains(text)), "DR-18 {policy}: {found:?}"),
            None => {
                assert!(!found.iter().any(|finding| finding.contains("trafficPolicy")), "DR-18 {policy}: {found:?}");
            }
        }
    }
}

#[test]
fn a_key_written_twice_is_told() {
    let imported = read(&object("VirtualService", "{hosts: [a], hosts: [b]}"));
    assert_eq!(findings(&imported), ["MP0105 4:20 `hosts` is written twice in one object; the last one counts"]);
    assert_eq!(imported.mesh.virtual_services[0].hosts[0].value, "b");
}

/// GO-3: whatever renders manifests, its stream is read as it comes.
#[test]
fn lists_are_unrolled() {
    let text = "apiVersion: v1\nkind: List\nitems:\n- apiVersion: v1\n  kind: Service\n  metadata: {name: a}\n  spec: {portz: []}\n\
                - {apiVersion: v1, kind: ServiceList, items: [{apiVersion: v1, kind: Service, metadata: {name: b}, spec: {}}]}\n";
    let imported = read(text);
    let names: Vec<_> = imported.mesh.services.iter().map(|s| s.meta.name()).collect();
    assert_eq!(names, ["a", "b"]);
    let path = imported.findings[0].location.as_ref().unwrap().path.to_string();
    assert_eq!((imported.findings[0].rule.code, path.as_str()), ("MP0103", "items[0].spec.portz"));
}
