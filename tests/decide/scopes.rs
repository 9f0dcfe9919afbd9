//! What a client sees, and what stands between it and the server.

use serde_json::json;

use super::{ap, ask, object, short, vs};

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

/// Files that hold nothing but policies are asked about workloads all the same.
#[test]
fn who_is_only_asked_about_is_taken_to_have_the_label_of_its_name() {
    let own =
        ap("lone/own", "{selector: {matchLabels: {app: api}}, rules: [{from: [{source: {namespaces: [lone]}}]}]}");
    let trusts = ap(
        "lone/own",
        "{rules: [{from: [{source: {principals: [cluster.local/ns/lone/sa/istio-entry-service-account]}}]}]}",
    );
    let to_api = |from: serde_json::Value| json!({"from": from, "to": {"workload": "lone/api", "port": 8080}});
    let from = |client: &str| to_api(json!({"workload": client}));
    let entered = to_api(json!({"gateway": "lone/istio-entry"}));
    let other = json!({"to": {"workload": "lone/other", "port": 8080}});
    for (case, manifests, question, expect) in [
        ("its namespace's client", &own, from("lone/client"), "+ ALLOW lone/own#0 route mtls"),
        ("another", &own, from("shop/web"), "- ALLOW lone/own denied 403 mtls"),
        ("a client of which nothing is known", &own, from("far/client"), "? unknown"),
        ("a workload of another name", &own, other, "+ route plaintext"),
        ("a gateway", &trusts, entered, "+ ALLOW lone/own#0 route mtls"),
    ] {
        let answer = ask(manifests, &question);
        assert_eq!(short(&answer), expect, "{case}: {}", answer.why);
    }
}
