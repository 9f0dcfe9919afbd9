//! Fields that people put where they do not belong (`spec 9.4`), and where they do.

use super::{Fields, Schemas, Shape};

/// A known mistake: in objects of `kind`, below `parent` (a path's end, indexes left out), the field `field`.
struct Mistake {
    kind: &'static str,
    parent: &'static str,
    field: &'static str,
    belongs: &'static str,
}

macro_rules! mistakes {
    ($($kind:literal $parent:literal $field:literal => $belongs:literal,)*) => {
        &[$(Mistake { kind: $kind, parent: $parent, field: $field, belongs: $belongs }),*]
    };
}

/// The first that fits counts; an empty parent fits everywhere.
static MISTAKES: &[Mistake] = mistakes! {
    "DestinationRule" "" "retries" => "VirtualService `spec.http[].retries`",
    "DestinationRule" "" "retryPolicy" => "VirtualService `spec.http[].retries`",
    "DestinationRule" "" "timeout" => "VirtualService `spec.http[].timeout`",
    "DestinationRule" "" "attempts" => "VirtualService `spec.http[].retries.attempts`",
    "DestinationRule" "" "perTryTimeout" => "VirtualService `spec.http[].retries.perTryTimeout`",
    "DestinationRule" "" "retryOn" => "VirtualService `spec.http[].retries.retryOn`",
    "DestinationRule" "" "fault" => "VirtualService `spec.http[].fault`",
    "DestinationRule" "" "mirror" => "VirtualService `spec.http[].mirror`",
    "DestinationRule" "" "weight" => "VirtualService `spec.http[].route[].weight`",
    "DestinationRule" "" "circuitBreaker" => "`connectionPool` and `outlierDetection` of `spec.trafficPolicy`",
    "DestinationRule" "" "circuitBreakers" => "`connectionPool` and `outlierDetection` of `spec.trafficPolicy`",
    "DestinationRule" "connectionPool" "outlierDetection" => "`outlierDetection`, beside `connectionPool`",
    "DestinationRule" "outlierDetection" "connectionPool" => "`connectionPool`, beside `outlierDetection`",
    "DestinationRule" "tcp" "maxRetries" => "`connectionPool.http.maxRetries`",
    "DestinationRule" "tcp" "http1MaxPendingRequests" => "`connectionPool.http.http1MaxPendingRequests`",
    "DestinationRule" "tcp" "http2MaxRequests" => "`connectionPool.http.http2MaxRequests`",
    "DestinationRule" "tcp" "maxRequestsPerConnection" => "`connectionPool.http.maxRequestsPerConnection`",
    "DestinationRule" "http" "maxConnections" => "`connectionPool.tcp.maxConnections`",
    "DestinationRule" "http" "connectTimeout" => "`connectionPool.tcp.connectTimeout`",
    "DestinationRule" "connectionPool" "maxConnections" => "`connectionPool.tcp.maxConnections`",
    "DestinationRule" "connectionPool" "connectTimeout" => "`connectionPool.tcp.connectTimeout`",
    "DestinationRule" "connectionPool" "maxRetries" => "`connectionPool.http.maxRetries`",
    "DestinationRule" "connectionPool" "http1MaxPendingRequests" => "`connectionPool.http.http1MaxPendingRequests`",
    "DestinationRule" "connectionPool" "http2MaxRequests" => "`connectionPool.http.http2MaxRequests`",
    "DestinationRule" "" "mtls" => "PeerAuthentication `spec.mtls`, or `spec.trafficPolicy.tls` for what clients do",
    "DestinationRule" "spec" "tls" => "`spec.trafficPolicy.tls`",
    "DestinationRule" "spec" "connectionPool" => "`spec.trafficPolicy.connectionPool`",
    "DestinationRule" "spec" "outlierDetection" => "`spec.trafficPolicy.outlierDetection`",
    "DestinationRule" "spec" "loadBalancer" => "`spec.trafficPolicy.loadBalancer`",
    "DestinationRule" "spec" "portLevelSettings" => "`spec.trafficPolicy.portLevelSettings`",
    "DestinationRule" "spec" "hosts" => "`spec.host`, one host for each DestinationRule",
    "VirtualService" "" "outlierDetection" => "DestinationRule `spec.trafficPolicy.outlierDetection`",
    "VirtualService" "" "connectionPool" => "DestinationRule `spec.trafficPolicy.connectionPool`",
    "VirtualService" "" "trafficPolicy" => "DestinationRule `spec.trafficPolicy`",
    "VirtualService" "" "loadBalancer" => "DestinationRule `spec.trafficPolicy.loadBalancer`",
    "VirtualService" "" "circuitBreaker" => "DestinationRule `spec.trafficPolicy`",
    "VirtualService" "" "subsets" => "DestinationRule `spec.subsets`",
    "VirtualService" "" "maxRetries" => "`retries.attempts`, or DestinationRule `connectionPool.http.maxRetries`",
    "VirtualService" "" "perTryTimeout" => "`spec.http[].retries.perTryTimeout`",
    "VirtualService" "" "attempts" => "`spec.http[].retries.attempts`",
    "VirtualService" "" "retryOn" => "`spec.http[].retries.retryOn`",
    "VirtualService" "retries" "timeout" => "`spec.http[].timeout`, or `perTryTimeout` for a try",
    "VirtualService" "destination" "weight" => "`spec.http[].route[].weight`, beside `destination`",
    "VirtualService" "route" "host" => "`spec.http[].route[].destination.host`",
    "VirtualService" "route" "subset" => "`spec.http[].route[].destination.subset`",
    "VirtualService" "route" "port" => "`spec.http[].route[].destination.port`",
    "VirtualService" "route" "timeout" => "`spec.http[].timeout`, beside `route`",
    "VirtualService" "route" "retries" => "`spec.http[].retries`, beside `route`",
    "VirtualService" "spec" "route" => "`spec.http[].route`",
    "VirtualService" "spec" "match" => "`spec.http[].match`",
    "VirtualService" "spec" "timeout" => "`spec.http[].timeout`",
    "VirtualService" "spec" "retries" => "`spec.http[].retries`",
    "VirtualService" "spec" "fault" => "`spec.http[].fault`",
    "VirtualService" "spec" "host" => "`spec.hosts`",
    "VirtualService" "match" "path" => "`spec.http[].match[].uri`",
    "VirtualService" "match" "prefix" => "`spec.http[].match[].uri.prefix`",
    "VirtualService" "match" "exact" => "`spec.http[].match[].uri.exact`",
    "PeerAuthentication" "spec" "mode" => "`spec.mtls.mode`",
    "PeerAuthentication" "spec" "tls" => "`spec.mtls`, or DestinationRule `spec.trafficPolicy.tls` for what clients do",
    "PeerAuthentication" "spec" "peers" => "`spec.mtls` (`peers` was of the `Policy` kind, which is gone)",
    "PeerAuthentication" "spec" "matchLabels" => "`spec.selector.matchLabels`",
    "PeerAuthentication" "selector" "app" => "`spec.selector.matchLabels`",
    "PeerAuthentication" "mtls" "portLevelMtls" => "`spec.portLevelMtls`, beside `mtls`",
    "AuthorizationPolicy" "selector" "app" => "`spec.selector.matchLabels`",
    "AuthorizationPolicy" "spec" "matchLabels" => "`spec.selector.matchLabels`",
    "AuthorizationPolicy" "from" "principals" => "`spec.rules[].from[].source.principals`",
    "AuthorizationPolicy" "from" "namespaces" => "`spec.rules[].from[].source.namespaces`",
    "AuthorizationPolicy" "to" "methods" => "`spec.rules[].to[].operation.methods`",
    "AuthorizationPolicy" "to" "paths" => "`spec.rules[].to[].operation.paths`",
    "AuthorizationPolicy" "to" "ports" => "`spec.rules[].to[].operation.ports`",
    "AuthorizationPolicy" "to" "hosts" => "`spec.rules[].to[].operation.hosts`",
    "AuthorizationPolicy" "spec" "from" => "`spec.rules[].from`",
    "AuthorizationPolicy" "spec" "to" => "`spec.rules[].to`",
    "Gateway" "spec" "hosts" => "`spec.servers[].hosts`",
    "Gateway" "spec" "port" => "`spec.servers[].port`",
    "Gateway" "spec" "tls" => "`spec.servers[].tls`",
    "Gateway" "spec" "http" => "VirtualService `spec.http`",
    "Service" "spec" "replicas" => "Deployment `spec.replicas`",
    "Service" "ports" "containerPort" => "the workload's `spec.template.spec.containers[].ports[].containerPort`",
    "Deployment" "spec" "containers" => "`spec.template.spec.containers`",
};

/// Names that stand in too many places to say where one belongs.
const GENERIC: &[&str] = &[
    "name",
    "namespace",
    "host",
    "hosts",
    "port",
    "ports",
    "labels",
    "annotations",
    "mode",
    "number",
    "value",
    "values",
    "kind",
    "key",
    "exact",
    "prefix",
    "regex",
    "selector",
    "path",
    "type",
    "match",
    "from",
    "to",
    "spec",
    "data",
    "version",
    "group",
    "status",
    "protocol",
    "address",
    "network",
    "metadata",
    "app",
    "description",
    "id",
    "url",
    "user",
    "label",
    "enabled",
    "config",
    "settings",
    "options",
];

/// Where a field belongs that its place does not have; `None`: nobody knows it.
pub(super) fn place(schemas: &Schemas, kind: &str, parents: &[&str], field: &str) -> Option<String> {
    let parent = parents.last().copied().unwrap_or("");
    let known =
        MISTAKES.iter().find(|m| m.kind == kind && m.field == field && (m.parent.is_empty() || m.parent == parent));
    if let Some(known) = known {
        return Some(known.belongs.to_owned());
    }
    if GENERIC.contains(&field) {
        return None;
    }
    elsewhere(schemas, schemas.kind(kind)?, field).map(|path| format!("`{path}`"))
}

/// The shallowest place of the same kind that has the field.
fn elsewhere(schemas: &Schemas, fields: &Fields, field: &str) -> Option<String> {
    let mut level: Vec<(String, &Fields)> = vec![(String::new(), fields)];
    // BOUND: depth of the published types; the shared ones may contain themselves.
    for _ in 0..8 {
        let mut below = Vec::new();
        for (path, fields) in level {
            for (name, ty) in fields {
                let path = format!("{path}{}{name}{}", if path.is_empty() { "" } else { "." }, brackets(&ty.shape));
                if *name == field {
                    return Some(path.trim_end_matches("[]").to_owned());
                }
                if let Some(inner) = schemas.fields(&ty.shape) {
                    below.push((path, inner));
                }
            }
        }
        level = below;
    }
    None
}

fn brackets(shape: &Shape) -> &'static str {
    match shape {
        Shape::List(_) => "[]",
        Shape::Map(_) => ".*",
        _ => "",
    }
}
