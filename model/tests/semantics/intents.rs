//! The same intents, each in the words of Istio, of Gateway API and of Linkerd, decide the same.
//!
//! A client `web` calls `reviews:9080`; behind it are the services `reviews-v1` and `reviews-v2`. Each intent is asked
//! for what it is about only: what the dialects do by default differs.

use std::fmt::Write as _;

use meshproof_import::{ImportOptions, import};
use meshproof_model::{Lowered, Mesh, Origin, Sources, Transport};
use meshproof_proxy::{
    ListenerId, Peer, RequestHead, RequestKey, Table,
    config::{Action, AppendAction, ClusterSpecifier, Route, RouteAction},
};

use crate::fixture::{checked, service, workload};

/// What is asked.
#[derive(Clone, Copy, Debug)]
enum About {
    /// Which services get the request, by weight, or the status that the proxy answers.
    To,
    /// The limit on the whole response.
    Timeout,
    /// How often a 503 is tried again.
    Retries,
    /// The answer's status and where it leads.
    Redirect,
    /// Headers that are set on the request.
    Headers,
    /// What the upstream sees as the path.
    Path,
    /// Who gets copies, of which share.
    Mirrors,
    /// Whether the connection to `reviews-v1` is mutual TLS.
    Mtls,
}

/// An intent, and what it comes to.
struct Intent {
    name: &'static str,
    istio: &'static str,
    gateway_api: &'static str,
    /// Absent: Linkerd has no words for it.
    linkerd: Option<&'static str>,
    /// `METHOD PATH`, headers, what is asked, and the answer.
    asked: &'static [(&'static str, &'static [(&'static str, &'static str)], About, &'static str)],
}

/// Services and workloads of namespace `shop`, which has these labels and annotations.
fn base(namespace: &str) -> String {
    let mut text = format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: shop, {namespace}}}\n");
    for (name, selector) in [
        ("web", "app: web"),
        ("reviews", "app: reviews"),
        ("reviews-v1", "app: reviews, version: v1"),
        ("reviews-v2", "app: reviews, version: v2"),
    ] {
        let _ = write!(
            text,
            "---\napiVersion: v1\nkind: Service\nmetadata: {{name: {name}, namespace: shop, annotations: {{}}}}\nspec: {{selector: {{{selector}}}, ports: [{{name: http, port: 9080}}]}}\n"
        );
        if name != "reviews" {
            let _ = write!(
                text,
                "---\napiVersion: apps/v1\nkind: Deployment\nmetadata: {{name: {name}, namespace: shop}}\nspec:\n  replicas: 2\n  template:\n    metadata: {{labels: {{{selector}}}}}\n    spec: {{serviceAccountName: {name}, containers: [{{name: app, image: app, ports: [{{containerPort: 9080}}]}}]}}\n"
            );
        }
    }
    text
}

fn mesh_of(namespace: &str, manifests: &str) -> Mesh {
    let mut sources = Sources::default();
    sources.add("base.yaml", base(namespace));
    sources.add("intent.yaml", manifests);
    let imported = import(&sources, &ImportOptions::default());
    assert_eq!(imported.findings, [], "{manifests}");
    imported.mesh
}

/// A VirtualService for `reviews`.
fn istio(http: &str) -> String {
    if http.starts_with("apiVersion") {
        return http.to_owned();
    }
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: i, namespace: shop}}\nspec:\n  hosts: [reviews]\n  http:\n{http}"
    )
}

/// An HTTPRoute for `reviews`.
fn gateway_api(rules: &str) -> String {
    if rules.starts_with("apiVersion") {
        return rules.to_owned();
    }
    format!(
        "apiVersion: gateway.networking.k8s.io/v1\nkind: HTTPRoute\nmetadata: {{name: i, namespace: shop}}\nspec:\n  parentRefs: [{{group: '', kind: Service, name: reviews, port: 9080}}]\n  rules:\n{rules}"
    )
}

/// An HTTPRoute of Linkerd's own for `reviews`.
fn linkerd(rules: &str) -> String {
    if rules.starts_with("apiVersion") {
        return rules.to_owned();
    }
    format!(
        "apiVersion: policy.linkerd.io/v1beta3\nkind: HTTPRoute\nmetadata: {{name: i, namespace: shop}}\nspec:\n  parentRefs: [{{group: '', kind: Service, name: reviews, port: 9080}}]\n  rules:\n{rules}"
    )
}

const STRICT: &str = "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {name: default, namespace: shop}\nspec: {mtls: {mode: STRICT}}\n";

const V1: &str = "100% reviews-v1";
const V2: &str = "100% reviews-v2";

static INTENTS: &[Intent] = &[
    Intent {
        name: "testers go to the new version",
        istio: "  - {match: [{headers: {x-tester: {exact: 'yes'}}}], route: [{destination: {host: reviews-v2}}]}
  - {route: [{destination: {host: reviews-v1}}]}
",
        gateway_api: "  - {matches: [{headers: [{name: x-tester, value: 'yes'}]}], backendRefs: [{name: reviews-v2, port: 9080}]}
  - {backendRefs: [{name: reviews-v1, port: 9080}]}
",
        linkerd: Some(
            "  - {matches: [{headers: [{name: x-tester, value: 'yes'}]}], backendRefs: [{name: reviews-v2, port: 9080}]}
  - {backendRefs: [{name: reviews-v1, port: 9080}]}
",
        ),
        asked: &[
            ("GET /", &[("x-tester", "yes")], About::To, V2),
            ("GET /", &[("x-tester", "no")], About::To, V1),
            ("GET /", &[], About::To, V1),
        ],
    },
    Intent {
        name: "one part of the paths goes to the new version",
        istio: "  - {match: [{uri: {prefix: /new/}}], route: [{destination: {host: reviews-v2}}]}
  - {route: [{destination: {host: reviews-v1}}]}
",
        gateway_api: "  - {matches: [{path: {type: PathPrefix, value: /new}}], backendRefs: [{name: reviews-v2, port: 9080}]}
  - {backendRefs: [{name: reviews-v1, port: 9080}]}
",
        linkerd: Some(
            "  - {matches: [{path: {type: PathPrefix, value: /new}}], backendRefs: [{name: reviews-v2, port: 9080}]}
  - {backendRefs: [{name: reviews-v1, port: 9080}]}
",
        ),
        asked: &[("GET /new/x", &[], About::To, V2), ("GET /newer", &[], About::To, V1), ("GET /", &[], About::To, V1)],
    },
    Intent {
        name: "writes go to the new version",
        istio: "  - {match: [{method: {exact: POST}}], route: [{destination: {host: reviews-v2}}]}
  - {route: [{destination: {host: reviews-v1}}]}
",
        gateway_api: "  - {matches: [{method: POST}], backendRefs: [{name: reviews-v2, port: 9080}]}
  - {backendRefs: [{name: reviews-v1, port: 9080}]}
",
        linkerd: Some(
            "  - {matches: [{method: POST}], backendRefs: [{name: reviews-v2, port: 9080}]}
  - {backendRefs: [{name: reviews-v1, port: 9080}]}
",
        ),
        asked: &[("POST /", &[], About::To, V2), ("GET /", &[], About::To, V1)],
    },
    Intent {
        name: "a tenth goes to the new version",
        istio: "  - {route: [{destination: {host: reviews-v1}, weight: 90}, {destination: {host: reviews-v2}, weight: 10}]}
",
        gateway_api: "  - {backendRefs: [{name: reviews-v1, port: 9080, weight: 90}, {name: reviews-v2, port: 9080, weight: 10}]}
",
        linkerd: Some(
            "apiVersion: linkerd.io/v1alpha2
kind: ServiceProfile
metadata: {name: reviews.shop.svc.cluster.local, namespace: shop}
spec:
  dstOverrides:
  - {authority: 'reviews-v1.shop.svc.cluster.local:9080', weight: 90}
  - {authority: 'reviews-v2.shop.svc.cluster.local:9080', weight: 10}
",
        ),
        asked: &[("GET /", &[], About::To, "90% reviews-v1, 10% reviews-v2")],
    },
    Intent {
        name: "nobody waits longer than two seconds",
        istio: "  - {timeout: 2s, route: [{destination: {host: reviews-v1}}]}
",
        gateway_api: "  - {timeouts: {request: 2s}, backendRefs: [{name: reviews-v1, port: 9080}]}
",
        linkerd: Some(
            "apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: {name: i, namespace: shop, annotations: {timeout.linkerd.io/request: 2s}}
spec:
  parentRefs: [{group: '', kind: Service, name: reviews}]
  rules: [{backendRefs: [{name: reviews-v1, port: 9080}]}]
",
        ),
        asked: &[("GET /", &[], About::Timeout, "2s"), ("GET /", &[], About::To, V1)],
    },
    Intent {
        name: "a 503 is tried again, twice at most",
        istio: "  - {retries: {attempts: 2, retryOn: 'connect-failure,503'}, route: [{destination: {host: reviews-v1}}]}
",
        gateway_api: "  - {retry: {attempts: 2, codes: [503]}, backendRefs: [{name: reviews-v1, port: 9080}]}
",
        linkerd: Some(
            "apiVersion: policy.linkerd.io/v1beta3
kind: HTTPRoute
metadata: {name: i, namespace: shop, annotations: {retry.linkerd.io/http: '503', retry.linkerd.io/limit: '2'}}
spec:
  parentRefs: [{group: '', kind: Service, name: reviews}]
  rules: [{backendRefs: [{name: reviews-v1, port: 9080}]}]
",
        ),
        asked: &[("GET /", &[], About::Retries, "2")],
    },
    Intent {
        name: "the old path leads to the new one",
        istio: "  - {match: [{uri: {exact: /old}}], redirect: {uri: /new, redirectCode: 301}}
  - {route: [{destination: {host: reviews-v1}}]}
",
        gateway_api: "  - matches: [{path: {type: Exact, value: /old}}]
    filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /new}, statusCode: 301}}]
  - {backendRefs: [{name: reviews-v1, port: 9080}]}
",
        linkerd: Some(
            "  - matches: [{path: {type: Exact, value: /old}}]
    filters: [{type: RequestRedirect, requestRedirect: {path: {type: ReplaceFullPath, replaceFullPath: /new}, statusCode: 301}}]
  - {backendRefs: [{name: reviews-v1, port: 9080}]}
",
        ),
        asked: &[("GET /old", &[], About::Redirect, "301 /new"), ("GET /older", &[], About::To, V1)],
    },
    Intent {
        name: "requests say through which version they went",
        istio: "  - {headers: {request: {set: {x-version: v1}}}, route: [{destination: {host: reviews-v1}}]}
",
        gateway_api: "  - filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-version, value: v1}]}}]
    backendRefs: [{name: reviews-v1, port: 9080}]
",
        linkerd: Some(
            "  - filters: [{type: RequestHeaderModifier, requestHeaderModifier: {set: [{name: x-version, value: v1}]}}]
    backendRefs: [{name: reviews-v1, port: 9080}]
",
        ),
        asked: &[("GET /", &[], About::Headers, "x-version=v1"), ("GET /", &[], About::To, V1)],
    },
    Intent {
        name: "only the known paths are answered",
        istio: "  - {match: [{uri: {prefix: /api/}}, {uri: {exact: /health}}], route: [{destination: {host: reviews-v1}}]}
",
        gateway_api: "  - {matches: [{path: {type: PathPrefix, value: /api/}}, {path: {type: Exact, value: /health}}], backendRefs: [{name: reviews-v1, port: 9080}]}
",
        linkerd: Some(
            "  - {matches: [{path: {type: PathPrefix, value: /api/}}, {path: {type: Exact, value: /health}}], backendRefs: [{name: reviews-v1, port: 9080}]}
",
        ),
        asked: &[
            ("GET /api/x", &[], About::To, V1),
            ("GET /health", &[], About::To, V1),
            ("GET /admin", &[], About::To, "404"),
        ],
    },
    Intent {
        name: "whoever calls shows a certificate",
        istio: STRICT,
        gateway_api: STRICT,
        linkerd: Some(
            "apiVersion: policy.linkerd.io/v1beta3
kind: Server
metadata: {name: http, namespace: shop}
spec: {podSelector: {}, port: 9080, accessPolicy: all-authenticated}
",
        ),
        asked: &[("GET /", &[], About::Mtls, "yes")],
    },
    Intent {
        name: "the new version does not know the old prefix",
        istio: "  - {match: [{uri: {prefix: /v2/}}], rewrite: {uri: /}, route: [{destination: {host: reviews-v2}}]}
",
        gateway_api: "  - matches: [{path: {value: /v2}}]
    filters: [{type: URLRewrite, urlRewrite: {path: {type: ReplacePrefixMatch, replacePrefixMatch: /}}}]
    backendRefs: [{name: reviews-v2, port: 9080}]
",
        linkerd: None,
        asked: &[("GET /v2/a/b", &[], About::Path, "/a/b"), ("GET /v2/a", &[], About::To, V2)],
    },
    Intent {
        name: "a quarter is copied to the new version",
        istio: "  - {route: [{destination: {host: reviews-v1}}], mirror: {host: reviews-v2}, mirrorPercentage: {value: 25}}
",
        gateway_api: "  - filters: [{type: RequestMirror, requestMirror: {backendRef: {name: reviews-v2, port: 9080}, percent: 25}}]
    backendRefs: [{name: reviews-v1, port: 9080}]
",
        linkerd: None,
        asked: &[("GET /", &[], About::Mirrors, "25% reviews-v2"), ("GET /", &[], About::To, V1)],
    },
];

/// The route that takes a request; `None`: the proxy answers 404.
fn route<'l>(lowered: &'l Lowered, request: &str, headers: &[(&str, &str)]) -> Option<&'l Route> {
    let (method, path) = request.split_once(' ').unwrap();
    let table = Table::compile(&lowered.config).unwrap();
    let (peer, key, authority) = (Peer::default(), RequestKey::default(), "reviews:9080");
    let head = RequestHead { key, method, authority, path, headers, tokens: &[], peer, http2: false };
    let found = table.route(ListenerId::new(0), &head, 0)?;
    let hosts = &lowered.config.listeners[0].route_config.virtual_hosts;
    hosts.iter().flat_map(|host| &host.routes).nth(found.id.index())
}

/// The services behind a route's clusters, by their share.
fn shares(lowered: &Lowered, action: &RouteAction) -> String {
    let clusters = match &action.cluster {
        ClusterSpecifier::Cluster(name) => vec![(name.as_str(), 100)],
        ClusterSpecifier::Weighted(several) => several.iter().map(|c| (c.name.as_str(), c.weight)).collect(),
        ClusterSpecifier::Header(name) => panic!("by header {name}"),
    };
    let total: u32 = clusters.iter().map(|(_, weight)| weight).sum();
    let share = |(name, weight): &(&str, u32)| format!("{}% {}", weight * 100 / total, serves(lowered, name));
    clusters.iter().map(share).collect::<Vec<_>>().join(", ")
}

/// The workload behind all hosts of a cluster.
fn serves(lowered: &Lowered, cluster: &str) -> String {
    let cluster = lowered.config.clusters.iter().find(|known| known.name == cluster).unwrap();
    let mut names: Vec<&str> = cluster.hosts.iter().map(|host| host.name.split(['/', '#']).nth(1).unwrap()).collect();
    names.dedup();
    names.join("+")
}

fn answer(mesh: &Mesh, lowered: &Lowered, request: &str, headers: &[(&str, &str)], about: About) -> String {
    if let About::Mtls = about {
        let to = service(mesh, "shop/reviews-v1");
        let endpoint = workload(mesh, "shop/reviews-v1");
        let transport = mesh.client_transport(Some(workload(mesh, "shop/web")), to, 9080, endpoint);
        return if transport.value == Transport::IstioMutual { "yes" } else { "no" }.to_owned();
    }
    let Some(route) = route(lowered, request, headers) else { return "404".to_owned() };
    match (&route.action, about) {
        (Action::Redirect(redirect), About::Redirect) => {
            format!("{} {}", redirect.status.unwrap_or(301), redirect.path.as_deref().unwrap_or("-"))
        }
        (Action::Forward(action), _) => match about {
            About::To => shares(lowered, action),
            About::Timeout => action.timeout.map_or("unset".to_owned(), |timeout| timeout.to_string()),
            About::Retries => {
                let retries = action.retry.as_ref().filter(|retry| {
                    let by_code = retry.retriable_status_codes.contains(&503);
                    let has = |condition: &str| retry.retry_on.iter().any(|known| known == condition);
                    (by_code && has("retriable-status-codes")) || has("5xx") || has("gateway-error")
                });
                retries.and_then(|retry| retry.num_retries).unwrap_or(0).to_string()
            }
            About::Headers => {
                let set = route.headers.request_to_add.iter();
                let set = set.filter(|header| header.action == AppendAction::OverwriteIfExistsOrAdd);
                set.map(|header| format!("{}={}", header.name, header.value)).collect::<Vec<_>>().join(" ")
            }
            About::Path => rewritten(route, action, request.split_once(' ').unwrap().1),
            About::Mirrors => {
                let share = |m: &meshproof_proxy::config::Mirror| m.fraction.numerator / 10_000;
                let copy = |m| format!("{}% {}", share(m), serves(lowered, &m.cluster));
                action.mirrors.iter().map(copy).collect::<Vec<_>>().join(", ")
            }
            About::Redirect | About::Mtls => "-".to_owned(),
        },
        (other, _) => format!("{other:?}"),
    }
}

/// What the upstream sees as the path: by the matched prefix, or by a pattern at the path's beginning.
fn rewritten(route: &Route, action: &RouteAction, path: &str) -> String {
    use meshproof_proxy::config::PathMatcher;
    if let (Some(new), PathMatcher::Prefix(prefix) | PathMatcher::PathSeparatedPrefix(prefix)) =
        (&action.prefix_rewrite, &route.matches.path)
    {
        return format!("{new}{}", path.strip_prefix(prefix.as_str()).unwrap());
    }
    let Some(rewrite) = &action.regex_rewrite else { return path.to_owned() };
    let literal = rewrite.pattern.trim_start_matches('^').trim_end_matches("/?").replace('\\', "");
    let rest = path.strip_prefix(literal.as_str()).unwrap().trim_start_matches('/');
    format!("{}{rest}", rewrite.substitution)
}

fn check(intent: &Intent, dialect: &str, namespace: &str, manifests: &str) {
    let mesh = mesh_of(namespace, manifests);
    let lowered = checked(mesh.outbound(workload(&mesh, "shop/web"), &[(service(&mesh, "shop/reviews"), 9080)]));
    for (request, headers, about, expect) in intent.asked {
        let found = answer(&mesh, &lowered, request, headers, *about);
        assert_eq!(found, *expect, "{} in {dialect}: {request} {headers:?} {about:?}", intent.name);
    }
}

#[test]
fn the_same_intents_decide_the_same_in_every_dialect() {
    const ISTIO: &str = "labels: {istio-injection: enabled}";
    const LINKERD: &str = "annotations: {linkerd.io/inject: enabled}";
    for intent in INTENTS {
        check(intent, "Istio", ISTIO, &istio(intent.istio));
        check(intent, "Gateway API", ISTIO, &gateway_api(intent.gateway_api));
        if let Some(manifests) = intent.linkerd {
            check(intent, "Linkerd", LINKERD, &linkerd(manifests));
        }
    }
    assert!(INTENTS.iter().filter(|intent| intent.linkerd.is_some()).count() >= 10);
}

#[test]
fn every_written_value_has_its_place() {
    let timeout = INTENTS.iter().find(|intent| intent.name.starts_with("nobody waits")).unwrap();
    let mesh = mesh_of("labels: {istio-injection: enabled}", &gateway_api(timeout.gateway_api));
    let lowered = mesh.outbound(workload(&mesh, "shop/web"), &[(service(&mesh, "shop/reviews"), 9080)]);
    let origin = &lowered.provenance.listeners[0].routes[0];
    let Origin::Written(at) = &origin.timeout else { panic!("written") };
    assert_eq!((at.line, at.path.to_string()), (7, "spec.rules[0].timeouts.request".to_owned()));
    assert_eq!(origin.retries, Origin::Default("RT-11"));
}
