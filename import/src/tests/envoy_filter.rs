//! Envoy filters: rate limits are understood, what the others can touch is named.

use meshproof_model::istio::{DescriptorEntry, PatchContext, PatchPattern};

use super::{findings, place, read, read_clean};

const HEAD: &str = "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {name: limit, namespace: shop}\nspec:\n  priority: 1\n  \
                    workloadSelector: {labels: {app: reviews}}\n  configPatches:\n  - applyTo: HTTP_FILTER\n    \
                    match: {context: SIDECAR_INBOUND, listener: {portNumber: 9080, filterChain: {filter: {name: envoy.filters.network.http_connection_manager}}}}\n";

const BUCKET: &str = "            token_bucket: {max_tokens: 10, tokens_per_fill: 10, fill_interval: 60s}\n";
const SHARES: &str = "            filter_enabled: {runtime_key: e, default_value: {numerator: 100, denominator: HUNDRED}}\n            \
                      filter_enforced: {runtime_key: f, default_value: {numerator: 50}}\n";

fn typed_struct(rest: &str) -> String {
    format!(
        "{HEAD}    patch:\n      operation: INSERT_BEFORE\n      value:\n        name: envoy.filters.http.local_ratelimit\n        \
         typed_config:\n          '@type': type.googleapis.com/udpa.type.v1.TypedStruct\n          \
         type_url: type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit\n          \
         value:\n            stat_prefix: x\n{rest}"
    )
}

#[test]
fn rl3_a_local_rate_limit_is_understood() {
    let mesh = read_clean(&typed_struct(&format!("{BUCKET}{SHARES}"))).mesh;
    assert_eq!(mesh.unmodelled, [], "RL-3 it is judged");
    let patch = &mesh.envoy_filters[0].patches[0];
    assert_eq!((patch.context, patch.port), (PatchContext::SidecarInbound, Some(9080)));
    let PatchPattern::LocalRateLimit(limit) = &patch.pattern else { panic!("{:?}", patch.pattern) };
    assert_eq!((limit.max_tokens, limit.enabled, limit.enforced), (10, 1_000_000, 500_000));
    assert_eq!(limit.fill_interval.as_millis(), 60_000);
    let silent = read(&typed_struct(BUCKET));
    assert_eq!(
        findings(&silent),
        [
            "MP0204 19:13 this rate limit refuses nothing: `filter_enabled` and `filter_enforced` are both 0 % by default"
        ],
        "RL-3"
    );
}

#[test]
fn ef1_what_patches_can_touch_is_named() {
    let text = "apiVersion: networking.istio.io/v1alpha3
kind: EnvoyFilter
metadata: {name: global, namespace: istio-system}
spec:
  priority: 5
  configPatches:
  - applyTo: HTTP_FILTER
    match: {context: GATEWAY}
    patch:
      operation: INSERT_BEFORE
      value:
        name: envoy.ratelimit
        typed_config: {'@type': type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit, domain: shop, failure_mode_deny: true, timeout: 1s}
  - applyTo: VIRTUAL_HOST
    patch: {operation: MERGE, value: {rate_limits: [{actions: []}]}}
  - applyTo: CLUSTER
    match: {context: SIDECAR_OUTBOUND, cluster: {portNumber: 80}}
    patch: {operation: MERGE, value: {name: c}}
---
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, namespace: shop}
spec: {template: {metadata: {labels: {app: web}}, spec: {containers: [{name: c}]}}}
";
    let mesh = read_clean(text).mesh;
    let filter = &mesh.envoy_filters[0];
    assert!(
        matches!(&filter.patches[0].pattern, PatchPattern::GlobalRateLimit { domain, failure_mode_deny: true, .. } if domain == "shop")
    );
    assert_eq!(filter.patches[1].pattern, PatchPattern::RateLimitActions(vec![Vec::new()]), "RL-1");
    let named: Vec<String> = (mesh.unmodelled.iter())
        .filter(|gap| gap.resource.kind == "EnvoyFilter")
        .map(|gap| format!("{} {}", place(&gap.at), gap.reason))
        .collect();
    assert_eq!(
        named,
        [
            "7:5 spec.configPatches[0] INSERT_BEFORE HTTP_FILTER of gateways at `shop/web`: the rate limit of domain `shop`; what it changes there is not judged",
            "14:5 spec.configPatches[1] MERGE VIRTUAL_HOST of everything at `shop/web`: descriptors for a rate limit; what it changes there is not judged",
            "16:5 spec.configPatches[2] MERGE CLUSTER of what sidecars send at `shop/web`: `c`; what it changes there is not judged",
        ]
    );
}

#[test]
fn pc1_process_settings_and_telemetry_are_kept_and_named() {
    let text = "apiVersion: networking.istio.io/v1beta1
kind: ProxyConfig
metadata: {name: p, namespace: shop}
spec: {concurrency: 4, environmentVariables: {A: b}}
---
apiVersion: telemetry.istio.io/v1
kind: Telemetry
metadata: {name: t, namespace: shop}
spec: {tracing: [{providers: [{name: zipkin}], disableSpanReporting: true}]}
";
    let mesh = read_clean(text).mesh;
    assert_eq!(mesh.proxy_configs[0].concurrency.as_ref().map(|n| n.value), Some(4), "PC-1");
    assert_eq!((mesh.telemetries[0].providers[0].value.as_str(), mesh.telemetries[0].disabled.len()), ("zipkin", 1));
    assert_eq!(mesh.unmodelled.len(), 2);
}

const SERVICE: &str = "apiVersion: v1
kind: ConfigMap
metadata: {name: ratelimit-config, namespace: shop}
data:
  config.yaml: |
    domain: shop
    descriptors:
      - key: PATH
        value: /productpage
        rate_limit: {unit: minute, requests_per_unit: 1}
      - key: PATH
        rate_limit:
          unit: MINUTE
          requests_per_unit: 100
      - key: tier
        value: gold*
        rate_limit: {unlimited: true}
      - key: tier
        descriptors:
          - key: user
            rate_limit: {unit: hour, requests_per_unit: 5}
            shadow_mode: true
---
";

#[test]
fn rl2_limits_of_a_service_are_those_of_the_whole_descriptor() {
    let mesh = read_clean(SERVICE).mesh;
    let service = &mesh.rate_limit_services[0];
    assert_eq!(super::show(Some(&service.domain)), "\"shop\" @ 6:5 data.config.yaml.domain");
    assert_eq!(place(&service.descriptors[1].at), "11:9 data.config.yaml.descriptors[1]");
    let entry = |(key, value): &(&str, &str)| DescriptorEntry {
        key: (*key).to_owned(),
        value: Some((*value).to_owned()).filter(|value| value != "?"),
    };
    for (descriptor, expect) in [
        (&[("PATH", "/productpage")][..], "1 per minute"),
        (&[("PATH", "/other")], "100 per minute"),
        // A value that depends on the request may be each of them.
        (&[("PATH", "?")], "1 per minute, 100 per minute"),
        (&[("tier", "golden")], "unlimited"),
        (&[("tier", "silver")], ""),
        (&[("tier", "silver"), ("user", "?")], "5 per hour"),
        (&[("tier", "gold"), ("user", "?")], ""),
        (&[("user", "x")], ""),
    ] {
        let descriptor: Vec<DescriptorEntry> = descriptor.iter().map(entry).collect();
        let limits: Vec<String> =
            service.nodes(&descriptor).iter().filter_map(|node| node.limit.as_ref().map(ToString::to_string)).collect();
        assert_eq!(limits.join(", "), expect, "RL-2 {descriptor:?}");
    }
}

#[test]
fn rl2_filters_ask_a_service_about_what_it_knows() {
    let filter = |domain: &str, action: &str| {
        format!(
            "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {{name: f, namespace: istio-system}}\nspec:\n  priority: 1\n  configPatches:\n  - applyTo: HTTP_FILTER\n    match: {{context: GATEWAY}}\n    patch: {{operation: INSERT_BEFORE, value: {{name: r, typed_config: {{'@type': type.googleapis.com/envoy.extensions.filters.http.ratelimit.v3.RateLimit, domain: {domain}}}}}}}\n  - applyTo: VIRTUAL_HOST\n    match: {{context: GATEWAY}}\n    patch: {{operation: MERGE, value: {{rate_limits: [{{actions: [{action}]}}]}}}}\n"
        )
    };
    let path = "{request_headers: {header_name: ':path', descriptor_key: PATH}}";
    let tier = "{generic_key: {descriptor_key: tier, descriptor_value: silver}}, {remote_address: {}}";
    for (case, domain, action, expect) in [
        ("both are known", "shop", path, vec![]),
        ("the domain is not", "shpo", path, vec!["knows no domain `shpo`"]),
        ("the descriptor is not", "shop", tier, vec!["for the descriptor `tier, remote_address`"]),
    ] {
        let found = findings(&read(&(SERVICE.to_owned() + &filter(domain, action))));
        assert_eq!(found.len(), expect.len(), "RL-2 {case}: {found:?}");
        assert!(found.iter().zip(&expect).all(|(found, text)| found.contains(text)), "RL-2 {case}: {found:?}");
    }
    let mesh = read(&(SERVICE.to_owned() + &filter("shop", path))).mesh;
    let reasons: Vec<&str> = mesh.unmodelled.iter().map(|gap| gap.reason.as_str()).collect();
    let told = "(`PATH=/productpage` 1 per minute, `PATH` 100 per minute)";
    assert!(reasons.iter().any(|reason| reason.contains(told)), "RL-2 {reasons:?}");
    // Without the service's configuration, nothing is known of it.
    assert!(findings(&read(&filter("any", tier))).is_empty(), "RL-2");
}

#[test]
fn ef1_hedging_is_understood_where_it_says_which_routes() {
    let filter = |matches: &str, value: &str| {
        format!(
            "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {{name: hedge, namespace: shop}}\nspec:\n  \
             priority: 1\n  configPatches:\n  - applyTo: HTTP_ROUTE\n    match: {matches}\n    patch: {{operation: MERGE, value: {value}}}\n"
        )
    };
    let on = "{route: {hedge_policy: {hedge_on_per_try_timeout: true}}}";
    for (matches, value, expect) in [
        ("{context: SIDECAR_OUTBOUND}", on, Some((true, None, None))),
        (
            "{context: SIDECAR_OUTBOUND, routeConfiguration: {portNumber: 80, vhost: {name: 'a:80', route: {name: r}}}}",
            "{route: {hedgePolicy: {hedgeOnPerTryTimeout: false}}}",
            Some((false, Some("a:80"), Some("r"))),
        ),
        // What it selects, or changes beside, is not known.
        ("{context: SIDECAR_OUTBOUND, routeConfiguration: {name: '80'}}", on, None),
        ("{context: SIDECAR_OUTBOUND, proxy: {proxyVersion: '1.*'}}", on, None),
        ("{context: SIDECAR_OUTBOUND}", "{route: {hedge_policy: {hedge_on_per_try_timeout: true}, timeout: 1s}}", None),
        ("{context: SIDECAR_OUTBOUND}", "{route: {hedge_policy: {initial_requests: 2}}}", None),
    ] {
        let mesh = read_clean(&filter(matches, value)).mesh;
        let known = match &mesh.envoy_filters[0].patches[0].pattern {
            PatchPattern::Hedge(hedge) => {
                Some((hedge.on_per_try_timeout, hedge.virtual_host.as_deref(), hedge.route.as_deref()))
            }
            _ => None,
        };
        assert_eq!(known, expect, "{matches} {value}");
        assert_eq!(mesh.unmodelled.is_empty(), expect.is_some(), "{matches} {value}");
    }
    let gateway = read_clean(&filter("{context: GATEWAY}", on)).mesh;
    assert!(gateway.unmodelled[0].reason.contains("hedging"), "{:?}", gateway.unmodelled);
}
