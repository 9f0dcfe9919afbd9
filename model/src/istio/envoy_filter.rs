//! Istio: networking.v1alpha3.EnvoyFilter (`EF-1`, `RL-3`).

use meshproof_proxy::Nanos;

use super::DescriptorEntry;
use crate::{Labels, Located, Location, Meta};

/// Patches of proxies' configurations. What they change is not judged; what they can touch is known.
#[derive(Clone, Debug, PartialEq)]
pub struct EnvoyFilter {
    /// Its name and place.
    pub meta: Meta,
    /// Pods of its namespace; of the root namespace pods of all. Empty: all of them.
    pub selector: Labels,
    /// `priority`; absent: 0. Patches are applied by priority, then age, then name.
    pub priority: Option<Located<i64>>,
    /// Whether it names Gateways or Services in place of pods.
    pub has_target_refs: bool,
    /// The patches.
    pub patches: Vec<ConfigPatch>,
}

/// One patch.
#[derive(Clone, Debug, PartialEq)]
pub struct ConfigPatch {
    /// Where it begins.
    pub at: Location,
    /// `applyTo`, such as `HTTP_FILTER`.
    pub apply_to: String,
    /// Which side of which proxies.
    pub context: PatchContext,
    /// `patch.operation`, such as `MERGE`.
    pub operation: String,
    /// Only this port, where it names one.
    pub port: Option<u16>,
    /// The name of the filter or cluster that it adds or changes, where it says one.
    pub target: Option<String>,
    /// What is known about it.
    pub pattern: PatchPattern,
}

/// Which side of which proxies a patch is for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PatchContext {
    /// All.
    #[default]
    Any,
    /// What sidecars accept.
    SidecarInbound,
    /// What sidecars send.
    SidecarOutbound,
    /// Gateways.
    Gateway,
}

/// What is known about a patch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PatchPattern {
    /// Envoy's local rate limit, for HTTP.
    LocalRateLimit(LocalRateLimitPatch),
    /// Envoy's global rate limit: the service's domain, and whether its failure refuses requests.
    GlobalRateLimit {
        /// The domain.
        domain: String,
        /// `failure_mode_deny`; absent: no.
        failure_mode_deny: bool,
        /// `timeout`; absent: 20 ms.
        timeout: Option<Nanos>,
    },
    /// Descriptors for a rate limit (`rate_limits`).
    RateLimitActions(Vec<Vec<DescriptorEntry>>),
    /// Hedging of routes.
    Hedge(HedgePatch),
    /// Anything else.
    Unknown,
}

/// A token bucket for requests (`RL-3`): for each proxy, not for all together.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LocalRateLimitPatch {
    /// `token_bucket.max_tokens`.
    pub max_tokens: u32,
    /// `token_bucket.tokens_per_fill`; absent: 1.
    pub tokens_per_fill: u32,
    /// `token_bucket.fill_interval`.
    pub fill_interval: Nanos,
    /// `filter_enabled` in parts per million; absent: 0.
    pub enabled: u32,
    /// `filter_enforced` in parts per million; absent: 0.
    pub enforced: u32,
    /// `local_rate_limit_per_downstream_connection`.
    pub per_connection: bool,
    /// `status.code`; absent: 429.
    pub status: Option<u16>,
    /// Whether it has buckets for descriptors, which are not kept.
    pub has_descriptors: bool,
}

/// Whether routes start another try beside one that takes longer than its per-try timeout (Envoy:
/// `config.route.v3.HedgePolicy`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HedgePatch {
    /// `hedge_on_per_try_timeout`.
    pub on_per_try_timeout: bool,
    /// Only routes of this virtual host, such as `reviews.default.svc.cluster.local:80`.
    pub virtual_host: Option<String>,
    /// Only the route of this name.
    pub route: Option<String>,
}

impl LocalRateLimitPatch {
    /// Whether it refuses anything at all: both shares default to nothing.
    pub const fn acts(&self) -> bool {
        self.enabled > 0 && self.enforced > 0
    }

    /// The same as a filter of the proxy core.
    pub fn filter(&self) -> meshproof_proxy::config::LocalRateLimit {
        use meshproof_proxy::{
            FractionalPercent,
            config::{LocalRateLimit, TokenBucket},
        };
        LocalRateLimit {
            bucket: TokenBucket {
                max_tokens: self.max_tokens,
                tokens_per_fill: self.tokens_per_fill,
                fill_interval: self.fill_interval,
            },
            enabled: FractionalPercent::million(self.enabled),
            enforced: FractionalPercent::million(self.enforced),
            status: self.status,
            response_headers_to_add: Vec::new(),
            x_ratelimit_headers: false,
            per_connection: self.per_connection,
            descriptors: Vec::new(),
        }
    }
}

/// Istio: networking.v1beta1.ProxyConfig (`PC-1`).
#[derive(Clone, Debug, PartialEq)]
pub struct ProxyConfig {
    /// Its name and place.
    pub meta: Meta,
    /// Pods of its namespace; empty: all of them.
    pub selector: Labels,
    /// `concurrency`; absent: the processors of its container, else of the node; 0: all.
    pub concurrency: Option<Located<u32>>,
    /// `environmentVariables`.
    pub environment: Vec<(String, Located<String>)>,
}

/// Istio: telemetry.v1.Telemetry. What is recorded changes no request.
#[derive(Clone, Debug, PartialEq)]
pub struct Telemetry {
    /// Its name and place.
    pub meta: Meta,
    /// Pods of its namespace; empty: all of them.
    pub selector: Labels,
    /// Names of the providers of logs, metrics and traces.
    pub providers: Vec<Located<String>>,
    /// Where records are switched off.
    pub disabled: Vec<Location>,
}
