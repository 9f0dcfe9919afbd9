//! From a configuration to a table: resolves names, applies defaults, parses patterns, collects every fault.

use std::sync::Arc;

use super::{
    Action, DirectResponse, FilterTable, ForwardAction, HeaderMatch, ListenerTable, ManagerOptions, Mirror, Override,
    PathMatch, Redirect, RouteEntry, RouteTable, Table,
    domain::Domains,
    index::PathIndex,
    listener::VirtualHost,
    matcher::{QueryMatch, StringMatch},
    name_map::NameMap,
    print::print,
    route::{ClusterSource, Conditions, InternalRedirect, Levels, Overrides, WeightedEntry},
};
use crate::{
    ClusterId, CompileError, FractionalPercent, Nanos,
    cidr::Cidr,
    config::{
        self, ClusterSpecifier, Config, FilterOverride, HeaderMatcher, HeaderMutations, JwtOverride, Listener,
        RouteAction, RouteConfiguration, RoutingPriority, SanMatcher,
    },
    error::{CompileFault, Faults},
    headers::Mutations,
    hosts::ClusterTable,
    rbac::RbacTable,
    retry::RetryPolicy,
    rewrite::{HostRewrite, PathRewrite},
    timeout::RouteTimeouts,
    xfcc::ClientCertificates,
};

/// Envoy's default `stream_idle_timeout`.
const STREAM_IDLE_TIMEOUT: Nanos = Nanos::from_secs(300);

/// Envoy's default `per_connection_buffer_limit_bytes`.
const BUFFER_LIMIT: u64 = 1 << 20;

pub(super) fn table(config: &Config) -> Result<Table, Vec<CompileError>> {
    let mut faults = Faults::default();
    let names = config.clusters.iter().map(|cluster| cluster.name.as_str()).zip(0..);
    let duplicate = |name: &str| faults.push(CompileFault::DuplicateCluster { name: name.to_owned() });
    let cluster_names = Arc::new(NameMap::new(names, duplicate));
    let mut listeners = Vec::new();
    for listener in &config.listeners {
        faults.place("listener", &listener.name);
        let compiler = Compiler { clusters: &cluster_names, faults: &mut faults, filters: Vec::new() };
        listeners.push(compiler.listener(listener));
        faults.leave();
    }
    let clusters = clusters(config, &mut faults);
    let found = faults.into_found();
    if !found.is_empty() {
        return Err(found);
    }
    let ticks = |filter: &FilterTable| matches!(filter, FilterTable::AdaptiveConcurrency(_));
    let is_quiet = clusters.iter().all(|cluster| cluster.outlier.is_none() && cluster.health_check.is_none())
        && !listeners.iter().flat_map(|listener: &ListenerTable| &listener.filters).any(ticks);
    Ok(Table { listeners: listeners.into(), clusters, cluster_names, is_quiet })
}

fn clusters(config: &Config, faults: &mut Faults) -> Box<[Arc<ClusterTable>]> {
    let mut clusters = Vec::new();
    for (cluster, id) in config.clusters.iter().zip(0..) {
        faults.place("cluster", &cluster.name);
        let transports = cluster.transport_matches.iter().filter_map(|entry| entry.tls.as_ref()).chain(&cluster.tls);
        transports.for_each(|tls| check_names(&tls.server_sans, faults));
        faults.leave();
        match ClusterTable::compile(ClusterId::new(id), cluster, config.zone.as_ref()) {
            Ok(cluster) => clusters.push(Arc::new(cluster)),
            Err(found) => found.into_iter().for_each(|fault| faults.push(CompileFault::Cluster(fault))),
        }
    }
    clusters.into()
}

/// Handshakes read names in certificates; their patterns are checked here.
fn check_names(sans: &[SanMatcher], faults: &mut Faults) {
    faults.all(sans, |san| StringMatch::new(&san.value));
}

/// What is at hand while one listener is compiled.
struct Compiler<'a> {
    clusters: &'a Arc<NameMap>,
    faults: &'a mut Faults,
    /// The chain's filters, then those of routes.
    filters: Vec<FilterTable>,
}

/// What a route inherits from its virtual host and route configuration.
struct Inherited<'a> {
    routes: &'a RouteConfiguration,
    host: &'a config::VirtualHost,
    name: Arc<str>,
    /// Changes of the virtual host and of the route configuration.
    request: [Arc<Mutations>; 2],
    response: [Arc<Mutations>; 2],
}

impl Compiler<'_> {
    fn listener(mut self, listener: &Listener) -> ListenerTable {
        let manager = self.manager(listener);
        for filter in &listener.filters {
            let filter = FilterTable::new(filter, self.faults);
            self.filters.extend(filter);
        }
        let chain_len = self.filters.len();
        let routes = self.routes(&listener.route_config);
        let chain = (&listener.tls, &listener.connection_manager, &listener.router, &listener.filters);
        let has_route_filters = self.filters.len() > chain_len;
        ListenerTable {
            chain_print: print(&chain),
            routes_print: if has_route_filters { print(&listener.route_config) } else { 0 },
            name: listener.name.as_str().into(),
            manager,
            router: listener.router.clone(),
            filters: self.filters.into(),
            chain_len,
            routes,
        }
    }

    fn manager(&mut self, listener: &Listener) -> ManagerOptions {
        check_names(&listener.tls.client_sans, self.faults);
        let options = &listener.connection_manager;
        ManagerOptions {
            use_remote_address: options.use_remote_address,
            internal: self.faults.all(&options.internal_cidrs, |block| Cidr::new(block)),
            node_address: options.node_address.as_deref().map(Into::into),
            normalize_path: options.normalize_path,
            merge_slashes: options.merge_slashes,
            escaped_slashes: options.escaped_slashes,
            strip_any_host_port: options.strip_any_host_port,
            client_certificates: ClientCertificates::new(&listener.tls),
            stream_idle_timeout: options.stream_idle_timeout.unwrap_or(STREAM_IDLE_TIMEOUT),
            request_timeout: options.request_timeout.unwrap_or_default(),
            max_stream_duration: options.max_stream_duration.filter(|limit| !limit.is_zero()),
        }
    }

    fn routes(&mut self, routes: &RouteConfiguration) -> RouteTable {
        let [request, response] = self.mutations(&routes.headers);
        let (mut virtual_hosts, mut entries) = (Vec::new(), Vec::new());
        for host in &routes.virtual_hosts {
            self.faults.place("virtual host", &host.name);
            if host.domains.is_empty() {
                self.faults.push(CompileFault::NoDomain);
            }
            let [host_request, host_response] = self.mutations(&host.headers);
            let inherited = Inherited {
                routes,
                host,
                name: host.name.as_str().into(),
                request: [host_request, request.clone()],
                response: [host_response, response.clone()],
            };
            let first = entries.len();
            for route in &host.routes {
                self.faults.place("route", &route.name);
                entries.extend(self.route(&inherited, route));
                self.faults.leave();
            }
            virtual_hosts.push(VirtualHost {
                require_tls: host.require_tls,
                index: PathIndex::new(entries[first..].iter().map(|entry: &RouteEntry| entry.path.clone())),
                first: u32::try_from(first).unwrap_or(u32::MAX),
            });
            self.faults.leave();
        }
        let domains = routes.virtual_hosts.iter().zip(0..);
        let domains = domains.flat_map(|(host, number)| host.domains.iter().map(move |name| (name.as_str(), number)));
        RouteTable {
            domains: Domains::new(domains, self.faults),
            virtual_hosts: virtual_hosts.into(),
            entries: entries.into(),
            ignore_port: routes.ignore_port_in_host_matching,
        }
    }

    fn route(&mut self, inherited: &Inherited<'_>, route: &config::Route) -> Option<RouteEntry> {
        let matches = &route.matches;
        let path = PathMatch::new(&matches.path, matches.case_sensitive);
        let path = self.faults.note(path)?;
        let conditions = Conditions {
            headers: self.header_matches(&matches.headers),
            query: self.faults.all(&matches.query, QueryMatch::new),
            grpc: matches.grpc,
            runtime_fraction: matches
                .runtime_fraction
                .map(|(numerator, denominator)| FractionalPercent { numerator, denominator }),
        };
        let action = match &route.action {
            config::Action::Forward(action) => Action::Forward(Box::new(self.forward(inherited, action, &path)?)),
            config::Action::Redirect(redirect) => {
                let redirect = Redirect::new(redirect, path.clone());
                Action::Redirect(Box::new(self.faults.note(redirect)?))
            }
            config::Action::DirectResponse(direct) => {
                let status = self.status(direct.status, |status| (200..600).contains(&status));
                Action::DirectResponse(DirectResponse { status, body: direct.body.as_str().into() })
            }
        };
        Some(RouteEntry {
            name: route.name.as_str().into(),
            virtual_host: inherited.name.clone(),
            conditions,
            path,
            action,
            include_request_attempt_count: inherited.host.include_request_attempt_count,
            include_attempt_count_in_response: inherited.host.include_attempt_count_in_response,
            mutations: self.levels(inherited, &route.headers),
            overrides: self.overrides(&route.filter_overrides, &inherited.host.filter_overrides),
        })
    }

    fn forward(&mut self, inherited: &Inherited<'_>, action: &RouteAction, path: &PathMatch) -> Option<ForwardAction> {
        let retry = action.retry.as_ref().or(inherited.host.retry.as_ref()).map(|policy| self.retry(policy));
        let path_rewrite = PathRewrite::new(action.prefix_rewrite.as_deref(), action.regex_rewrite.as_ref());
        if matches!(path, PathMatch::Template(_)) && action.prefix_rewrite.is_some() {
            self.faults.push(CompileFault::Conflict { first: "path_match_policy", second: "prefix_rewrite" });
        }
        let host_rewrite = HostRewrite::new(action.host_rewrite.as_deref(), action.host_rewrite_header.as_deref());
        Some(ForwardAction {
            cluster: self.cluster(&action.cluster)?,
            cluster_not_found_status: self
                .status(action.cluster_not_found_status, |status| matches!(status, 404 | 500 | 503)),
            timeouts: RouteTimeouts {
                timeout: action.timeout,
                has_max_stream_duration: action.max_stream_duration.is_some(),
                max_grpc_timeout: action.max_grpc_timeout,
                grpc_timeout_offset: action.grpc_timeout_offset,
                per_try: retry.as_ref().map_or(Nanos::ZERO, |policy| policy.per_try),
                per_try_idle: retry.as_ref().map_or(Nanos::ZERO, |policy| policy.per_try_idle),
                hedge_on_per_try: action.hedge_on_per_try_timeout,
            },
            idle_timeout: action.idle_timeout,
            max_stream_duration: action.max_stream_duration,
            retry,
            path_rewrite: self.faults.note(path_rewrite)?,
            host_rewrite: self.faults.note(host_rewrite)?,
            append_x_forwarded_host: action.append_x_forwarded_host,
            high_priority: action.priority == RoutingPriority::High,
            metadata_match: action.metadata_match.clone(),
            hash_policy: action.hash_policy.clone().into(),
            rate_limit_actions: action.rate_limit_actions.clone().into(),
            internal_redirect: action.internal_redirect.as_ref().map(|policy| InternalRedirect {
                codes: match policy.redirect_response_codes.as_slice() {
                    [] => [302].into(),
                    codes => codes.into(),
                },
                max: policy.max_internal_redirects.unwrap_or(1),
            }),
            mirrors: action
                .mirrors
                .iter()
                .map(|mirror| Mirror { cluster: self.cluster_named(&mirror.cluster), fraction: mirror.fraction })
                .collect(),
            buffer_limit: BUFFER_LIMIT,
        })
    }

    fn cluster_named(&self, name: &str) -> Option<ClusterId> {
        self.clusters.get(name).map(ClusterId::new)
    }

    fn cluster(&mut self, specifier: &ClusterSpecifier) -> Option<ClusterSource> {
        Some(match specifier {
            ClusterSpecifier::Cluster(name) => ClusterSource::Cluster(self.cluster_named(name)),
            ClusterSpecifier::Header(header) => {
                ClusterSource::Header { header: header.to_ascii_lowercase().into(), clusters: self.clusters.clone() }
            }
            ClusterSpecifier::Weighted(entries) => {
                let total = entries.iter().map(|entry| u64::from(entry.weight)).sum();
                if !(1..=u64::from(u32::MAX)).contains(&total) {
                    self.faults.push(CompileFault::Weights { sum: total });
                    return None;
                }
                let mut end = 0;
                let entry = |entry: &config::WeightedCluster| {
                    end += u64::from(entry.weight);
                    let mutations = Mutations::new(&entry.headers.request_to_add, &entry.headers.request_to_remove);
                    let request = self.faults.note(mutations)?;
                    let mutations = Mutations::new(&entry.headers.response_to_add, &entry.headers.response_to_remove);
                    let response = self.faults.note(mutations)?;
                    let cluster = self.clusters.get(&entry.name).map(ClusterId::new);
                    Some(WeightedEntry { cluster, end, request, response })
                };
                ClusterSource::Weighted { entries: entries.iter().filter_map(entry).collect(), total }
            }
        })
    }

    fn retry(&mut self, policy: &config::RetryPolicy) -> RetryPolicy {
        if policy.max_interval.is_some_and(|max| max < policy.base_interval.unwrap_or(Nanos::from_millis(25))) {
            self.faults.push(CompileFault::BackOff);
        }
        let headers = self.header_matches(&policy.retriable_headers);
        let request_headers = self.header_matches(&policy.retriable_request_headers);
        RetryPolicy::new(policy, headers, request_headers)
    }

    fn header_matches(&mut self, matchers: &[HeaderMatcher]) -> Box<[HeaderMatch]> {
        self.faults.all(matchers, HeaderMatch::new)
    }

    fn status(&mut self, status: u16, is_allowed: impl Fn(u16) -> bool) -> u16 {
        if !is_allowed(status) {
            self.faults.push(CompileFault::Status { status });
        }
        status
    }

    fn mutations(&mut self, headers: &HeaderMutations) -> [Arc<Mutations>; 2] {
        let mut level = |add, remove| Arc::new(self.faults.note(Mutations::new(add, remove)).unwrap_or_default());
        [
            level(&headers.request_to_add, &headers.request_to_remove),
            level(&headers.response_to_add, &headers.response_to_remove),
        ]
    }

    /// The route's changes and those it inherits: its own come first, unless the most specific win.
    fn levels(&mut self, inherited: &Inherited<'_>, headers: &HeaderMutations) -> Levels {
        let [request, response] = self.mutations(headers);
        let is_specific_last = inherited.routes.most_specific_header_mutations_wins;
        let in_order = |own: Arc<Mutations>, outer: &[Arc<Mutations>; 2]| {
            let mut levels = vec![own];
            levels.extend(outer.iter().cloned());
            if is_specific_last {
                levels.reverse();
            }
            levels.retain(|level| !level.is_empty());
            levels.into_boxed_slice()
        };
        Levels { request: in_order(request, &inherited.request), response: in_order(response, &inherited.response) }
    }

    /// The route's configuration of filters, or else its virtual host's.
    fn overrides(&mut self, route: &[FilterOverride], host: &[FilterOverride]) -> Overrides {
        let mut overrides = Overrides::default();
        for filter in host.iter().chain(route) {
            match filter {
                FilterOverride::Fault(fault) => {
                    let table = fault.as_ref().map(|fault| FilterTable::fault(fault, self.faults));
                    overrides.fault = self.add_override(table);
                }
                FilterOverride::LocalRateLimit(limit) => {
                    let table = limit.as_ref().and_then(|limit| FilterTable::local_rate_limit(limit, self.faults));
                    overrides.local_rate_limit = self.add_override(table);
                }
                FilterOverride::Rbac(rbac) => {
                    let table = rbac.as_ref().map(|rbac| FilterTable::Rbac(RbacTable::new(rbac, self.faults)));
                    overrides.rbac = self.add_override(table);
                }
                FilterOverride::Jwt(JwtOverride::Disabled) => overrides.jwt = Override::Off,
                FilterOverride::Jwt(JwtOverride::Requirement(name)) => {
                    overrides.jwt = Override::Inherit;
                    overrides.jwt_requirement = Some(name.as_str().into());
                }
            }
        }
        overrides
    }

    fn add_override(&mut self, filter: Option<FilterTable>) -> Override {
        let Some(filter) = filter else { return Override::Off };
        let place = u32::try_from(self.filters.len()).unwrap_or(u32::MAX);
        self.filters.push(filter);
        Override::Use(place)
    }
}
