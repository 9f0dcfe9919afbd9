//! Gateway API: T14, T19, T46, T47 and the rules G-1 to G-13.

use meshproof_model::{Invalid, Lowered, Mesh, Missing, gateway_api::Implementation};
use meshproof_proxy::{
    ListenerId, Peer, RequestHead, RequestKey, Table,
    config::{Action, TlsMode},
};

use crate::fixture::{DEFAULT_RETRIES, checked, mesh, outbound, routes, short, workload};

/// A Gateway `edge` of `shop`, with these listeners.
pub(crate) fn gateway(listeners: &str) -> String {
    object("Gateway", "shop", "edge", &format!("{{gatewayClassName: istio, listeners: {listeners}}}"))
}

/// An object of Gateway API.
pub(crate) fn object(kind: &str, namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: {kind}\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
    )
}

/// An HTTPRoute of `shop` that is attached to `edge`.
pub(crate) fn route(name: &str, hostnames: &str, rules: &str) -> String {
    let spec = format!("{{parentRefs: [{{name: edge}}], hostnames: {hostnames}, rules: {rules}}}");
    object("HTTPRoute", "shop", name, &spec)
}

pub(crate) const HTTP: &str = "[{name: http, port: 80, protocol: HTTP}]";
const ALL: &str = "[{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: All}}}]";
const REVIEWS: &str = "{name: reviews, port: 9080}";
const RATINGS: &str = "{name: ratings, port: 9080}";

/// What the proxy of `edge` is told.
pub(crate) fn edge(manifests: &str) -> Lowered {
    lower_edge(&mesh(manifests))
}

fn lower_edge(mesh: &Mesh) -> Lowered {
    checked(mesh.gateway(workload(mesh, "shop/edge-istio")))
}

/// What becomes of a request: `KIND namespace/name rule.match -> CLUSTER`, or the status that the proxy answers.
pub(crate) fn ask(lowered: &Lowered, port: u16, request: &str, headers: &[(&str, &str)]) -> String {
    let (method, rest) = request.split_once(' ').unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let table = Table::compile(&lowered.config).unwrap();
    let listener = lowered.provenance.listeners.iter().position(|origin| origin.port == port).unwrap();
    let peer = Peer::default();
    let key = RequestKey::default();
    let head = RequestHead { key, method, authority: host, path, headers, tokens: &[], peer, http2: false };
    let Some(found) = table.route(ListenerId::new(u32::try_from(listener).unwrap()), &head, 0) else {
        return "404".to_owned();
    };
    let origin = &lowered.provenance.listeners[listener].routes[found.id.index()];
    let by = origin.resource.as_ref().map_or("default".to_owned(), ToString::to_string);
    let block = origin.match_block.map_or(String::new(), |block| format!(".{block}"));
    let does = short(&format!("{:?}", found.does));
    format!("{by} {}{block} {does}", origin.rule)
}

/// The name of the route that decides, and of its rule.
fn decides(lowered: &Lowered, request: &str) -> String {
    let answer = ask(lowered, 80, request, &[]);
    answer.split(' ').skip(1).take(2).collect::<Vec<_>>().join(" ")
}

#[test]
fn t14_g4_prefixes_are_compared_element_by_element() {
    let rules = format!(
        "[{{matches: [{{path: {{value: /foo}}}}], backendRefs: [{REVIEWS}]}}, {{matches: [{{path: {{value: /foobar/}}}}], backendRefs: [{RATINGS}]}}]"
    );
    let lowered = edge(&format!("{}{}", gateway(HTTP), route("r", "[]", &rules)));
    for (request, expect) in [
        ("GET a.example/foobar/x", "shop/r 1.0"),
        ("GET a.example/foobar", "shop/r 1.0"),
        ("GET a.example/foo", "shop/r 0.0"),
        ("GET a.example/foo/", "shop/r 0.0"),
        ("GET a.example/foo/x?q", "shop/r 0.0"),
        ("GET a.example/fool", ""),
        ("GET a.example/FOO", ""),
    ] {
        assert_eq!(decides(&lowered, request), expect, "{request}");
    }
}

#[test]
fn t46_g3_the_most_specific_match_decides() {
    let rules = format!(
        "[{{matches: [{{path: {{value: /a}}, method: GET}}], backendRefs: [{REVIEWS}]}}, {{matches: [{{path: {{value: /a/b}}}}], backendRefs: [{REVIEWS}]}}, {{matches: [{{path: {{type: Exact, value: /a}}}}], backendRefs: [{RATINGS}]}}]"
    );
    let lowered = edge(&format!("{}{}", gateway(HTTP), route("r", "[]", &rules)));
    for (request, expect) in
        [("GET x/a", "shop/r 2.0"), ("GET x/a/b/c", "shop/r 1.0"), ("GET x/a/x", "shop/r 0.0"), ("POST x/a/x", "")]
    {
        assert_eq!(decides(&lowered, request), expect, "{request}");
    }
}

#[test]
fn g3_ties_go_to_more_conditions_then_to_age_then_to_names() {
    let to = |matches: &str| format!("[{{matches: [{matches}], backendRefs: [{REVIEWS}]}}]");
    let more = "{headers: [{name: h, value: x}]}";
    let manifests = format!(
        "{}{}{}{}{}",
        gateway(HTTP),
        route("b", "[]", &to("{path: {value: /}}")),
        route("c", "[]", &to(more)),
        route("d", "[]", &to("{queryParams: [{name: q, value: '1'}]}")),
        route("a", "[]", &to("{path: {value: /}}")),
    );
    let lowered = edge(&manifests);
    assert_eq!(decides(&lowered, "GET x/"), "shop/a 0.0", "(9) the first by name");
    assert_eq!(decides(&lowered, "GET x/?q=1"), "shop/d 0.0", "(7) a condition on the query");
    let both = ask(&lowered, 80, "GET x/?q=1", &[("h", "x")]);
    assert!(both.starts_with("HTTPRoute shop/c"), "(6) before (7): {both}");
    let older = manifests.replace("{name: b,", "{name: b, creationTimestamp: '2026-01-01T00:00:00Z',");
    assert_eq!(decides(&edge(&older), "GET x/"), "shop/b 0.0", "(8) the oldest");
}

#[test]
fn g2_the_most_specific_host_decides_and_nothing_falls_through() {
    let to = |path: &str| format!("[{{matches: [{{path: {{value: {path}}}}}], backendRefs: [{REVIEWS}]}}]");
    let manifests = format!(
        "{}{}{}",
        gateway("[{name: http, port: 80, protocol: HTTP, hostname: '*.example.com'}]"),
        route("wide", "['*.example.com', other.org]", &to("/w")),
        route("narrow", "[a.example.com]", &to("/n")),
    );
    let lowered = edge(&manifests);
    for (request, expect) in [
        ("GET a.example.com/n", "shop/narrow 0.0"),
        ("GET a.example.com:8080/n", "shop/narrow 0.0"),
        ("GET a.example.com/w", ""),
        ("GET b.example.com/w", "shop/wide 0.0"),
        ("GET x.y.example.com/w", "shop/wide 0.0"),
        ("GET example.com/w", ""),
        ("GET other.org/w", ""),
    ] {
        assert_eq!(decides(&lowered, request), expect, "{request}");
    }
    // A more specific listener takes its host, also without routes of its own.
    let two = "[{name: wide, port: 80, protocol: HTTP, hostname: '*.example.com'}, {name: narrow, port: 80, protocol: HTTP, hostname: a.example.com}]";
    let spec = format!("{{parentRefs: [{{name: edge, sectionName: wide}}], rules: {}}}", to("/"));
    let lowered = edge(&format!("{}{}", gateway(two), object("HTTPRoute", "shop", "r", &spec)));
    assert_eq!(decides(&lowered, "GET b.example.com/"), "shop/r 0.0");
    assert_eq!(decides(&lowered, "GET a.example.com/"), "");
}

#[test]
fn g1_routes_attach_where_listeners_let_them() {
    let selected = "[{name: http, port: 80, protocol: HTTP, allowedRoutes: {namespaces: {from: Selector, selector: {matchLabels: {kubernetes.io/metadata.name: pay}}}}}]";
    let named = HTTP.replace("protocol: HTTP", "protocol: HTTP, hostname: a.example");
    let kinds = HTTP.replace("protocol: HTTP", "protocol: HTTP, allowedRoutes: {kinds: [{kind: GRPCRoute}]}");
    let parent = "name: edge, namespace: shop";
    for (case, listeners, namespace, parent, expect) in [
        ("the same namespace", HTTP, "shop", parent, Ok(())),
        ("another namespace", HTTP, "pay", parent, Err("NotAllowedByListeners")),
        ("all namespaces", ALL, "pay", parent, Ok(())),
        ("a selector", selected, "pay", parent, Ok(())),
        ("a selector of others", selected, "ops", parent, Err("NotAllowedByListeners")),
        ("another kind", &kinds, "shop", parent, Err("NotAllowedByListeners")),
        ("another protocol", "[{name: tcp, port: 80, protocol: TCP}]", "shop", parent, Err("NotAllowedByListeners")),
        ("another host", &named, "shop", parent, Err("NoMatchingListenerHostname")),
        ("another section", HTTP, "shop", "name: edge, sectionName: https", Err("NoMatchingParent")),
        ("another port", HTTP, "shop", "name: edge, port: 81", Err("NoMatchingParent")),
        ("no such Gateway", HTTP, "shop", "name: egde", Err("NoMatchingParent")),
        ("no such kind", HTTP, "shop", "{name: edge, kind: Service, group: other}", Err("UnsupportedValue")),
    ] {
        let spec = format!(
            "{{parentRefs: [{{{}}}], hostnames: [b.example], rules: [{{backendRefs: [{REVIEWS}]}}]}}",
            parent.trim_matches(['{', '}'])
        );
        let mesh = mesh(&format!("{}{}", gateway(listeners), object("HTTPRoute", namespace, "r", &spec)));
        let attachments = mesh.attachments();
        let outcome =
            attachments[0].outcome.as_ref().map(|_| ()).map_err(meshproof_model::gateway_api::Refusal::reason);
        assert_eq!(outcome, expect, "{case}");
        let bound = lower_edge(&mesh).provenance.listeners.iter().any(|listener| !listener.routes.is_empty());
        assert_eq!(bound, expect.is_ok(), "{case}");
    }
}

#[test]
fn listener_sets_add_listeners_where_the_gateway_admits_them() {
    let set = "{parentRef: {name: edge, namespace: shop}, listeners: [{name: extra, port: 8080, protocol: HTTP}]}";
    let spec = format!("{{parentRefs: [{{name: s, kind: ListenerSet}}], rules: [{{backendRefs: [{REVIEWS}]}}]}}");
    let objects = format!("{}{}", object("ListenerSet", "shop", "s", set), object("HTTPRoute", "shop", "r", &spec));
    let lowered = edge(&format!("{}{objects}", gateway(HTTP)));
    assert_eq!(lowered.config.listeners.len(), 1, "by default none");
    let admits = gateway(HTTP).replace("listeners:", "allowedListeners: {namespaces: {from: Same}}, listeners:");
    let lowered = edge(&format!("{admits}{objects}"));
    assert_eq!(lowered.provenance.listeners.iter().map(|listener| listener.port).collect::<Vec<_>>(), [80, 8080]);
    assert!(ask(&lowered, 8080, "GET x/", &[]).starts_with("HTTPRoute shop/r 0 "));
    assert_eq!(ask(&lowered, 80, "GET x/", &[]), "404", "a set's routes are not the Gateway's");
}

#[test]
fn t47_g5_backends_that_are_invalid_are_answered_500() {
    let mesh_of = |backends: &str, more: &str| {
        let rules = format!("[{{backendRefs: {backends}}}]");
        edge(&format!("{}{}{more}", gateway(HTTP), route("r", "[]", &rules)))
    };
    let grant = |kind: &str, name: &str| {
        object(
            "ReferenceGrant",
            "pay",
            "g",
            &format!(
                "{{from: [{{group: gateway.networking.k8s.io, kind: {kind}, namespace: shop}}], to: [{{group: '', kind: Service{name}}}]}}"
            ),
        )
    };
    let away = "[{name: payments, namespace: pay, port: 80}]";
    for (case, backends, more, missing) in [
        ("all is well", "[{name: reviews, port: 9080}]", String::new(), vec![None]),
        ("no such service", "[{name: nobody, port: 80}]", String::new(), vec![Some(Missing::Host)]),
        ("no such port", "[{name: reviews, port: 1}]", String::new(), vec![Some(Missing::Port)]),
        ("no port", "[{name: reviews}]", String::new(), vec![Some(Missing::Port)]),
        ("no such kind", "[{name: b, kind: Bucket, group: s3, port: 1}]", String::new(), vec![Some(Missing::Kind)]),
        (
            "half",
            "[{name: reviews, port: 9080}, {name: nobody, port: 1}]",
            String::new(),
            vec![None, Some(Missing::Host)],
        ),
        ("another namespace", away, String::new(), vec![Some(Missing::Grant)]),
        ("granted", away, grant("HTTPRoute", ""), vec![None]),
        ("granted by name", away, grant("HTTPRoute", ", name: payments"), vec![None]),
        ("another name granted", away, grant("HTTPRoute", ", name: ledger"), vec![Some(Missing::Grant)]),
        ("another kind granted", away, grant("GRPCRoute", ""), vec![Some(Missing::Grant)]),
        (
            "without weight",
            "[{name: nobody, port: 1, weight: 0}, {name: reviews, port: 9080}]",
            String::new(),
            vec![None],
        ),
    ] {
        let lowered = mesh_of(backends, &more);
        let origin = &lowered.provenance.listeners[0].routes[0];
        assert_eq!(origin.destinations.iter().map(|d| d.missing).collect::<Vec<_>>(), missing, "{case}");
        let answer = ask(&lowered, 80, "GET x/", &[]);
        let all_missing = missing.iter().all(Option::is_some);
        assert_eq!(answer.contains("NoCluster(500)"), all_missing, "{case}: {answer}");
    }
    for backends in [
        "[]",
        "[{name: reviews, port: 9080, weight: 0}]",
        "[{name: a, port: 1, weight: 0}, {name: b, port: 1, weight: 0}]",
    ] {
        let lowered = mesh_of(backends, "");
        assert!(ask(&lowered, 80, "GET x/", &[]).ends_with("DirectResponse(500)"), "{backends}");
        assert_eq!(lowered.provenance.listeners[0].routes[0].invalid, Some(Invalid::NoBackend));
    }
    let split = mesh_of("[{name: reviews, port: 9080, weight: 3}, {name: ratings, port: 9080}]", "");
    let expect = format!(
        "prefix / -> outbound|9080||reviews.shop~:3 outbound|9080||ratings.shop~:1 timeout=0s {DEFAULT_RETRIES}"
    );
    assert_eq!(routes(&split, "*"), [expect], "the default weight is 1");
}

#[test]
fn t47_g6_g7_timeouts_and_retries() {
    const STANZA: &str = "connect-failure,refused-stream,unavailable,cancelled";
    let with = |more: &str, implementation: Implementation| {
        let rules = format!("[{{backendRefs: [{REVIEWS}]{more}}}]");
        let mut mesh = mesh(&format!("{}{}", gateway(HTTP), route("r", "[]", &rules)));
        mesh.gateway_api.implementation = implementation;
        let lowered = lower_edge(&mesh);
        let shown = routes(&lowered, "*")[0].clone();
        shown.strip_prefix("prefix / -> outbound|9080||reviews.shop~ ").unwrap().to_owned()
    };
    let istio = |more: &str| with(more, Implementation::Istio);
    assert_eq!(istio(""), format!("timeout=0s {DEFAULT_RETRIES}"));
    assert_eq!(istio(", timeouts: {request: 10s}"), format!("timeout=10s {DEFAULT_RETRIES}"));
    let both = ", timeouts: {request: 10s, backendRequest: 2s}";
    assert_eq!(istio(both), format!("timeout=2s {DEFAULT_RETRIES}"), "without a stanza one try is all");
    assert_eq!(
        istio(&format!("{both}, retry: {{codes: [503]}}")),
        format!("timeout=10s retries=2 on {STANZA},retriable-status-codes [503] per-try=2s")
    );
    assert_eq!(istio(", retry: {attempts: 5}"), format!("timeout=0s retries=5 on {STANZA} []"));
    assert_eq!(istio(", retry: {attempts: 0}"), "timeout=0s no-retries");
    assert_eq!(istio(", timeouts: {request: 0s}"), format!("timeout=0s {DEFAULT_RETRIES}"));
    // G-13: what the API leaves open is each implementation's own.
    for (implementation, bare, stanza) in [
        (Implementation::Linkerd, "timeout=0s no-retries", "timeout=0s no-retries"),
        (Implementation::EnvoyGateway, "timeout=unset no-retries", "timeout=unset retries=2"),
        (Implementation::Generic, "timeout=0s no-retries", "timeout=0s retries=2"),
    ] {
        assert_eq!(with("", implementation), bare);
        assert!(with(", retry: {codes: [503]}", implementation).starts_with(stanza), "{implementation:?}");
    }
}

#[test]
fn t19_a_subset_has_no_name_in_gateway_api_and_what_is_missing_is_500() {
    let rules = "[{backendRefs: [{name: reviews-v3, port: 9080}, {name: reviews, port: 9080}]}]";
    let lowered = edge(&format!("{}{}", gateway(HTTP), route("r", "[]", rules)));
    let Action::Forward(action) = &lowered.config.listeners[0].route_config.virtual_hosts[0].routes[0].action else {
        panic!("forwarded")
    };
    assert_eq!(action.cluster_not_found_status, 500);
    assert_eq!(lowered.config.clusters.len(), 1, "{:?}", lowered.config.clusters);
}

#[test]
fn g8_filters() {
    let with = |filters: &str, path: &str, backend: &str| {
        let rules = format!("[{{matches: [{{path: {{value: {path}}}}}], filters: {filters}{backend}}}]");
        edge(&format!("{}{}", gateway(HTTP), route("r", "[]", &rules)))
    };
    let backend = format!(", backendRefs: [{REVIEWS}]");
    let first = |lowered: &Lowered| lowered.config.listeners[0].route_config.virtual_hosts[0].routes[0].clone();
    let headers = "[{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: A, value: '1'}], add: [{name: b, value: '2'}], remove: [C]}}, {type: ResponseHeaderModifier, responseHeaderModifier: {remove: [d]}}]";
    let changed = first(&with(headers, "/", &backend)).headers;
    assert_eq!(changed.request_to_add.iter().map(|h| h.name.as_str()).collect::<Vec<_>>(), ["a", "b"]);
    assert_eq!((changed.request_to_remove, changed.response_to_remove), (vec!["c".into()], vec!["d".into()]));
    for (matched, new, prefix, regex) in [
        ("/foo", "/xyz", Some("/xyz"), None),
        ("/foo/", "/xyz/", Some("/xyz"), None),
        ("/foo.bar", "/", None, Some(r"^/foo\.bar/?")),
        ("/", "/xyz", Some("/xyz/"), None),
        ("/", "/", None, None),
    ] {
        let path = format!("path: {{type: ReplacePrefixMatch, replacePrefixMatch: {new}}}");
        let rewritten = with(&format!("[{{type: URLRewrite, urlRewrite: {{{path}}}}}]"), matched, &backend);
        let Action::Forward(action) = first(&rewritten).action else { panic!("forwarded") };
        assert_eq!(action.prefix_rewrite.as_deref(), prefix, "{matched} {new}");
        assert_eq!(action.regex_rewrite.map(|rewrite| rewrite.pattern).as_deref(), regex, "{matched} {new}");
        let redirected = with(&format!("[{{type: RequestRedirect, requestRedirect: {{{path}}}}}]"), matched, "");
        let Action::Redirect(redirect) = first(&redirected).action else { panic!("redirected") };
        assert_eq!((redirect.prefix_rewrite.as_deref(), redirect.status), (prefix, Some(302)), "{matched} {new}");
    }
    let full = with(
        "[{type: URLRewrite, urlRewrite: {hostname: h.example, path: {type: ReplaceFullPath, replaceFullPath: /x}}}]",
        "/a",
        &backend,
    );
    let Action::Forward(action) = first(&full).action else { panic!("forwarded") };
    assert_eq!(
        (action.host_rewrite.as_deref(), action.regex_rewrite.unwrap().substitution.as_str()),
        (Some("h.example"), "/x")
    );
    for (redirect, port, status) in [
        ("scheme: https", Some(443), 302),
        ("scheme: https, port: 8443, statusCode: 308", Some(8443), 308),
        ("hostname: b.example", None, 302),
    ] {
        let lowered = with(&format!("[{{type: RequestRedirect, requestRedirect: {{{redirect}}}}}]"), "/", "");
        let Action::Redirect(made) = first(&lowered).action else { panic!("redirected") };
        assert_eq!((made.port, made.status), (port, Some(status)), "{redirect}");
    }
    let mirrored = with(
        "[{type: RequestMirror, requestMirror: {backendRef: {name: ratings, port: 9080}, percent: 25}}, {type: RequestMirror, requestMirror: {backendRef: {name: nobody, port: 1}}}]",
        "/",
        &backend,
    );
    assert!(routes(&mirrored, "*")[0].ends_with("mirror=outbound|9080||ratings.shop~:250000ppm"));
    assert_eq!(mirrored.provenance.listeners[0].routes[0].mirrors.len(), 1, "an invalid one is not mirrored to");
    let unknown = with("[{type: ExtensionRef, extensionRef: {group: g, kind: K, name: x}}]", "/", &backend);
    assert!(ask(&unknown, 80, "GET x/", &[]).ends_with("DirectResponse(500)"));
    assert_eq!(unknown.provenance.listeners[0].routes[0].invalid, Some(Invalid::Filter("g/K".into())));
}

#[test]
fn g9_calls_of_grpc() {
    let rules = format!(
        "[{{matches: [{{method: {{service: s.A}}}}], backendRefs: [{REVIEWS}]}}, {{matches: [{{method: {{service: s.A, method: Get}}}}], backendRefs: [{RATINGS}]}}, {{matches: [{{method: {{method: List}}}}], backendRefs: [{RATINGS}]}}, {{matches: [{{method: {{type: RegularExpression, service: 's\\.B.*', method: 'P.*'}}}}], backendRefs: [{RATINGS}]}}]"
    );
    let spec = format!("{{parentRefs: [{{name: edge}}], rules: {rules}}}");
    let grpc = object("GRPCRoute", "shop", "g", &spec);
    let lowered = edge(&format!("{}{grpc}", gateway(HTTP)));
    for (request, expect) in [
        ("POST x/s.A/Get", "shop/g 1.0"),
        ("POST x/s.A/Put", "shop/g 0.0"),
        ("POST x/s.C/List", "shop/g 2.0"),
        ("POST x/s.B1/Put", "shop/g 3.0"),
        ("POST x/s.B1/Get", ""),
        ("POST x/s.AB/Put", ""),
    ] {
        assert_eq!(decides(&lowered, request), expect, "{request}");
    }
    // Of two kinds for one host the older one's holds, then the first by name.
    let http = route("h", "[]", &format!("[{{backendRefs: [{REVIEWS}]}}]"));
    let both = mesh(&format!("{}{grpc}{http}", gateway(HTTP)));
    let reasons: Vec<_> =
        both.attachments().into_iter().map(|a| a.outcome.map(|_| ()).map_err(|why| why.reason())).collect();
    assert_eq!(reasons, [Ok(()), Err("Conflicted")]);
}

#[test]
fn g10_routes_for_a_service() {
    let to = |namespace: &str, name: &str, kind: &str, backend: &str, parent: &str| {
        let spec = format!(
            "{{parentRefs: [{{kind: Service, group: '', name: reviews, namespace: shop{parent}}}], hostnames: [ignored.example], rules: [{{backendRefs: [{backend}]}}]}}"
        );
        object(kind, namespace, name, &spec)
    };
    let http = |namespace: &str, name: &str, backend: &str| to(namespace, name, "HTTPRoute", backend, "");
    let ratings = "{name: ratings, namespace: shop, port: 9080}";
    let reviews = "{name: reviews, namespace: shop, port: 9080}";
    let seen = |manifests: &str, client: &str| {
        let mesh = mesh(manifests);
        let lowered = outbound(&mesh, client, "shop/reviews", 9080);
        let shown = routes(&lowered, "reviews.shop~")[0].clone();
        shown.split(' ').nth(3).unwrap().to_owned()
    };
    let (own, other) = ("outbound|9080||reviews.shop~", "outbound|9080||ratings.shop~");
    let producer = http("shop", "p", ratings);
    let consumer = http("ops", "c", reviews);
    assert_eq!(seen(&producer, "shop/web"), other);
    assert_eq!(seen(&producer, "ops/ops"), other, "a producer's routes are for all, and need no grant");
    assert_eq!(seen(&format!("{producer}{consumer}"), "ops/ops"), own, "a consumer's replace them");
    assert_eq!(seen(&format!("{producer}{consumer}"), "shop/web"), other, "for its own namespace");
    assert_eq!(seen(&to("shop", "p", "HTTPRoute", ratings, ", port: 9080"), "shop/web"), other);
    let grpc = to("shop", "z", "GRPCRoute", reviews, "");
    assert_eq!(seen(&format!("{producer}{grpc}"), "shop/web"), own, "of two kinds the more specific one holds");
    let (mesh, lowered);
    mesh = self::mesh(&producer);
    lowered = outbound(&mesh, "shop/web", "shop/reviews", 9080);
    let origin = &lowered.provenance.listeners[0].routes[0];
    assert_eq!(origin.resource.as_ref().unwrap().to_string(), "HTTPRoute shop/p");
}

#[test]
fn tls_and_tcp_routes() {
    let listeners = "[{name: pass, port: 443, protocol: TLS, hostname: '*.example', tls: {mode: Passthrough}}, {name: tcp, port: 5432, protocol: TCP}, {name: https, port: 8443, protocol: HTTPS, tls: {certificateRefs: [{name: cert}]}}]";
    let tls = object(
        "TLSRoute",
        "shop",
        "t",
        "{parentRefs: [{name: edge}], hostnames: [pay.example], rules: [{backendRefs: [{name: reviews, port: 9080, weight: 1}, {name: ratings, port: 9080}]}]}",
    );
    let tcp = object(
        "TCPRoute",
        "shop",
        "c",
        "{parentRefs: [{name: edge}], rules: [{backendRefs: [{name: ratings, port: 9080}]}]}",
    );
    let lowered = edge(&format!("{}{tls}{tcp}", gateway(listeners)));
    assert_eq!(
        routes(&lowered, "pay.example"),
        ["prefix  -> outbound|9080||reviews.shop~:1 outbound|9080||ratings.shop~:1 timeout=0s no-retries"]
    );
    assert_eq!(routes(&lowered, "*"), ["prefix  -> outbound|9080||ratings.shop~ timeout=0s no-retries"]);
    let modes: Vec<TlsMode> = lowered.config.listeners.iter().map(|listener| listener.tls.mode).collect();
    assert_eq!(modes, [TlsMode::Plaintext, TlsMode::Plaintext, TlsMode::Simple]);
}

#[test]
fn an_address_names_the_service_of_the_proxies() {
    let elsewhere = gateway(HTTP).replace(
        "gatewayClassName: istio",
        "gatewayClassName: istio, addresses: [{type: Hostname, value: istio-ingressgateway.istio-system.svc.cluster.local}]",
    );
    let mesh = mesh(&format!("{elsewhere}{}", route("r", "[]", &format!("[{{backendRefs: [{REVIEWS}]}}]"))));
    let lowered = checked(mesh.gateway(workload(&mesh, "istio-system/istio-ingressgateway")));
    assert_eq!(decides(&lowered, "GET x/"), "shop/r 0");
}
