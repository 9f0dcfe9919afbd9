//! The mesh of the cases (F0), and what is shown of lowered configurations.

use std::fmt::Write as _;

use meshproof_import::{ImportOptions, import};
use meshproof_model::{Lowered, Mesh, ServiceId, Sources, WorkloadId};
use meshproof_proxy::{
    Table,
    config::{
        Action, Cluster, ClusterSpecifier, HeaderValueMatcher, PathMatcher, QueryValueMatcher, Route, RouteMatch,
        StringPattern,
    },
};

pub(crate) const DEFAULT_RETRIES: &str =
    "retries=2 on connect-failure,refused-stream,unavailable,cancelled,retriable-status-codes []";

/// F0: namespaces `shop`, `pay`, `ops` with sidecars, `legacy` without.
const F0: &str = include_str!("f0.yaml");

/// The mesh of F0 with further manifests.
pub(crate) fn mesh(more: &str) -> Mesh {
    let mut sources = Sources::default();
    sources.add("f0.yaml", F0);
    sources.add("more.yaml", more);
    let imported = import(&sources, &ImportOptions::default());
    assert!(!imported.unreadable, "{:?}", imported.findings);
    imported.mesh
}

/// The service `namespace/name`.
pub(crate) fn service(mesh: &Mesh, name: &str) -> ServiceId {
    let (namespace, name) = name.split_once('/').unwrap();
    mesh.find_service(namespace, name).unwrap_or_else(|| panic!("no service {namespace}/{name}"))
}

/// The workload `namespace/name`.
pub(crate) fn workload(mesh: &Mesh, name: &str) -> WorkloadId {
    mesh.named_workload(name).unwrap_or_else(|| panic!("no workload {name}"))
}

/// What `client` does to reach a service; the configuration compiles.
pub(crate) fn outbound(mesh: &Mesh, client: &str, to: &str, port: u16) -> Lowered {
    checked(mesh.outbound(workload(mesh, client), &[(service(mesh, to), port)]))
}

/// A lowered configuration that the proxy core takes, with provenance that fits it.
pub(crate) fn checked(lowered: Lowered) -> Lowered {
    Table::compile(&lowered.config).unwrap_or_else(|errors| panic!("{errors:?}"));
    for (listener, origin) in lowered.config.listeners.iter().zip(&lowered.provenance.listeners) {
        let routes: usize = listener.route_config.virtual_hosts.iter().map(|host| host.routes.len()).sum();
        assert_eq!(routes, origin.routes.len(), "{}", listener.name);
    }
    assert_eq!(lowered.config.listeners.len(), lowered.provenance.listeners.len());
    assert_eq!(lowered.config.clusters.len(), lowered.provenance.clusters.len());
    for (cluster, origin) in lowered.config.clusters.iter().zip(&lowered.provenance.clusters) {
        let is_inbound = cluster.name.starts_with("inbound");
        assert!(is_inbound || cluster.hosts.len() == origin.endpoints.len(), "{}", cluster.name);
    }
    lowered
}

/// The routes of the virtual host that a domain leads to: `MATCH -> CLUSTERS timeout=… retries=…`.
pub(crate) fn routes(lowered: &Lowered, domain: &str) -> Vec<String> {
    let hosts = lowered.config.listeners.iter().flat_map(|listener| &listener.route_config.virtual_hosts);
    let mut hosts = hosts.filter(|host| host.domains.iter().any(|known| short(known) == domain));
    let host = hosts.next().unwrap_or_else(|| panic!("no virtual host for {domain}"));
    host.routes.iter().map(show_route).collect()
}

pub(crate) fn show_route(route: &Route) -> String {
    let mut line = show_match(&route.matches);
    match &route.action {
        Action::Redirect(redirect) => {
            let _ = write!(line, " redirect {}", redirect.status.unwrap_or(301));
        }
        Action::DirectResponse(direct) => {
            let _ = write!(line, " answer {}", direct.status);
        }
        Action::Forward(action) => {
            let cluster = match &action.cluster {
                ClusterSpecifier::Cluster(name) => short(name),
                ClusterSpecifier::Weighted(several) => {
                    let shown: Vec<String> =
                        several.iter().map(|c| format!("{}:{}", short(&c.name), c.weight)).collect();
                    shown.join(" ")
                }
                ClusterSpecifier::Header(name) => format!("header {name}"),
            };
            let timeout = action.timeout.map_or("unset".to_owned(), |timeout| timeout.to_string());
            let _ = write!(line, " -> {cluster} timeout={timeout}");
            match &action.retry {
                None => line.push_str(" no-retries"),
                Some(retry) => {
                    let on = retry.retry_on.join(",");
                    let tries = retry.num_retries.unwrap_or(1);
                    let _ = write!(line, " retries={tries} on {on} {:?}", retry.retriable_status_codes);
                    if let Some(limit) = retry.per_try_timeout {
                        let _ = write!(line, " per-try={limit}");
                    }
                    if action.hedge_on_per_try_timeout {
                        line.push_str(" hedged");
                    }
                }
            }
            for mirror in &action.mirrors {
                let ppm = u64::from(mirror.fraction.numerator) * 1_000_000 / u64::from(mirror.fraction.denominator);
                let _ = write!(line, " mirror={}:{ppm}ppm", short(&mirror.cluster));
            }
        }
    }
    line
}

pub(crate) fn show_match(matches: &RouteMatch) -> String {
    let mut line = match &matches.path {
        PathMatcher::Prefix(path) => format!("prefix {path}"),
        PathMatcher::Path(path) => format!("exact {path}"),
        PathMatcher::Regex(path) => format!("regex {path}"),
        PathMatcher::PathSeparatedPrefix(path) => format!("segments {path}"),
        PathMatcher::UriTemplate(path) => format!("template {path}"),
    };
    if !matches.case_sensitive {
        line.push_str(" any-case");
    }
    for header in &matches.headers {
        let not = if header.invert { "!" } else { "" };
        let empty = if header.treat_missing_as_empty { "?" } else { "" };
        let _ = write!(line, " {not}{}{empty}{}", header.name, show_value(&header.value));
    }
    for query in &matches.query {
        let value = match &query.value {
            QueryValueMatcher::Present(_) => String::new(),
            QueryValueMatcher::Text(text) => show_pattern(&text.pattern),
        };
        let _ = write!(line, " ?{}{value}", query.name);
    }
    line
}

fn show_value(value: &HeaderValueMatcher) -> String {
    match value {
        HeaderValueMatcher::Present(true) => " present".to_owned(),
        HeaderValueMatcher::Present(false) => " absent".to_owned(),
        HeaderValueMatcher::Text(text) => show_pattern(&text.pattern),
        HeaderValueMatcher::Range { start, end } => format!(" in {start}..{end}"),
    }
}

fn show_pattern(pattern: &StringPattern) -> String {
    match pattern {
        StringPattern::Exact(value) => format!("={value}"),
        StringPattern::Prefix(value) => format!("={value}*"),
        StringPattern::Suffix(value) => format!("=*{value}"),
        StringPattern::Contains(value) => format!("=*{value}*"),
        StringPattern::Regex(value) => format!("=/{value}/"),
    }
}

/// The cluster whose short name that is.
pub(crate) fn cluster<'a>(lowered: &'a Lowered, name: &str) -> &'a Cluster {
    let found = lowered.config.clusters.iter().find(|cluster| short(&cluster.name) == name);
    found.unwrap_or_else(|| {
        let names: Vec<&String> = lowered.config.clusters.iter().map(|cluster| &cluster.name).collect();
        panic!("no cluster {name} among {names:?}")
    })
}

/// Limits of a cluster that are not Istio's default: `connections=50 pending=10 …`.
pub(crate) fn limits(cluster: &Cluster) -> String {
    let thresholds = &cluster.thresholds[0];
    let all = [
        ("connections", thresholds.max_connections),
        ("pending", thresholds.max_pending_requests),
        ("requests", thresholds.max_requests),
        ("retries", thresholds.max_retries),
    ];
    let shown: Vec<String> = all
        .iter()
        .filter(|(_, limit)| *limit != Some(u32::MAX))
        .map(|(name, limit)| format!("{name}={}", limit.map_or("unset".to_owned(), |limit| limit.to_string())))
        .collect();
    shown.join(" ")
}

pub(crate) fn short(name: &str) -> String {
    name.replace(".svc.cluster.local", "~")
}
