//! The leaves of a lowered configuration: routes, clusters, and what servers do.

use std::{collections::BTreeMap, fmt::Write as _};

use meshproof_model::{
    ClusterOrigin, Lowered, Lowering, Nanos, Origin, ResourceRef, RouteOrigin, WorkloadId,
    kubernetes::{Direction, Passage},
};
use meshproof_proxy::config::{Action, Cluster, ClusterSpecifier, LbPolicy, Route, RouteAction, Thresholds};

use super::{Leaf, Writer};

/// A limit that no configuration reaches.
const UNLIMITED: u32 = u32::MAX;

impl Writer<'_> {
    /// What a client's proxy does.
    pub(super) fn outbound(&self, lowered: &Lowered) -> BTreeMap<String, Leaf> {
        let mut leaves = BTreeMap::new();
        for (listener, origin) in lowered.config.listeners.iter().zip(&lowered.provenance.listeners) {
            let routes = listener.route_config.virtual_hosts.iter().flat_map(|host| &host.routes);
            let own = routes.zip(&origin.routes).filter(|(_, origin)| origin.host != "*");
            for (number, (route, origin)) in own.enumerate() {
                self.route(&mut leaves, number, route, origin);
            }
        }
        for (cluster, origin) in lowered.config.clusters.iter().zip(&lowered.provenance.clusters) {
            if origin.service.is_some() {
                self.cluster(&mut leaves, cluster, origin);
            }
        }
        leaves
    }

    pub(super) fn route(
        &self,
        leaves: &mut BTreeMap<String, Leaf>,
        number: usize,
        route: &Route,
        origin: &RouteOrigin,
    ) {
        let mut add = |name: &str, leaf: Leaf| leaves.insert(format!("route[{number:02}].{name}"), leaf);
        add("match", self.leaf(shown_match(route), &origin.route));
        add("object", self.leaf(of(origin.resource.as_ref(), origin.rule), &origin.route));
        match &route.action {
            Action::Redirect(redirect) => {
                add("redirect", self.leaf(u64::from(redirect.status.unwrap_or(301)), &origin.route));
            }
            Action::DirectResponse(direct) => {
                add("answer", self.leaf(u64::from(direct.status), &origin.route));
            }
            Action::Forward(action) => {
                for (place, (name, weight)) in destinations(action).into_iter().enumerate() {
                    let end = origin.destinations.get(place);
                    let missing = end.is_some_and(|end| end.missing.is_some());
                    let note = if missing { " (does not exist)" } else { "" };
                    let at = end.map_or(&origin.route, |end| &end.at);
                    add(&format!("destination[{place}]"), self.leaf(format!("{name} weight {weight}{note}"), at));
                }
                let timeout = action.timeout.filter(|limit| !limit.is_zero());
                add("timeout", self.leaf(time(timeout), &origin.timeout));
                let retries = action.retry.as_ref();
                let attempts = retries.map_or(0, |retry| retry.num_retries.unwrap_or(1));
                add("retries.attempts", self.leaf(attempts, &origin.attempts));
                if let Some(retry) = retries {
                    let codes = retry.retriable_status_codes.iter().map(u16::to_string);
                    let on: Vec<String> = retry.retry_on.iter().cloned().chain(codes).collect();
                    add("retries.on", self.leaf(on.join(","), &origin.retry_on));
                    let hedged = if action.hedge_on_per_try_timeout { " (hedged)" } else { "" };
                    let per_try = format!("{}{hedged}", time(retry.per_try_timeout));
                    add("retries.perTryTimeout", self.leaf(per_try, &origin.per_try_timeout));
                }
                if let Some(fault) = &origin.fault {
                    add("fault", self.leaf("delays or aborts", fault));
                }
            }
        }
    }

    pub(super) fn cluster(&self, leaves: &mut BTreeMap<String, Leaf>, cluster: &Cluster, origin: &ClusterOrigin) {
        let mut add = |name: &str, leaf: Leaf| leaves.insert(format!("cluster[{}].{name}", cluster.name), leaf);
        let none = Thresholds::default();
        let limits = cluster.thresholds.first().unwrap_or(&none);
        add("connectTimeout", self.leaf(time(cluster.connect_timeout), &origin.connect_timeout));
        add("maxConnections", self.leaf(count(limits.max_connections), &origin.max_connections));
        add("maxPendingRequests", self.leaf(count(limits.max_pending_requests), &origin.max_pending_requests));
        add("maxRequests", self.leaf(count(limits.max_requests), &origin.max_requests));
        add("maxRetries", self.leaf(count(limits.max_retries), &origin.max_retries));
        let per_connection = count(cluster.max_requests_per_connection);
        add("maxRequestsPerConnection", self.leaf(per_connection, &origin.max_requests_per_connection));
        add("loadBalancer", self.leaf(balancer(&cluster.lb_policy), &origin.load_balancer));
        // A cluster of no service is one of a proxy's own dump.
        let endpoints = if origin.service.is_some() { Origin::Default("K-1") } else { origin.tls.clone() };
        add("endpoints", self.leaf(cluster.hosts.len(), &endpoints));
        match &cluster.outlier_detection {
            None => add("outlierDetection", self.leaf("none", &origin.outlier_detection)),
            Some(outlier) => {
                let at = &origin.outlier_detection;
                let errors = outlier.consecutive_5xx.unwrap_or(5);
                add("outlierDetection.consecutive5xxErrors", self.leaf(errors, at));
                let interval = outlier.interval.or(Some(Nanos::from_secs(10)));
                add("outlierDetection.interval", self.leaf(time(interval), at));
                let ejection = outlier.base_ejection_time.or(Some(Nanos::from_secs(30)));
                add("outlierDetection.baseEjectionTime", self.leaf(time(ejection), at));
                let most = outlier.max_ejection_percent.unwrap_or(10);
                add("outlierDetection.maxEjectionPercent", self.leaf(most, &origin.max_ejection_percent))
            }
        };
        add("tls", self.leaf(client_tls(cluster), &origin.tls));
    }

    /// What the servers' own proxies do.
    pub(super) fn inbound(
        &self,
        lowering: &Lowering<'_>,
        client: WorkloadId,
        servers: &[(WorkloadId, u16)],
    ) -> BTreeMap<String, Leaf> {
        let mut leaves = BTreeMap::new();
        for &(server, port) in servers {
            let lowered = lowering.inbound_port(server, port, None);
            let name = format!("{}:{port}", self.mesh.workload(server).full_name());
            let mut add = |leaf: &str, value: Leaf| leaves.insert(format!("server[{name}].{leaf}"), value);
            let workload = self.mesh.workload(server);
            let proxy = format!("{:?}", workload.proxy).to_lowercase();
            add("proxy", self.leaf(proxy, &Origin::Written(workload.proxy_at.clone())));
            let passage = self.mesh.connection_allowed(client, server, port);
            let network =
                passage.policies.first().map_or(Origin::Default("K-7"), |(_, at)| Origin::Written(at.clone()));
            add("network", self.leaf(passed(&passage), &network));
            let mode = lowering.server_mode(server, port);
            add("mtls", self.leaf(format!("{:?}", mode.value).to_uppercase(), &mode.origin));
            if let Some(listener) = lowered.provenance.listeners.first() {
                if listener.policies.is_empty() {
                    add("authorization", self.leaf("everything is allowed", &Origin::Default("AZ-2")));
                }
                for (place, (resource, at)) in listener.policies.iter().enumerate() {
                    let at = Origin::Written(at.clone());
                    add(&format!("authorization[{place}]"), self.leaf(resource.to_string(), &at));
                }
                if let Some(route) = listener.routes.first() {
                    let attempts = first_action(&lowered).and_then(|action| action.retry.as_ref());
                    let attempts = attempts.map_or(0, |retry| retry.num_retries.unwrap_or(1));
                    add("retries.attempts", self.leaf(attempts, &route.attempts));
                }
            }
            if let (Some(cluster), Some(origin)) =
                (lowered.config.clusters.first(), lowered.provenance.clusters.first())
            {
                let limits = cluster.thresholds.first();
                let pending = count(limits.and_then(|limits| limits.max_pending_requests));
                add("maxPendingRequests", self.leaf(pending, &origin.max_pending_requests));
                let connections = count(limits.and_then(|limits| limits.max_connections));
                add("maxConnections", self.leaf(connections, &origin.max_connections));
            }
        }
        leaves
    }
}

/// What a route asks of requests.
pub(super) fn shown_match(route: &Route) -> String {
    use meshproof_proxy::config::{HeaderValueMatcher, PathMatcher, QueryValueMatcher, StringMatcher, StringPattern};
    let text = |matcher: &StringMatcher| match &matcher.pattern {
        StringPattern::Exact(value) => format!("= {value}"),
        StringPattern::Prefix(value) => format!("= {value}*"),
        StringPattern::Suffix(value) => format!("= *{value}"),
        StringPattern::Contains(value) => format!("= *{value}*"),
        StringPattern::Regex(value) => format!("~ {value}"),
    };
    let matches = &route.matches;
    let mut shown = match &matches.path {
        PathMatcher::Prefix(path) => format!("path {path}*"),
        PathMatcher::Path(path) => format!("path {path}"),
        PathMatcher::Regex(path) => format!("path ~ {path}"),
        PathMatcher::PathSeparatedPrefix(path) => format!("path {path}/**"),
        PathMatcher::UriTemplate(path) => format!("path {path}"),
    };
    for header in &matches.headers {
        let not = if header.invert { "not " } else { "" };
        let value = match &header.value {
            HeaderValueMatcher::Present(present) => if *present { "is there" } else { "is absent" }.to_owned(),
            HeaderValueMatcher::Text(value) => text(value),
            HeaderValueMatcher::Range { start, end } => format!("in {start}..{end}"),
        };
        // Writing to a string does not fail.
        let _ = write!(shown, ", {not}{} {value}", header.name);
    }
    for query in &matches.query {
        let value = match &query.value {
            QueryValueMatcher::Present(_) => "is there".to_owned(),
            QueryValueMatcher::Text(value) => text(value),
        };
        let _ = write!(shown, ", ?{} {value}", query.name);
    }
    shown
}

/// The object and rule that a route comes from.
pub(super) fn of(resource: Option<&ResourceRef>, rule: usize) -> String {
    resource.map_or_else(|| "default route".to_owned(), |resource| format!("{resource} rule {rule}"))
}

fn destinations(action: &RouteAction) -> Vec<(String, u32)> {
    match &action.cluster {
        ClusterSpecifier::Cluster(name) => vec![(name.clone(), 100)],
        ClusterSpecifier::Weighted(several) => several.iter().map(|one| (one.name.clone(), one.weight)).collect(),
        ClusterSpecifier::Header(name) => vec![(format!("header {name}"), 100)],
    }
}

/// Whether the network lets the client's connections through, and which decide.
fn passed(passage: &Passage) -> String {
    let names: Vec<String> = passage.policies.iter().map(|(policy, _)| policy.to_string()).collect();
    match passage.refused_by {
        None if names.is_empty() => "open: no NetworkPolicy isolates either side".to_owned(),
        None => format!("open by {}", names.join(", ")),
        Some(Direction::Egress) => format!("closed: the client may not open it by {}", names.join(", ")),
        Some(Direction::Ingress) => format!("closed: the server may not take it by {}", names.join(", ")),
    }
}

fn first_action(lowered: &Lowered) -> Option<&RouteAction> {
    let host = lowered.config.listeners.first()?.route_config.virtual_hosts.first()?;
    match &host.routes.first()?.action {
        Action::Forward(action) => Some(action),
        Action::Redirect(_) | Action::DirectResponse(_) => None,
    }
}

fn time(limit: Option<Nanos>) -> String {
    limit.map_or_else(|| "none".to_owned(), |limit| limit.to_string())
}

fn count(limit: Option<u32>) -> serde_json::Value {
    match limit {
        None | Some(UNLIMITED) => "unlimited".into(),
        Some(limit) => limit.into(),
    }
}

const fn balancer(policy: &LbPolicy) -> &'static str {
    match policy {
        LbPolicy::LeastRequest(_) => "LEAST_REQUEST",
        LbPolicy::RoundRobin => "ROUND_ROBIN",
        LbPolicy::Random => "RANDOM",
        LbPolicy::RingHash { .. } => "RING_HASH",
        LbPolicy::Maglev { .. } => "MAGLEV",
        LbPolicy::PeakEwma { .. } => "PEAK_EWMA",
        LbPolicy::OriginalDst => "ORIGINAL_DST",
    }
}

fn client_tls(cluster: &Cluster) -> &'static str {
    if !cluster.transport_matches.is_empty() {
        let marked = |host: &&meshproof_proxy::config::Host| !host.transport_metadata.is_empty();
        return match cluster.hosts.iter().filter(marked).count() {
            0 => "plaintext: no endpoint takes mutual TLS",
            count if count == cluster.hosts.len() => "mutual TLS",
            _ => "mutual TLS where the endpoint takes it, else plaintext",
        };
    }
    match &cluster.tls {
        None => "plaintext",
        Some(tls) if tls.identity.is_some() => "mutual TLS",
        Some(_) => "TLS without a client certificate",
    }
}
