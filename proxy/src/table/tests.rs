#![allow(clippy::unwrap_used)]

use proptest::prelude::*;

use super::{Access, Resolution, RouteDoes, Table};
use crate::{
    ListenerId, Peer, RequestHead, RequestKey,
    config::{
        Action, Cluster, ClusterSpecifier, Config, DirectResponse, Filter, FilterOverride, HeaderMatcher,
        HeaderMutations, HeaderValueMatcher, Listener, PathMatcher, Permission, Principal, QueryMatcher,
        QueryValueMatcher, Rbac, RbacAction, RbacPolicy, RbacRules, RegexRewrite, RequireTls, Route, RouteAction,
        RouteMatch, StringMatcher, VirtualHost, WeightedCluster,
    },
    request::Request,
    table::PathMatch,
};

type Headers = &'static [(&'static str, &'static str)];

fn route(name: &str, matches: RouteMatch) -> Route {
    Route {
        name: name.to_owned(),
        matches,
        action: Action::DirectResponse(DirectResponse { status: 200, body: String::new() }),
        headers: HeaderMutations::default(),
        filter_overrides: Vec::new(),
    }
}

fn config(domains: &[&str], routes: Vec<Route>) -> Config {
    let host = VirtualHost {
        name: "vh".to_owned(),
        domains: domains.iter().map(|&domain| domain.to_owned()).collect(),
        routes,
        ..VirtualHost::default()
    };
    let mut listener = Listener::default();
    listener.route_config.virtual_hosts.push(host);
    Config { listeners: vec![listener], clusters: Vec::new(), zone: None }
}

fn head<'a>(authority: &'a str, path: &'a str, headers: &'a [(&'a str, &'a str)]) -> RequestHead<'a> {
    RequestHead {
        key: RequestKey::default(),
        method: "GET",
        authority,
        path,
        headers,
        tokens: &[],
        peer: Peer::default(),
        http2: false,
    }
}

fn load(table: &Table, head: &RequestHead<'_>) -> Request {
    let mut request = Request::default();
    request.load(table.listener(ListenerId::new(0)), head).unwrap();
    request
}

/// The name of the route, or what there is instead.
fn decide(table: &Table, request: &Request, draw: u64) -> String {
    let routes = &table.listener(ListenerId::new(0)).routes;
    match routes.route(request, draw) {
        Resolution::Route(route) => routes.entry(route).name.to_string(),
        Resolution::RequireTls => "require_tls".to_owned(),
        Resolution::NotFound => "not_found".to_owned(),
    }
}

#[test]
fn the_first_route_that_matches_decides() {
    let matches = |path| RouteMatch { path, ..RouteMatch::prefix("") };
    let own = str::to_owned;
    let routes = vec![
        route("exact", matches(PathMatcher::Path(own("/exact")))),
        route("retry", matches(PathMatcher::Prefix(own("/retry")))),
        route("retry1", matches(PathMatcher::Prefix(own("/retry1")))),
        route("dev", matches(PathMatcher::PathSeparatedPrefix(own("/api/dev")))),
        route("regex", matches(PathMatcher::Regex(own("/a.*z")))),
        route("case", RouteMatch { case_sensitive: false, ..matches(PathMatcher::Path(own("/Foo"))) }),
        route("late", matches(PathMatcher::Path(own("/retry/x")))),
        route("q", matches(PathMatcher::Prefix(own("/q")))),
    ];
    let table = Table::compile(&config(&["*"], routes)).unwrap();
    let rows = [
        ("/exact", "exact"),
        ("/exact?x=1", "exact"),
        ("/exact?", "exact"),
        ("/exact/", "not_found"),
        ("/EXACT", "not_found"),
        ("/retry1", "retry"),
        ("/retry/x", "retry"),
        ("/api/dev", "dev"),
        ("/api/dev?x=1", "dev"),
        ("/api/dev/", "dev"),
        ("/api/dev/x", "dev"),
        ("/api/device", "not_found"),
        ("/abcz", "regex"),
        ("/abc?z", "not_found"),
        ("/az?y", "regex"),
        ("/FOO", "case"),
        ("/foo/", "not_found"),
        ("/%71", "not_found"),
        ("/q", "q"),
    ];
    for (path, expect) in rows {
        assert_eq!(decide(&table, &load(&table, &head("svc", path, &[])), 0), expect, "{path}");
    }
}

#[test]
fn conditions_are_all_asked() {
    let header = |name: &str, value| HeaderMatcher {
        name: name.to_owned(),
        value,
        invert: false,
        treat_missing_as_empty: false,
    };
    let exact = |value: &str| HeaderValueMatcher::Text(StringMatcher::exact(value));
    let any = || RouteMatch::prefix("/");
    let routes = vec![
        route("half", RouteMatch { runtime_fraction: Some((50, 100)), ..RouteMatch::prefix("/half") }),
        route("grpc", RouteMatch { grpc: true, ..any() }),
        route("post", RouteMatch { headers: vec![header(":method", exact("POST"))], ..any() }),
        route(
            "query",
            RouteMatch {
                query: vec![
                    QueryMatcher {
                        name: "a".to_owned(),
                        value: QueryValueMatcher::Text(StringMatcher::regex("[0-9]+")),
                    },
                    QueryMatcher { name: "b".to_owned(), value: QueryValueMatcher::Present(true) },
                ],
                ..any()
            },
        ),
        route("both", RouteMatch { headers: vec![header("x-a", exact("1")), header("x-b", exact("2"))], ..any() }),
        route("one", RouteMatch { headers: vec![header("x-a", exact("1"))], ..any() }),
        route("rest", any()),
    ];
    let table = Table::compile(&config(&["*"], routes)).unwrap();
    let rows: &[(&str, Headers, u64, &str)] = &[
        ("/half", &[], 149, "half"),
        ("/half", &[], 150, "rest"),
        ("/", &[("content-type", "application/grpc")], 0, "grpc"),
        ("/", &[("content-type", "application/grpc+proto")], 0, "grpc"),
        ("/", &[("content-type", "application/grpc-web")], 0, "rest"),
        ("/?a=12&b", &[], 0, "query"),
        ("/?a=12", &[], 0, "rest"),
        ("/?b&a=3", &[], 0, "query"),
        ("/", &[("x-a", "1"), ("x-b", "2")], 0, "both"),
        ("/", &[("x-a", "1")], 0, "one"),
        ("/", &[("x-b", "2")], 0, "rest"),
    ];
    for (path, headers, draw, expect) in rows {
        assert_eq!(decide(&table, &load(&table, &head("svc", path, headers)), *draw), *expect, "{path} {headers:?}");
    }
}

#[test]
fn a_virtual_host_may_require_tls() {
    let mut all = config(&["all.test"], vec![route("r", RouteMatch::prefix("/only"))]);
    let hosts = &mut all.listeners[0].route_config.virtual_hosts;
    hosts[0].require_tls = RequireTls::All;
    hosts.push(VirtualHost {
        domains: vec!["external.test".to_owned()],
        require_tls: RequireTls::ExternalOnly,
        ..hosts[0].clone()
    });
    all.listeners[0].connection_manager.internal_cidrs = vec!["10.0.0.0/8".to_owned()];
    let table = Table::compile(&all).unwrap();
    let rows: &[(&str, &str, Headers, &str)] = &[
        ("all.test", "/only", &[], "require_tls"),
        ("all.test", "/none", &[], "require_tls"),
        ("all.test", "/only", &[("x-forwarded-proto", "https")], "r"),
        ("external.test", "/only", &[], "require_tls"),
        ("external.test", "/only", &[("x-forwarded-for", "10.1.1.1")], "r"),
        ("external.test", "/only", &[("x-forwarded-for", "8.8.8.8")], "require_tls"),
    ];
    for (authority, path, headers, expect) in rows {
        let got = decide(&table, &load(&table, &head(authority, path, headers)), 0);
        assert_eq!(got, *expect, "{authority} {path} {headers:?}");
    }
}

#[test]
fn ports_belong_to_the_authority_unless_they_are_ignored() {
    let rows = [
        ("api.test", "r", "r"),
        ("API.test", "r", "r"),
        ("api.test:80", "not_found", "r"),
        ("api.test:", "not_found", "r"),
        ("api.test:abc", "not_found", "r"),
        ("[::1]", "r", "r"),
        ("[::1]:80", "not_found", "r"),
        ("x.test", "not_found", "not_found"),
    ];
    for (authority, with_port, without) in rows {
        for (ignore, expect) in [(false, with_port), (true, without)] {
            let mut config = config(&["api.test", "[::1]"], vec![route("r", RouteMatch::prefix("/"))]);
            config.listeners[0].route_config.ignore_port_in_host_matching = ignore;
            let table = Table::compile(&config).unwrap();
            let got = decide(&table, &load(&table, &head(authority, "/", &[])), 0);
            assert_eq!(got, expect, "{authority}, ignored: {ignore}");
        }
    }
}

#[test]
fn the_stream_draw_chooses_among_weighted_clusters() {
    let forward = |cluster| Action::Forward(Box::new(RouteAction::to(cluster)));
    let weighted =
        |name: &str, weight| WeightedCluster { name: name.to_owned(), weight, headers: HeaderMutations::default() };
    let weights = vec![weighted("s", 1), weighted("none", 0), weighted("gone", 2), weighted("t", 3)];
    let mut config = config(
        &["*"],
        vec![
            Route {
                action: forward(ClusterSpecifier::Weighted(weights)),
                ..route("weighted", RouteMatch::prefix("/w"))
            },
            Route {
                action: forward(ClusterSpecifier::Header("X-Cluster".to_owned())),
                ..route("header", RouteMatch::prefix("/"))
            },
        ],
    );
    config.clusters = vec![Cluster::new("s", Vec::new()), Cluster::new("t", Vec::new())];
    let table = Table::compile(&config).unwrap();
    let choice = |path, headers, draw| {
        let request = load(&table, &head("svc", path, headers));
        let routes = &table.listener(ListenerId::new(0)).routes;
        let entry = routes.entry(routes.route(&request, draw).route().unwrap());
        let choice = entry.cluster(&request, draw).unwrap();
        (choice.cluster, choice.weighted)
    };
    let (s, t) = (table.cluster("s"), table.cluster("t"));
    let expect =
        [(s, Some(0)), (None, Some(2)), (None, Some(2)), (t, Some(3)), (t, Some(3)), (t, Some(3)), (s, Some(0))];
    for (draw, expect) in (0..).zip(expect) {
        assert_eq!(choice("/w", &[], draw), expect, "{draw}");
    }
    assert_eq!(choice("/", &[("x-cluster", "t")], 0), (t, None));
    assert_eq!(choice("/", &[("x-cluster", "u")], 0), (None, None));
    assert_eq!(choice("/", &[], 0), (None, None));
}

fn some_path() -> impl Strategy<Value = PathMatcher> {
    let text = "(/[ab]{0,2}){0,3}";
    prop_oneof![
        text.prop_map(PathMatcher::Prefix),
        text.prop_map(PathMatcher::Path),
        "(/[ab]{1,2}){1,2}".prop_map(PathMatcher::PathSeparatedPrefix),
        Just(PathMatcher::Regex("/a.*".to_owned())),
        Just(PathMatcher::UriTemplate("/a/*".to_owned())),
    ]
}

fn some_match() -> impl Strategy<Value = RouteMatch> {
    (some_path(), any::<bool>(), prop::option::of(0..3_u32), prop::option::of("[12]")).prop_map(
        |(path, case_sensitive, fraction, value)| RouteMatch {
            path,
            case_sensitive,
            headers: value
                .map(|value| HeaderMatcher {
                    name: "x-a".to_owned(),
                    value: HeaderValueMatcher::Text(StringMatcher::exact(value)),
                    invert: false,
                    treat_missing_as_empty: false,
                })
                .into_iter()
                .collect(),
            query: Vec::new(),
            grpc: false,
            runtime_fraction: fraction.map(|numerator| (numerator, 2)),
        },
    )
}

proptest! {
    #[test]
    fn the_index_finds_what_a_plain_loop_finds(
        matches in prop::collection::vec(some_match(), 0..12),
        paths in prop::collection::vec("/[abAB/]{0,6}", 1..8),
        value in "[12]",
        draw in 0..2_u64,
    ) {
        let routes = matches.iter().zip(0..).map(|(matches, n): (_, u32)| route(&n.to_string(), matches.clone()));
        let table = Table::compile(&config(&["*"], routes.collect())).unwrap();
        for path in &paths {
            let headers = [("x-a", value.as_str())];
            let request = load(&table, &head("svc", path, &headers));
            let by_loop = matches.iter().position(|matches| {
                let path_match = PathMatch::new(&matches.path, matches.case_sensitive).unwrap();
                path_match.matches(path)
                    && matches.runtime_fraction.is_none_or(|(numerator, _)| draw < u64::from(numerator))
                    && matches.headers.iter().all(|matcher| {
                        matcher.value == HeaderValueMatcher::Text(StringMatcher::exact(value.as_str()))
                    })
            });
            let expect = by_loop.map_or_else(|| "not_found".to_owned(), |index| index.to_string());
            prop_assert_eq!(decide(&table, &request, draw), expect, "{}", path);
        }
    }
}

#[test]
fn a_table_answers_questions() {
    let deny = |path: &str| Rbac {
        rules: Some(RbacRules {
            action: RbacAction::Deny,
            policies: vec![RbacPolicy {
                name: "no".to_owned(),
                permissions: vec![Permission::Path(StringMatcher::prefix(path))],
                principals: vec![Principal::Any],
            }],
        }),
        shadow_rules: None,
    };
    let forward =
        |cluster: &str| Action::Forward(Box::new(RouteAction::to(ClusterSpecifier::Cluster(cluster.to_owned()))));
    let mut config = config(
        &["svc"],
        vec![
            Route {
                action: forward("s"),
                filter_overrides: vec![FilterOverride::Rbac(None)],
                ..route("free", RouteMatch::prefix("/free"))
            },
            Route {
                action: forward("t"),
                filter_overrides: vec![FilterOverride::Rbac(Some(deny("/lost")))],
                ..route("lost", RouteMatch::prefix("/lost"))
            },
            route("rest", RouteMatch::prefix("/r")),
        ],
    );
    config.listeners[0].name = "inbound".to_owned();
    config.listeners[0].filters = vec![Filter::Rbac(deny("/"))];
    config.clusters = vec![Cluster::new("s", Vec::new())];
    let table = Table::compile(&config).unwrap();
    let listener = table.listener_named("inbound").unwrap();
    let s = table.cluster("s").unwrap();
    let denied = |status, details: &str| Access::Denied { status, details: details.to_owned() };
    let no = || denied(403, "rbac_access_denied_matched_policy[no]");
    let rows = [
        ("svc", "/free", Some(("free", RouteDoes::Forward { cluster: s, name: "s", weighted: None })), Access::Allowed),
        ("svc", "/lost", Some(("lost", RouteDoes::NoCluster(503))), no()),
        ("svc", "/rest", Some(("rest", RouteDoes::DirectResponse(200))), no()),
        ("svc", "/none", None, no()),
        ("other", "/free", None, no()),
        ("svc", "*", None, denied(400, "")),
        ("svc", "http://svc?q", None, denied(404, "absolute_path_rejected")),
        ("", "/", None, denied(400, "missing_host_header")),
    ];
    for (authority, path, expect, access) in rows {
        let head = head(authority, path, &[]);
        let got = table.route(listener, &head, 0);
        assert_eq!(got.map(|route| (route.name, route.does)), expect, "{path}");
        assert_eq!(got.map(|route| route.virtual_host), expect.map(|_| "vh"));
        assert_eq!(table.authorize(listener, &head, 0), access, "{path}");
    }
    assert_eq!(table.listener_named("outbound"), None);
}

#[test]
fn every_fault_is_reported_with_its_place() {
    let matches = |path| RouteMatch { path, ..RouteMatch::prefix("") };
    let mut bad = config(
        &["a", "A"],
        vec![
            route("regex", matches(PathMatcher::Regex("(".to_owned()))),
            route("segments", matches(PathMatcher::PathSeparatedPrefix("/a/".to_owned()))),
            route("template", matches(PathMatcher::UriTemplate("/**/**".to_owned()))),
            Route {
                action: Action::DirectResponse(DirectResponse { status: 600, body: String::new() }),
                ..route("status", RouteMatch::prefix("/"))
            },
            Route {
                action: Action::Forward(Box::new(RouteAction::to(ClusterSpecifier::Weighted(Vec::new())))),
                ..route("weights", RouteMatch::prefix("/"))
            },
            Route {
                action: Action::Forward(Box::new(RouteAction {
                    prefix_rewrite: Some("/x".to_owned()),
                    regex_rewrite: Some(RegexRewrite { pattern: "a".to_owned(), substitution: "b".to_owned() }),
                    ..RouteAction::to(ClusterSpecifier::Cluster("c".to_owned()))
                })),
                ..route("conflict", RouteMatch::prefix("/"))
            },
        ],
    );
    bad.listeners[0].name = "in".to_owned();
    bad.listeners[0].connection_manager.internal_cidrs = vec!["10/8".to_owned()];
    bad.listeners[0].route_config.virtual_hosts.push(VirtualHost::default());
    bad.clusters = vec![Cluster::new("c", Vec::new()), Cluster::new("c", Vec::new())];
    let found: Vec<_> = Table::compile(&bad).unwrap_err().iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(found.join("\n"), @"
    the cluster `c` is there already
    listener `in`: `10/8` is not a CIDR block such as `10.0.0.0/8`
    listener `in`, virtual host `vh`, route `regex`: `(` is not a regular expression: unclosed group
    listener `in`, virtual host `vh`, route `segments`: `/a/` is not a prefix of whole segments: it starts with `/`, does not end with it, and has no query
    listener `in`, virtual host `vh`, route `template`: `/**/**` is not a path template
    listener `in`, virtual host `vh`, route `status`: the status 600 is not allowed here
    listener `in`, virtual host `vh`, route `weights`: the sum of the weights is 0, which is not in 1 to 4294967295
    listener `in`, virtual host `vh`, route `conflict`: `prefix_rewrite` and `regex_rewrite` exclude each other
    listener `in`, virtual host ``: there is no domain
    listener `in`: the domain `a` is there already
    ");
}
