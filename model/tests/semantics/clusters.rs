//! What clients do for a host: T22 to T32, and the rules of the chapter on DestinationRules.

use meshproof_model::{IstioVersion, Mesh};
use meshproof_proxy::config::{Action, Cluster, LbPolicy, OutlierDetection};

use crate::fixture::{cluster, limits, mesh, outbound, workload};

const BARE: &str = "outbound|9080||reviews.shop~";

fn dr(name: &str, spec: &str) -> String {
    dr_in("shop", name, spec)
}

fn dr_in(namespace: &str, name: &str, spec: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {name}, namespace: {namespace}}}\nspec: {spec}\n---\n"
    )
}

/// Routes that name both subsets, so that their clusters exist.
const BOTH: &str = "apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {name: both, namespace: shop}
spec:
  hosts: [reviews]
  http:
  - match: [{uri: {prefix: /1}}]
    route: [{destination: {host: reviews, subset: v1}}]
  - match: [{uri: {prefix: /2}}]
    route: [{destination: {host: reviews, subset: v2}}]
  - route: [{destination: {host: reviews}}]
---
";

fn of(manifests: &str, client: &str, name: &str) -> Cluster {
    cluster(&outbound(&mesh(manifests), client, "shop/reviews", 9080), name).clone()
}

#[test]
fn t01_defaults_are_explicit() {
    let lowered = outbound(&mesh(""), "shop/web", "shop/reviews", 9080);
    let found = cluster(&lowered, BARE);
    assert_eq!(limits(found), "");
    assert_eq!(found.connect_timeout.map(|timeout| timeout.to_string()).as_deref(), Some("10s"));
    assert!(matches!(found.lb_policy, LbPolicy::LeastRequest(_)));
    assert_eq!(found.outlier_detection, None);
    assert_eq!(found.common_lb.healthy_panic_threshold.map(meshproof_proxy::Percent::ppm), Some(0), "DR-19");
    assert_eq!(found.transport_matches.len(), 2);
    let hosts: Vec<(&str, &str)> = found.hosts.iter().map(|h| (h.name.as_str(), h.address.as_str())).collect();
    let names: Vec<&str> = hosts.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["shop/reviews-v1#0", "shop/reviews-v1#1", "shop/reviews-v2#0", "shop/reviews-v2#1"]);
    let mut addresses: Vec<&str> = hosts.iter().map(|(_, address)| *address).collect();
    addresses.dedup();
    assert!(
        addresses.len() == 4 && addresses.iter().all(|a| a.starts_with("10.") && a.ends_with(":9080")),
        "{hosts:?}"
    );
}

#[test]
fn t22_to_t24_blocks_replace_blocks() {
    let pool = dr(
        "d",
        "{host: reviews, trafficPolicy: {connectionPool: {http: {http1MaxPendingRequests: 10, http2MaxRequests: 20, maxRetries: 3}}}}",
    );
    assert_eq!(limits(&of(&pool, "shop/web", BARE)), "pending=10 requests=20 retries=3", "T22");
    let zero = dr(
        "d",
        "{host: reviews, trafficPolicy: {connectionPool: {tcp: {maxConnections: 7}, http: {maxRequestsPerConnection: 1, idleTimeout: 30s}}}}",
    );
    let found = of(&zero, "shop/web", BARE);
    assert_eq!(limits(&found), "connections=7");
    assert_eq!(
        (found.max_requests_per_connection, found.idle_timeout.map(|t| t.to_string())),
        (Some(1), Some("30s".to_owned()))
    );

    let subset = dr(
        "d",
        "{host: reviews, trafficPolicy: {connectionPool: {tcp: {maxConnections: 50}}}, subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {connectionPool: {http: {maxRetries: 1}}}}, {name: v2, labels: {version: v2}}]}",
    );
    let manifests = format!("{BOTH}{subset}");
    for (name, expect) in [
        ("outbound|9080|v1|reviews.shop~", "retries=1"),
        ("outbound|9080|v2|reviews.shop~", "connections=50"),
        (BARE, "connections=50"),
    ] {
        assert_eq!(limits(&of(&manifests, "shop/web", name)), expect, "T23 DR-7 {name}");
    }
    let v1 = of(&manifests, "shop/web", "outbound|9080|v1|reviews.shop~");
    assert!(v1.hosts.iter().all(|host| host.name.starts_with("shop/reviews-v1#")) && v1.hosts.len() == 2);

    let port = dr(
        "d",
        "{host: reviews, trafficPolicy: {outlierDetection: {consecutive5xxErrors: 3}, loadBalancer: {simple: RANDOM}, portLevelSettings: [{port: {number: 9080}, connectionPool: {tcp: {maxConnections: 5}}}]}}",
    );
    let found = of(&port, "shop/web", BARE);
    assert_eq!((limits(&found).as_str(), found.outlier_detection.is_none()), ("connections=5", true), "T24 DR-6");
    assert!(matches!(found.lb_policy, LbPolicy::LeastRequest(_)), "T24 DR-6");
    let other = port.replace("number: 9080", "number: 80");
    assert!(of(&other, "shop/web", BARE).outlier_detection.is_some(), "DR-6 another port");
    let both = dr(
        "d",
        "{host: reviews, trafficPolicy: {connectionPool: {tcp: {maxConnections: 50}}, outlierDetection: {interval: 1s}}, subsets: [{name: v1, labels: {version: v1}, trafficPolicy: {loadBalancer: {simple: RANDOM}, portLevelSettings: [{port: {number: 9080}, connectionPool: {http: {maxRetries: 2}}}]}}, {name: v2, labels: {version: v2}}]}",
    );
    let found = of(&format!("{BOTH}{both}"), "shop/web", "outbound|9080|v1|reviews.shop~");
    assert_eq!(
        (limits(&found).as_str(), found.outlier_detection.is_none()),
        ("retries=2", true),
        "DR-7 a subset's port"
    );
    assert!(matches!(found.lb_policy, LbPolicy::LeastRequest(_)), "DR-7 a subset's port");
}

#[test]
fn t25_to_t28_outlier_detection() {
    let detection = |spec: &str| {
        let rule = dr("d", &format!("{{host: reviews, trafficPolicy: {{outlierDetection: {spec}}}}}"));
        let found = of(&rule, "shop/web", BARE);
        let panic = found.common_lb.healthy_panic_threshold.map(|percent| percent.ppm() / 10_000);
        (found.outlier_detection.unwrap(), panic)
    };
    let (found, panic) = detection("{interval: 5s}");
    let expect = OutlierDetection {
        interval: Some(meshproof_model::Nanos::from_secs(5)),
        success_rate: found.success_rate,
        ..OutlierDetection::default()
    };
    assert_eq!((&found, panic), (&expect, Some(0)), "T25: Envoy's defaults of 5, 30 s and 10 % hold");
    assert_eq!(found.success_rate.enforcing, Some(0), "success rates never count");
    assert_eq!(detection("{consecutiveErrors: 2}").0.consecutive_5xx, None, "T26 without effect");
    let (found, _) = detection("{consecutive5xxErrors: 0, consecutiveGatewayErrors: 3}");
    assert_eq!((found.enforcing_consecutive_5xx, found.consecutive_gateway_failure), (Some(0), Some(3)), "T27");
    assert_eq!(found.enforcing_consecutive_gateway_failure, Some(100), "T27");
    let (found, panic) = detection("{maxEjectionPercent: 100, minHealthPercent: 50}");
    assert_eq!((found.max_ejection_percent, panic), (Some(100), Some(50)), "T28");
    let (found, _) = detection("{maxEjectionPercent: 0, consecutiveLocalOriginFailures: 7}");
    assert_eq!((found.max_ejection_percent, found.consecutive_local_origin_failure), (None, None));
    let (found, _) = detection("{splitExternalLocalOriginErrors: true, consecutiveLocalOriginFailures: 7}");
    let local = (found.consecutive_local_origin_failure, found.enforcing_consecutive_local_origin_failure);
    assert_eq!((found.split_external_local_origin_errors, local), (true, (Some(7), Some(100))));
}

#[test]
fn t29_to_t31_whose_rule_counts() {
    let tls_off = dr_in("ops", "a", "{host: '*.shop.svc.cluster.local', trafficPolicy: {tls: {mode: DISABLE}}}");
    let outlier = dr("b", "{host: reviews, trafficPolicy: {outlierDetection: {interval: 5s}}}");
    let both = format!("{tls_off}{outlier}");
    let theirs = of(&both, "ops/ops", BARE);
    assert!(theirs.outlier_detection.is_none() && theirs.transport_matches.is_empty() && theirs.tls.is_none(), "T29");
    assert!(of(&both, "shop/web", BARE).outlier_detection.is_some(), "T29");

    let timeout = |manifests: &str, client: &str| of(manifests, client, BARE).connect_timeout.map(|t| t.to_string());
    let root =
        dr_in("istio-system", "r", "{host: '*.local', trafficPolicy: {connectionPool: {tcp: {connectTimeout: 1s}}}}");
    assert_eq!(timeout(&root, "shop/web").as_deref(), Some("1s"), "T30");
    assert_eq!(timeout(&root, "ops/ops").as_deref(), Some("1s"), "T30");
    let own = dr("l", "{host: reviews, trafficPolicy: {loadBalancer: {simple: RANDOM}}}");
    assert_eq!(timeout(&format!("{root}{own}"), "shop/web").as_deref(), Some("10s"), "T30 DR-2 no inheritance");

    let fourth = dr_in(
        "pay",
        "p",
        "{host: reviews.shop.svc.cluster.local, trafficPolicy: {connectionPool: {tcp: {maxConnections: 5}}}}",
    );
    for (client, expect) in [("shop/web", ""), ("ops/ops", ""), ("pay/payments", "connections=5")] {
        assert_eq!(limits(&of(&fourth, client, BARE)), expect, "T31 DR-1 {client}");
    }
    let private =
        dr("b", "{host: reviews, exportTo: ['.'], trafficPolicy: {connectionPool: {tcp: {maxConnections: 5}}}}");
    for (client, expect) in [("shop/web", "connections=5"), ("ops/ops", "")] {
        assert_eq!(limits(&of(&private, client, BARE)), expect, "DR-5 {client}");
    }
    let wild =
        dr("a", "{host: '*.shop.svc.cluster.local', trafficPolicy: {connectionPool: {tcp: {maxConnections: 1}}}}");
    assert_eq!(limits(&of(&format!("{wild}{private}"), "shop/web", BARE)), "connections=5", "H-4 the exact host");
}

#[test]
fn t32_rules_of_one_host_merge() {
    let first = dr(
        "d1",
        "{host: reviews, trafficPolicy: {loadBalancer: {simple: ROUND_ROBIN}}, subsets: [{name: v1, labels: {version: v1}}]}",
    );
    let second = dr(
        "d2",
        "{host: reviews, trafficPolicy: {outlierDetection: {interval: 5s}}, subsets: [{name: v2, labels: {version: v2}}, {name: v1, labels: {version: none}}]}",
    );
    let manifests = format!("{BOTH}{second}{first}");
    for subset in ["", "v1", "v2"] {
        let found = of(&manifests, "shop/web", &format!("outbound|9080|{subset}|reviews.shop~"));
        assert_eq!(found.lb_policy, LbPolicy::RoundRobin, "T32 {subset}");
        assert!(found.outlier_detection.is_none(), "T32 {subset}");
    }
    assert_eq!(of(&manifests, "shop/web", "outbound|9080|v1|reviews.shop~").hosts.len(), 2, "the first v1 counts");
}

#[test]
fn dr3_dr4_exports_and_selectors() {
    let pool = |n: u32| format!("trafficPolicy: {{connectionPool: {{tcp: {{maxConnections: {n}}}}}}}");
    let general = dr("z", &format!("{{host: reviews, {}}}", pool(1)));
    let selected = dr("a", &format!("{{host: reviews, workloadSelector: {{matchLabels: {{app: web}}}}, {}}}", pool(2)));
    let both = format!("{general}{selected}");
    for (client, expect) in
        [("shop/web", "connections=2"), ("shop/mobile", "connections=1"), ("ops/ops", "connections=1")]
    {
        assert_eq!(limits(&of(&both, client, BARE)), expect, "DR-4 {client}");
    }
    let to_ops = dr("a", &format!("{{host: reviews, exportTo: [ops], {}}}", pool(3)));
    let to_all = dr("b", &format!("{{host: reviews, exportTo: ['*'], {}}}", pool(4)));
    let apart = format!("{to_ops}{to_all}");
    // The wider one is merged into the narrower one, whose policy came first, and stands beside it; the last counts.
    for (client, expect) in [("ops/ops", "connections=4"), ("shop/web", "connections=4")] {
        assert_eq!(limits(&of(&apart, client, BARE)), expect, "DR-3 {client}");
    }
}

#[test]
fn dr14_outlier_detection_prefers_near_endpoints() {
    let zones = |manifests: &str, replica: u32| {
        let mut mesh = mesh(manifests);
        mesh.behaviour.placement.zones = vec!["a".to_owned(), "b".to_owned()];
        let web = crate::fixture::workload(&mesh, "shop/web");
        let reviews = crate::fixture::service(&mesh, "shop/reviews");
        let lowered = meshproof_model::Lowering::new(&mesh).outbound(web, replica, &[(reviews, 9080)]);
        let hosts = &cluster(&lowered, BARE).hosts;
        hosts.iter().map(|host| format!("{}{}", host.locality, host.priority)).collect::<Vec<_>>().join(" ")
    };
    assert_eq!(zones("", 0), "a0 b0 a0 b0", "without outlier detection localities do not count");
    let outlier = |more: &str| {
        dr("d", &format!("{{host: reviews, trafficPolicy: {{outlierDetection: {{interval: 5s}}{more}}}}}"))
    };
    assert_eq!(zones(&outlier(""), 0), "a0 b1 a0 b1");
    assert_eq!(zones(&outlier(""), 1), "a1 b0 a1 b0");
    let off = outlier(", loadBalancer: {localityLbSetting: {enabled: false}}");
    assert_eq!(zones(&off, 0), "a0 b0 a0 b0", "switched off");
}

#[test]
fn dr3_older_versions_merge_whatever_the_exports() {
    let pool = |n: u32| format!("trafficPolicy: {{connectionPool: {{tcp: {{maxConnections: {n}}}}}}}");
    let rules = dr("a", &format!("{{host: reviews, exportTo: [shop, ops], {}}}", pool(3)))
        + &dr("b", &format!("{{host: reviews, exportTo: ['*'], {}}}", pool(4)));
    for (version, expect) in [("1.23", "connections=3"), ("1.24", "connections=4")] {
        let mut mesh = mesh(&rules);
        mesh.settings.istio_version = version.parse().unwrap();
        let lowered = outbound(&mesh, "ops/ops", "shop/reviews", 9080);
        assert_eq!(limits(cluster(&lowered, BARE)), expect, "DR-3 {version}");
    }
}

/// Revisions of the control plane stand side by side: each proxy has the defaults of its own (0.8).
#[test]
fn rt11_a_revision_decides_for_its_proxies() {
    let mut mesh = mesh("");
    let web = workload(&mesh, "shop/web");
    let retries_503 = |mesh: &Mesh, client: &str| {
        let lowered = outbound(mesh, client, "shop/reviews", 9080);
        let hosts = lowered.config.listeners.iter().flat_map(|listener| &listener.route_config.virtual_hosts);
        hosts.flat_map(|host| &host.routes).any(|route| match &route.action {
            Action::Forward(action) => {
                action.retry.as_ref().is_some_and(|retry| retry.retriable_status_codes.contains(&503))
            }
            _ => false,
        })
    };
    assert!(!retries_503(&mesh, "shop/web"));
    mesh.workloads[web.index()].istio_version = IstioVersion::of_revision("1-23-4");
    assert!(retries_503(&mesh, "shop/web") && !retries_503(&mesh, "ops/ops"));
}

#[test]
fn dr9_blocks_that_are_not_written_are_the_meshs() {
    let config = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: istio, namespace: istio-system}\ndata:\n  mesh: |\n    defaultTrafficPolicy: {connectionPool: {tcp: {maxConnections: 7}}, outlierDetection: {interval: 3s}}\n---\n";
    for (case, rule, expect, ejects) in [
        ("nothing is written", String::new(), "connections=7", true),
        (
            "a block takes the place of the mesh's",
            dr("d", "{host: reviews, trafficPolicy: {connectionPool: {http: {maxRetries: 2}}}}"),
            "retries=2",
            true,
        ),
        (
            "beside another block",
            dr("d", "{host: reviews, trafficPolicy: {loadBalancer: {simple: RANDOM}}}"),
            "connections=7",
            true,
        ),
    ] {
        let found = of(&(config.to_owned() + &rule), "shop/web", BARE);
        assert_eq!((limits(&found).as_str(), found.outlier_detection.is_some()), (expect, ejects), "DR-9 {case}");
    }
}

/// The hosts that a client in the first zone sees: locality, priority, the locality's weight.
fn localities(zones: &[&str], manifests: &str) -> String {
    let mut mesh = mesh(manifests);
    mesh.behaviour.placement.zones = zones.iter().map(|zone| (*zone).to_owned()).collect();
    let lowered = outbound(&mesh, "shop/web", "shop/reviews", 9080);
    let found = cluster(&lowered, BARE);
    assert_eq!(found.common_lb.locality_weighted, found.hosts.iter().any(|host| host.locality_weight.is_some()));
    let shown = found.hosts.iter().map(|host| {
        let weight = host.locality_weight.map_or_else(String::new, |weight| format!("*{weight}"));
        format!("{}:{}{weight}", host.locality, host.priority)
    });
    shown.collect::<Vec<_>>().join(" ")
}

#[test]
fn dr14_dr15_localities() {
    let rule = |locality: &str| {
        dr(
            "d",
            &format!(
                "{{host: reviews, trafficPolicy: {{outlierDetection: {{interval: 5s}}, loadBalancer: {{localityLbSetting: {locality}}}}}}}"
            ),
        )
    };
    let share = "distribute: [{from: 'eu/*', to: {'eu/a/*': 80, 'us/*': 20}}, {from: '*', to: {'us/*': 100}}]";
    let labels = "failoverPriority: [version, topology.kubernetes.io/region]";
    for (case, zones, manifests, expect) in [
        ("zones of one region", ["eu/a", "eu/b"], rule("{}"), "eu/a:0 eu/b:1 eu/a:0 eu/b:1"),
        ("regions", ["eu/a", "us/a"], rule("{failover: [{from: eu, to: us}]}"), "eu/a:0 us/a:1 eu/a:0 us/a:1"),
        ("DR-15 shares", ["eu/a", "us/b"], rule(&format!("{{{share}}}")), "eu/a:0*80 us/b:0*20 eu/a:0*80 us/b:0*20"),
        ("DR-15 no share, no traffic", ["eu/a", "eu/c"], rule(&format!("{{{share}}}")), "eu/a:0*80 eu/a:0*80"),
        ("DR-15 for clients elsewhere", ["us/a", "eu/a"], rule(&format!("{{{share}}}")), "us/a:0*100 us/a:0*100"),
        // web has no version, as no endpoint has none: the first label differs everywhere.
        ("DR-15 labels", ["eu/a", "us/a"], rule(&format!("{{{labels}}}")), "eu/a:0 us/a:0 eu/a:0 us/a:0"),
        (
            "DR-15 a label with a value",
            ["eu/a", "us/a"],
            rule("{failoverPriority: [version=v2, topology.kubernetes.io/region]}"),
            "eu/a:2 us/a:2 eu/a:0 us/a:1",
        ),
    ] {
        assert_eq!(localities(&zones, &manifests), expect, "{case}");
    }
    let close = |more: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: reviews, namespace: shop{more}}}\nspec: {{selector: {{app: reviews}}, ports: [{{name: http, port: 9080}}]}}\n---\n"
        )
    };
    let field = close("").replace("ports:", "trafficDistribution: PreferClose, ports:");
    let annotated = close(", annotations: {networking.istio.io/traffic-distribution: PreferClose}");
    for (case, manifests, expect) in [
        ("the field", field.clone(), "eu/a:0 eu/b:1 eu/a:0 eu/b:1"),
        ("the annotation", annotated, "eu/a:0 eu/b:1 eu/a:0 eu/b:1"),
        ("a DestinationRule's setting wins", field + &rule("{enabled: false}"), "eu/a:0 eu/b:0 eu/a:0 eu/b:0"),
    ] {
        assert_eq!(localities(&["eu/a", "eu/b"], &manifests), expect, "K-8 {case}");
    }
    let config = |setting: &str| {
        format!(
            "apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: istio, namespace: istio-system}}\ndata:\n  mesh: |\n    localityLbSetting: {setting}\n---\n"
        )
    };
    let outlier = dr("d", "{host: reviews, trafficPolicy: {outlierDetection: {interval: 5s}}}");
    let off = localities(&["eu/a", "eu/b"], &(config("{enabled: false}") + &outlier));
    assert_eq!(off, "eu/a:0 eu/b:0 eu/a:0 eu/b:0", "DR-14 the mesh switches it off");
}

#[test]
fn dr16_balancers() {
    for (spec, expect) in [
        ("{simple: ROUND_ROBIN}", LbPolicy::RoundRobin),
        ("{simple: RANDOM}", LbPolicy::Random),
        ("{simple: PASSTHROUGH}", LbPolicy::Random),
        (
            "{consistentHash: {httpHeaderName: x}}",
            LbPolicy::RingHash { minimum_ring_size: Some(1024), maximum_ring_size: None },
        ),
    ] {
        let rule = dr("d", &format!("{{host: reviews, trafficPolicy: {{loadBalancer: {spec}}}}}"));
        let lowered = outbound(&mesh(&rule), "shop/web", "shop/reviews", 9080);
        assert_eq!(cluster(&lowered, BARE).lb_policy, expect, "{spec}");
        let route = &lowered.config.listeners[0].route_config.virtual_hosts[0].routes[0];
        let meshproof_proxy::config::Action::Forward(action) = &route.action else { panic!("{route:?}") };
        let hashes = spec.contains("Hash");
        // RT-16: with a hash, hosts that were tried are not avoided.
        assert_eq!(
            (action.hash_policy.len(), action.retry.as_ref().unwrap().previous_hosts),
            (usize::from(hashes), !hashes)
        );
    }
}

#[test]
fn hs1_headless_services_are_dialled_directly() {
    let headless = |pods: &str| {
        format!(
            "apiVersion: v1\nkind: Service\nmetadata: {{name: direct, namespace: pay}}\nspec: {{clusterIP: None, selector: {{app: {pods}}}, ports: [{{name: http, port: 8080}}]}}\n---\n"
        )
    };
    let lowered = outbound(&mesh(&headless("payments")), "shop/web", "pay/direct", 8080);
    let found = cluster(&lowered, "outbound|8080||direct.pay~");
    // All pods have a sidecar: mutual TLS for the whole cluster, without marks.
    assert!(found.tls.is_some() && found.transport_matches.is_empty() && found.lb_policy == LbPolicy::Random);
    let domains = &lowered.config.listeners[0].route_config.virtual_hosts[0].domains;
    assert!(domains.contains(&"*.direct.pay.svc.cluster.local".to_owned()), "H-3 {domains:?}");
    let lowered = outbound(&mesh(&headless("nobody")), "shop/web", "pay/direct", 8080);
    assert_eq!(cluster(&lowered, "outbound|8080||direct.pay~").tls, None, "no pods, no mutual TLS");
}

#[test]
fn g12_a_budget_of_gateway_api() {
    let policy = |namespace: &str, section: &str, constraint: &str| {
        format!(
            "apiVersion: gateway.networking.x-k8s.io/v1alpha1\nkind: XBackendTrafficPolicy\nmetadata: {{name: p, namespace: {namespace}}}\nspec: {{targetRefs: [{{group: '', kind: Service, name: reviews{section}}}], retryConstraint: {constraint}}}\n---\n"
        )
    };
    let rule = dr("d", "{host: reviews, trafficPolicy: {retryBudget: {percent: 7}}}");
    let own = "{budget: {percent: 30, interval: 5s}, minRetryRate: {count: 2, interval: 1s}}";
    let ppm = |percent: u32| Some(percent * 10_000);
    for (case, manifests, expect) in [
        ("none", String::new(), None),
        ("as written", policy("shop", "", own), Some((ppm(30), Some(2), Some(5)))),
        ("defaults", policy("shop", "", "{budget: {}}"), Some((ppm(20), Some(10), Some(10)))),
        ("of a port", policy("shop", ", sectionName: http", own), Some((ppm(30), Some(2), Some(5)))),
        ("of another port", policy("shop", ", sectionName: grpc", own), None),
        ("of another namespace", policy("ops", "", own), None),
        ("a DestinationRule's wins", policy("shop", "", own) + &rule, Some((ppm(7), None, None))),
    ] {
        let found = of(&manifests, "shop/web", BARE).thresholds[0].retry_budget;
        let found = found.map(|budget| {
            let seconds = budget.budget_interval.map(|interval| interval.as_millis() / 1000);
            (budget.budget_percent.map(meshproof_proxy::Percent::ppm), budget.min_retry_concurrency, seconds)
        });
        assert_eq!(found, expect, "G-12 {case}");
    }
}
