//! HTTP filters.

use std::collections::BTreeMap;

use meshproof_proxy::{Nanos, config};
use serde::Deserialize;
use serde_json::Value;

use super::{
    LowerError, Millis,
    header::HeaderToAdd,
    matcher::{Claim, Header, Text},
    unit::{Share, milli, nanos, percent},
};

/// One filter of the chain.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub(crate) enum Filter {
    Fault(Fault),
    LocalRateLimit(LocalRateLimit),
    Rbac(Rbac),
    Jwt(Jwt),
    AdmissionControl(AdmissionControl),
    AdaptiveConcurrency(AdaptiveConcurrency),
}

impl Filter {
    pub(crate) fn lower(&self) -> Result<config::Filter, LowerError> {
        Ok(match self {
            Self::Fault(fault) => config::Filter::Fault(fault.lower()?),
            Self::LocalRateLimit(limit) => config::Filter::LocalRateLimit(limit.lower()),
            Self::Rbac(rbac) => config::Filter::Rbac(rbac.lower()?),
            Self::Jwt(jwt) => config::Filter::Jwt(jwt.lower()),
            Self::AdmissionControl(control) => config::Filter::AdmissionControl(control.lower()),
            Self::AdaptiveConcurrency(adaptive) => config::Filter::AdaptiveConcurrency(adaptive.lower()),
        })
    }
}

/// Delays and aborts.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fault {
    delay: Option<Delay>,
    abort: Option<Abort>,
    max_active_faults: Option<u32>,
    #[serde(default)]
    headers: Vec<Header>,
    upstream_cluster: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Delay {
    fixed_ms: Option<Millis>,
    #[serde(default, rename = "header")]
    _header: bool,
    percent: Option<Share>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Abort {
    http_status: Option<u16>,
    grpc_status: Option<u32>,
    #[serde(default, rename = "header")]
    _header: bool,
    percent: Option<Share>,
}

impl Fault {
    pub(crate) fn lower(&self) -> Result<config::Fault, LowerError> {
        Ok(config::Fault {
            delay: self.delay.as_ref().map(|delay| config::FaultDelay {
                fixed: nanos(delay.fixed_ms),
                percentage: Share::or_always(delay.percent),
            }),
            abort: self.abort.as_ref().map(|abort| config::FaultAbort {
                with: match (abort.http_status, abort.grpc_status) {
                    (Some(status), _) => config::AbortWith::HttpStatus(status),
                    (None, Some(status)) => config::AbortWith::GrpcStatus(status),
                    (None, None) => config::AbortWith::Header,
                },
                percentage: Share::or_always(abort.percent),
            }),
            max_active_faults: self.max_active_faults,
            headers: Header::lower_all(&self.headers)?,
            upstream_cluster: self.upstream_cluster.clone(),
        })
    }
}

/// A token bucket in the proxy.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct LocalRateLimit {
    bucket: Bucket,
    enabled_percent: Option<Share>,
    enforced_percent: Option<Share>,
    status: Option<u16>,
    #[serde(default)]
    response_headers_to_add: Vec<HeaderToAdd>,
    #[serde(default)]
    x_ratelimit_headers: bool,
    #[serde(default)]
    per_connection: bool,
    #[serde(default)]
    descriptors: Vec<Descriptor>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Descriptor {
    entries: Vec<(String, String)>,
    bucket: Bucket,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields)]
struct Bucket {
    max_tokens: u32,
    tokens_per_fill: Option<u32>,
    fill_interval_ms: Millis,
}

impl LocalRateLimit {
    pub(crate) fn lower(&self) -> config::LocalRateLimit {
        config::LocalRateLimit {
            bucket: self.bucket.lower(),
            enabled: Share::or_always(self.enabled_percent),
            enforced: Share::or_always(self.enforced_percent),
            status: self.status,
            response_headers_to_add: HeaderToAdd::lower_all(&self.response_headers_to_add),
            x_ratelimit_headers: self.x_ratelimit_headers,
            per_connection: self.per_connection,
            descriptors: self
                .descriptors
                .iter()
                .map(|descriptor| config::LocalRateLimitDescriptor {
                    entries: descriptor.entries.clone(),
                    bucket: descriptor.bucket.lower(),
                })
                .collect(),
        }
    }
}

impl Bucket {
    fn lower(self) -> config::TokenBucket {
        config::TokenBucket {
            max_tokens: self.max_tokens,
            tokens_per_fill: self.tokens_per_fill.unwrap_or(1),
            fill_interval: self.fill_interval_ms.nanos(),
        }
    }
}

/// Access control.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Rbac {
    rules: Option<Rules>,
    shadow_rules: Option<Rules>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rules {
    action: RulesAction,
    policies: BTreeMap<String, Policy>,
}

#[derive(Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
enum RulesAction {
    Allow,
    Deny,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Policy {
    permissions: Vec<Permission>,
    principals: Vec<Principal>,
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Permission {
    Any(bool),
    Path(Text),
    Method(String),
    Host(Text),
    Header(Header),
    AllOf(Vec<Permission>),
    AnyOf(Vec<Permission>),
    Not(Box<Permission>),
}

#[derive(Deserialize)]
#[serde(rename_all = "snake_case")]
enum Principal {
    Any(bool),
    Header(Header),
    DirectRemoteIp(String),
    RemoteIp(String),
    Authenticated(Authenticated),
    Claim(Claim),
    AllOf(Vec<Principal>),
    AnyOf(Vec<Principal>),
    Not(Box<Principal>),
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Authenticated {
    Any(bool),
    Name(Text),
}

impl Rbac {
    fn lower(&self) -> Result<config::Rbac, LowerError> {
        Ok(config::Rbac {
            rules: self.rules.as_ref().map(Rules::lower).transpose()?,
            shadow_rules: self.shadow_rules.as_ref().map(Rules::lower).transpose()?,
        })
    }

    /// An empty body switches the filter off.
    pub(crate) fn lower_override(&self) -> Result<Option<config::Rbac>, LowerError> {
        if self.rules.is_none() && self.shadow_rules.is_none() {
            return Ok(None);
        }
        self.lower().map(Some)
    }
}

impl Rules {
    fn lower(&self) -> Result<config::RbacRules, LowerError> {
        let policies = self
            .policies
            .iter()
            .map(|(name, policy)| {
                Ok(config::RbacPolicy {
                    name: name.clone(),
                    permissions: policy.permissions.iter().map(Permission::lower).collect::<Result<_, _>>()?,
                    principals: policy.principals.iter().map(Principal::lower).collect::<Result<_, _>>()?,
                })
            })
            .collect::<Result<_, LowerError>>()?;
        let action = match self.action {
            RulesAction::Allow => config::RbacAction::Allow,
            RulesAction::Deny => config::RbacAction::Deny,
        };
        Ok(config::RbacRules { action, policies })
    }
}

impl Permission {
    fn lower(&self) -> Result<config::Permission, LowerError> {
        let all = |list: &[Self]| list.iter().map(Self::lower).collect::<Result<Vec<_>, _>>();
        Ok(match self {
            Self::Any(true) => config::Permission::Any,
            Self::Any(false) => config::Permission::Not(Box::new(config::Permission::Any)),
            Self::Path(text) => config::Permission::Path(text.lower()?),
            Self::Method(method) => config::Permission::Header(pseudo(":method", config::StringMatcher::exact(method))),
            Self::Host(text) => config::Permission::Header(pseudo(":authority", text.lower()?)),
            Self::Header(header) => config::Permission::Header(header.lower()?),
            Self::AllOf(list) => config::Permission::AllOf(all(list)?),
            Self::AnyOf(list) => config::Permission::AnyOf(all(list)?),
            Self::Not(inner) => config::Permission::Not(Box::new(inner.lower()?)),
        })
    }
}

fn pseudo(name: &str, value: config::StringMatcher) -> config::HeaderMatcher {
    config::HeaderMatcher {
        name: name.to_owned(),
        value: config::HeaderValueMatcher::Text(value),
        invert: false,
        treat_missing_as_empty: false,
    }
}

impl Principal {
    fn lower(&self) -> Result<config::Principal, LowerError> {
        let all = |list: &[Self]| list.iter().map(Self::lower).collect::<Result<Vec<_>, _>>();
        Ok(match self {
            Self::Any(true) => config::Principal::Any,
            Self::Any(false) => config::Principal::Not(Box::new(config::Principal::Any)),
            Self::Header(header) => config::Principal::Header(header.lower()?),
            Self::DirectRemoteIp(block) => config::Principal::DirectRemoteIp(block.clone()),
            Self::RemoteIp(block) => config::Principal::RemoteIp(block.clone()),
            Self::Authenticated(Authenticated::Any(true)) => config::Principal::Authenticated(None),
            Self::Authenticated(Authenticated::Any(false)) => {
                config::Principal::Not(Box::new(config::Principal::Authenticated(None)))
            }
            Self::Authenticated(Authenticated::Name(text)) => config::Principal::Authenticated(text.lower_optional()),
            Self::Claim(claim) => config::Principal::Claim(claim.lower()?),
            Self::AllOf(list) => config::Principal::AllOf(all(list)?),
            Self::AnyOf(list) => config::Principal::AnyOf(all(list)?),
            Self::Not(inner) => config::Principal::Not(Box::new(inner.lower()?)),
        })
    }
}

/// JSON web tokens.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Jwt {
    providers: BTreeMap<String, Provider>,
    #[serde(default)]
    rules: Vec<JwtRule>,
    #[serde(default)]
    requirement_map: BTreeMap<String, Requirement>,
    #[serde(default)]
    bypass_cors_preflight: bool,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Provider {
    #[serde(default)]
    issuer: String,
    #[serde(default)]
    audiences: Vec<String>,
    keys: Option<Vec<String>>,
    #[serde(default)]
    forward: bool,
    clock_skew_s: Option<u64>,
    max_lifetime_s: Option<u64>,
    #[serde(default)]
    require_expiration: bool,
    #[serde(default)]
    from_headers: Vec<FromHeader>,
    #[serde(default)]
    from_params: Vec<String>,
    #[serde(default)]
    from_cookies: Vec<String>,
    #[serde(default)]
    claim_to_headers: Vec<ClaimToHeader>,
    payload_in_metadata: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FromHeader {
    name: String,
    #[serde(default)]
    prefix: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ClaimToHeader {
    header: String,
    claim: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct JwtRule {
    #[serde(rename = "match")]
    matches: Prefix,
    requires: Option<Requirement>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Prefix {
    prefix: String,
}

#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
enum Requirement {
    Provider {
        provider: String,
        #[serde(default)]
        audiences: Vec<String>,
    },
    AnyOf {
        any_of: Vec<Requirement>,
    },
    AllOf {
        all_of: Vec<Requirement>,
    },
    AllowMissing {
        #[serde(rename = "allow_missing")]
        _truth: Value,
    },
    AllowMissingOrFailed {
        #[serde(rename = "allow_missing_or_failed")]
        _truth: Value,
    },
}

/// What a route asks of tokens.
#[derive(Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum JwtOverride {
    Disabled {
        #[serde(rename = "disabled")]
        _truth: bool,
    },
    Named {
        requirement_name: String,
    },
}

impl Jwt {
    fn lower(&self) -> config::Jwt {
        config::Jwt {
            providers: self.providers.iter().map(|(name, provider)| (name.clone(), provider.lower())).collect(),
            rules: self
                .rules
                .iter()
                .map(|rule| config::JwtRule {
                    prefix: rule.matches.prefix.clone(),
                    requires: rule.requires.as_ref().map(Requirement::lower),
                })
                .collect(),
            requirement_map: self.requirement_map.iter().map(|(name, it)| (name.clone(), it.lower())).collect(),
            bypass_cors_preflight: self.bypass_cors_preflight,
        }
    }
}

impl Provider {
    fn lower(&self) -> config::JwtProvider {
        config::JwtProvider {
            issuer: self.issuer.clone(),
            audiences: self.audiences.clone(),
            keys: self.keys.clone().unwrap_or_else(|| vec!["right".to_owned()]),
            forward: self.forward,
            clock_skew: self.clock_skew_s.map(Nanos::from_secs),
            max_lifetime: self.max_lifetime_s.map(Nanos::from_secs),
            require_expiration: self.require_expiration,
            from_headers: self
                .from_headers
                .iter()
                .map(|place| (place.name.to_ascii_lowercase(), place.prefix.clone()))
                .collect(),
            from_params: self.from_params.clone(),
            from_cookies: self.from_cookies.clone(),
            claim_to_headers: self
                .claim_to_headers
                .iter()
                .map(|pair| (pair.header.to_ascii_lowercase(), pair.claim.clone()))
                .collect(),
            payload_in_metadata: self.payload_in_metadata.clone(),
        }
    }
}

impl Requirement {
    fn lower(&self) -> config::JwtRequirement {
        let all = |list: &[Self]| list.iter().map(Self::lower).collect();
        match self {
            Self::Provider { provider, audiences } => {
                config::JwtRequirement::Provider { name: provider.clone(), audiences: audiences.clone() }
            }
            Self::AnyOf { any_of } => config::JwtRequirement::AnyOf(all(any_of)),
            Self::AllOf { all_of } => config::JwtRequirement::AllOf(all(all_of)),
            Self::AllowMissing { .. } => config::JwtRequirement::AllowMissing,
            Self::AllowMissingOrFailed { .. } => config::JwtRequirement::AllowMissingOrFailed,
        }
    }
}

impl JwtOverride {
    pub(crate) fn lower(&self) -> config::JwtOverride {
        match self {
            Self::Disabled { .. } => config::JwtOverride::Disabled,
            Self::Named { requirement_name } => config::JwtOverride::Requirement(requirement_name.clone()),
        }
    }
}

/// Rejects as the success rate falls.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdmissionControl {
    enabled: Option<bool>,
    sampling_window_ms: Option<Millis>,
    aggression: Option<f64>,
    success_rate_threshold_percent: Option<f64>,
    rps_threshold: Option<u32>,
    max_rejection_probability_percent: Option<f64>,
    #[serde(default)]
    http_success: Vec<(u16, u16)>,
}

impl AdmissionControl {
    fn lower(&self) -> config::AdmissionControl {
        config::AdmissionControl {
            enabled: self.enabled,
            sampling_window: nanos(self.sampling_window_ms),
            aggression_milli: milli(self.aggression),
            success_rate_threshold: percent(self.success_rate_threshold_percent),
            rps_threshold: self.rps_threshold,
            max_rejection_probability: percent(self.max_rejection_probability_percent),
            http_success: self.http_success.clone(),
        }
    }
}

/// Limits concurrency as the latency grows.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct AdaptiveConcurrency {
    limit: Limit,
    min_rtt: MinRtt,
    sample_percentile: Option<f64>,
    status: Option<u16>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Limit {
    max_concurrency: Option<u32>,
    update_interval_ms: Millis,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct MinRtt {
    interval_ms: Option<Millis>,
    request_count: Option<u32>,
    fixed_ms: Option<Millis>,
    min_concurrency: Option<u32>,
    buffer_percent: Option<f64>,
}

impl AdaptiveConcurrency {
    fn lower(&self) -> config::AdaptiveConcurrency {
        config::AdaptiveConcurrency {
            max_concurrency: self.limit.max_concurrency,
            update_interval: self.limit.update_interval_ms.nanos(),
            min_rtt_interval: nanos(self.min_rtt.interval_ms),
            min_rtt_request_count: self.min_rtt.request_count,
            fixed_min_rtt: nanos(self.min_rtt.fixed_ms),
            min_concurrency: self.min_rtt.min_concurrency,
            buffer: percent(self.min_rtt.buffer_percent),
            sample_percentile: percent(self.sample_percentile),
            status: self.status,
        }
    }
}
