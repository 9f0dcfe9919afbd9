//! Hosts that Services and `ServiceEntries` define, and who sees them. Istio: `analyzers/util/service_lookup.go`.

use std::collections::BTreeMap;

use meshproof_model::Labels;

use super::world::{SERVICE, SERVICE_ENTRY, World};

/// What stands behind a host.
pub(super) struct Host {
    pub ports: Vec<i64>,
    pub selector: Labels,
}

/// Hosts by the namespace that sees them (`*`: all) and their full name.
pub(super) struct Hosts(BTreeMap<(String, String), Host>);

impl Hosts {
    pub(super) fn new(world: &World<'_>) -> Self {
        let mut hosts = BTreeMap::new();
        for entry in world.all(SERVICE_ENTRY) {
            let export_to = entry.spec.texts("exportTo");
            let scopes = if is_public(&export_to) { vec!["*"] } else { export_to };
            for (scope, name) in scopes.iter().flat_map(|s| entry.spec.texts("hosts").into_iter().map(move |h| (s, h)))
            {
                let scope = if *scope == "." { entry.namespace() } else { scope };
                let ports = entry.spec.list("ports").map(|port| port.get("number").int()).collect();
                let selector = entry.spec.at("workloadSelector.labels").labels();
                hosts.insert((scope.to_owned(), full_host(name, entry.namespace())), Host { ports, selector });
            }
        }
        for service in world.all(SERVICE) {
            let scopes = service.annotation("networking.istio.io/exportTo").filter(|text| !text.is_empty());
            for scope in scopes.unwrap_or("*").split(',') {
                let scope = if scope == "." { service.namespace() } else { scope };
                let ports = service.spec.list("ports").map(|port| port.get("port").int()).collect();
                let host = Host { ports, selector: service.spec.get("selector").labels() };
                hosts.insert((scope.to_owned(), full_host(service.name(), service.namespace())), host);
            }
        }
        Self(hosts)
    }

    /// What a host means in an object of the namespace `home` with that `exportTo`.
    pub(super) fn find(&self, home: &str, export_to: &[&str], host: &str) -> Option<&Host> {
        let full = full_host(host, home);
        let of = |scope: &str| self.0.get(&(scope.to_owned(), full.clone()));
        let own = [home];
        let scopes = if export_to.is_empty() { &own[..] } else { export_to };
        let named = || scopes.iter().find_map(|scope| of(if *scope == "." { home } else { scope }));
        let wildcard = || {
            let wanted = host.strip_prefix('*').unwrap_or(host);
            let covers = |(scope, pattern): &(String, String)| {
                (scope == "*" || scope == home) && pattern.strip_prefix('*').is_some_and(|end| wanted.ends_with(end))
            };
            self.0.iter().find(|(key, _)| covers(key)).map(|(_, host)| host)
        };
        of("*").or_else(named).or_else(wildcard)
    }
}

/// Whether a list of namespaces stands for all.
pub(super) fn is_public(export_to: &[&str]) -> bool {
    export_to.is_empty() || export_to.contains(&"*")
}

/// A short name completed with a namespace (`H-1`).
pub(super) fn full_host(host: &str, namespace: &str) -> String {
    if host.starts_with('*') || host.contains('.') {
        host.to_owned()
    } else {
        format!("{host}.{namespace}.svc.cluster.local")
    }
}

/// Namespace and name of a host in the cluster; of another name the namespace `home` and the name itself.
pub(super) fn resource_of<'h>(host: &'h str, home: &'h str) -> (&'h str, &'h str) {
    let parts = host.strip_suffix(".svc.cluster.local").and_then(|short| short.rsplit_once('.'));
    parts.map_or((home, host), |(name, namespace)| (namespace, name))
}

/// Whether two names, each perhaps with a wildcard, have a name in common. Istio: `pkg/config/host.Name.Matches`.
pub(super) fn overlap(a: &str, b: &str) -> bool {
    match (a.strip_prefix('*'), b.strip_prefix('*')) {
        (Some(a), Some(b)) => a.ends_with(b) || b.ends_with(a),
        (Some(end), None) => b.ends_with(end),
        (None, Some(end)) => a.ends_with(end),
        (None, None) => a == b,
    }
}

/// Whether every name of `narrow` is one of `wide`. Istio: `pkg/config/host.Name.SubsetOf`.
pub(super) fn is_within(narrow: &str, wide: &str) -> bool {
    match (narrow.strip_prefix('*'), wide.strip_prefix('*')) {
        (Some(narrow), Some(wide)) => narrow.len() >= wide.len() && narrow.ends_with(wide),
        (Some(_), None) => false,
        (None, Some(end)) => narrow.ends_with(end),
        (None, None) => narrow == wide,
    }
}

/// Whether some object lives in a namespace of which `matches` holds, or every cluster has it.
pub(super) fn is_used_namespace(world: &World<'_>, matches: &impl Fn(&str) -> bool) -> bool {
    const ALWAYS: &[&str] = &["default", "kube-system", "kube-public", "kube-node-lease", "istio-system"];
    ALWAYS.iter().any(|name| matches(name)) || world.everything().any(|resource| matches(resource.namespace()))
}
