//! One route, compiled: its conditions, what it does, and what it changes.

use std::sync::Arc;

use super::{
    matcher::{HeaderMatch, QueryMatch},
    name_map::NameMap,
    path_match::PathMatch,
};
use crate::{
    ClusterId, FractionalPercent, Nanos,
    config::{HashPolicy, MaxStreamDuration, RateLimitAction},
    course::Course,
    hash,
    header_list::HeaderList,
    headers::Mutations,
    redirect::Redirect,
    request::Request,
    retry::RetryPolicy,
    rewrite::{HostRewrite, PathRewrite},
    table::RouterOptions,
    timeout::RouteTimeouts,
};

/// One route with what it inherits from its virtual host and route configuration.
#[derive(Debug)]
pub(crate) struct RouteEntry {
    pub(crate) name: Box<str>,
    pub(crate) virtual_host: Arc<str>,
    pub(crate) conditions: Conditions,
    pub(crate) path: PathMatch,
    pub(crate) action: Action,
    pub(crate) include_request_attempt_count: bool,
    pub(crate) include_attempt_count_in_response: bool,
    pub(crate) mutations: Levels,
    pub(crate) overrides: Overrides,
}

/// What a route asks beside the path; all of it holds.
#[derive(Debug, Default)]
pub(crate) struct Conditions {
    pub(crate) headers: Box<[HeaderMatch]>,
    pub(crate) query: Box<[QueryMatch]>,
    pub(crate) grpc: bool,
    pub(crate) runtime_fraction: Option<FractionalPercent>,
}

impl Conditions {
    pub(crate) fn hold(&self, request: &Request, stream_draw: u64) -> bool {
        self.runtime_fraction.is_none_or(|fraction| fraction.holds(stream_draw))
            && (!self.grpc || request.is_grpc())
            && self.headers.iter().all(|matcher| request.matches(matcher))
            && (self.query.is_empty() || self.query.iter().all(|matcher| matcher.matches(request.query())))
    }
}

/// What a route does.
#[derive(Debug)]
pub(crate) enum Action {
    /// Sends the request on.
    Forward(Box<ForwardAction>),
    /// Answers with a redirect.
    Redirect(Box<Redirect>),
    /// Answers itself.
    DirectResponse(DirectResponse),
}

/// An answer of the proxy itself.
#[derive(Debug)]
pub(crate) struct DirectResponse {
    pub(crate) status: u16,
    pub(crate) body: Box<str>,
}

/// How a request is sent on.
#[derive(Debug)]
pub(crate) struct ForwardAction {
    pub(crate) cluster: ClusterSource,
    pub(crate) cluster_not_found_status: u16,
    pub(crate) timeouts: RouteTimeouts,
    /// `None`: the listener's; zero: never.
    pub(crate) idle_timeout: Option<Nanos>,
    pub(crate) max_stream_duration: Option<MaxStreamDuration>,
    /// The route's own policy, or else its virtual host's.
    pub(crate) retry: Option<RetryPolicy>,
    pub(crate) path_rewrite: Option<PathRewrite>,
    pub(crate) host_rewrite: Option<HostRewrite>,
    pub(crate) append_x_forwarded_host: bool,
    pub(crate) high_priority: bool,
    pub(crate) metadata_match: Vec<(String, String)>,
    pub(crate) hash_policy: Box<[HashPolicy]>,
    pub(crate) rate_limit_actions: Box<[Vec<RateLimitAction>]>,
    pub(crate) internal_redirect: Option<InternalRedirect>,
    pub(crate) mirrors: Box<[Mirror]>,
    /// Bytes of a request that are kept at most for another try.
    pub(crate) buffer_limit: u64,
}

/// Where a request goes.
#[derive(Debug)]
pub(crate) enum ClusterSource {
    /// To one cluster; `None`: there is none of that name.
    Cluster(Option<ClusterId>),
    /// To one of several.
    Weighted { entries: Box<[WeightedEntry]>, total: u64 },
    /// To the cluster that a header names.
    Header { header: Box<str>, clusters: Arc<NameMap> },
}

/// One of several clusters of a route.
#[derive(Debug)]
pub(crate) struct WeightedEntry {
    pub(crate) cluster: Option<ClusterId>,
    /// The sum of the weights up to and with this one.
    pub(crate) end: u64,
    pub(crate) request: Mutations,
    pub(crate) response: Mutations,
}

/// Redirects that the proxy follows itself.
#[derive(Debug)]
pub(crate) struct InternalRedirect {
    pub(crate) codes: Box<[u16]>,
    pub(crate) max: u32,
}

/// A copy that nobody waits for.
#[derive(Debug)]
pub(crate) struct Mirror {
    /// `None`: there is no cluster of that name, and nothing is copied.
    pub(crate) cluster: Option<ClusterId>,
    pub(crate) fraction: FractionalPercent,
}

/// Changes of the route, its virtual host and its route configuration that are not empty, in order of application. Those
/// of a weighted cluster come before all of them, whichever of these win.
#[derive(Debug, Default)]
pub(crate) struct Levels {
    pub(crate) request: Box<[Arc<Mutations>]>,
    pub(crate) response: Box<[Arc<Mutations>]>,
}

/// Filters' configuration for this route.
#[derive(Debug, Default)]
pub(crate) struct Overrides {
    pub(crate) fault: Override,
    pub(crate) local_rate_limit: Override,
    pub(crate) rbac: Override,
    pub(crate) jwt: Override,
    /// The requirement that the route names.
    pub(crate) jwt_requirement: Option<Box<str>>,
}

/// One filter's configuration for one route.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Override {
    /// The chain's.
    #[default]
    Inherit,
    /// The filter does not run.
    Off,
    /// This one of the listener's filters.
    Use(u32),
}

/// The cluster of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ClusterChoice {
    /// `None`: it does not exist.
    pub(crate) cluster: Option<ClusterId>,
    /// Which weighted cluster was chosen.
    pub(crate) weighted: Option<u16>,
}

impl RouteEntry {
    /// How the route sends requests on, if it does.
    pub(crate) fn forward(&self) -> Option<&ForwardAction> {
        match &self.action {
            Action::Forward(forward) => Some(forward),
            Action::Redirect(_) | Action::DirectResponse(_) => None,
        }
    }

    /// The cluster of a request, if the route sends it on.
    pub(crate) fn cluster(&self, request: &Request, stream_draw: u64) -> Option<ClusterChoice> {
        let (cluster, weighted) = match &self.forward()?.cluster {
            ClusterSource::Cluster(cluster) => (*cluster, None),
            ClusterSource::Weighted { entries, total } => {
                let value = stream_draw % total;
                let place = entries.partition_point(|entry| entry.end <= value);
                (entries.get(place).and_then(|entry| entry.cluster), u16::try_from(place).ok())
            }
            ClusterSource::Header { header, clusters } => {
                let name = request.first(header).unwrap_or_default();
                (clusters.get(name).map(ClusterId::new), None)
            }
        };
        Some(ClusterChoice { cluster, weighted })
    }

    /// The key for a balancer that hashes.
    pub(crate) fn hash(&self, request: &Request) -> Option<u64> {
        hash::key(&self.forward()?.hash_policy, request)
    }

    /// Whether a request that is sent on may be changed.
    pub(crate) fn changes_request(&self, weighted: Option<u16>) -> bool {
        !self.mutations.request.is_empty()
            || self.weighted(weighted).is_some_and(|entry| !entry.request.is_empty())
            || self.forward().is_some_and(|forward| forward.host_rewrite.is_some() || forward.path_rewrite.is_some())
    }

    /// Whether the headers of an answer may be changed.
    pub(crate) fn changes_response(&self, weighted: Option<u16>) -> bool {
        !self.mutations.response.is_empty() || self.weighted(weighted).is_some_and(|entry| !entry.response.is_empty())
    }

    /// Changes headers, authority and path of a request that is sent on, in this order.
    pub(crate) fn finalize_request(
        &self,
        request: &mut Request,
        weighted: Option<u16>,
        options: &RouterOptions,
        course: Course<'_>,
    ) {
        let course = self.on(course);
        let specific = self.weighted(weighted).map(|entry| &entry.request);
        Levels::in_order(&self.mutations.request, specific, |level| level.apply_to_request(request, &course));
        let Some(forward) = self.forward() else { return };
        let keeps_original = !options.suppress_envoy_headers;
        if let Some(authority) = forward.host_rewrite.as_ref().and_then(|rewrite| rewrite.authority(request)) {
            request.rewrite_authority(&authority, keeps_original, forward.append_x_forwarded_host);
        }
        if let Some(rewrite) = &forward.path_rewrite {
            request.rewrite_path(rewrite, &self.path, keeps_original);
        }
    }

    /// Changes the headers of a response to a request of this route.
    pub(crate) fn finalize_response(
        &self,
        request: &Request,
        headers: &mut HeaderList,
        weighted: Option<u16>,
        course: Course<'_>,
    ) {
        let course = self.on(course);
        let specific = self.weighted(weighted).map(|entry| &entry.response);
        Levels::in_order(&self.mutations.response, specific, |level| {
            level.apply_to_response(request, headers, &course);
        });
    }

    fn weighted(&self, weighted: Option<u16>) -> Option<&WeightedEntry> {
        match &self.forward()?.cluster {
            ClusterSource::Weighted { entries, .. } => entries.get(usize::from(weighted?)),
            ClusterSource::Cluster(_) | ClusterSource::Header { .. } => None,
        }
    }

    /// A course of a request of this route.
    pub(crate) fn on<'a>(&'a self, course: Course<'a>) -> Course<'a> {
        Course { route: &self.name, ..course }
    }
}

impl Levels {
    fn in_order(levels: &[Arc<Mutations>], specific: Option<&Mutations>, mut apply: impl FnMut(&Mutations)) {
        specific.into_iter().chain(levels.iter().map(|level| &**level)).for_each(&mut apply);
    }
}
