//! Virtual hosts, routes and what a route does (Envoy: `config.route.v3`).

use serde::{Deserialize, Serialize};

use super::{FilterOverride, HeaderMatcher, PathMatcher, QueryMatcher, RetryPolicy};
use crate::{FractionalPercent, Nanos};

/// The routes of one listener (Envoy: `RouteConfiguration`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteConfiguration {
    /// Virtual hosts; the most specific domain decides, not their order.
    pub virtual_hosts: Vec<VirtualHost>,
    /// Header changes of every route.
    pub headers: HeaderMutations,
    /// Whether the less specific header changes come first.
    pub most_specific_header_mutations_wins: bool,
    /// Whether a port in `:authority` is ignored when domains are matched.
    pub ignore_port_in_host_matching: bool,
}

/// Routes for a set of domains (Envoy: `VirtualHost`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct VirtualHost {
    /// A name for people.
    pub name: String,
    /// `exact`, `*.suffix`, `prefix.*` or `*`.
    pub domains: Vec<String>,
    /// Routes; the first that matches decides.
    pub routes: Vec<Route>,
    /// The retry policy of routes that have none.
    pub retry: Option<RetryPolicy>,
    /// Whether plaintext requests are redirected to https.
    pub require_tls: RequireTls,
    /// Whether `x-envoy-attempt-count` is sent upstream.
    pub include_request_attempt_count: bool,
    /// Whether `x-envoy-attempt-count` is sent downstream.
    pub include_attempt_count_in_response: bool,
    /// Header changes of every route of this host.
    pub headers: HeaderMutations,
    /// Configuration of filters for this host.
    pub filter_overrides: Vec<FilterOverride>,
}

/// Which requests a virtual host redirects to https.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum RequireTls {
    /// None.
    #[default]
    None,
    /// Those of external clients.
    ExternalOnly,
    /// All.
    All,
}

/// One route (Envoy: `Route`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Route {
    /// A name for people.
    pub name: String,
    /// Which requests it takes.
    pub matches: RouteMatch,
    /// What it does with them.
    pub action: Action,
    /// Header changes.
    pub headers: HeaderMutations,
    /// Configuration of filters for this route.
    pub filter_overrides: Vec<FilterOverride>,
}

/// Which requests a route takes: all conditions hold (Envoy: `RouteMatch`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RouteMatch {
    /// On the path.
    pub path: PathMatcher,
    /// Whether the case of the path counts; always, for a regular expression.
    pub case_sensitive: bool,
    /// On headers.
    pub headers: Vec<HeaderMatcher>,
    /// On query parameters.
    pub query: Vec<QueryMatcher>,
    /// Only gRPC requests.
    pub grpc: bool,
    /// On the stream's random number, which weighted clusters and mirrors use too.
    pub runtime_fraction: Option<(u32, u32)>,
}

impl RouteMatch {
    /// Every request whose path begins with `prefix`.
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self {
            path: PathMatcher::Prefix(prefix.into()),
            case_sensitive: true,
            headers: Vec::new(),
            query: Vec::new(),
            grpc: false,
            runtime_fraction: None,
        }
    }
}

/// What a route does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// Sends the request on.
    Forward(Box<RouteAction>),
    /// Answers with a redirect.
    Redirect(Redirect),
    /// Answers itself.
    DirectResponse(DirectResponse),
}

/// How a request is sent on (Envoy: `RouteAction`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RouteAction {
    /// Where to.
    pub cluster: ClusterSpecifier,
    /// The status if the cluster does not exist: 503, 404 or 500.
    pub cluster_not_found_status: u16,
    /// Limit on the whole response, retries included. `None`: 15 s, or none where a stream duration is set; zero: none.
    pub timeout: Option<Nanos>,
    /// A stream without activity ends after this. `None`: the listener's; zero: never.
    pub idle_timeout: Option<Nanos>,
    /// Limit on the stream; sets the default of `timeout` to none.
    pub max_stream_duration: Option<MaxStreamDuration>,
    /// Deprecated cap on a `grpc-timeout` header, which then is the timeout; zero: no cap.
    pub max_grpc_timeout: Option<Nanos>,
    /// Taken off a `grpc-timeout` header under `max_grpc_timeout`.
    pub grpc_timeout_offset: Option<Nanos>,
    /// When and how often to try again; replaces the virtual host's as a whole.
    pub retry: Option<RetryPolicy>,
    /// Whether a per-try timeout starts a parallel attempt.
    pub hedge_on_per_try_timeout: bool,
    /// Replaces the matched prefix.
    pub prefix_rewrite: Option<String>,
    /// Replaces what a pattern finds in the path.
    pub regex_rewrite: Option<RegexRewrite>,
    /// A new authority.
    pub host_rewrite: Option<String>,
    /// The header whose value is the new authority.
    pub host_rewrite_header: Option<String>,
    /// Whether the old authority goes into `x-forwarded-host`.
    pub append_x_forwarded_host: bool,
    /// Which of the cluster's thresholds and pools.
    pub priority: RoutingPriority,
    /// Which subset of the cluster's hosts, as metadata.
    pub metadata_match: Vec<(String, String)>,
    /// What the hash of a consistent-hash balancer is made of.
    pub hash_policy: Vec<HashPolicy>,
    /// Descriptors for the rate limit filters.
    pub rate_limit_actions: Vec<Vec<RateLimitAction>>,
    /// Redirects that the proxy follows itself.
    pub internal_redirect: Option<InternalRedirect>,
    /// Copies that nobody waits for.
    pub mirrors: Vec<Mirror>,
}

impl RouteAction {
    /// To one cluster, with Envoy's defaults for all else.
    pub fn to(cluster: ClusterSpecifier) -> Self {
        Self {
            cluster,
            cluster_not_found_status: 503,
            timeout: None,
            idle_timeout: None,
            max_stream_duration: None,
            max_grpc_timeout: None,
            grpc_timeout_offset: None,
            retry: None,
            hedge_on_per_try_timeout: false,
            prefix_rewrite: None,
            regex_rewrite: None,
            host_rewrite: None,
            host_rewrite_header: None,
            append_x_forwarded_host: false,
            priority: RoutingPriority::Default,
            metadata_match: Vec::new(),
            hash_policy: Vec::new(),
            rate_limit_actions: Vec::new(),
            internal_redirect: None,
            mirrors: Vec::new(),
        }
    }
}

/// Where a route sends requests. Clusters are named, as in Envoy; `Table::compile` resolves the names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClusterSpecifier {
    /// To one cluster.
    Cluster(String),
    /// To one of several, by weight; `stream random % total weight` decides.
    Weighted(Vec<WeightedCluster>),
    /// To the cluster that a header names.
    Header(String),
}

/// One of several clusters of a route.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WeightedCluster {
    /// The cluster.
    pub name: String,
    /// Its share is `weight / sum of weights`.
    pub weight: u32,
    /// Header changes.
    pub headers: HeaderMutations,
}

/// Which thresholds and pools a request counts against.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum RoutingPriority {
    /// The usual one.
    #[default]
    Default,
    /// The other one.
    High,
}

/// Limit on a stream from its creation (Envoy: `RouteAction.MaxStreamDuration`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MaxStreamDuration {
    /// The limit; zero: none.
    pub max: Option<Nanos>,
    /// Cap on a `grpc-timeout` header, which then is the limit; zero: no cap.
    pub grpc_timeout_header_max: Option<Nanos>,
    /// Taken off a `grpc-timeout` header.
    pub grpc_timeout_header_offset: Option<Nanos>,
}

/// A rewrite of the path by a pattern.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegexRewrite {
    /// RE2 syntax.
    pub pattern: String,
    /// The replacement, with `\1` for groups.
    pub substitution: String,
}

/// One part of a consistent hash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HashPolicy {
    /// The value of a header.
    Header(String),
    /// The value of a cookie; generated with a lifetime if `ttl` is set.
    Cookie {
        /// The cookie's name.
        name: String,
        /// Lifetime of a generated cookie.
        ttl: Option<Nanos>,
    },
    /// The client's address.
    SourceIp,
    /// The value of a query parameter.
    QueryParameter(String),
}

/// One entry of a rate limit descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RateLimitAction {
    /// The value of a header, under a key; without the header there is no descriptor.
    RequestHeader {
        /// Lower-case header name.
        header: String,
        /// Descriptor key.
        key: String,
    },
    /// A fixed value.
    GenericKey {
        /// Descriptor key.
        key: String,
        /// Descriptor value.
        value: String,
    },
}

/// Redirects that the proxy follows itself (Envoy: `InternalRedirectPolicy`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InternalRedirect {
    /// How many in a row. `None`: 1.
    pub max_internal_redirects: Option<u32>,
    /// Which codes; empty: 302.
    pub redirect_response_codes: Vec<u16>,
}

/// A copy of the request that nobody waits for (Envoy: `RequestMirrorPolicy`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mirror {
    /// Where to.
    pub cluster: String,
    /// Which requests.
    pub fraction: FractionalPercent,
}

/// A redirect (Envoy: `RedirectAction`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Redirect {
    /// To https.
    pub https: bool,
    /// A new scheme.
    pub scheme: Option<String>,
    /// A new host.
    pub host: Option<String>,
    /// A new port.
    pub port: Option<u16>,
    /// A new path.
    pub path: Option<String>,
    /// Replaces the matched prefix.
    pub prefix_rewrite: Option<String>,
    /// Replaces what a pattern finds in the path.
    pub regex_rewrite: Option<RegexRewrite>,
    /// Whether the query is dropped.
    pub strip_query: bool,
    /// The status; `None`: 301.
    pub status: Option<u16>,
}

/// An answer of the proxy itself (Envoy: `DirectResponseAction`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DirectResponse {
    /// 200 to 599.
    pub status: u16,
    /// The body.
    pub body: String,
}

/// Changes to headers of requests and responses.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderMutations {
    /// Added to the request.
    pub request_to_add: Vec<HeaderToAdd>,
    /// Removed from the request, before the additions of the same level.
    pub request_to_remove: Vec<String>,
    /// Added to the response.
    pub response_to_add: Vec<HeaderToAdd>,
    /// Removed from the response, before the additions of the same level.
    pub response_to_remove: Vec<String>,
}

/// A header to add (Envoy: `HeaderValueOption`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HeaderToAdd {
    /// Lower-case name.
    pub name: String,
    /// The value; `%...%` is formatted.
    pub value: String,
    /// What happens to a header of that name.
    pub action: AppendAction,
}

/// What happens to a header that is there already (Envoy: `HeaderAppendAction`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum AppendAction {
    /// The value is added beside it.
    #[default]
    AppendIfExistsOrAdd,
    /// It stays alone.
    AddIfAbsent,
    /// It is replaced, or added where absent.
    OverwriteIfExistsOrAdd,
    /// It is replaced, and nothing is added where absent.
    OverwriteIfExists,
}
