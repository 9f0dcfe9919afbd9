//! Manifests in few words.
#![allow(dead_code)]

use std::fmt::Write as _;

/// A service with its Deployment, each pod calling the services in `calls` (by environment variables).
pub(crate) fn service(name: &str, port_name: &str, replicas: u32, calls: &[&str]) -> String {
    let mut env = String::new();
    for (number, call) in calls.iter().enumerate() {
        let _ = write!(env, "{{name: C{number}_ADDR, value: \"{call}:80\"}}, ");
    }
    format!(
        "apiVersion: v1\nkind: Service\nmetadata: {{name: {name}}}\nspec:\n  selector: {{app: {name}}}\n  ports: \
         [{{name: {port_name}, port: 80, targetPort: 8080}}]\n---\napiVersion: apps/v1\nkind: Deployment\nmetadata: \
         {{name: {name}}}\nspec:\n  replicas: {replicas}\n  selector: {{matchLabels: {{app: {name}}}}}\n  template:\n    \
         metadata: {{labels: {{app: {name}}}}}\n    spec:\n      containers:\n      - {{name: {name}, image: {name}, \
         ports: [{{containerPort: 8080}}], env: [{env}]}}\n---\n"
    )
}

/// The namespace `default`, injected or not.
pub(crate) fn namespace(injected: bool) -> String {
    let label = if injected { "istio-injection: enabled" } else { "istio-injection: disabled" };
    format!("apiVersion: v1\nkind: Namespace\nmetadata: {{name: default, labels: {{{label}}}}}\n---\n")
}

/// A `VirtualService` for a service, with these further lines of its only rule.
pub(crate) fn route(host: &str, policy: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {host}}}\nspec:\n  hosts: \
         [{host}]\n  http:\n  - route: [{{destination: {{host: {host}}}}}]\n{policy}---\n"
    )
}

/// A `DestinationRule` for a service, with this traffic policy.
pub(crate) fn rule(host: &str, policy: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {{name: {host}}}\nspec:\n  host: \
         {host}\n  trafficPolicy: {policy}\n---\n"
    )
}

/// A `PeerAuthentication` of a namespace.
pub(crate) fn peers(namespace: &str, mode: &str) -> String {
    format!(
        "apiVersion: security.istio.io/v1\nkind: PeerAuthentication\nmetadata: {{name: default, namespace: \
         {namespace}}}\nspec:\n  mtls: {{mode: {mode}}}\n---\n"
    )
}

/// A local rate limit on a service's pods.
pub(crate) fn bucket(name: &str, tokens: u64, fill: u64, interval: &str) -> String {
    format!(
        "apiVersion: networking.istio.io/v1alpha3\nkind: EnvoyFilter\nmetadata: {{name: limit}}\nspec: \
         {{workloadSelector: {{labels: {{app: {name}}}}}, configPatches: [{{applyTo: HTTP_FILTER, match: {{context: \
         SIDECAR_INBOUND, listener: {{filterChain: {{filter: {{name: \
         envoy.filters.network.http_connection_manager}}}}}}}}, patch: {{operation: INSERT_BEFORE, value: {{name: \
         envoy.filters.http.local_ratelimit, typed_config: {{\"@type\": \
         type.googleapis.com/udpa.type.v1.TypedStruct, type_url: \
         type.googleapis.com/envoy.extensions.filters.http.local_ratelimit.v3.LocalRateLimit, value: {{stat_prefix: b, \
         token_bucket: {{max_tokens: {tokens}, tokens_per_fill: {fill}, fill_interval: {interval}}}, filter_enabled: \
         {{default_value: {{numerator: 100, denominator: HUNDRED}}}}, filter_enforced: {{default_value: {{numerator: \
         100, denominator: HUNDRED}}}}}}}}}}}}}}]}}\n---\n"
    )
}
