//! Envoy filters: rate limits are understood, what the others can touch is named.

use meshproof_model::istio::{PatchContext, PatchPattern};

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
    assert_eq!(filter.patches[1].pattern, PatchPattern::RateLimitActions, "RL-1");
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
