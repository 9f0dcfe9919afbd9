//! Gateway API and Ingress: every leaf with its place, what is unknown, what takes another value.

use meshproof_model::gateway_api::{
    Address, FilterAction, FromNamespaces, IngressPort, PathMatch, PathModifier, Redirect, Rewrite,
};

use meshproof_model::Mesh;

use super::{findings, place, read, show};

/// The mesh of a text whose fields are all known; what it refers to may be elsewhere.
fn mesh_of(text: &str) -> Mesh {
    let imported = read(text);
    let unknown: Vec<String> = findings(&imported).into_iter().filter(|line| line.starts_with("MP01")).collect();
    assert_eq!(unknown, Vec::<String>::new());
    imported.mesh
}

fn object(version: &str, kind: &str, spec: &str) -> String {
    format!(
        "apiVersion: gateway.networking.k8s.io/{version}\nkind: {kind}\nmetadata: {{name: r, namespace: shop}}\nspec:\n{spec}"
    )
}

#[test]
fn a_gateway_is_read_to_its_leaves() {
    for version in ["v1", "v1beta1", "v1alpha2"] {
        let text = object(
            version,
            "Gateway",
            "  gatewayClassName: istio
  addresses: [{type: Hostname, value: edge.istio-system.svc.cluster.local}, {value: 1.2.3.4}]
  infrastructure: {labels: {team: edge}}
  listeners:
  - name: https
    hostname: '*.example.com'
    port: 443
    protocol: HTTPS
    tls: {mode: Terminate, certificateRefs: [{name: cert, namespace: certs}]}
    allowedRoutes:
      namespaces: {from: Selector, selector: {matchLabels: {env: prod}}}
      kinds: [{kind: HTTPRoute}]
",
        );
        let mesh = mesh_of(&text);
        let gateway = &mesh.gateway_api.gateways[0];
        assert_eq!(show(Some(&gateway.class)), "\"istio\" @ 5:3 spec.gatewayClassName");
        let addresses: Vec<&Address> = gateway.addresses.iter().map(|address| &address.value).collect();
        let host = Address::Hostname("edge.istio-system.svc.cluster.local".into());
        assert_eq!(addresses, [&host, &Address::Ip("1.2.3.4".into())]);
        assert_eq!(gateway.infrastructure_labels["team"], "edge");
        let listener = &gateway.listeners[0];
        assert_eq!(show(listener.hostname.as_ref()), "\"*.example.com\" @ 10:5 spec.listeners[0].hostname");
        assert_eq!(show(Some(&listener.port)), "443 @ 11:5 spec.listeners[0].port");
        let tls = listener.tls.as_ref().unwrap();
        assert_eq!(tls.certificates[0].value, (Some("certs".into()), "cert".into()));
        let Some(FromNamespaces::Selector(selector)) = listener.from.as_ref().map(|from| &from.value) else {
            panic!("a selector")
        };
        assert_eq!(selector.labels["env"], "prod");
        assert_eq!(listener.kinds[0].value, ("gateway.networking.k8s.io".into(), "HTTPRoute".into()));
        assert_eq!(mesh.unmodelled.iter().filter(|gap| gap.at.path.to_string().starts_with("spec")).count(), 0);
    }
}

#[test]
fn an_http_route_is_read_to_its_leaves() {
    let text = object(
        "v1",
        "HTTPRoute",
        "  parentRefs: [{name: edge, namespace: istio-system, sectionName: https, port: 443}, {kind: Service, group: '', name: a}]
  hostnames: [a.example.com]
  rules:
  - name: first
    matches:
    - path: {type: Exact, value: /a}
      method: GET
      headers: [{name: X-User, value: jason}, {name: x-user, value: other}, {name: v, type: RegularExpression, value: 'a.*'}]
      queryParams: [{name: q, value: '1'}]
    - path: {value: /b}
    filters:
    - type: RequestHeaderModifier
      requestHeaderModifier: {set: [{name: a, value: b}], add: [{name: c, value: d}], remove: [e]}
    - type: RequestMirror
      requestMirror: {backendRef: {name: shadow, port: 80}, fraction: {numerator: 1, denominator: 8}}
    - type: URLRewrite
      urlRewrite: {hostname: new.example, path: {type: ReplacePrefixMatch, replacePrefixMatch: /c}}
    backendRefs:
    - {name: a, port: 80, weight: 3}
    - {name: b, namespace: other, port: 81}
    timeouts: {request: 10s, backendRequest: 2s}
    retry: {codes: [503], attempts: 3, backoff: 100ms}
  - filters:
    - type: RequestRedirect
      requestRedirect: {scheme: https, port: 8443, statusCode: 301, path: {type: ReplaceFullPath, replaceFullPath: /x}}
  - filters: [{type: ExtensionRef, extensionRef: {group: g.example, kind: K, name: ext}}]
",
    );
    let mesh = mesh_of(&text);
    let route = &mesh.gateway_api.http_routes[0];
    assert_eq!((route.parents[0].namespace("shop"), route.parents[1].kind()), ("istio-system", "Service"));
    assert_eq!((route.parents[1].group(), route.parents[1].namespace("shop")), ("", "shop"));
    let rule = &route.rules[0];
    assert_eq!(place(&rule.at), "8:5 spec.rules[0]");
    let first = &rule.matches[0];
    assert_eq!(show(first.path.as_ref()), "Exact(\"/a\") @ 10:7 spec.rules[0].matches[0].path");
    assert_eq!(first.headers.len(), 2, "G-4: of one name the first counts");
    assert_eq!(rule.matches[1].path.as_ref().unwrap().value, PathMatch::Prefix("/b".into()));
    let FilterAction::RequestHeaders(headers) = &rule.filters[0].action else { panic!("headers") };
    assert_eq!((headers.set.len(), headers.add.len(), headers.remove.len()), (1, 1, 1));
    let FilterAction::Mirror(backend, ppm) = &rule.filters[1].action else { panic!("a mirror") };
    assert_eq!((backend.name.value.as_str(), *ppm), ("shadow", 125_000));
    let rewrite = Rewrite { hostname: Some("new.example".into()), path: Some(PathModifier::Prefix("/c".into())) };
    assert_eq!(rule.filters[2].action, FilterAction::Rewrite(rewrite));
    assert_eq!((rule.backends[0].weight(), rule.backends[1].weight()), (3, 1), "G-5: the default is 1");
    assert_eq!(show(rule.backends[1].port.as_ref()), "81 @ 24:35 spec.rules[0].backendRefs[1].port");
    assert_eq!(show(rule.request_timeout.as_ref()), "Nanos(10000000000) @ 25:16 spec.rules[0].timeouts.request");
    let retry = rule.retry.as_ref().unwrap();
    assert_eq!((retry.codes[0].value, retry.attempts.as_ref().unwrap().value), (503, 3));
    let redirect = Redirect {
        scheme: Some("https".into()),
        port: Some(8443),
        status: Some(301),
        path: Some(PathModifier::Full("/x".into())),
        ..Redirect::default()
    };
    assert_eq!(route.rules[1].filters[0].action, FilterAction::Redirect(redirect));
    assert!(matches!(&route.rules[2].filters[0].action, FilterAction::Extension(group, ..) if group == "g.example"));
}

#[test]
fn other_kinds_are_read() {
    let grpc = object(
        "v1",
        "GRPCRoute",
        "  parentRefs: [{name: e}]\n  rules: [{matches: [{method: {service: s, method: m}}], backendRefs: [{name: a, port: 1}]}]\n",
    );
    let mesh = mesh_of(&grpc);
    let route = &mesh.gateway_api.http_routes[0];
    let rpc = route.rules[0].matches[0].rpc.as_ref().unwrap();
    assert_eq!((route.is_grpc(), rpc.value.service.as_deref(), rpc.value.regex), (true, Some("s"), false));
    let tcp = object("v1alpha2", "TCPRoute", "  rules: [{backendRefs: [{name: a, port: 1}]}]\n");
    assert_eq!(mesh_of(&tcp).gateway_api.connection_routes[0].rules[0].backends.len(), 1);
    let grant = object(
        "v1beta1",
        "ReferenceGrant",
        "  from: [{group: gateway.networking.k8s.io, kind: HTTPRoute, namespace: a}]\n  to: [{group: '', kind: Service}]\n",
    );
    let mesh = mesh_of(&grant);
    assert_eq!(mesh.gateway_api.grants[0].to[0].value, (String::new(), "Service".into(), None));
    let tls = object(
        "v1",
        "BackendTLSPolicy",
        "  targetRefs: [{group: '', kind: Service, name: a, sectionName: https}]\n  validation: {hostname: a.example, wellKnownCACertificates: System}\n",
    );
    let mesh = mesh_of(&tls);
    let policy = &mesh.gateway_api.backend_tls[0];
    assert_eq!(policy.targets[0].section.as_ref().unwrap().value, "https");
    let budget = object(
        "v1alpha1",
        "XBackendTrafficPolicy",
        "  targetRefs: [{group: '', kind: Service, name: a}]\n  retryConstraint: {budget: {percent: 25, interval: 5s}, minRetryRate: {count: 3, interval: 1s}}\n",
    );
    let mesh = mesh_of(&budget.replace("networking.k8s", "networking.x-k8s"));
    let constraint = mesh.gateway_api.backend_traffic[0].budget.as_ref().unwrap();
    assert_eq!(constraint.percent.as_ref().unwrap().value, 25);
    let set =
        object("v1", "ListenerSet", "  parentRef: {name: e}\n  listeners: [{name: a, port: 80, protocol: HTTP}]\n");
    for text in [set.clone(), set.replace("networking.k8s", "networking.x-k8s").replace("ListenerSet", "XListenerSet")]
    {
        assert_eq!(mesh_of(&text).gateway_api.listener_sets[0].listeners.len(), 1);
    }
}

#[test]
fn an_ingress_is_read_to_its_leaves() {
    let text = "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata: {name: i, namespace: shop}
spec:
  ingressClassName: istio
  defaultBackend: {service: {name: web, port: {number: 80}}}
  rules:
  - host: a.example.com
    http: {paths: [{path: /a, pathType: Prefix, backend: {service: {name: a, port: {name: http}}}}]}
  tls: [{hosts: [a.example.com], secretName: cert}]
";
    let mesh = mesh_of(text);
    let ingress = &mesh.gateway_api.ingresses[0];
    assert_eq!(show(ingress.class.as_ref()), "\"istio\" @ 5:3 spec.ingressClassName");
    let path = &ingress.rules[0].paths[0];
    assert_eq!(show(path.path_type.as_ref()), "\"Prefix\" @ 9:31 spec.rules[0].http.paths[0].pathType");
    assert_eq!(path.backend.port.as_ref().unwrap().value, IngressPort::Name("http".into()));
    assert_eq!(ingress.tls[0].hosts[0].value, "a.example.com");
}

#[test]
fn what_is_wrong_is_said() {
    let rows = [
        ("  rulez: []\n", "MP0103 5:3 `rulez` is not a field of HTTPRoute `spec`"),
        ("  rules: [{timeouts: {request: 1.5s}}]\n", "MP0105 5:23 `request` is a duration of Gateway API, and `1.5s`"),
        ("  rules: [{timeouts: {request: 1s, backendRequest: 2s}}]\n", "MP0105 5:36 `backendRequest` is longer"),
        (
            "  rules: [{matches: [{path: {type: Prefix, value: /a}}]}]\n",
            "MP0105 5:30 `spec.rules[0].matches[0].path.type` d",
        ),
        ("  rules: [{matches: [{path: {value: a}}]}]\n", "MP0105 5:23 `a` is no path"),
        ("  rules: [{retry: {codes: [200]}}]\n", "MP0105 5:28 `200` is no status of an error"),
        ("  parentRefs: [{namespace: x}]\n", "MP0105 5:16 `spec.parentRefs[0]` lacks `name`"),
    ];
    for (spec, expect) in rows {
        let mut found = findings(&read(&object("v1", "HTTPRoute", spec)));
        found.retain(|line| line.starts_with("MP01"));
        assert!(found.len() == 1 && found[0].starts_with(expect), "{expect}\n{found:?}");
    }
}
