//! HTTP rules as routes: matches, destinations, timeouts, retries, faults, mirrors, rewrites, header changes.

use meshproof_proxy::config::{
    Action, AppendAction, ClusterSpecifier, Fault, FaultAbort, FaultDelay, FilterOverride, HashPolicy, HeaderMutations,
    HeaderToAdd, Mirror, Redirect, RegexRewrite, Route, RouteAction, RouteMatch, WeightedCluster,
};
use meshproof_proxy::{FractionalPercent, Nanos};

use super::{
    DestinationOrigin, RouteOrigin,
    delegate::{Resolved, Rule},
    gateway_api::Beyond,
    retry,
    route_match::{Scope, is_catch_all, route_match},
    wanted::{Wanted, refused},
};
use crate::{
    Origin,
    istio::{AbortStatus, Destination, HashKey, HeaderOperations, Headers, HttpFault, HttpRedirect, HttpRewrite},
};

/// A route with where it comes from.
pub(super) type Made = (Route, RouteOrigin);

impl Wanted<'_, '_> {
    /// The routes of a VirtualService for a proxy (`RT-1`): each block of a rule becomes a route, and nothing comes
    /// after a route that takes every request.
    pub(super) fn routes(&mut self, resolved: &Resolved<'_>, scope: &Scope<'_>, host: &str) -> Vec<Made> {
        let namespace = resolved.meta.namespace();
        let mut made = Vec::new();
        for rule in &resolved.rules {
            let blocks: Vec<Option<usize>> = match rule.written.matches.len() {
                0 => vec![None],
                count => (0..count).map(Some).collect(),
            };
            for block in blocks {
                let written = block.map(|number| &rule.written.matches[number]);
                if written.is_some_and(|block| !scope.admits(block, namespace)) {
                    continue;
                }
                let matches = route_match(written, rule.beyond.is_some());
                let ends = is_catch_all(&matches);
                let Some(route) = self.route(rule, block, matches, scope, host) else { continue };
                made.push(route);
                if ends || block.is_none() {
                    return made;
                }
            }
        }
        made
    }

    /// The route of a service that no VirtualService speaks of (`VS-12`).
    pub(super) fn default_route(&mut self, destination: DestinationOrigin, host: &str) -> Made {
        let hashes = self.hash_policies(std::slice::from_ref(&destination));
        let mesh = self.lowering.settings_of(self.client.workload());
        let retries = if self.client.waypoint().is_some() {
            retry::inbound(&mesh)
        } else if self.client.has_policy() {
            retry::of_route(None, &mesh, !hashes.is_empty())
        } else {
            retry::Lowered::none("K-1")
        };
        let mut action = RouteAction::to(ClusterSpecifier::Cluster(destination.cluster.clone()));
        action.timeout = Some(Nanos::ZERO);
        action.max_grpc_timeout = Some(Nanos::ZERO);
        action.retry.clone_from(&retries.policy);
        action.hash_policy = hashes;
        let route = Route {
            name: "default".to_owned(),
            matches: RouteMatch::prefix("/"),
            action: Action::Forward(Box::new(action)),
            headers: HeaderMutations::default(),
            filter_overrides: Vec::new(),
        };
        let origin = RouteOrigin {
            resource: None,
            rule: 0,
            match_block: None,
            name: None,
            host: host.to_owned(),
            route: Origin::Default("VS-12"),
            timeout: Origin::Default("RT-10"),
            retries: retries.retries,
            attempts: retries.attempts,
            retry_on: retries.retry_on,
            per_try_timeout: retries.per_try_timeout,
            back_off: retries.back_off,
            fault: None,
            destinations: vec![destination],
            mirrors: Vec::new(),
            invalid: None,
        };
        (route, origin)
    }

    fn route(
        &mut self,
        rule: &Rule<'_>,
        block: Option<usize>,
        matches: RouteMatch,
        scope: &Scope<'_>,
        host: &str,
    ) -> Option<Made> {
        let written = rule.written.as_ref();
        let beyond = rule.beyond.as_ref();
        let namespace = rule.resource.namespace.as_str();
        let shares = shares(&written.route, beyond);
        let destinations = self.destinations(&shares, beyond, namespace, scope.port);
        let hashes = self.hash_policies(&destinations);
        let hashes_one = !hashes.is_empty() && destinations.len() == 1;
        let mesh = self.lowering.settings_of(self.client.workload());
        let retries = match beyond {
            Some(beyond) => beyond.retries(&mesh, hashes_one),
            None => retry::of_route(written.retries.as_ref(), &mesh, hashes_one),
        };
        let (mirrors, mirrored) = self.mirrors(rule, scope);
        let at = |at: &crate::Location| Origin::Written(at.clone());
        let mut headers = mutations(&written.headers);
        // A redirect comes before an answer of the proxy's own, and that before a route (`RT-7`).
        let action = if let Some(redirect) = beyond.and_then(|beyond| beyond.redirect.as_ref()) {
            Action::Redirect(redirect.on_port(scope.port))
        } else if let Some(redirect) = &written.redirect {
            Action::Redirect(to_redirect(redirect, scope.port))
        } else if let Some(direct) = &written.direct_response {
            Action::DirectResponse(meshproof_proxy::config::DirectResponse {
                status: direct.status,
                body: direct.body.clone(),
            })
        } else {
            let cluster = specifier(&shares, &destinations, written.route.len() == 1, &mut headers)?;
            let unlimited = beyond.is_none_or(Beyond::is_unlimited).then_some(Nanos::ZERO);
            let timeout = written.timeout.as_ref().map(|timeout| timeout.value).or(unlimited);
            let mut action = RouteAction::to(cluster);
            // Envoy's own 15 s are overridden: no timeout is none, and a `grpc-timeout` counts up to it (`RT-10`).
            action.timeout = timeout;
            action.max_grpc_timeout = timeout;
            action.cluster_not_found_status = beyond.map_or(503, |beyond| beyond.not_found);
            action.retry.clone_from(&retries.policy);
            action.hash_policy = hashes;
            action.host_rewrite = host_header(&written.headers.request);
            rewrite(written.rewrite.as_ref(), &mut action);
            action.mirrors = mirrors;
            Action::Forward(Box::new(action))
        };
        let origin = RouteOrigin {
            resource: Some(rule.resource.clone()),
            rule: rule.number,
            match_block: beyond.map_or(block, |beyond| beyond.block),
            name: written.name.as_ref().map(|name| name.value.clone()),
            host: host.to_owned(),
            route: at(block.and_then(|n| written.matches[n].at.as_ref()).unwrap_or(&written.at)),
            timeout: written.timeout.as_ref().map_or_else(|| default_timeout(beyond), |timeout| at(&timeout.at)),
            retries: retries.retries,
            attempts: retries.attempts,
            retry_on: retries.retry_on,
            per_try_timeout: retries.per_try_timeout,
            back_off: retries.back_off,
            fault: written.fault.as_ref().map(|fault| at(&fault.at)),
            destinations,
            mirrors: mirrored,
            invalid: beyond.and_then(|beyond| beyond.invalid.clone()),
        };
        let route = Route {
            name: origin.name.clone().unwrap_or_default(),
            matches,
            action,
            headers,
            filter_overrides: written.fault.iter().map(|fault| FilterOverride::Fault(Some(to_fault(fault)))).collect(),
        };
        Some((route, origin))
    }

    /// Where a rule's destinations lead; those that may not be used lead nowhere (`G-5`).
    pub(super) fn destinations(
        &mut self,
        shares: &[Share<'_>],
        beyond: Option<&Beyond<'_>>,
        namespace: &str,
        port: u16,
    ) -> Vec<DestinationOrigin> {
        let lead = |share: &Share<'_>| {
            let missing = beyond.and_then(|beyond| *beyond.refused.get(share.number)?);
            let mut origin = match missing {
                Some(missing) => refused(share.written, port, missing),
                None => self.destination(share.written, namespace, port),
            };
            if beyond.is_some() && share.written.weight.is_none() {
                origin.weight = Origin::Default("G-5");
            }
            origin
        };
        shares.iter().map(lead).collect()
    }

    /// Copies (`RT-19`), and where they go.
    fn mirrors(&mut self, rule: &Rule<'_>, scope: &Scope<'_>) -> (Vec<Mirror>, Vec<DestinationOrigin>) {
        let mirrors = rule.written.mirrors.iter().filter(|mirror| mirror.percentage > 0);
        let made = mirrors.map(|mirror| {
            let to = self.destination(&mirror.destination, &rule.resource.namespace, scope.port);
            let fraction = FractionalPercent::million(mirror.percentage);
            (Mirror { cluster: to.cluster.clone(), fraction }, to)
        });
        made.unzip()
    }

    /// What hashing balancers of the destinations need (`DR-16`).
    fn hash_policies(&self, destinations: &[DestinationOrigin]) -> Vec<HashPolicy> {
        destinations.iter().filter_map(|destination| self.hash_key(destination)).map(to_hash_policy).collect()
    }
}

/// A destination with traffic.
#[derive(Clone, Copy)]
pub(super) struct Share<'r> {
    written: &'r Destination,
    /// Which of the rule's destinations it is.
    number: usize,
    pub(super) weight: u32,
}

/// Destinations with traffic: of several, those with a weight; a single one's weight is ignored (`RT-9`). A weight that
/// is not written is 0 in a VirtualService; in Gateway API it is 1, and a rule without weights is answered 500 before
/// it comes here (`G-5`).
pub(super) fn shares<'r>(written: &'r [Destination], beyond: Option<&Beyond<'_>>) -> Vec<Share<'r>> {
    let default = u32::from(beyond.is_some());
    let weight = |destination: &Destination| destination.weight.as_ref().map_or(default, |weight| weight.value);
    let share = |(number, written): (usize, &'r Destination)| Share { written, number, weight: weight(written) };
    let has_traffic = |share: &Share<'_>| written.len() == 1 || share.weight > 0;
    written.iter().enumerate().map(share).filter(has_traffic).collect()
}

/// The limit on the whole response where none is written.
fn default_timeout(beyond: Option<&Beyond<'_>>) -> Origin {
    Origin::Default(match beyond {
        None => "RT-10",
        Some(beyond) if beyond.is_istio() => "G-6",
        Some(_) => "G-13",
    })
}

/// One cluster, or several by weight; `None` where nothing has traffic, which Istio refuses.
fn specifier(
    shares: &[Share<'_>],
    destinations: &[DestinationOrigin],
    is_single: bool,
    headers: &mut HeaderMutations,
) -> Option<ClusterSpecifier> {
    if let ([only], true) = (shares, is_single) {
        // The changes of a single destination are the route's, after its own (`RT-21`).
        let own = mutations(&only.written.headers);
        headers.request_to_add.extend(own.request_to_add);
        headers.request_to_remove.extend(own.request_to_remove);
        headers.response_to_add.extend(own.response_to_add);
        headers.response_to_remove.extend(own.response_to_remove);
        return destinations.first().map(|only| ClusterSpecifier::Cluster(only.cluster.clone()));
    }
    let clusters: Vec<WeightedCluster> = shares
        .iter()
        .zip(destinations)
        .map(|(share, destination)| WeightedCluster {
            name: destination.cluster.clone(),
            weight: share.weight,
            headers: mutations(&share.written.headers),
        })
        .collect();
    (!clusters.is_empty()).then_some(ClusterSpecifier::Weighted(clusters))
}

/// Header changes; `host` and other pseudo-headers are not headers (`RT-21`).
fn mutations(headers: &Headers) -> HeaderMutations {
    let add = |operations: &HeaderOperations| {
        let set = operations.set.iter().map(|pair| (pair, AppendAction::OverwriteIfExistsOrAdd));
        let add = operations.add.iter().map(|pair| (pair, AppendAction::AppendIfExistsOrAdd));
        set.chain(add)
            .filter(|((name, _), _)| !is_authority(name) && !name.starts_with(':'))
            .map(|((name, value), action)| HeaderToAdd {
                name: name.to_ascii_lowercase(),
                value: value.clone(),
                action,
            })
            .collect()
    };
    let remove = |operations: &HeaderOperations| {
        operations.remove.iter().filter(|name| !is_authority(name)).map(|name| name.to_ascii_lowercase()).collect()
    };
    HeaderMutations {
        request_to_add: add(&headers.request),
        request_to_remove: remove(&headers.request),
        response_to_add: add(&headers.response),
        response_to_remove: remove(&headers.response),
    }
}

fn is_authority(name: &str) -> bool {
    name.eq_ignore_ascii_case("host") || name.eq_ignore_ascii_case(":authority")
}

/// The authority that header changes ask for (`RT-21`).
fn host_header(operations: &HeaderOperations) -> Option<String> {
    let all = operations.set.iter().chain(&operations.add);
    all.filter(|(name, _)| is_authority(name)).map(|(_, value)| value.clone()).next()
}

fn rewrite(written: Option<&HttpRewrite>, action: &mut RouteAction) {
    let Some(written) = written else { return };
    if let Some((pattern, substitution)) = &written.uri_regex {
        action.regex_rewrite = Some(RegexRewrite { pattern: pattern.clone(), substitution: substitution.clone() });
    } else {
        action.prefix_rewrite.clone_from(&written.uri);
    }
    if written.authority.is_some() {
        action.host_rewrite.clone_from(&written.authority);
    }
}

fn to_redirect(written: &HttpRedirect, port: u16) -> Redirect {
    let default_port = match (written.derive_port.as_deref(), written.scheme.as_deref()) {
        (Some("FROM_REQUEST_PORT"), _) => Some(port),
        (Some("FROM_PROTOCOL_DEFAULT"), Some("https")) => Some(443),
        (Some("FROM_PROTOCOL_DEFAULT"), _) => Some(80),
        _ => None,
    };
    Redirect {
        https: false,
        scheme: written.scheme.clone(),
        host: written.authority.clone(),
        port: written.port.or(default_port),
        path: written.uri.clone(),
        prefix_rewrite: None,
        regex_rewrite: None,
        strip_query: false,
        status: written.redirect_code,
    }
}

/// Delays and aborts; each is drawn for itself, the delay first (`RT-18`).
fn to_fault(written: &HttpFault) -> Fault {
    Fault {
        delay: written
            .delay
            .map(|(fixed, ppm)| FaultDelay { fixed: Some(fixed), percentage: FractionalPercent::million(ppm) }),
        abort: written.abort.map(|(status, ppm)| FaultAbort {
            with: match status {
                AbortStatus::Http(status) => meshproof_proxy::config::AbortWith::HttpStatus(status),
                AbortStatus::Grpc(status) => meshproof_proxy::config::AbortWith::GrpcStatus(status),
            },
            percentage: FractionalPercent::million(ppm),
        }),
        ..Fault::default()
    }
}

fn to_hash_policy(key: &HashKey) -> HashPolicy {
    match key {
        HashKey::Header(name) => HashPolicy::Header(name.to_ascii_lowercase()),
        HashKey::Cookie(name, ttl) => HashPolicy::Cookie { name: name.clone(), ttl: *ttl },
        HashKey::SourceIp => HashPolicy::SourceIp,
        HashKey::QueryParameter(name) => HashPolicy::QueryParameter(name.clone()),
    }
}
