//! HTTP filters before the router, in the order of the chain.

use serde::{Deserialize, Serialize};

use super::{HeaderMatcher, HeaderToAdd, StringMatcher};
use crate::{FractionalPercent, Nanos, Percent};

/// One HTTP filter.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Filter {
    /// Delays and aborts.
    Fault(Fault),
    /// A token bucket in this proxy.
    LocalRateLimit(LocalRateLimit),
    /// Role-based access control.
    Rbac(Rbac),
    /// JSON web tokens.
    Jwt(Jwt),
    /// Rejects as the success rate falls.
    AdmissionControl(AdmissionControl),
    /// Limits concurrency as the latency grows.
    AdaptiveConcurrency(AdaptiveConcurrency),
    /// Asks an external authorizer.
    ExtAuthz(ExtAuthz),
    /// Asks the rate limit service.
    RateLimit(RateLimit),
}

/// A filter's configuration for one route or virtual host, in place of the chain's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FilterOverride {
    /// For the fault filter; `None` switches it off.
    Fault(Option<Fault>),
    /// For the local rate limit; `None` switches it off.
    LocalRateLimit(Option<LocalRateLimit>),
    /// For access control; `None` switches it off.
    Rbac(Option<Rbac>),
    /// For tokens.
    Jwt(JwtOverride),
}

/// Delays and aborts (Envoy: `HTTPFault`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// The delay.
    pub delay: Option<FaultDelay>,
    /// The abort.
    pub abort: Option<FaultAbort>,
    /// Delays at a time. `None`: no limit.
    pub max_active_faults: Option<u32>,
    /// Only requests that match all of these.
    pub headers: Vec<HeaderMatcher>,
    /// Only requests routed to this cluster.
    pub upstream_cluster: Option<String>,
}

/// A delay of requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultDelay {
    /// `None`: the header `x-envoy-fault-delay-request` says how long.
    pub fixed: Option<Nanos>,
    /// Which requests.
    pub percentage: FractionalPercent,
}

/// An end of requests before they are routed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FaultAbort {
    /// The answer.
    pub with: AbortWith,
    /// Which requests.
    pub percentage: FractionalPercent,
}

/// The answer of an abort.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum AbortWith {
    /// An HTTP status.
    HttpStatus(u16),
    /// A gRPC status.
    GrpcStatus(u32),
    /// What the header `x-envoy-fault-abort-request` says.
    Header,
}

/// A token bucket in this proxy (Envoy: `LocalRateLimit`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalRateLimit {
    /// The default bucket.
    pub bucket: TokenBucket,
    /// Which requests are counted; Envoy's default is none.
    pub enabled: FractionalPercent,
    /// Which requests over the limit are refused; Envoy's default is none.
    pub enforced: FractionalPercent,
    /// Below 400 counts as 429. `None`: 429.
    pub status: Option<u16>,
    /// Added to refusals.
    pub response_headers_to_add: Vec<HeaderToAdd>,
    /// Whether `x-ratelimit-*` headers are sent.
    pub x_ratelimit_headers: bool,
    /// Whether each downstream connection has buckets of its own.
    pub per_connection: bool,
    /// Buckets for requests with certain descriptors.
    pub descriptors: Vec<LocalRateLimitDescriptor>,
}

/// A bucket for requests with a certain descriptor.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LocalRateLimitDescriptor {
    /// Keys and values. An empty value stands for any, and each that comes has a bucket of its own.
    pub entries: Vec<(String, String)>,
    /// Its bucket.
    pub bucket: TokenBucket,
}

/// A token bucket that starts full and refills continuously.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenBucket {
    /// Its size.
    pub max_tokens: u32,
    /// Tokens added in each interval.
    pub tokens_per_fill: u32,
    /// The interval.
    pub fill_interval: Nanos,
}

/// Role-based access control (Envoy: `RBAC`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rbac {
    /// `None`: everything is allowed.
    pub rules: Option<RbacRules>,
    /// Rules that are only counted.
    pub shadow_rules: Option<RbacRules>,
}

/// An action and the policies that it applies to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RbacRules {
    /// What a match means.
    pub action: RbacAction,
    /// Policies; the first by name that matches is reported.
    pub policies: Vec<RbacPolicy>,
}

/// What a match of a policy means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RbacAction {
    /// Only requests that match are allowed.
    Allow,
    /// Requests that match are refused.
    Deny,
    /// Requests that match are logged.
    Log,
}

/// A policy: some permission and some principal match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RbacPolicy {
    /// Its name.
    pub name: String,
    /// What is asked for: any of these.
    pub permissions: Vec<Permission>,
    /// Who asks: any of these.
    pub principals: Vec<Principal>,
}

/// What is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Permission {
    /// Anything.
    Any,
    /// The path without its query.
    Path(StringMatcher),
    /// The path against a template with `{*}` and `{**}`.
    PathTemplate(String),
    /// A header or pseudo-header.
    Header(HeaderMatcher),
    /// The port that was dialled.
    DestinationPort(u16),
    /// The address that was dialled, as a CIDR block.
    DestinationIp(String),
    /// The name of the TLS connection.
    RequestedServerName(StringMatcher),
    /// A value that another filter has left behind; some of these matches.
    Metadata {
        /// The filter's name.
        filter: String,
        /// The value's key.
        key: String,
        /// On the value: any of these.
        any: Vec<ClaimValueMatcher>,
    },
    /// All of them.
    AllOf(Vec<Permission>),
    /// Any of them.
    AnyOf(Vec<Permission>),
    /// Not this.
    Not(Box<Permission>),
}

/// Who asks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Principal {
    /// Anyone.
    Any,
    /// A header or pseudo-header.
    Header(HeaderMatcher),
    /// The peer's address, as a CIDR block.
    DirectRemoteIp(String),
    /// The client's address, as a CIDR block.
    RemoteIp(String),
    /// The peer's identity over mutual TLS; `None`: any.
    Authenticated(Option<StringMatcher>),
    /// A claim of a verified token.
    Claim(ClaimMatcher),
    /// All of them.
    AllOf(Vec<Principal>),
    /// Any of them.
    AnyOf(Vec<Principal>),
    /// Not this.
    Not(Box<Principal>),
}

/// A condition on a claim of a verified token.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClaimMatcher {
    /// The provider's metadata key, then the way to the claim.
    pub path: Vec<String>,
    /// On its value.
    pub value: ClaimValueMatcher,
}

/// What is asked of a claim.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClaimValueMatcher {
    /// A text.
    Text(StringMatcher),
    /// A truth value.
    Bool(bool),
    /// Some element of a list.
    OneOf(StringMatcher),
}

/// JSON web tokens (Envoy: `JwtAuthentication`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Jwt {
    /// Issuers by name.
    pub providers: Vec<(String, JwtProvider)>,
    /// What is asked of a request; the first rule that matches decides.
    pub rules: Vec<JwtRule>,
    /// Requirements that routes name.
    pub requirement_map: Vec<(String, JwtRequirement)>,
    /// Whether CORS preflights pass.
    pub bypass_cors_preflight: bool,
}

/// An issuer of tokens.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwtProvider {
    /// The `iss` claim; empty: any.
    pub issuer: String,
    /// One of these must be in the `aud` claim; empty: any.
    pub audiences: Vec<String>,
    /// Names of the keys that it publishes.
    pub keys: Vec<String>,
    /// Whether the token is passed on.
    pub forward: bool,
    /// `None`: 60 s.
    pub clock_skew: Option<Nanos>,
    /// Longest lifetime of a token.
    pub max_lifetime: Option<Nanos>,
    /// Whether `exp` must be there.
    pub require_expiration: bool,
    /// Where the token is looked for: header name and prefix.
    pub from_headers: Vec<(String, String)>,
    /// Where the token is looked for: query parameters.
    pub from_params: Vec<String>,
    /// Where the token is looked for: cookies.
    pub from_cookies: Vec<String>,
    /// Claims that become headers: header and claim.
    pub claim_to_headers: Vec<(String, String)>,
    /// The metadata key for the payload.
    pub payload_in_metadata: Option<String>,
}

/// What is asked of requests that a prefix matches.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct JwtRule {
    /// Path prefix.
    pub prefix: String,
    /// `None`: nothing.
    pub requires: Option<JwtRequirement>,
}

/// What is asked of a request's tokens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JwtRequirement {
    /// A valid token of this provider, for these audiences if any are named.
    Provider {
        /// The provider's name.
        name: String,
        /// In place of the provider's own.
        audiences: Vec<String>,
    },
    /// One of them.
    AnyOf(Vec<JwtRequirement>),
    /// All of them.
    AllOf(Vec<JwtRequirement>),
    /// No token, or a valid one.
    AllowMissing,
    /// Anything.
    AllowMissingOrFailed,
}

/// What a route asks of tokens in place of the filter's rules.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum JwtOverride {
    /// Nothing.
    Disabled,
    /// A named requirement.
    Requirement(String),
}

/// Rejects as the success rate falls (Envoy: `AdmissionControl`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdmissionControl {
    /// `None`: true.
    pub enabled: Option<bool>,
    /// `None`: 30 s.
    pub sampling_window: Option<Nanos>,
    /// In thousandths. `None`: 1000.
    pub aggression_milli: Option<u32>,
    /// `None`: 95.
    pub success_rate_threshold: Option<Percent>,
    /// `None`: 0.
    pub rps_threshold: Option<u32>,
    /// `None`: 80.
    pub max_rejection_probability: Option<Percent>,
    /// Ranges `start..end` of successful statuses; empty: 100 to 499.
    pub http_success: Vec<(u16, u16)>,
}

/// Limits concurrency as the latency grows (Envoy: `AdaptiveConcurrency` with its gradient controller).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AdaptiveConcurrency {
    /// `None`: 1000.
    pub max_concurrency: Option<u32>,
    /// Time between updates of the limit.
    pub update_interval: Nanos,
    /// Time between measurements of the least latency; `None`: `fixed_min_rtt` holds.
    pub min_rtt_interval: Option<Nanos>,
    /// Samples of one measurement. `None`: 50.
    pub min_rtt_request_count: Option<u32>,
    /// The least latency, given.
    pub fixed_min_rtt: Option<Nanos>,
    /// `None`: 3.
    pub min_concurrency: Option<u32>,
    /// `None`: 25.
    pub buffer: Option<Percent>,
    /// `None`: 50.
    pub sample_percentile: Option<Percent>,
    /// `None`: 503.
    pub status: Option<u16>,
}

/// Asks an external authorizer (Envoy: `ExtAuthz`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExtAuthz {
    /// The authorizer's name, for the driver.
    pub provider: String,
    /// Only requests that these rules match are asked about; `None`: all.
    pub filter_enabled: Option<RbacRules>,
    /// Whether a failure lets the request pass.
    pub failure_mode_allow: bool,
    /// `None`: 403.
    pub status_on_error: Option<u16>,
    /// `None`: 200 ms.
    pub timeout: Option<Nanos>,
}

/// Asks the rate limit service (Envoy: `RateLimit`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// The service's domain.
    pub domain: String,
    /// Whether a failure refuses the request.
    pub failure_mode_deny: bool,
    /// `None`: 20 ms.
    pub timeout: Option<Nanos>,
    /// `None`: 500.
    pub status_on_error: Option<u16>,
}
