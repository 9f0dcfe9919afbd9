//! What a proxy does with requests to a host, read from its own dump: every value is the one that the proxy has.

use std::collections::BTreeMap;

use meshproof_model::{
    ClusterOrigin, ListenerOrigin, Location, Lowered, Mesh, Origin, Provenance, RouteOrigin, Sources, envoy::EnvoyDump,
};
use meshproof_proxy::config::{
    Action, ClusterSpecifier, Config, Listener, Route, RouteConfiguration, UpstreamTls, VirtualHost,
};
use serde_json::json;

use super::{Decision, Explanation, Writer, decision, leaves::shown_match};
use crate::decide::{Outcome, Request};

/// The dump of a pod: by the proxy's own name (`node.id`), the pod's, or the name of what makes it.
pub fn find<'m>(mesh: &'m Mesh, name: &str) -> Option<&'m EnvoyDump> {
    let (namespace, pod) = name.split_once('/').map_or((None, name), |(namespace, pod)| (Some(namespace), pod));
    let is_pod = |part: &str| {
        let Some((own, home)) = part.split_once('.') else { return false };
        let made = own.strip_prefix(pod).is_some_and(|rest| rest.is_empty() || rest.starts_with('-'));
        made && namespace.is_none_or(|namespace| namespace == home)
    };
    let is_named = |dump: &&EnvoyDump| {
        dump.node.as_ref().is_some_and(|node| node.value == name || node.value.split('~').any(is_pod))
    };
    mesh.envoy_dumps.iter().find(is_named)
}

/// Explains what the proxy of a dump does with requests to a host.
///
/// # Errors
/// If it has no routes for the host, or refuses to compile them.
pub fn explain(
    mesh: &Mesh,
    sources: &Sources,
    dump: &EnvoyDump,
    (host, port): (&str, u16),
    request: Option<&Request>,
) -> Result<Explanation, String> {
    let lowered = lowered(dump, host, port).ok_or_else(|| format!("the dump has no routes for `{host}:{port}`"))?;
    let writer = Writer { mesh, sources };
    let mut outbound = BTreeMap::new();
    let routes = &lowered.config.listeners[0].route_config.virtual_hosts[0].routes;
    for (number, (route, origin)) in routes.iter().zip(&lowered.provenance.listeners[0].routes).enumerate() {
        writer.route(&mut outbound, number, route, origin);
    }
    for (cluster, origin) in lowered.config.clusters.iter().zip(&lowered.provenance.clusters) {
        writer.cluster(&mut outbound, cluster, origin);
    }
    let shown = request.map(|request| {
        let method = request.method.as_deref().unwrap_or("GET");
        json!({"method": method, "path": request.path.as_deref().unwrap_or("/"), "headers": request.headers})
    });
    let decision = request.map(|request| decide(&writer, &lowered, host, request)).transpose()?;
    Ok(Explanation {
        from: dump.node.as_ref().map_or_else(|| "the proxy of the dump".to_owned(), |node| node.value.clone()),
        to: host.to_owned(),
        port,
        outbound,
        inbound: BTreeMap::new(),
        request: shown,
        decision,
    })
}

/// The part of a dump that a host and port lead to.
fn lowered(dump: &EnvoyDump, host: &str, port: u16) -> Option<Lowered> {
    let is_for_port = |name: &str| name.rsplit([':', '.', '|']).next() == Some(&port.to_string());
    let mut tables: Vec<_> = dump.routes.iter().collect();
    tables.sort_by_key(|table| !is_for_port(&table.name.value));
    let (table, place) = tables.into_iter().find_map(|table| {
        let best = best(&table.config.virtual_hosts, host, port)?;
        Some((table, best))
    })?;
    let hosts = &table.config.virtual_hosts;
    let first: usize = hosts[..place].iter().map(|host| host.routes.len()).sum();
    let own = VirtualHost { domains: vec!["*".to_owned()], ..hosts[place].clone() };
    let at = |number: usize| table.places.get(first + number).unwrap_or(&table.name.at);
    let routes = own.routes.iter().enumerate().map(|(number, route)| route_origin(route, host, at(number))).collect();
    let wanted: Vec<&str> = own.routes.iter().flat_map(clusters_of).collect();
    let used = dump.clusters.iter().filter(|cluster| wanted.contains(&cluster.value.name.as_str()));
    let (clusters, origins) = used.map(|one| (one.value.clone(), cluster_origin(port, &one.at))).unzip();
    let listener = Listener {
        name: table.name.value.clone(),
        route_config: RouteConfiguration { virtual_hosts: vec![own], ..table.config.clone() },
        ..Listener::default()
    };
    Some(Lowered {
        config: Config { listeners: vec![listener], clusters, zone: None },
        provenance: Provenance {
            listeners: vec![ListenerOrigin { port, routes, ..ListenerOrigin::default() }],
            clusters: origins,
        },
    })
}

/// The virtual host that a name leads to: of the exact name, else of the longest wildcard, else of everything.
fn best(hosts: &[VirtualHost], name: &str, port: u16) -> Option<usize> {
    let with_port = format!("{name}:{port}");
    let rank = |domain: &str| match domain.strip_prefix('*') {
        None => (domain.eq_ignore_ascii_case(name) || domain == with_port).then_some(usize::MAX),
        Some(end) => (name.ends_with(end) || with_port.ends_with(end)).then_some(end.len()),
    };
    let ranked = hosts.iter().enumerate().filter_map(|(place, host)| {
        Some((host.domains.iter().filter_map(|domain| rank(domain)).max()?, std::cmp::Reverse(place)))
    });
    ranked.max().map(|(_, place)| place.0)
}

fn clusters_of(route: &Route) -> Vec<&str> {
    let Action::Forward(action) = &route.action else { return Vec::new() };
    match &action.cluster {
        ClusterSpecifier::Cluster(name) => vec![name],
        ClusterSpecifier::Weighted(several) => several.iter().map(|one| one.name.as_str()).collect(),
        ClusterSpecifier::Header(_) => Vec::new(),
    }
}

fn decide(writer: &Writer<'_>, lowered: &Lowered, host: &str, request: &Request) -> Result<Decision, String> {
    let authority = request.host.as_deref().unwrap_or(host);
    let steps = decision::routes(writer, lowered, authority, request)?;
    let routes = &lowered.config.listeners[0].route_config.virtual_hosts[0].routes;
    let taken = steps.iter().position(|step| step.result == "taken").and_then(|place| routes.get(place));
    let outcome = match taken.map(|route| &route.action) {
        None => Outcome::NotFound,
        Some(Action::Forward(_)) => Outcome::Route,
        Some(Action::Redirect(_)) => Outcome::Redirect,
        Some(Action::DirectResponse(_)) => Outcome::Direct,
    };
    let cluster: Vec<String> = taken.map(clusters_of).unwrap_or_default().into_iter().map(str::to_owned).collect();
    let mutual = |name: &String| {
        let known = lowered.config.clusters.iter().find(|cluster| cluster.name == *name);
        known.is_some_and(|cluster| cluster.tls.as_ref().is_some_and(|tls: &UpstreamTls| tls.identity.is_some()))
    };
    Ok(Decision {
        route: taken.map(|route| if route.name.is_empty() { shown_match(route) } else { route.name.clone() }),
        mtls: cluster.iter().any(mutual).then_some(true),
        cluster,
        // A dump says what its own proxy does, and nothing of the server.
        allowed: None,
        outcome,
        why: "the proxy's own routes decide; what the server does is not in its dump".to_owned(),
        steps,
    })
}

fn route_origin(route: &Route, host: &str, at: &Location) -> RouteOrigin {
    let here = || Origin::Written(at.clone());
    RouteOrigin {
        resource: None,
        rule: 0,
        match_block: None,
        name: Some(route.name.clone()).filter(|name| !name.is_empty()),
        host: host.to_owned(),
        route: here(),
        timeout: here(),
        retries: here(),
        attempts: here(),
        retry_on: here(),
        per_try_timeout: here(),
        back_off: here(),
        fault: None,
        destinations: Vec::new(),
        mirrors: Vec::new(),
        invalid: None,
    }
}

fn cluster_origin(port: u16, at: &Location) -> ClusterOrigin {
    let here = || Origin::Written(at.clone());
    ClusterOrigin {
        service: None,
        port,
        subset: None,
        endpoints: Vec::new(),
        rules: Vec::new(),
        max_connections: here(),
        max_pending_requests: here(),
        max_requests: here(),
        max_retries: here(),
        retry_budget: None,
        connect_timeout: here(),
        max_requests_per_connection: here(),
        outlier_detection: here(),
        max_ejection_percent: here(),
        panic_threshold: here(),
        load_balancer: here(),
        tls: here(),
    }
}
