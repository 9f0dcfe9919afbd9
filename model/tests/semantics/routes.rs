//! Which routes a client has: T01 to T21, and the rules of the chapter on VirtualServices.

use crate::fixture::{DEFAULT_RETRIES, cluster, mesh, outbound, routes};

/// A VirtualService `shop/NAME` with this spec in flow style.
fn vs(name: &str, spec: &str) -> String {
    vs_in("shop", name, spec)
}

fn vs_in(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
    )
}

/// The reviews service's subsets v1 and v2.
const SUBSETS: &str = "apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {name: subsets, namespace: shop}
spec: {host: reviews, subsets: [{name: v1, labels: {version: v1}}, {name: v2, labels: {version: v2}}]}
---
";

const V1: &str = "{destination: {host: reviews, subset: v1}}";
const V2: &str = "{destination: {host: reviews, subset: v2}}";

fn check(case: &str, manifests: &str, client: &str, expect: &[String]) {
    let lowered = outbound(&mesh(manifests), client, "shop/reviews", 9080);
    assert_eq!(routes(&lowered, "reviews.shop~"), expect, "{case}");
}

fn to(matches: &str, clusters: &str) -> String {
    format!("{matches} -> {clusters} timeout=0s {DEFAULT_RETRIES}")
}

const BARE: &str = "outbound|9080||reviews.shop~";
const TO_V1: &str = "outbound|9080|v1|reviews.shop~";
const TO_V2: &str = "outbound|9080|v2|reviews.shop~";

#[test]
fn t01_without_a_virtual_service_there_is_the_default_route() {
    check("T01", "", "shop/web", &[to("prefix /", BARE)]);
    let lowered = outbound(&mesh(""), "shop/web", "shop/reviews", 9080);
    let hosts = &lowered.config.listeners[0].route_config.virtual_hosts[0];
    assert_eq!(hosts.domains, ["reviews.shop.svc.cluster.local", "reviews", "reviews.shop", "reviews.shop.svc"]);
    assert_eq!(cluster(&lowered, BARE).hosts.len(), 4);
    // H-3: from another namespace the bare name does not resolve.
    let lowered = outbound(&mesh(""), "ops/ops", "shop/reviews", 9080);
    let hosts = &lowered.config.listeners[0].route_config.virtual_hosts[0];
    assert_eq!(hosts.domains, ["reviews.shop.svc.cluster.local", "reviews.shop", "reviews.shop.svc"]);
}

#[test]
fn t02_to_t06_timeouts_and_retries() {
    let on = "connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes";
    for (case, rule, expect) in [
        (
            "T02 RT-10 RT-13",
            "retries: {attempts: 3, perTryTimeout: 2s}, timeout: 5s",
            format!("timeout=5s retries=3 on {on} [] per-try=2s"),
        ),
        ("T03 RT-13 attempts omitted", "retries: {perTryTimeout: 2s}, timeout: 5s", "timeout=5s no-retries".to_owned()),
        ("T04 RT-13", "retries: {attempts: 0}", "timeout=0s no-retries".to_owned()),
        ("RT-10 zero is none", "timeout: 0s", format!("timeout=0s {DEFAULT_RETRIES}")),
        (
            "T06 RT-14",
            "retries: {attempts: 2, retryOn: '5xx, 503'}",
            "timeout=0s retries=2 on 5xx,retriable-status-codes [503]".to_owned(),
        ),
        (
            "RT-14 an empty list is the default one",
            "retries: {attempts: 1, retryOn: ''}",
            format!("timeout=0s retries=1 on {on} []"),
        ),
    ] {
        let rule = format!("{{hosts: [reviews], http: [{{route: [{{destination: {{host: reviews}}}}], {rule}}}]}}");
        check(case, &vs("r", &rule), "shop/web", &[format!("prefix / -> {BARE} {expect}")]);
    }
}

#[test]
fn t05_the_meshs_retries_count_as_a_whole_or_not_at_all() {
    let config = "apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data:
  mesh: |
    defaultHttpRetryPolicy: {attempts: 5, retryOn: '503,reset'}
---
";
    let own = vs("r", "{hosts: [reviews], http: [{route: [{destination: {host: reviews}}], retries: {attempts: 1}}]}");
    let without = vs("r", "{hosts: [reviews], http: [{route: [{destination: {host: reviews}}]}]}");
    let from_mesh = "timeout=0s retries=5 on reset,retriable-status-codes [503]";
    check("T05", &format!("{config}{without}"), "shop/web", &[format!("prefix / -> {BARE} {from_mesh}")]);
    check("VS-12", config, "shop/web", &[format!("prefix / -> {BARE} {from_mesh}")]);
    let own_expect = DEFAULT_RETRIES.replace("retries=2", "retries=1");
    check("RT-12", &format!("{config}{own}"), "shop/web", &[format!("prefix / -> {BARE} timeout=0s {own_expect}")]);
}

#[test]
fn t07_to_t09_virtual_services_that_do_not_apply() {
    let rule = "http: [{route: [{destination: {host: reviews.shop.svc.cluster.local}}], timeout: 1s}]";
    for (case, manifest) in [
        ("T07 VS-1 bound to a gateway only", vs("r", &format!("{{hosts: [reviews], gateways: [ingress], {rule}}}"))),
        ("T08 H-1 a host of its own namespace", vs_in("ops", "r", &format!("{{hosts: [reviews], {rule}}}"))),
        ("T09 H-1 half-qualified", vs("r", &format!("{{hosts: [reviews.shop], {rule}}}"))),
        (
            "VS-2 exported to nobody else",
            vs_in("ops", "r", &format!("{{hosts: [reviews.shop.svc.cluster.local], exportTo: ['.'], {rule}}}")),
        ),
        ("VS-2 exported nowhere", vs("r", &format!("{{hosts: [reviews], exportTo: ['~'], {rule}}}"))),
    ] {
        check(case, &manifest, "shop/web", &[to("prefix /", BARE)]);
    }
    let both = vs("r", &format!("{{hosts: [reviews], gateways: [ingress, mesh], {rule}}}"));
    check("VS-1 with the mesh", &both, "shop/web", &[to("prefix /", BARE).replace("timeout=0s", "timeout=1s")]);
    let wildcard = vs("r", &format!("{{hosts: ['*.shop.svc.cluster.local'], {rule}}}"));
    check("VS-7 wildcard", &wildcard, "shop/web", &[to("prefix /", BARE).replace("timeout=0s", "timeout=1s")]);
    let exact = vs("s", "{hosts: [reviews], http: [{route: [{destination: {host: ratings}}]}]}");
    let expect = [to("prefix /", "outbound|9080||ratings.shop~")];
    check("VS-7 an exact host wins over a wildcard", &format!("{wildcard}{exact}"), "shop/web", &expect);
}

#[test]
fn t10_to_t12_of_several_virtual_services_one_counts() {
    let all = |subset: &str| {
        format!("hosts: [reviews], http: [{{route: [{{destination: {{host: reviews, subset: {subset}}}}}]}}]")
    };
    let aged = |name: &str, created: &str, spec: &str| {
        vs(name, spec).replace("namespace: shop}", &format!("namespace: shop, creationTimestamp: '{created}'}}"))
    };
    let (early, late) = ("2024-01-01T10:00:00Z", "2024-01-01T11:00:00Z");
    let a = |created| aged("a", created, &format!("{{{}}}", all("v1")));
    let b = |created| aged("b", created, &format!("{{{}}}", all("v2")));
    let by_name =
        format!("{SUBSETS}{}{}", vs("b", &format!("{{{}}}", all("v2"))), vs("a", &format!("{{{}}}", all("v1"))));
    check("T10 the older one", &format!("{SUBSETS}{}{}", a(early), b(late)), "shop/web", &[to("prefix /", TO_V1)]);
    check(
        "T10 the older one, turned",
        &format!("{SUBSETS}{}{}", a(late), b(early)),
        "shop/web",
        &[to("prefix /", TO_V2)],
    );
    check("T10 0.4 by name", &by_name, "shop/web", &[to("prefix /", TO_V1)]);
    let private = aged("p", late, &format!("{{exportTo: ['.'], {}}}", all("v2")));
    let both = format!("{SUBSETS}{}{private}", a(early));
    check("T11 VS-3 private first", &both, "shop/web", &[to("prefix /", TO_V2)]);
    check("T11 elsewhere the public one", &both, "ops/ops", &[to("prefix /", TO_V1)]);
    let for_mobile = aged(
        "a",
        early,
        &format!(
            "{{hosts: [reviews], http: [{{match: [{{uri: {{prefix: /m}}, sourceLabels: {{app: mobile}}}}], route: [{V1}]}}]}}"
        ),
    );
    let both = format!("{SUBSETS}{for_mobile}{}", b(late));
    check("T12 VS-5 the next one where the first has no routes", &both, "shop/web", &[to("prefix /", TO_V2)]);
    check("T12 no falling through", &both, "shop/mobile", &[to("prefix /m", TO_V1)]);
}

#[test]
fn t13_to_t16_matches() {
    for (case, http, expect) in [
        (
            "T13 RT-1 nothing after a rule without match",
            format!(
                "[{{match: [{{uri: {{prefix: /api}}}}], route: [{V1}]}}, {{route: [{V1}]}}, {{match: [{{uri: {{exact: /health}}}}], route: [{V2}]}}]"
            ),
            vec![to("prefix /api", TO_V1), to("prefix /", TO_V1)],
        ),
        (
            "T14 RT-2 a prefix of bytes",
            format!(
                "[{{match: [{{uri: {{prefix: /foo}}}}], route: [{V1}]}}, {{match: [{{uri: {{prefix: /foobar}}}}], route: [{V2}]}}]"
            ),
            vec![to("prefix /foo", TO_V1), to("prefix /foobar", TO_V2)],
        ),
        (
            "T15 blocks are alternatives",
            format!("[{{match: [{{uri: {{exact: /a}}}}, {{headers: {{x-v: {{exact: '2'}}}}}}], route: [{V1}]}}]"),
            vec![to("exact /a", TO_V1), to("prefix / x-v=2", TO_V1)],
        ),
        (
            "T16 RT-3 without a value",
            format!("[{{match: [{{withoutHeaders: {{x-beta: {{exact: '1'}}}}}}], route: [{V1}]}}]"),
            vec![to("prefix / !x-beta?=1", TO_V1)],
        ),
        (
            "T16 RT-3 without the header",
            format!("[{{match: [{{withoutHeaders: {{X-Beta: {{}}}}}}], route: [{V1}]}}]"),
            vec![to("prefix / !x-beta present", TO_V1)],
        ),
        (
            "RT-3 RT-4 pseudo-headers, presence, query, case",
            format!(
                "[{{match: [{{uri: {{regex: '/a.*'}}, ignoreUriCase: true, method: {{exact: GET}}, authority: {{prefix: rev}}, scheme: {{exact: http}}, headers: {{x-any: {{}}, x-star: {{regex: '*'}}}}, queryParams: {{q: {{exact: '1'}}, r: {{regex: '*'}}}}}}], route: [{V1}]}}]"
            ),
            vec![to(
                "regex /a.* any-case :method=GET :authority=rev* :scheme=http x-any present x-star present ?q=1 ?r",
                TO_V1,
            )],
        ),
        (
            "RT-5 the port that is dialled",
            format!(
                "[{{match: [{{port: 80}}], route: [{V1}]}}, {{match: [{{port: 9080}}], route: [{V2}]}}, {{route: [{V1}]}}]"
            ),
            vec![to("prefix /", TO_V2)],
        ),
        (
            "RT-5 gateways in place of labels",
            format!(
                "[{{match: [{{gateways: [edge]}}], route: [{V1}]}}, {{match: [{{gateways: [mesh], sourceLabels: {{app: other}}}}], route: [{V2}]}}]"
            ),
            vec![to("prefix /", TO_V2)],
        ),
        (
            "RT-5 the client's namespace",
            format!(
                "[{{match: [{{sourceNamespace: ops}}], route: [{V1}]}}, {{match: [{{sourceNamespace: shop}}], route: [{V2}]}}]"
            ),
            vec![to("prefix /", TO_V2)],
        ),
        (
            "RT-7 answers of the proxy itself",
            "[{match: [{uri: {exact: /r}}], redirect: {uri: /x, redirectCode: 302}}, {directResponse: {status: 410}}]"
                .to_owned(),
            vec!["exact /r redirect 302".to_owned(), "prefix / answer 410".to_owned()],
        ),
    ] {
        let manifest = format!("{SUBSETS}{}", vs("r", &format!("{{hosts: [reviews], http: {http}}}")));
        check(case, &manifest, "shop/web", &expect);
    }
}

#[test]
fn t17_to_t19_weights_and_clusters_that_do_not_exist() {
    let weighted = |v1: &str, v2: &str| {
        format!(
            "[{{destination: {{host: reviews, subset: v1}}{v1}}}, {{destination: {{host: reviews, subset: v2}}{v2}}}]"
        )
    };
    for (case, route, expect) in [
        ("T17", weighted(", weight: 1", ", weight: 3"), vec![to("prefix /", &format!("{TO_V1}:1 {TO_V2}:3"))]),
        ("T17 none for zero", weighted(", weight: 90", ", weight: 0"), vec![to("prefix /", &format!("{TO_V1}:90"))]),
        (
            "T17 a single one",
            "[{destination: {host: reviews, subset: v2}, weight: 0}]".to_owned(),
            vec![to("prefix /", TO_V2)],
        ),
        ("T18 omitted is zero", weighted("", ", weight: 10"), vec![to("prefix /", &format!("{TO_V2}:10"))]),
        ("T17 all zero is refused", weighted(", weight: 0", ", weight: 0"), vec![to("prefix /", BARE)]),
        (
            "T19 unknown subset",
            "[{destination: {host: reviews, subset: v3}}]".to_owned(),
            vec![to("prefix /", "outbound|9080|v3|reviews.shop~")],
        ),
        (
            "RT-8 unknown host",
            "[{destination: {host: nobody}}]".to_owned(),
            vec![to("prefix /", "outbound|9080||nobody.shop~")],
        ),
        (
            "RT-8 the only port",
            "[{destination: {host: payments.pay.svc.cluster.local}}]".to_owned(),
            vec![to("prefix /", "outbound|80||payments.pay~")],
        ),
        (
            "RT-8 a port that is not there",
            "[{destination: {host: reviews, port: {number: 1}}}]".to_owned(),
            vec![to("prefix /", "outbound|1||reviews.shop~")],
        ),
    ] {
        let manifest = format!("{SUBSETS}{}", vs("r", &format!("{{hosts: [reviews], http: [{{route: {route}}}]}}")));
        check(case, &manifest, "shop/web", &expect);
    }
}

#[test]
fn t19_a_missing_cluster_is_missing_and_said_so() {
    use meshproof_model::Missing;
    for (destination, expect) in [
        ("{host: reviews, subset: v3}", Some(Missing::Subset)),
        ("{host: nobody}", Some(Missing::Host)),
        ("{host: reviews, port: {number: 1}}", Some(Missing::Port)),
        ("{host: reviews, subset: v1}", None),
    ] {
        let rule = format!("{{hosts: [reviews], http: [{{route: [{{destination: {destination}}}]}}]}}");
        let lowered = outbound(&mesh(&format!("{SUBSETS}{}", vs("r", &rule))), "shop/web", "shop/reviews", 9080);
        let origin = &lowered.provenance.listeners[0].routes[0].destinations[0];
        assert_eq!(origin.missing, expect, "{destination}");
        let exists = lowered.config.clusters.iter().any(|cluster| cluster.name == origin.cluster);
        assert_eq!(exists, expect.is_none(), "{destination}");
    }
}

#[test]
fn t20_t21_faults_and_mirrors() {
    use meshproof_proxy::config::{AbortWith::HttpStatus, FilterOverride};
    let fault = |fault: &str| {
        let rule =
            format!("{{hosts: [reviews], http: [{{fault: {fault}, route: [{{destination: {{host: reviews}}}}]}}]}}");
        let lowered = outbound(&mesh(&vs("r", &rule)), "shop/web", "shop/reviews", 9080);
        let overrides = &lowered.config.listeners[0].route_config.virtual_hosts[0].routes[0].filter_overrides;
        let [FilterOverride::Fault(Some(fault))] = overrides.as_slice() else { panic!("{overrides:?}") };
        let delay = fault.delay.as_ref().map(|delay| (delay.fixed.unwrap().as_millis(), delay.percentage.numerator));
        (delay, fault.abort.as_ref().map(|abort| (abort.with, abort.percentage.numerator)))
    };
    // A percentage that is absent is none (`RT-18`).
    assert_eq!(fault("{delay: {fixedDelay: 5s}}"), (Some((5000, 0)), None));
    assert_eq!(fault("{delay: {fixedDelay: 5s, percentage: {value: 10}}}"), (Some((5000, 100_000)), None));
    let abort = (None, Some((HttpStatus(503), 1_000_000)));
    assert_eq!(fault("{abort: {httpStatus: 503, percentage: {value: 100}}}"), abort);

    let mirror = |rest: &str| {
        format!("{{hosts: [reviews], http: [{{route: [{V1}], mirror: {{host: reviews, subset: v2}}{rest}}}]}}")
    };
    for (case, rest, expect) in [
        ("T21", ", mirrorPercentage: {value: 25}", format!(" mirror={TO_V2}:250000ppm")),
        ("RT-19 absent is all", "", format!(" mirror={TO_V2}:1000000ppm")),
        ("RT-19 zero is none", ", mirrorPercentage: {value: 0}", String::new()),
    ] {
        let manifest = format!("{SUBSETS}{}", vs("r", &mirror(rest)));
        check(case, &manifest, "shop/web", &[to("prefix /", TO_V1) + &expect]);
    }
}

#[test]
fn vs11_delegates() {
    let root = |rest: &str| {
        vs(
            "r",
            &format!(
                "{{hosts: [reviews], http: [{{match: [{{uri: {{prefix: /a}}}}], delegate: {{name: d, namespace: pay}}{rest}}}, {{route: [{V1}]}}]}}"
            ),
        )
    };
    let delegate = |http: &str| vs_in("pay", "d", &format!("{{http: {http}}}"));
    let to_pay = "outbound|80||payments.pay~";
    let route = "route: [{destination: {host: payments}}]";
    for (case, manifests, expect) in [
        (
            "the delegate's rules under the root's match",
            format!(
                "{}{}",
                root(", timeout: 3s"),
                delegate(&format!("[{{match: [{{uri: {{prefix: /a/b}}}}], {route}, timeout: 1s}}, {{{route}}}]"))
            ),
            vec![
                to("prefix /a/b", to_pay).replace("timeout=0s", "timeout=1s"),
                to("prefix /a", to_pay).replace("timeout=0s", "timeout=3s"),
                to("prefix /", TO_V1),
            ],
        ),
        (
            "a rule that the root excludes is dropped",
            format!("{}{}", root(""), delegate(&format!("[{{match: [{{uri: {{prefix: /b}}}}], {route}}}]"))),
            vec![to("prefix /", TO_V1)],
        ),
        ("a missing delegate drops its rule", root(""), vec![to("prefix /", TO_V1)]),
        (
            "one that is not exported too",
            format!("{}{}", root(""), vs_in("pay", "d", &format!("{{exportTo: ['.'], http: [{{{route}}}]}}"))),
            vec![to("prefix /", TO_V1)],
        ),
    ] {
        check(case, &format!("{SUBSETS}{manifests}"), "shop/web", &expect);
    }
}

#[test]
fn rt20_rt21_rewrites_and_headers() {
    let rule = "{hosts: [reviews], http: [{match: [{uri: {prefix: /a}}], rewrite: {uri: /b, authority: other}, headers: {request: {set: {X-A: '1'}, add: {x-b: '2'}, remove: [X-C]}, response: {remove: [x-d]}}, route: [{destination: {host: reviews}, headers: {request: {set: {x-e: '3'}}}}]}]}";
    let lowered = outbound(&mesh(&vs("r", rule)), "shop/web", "shop/reviews", 9080);
    let route = &lowered.config.listeners[0].route_config.virtual_hosts[0].routes[0];
    let meshproof_proxy::config::Action::Forward(action) = &route.action else { panic!("{route:?}") };
    assert_eq!((action.prefix_rewrite.as_deref(), action.host_rewrite.as_deref()), (Some("/b"), Some("other")));
    let added: Vec<(&str, &str)> =
        route.headers.request_to_add.iter().map(|h| (h.name.as_str(), h.value.as_str())).collect();
    assert_eq!(added, [("x-a", "1"), ("x-b", "2"), ("x-e", "3")]);
    assert_eq!(
        (route.headers.request_to_remove.as_slice(), route.headers.response_to_remove.as_slice()),
        (&["x-c".to_owned()][..], &["x-d".to_owned()][..])
    );
}

#[test]
fn sc3_hosts_that_nobody_defines() {
    let lowered = outbound(&mesh(""), "shop/web", "shop/reviews", 9080);
    assert_eq!(routes(&lowered, "*"), ["prefix / -> PassthroughCluster|9080 timeout=0s no-retries"]);
    let config = "apiVersion: v1
kind: ConfigMap
metadata: {name: istio, namespace: istio-system}
data: {mesh: 'outboundTrafficPolicy: {mode: REGISTRY_ONLY}'}
";
    let lowered = outbound(&mesh(config), "shop/web", "shop/reviews", 9080);
    assert_eq!(routes(&lowered, "*"), ["prefix / answer 502"]);
}

#[test]
fn a_client_without_proxy_has_no_policy() {
    let rule = vs("r", "{hosts: [reviews], http: [{route: [{destination: {host: reviews}}], timeout: 1s}]}");
    let lowered = outbound(&mesh(&rule), "legacy/client", "shop/reviews", 9080);
    assert_eq!(routes(&lowered, "*"), [format!("prefix  -> {BARE} timeout=0s no-retries")]);
    // What Kubernetes does: any pod, without limits, retries and mutual TLS.
    let to = crate::fixture::cluster(&lowered, BARE);
    assert_eq!((&to.lb_policy, to.tls.is_none()), (&meshproof_proxy::config::LbPolicy::Random, true), "K-9");
}

#[test]
fn ef1_hedging_is_for_the_clients_and_hosts_that_a_patch_selects() {
    let filter = |name: &str, namespace: &str, selector: &str, host: &str, on: bool| {
        format!(
            "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec:\n  \
             workloadSelector: {{labels: {selector}}}\n  configPatches:\n  - applyTo: HTTP_ROUTE\n    match: {{context: SIDECAR_OUTBOUND{host}}}\n    \
             patch: {{operation: MERGE, value: {{route: {{hedge_policy: {{hedge_on_per_try_timeout: {on}}}}}}}}}\n---\n"
        )
    };
    let of = |name: &str| format!(", routeConfiguration: {{vhost: {{name: '{name}'}}}}");
    let reviews = of("reviews.shop.svc.cluster.local:9080");
    for (case, manifests, expect) in [
        ("all of a namespace", filter("a", "shop", "{}", "", true), true),
        ("of the root namespace", filter("a", "istio-system", "{}", "", true), true),
        ("another namespace", filter("a", "pay", "{}", "", true), false),
        ("another workload", filter("a", "shop", "{app: ratings}", "", true), false),
        ("one host", filter("a", "shop", "{}", &reviews, true), true),
        ("another host", filter("a", "shop", "{}", &of("ratings.shop.svc.cluster.local:9080"), true), false),
        (
            "the last one counts",
            filter("a", "shop", "{}", "", true) + &filter("b", "shop", "{}", &reviews, false),
            false,
        ),
    ] {
        let lowered = outbound(&mesh(&manifests), "shop/web", "shop/reviews", 9080);
        assert_eq!(routes(&lowered, "reviews.shop")[0].contains("hedged"), expect, "{case}");
    }
}
