//! What Linkerd's proxies do: T48, and the rules L-1 to L-9.

use std::fmt::Write as _;

use meshproof_model::{Lowered, Mesh, Transport, istio::MtlsMode};
use meshproof_proxy::config::{Action, Cluster, Filter, LbPolicy, UpstreamProtocol};

use crate::fixture::{checked, cluster, mesh, outbound, routes, service, show_route, workload};

/// Namespace `lk` with Linkerd's proxies: `web` calls `books`, of which there are two replicas; `bare` has no proxy.
fn fixture(more: &str) -> Mesh {
    let deployment = |name: &str, replicas: u32, annotations: &str| {
        format!(
            "apiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: lk}}\nspec:\n  replicas: {replicas}\n  \
             template:\n    metadata: {{labels: {{app: {name}}}, annotations: {{{annotations}}}}}\n    \
             spec: {{serviceAccountName: {name}, containers: [{{name: app, image: app, ports: [{{containerPort: 8080, name: web}}]}}]}}\n---\n"
        )
    };
    let text = [
        "apiVersion: v1\nkind: Namespace\nmetadata: {name: lk, annotations: {linkerd.io/inject: enabled}}\n---\n"
            .to_owned(),
        deployment("web", 1, ""),
        deployment("books", 2, ""),
        deployment("books-v2", 1, ""),
        deployment("bare", 1, "linkerd.io/inject: disabled"),
        deployment("skips", 1, "config.linkerd.io/skip-inbound-ports: '8080'"),
        deployment("goes-past", 1, "config.linkerd.io/skip-outbound-ports: '80'"),
        more.to_owned(),
    ];
    let names = ["books-v2", "bare", "skips"];
    let service = |name: &&str| {
        format!(
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: lk}}\nspec: {{selector: {{app: {name}}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}\n"
        )
    };
    mesh(&(text.concat() + &names.iter().map(service).collect::<String>()))
}

/// The service `books` with annotations.
fn books(annotations: &str) -> String {
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: books, namespace: lk, annotations: {{{annotations}}}}}\nspec: {{selector: {{app: books}}, ports: [{{name: http, port: 80, targetPort: 8080}}]}}\n---\n"
    )
}

fn profile(spec: &str) -> String {
    format!(
        "apiVersion: linkerd.io/v1alpha2\nkind: ServiceProfile\nmetadata: {{name: books.lk.svc.cluster.local, namespace: lk}}\nspec: {spec}\n---\n"
    )
}

fn calls(more: &str) -> Lowered {
    outbound(&fixture(more), "lk/web", "lk/books", 80)
}

const BOOKS: &str = "outbound|80||books.lk~";

fn breaker(cluster: &Cluster) -> String {
    cluster.failure_accrual.map_or("off".to_owned(), |accrual| {
        format!(
            "{} failures, {}..{}, jitter {}",
            accrual.max_failures, accrual.min_penalty, accrual.max_penalty, accrual.jitter_ratio_milli
        )
    })
}

fn budget(cluster: &Cluster) -> String {
    cluster.thresholds[0].token_budget.map_or("none".to_owned(), |budget| {
        format!("{}ppm {}/s {}", budget.retry_ratio.ppm(), budget.min_retries_per_second, budget.ttl)
    })
}

#[test]
fn l3_without_any_object_there_are_no_retries_and_no_timeouts() {
    let lowered = calls(&books(""));
    assert_eq!(routes(&lowered, "*"), [format!("prefix / -> {BOOKS} timeout=0s no-retries")]);
    let to = cluster(&lowered, BOOKS);
    let LbPolicy::PeakEwma { default_rtt, decay } = to.lb_policy else { panic!("{:?}", to.lb_policy) };
    assert_eq!((default_rtt.as_millis(), decay.as_millis()), (30, 10_000));
    assert_eq!(to.connect_timeout.map(meshproof_proxy::Nanos::as_millis), Some(1000));
    assert_eq!((to.hosts.len(), to.protocol), (2, UpstreamProtocol::Http2));
    assert_eq!((breaker(to), budget(to), to.thresholds[0].max_retries), ("off".into(), "none".into(), Some(u32::MAX)));
}

#[test]
fn t48_annotations_and_profiles() {
    let annotations = "retry.linkerd.io/http: 5xx, balancer.linkerd.io/failure-accrual: consecutive";
    let lowered = calls(&books(annotations));
    let [route] = lowered.config.listeners[0].route_config.virtual_hosts[0].routes.as_slice() else { panic!() };
    let Action::Forward(action) = &route.action else { panic!() };
    let retry = action.retry.as_ref().unwrap();
    assert_eq!(retry.num_retries, Some(1), "T48 L-5: the limit is 1");
    assert_eq!(retry.retriable_status_codes, (500..600).collect::<Vec<u16>>());
    assert_eq!((retry.base_interval, retry.max_interval), (None, None), "25 ms to 250 ms");
    assert_eq!(breaker(cluster(&lowered, BOOKS)), "7 failures, 1s..60s, jitter 500");
    let origin = &lowered.provenance.listeners[0].routes[0];
    assert!(origin.retries.location().is_some_and(|at| at.path.to_string().ends_with("retry.linkerd.io/http")));

    let profile = profile("{routes: [{name: get, condition: {method: GET}, isRetryable: true}]}");
    let lowered = calls(&(books(annotations) + &profile));
    assert_eq!(
        routes(&lowered, "*").iter().map(|route| route.split(" [").next().unwrap()).collect::<Vec<_>>(),
        [
            format!("prefix / :method=GET -> {BOOKS} timeout=0s retries=100 on retriable-status-codes"),
            format!("prefix / -> {BOOKS} timeout=0s no-retries"),
        ],
        "T48 L-4: the profile decides alone"
    );
    let to = cluster(&lowered, BOOKS);
    assert_eq!((budget(to), breaker(to)), ("200000ppm 10/s 10s".into(), "off".into()), "T48 L-6 L-7");
    let origin = &lowered.provenance.listeners[0].routes[0];
    assert_eq!(origin.resource.as_ref().map(|r| r.kind.as_str()), Some("ServiceProfile"));
}

#[test]
fn l5_annotations_become_retries_and_timeouts() {
    for (case, annotations, expect) in [
        (
            "L-5 codes",
            "retry.linkerd.io/http: '500,502-503', retry.linkerd.io/limit: '3'",
            "timeout=0s retries=3 on refused-stream,retriable-status-codes [500, 502, 503]",
        ),
        (
            "L-5 only a limit retries no status",
            "retry.linkerd.io/limit: '2'",
            "timeout=0s retries=2 on refused-stream []",
        ),
        (
            "L-5 a limit of 0 is unset",
            "retry.linkerd.io/limit: '0', retry.linkerd.io/http: '503'",
            "timeout=0s retries=1 on refused-stream,retriable-status-codes [503]",
        ),
        (
            "L-5 gRPC",
            "retry.linkerd.io/grpc: 'unavailable,internal'",
            "timeout=0s retries=1 on refused-stream,unavailable,internal []",
        ),
        (
            "L-5 per try",
            "retry.linkerd.io/timeout: 100ms",
            "timeout=0s retries=1 on refused-stream,reset [] per-try=100ms",
        ),
        ("L-5 request", "timeout.linkerd.io/request: 2s", "timeout=2s no-retries"),
        ("L-5 the shorter", "timeout.linkerd.io/request: 2s, timeout.linkerd.io/response: 1s", "timeout=1s no-retries"),
    ] {
        assert_eq!(routes(&calls(&books(annotations)), "*"), [format!("prefix / -> {BOOKS} {expect}")], "{case}");
    }
    let headless = books("retry.linkerd.io/http: 5xx, timeout.linkerd.io/request: 1s")
        .replace("spec: {", "spec: {clusterIP: None, ");
    assert_eq!(
        routes(&calls(&headless), "*"),
        [format!("prefix / -> {BOOKS} timeout=0s no-retries")],
        "L-5 headless services have neither"
    );
}

#[test]
fn l6_profiles_become_routes() {
    let text = profile(
        "{routes: [\
           {name: a, condition: {all: [{method: GET}, {any: [{pathRegex: /a}, {pathRegex: /b/.*}]}]}, timeout: 1s},\
           {name: b, condition: {not: {pathRegex: /c}}, isRetryable: true, responseClasses: [{condition: {status: {min: 429, max: 429}}, isFailure: true}, {condition: {status: {min: 500}}, isFailure: false}]}],\
          retryBudget: {retryRatio: 0.1, minRetriesPerSecond: 2, ttl: 4s}}",
    );
    let lowered = calls(&(books("") + &text));
    let codes = std::iter::once(429).chain(501..600).collect::<Vec<u16>>();
    assert_eq!(
        routes(&lowered, "*"),
        [
            format!("regex /a :method=GET -> {BOOKS} timeout=1s no-retries"),
            format!("regex /b/.* :method=GET -> {BOOKS} timeout=1s no-retries"),
            format!(
                "prefix / !:path=/(?:/c)(?:\\?.*)?/ -> {BOOKS} timeout=0s retries=8 on retriable-status-codes {codes:?}"
            ),
            format!("prefix / -> {BOOKS} timeout=0s no-retries"),
        ]
    );
    assert_eq!(budget(cluster(&lowered, BOOKS)), "100000ppm 2/s 4s");
    let empty = calls(&(books("timeout.linkerd.io/request: 3s") + &profile("{routes: []}")));
    assert_eq!(
        routes(&empty, "*"),
        [format!("prefix / -> {BOOKS} timeout=3s no-retries")],
        "L-4 an empty profile decides nothing"
    );
    let elsewhere =
        profile("{routes: [{name: x, condition: {method: GET}}]}").replace("namespace: lk", "namespace: shop");
    assert_eq!(
        routes(&calls(&(books("") + &elsewhere)), "*").len(),
        1,
        "L-6 neither the client's namespace nor the service's"
    );
}

#[test]
fn l6_l8_requests_are_split_by_weight() {
    let v2 = "outbound|80||books-v2.lk~";
    let overrides = profile(
        "{dstOverrides: [{authority: 'books.lk.svc.cluster.local:80', weight: 900m}, {authority: 'books-v2.lk.svc.cluster.local.:80', weight: 100m}]}",
    );
    assert_eq!(
        routes(&calls(&(books("") + &overrides)), "*"),
        [format!("prefix / -> {BOOKS}:900 {v2}:100 timeout=0s no-retries")]
    );
    let split = "apiVersion: split.smi-spec.io/v1alpha2\nkind: TrafficSplit\nmetadata: {name: t, namespace: lk}\nspec: {service: books, backends: [{service: books, weight: 3}, {service: books-v2, weight: 1}, {service: none, weight: 0}]}\n---\n";
    assert_eq!(
        routes(&calls(&(books("") + split)), "*"),
        [format!("prefix / -> {BOOKS}:3000 {v2}:1000 timeout=0s no-retries")]
    );
}

#[test]
fn l2_mutual_tls_is_between_linkerds_proxies_only() {
    let mesh = fixture(&books(""));
    let transport = |client: &str, to: &str, server: &str| {
        mesh.client_transport(Some(workload(&mesh, client)), service(&mesh, to), 80, workload(&mesh, server)).value
    };
    for (case, client, to, server, expect) in [
        ("both meshed", "lk/web", "lk/books", "lk/books", Transport::IstioMutual),
        ("a server without a proxy", "lk/web", "lk/bare", "lk/bare", Transport::Plaintext),
        ("a server that skips its proxy", "lk/web", "lk/skips", "lk/skips", Transport::Plaintext),
        ("a client that skips its proxy", "lk/goes-past", "lk/books", "lk/books", Transport::Plaintext),
        ("a client without a proxy", "lk/bare", "lk/books", "lk/books", Transport::Plaintext),
        ("a client of Istio", "shop/web", "lk/books", "lk/books", Transport::Plaintext),
        ("a server of Istio", "lk/web", "pay/payments", "pay/payments", Transport::Plaintext),
    ] {
        assert_eq!(transport(client, to, server), expect, "L-2 {case}");
    }
    let lowered = calls(&books(""));
    let to = cluster(&lowered, BOOKS);
    let tls = meshproof_proxy::tls::choose_transport(to, &to.hosts[0]).unwrap();
    let inbound = checked(mesh.inbound(workload(&mesh, "lk/books")));
    let shaken = meshproof_proxy::tls::handshake(Some(tls), &inbound.config.listeners[0].tls);
    assert_eq!(shaken.opening, meshproof_proxy::tls::Opening::Open);
    assert_eq!(shaken.client.unwrap().dns_sans, ["web.lk.serviceaccount.identity.linkerd.cluster.local"]);
}

/// Policies and the mode of `lk/books`, and who passes.
fn access(more: &str) -> (MtlsMode, String) {
    let mesh = fixture(&(books("") + more));
    let id = workload(&mesh, "lk/books");
    let lowered = checked(mesh.inbound(id));
    let mut shown = String::new();
    for filter in &lowered.config.listeners[0].filters {
        match filter {
            Filter::Rbac(rbac) => {
                let rules = rbac.rules.as_ref().unwrap();
                let names: Vec<&str> = rules.policies.iter().map(|policy| policy.name.as_str()).collect();
                let _ = write!(shown, "{:?} {} ", rules.action, names.join(" | "));
            }
            Filter::LocalRateLimit(limit) => {
                let _ = write!(shown, "rate {}", limit.bucket.max_tokens);
            }
            other => panic!("{other:?}"),
        }
    }
    (mesh.server_mode(id, 8080).value, shown.trim_end().to_owned())
}

#[test]
fn l9_whom_a_port_accepts() {
    let policy = |kind: &str, name: &str, spec: &str| {
        format!(
            "apiVersion: policy.linkerd.io/v1beta3\nkind: {kind}\nmetadata: {{name: {name}, namespace: lk}}\nspec: {spec}\n---\n"
        )
    };
    let server = |more: &str| {
        policy("Server", "s", &format!("{{podSelector: {{matchLabels: {{app: books}}}}, port: web{more}}}"))
    };
    let authorization = |required: &str| {
        policy(
            "AuthorizationPolicy",
            "p",
            &format!(
                "{{targetRef: {{group: policy.linkerd.io, kind: Server, name: s}}, requiredAuthenticationRefs: [{required}]}}"
            ),
        )
    };
    let web = policy("MeshTLSAuthentication", "m", "{identityRefs: [{kind: ServiceAccount, name: web}]}");
    let network = policy("NetworkAuthentication", "n", "{networks: [{cidr: 10.0.0.0/8}]}");
    let tls = "{group: policy.linkerd.io, kind: MeshTLSAuthentication, name: m}";
    let net = "{group: policy.linkerd.io, kind: NetworkAuthentication, name: n}";
    let namespace = |name: &str| {
        format!(
            "apiVersion: v1\nkind: Namespace\nmetadata: {{name: lk, annotations: {{linkerd.io/inject: enabled, config.linkerd.io/default-inbound-policy: {name}}}}}\n---\n"
        )
    };
    let allow = "Allow AuthorizationPolicy lk/p";
    for (case, more, mode, expect) in [
        ("the default", String::new(), MtlsMode::Permissive, ""),
        ("a default of deny", namespace("deny"), MtlsMode::Strict, "Allow"),
        ("only identities", namespace("all-authenticated"), MtlsMode::Strict, "Allow default:all-authenticated"),
        (
            "the cluster's networks",
            namespace("cluster-unauthenticated"),
            MtlsMode::Permissive,
            "Allow default:cluster-unauthenticated",
        ),
        ("audit refuses nobody", namespace("audit"), MtlsMode::Permissive, ""),
        ("a Server alone denies", server(""), MtlsMode::Strict, "Allow"),
        ("an access policy adds", server(", accessPolicy: all-unauthenticated"), MtlsMode::Permissive, ""),
        ("identities", server("") + &authorization(tls) + &web, MtlsMode::Strict, allow),
        ("networks without identities", server("") + &authorization(net) + &network, MtlsMode::Permissive, allow),
        ("both", server("") + &authorization(&format!("{tls}, {net}")) + &web + &network, MtlsMode::Strict, allow),
        ("an empty list is anyone", server("") + &authorization(""), MtlsMode::Permissive, ""),
        ("a dangling reference is ignored", server("") + &authorization(tls), MtlsMode::Strict, "Allow"),
        (
            "the whole namespace",
            server("") + &authorization(tls).replace("kind: Server, name: s", "kind: Namespace, name: lk") + &web,
            MtlsMode::Strict,
            allow,
        ),
        (
            "the older form",
            server("")
                + &policy(
                    "ServerAuthorization",
                    "o",
                    "{server: {name: s}, client: {meshTLS: {identities: ['*.lk.serviceaccount.identity.linkerd.cluster.local']}}}",
                ),
            MtlsMode::Strict,
            "Allow ServerAuthorization lk/o",
        ),
        (
            "a limit on the rate",
            server(", accessPolicy: all-unauthenticated")
                + &policy(
                    "HTTPLocalRateLimitPolicy",
                    "r",
                    "{targetRef: {group: policy.linkerd.io, kind: Server, name: s}, total: {requestsPerSecond: 9}}",
                ),
            MtlsMode::Permissive,
            "rate 9",
        ),
    ] {
        assert_eq!(access(&more), (mode, expect.to_owned()), "L-9 {case}");
    }
}

#[test]
fn l1_opaque_ports_and_skipped_ports_have_no_routes() {
    let retries = "retry.linkerd.io/http: 5xx";
    for (case, annotations, expect) in [
        ("HTTP", retries.to_owned(), "prefix / -> "),
        ("opaque", format!("{retries}, config.linkerd.io/opaque-ports: '80'"), "prefix  -> "),
    ] {
        let lowered = calls(&books(&annotations));
        let shown = routes(&lowered, "*").remove(0);
        assert!(shown.starts_with(expect), "L-1 {case}: {shown}");
        assert_eq!(shown.contains("no-retries"), case == "opaque", "L-1 {case}");
    }
    let lowered = outbound(&fixture(&books(retries)), "lk/goes-past", "lk/books", 80);
    let route = &lowered.config.listeners[0].route_config.virtual_hosts[0].routes[0];
    assert!(show_route(route).contains("no-retries"));
    let to = cluster(&lowered, BOOKS);
    assert_eq!((&to.lb_policy, to.transport_matches.len()), (&LbPolicy::Random, 0));
}

/// An HTTPRoute of `books` in this group and namespace.
fn http_route(api: &str, namespace: &str, annotations: &str, rest: &str) -> String {
    format!(
        "apiVersion: {api}\nkind: HTTPRoute\nmetadata: {{name: r, namespace: {namespace}, annotations: {{{annotations}}}}}\nspec:\n  \
         parentRefs: [{{group: '', kind: Service, name: books, namespace: lk}}]\n  {rest}\n---\n"
    )
}

const POLICY: &str = "policy.linkerd.io/v1beta3";
const GATEWAY: &str = "gateway.networking.k8s.io/v1";

#[test]
fn l4_l5_routes_decide_and_keep_what_they_do_not_set() {
    let to = |name: &str, weight: u32| format!("{{name: {name}, port: 80, weight: {weight}}}");
    let retry = "retry.linkerd.io/http: '503'";
    let v2 = "outbound|80||books-v2.lk~";
    for api in [POLICY, GATEWAY] {
        let split = format!("rules: [{{backendRefs: [{}, {}]}}]", to("books", 9), to("books-v2", 1));
        assert_eq!(
            routes(&calls(&(books("") + &http_route(api, "lk", "", &split))), "*"),
            [format!("prefix / -> {BOOKS}:9 {v2}:1 timeout=0s no-retries")],
            "L-8 {api}"
        );
        let plain = http_route(api, "lk", "timeout.linkerd.io/request: 1s", "rules: [{}]");
        assert_eq!(
            routes(&calls(&(books(&format!("{retry}, timeout.linkerd.io/request: 9s")) + &plain)), "*"),
            [format!("prefix / -> {BOOKS} timeout=1s retries=1 on refused-stream,retriable-status-codes [503]")],
            "T48 L-5 retries are still the Service's, {api}"
        );
        let timeouts = http_route(api, "lk", "", "rules: [{timeouts: {request: 2s}}]");
        assert_eq!(
            routes(&calls(&(books("timeout.linkerd.io/response: 1s") + &timeouts)), "*"),
            [format!("prefix / -> {BOOKS} timeout=2s no-retries")],
            "L-5 a rule's own limit hides the Service's, {api}"
        );
        let consumer = http_route(api, "shop", "", "rules: [{timeouts: {request: 3s}}]");
        let producer = http_route(api, "lk", "", "rules: [{timeouts: {request: 4s}}]");
        assert_eq!(
            routes(&calls(&(books("") + &consumer + &producer)), "*"),
            [format!("prefix / -> {BOOKS} timeout=4s no-retries")],
            "G-10 a consumer's routes are for its own namespace, {api}"
        );
        let mirrored = format!(
            "rules: [{{filters: [{{type: RequestMirror, requestMirror: {{backendRef: {}}}}}]}}]",
            to("books", 1)
        );
        assert_eq!(
            routes(&calls(&(books("") + &http_route(api, "lk", "", &mirrored.replace(", weight: 1", "")))), "*"),
            [format!("prefix / -> {BOOKS} timeout=0s no-retries")],
            "L-4 a filter that Linkerd does not know makes it leave the route out, {api}"
        );
    }
    let profile = profile("{routes: [{name: get, condition: {method: GET}}]}");
    let both = books("") + &http_route(POLICY, "lk", "", "rules: [{timeouts: {request: 1s}}]") + &profile;
    assert_eq!(routes(&calls(&both), "*").len(), 2, "L-4 the profile decides before routes");
}

#[test]
fn l4_routes_are_ordered_and_answer_what_none_takes() {
    let rules = "hostnames: [books.example.com, '*.example.com']\n  rules:\n  - matches: [{path: {value: /a}, method: GET}, {path: {type: Exact, value: /a}}]\n    \
                 backendRefs: [{name: books, port: 80}]\n  - matches: [{path: {value: /a/b/}, headers: [{name: X, value: y}]}]\n    \
                 backendRefs: [{name: none, port: 80}, {name: books, weight: 0, port: 80}]\n    \
                 filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: Z, value: z}]}}]\n  \
                 - matches: [{path: {type: RegularExpression, value: /r.*}}]\n    filters: [{type: RequestRedirect, requestRedirect: {hostname: other}}]\n";
    let lowered = calls(&(books("") + &http_route(GATEWAY, "lk", "", rules)));
    let shown: Vec<String> = routes(&lowered, "*").into_iter().map(|route| route.replace("(?i)", "")).collect();
    let exact = ":authority=/books\\.example\\.com(?::[0-9]+)?/";
    assert_eq!(
        shown[..4],
        [
            format!("exact /a {exact} -> {BOOKS} timeout=0s no-retries"),
            format!("segments /a/b {exact} x=y -> outbound|80||none.lk~ timeout=0s no-retries"),
            format!("segments /a {exact} :method=GET -> {BOOKS} timeout=0s no-retries"),
            format!("regex /r.* {exact} redirect 302"),
        ],
        "G-3"
    );
    assert_eq!(shown.len(), 8);
    assert!(shown[4].starts_with("exact /a :authority=/.+\\.example\\.com"), "G-2 {}", shown[4]);
    let route = &lowered.config.listeners[0].route_config.virtual_hosts[0].routes[1];
    let Action::Forward(action) = &route.action else { panic!() };
    assert_eq!((action.cluster_not_found_status, route.headers.request_to_add.len()), (500, 1), "G-5");
    let none = "rules: [{backendRefs: [{name: books, port: 80, weight: 0}]}]";
    assert_eq!(
        routes(&calls(&(books("") + &http_route(GATEWAY, "lk", "", none))), "*"),
        ["prefix / answer 500"],
        "G-5"
    );
}

#[test]
fn l9_routes_of_a_server_and_their_own_policies() {
    let text = "apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: s, namespace: lk}
spec: {podSelector: {matchLabels: {app: books}}, port: 8080}
---
apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: {name: health, namespace: lk}
spec: {parentRefs: [{group: policy.linkerd.io, kind: Server, name: s}], rules: [{matches: [{path: {value: /health}}]}]}
---
apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: {name: api, namespace: lk}
spec: {parentRefs: [{group: policy.linkerd.io, kind: Server, name: s}], rules: [{matches: [{path: {value: /api}}]}]}
---
apiVersion: policy.linkerd.io/v1alpha1
kind: AuthorizationPolicy
metadata: {name: p, namespace: lk}
spec: {targetRef: {group: policy.linkerd.io, kind: HTTPRoute, name: health}, requiredAuthenticationRefs: []}
";
    let mesh = fixture(&(books("") + text));
    let lowered = checked(mesh.inbound(workload(&mesh, "lk/books")));
    let listener = &lowered.config.listeners[0];
    let routes = &listener.route_config.virtual_hosts[0].routes;
    let shown: Vec<(String, usize)> =
        routes.iter().map(|route| (show_route(route), route.filter_overrides.len())).collect();
    assert_eq!(
        shown,
        [
            ("segments /health -> inbound|8080|| timeout=0s no-retries".to_owned(), 1),
            ("segments /api -> inbound|8080|| timeout=0s no-retries".to_owned(), 0),
        ],
        "L-9 a route's policies add to the Server's"
    );
    assert_eq!(
        routes[0].filter_overrides,
        [meshproof_proxy::config::FilterOverride::Rbac(None)],
        "L-9 an empty list admits anyone"
    );
}

#[test]
fn l3_requests_wait_for_endpoints_up_to_a_limit() {
    let profile = profile("{routes: [{name: get, condition: {method: GET}}]}");
    for (case, more, capacity) in [("L-3", books(""), 100), ("L-3 L-6", books("") + &profile, 10_000)] {
        let queue = cluster(&calls(&more), BOOKS).queue.unwrap();
        assert_eq!((queue.capacity, queue.failfast.as_millis()), (capacity, 3000), "{case}");
    }
}

#[test]
fn l9_probes_are_let_in_where_no_route_is_written() {
    let pods = "apiVersion: apps/v1
kind: Deployment
metadata: {name: probed, namespace: lk}
spec:
  template:
    metadata: {labels: {app: probed}}
    spec:
      containers:
      - name: app
        image: app
        ports: [{containerPort: 8080, name: web}]
        readinessProbe: {httpGet: {path: '/ready?x=1', port: web}}
        livenessProbe: {httpGet: {path: /live, port: 8080}}
        startupProbe: {httpGet: {path: /elsewhere, port: 9090}}
---
";
    let server = "apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: s, namespace: lk}
spec: {podSelector: {matchLabels: {app: probed}}, port: 8080}
---
";
    let route = "apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: {name: api, namespace: lk}
spec: {parentRefs: [{group: policy.linkerd.io, kind: Server, name: s}], rules: [{matches: [{path: {value: /api}}]}]}
---
";
    let of = |more: &str| {
        let mesh = fixture(&(pods.to_owned() + more));
        let lowered = checked(mesh.inbound(workload(&mesh, "lk/probed")));
        let routes = &lowered.config.listeners[0].route_config.virtual_hosts[0].routes;
        let shown = routes.iter().map(|route| {
            let open = if route.filter_overrides == [meshproof_proxy::config::FilterOverride::Rbac(None)] {
                " open"
            } else {
                ""
            };
            format!("{}{open}", show_route(route).split(" ->").next().unwrap())
        });
        shown.collect::<Vec<_>>()
    };
    for (case, more, expect) in [
        ("everyone is let in", String::new(), vec!["prefix /"]),
        (
            "a Server denies",
            server.to_owned(),
            vec!["exact /ready :method=GET open", "exact /live :method=GET open", "prefix /"],
        ),
        ("routes are written", server.to_owned() + route, vec!["segments /api"]),
    ] {
        assert_eq!(of(&more), expect, "L-9 {case}");
    }
}
