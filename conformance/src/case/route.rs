//! Listeners, virtual hosts and routes.

use std::collections::BTreeMap;

use meshproof_proxy::config;
use serde::Deserialize;

use super::{
    LowerError, Millis,
    filter::{Fault, JwtOverride, LocalRateLimit, Rbac},
    header::{HeaderToAdd, lower_case},
    matcher::{Header, Query},
    retry::Retry,
    tls,
    unit::{Share, nanos},
};

/// Header changes, which have the same four keys at every level.
macro_rules! mutations {
    ($level:expr) => {
        config::HeaderMutations {
            request_to_add: HeaderToAdd::lower_all(&$level.request_headers_to_add),
            request_to_remove: lower_case(&$level.request_headers_to_remove),
            response_to_add: HeaderToAdd::lower_all(&$level.response_headers_to_add),
            response_to_remove: lower_case(&$level.response_headers_to_remove),
        }
    };
}

/// Overrides of filters, which have the same four keys for a virtual host and a route.
macro_rules! overrides {
    ($level:expr) => {
        [
            $level.fault.as_ref().map(|fault| fault.lower().map(|it| config::FilterOverride::Fault(Some(it)))),
            $level
                .local_rate_limit
                .as_ref()
                .map(|limit| Ok(config::FilterOverride::LocalRateLimit(Some(limit.lower())))),
            $level.rbac.as_ref().map(|rbac| rbac.lower_override().map(config::FilterOverride::Rbac)),
            $level.jwt.as_ref().map(|jwt| Ok(config::FilterOverride::Jwt(jwt.lower()))),
        ]
        .into_iter()
        .flatten()
        .collect::<Result<Vec<_>, LowerError>>()?
    };
}

/// The recordings show this for the address of the machine that they were made on.
const NODE_ADDRESS: &str = "<node-address>";

/// Where requests arrive.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct Listener {
    use_remote_address: bool,
    internal_cidrs: Vec<String>,
    normalize_path: bool,
    merge_slashes: bool,
    escaped_slashes: EscapedSlashes,
    strip_any_host_port: bool,
    stream_idle_timeout_ms: Option<Millis>,
    request_timeout_ms: Option<Millis>,
    max_stream_duration_ms: Option<Millis>,
    suppress_envoy_headers: bool,
    respect_expected_rq_timeout: bool,
    strict_check_headers: Vec<String>,
    tls: Option<tls::Downstream>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum EscapedSlashes {
    #[default]
    KeepUnchanged,
    RejectRequest,
    UnescapeAndRedirect,
    UnescapeAndForward,
}

/// Options of the route configuration.
#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(crate) struct RouteConfig {
    request_headers_to_add: Vec<HeaderToAdd>,
    request_headers_to_remove: Vec<String>,
    response_headers_to_add: Vec<HeaderToAdd>,
    response_headers_to_remove: Vec<String>,
    most_specific_header_mutations_wins: bool,
    ignore_port_in_host_matching: bool,
}

/// Routes of a set of domains.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct VirtualHost {
    name: String,
    domains: Vec<String>,
    routes: Vec<Route>,
    retry: Option<Retry>,
    require_tls: Option<RequireTls>,
    #[serde(default)]
    include_request_attempt_count: bool,
    #[serde(default)]
    include_attempt_count_in_response: bool,
    #[serde(default)]
    request_headers_to_add: Vec<HeaderToAdd>,
    #[serde(default)]
    request_headers_to_remove: Vec<String>,
    #[serde(default)]
    response_headers_to_add: Vec<HeaderToAdd>,
    #[serde(default)]
    response_headers_to_remove: Vec<String>,
    fault: Option<Fault>,
    local_rate_limit: Option<LocalRateLimit>,
    rbac: Option<Rbac>,
    jwt: Option<JwtOverride>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RequireTls {
    All,
    ExternalOnly,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Route {
    name: String,
    #[serde(rename = "match")]
    matches: RouteMatch,
    action: Action,
    timeout_ms: Option<Millis>,
    idle_timeout_ms: Option<Millis>,
    max_stream_duration: Option<MaxStreamDuration>,
    retry: Option<Retry>,
    #[serde(default)]
    hedge_on_per_try_timeout: bool,
    prefix_rewrite: Option<String>,
    regex_rewrite: Option<RegexRewrite>,
    host_rewrite: Option<String>,
    host_rewrite_header: Option<String>,
    #[serde(default)]
    append_x_forwarded_host: bool,
    #[serde(default)]
    priority: Priority,
    #[serde(default)]
    metadata_match: BTreeMap<String, String>,
    #[serde(default)]
    hash_policy: Vec<HashPolicy>,
    #[serde(default)]
    rate_limit_actions: Vec<Vec<RateLimitAction>>,
    internal_redirect: Option<InternalRedirect>,
    #[serde(default)]
    mirror: Vec<Mirror>,
    #[serde(default)]
    request_headers_to_add: Vec<HeaderToAdd>,
    #[serde(default)]
    request_headers_to_remove: Vec<String>,
    #[serde(default)]
    response_headers_to_add: Vec<HeaderToAdd>,
    #[serde(default)]
    response_headers_to_remove: Vec<String>,
    fault: Option<Fault>,
    local_rate_limit: Option<LocalRateLimit>,
    rbac: Option<Rbac>,
    jwt: Option<JwtOverride>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteMatch {
    prefix: Option<String>,
    path: Option<String>,
    regex: Option<String>,
    path_separated_prefix: Option<String>,
    uri_template: Option<String>,
    case_sensitive: Option<bool>,
    #[serde(default)]
    headers: Vec<Header>,
    #[serde(default)]
    query: Vec<Query>,
    #[serde(default)]
    grpc: bool,
    runtime_fraction: Option<Share>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Action {
    cluster: Option<String>,
    weighted: Option<Vec<Weighted>>,
    cluster_header: Option<String>,
    redirect: Option<Redirect>,
    direct_response: Option<DirectResponse>,
    cluster_not_found_status: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Weighted {
    cluster: String,
    weight: u32,
    #[serde(default)]
    request_headers_to_add: Vec<HeaderToAdd>,
    #[serde(default)]
    request_headers_to_remove: Vec<String>,
    #[serde(default)]
    response_headers_to_add: Vec<HeaderToAdd>,
    #[serde(default)]
    response_headers_to_remove: Vec<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Redirect {
    #[serde(default)]
    https: bool,
    scheme: Option<String>,
    host: Option<String>,
    port: Option<u16>,
    path: Option<String>,
    prefix_rewrite: Option<String>,
    regex_rewrite: Option<RegexRewrite>,
    #[serde(default)]
    strip_query: bool,
    status: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DirectResponse {
    status: u16,
    #[serde(default)]
    body: String,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RegexRewrite {
    pattern: String,
    substitution: String,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct MaxStreamDuration {
    max_ms: Option<Millis>,
    grpc_timeout_header_max_ms: Option<Millis>,
    grpc_timeout_header_offset_ms: Option<Millis>,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Priority {
    #[default]
    Default,
    High,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct HashPolicy {
    header: Option<String>,
    query: Option<String>,
    cookie: Option<String>,
    #[serde(default)]
    source_ip: bool,
}

impl HashPolicy {
    fn lower(&self) -> Option<config::HashPolicy> {
        let header = self.header.as_ref().map(|name| config::HashPolicy::Header(name.to_ascii_lowercase()));
        let query = || self.query.clone().map(config::HashPolicy::QueryParameter);
        let cookie = || self.cookie.clone().map(|name| config::HashPolicy::Cookie { name, ttl: None });
        header.or_else(query).or_else(cookie).or_else(|| self.source_ip.then_some(config::HashPolicy::SourceIp))
    }
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum RateLimitAction {
    Header { header: String, key: String },
    Generic { key: String, value: String },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct InternalRedirect {
    max: Option<u32>,
    #[serde(default)]
    codes: Vec<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Mirror {
    cluster: String,
    percent: Option<Share>,
}

impl Listener {
    pub(crate) fn lower(&self, name: &str, identities: &tls::Identities) -> Result<config::Listener, LowerError> {
        Ok(config::Listener {
            name: name.to_owned(),
            tls: self.tls.as_ref().map(|tls| tls.lower(identities)).transpose()?.unwrap_or_default(),
            connection_manager: config::ConnectionManager {
                use_remote_address: self.use_remote_address,
                internal_cidrs: self.internal_cidrs.clone(),
                node_address: Some(NODE_ADDRESS.to_owned()),
                normalize_path: self.normalize_path,
                merge_slashes: self.merge_slashes,
                escaped_slashes: match self.escaped_slashes {
                    EscapedSlashes::KeepUnchanged => config::EscapedSlashes::KeepUnchanged,
                    EscapedSlashes::RejectRequest => config::EscapedSlashes::RejectRequest,
                    EscapedSlashes::UnescapeAndRedirect => config::EscapedSlashes::UnescapeAndRedirect,
                    EscapedSlashes::UnescapeAndForward => config::EscapedSlashes::UnescapeAndForward,
                },
                strip_any_host_port: self.strip_any_host_port,
                stream_idle_timeout: nanos(self.stream_idle_timeout_ms),
                request_timeout: nanos(self.request_timeout_ms),
                max_stream_duration: nanos(self.max_stream_duration_ms),
            },
            router: config::RouterOptions {
                suppress_envoy_headers: self.suppress_envoy_headers,
                respect_expected_rq_timeout: self.respect_expected_rq_timeout,
                strict_check_headers: self.strict_check_headers.clone(),
            },
            ..config::Listener::default()
        })
    }
}

impl RouteConfig {
    pub(crate) fn lower(&self, hosts: &[VirtualHost]) -> Result<config::RouteConfiguration, LowerError> {
        Ok(config::RouteConfiguration {
            virtual_hosts: hosts.iter().map(VirtualHost::lower).collect::<Result<_, _>>()?,
            headers: mutations!(self),
            most_specific_header_mutations_wins: self.most_specific_header_mutations_wins,
            ignore_port_in_host_matching: self.ignore_port_in_host_matching,
        })
    }
}

impl VirtualHost {
    fn lower(&self) -> Result<config::VirtualHost, LowerError> {
        Ok(config::VirtualHost {
            name: self.name.clone(),
            domains: self.domains.clone(),
            routes: self.routes.iter().map(Route::lower).collect::<Result<_, _>>()?,
            retry: self.retry.as_ref().map(Retry::lower).transpose()?,
            require_tls: match self.require_tls {
                None => config::RequireTls::None,
                Some(RequireTls::All) => config::RequireTls::All,
                Some(RequireTls::ExternalOnly) => config::RequireTls::ExternalOnly,
            },
            include_request_attempt_count: self.include_request_attempt_count,
            include_attempt_count_in_response: self.include_attempt_count_in_response,
            headers: mutations!(self),
            filter_overrides: overrides!(self),
        })
    }
}

impl Route {
    fn lower(&self) -> Result<config::Route, LowerError> {
        Ok(config::Route {
            name: self.name.clone(),
            matches: self.matches.lower(&self.name)?,
            action: self.lower_action()?,
            headers: mutations!(self),
            filter_overrides: overrides!(self),
        })
    }

    fn lower_action(&self) -> Result<config::Action, LowerError> {
        if let Some(redirect) = &self.action.redirect {
            return Ok(config::Action::Redirect(redirect.lower()));
        }
        if let Some(DirectResponse { status, body }) = &self.action.direct_response {
            return Ok(config::Action::DirectResponse(config::DirectResponse { status: *status, body: body.clone() }));
        }
        let mut action = config::RouteAction::to(self.action.cluster(&self.name)?);
        if let Some(status) = self.action.cluster_not_found_status {
            action.cluster_not_found_status = status;
        }
        self.lower_limits(&mut action)?;
        self.lower_rewrites(&mut action);
        action.priority = self.priority.lower();
        action.metadata_match = self.metadata_match.clone().into_iter().collect();
        action.hash_policy = self.hash_policy.iter().filter_map(HashPolicy::lower).collect();
        action.rate_limit_actions = self
            .rate_limit_actions
            .iter()
            .map(|descriptor| descriptor.iter().map(RateLimitAction::lower).collect())
            .collect();
        action.internal_redirect = self.internal_redirect.as_ref().map(|redirect| config::InternalRedirect {
            max_internal_redirects: redirect.max,
            redirect_response_codes: redirect.codes.clone(),
        });
        action.mirrors = self
            .mirror
            .iter()
            .map(|mirror| config::Mirror {
                cluster: mirror.cluster.clone(),
                fraction: Share::or_always(mirror.percent),
            })
            .collect();
        Ok(config::Action::Forward(Box::new(action)))
    }

    fn lower_limits(&self, action: &mut config::RouteAction) -> Result<(), LowerError> {
        action.timeout = nanos(self.timeout_ms);
        action.idle_timeout = nanos(self.idle_timeout_ms);
        action.max_stream_duration = self.max_stream_duration.map(|limit| config::MaxStreamDuration {
            max: nanos(limit.max_ms),
            grpc_timeout_header_max: nanos(limit.grpc_timeout_header_max_ms),
            grpc_timeout_header_offset: nanos(limit.grpc_timeout_header_offset_ms),
        });
        action.retry = self.retry.as_ref().map(Retry::lower).transpose()?;
        action.hedge_on_per_try_timeout = self.hedge_on_per_try_timeout;
        Ok(())
    }

    fn lower_rewrites(&self, action: &mut config::RouteAction) {
        action.prefix_rewrite.clone_from(&self.prefix_rewrite);
        action.regex_rewrite = self.regex_rewrite.as_ref().map(RegexRewrite::lower);
        action.host_rewrite.clone_from(&self.host_rewrite);
        action.host_rewrite_header.clone_from(&self.host_rewrite_header);
        action.append_x_forwarded_host = self.append_x_forwarded_host;
    }
}

impl RouteMatch {
    fn lower(&self, route: &str) -> Result<config::RouteMatch, LowerError> {
        use config::PathMatcher::{Path, PathSeparatedPrefix, Prefix, Regex, UriTemplate};
        let path = None
            .or_else(|| self.prefix.clone().map(Prefix))
            .or_else(|| self.path.clone().map(Path))
            .or_else(|| self.regex.clone().map(Regex))
            .or_else(|| self.path_separated_prefix.clone().map(PathSeparatedPrefix))
            .or_else(|| self.uri_template.clone().map(UriTemplate))
            .ok_or_else(|| LowerError::EmptyMatcher(route.to_owned()))?;
        Ok(config::RouteMatch {
            path,
            case_sensitive: self.case_sensitive.unwrap_or(true),
            headers: Header::lower_all(&self.headers)?,
            query: self.query.iter().map(Query::lower).collect::<Result<_, _>>()?,
            grpc: self.grpc,
            runtime_fraction: self.runtime_fraction.map(|share| {
                let fraction = share.lower();
                (fraction.numerator, fraction.denominator)
            }),
        })
    }
}

impl Action {
    fn cluster(&self, route: &str) -> Result<config::ClusterSpecifier, LowerError> {
        if let Some(cluster) = &self.cluster {
            return Ok(config::ClusterSpecifier::Cluster(cluster.clone()));
        }
        if let Some(header) = &self.cluster_header {
            return Ok(config::ClusterSpecifier::Header(header.to_ascii_lowercase()));
        }
        let weighted = self.weighted.as_ref().ok_or_else(|| LowerError::EmptyAction(route.to_owned()))?;
        Ok(config::ClusterSpecifier::Weighted(
            weighted
                .iter()
                .map(|entry| config::WeightedCluster {
                    name: entry.cluster.clone(),
                    weight: entry.weight,
                    headers: mutations!(entry),
                })
                .collect(),
        ))
    }
}

impl Redirect {
    fn lower(&self) -> config::Redirect {
        config::Redirect {
            https: self.https,
            scheme: self.scheme.clone(),
            host: self.host.clone(),
            port: self.port,
            path: self.path.clone(),
            prefix_rewrite: self.prefix_rewrite.clone(),
            regex_rewrite: self.regex_rewrite.as_ref().map(RegexRewrite::lower),
            strip_query: self.strip_query,
            status: self.status,
        }
    }
}

impl RegexRewrite {
    fn lower(&self) -> config::RegexRewrite {
        config::RegexRewrite { pattern: self.pattern.clone(), substitution: self.substitution.clone() }
    }
}

impl Priority {
    pub(crate) fn lower(self) -> config::RoutingPriority {
        match self {
            Self::Default => config::RoutingPriority::Default,
            Self::High => config::RoutingPriority::High,
        }
    }
}

impl RateLimitAction {
    fn lower(&self) -> config::RateLimitAction {
        match self {
            Self::Header { header, key } => {
                config::RateLimitAction::RequestHeader { header: header.to_ascii_lowercase(), key: key.clone() }
            }
            Self::Generic { key, value } => {
                config::RateLimitAction::GenericKey { key: key.clone(), value: value.clone() }
            }
        }
    }
}
