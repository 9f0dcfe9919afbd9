//! `EnvoyFilters`, but for what Envoy itself would say of the patches. Istio: `pkg/config/validation/envoyfilter`.

use super::{Found, common::workload_selector, names};
use crate::analysis::{tree::Tree, world::Resource};

/// Istio says this of every `EnvoyFilter`.
pub(super) const EXPOSES: &str = "an EnvoyFilter depends on Istio's internals, which may change with any version";

pub(super) fn check(filter: &Resource<'_>, found: &mut Found) {
    if !workload_selector(filter.spec, "Envoy filter", found) {
        return;
    }
    found.warning("spec", EXPOSES);
    for (i, patch) in filter.spec.list("configPatches").enumerate() {
        check_patch(patch, &format!("spec.configPatches[{i}]"), found);
    }
}

fn check_patch(item: Tree<'_>, path: &str, found: &mut Found) {
    let (applies, change) = (item.get("applyTo").text(), item.get("patch"));
    let operation = change.get("operation").text();
    let missing = match (applies, operation) {
        _ if !item.is_set() => "a patch may not be null",
        ("" | "INVALID", _) => "a patch needs `applyTo`",
        _ if !change.is_set() => "a patch needs `patch`",
        (_, "" | "INVALID") => "a patch needs an operation",
        _ if operation != "REMOVE" && !change.get("value").is_set() => "a patch needs a value, unless it removes",
        _ => "",
    };
    if !missing.is_empty() {
        return found.error(path, missing);
    }
    let version = item.at("match.proxy.proxyVersion").text();
    if names::regex(version, "proxyVersion").is_err() {
        return found.error(path, format!("`{version}` is not a regular expression"));
    }
    let object = |key: &str| item.get("match").get(key).is_set();
    let (listener, routes, cluster) = (object("listener"), object("routeConfiguration"), object("cluster"));
    let any = listener || routes || cluster;
    match applies {
        "LISTENER" | "FILTER_CHAIN" | "NETWORK_FILTER" | "HTTP_FILTER" if any => {
            if !listener {
                return found.error(path, format!("{applies} matches listeners only"));
            }
            filter_match(item, applies, path, found);
        }
        "ROUTE_CONFIGURATION" | "VIRTUAL_HOST" | "HTTP_ROUTE" => {
            found.error_if(any && !routes, path, format_args!("{applies} matches route configurations only"));
        }
        "CLUSTER" => found.error_if(any && !cluster, path, "CLUSTER matches clusters only"),
        _ => {}
    }
}

fn filter_match(tree: Tree<'_>, applies: &str, path: &str, found: &mut Found) {
    const MANAGERS: &[&str] = &["envoy.filters.network.http_connection_manager", "envoy.http_connection_manager"];
    let filter = tree.at("match.listener.filterChain.filter");
    if !filter.is_set() {
        return;
    }
    if matches!(applies, "LISTENER" | "FILTER_CHAIN") {
        found.warning(path, format!("the match of a filter does nothing for {applies}"));
    }
    let (name, below) = (filter.get("name").text(), filter.get("subFilter"));
    if name.is_empty() {
        return found.error(path, "the match of a filter needs a name");
    }
    if below.is_set() {
        if applies != "HTTP_FILTER" {
            return found.error(path, "the match of a subfilter is for HTTP_FILTER");
        }
        if !MANAGERS.contains(&name) {
            return found.error(path, "a subfilter is in the HTTP connection manager");
        }
        if below.get("name").text().is_empty() {
            return found.error(path, "the match of a subfilter needs a name");
        }
    }
    for name in [name, below.get("name").text()] {
        if let Some((_, new)) = RENAMED.iter().find(|(old, _)| *old == name) {
            found.warning(path, format!("the filter `{name}` is named `{new}` now"));
        }
    }
}

/// Names of filters that Envoy has renamed.
const RENAMED: &[(&str, &str)] = &[
    ("envoy.http_connection_manager", "envoy.filters.network.http_connection_manager"),
    ("envoy.tcp_proxy", "envoy.filters.network.tcp_proxy"),
    ("envoy.mongo_proxy", "envoy.filters.network.mongo_proxy"),
    ("envoy.redis_proxy", "envoy.filters.network.redis_proxy"),
    ("envoy.ratelimit", "envoy.filters.network.ratelimit"),
    ("envoy.client_ssl_auth", "envoy.filters.network.client_ssl_auth"),
    ("envoy.ext_authz", "envoy.filters.http.ext_authz"),
    ("envoy.router", "envoy.filters.http.router"),
    ("envoy.cors", "envoy.filters.http.cors"),
    ("envoy.fault", "envoy.filters.http.fault"),
    ("envoy.buffer", "envoy.filters.http.buffer"),
    ("envoy.gzip", "envoy.filters.http.gzip"),
    ("envoy.lua", "envoy.filters.http.lua"),
    ("envoy.rate_limit", "envoy.filters.http.ratelimit"),
    ("envoy.grpc_web", "envoy.filters.http.grpc_web"),
    ("envoy.health_check", "envoy.filters.http.health_check"),
    ("envoy.squash", "envoy.filters.http.squash"),
    ("envoy.ip_tagging", "envoy.filters.http.ip_tagging"),
    ("envoy.listener.original_dst", "envoy.filters.listener.original_dst"),
    ("envoy.listener.http_inspector", "envoy.filters.listener.http_inspector"),
    ("envoy.listener.tls_inspector", "envoy.filters.listener.tls_inspector"),
];
