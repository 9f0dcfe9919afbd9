//! HTTPRoutes and GRPCRoutes under Linkerd (`L-4`, `L-5`, `G-10`).

use meshproof_proxy::config::{
    Action, AppendAction, DirectResponse, HeaderMatcher, HeaderMutations, HeaderToAdd, HeaderValueMatcher, PathMatcher,
    QueryMatcher, QueryValueMatcher, Redirect, RouteMatch, StringMatcher, StringPattern,
};

use super::{
    super::{DestinationOrigin, Lowering, index::age, route::Made, wanted::Wanted},
    outbound::made,
    retry::of_route,
};
use crate::{
    Origin, ServiceId,
    gateway_api::{Filter, FilterAction, HttpRoute, HttpRule, ParentRef, PathMatch, PathModifier, RouteMatch as Block},
    istio::StringMatch,
    linkerd::RoutePolicy,
};

/// A route that counts for a parent, and what annotations of its own say.
pub(super) struct Bound<'m> {
    pub(super) route: &'m HttpRoute,
    policy: RoutePolicy,
}

/// One host and match of a rule, with what it is ordered by (`G-3`, `11.8`).
pub(super) struct Entry<'m> {
    pub(super) route: &'m HttpRoute,
    pub(super) rule: usize,
    pub(super) block: Option<usize>,
    pub(super) matches: RouteMatch,
    rank: Rank,
}

/// Smaller comes first.
type Rank = (i64, i64, i64, i64, i64, i64, i64);

impl<'m> Lowering<'m> {
    /// The routes of a service's port for clients of a namespace: those of their own namespace in place of those of
    /// the service's; GRPCRoutes in place of HTTPRoutes (`G-10`).
    fn routes_of_service(&self, namespace: &str, service: ServiceId, port: u16) -> Vec<Bound<'m>> {
        let target = self.mesh.service(service);
        let own = target.meta.namespace();
        let is_parent = |route: &HttpRoute, parent: &ParentRef| {
            parent.kind() == "Service"
                && matches!(parent.group(), "" | "core")
                && parent.name.value == target.meta.name()
                && parent.namespace(route.meta.namespace()) == own
                && parent.port.as_ref().is_none_or(|only| only.value == port)
        };
        let mut routes = self.bound(is_parent);
        let consumers = |bound: &Bound<'_>| bound.route.meta.namespace() == namespace;
        if namespace != own && routes.iter().any(consumers) {
            routes.retain(consumers);
        } else {
            routes.retain(|bound| bound.route.meta.namespace() == own);
        }
        if routes.iter().any(|bound| bound.route.is_grpc()) {
            routes.retain(|bound| bound.route.is_grpc());
        }
        routes
    }

    /// The routes that a Server's requests must match (`L-9`).
    pub(super) fn routes_of_server(&self, namespace: &str, server: &str) -> Vec<Bound<'m>> {
        self.bound(|route, parent| {
            parent.kind() == "Server" && parent.name.value == server && route.meta.namespace() == namespace
        })
    }

    /// The routes with such a parent that Linkerd can read, the oldest first. One filter that it does not know makes
    /// it leave out the route.
    fn bound(&self, is_parent: impl Fn(&HttpRoute, &ParentRef) -> bool) -> Vec<Bound<'m>> {
        let linkerd = &self.mesh.linkerd;
        let of_gateway = self.mesh.gateway_api.http_routes.iter().map(|route| (crate::gateway_api::GROUP, route));
        let of_linkerd = linkerd.http_routes.iter().map(|route| ("policy.linkerd.io", route));
        let mut bound: Vec<Bound<'m>> = of_gateway
            .chain(of_linkerd)
            .filter(|(_, route)| route.parents.iter().any(|parent| is_parent(route, parent)))
            .filter(|(_, route)| route.rules.iter().flat_map(all_filters).all(is_known))
            .map(|(group, route)| {
                let of_route = linkerd
                    .policies
                    .iter()
                    .find(|policy| policy.resource == route.meta.resource && (policy.group == group));
                Bound { route, policy: of_route.map(|policy| policy.policy.clone()).unwrap_or_default() }
            })
            .collect();
        bound.sort_by_key(|bound| age(&bound.route.meta));
        bound
    }
}

impl Wanted<'_, '_> {
    /// The routes of a service's port; none: no route speaks of it.
    pub(super) fn api_routes(&mut self, service: ServiceId, port: u16, of_service: &RoutePolicy) -> Vec<Made> {
        let bound = self.lowering.routes_of_service(self.client.namespace(), service, port);
        let entries = entries(&bound);
        let mut routes = Vec::new();
        for entry in entries {
            let policy = bound.iter().find(|bound| std::ptr::eq(bound.route, entry.route));
            let own = policy.map(|bound| bound.policy.clone()).unwrap_or_default();
            routes.push(self.api_route(entry, own, of_service, (service, port)));
        }
        routes
    }

    fn api_route(
        &mut self,
        entry: Entry<'_>,
        mut own: RoutePolicy,
        of_service: &RoutePolicy,
        parent: (ServiceId, u16),
    ) -> Made {
        let Entry { route, rule: number, block, matches, .. } = entry;
        let rule = &route.rules[number];
        // The rule's own limit counts where the annotation says nothing; it hides the Service's like one (`L-5`).
        let written = rule.request_timeout.clone().filter(|limit| !limit.value.is_zero());
        own.timeouts.request = own.timeouts.request.or(written);
        let policy = own.or(of_service);
        let destinations = self.api_backends(route, rule, parent);
        self.break_circuits(of_service, &destinations);
        let is_empty = destinations.is_empty();
        let retries = of_route(policy.retry.as_ref());
        let (mut made, mut origin) = made(matches, destinations, &policy.timeouts, retries, "L-3");
        made.headers = mutations(&rule.filters);
        if let Action::Forward(action) = &mut made.action {
            action.cluster_not_found_status = 500;
        }
        if is_empty {
            // Nothing has traffic (`G-5`).
            made.action = Action::DirectResponse(DirectResponse { status: 500, body: String::new() });
        }
        if let Some(redirect) = redirect(&rule.filters) {
            made.action = Action::Redirect(redirect);
        }
        origin.resource = Some(route.meta.resource.clone());
        origin.rule = number;
        origin.match_block = block;
        origin.name = rule.name.as_ref().map(|name| name.value.clone());
        origin.route = Origin::Written(block.map_or(&rule.at, |block| &rule.matches[block].at).clone());
        made.name = origin.name.clone().unwrap_or_default();
        (made, origin)
    }

    /// Where a rule's requests go: its backends with traffic, or the service itself where it names none.
    fn api_backends(
        &mut self,
        route: &HttpRoute,
        rule: &HttpRule,
        (service, port): (ServiceId, u16),
    ) -> Vec<(DestinationOrigin, u32)> {
        if rule.backends.is_empty() {
            return vec![(self.service(service, port), 1)];
        }
        let mut destinations = Vec::new();
        for backend in rule.backends.iter().filter(|backend| backend.weight() > 0) {
            let namespace = backend.namespace(route.meta.namespace());
            let is_service = backend.kind() == "Service" && matches!(backend.group(), "" | "core");
            let found = self.lowering.mesh.find_service(namespace, &backend.name.value).filter(|_| is_service);
            let host = found.map_or_else(
                || format!("{}.{namespace}.svc.{}", backend.name.value, self.lowering.mesh.domain()),
                |id| self.lowering.mesh.service(id).host.clone(),
            );
            // Without a port the reference is invalid: its share is answered 500.
            let found = found.filter(|_| backend.port.is_some());
            let number = backend.port.as_ref().map_or(0, |port| port.value);
            let weight = backend.weight.as_ref().map_or(Origin::Default("G-5"), |w| Origin::Written(w.at.clone()));
            let at = Origin::Written(backend.at.clone());
            destinations.push((self.want(&host, found, number, None, at, weight), backend.weight()));
        }
        destinations
    }
}

fn all_filters(rule: &HttpRule) -> impl Iterator<Item = &Filter> {
    rule.filters.iter().chain(rule.backends.iter().flat_map(|backend| &backend.filters))
}

const fn is_known(filter: &Filter) -> bool {
    matches!(
        filter.action,
        FilterAction::RequestHeaders(_) | FilterAction::ResponseHeaders(_) | FilterAction::Redirect(_)
    )
}

/// Every host and match of some routes, in the order in which they are tried.
pub(super) fn entries<'m>(bound: &[Bound<'m>]) -> Vec<Entry<'m>> {
    let mut entries = Vec::new();
    for bound in bound {
        let route = bound.route;
        let mut hosts: Vec<Option<&str>> = route.hostnames.iter().map(|host| Some(host.value.as_str())).collect();
        if hosts.is_empty() {
            hosts.push(None);
        }
        for host in hosts {
            for (number, rule) in route.rules.iter().enumerate() {
                let blocks: Vec<Option<usize>> = match rule.matches.len() {
                    0 => vec![None],
                    count => (0..count).map(Some).collect(),
                };
                for block in blocks {
                    let written = block.map(|number| &rule.matches[number]);
                    let (matches, rank) = entry(host, written);
                    entries.push(Entry { route, rule: number, block, matches, rank });
                }
            }
        }
    }
    // The sort is stable: equal entries stay in the order of age, rule and block.
    entries.sort_by_key(|entry| entry.rank);
    entries
}

fn entry(host: Option<&str>, block: Option<&Block>) -> (RouteMatch, Rank) {
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    let mut matches = RouteMatch::prefix("/");
    let (mut exact, mut longest) = (0, 0);
    if let Some(host) = host {
        let lower = host.to_ascii_lowercase();
        let plain = lower.strip_prefix("*.").map_or_else(|| escape(&lower), |rest| format!(".+\\.{}", escape(rest)));
        matches.headers.push(header(":authority", StringMatcher::regex(format!("(?i){plain}(?::[0-9]+)?"))));
        longest = length(host);
        exact = if host.starts_with('*') { 0 } else { longest };
    }
    let Some(block) = block else { return (matches, (-exact, -longest, -2, -1, 0, 0, 0)) };
    let (kind, path) = path(block, &mut matches);
    if let Some(method) = &block.method {
        matches.headers.push(header(":method", StringMatcher::exact(&method.value)));
    }
    let mut seen: Vec<String> = Vec::new();
    for (name, value) in &block.headers {
        let name = name.to_ascii_lowercase();
        // Of one name the first counts.
        if !seen.contains(&name) {
            matches
                .headers
                .push(HeaderMatcher { value: header_value(&value.value), ..header(&name, StringMatcher::exact("")) });
            seen.push(name);
        }
    }
    for (name, value) in &block.query {
        let value = text(&value.value).map_or(QueryValueMatcher::Present(true), QueryValueMatcher::Text);
        matches.query.push(QueryMatcher { name: name.clone(), value });
    }
    let count = |n: usize| i64::try_from(n).unwrap_or(i64::MAX);
    let has_method = i64::from(block.method.is_some());
    let rank = (-exact, -longest, -kind, -path, -has_method, -count(seen.len()), -count(block.query.len()));
    (matches, rank)
}

/// Sets the path; gives how specific its kind is, and its length.
fn path(block: &Block, matches: &mut RouteMatch) -> (i64, i64) {
    let length = |text: &str| i64::try_from(text.len()).unwrap_or(i64::MAX);
    if let Some(rpc) = &block.rpc {
        let (service, method) = (rpc.value.service.as_deref(), rpc.value.method.as_deref());
        let quote = |text: &str| if rpc.value.regex { text.to_owned() } else { escape(text) };
        matches.path = match (service, method) {
            (None, None) => PathMatcher::Prefix("/".to_owned()),
            (Some(service), Some(method)) if !rpc.value.regex => PathMatcher::Path(format!("/{service}/{method}")),
            (service, method) => {
                let part = |text: Option<&str>| text.map_or("[^/]+".to_owned(), quote);
                PathMatcher::Regex(format!("/{}/{}", part(service), part(method)))
            }
        };
        return (length(service.unwrap_or("")), length(method.unwrap_or("")));
    }
    match block.path.as_ref().map(|path| &path.value) {
        None => (2, 1),
        Some(PathMatch::Exact(path)) => {
            matches.path = PathMatcher::Path(path.clone());
            (3, length(path))
        }
        Some(PathMatch::Prefix(prefix)) => {
            let elements = prefix.trim_end_matches('/');
            if !elements.is_empty() {
                matches.path = PathMatcher::PathSeparatedPrefix(elements.to_owned());
            }
            (2, length(elements).max(1))
        }
        Some(PathMatch::Regex(pattern)) => {
            matches.path = PathMatcher::Regex(pattern.clone());
            (1, length(pattern))
        }
    }
}

fn header(name: &str, value: StringMatcher) -> HeaderMatcher {
    HeaderMatcher {
        name: name.to_owned(),
        value: HeaderValueMatcher::Text(value),
        invert: false,
        treat_missing_as_empty: false,
    }
}

fn header_value(value: &StringMatch) -> HeaderValueMatcher {
    text(value).map_or(HeaderValueMatcher::Present(true), HeaderValueMatcher::Text)
}

fn text(value: &StringMatch) -> Option<StringMatcher> {
    let pattern = match value {
        StringMatch::Exact(value) => StringPattern::Exact(value.clone()),
        StringMatch::Prefix(value) => StringPattern::Prefix(value.clone()),
        StringMatch::Regex(value) => StringPattern::Regex(value.clone()),
        StringMatch::Present => return None,
    };
    Some(StringMatcher { pattern, ignore_case: false })
}

/// The text as a regular expression for itself.
fn escape(text: &str) -> String {
    let special = |c: char| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '/'));
    text.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

fn mutations(filters: &[Filter]) -> HeaderMutations {
    let mut mutations = HeaderMutations::default();
    for filter in filters {
        let (operations, is_request) = match &filter.action {
            FilterAction::RequestHeaders(operations) => (operations, true),
            FilterAction::ResponseHeaders(operations) => (operations, false),
            _ => continue,
        };
        let set = operations.set.iter().map(|pair| (pair, AppendAction::OverwriteIfExistsOrAdd));
        let add = operations.add.iter().map(|pair| (pair, AppendAction::AppendIfExistsOrAdd));
        let added = set.chain(add).map(|((name, value), action)| HeaderToAdd {
            name: name.to_ascii_lowercase(),
            value: value.clone(),
            action,
        });
        let removed = operations.remove.iter().map(|name| name.to_ascii_lowercase());
        if is_request {
            mutations.request_to_add.extend(added);
            mutations.request_to_remove.extend(removed);
        } else {
            mutations.response_to_add.extend(added);
            mutations.response_to_remove.extend(removed);
        }
    }
    mutations
}

fn redirect(filters: &[Filter]) -> Option<Redirect> {
    let written = filters.iter().find_map(|filter| match &filter.action {
        FilterAction::Redirect(redirect) => Some(redirect),
        _ => None,
    })?;
    let (path, prefix_rewrite) = match &written.path {
        Some(PathModifier::Full(path)) => (Some(path.clone()), None),
        Some(PathModifier::Prefix(prefix)) => (None, Some(prefix.clone())),
        None => (None, None),
    };
    Some(Redirect {
        scheme: written.scheme.clone(),
        host: written.hostname.clone(),
        port: written.port,
        path,
        prefix_rewrite,
        status: Some(written.status.unwrap_or(302)),
        ..Redirect::default()
    })
}
