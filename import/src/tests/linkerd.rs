//! Linkerd's kinds and annotations, with their places.

use meshproof_model::{
    ProxyMode, TargetPort,
    linkerd::{InboundPolicy, RequestMatch, ServerProtocol},
};

use super::{findings, place, read, read_clean, show};

const PROFILE: &str = "apiVersion: linkerd.io/v1alpha2
kind: ServiceProfile
metadata: {name: web.shop.svc.cluster.local, namespace: shop}
spec:
  routes:
  - name: GET /books
    condition: {method: GET, pathRegex: '/books/[^/]*'}
    isRetryable: true
    timeout: 300ms
    responseClasses:
    - {condition: {status: {min: 500, max: 502}}, isFailure: true}
  - name: other
    condition: {any: [{pathRegex: /a}, {not: {method: POST}}]}
  retryBudget: {retryRatio: 0.25, minRetriesPerSecond: 5, ttl: 20s}
  dstOverrides:
  - {authority: web-v2.shop.svc.cluster.local:80, weight: 500m}
";

#[test]
fn l6_a_service_profile_is_read_to_its_leaves() {
    let mesh = read_clean(PROFILE).mesh;
    assert_eq!(mesh.unmodelled, []);
    let profile = &mesh.linkerd.profiles[0];
    let route = &profile.routes[0];
    assert_eq!(show(Some(&route.name)), "\"GET /books\" @ 6:5 spec.routes[0].name");
    assert_eq!(show(route.is_retryable.as_ref()), "true @ 8:5 spec.routes[0].isRetryable");
    assert_eq!(show(route.timeout.as_ref()), "Nanos(300000000) @ 9:5 spec.routes[0].timeout");
    assert_eq!(route.failures(), (500..600).collect::<Vec<_>>(), "5xx fails where no class speaks of it");
    let RequestMatch::Any(any) = &profile.routes[1].condition else { panic!("{:?}", profile.routes[1].condition) };
    assert_eq!(any[1], RequestMatch::Not(Box::new(RequestMatch::Method("POST".to_owned()))));
    let budget = profile.retry_budget.as_ref().unwrap();
    assert_eq!(budget.retry_ratio.as_ref().map(|ratio| ratio.value), Some(250_000));
    assert_eq!(show(budget.min_retries_per_second.as_ref()), "5 @ 14:35 spec.retryBudget.minRetriesPerSecond");
    assert_eq!(profile.dst_overrides[0].1.value, 500);
}

#[test]
fn l6_what_a_profile_cannot_take_is_told() {
    let broken = PROFILE
        .replace("timeout: 300ms", "timeout: soon")
        .replace(", ttl: 20s", "")
        .replace("isRetryable: true", "isRetriable: true");
    assert_eq!(
        findings(&read(&broken)),
        [
            "MP0103 8:5 `isRetriable` is not a field of ServiceProfile `spec.routes[0]`",
            "MP0105 9:5 `timeout` is a duration, and `soon` is none: Linkerd goes on without it",
            "MP0105 14:3 a `retryBudget` needs a `ttl`: without one Linkerd takes no budget",
        ]
    );
    let deep = "{any: [{pathRegex: /a}, {pathRegex: /b}, {pathRegex: /c}]}";
    let many = format!("{{all: [{}]}}", [deep; 6].join(", "));
    let text = PROFILE.replace("{method: GET, pathRegex: '/books/[^/]*'}", &many);
    let imported = read(&text);
    assert_eq!(imported.mesh.linkerd.profiles[0].routes.len(), 1);
    assert!(findings(&imported)[0].contains("more than 256 alternatives"), "{:?}", findings(&imported));
}

fn service(annotations: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata:\n  name: web\n  namespace: shop\n  annotations:\n{annotations}spec: {{selector: {{app: web}}, ports: [{{port: 80}}]}}\n"
    )
}

#[test]
fn l5_l7_annotations_of_a_service_are_read() {
    let text = service(
        "    retry.linkerd.io/http: 5xx,429\n    retry.linkerd.io/limit: '3'\n    retry.linkerd.io/timeout: 200ms\n    \
         timeout.linkerd.io/request: 1s\n    balancer.linkerd.io/failure-accrual: consecutive\n    \
         balancer.linkerd.io/failure-accrual-consecutive-jitter-ratio: '0.25'\n    config.linkerd.io/opaque-ports: 90,100-110\n",
    );
    let mesh = read_clean(&text).mesh;
    let policy = &mesh.linkerd.policies[0].policy;
    let retry = policy.retry.as_ref().unwrap();
    assert_eq!(retry.http.as_ref().map(|on| on.value.clone()), Some(vec![(500, 599), (429, 429)]));
    assert_eq!(show(retry.limit.as_ref()), "3 @ 8:5 metadata.annotations.retry.linkerd.io/limit");
    assert_eq!(policy.timeouts.request.as_ref().map(|limit| limit.value.as_millis()), Some(1000));
    let accrual = policy.failure_accrual.as_ref().unwrap();
    assert_eq!(
        (accrual.max_failures.as_ref(), accrual.jitter_ratio_milli.as_ref().map(|ratio| ratio.value)),
        (None, Some(250))
    );
    assert!(mesh.services[0].linkerd.is_opaque(105) && !mesh.services[0].linkerd.is_opaque(5432));
}

#[test]
fn l5_annotations_that_do_nothing_are_told() {
    let text = service(
        "    retry.linkerd.io/http: 5xy\n    retry.linkerd.io/limt: '3'\n    timeout.linkerd.io/total: 1s\n    \
         balancer.linkerd.io/failure-accrual: sometimes\n    config.linkerd.io/opaque-port: '90'\n    \
         config.linkerd.io/proxy-log-level: warn\n",
    );
    assert_eq!(
        findings(&read(&text)),
        [
            "MP0105 7:5 `retry.linkerd.io/http` does not take `5xy`",
            "MP0103 8:5 `retry.linkerd.io/limt` is no annotation of Linkerd",
            "MP0102 9:5 `timeout.linkerd.io/total` is no annotation of Linkerd",
            "MP0105 10:5 `balancer.linkerd.io/failure-accrual` does not take `sometimes`",
            "MP0103 11:5 `config.linkerd.io/opaque-port` is no annotation of Linkerd",
        ]
    );
    let namespace = "apiVersion: v1\nkind: Namespace\nmetadata:\n  name: shop\n  annotations:\n    \
                     retry.linkerd.io/limit: '3'\n    balancer.linkerd.io/failure-accrual: consecutive\n";
    assert_eq!(
        findings(&read(namespace)),
        [
            "MP0103 6:5 `retry.linkerd.io/limit` on a Namespace has no effect",
            "MP0103 7:5 `balancer.linkerd.io/failure-accrual` on a Namespace has no effect",
        ]
    );
}

#[test]
fn l1_annotations_decide_who_gets_linkerds_proxy() {
    let namespace = |value: &str| {
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: ns, annotations: {{linkerd.io/inject: {value}}}}}\n---\n"
        )
    };
    let pod = |annotations: &str, spec: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: w, namespace: ns}}\nspec: {{template: {{metadata: {{annotations: {{{annotations}}}}}, spec: {{{spec}containers: [{{name: c}}]}}}}}}\n---\n"
        )
    };
    let inject = |value: &str| pod(&format!("linkerd.io/inject: {value}"), "");
    let rows = [
        (namespace("enabled"), pod("", ""), ProxyMode::Linkerd),
        (namespace("ingress"), pod("", ""), ProxyMode::Linkerd),
        (namespace("enabled"), inject("disabled"), ProxyMode::None),
        (namespace("disabled"), inject("enabled"), ProxyMode::Linkerd),
        (namespace("disabled"), pod("", ""), ProxyMode::None),
        (namespace("enabled"), pod("", "hostNetwork: true, "), ProxyMode::None),
        (String::new(), inject("enabled"), ProxyMode::Linkerd),
        (PROFILE.to_owned() + "---\n", pod("", ""), ProxyMode::Linkerd),
        (String::new(), pod("", ""), ProxyMode::None),
    ];
    for (namespace, workload, mode) in rows {
        assert_eq!(read(&format!("{namespace}{workload}")).mesh.workloads[0].proxy, mode, "{namespace}{workload}");
    }
    let text = namespace("enabled").replace("}}\n", ", config.linkerd.io/skip-outbound-ports: '25'}}\n")
        + &pod("config.linkerd.io/default-inbound-policy: deny", "");
    let workload = &read_clean(&text).mesh.workloads[0];
    assert_eq!(place(&workload.proxy_at), "3:36 metadata.annotations.linkerd.io/inject");
    assert!(workload.linkerd.skips_outbound(25).is_some(), "L-1 inherited");
    assert_eq!(workload.linkerd.default_inbound_policy.as_ref().map(|p| p.value), Some(InboundPolicy::Deny));
}

#[test]
fn l9_l8_policies_and_splits_are_read() {
    let head = |kind: &str, name: &str| {
        format!(
            "---\napiVersion: policy.linkerd.io/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: ns}}\nspec:\n"
        )
    };
    let text = [
        head("Server", "s") + "  {podSelector: {matchExpressions: [{key: app, operator: In, values: [a]}]}, port: http, proxyProtocol: HTTP/2, accessPolicy: audit}\n",
        head("AuthorizationPolicy", "p")
            + "  targetRef: {group: policy.linkerd.io, kind: Server, name: s}\n  requiredAuthenticationRefs: [{kind: MeshTLSAuthentication, name: m, namespace: x}]\n",
        head("MeshTLSAuthentication", "m") + "  {identities: ['*'], identityRefs: [{kind: ServiceAccount, name: a}]}\n",
        head("NetworkAuthentication", "net") + "  {networks: [{cidr: 10.0.0.0/8, except: [10.1.0.0/16]}]}\n",
        head("ServerAuthorization", "o") + "  {server: {selector: {matchLabels: {a: b}}}, client: {meshTLS: {serviceAccounts: [{name: sa}]}}}\n",
        head("HTTPLocalRateLimitPolicy", "r")
            + "  {targetRef: {group: policy.linkerd.io, kind: Server, name: s}, total: {requestsPerSecond: 100}, overrides: [{requestsPerSecond: 5, clientRefs: [{kind: ServiceAccount, name: c}]}]}\n",
        "---\napiVersion: split.smi-spec.io/v1alpha2\nkind: TrafficSplit\nmetadata: {name: t, namespace: ns}\nspec: {service: web, backends: [{service: v1, weight: 90}, {service: v2, weight: 10}]}\n".to_owned(),
    ]
    .concat();
    let imported = read_clean(&text);
    assert_eq!(
        imported.mesh.unmodelled.iter().map(|gap| &*gap.reason).collect::<Vec<_>>(),
        ["limits of single clients are not modelled: only the limit of all clients together is judged"]
    );
    let linkerd = &imported.mesh.linkerd;
    let server = &linkerd.servers[0];
    assert_eq!(server.port.value, TargetPort::Name("http".to_owned()));
    assert_eq!(server.protocol.as_ref().map(|p| p.value), Some(ServerProtocol::Http2));
    assert_eq!(show(server.access_policy.as_ref()), "Audit @ 6:113 spec.accessPolicy");
    assert_eq!(linkerd.authorization_policies[0].required[0].value.namespace.as_deref(), Some("x"));
    assert_eq!(linkerd.mesh_tls_authentications[0].accounts, [("ns".to_owned(), "a".to_owned())]);
    assert_eq!(linkerd.network_authentications[0].networks[0].except, ["10.1.0.0/16"]);
    assert_eq!(linkerd.server_authorizations[0].client.accounts, [("ns".to_owned(), "sa".to_owned())]);
    assert_eq!(linkerd.rate_limits[0].overrides[0].0, ["ns/c"]);
    assert_eq!(linkerd.traffic_splits[0].backends[1].1.value, 10_000);
}

#[test]
fn l9_policies_suggest_who_calls() {
    let deployment = |name: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: ns}}\nspec: {{template: {{metadata: {{labels: {{app: {name}}}}}, spec: {{serviceAccountName: {name}, containers: [{{name: c, ports: [{{containerPort: 8080, name: web}}]}}]}}}}}}\n---\n"
        )
    };
    let policy = |kind: &str, name: &str, spec: &str| {
        format!(
            "apiVersion: policy.linkerd.io/v1alpha1\nkind: {kind}\nmetadata: {{name: {name}, namespace: ns}}\nspec: {spec}\n---\n"
        )
    };
    let text = deployment("a")
        + &deployment("b")
        + &deployment("c")
        + "apiVersion: v1\nkind: Service\nmetadata: {name: c, namespace: ns}\nspec: {selector: {app: c}, ports: [{port: 80, targetPort: web}]}\n---\n"
        + &policy("Server", "s", "{podSelector: {matchLabels: {app: c}}, port: web}")
        + &policy(
            "MeshTLSAuthentication",
            "m",
            "{identities: [a.ns.serviceaccount.identity.linkerd.cluster.local], identityRefs: [{kind: ServiceAccount, name: b}]}",
        )
        + &policy(
            "AuthorizationPolicy",
            "p",
            "{targetRef: {group: policy.linkerd.io, kind: Server, name: s}, requiredAuthenticationRefs: [{kind: MeshTLSAuthentication, name: m}]}",
        );
    let mesh = read_clean(&text).mesh;
    let calls: Vec<(String, u16)> =
        mesh.inferred_calls.iter().map(|call| (mesh.workload(call.from).full_name(), call.port)).collect();
    assert_eq!(calls, [("ns/b".to_owned(), 80), ("ns/a".to_owned(), 80)]);
}

#[test]
fn l4_l6_what_linkerd_leaves_out_is_told() {
    let service = service("    retry.linkerd.io/http: 5xx\n");
    let both = format!("{PROFILE}---\n{service}");
    assert_eq!(
        findings(&read(&both)),
        ["MP0204 24:5 these annotations have no effect for clients that use the ServiceProfile"],
        "L-4"
    );
    let short = both.replace("name: web.shop.svc.cluster.local,", "name: web,");
    assert_eq!(
        findings(&read(&short)),
        ["MP0204 1:1 no service has the name `web`: a profile is found by the full host name"],
        "L-6"
    );
    let text = "apiVersion: apps/v1
kind: Deployment
metadata: {name: w, namespace: shop}
spec: {template: {metadata: {annotations: {linkerd.io/inject: enabled}}, spec: {containers: [{name: c}]}}}
---
apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: {name: r, namespace: shop}
spec:
  parentRefs: [{group: '', kind: Service, name: web}]
  rules:
  - filters: [{type: URLRewrite, urlRewrite: {hostname: x}}]
---
";
    let imported = read(&format!("{text}{service}"));
    assert_eq!(
        findings(&imported),
        ["MP0204 12:16 Linkerd does not know the filter `URLRewrite`, and leaves the whole route out"],
        "L-4"
    );
    assert!(imported.mesh.unmodelled.iter().any(|gap| gap.reason.starts_with("of Linkerd's proxies")));
}
