//! Counters under Envoy's names. A counter that says why something did not happen is worth two that say that it did.

use crate::{ClusterId, ListenerId};

macro_rules! counters {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal,)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[allow(missing_docs, reason = "Envoy's names say what they count")]
        #[repr(u8)]
        pub enum $name { $($variant,)* }
        impl $name {
            /// Every counter, in the order of declaration.
            pub const ALL: &'static [Self] = &[$(Self::$variant,)*];
            /// Envoy's name, without its prefix.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }
        }
    };
}

counters! {
    /// What is counted for one cluster (Envoy: `cluster.<name>.`).
    ClusterCounter {
        UpstreamCxTotal = "upstream_cx_total",
        UpstreamCxHttp1Total = "upstream_cx_http1_total",
        UpstreamCxHttp2Total = "upstream_cx_http2_total",
        UpstreamCxOverflow = "upstream_cx_overflow",
        UpstreamCxConnectFail = "upstream_cx_connect_fail",
        UpstreamCxConnectTimeout = "upstream_cx_connect_timeout",
        UpstreamCxMaxRequests = "upstream_cx_max_requests",
        UpstreamCxIdleTimeout = "upstream_cx_idle_timeout",
        UpstreamCxCloseNotify = "upstream_cx_close_notify",
        UpstreamCxNoneHealthy = "upstream_cx_none_healthy",
        UpstreamCxProtocolError = "upstream_cx_protocol_error",
        UpstreamRqTotal = "upstream_rq_total",
        UpstreamRqCompleted = "upstream_rq_completed",
        UpstreamRqPendingTotal = "upstream_rq_pending_total",
        UpstreamRqPendingOverflow = "upstream_rq_pending_overflow",
        UpstreamRqActiveOverflow = "upstream_rq_active_overflow",
        UpstreamRqPendingFailureEject = "upstream_rq_pending_failure_eject",
        UpstreamRqCancelled = "upstream_rq_cancelled",
        UpstreamRqTimeout = "upstream_rq_timeout",
        UpstreamRqPerTryTimeout = "upstream_rq_per_try_timeout",
        UpstreamRqPerTryIdleTimeout = "upstream_rq_per_try_idle_timeout",
        UpstreamRqMaxDurationReached = "upstream_rq_max_duration_reached",
        UpstreamRqRxReset = "upstream_rq_rx_reset",
        UpstreamRqTxReset = "upstream_rq_tx_reset",
        UpstreamRqRetry = "upstream_rq_retry",
        UpstreamRqRetryBackoffExponential = "upstream_rq_retry_backoff_exponential",
        UpstreamRqRetryBackoffRatelimited = "upstream_rq_retry_backoff_ratelimited",
        UpstreamRqRetryLimitExceeded = "upstream_rq_retry_limit_exceeded",
        UpstreamRqRetryOverflow = "upstream_rq_retry_overflow",
        UpstreamRqRetrySuccess = "upstream_rq_retry_success",
        UpstreamInternalRedirectSucceeded = "upstream_internal_redirect_succeeded_total",
        UpstreamInternalRedirectFailed = "upstream_internal_redirect_failed_total",
        RetryOrShadowAbandoned = "retry_or_shadow_abandoned",
    }
}

counters! {
    /// What is counted for one listener's HTTP connection manager and its filters (Envoy: `http.<prefix>.`).
    HttpCounter {
        DownstreamRqTotal = "downstream_rq_total",
        DownstreamRqCompleted = "downstream_rq_completed",
        DownstreamRqRxReset = "downstream_rq_rx_reset",
        DownstreamRqTimeout = "downstream_rq_timeout",
        DownstreamRqIdleTimeout = "downstream_rq_idle_timeout",
        DownstreamRqMaxDurationReached = "downstream_rq_max_duration_reached",
        RqTotal = "rq_total",
        RqDirectResponse = "rq_direct_response",
        RqRedirect = "rq_redirect",
        NoRoute = "no_route",
        NoCluster = "no_cluster",
        FaultDelaysInjected = "fault.delays_injected",
        FaultAbortsInjected = "fault.aborts_injected",
        FaultFaultsOverflow = "fault.faults_overflow",
        RbacAllowed = "rbac.allowed",
        RbacDenied = "rbac.denied",
        RbacShadowAllowed = "rbac.shadow_allowed",
        RbacShadowDenied = "rbac.shadow_denied",
        JwtAllowed = "jwt_authn.allowed",
        JwtDenied = "jwt_authn.denied",
        JwtCacheHit = "jwt_authn.jwt_cache_hit",
        JwtCacheMiss = "jwt_authn.jwt_cache_miss",
        JwtCorsPreflightBypassed = "jwt_authn.cors_preflight_bypassed",
        AdmissionRejected = "admission_control.rq_rejected",
        AdmissionSuccess = "admission_control.rq_success",
        AdmissionFailure = "admission_control.rq_failure",
        ConcurrencyBlocked = "adaptive_concurrency.gradient_controller.rq_blocked",
        ExtAuthzOk = "ext_authz.ok",
        ExtAuthzDenied = "ext_authz.denied",
        ExtAuthzError = "ext_authz.error",
        ExtAuthzFailureModeAllowed = "ext_authz.failure_mode_allowed",
        RateLimitOk = "ratelimit.ok",
        RateLimitOverLimit = "ratelimit.over_limit",
        RateLimitError = "ratelimit.error",
        RateLimitFailureModeAllowed = "ratelimit.failure_mode_allowed",
    }
}

/// Counts by HTTP status.
#[derive(Clone, Debug, Default)]
pub struct Codes(Vec<(u16, u64)>);

impl Codes {
    pub(crate) fn add(&mut self, status: u16) {
        match self.0.iter_mut().find(|(code, _)| *code == status) {
            Some((_, count)) => *count += 1,
            None => self.0.push((status, 1)),
        }
    }

    /// How often this status was counted.
    pub fn get(&self, status: u16) -> u64 {
        self.0.iter().find(|(code, _)| *code == status).map_or(0, |(_, count)| *count)
    }

    /// How often a status of this class was counted: 5 for 500 to 599.
    pub fn class(&self, class: u16) -> u64 {
        self.0.iter().filter(|(code, _)| code / 100 == class).map(|(_, count)| count).sum()
    }
}

/// Counters of one cluster.
#[derive(Clone, Debug)]
pub struct ClusterStats {
    counts: [u64; ClusterCounter::ALL.len()],
    /// Final answers by status (Envoy: `upstream_rq_<code>`).
    pub codes: Codes,
    /// Answers that were retried, by status (Envoy: `retry.upstream_rq_<code>`).
    pub retried: Codes,
}

impl Default for ClusterStats {
    fn default() -> Self {
        Self { counts: [0; ClusterCounter::ALL.len()], codes: Codes::default(), retried: Codes::default() }
    }
}

impl ClusterStats {
    /// One counter.
    pub fn get(&self, counter: ClusterCounter) -> u64 {
        self.counts[counter as usize]
    }

    pub(crate) fn add(&mut self, counter: ClusterCounter) {
        self.counts[counter as usize] += 1;
    }

    /// Counts a final answer (Envoy: `chargeCode`).
    pub(crate) fn charge(&mut self, status: u16) {
        self.add(ClusterCounter::UpstreamRqCompleted);
        self.codes.add(status);
    }

    /// A counter by Envoy's name without `cluster.<name>.`, such as `upstream_rq_503` or `upstream_rq_5xx`.
    pub fn by_name(&self, name: &str) -> Option<u64> {
        if let Some(counter) = ClusterCounter::ALL.iter().find(|counter| counter.name() == name) {
            return Some(self.get(*counter));
        }
        let (codes, code) = match name.strip_prefix("retry.upstream_rq_") {
            Some(code) => (&self.retried, code),
            None => (&self.codes, name.strip_prefix("upstream_rq_")?),
        };
        by_code(codes, code)
    }
}

fn by_code(codes: &Codes, code: &str) -> Option<u64> {
    match code.strip_suffix("xx") {
        Some(class) => Some(codes.class(class.parse().ok()?)),
        None => Some(codes.get(code.parse().ok()?)),
    }
}

/// Counters of one listener.
#[derive(Clone, Debug)]
pub struct HttpStats {
    counts: [u64; HttpCounter::ALL.len()],
    /// Answers by status (Envoy: `downstream_rq_<class>`).
    pub codes: Codes,
}

impl Default for HttpStats {
    fn default() -> Self {
        Self { counts: [0; HttpCounter::ALL.len()], codes: Codes::default() }
    }
}

impl HttpStats {
    /// One counter.
    pub fn get(&self, counter: HttpCounter) -> u64 {
        self.counts[counter as usize]
    }

    pub(crate) fn add(&mut self, counter: HttpCounter) {
        self.counts[counter as usize] += 1;
    }

    /// A counter by Envoy's name without `http.<prefix>.`, such as `rbac.denied` or `downstream_rq_5xx`.
    pub fn by_name(&self, name: &str) -> Option<u64> {
        match HttpCounter::ALL.iter().find(|counter| counter.name() == name) {
            Some(counter) => Some(self.get(*counter)),
            None => by_code(&self.codes, name.strip_prefix("downstream_rq_")?),
        }
    }
}

/// All counters of one proxy. Gauges are read from what they gauge: `Proxy::circuit`, `Proxy::active_streams`.
#[derive(Clone, Debug, Default)]
pub struct Stats {
    clusters: Vec<ClusterStats>,
    listeners: Vec<HttpStats>,
}

impl Stats {
    /// Makes room for a table; counters of what was there stay.
    fn reserve(&mut self, clusters: usize, listeners: usize) {
        self.clusters.resize_with(clusters.max(self.clusters.len()), ClusterStats::default);
        self.listeners.resize_with(listeners.max(self.listeners.len()), HttpStats::default);
    }

    /// Puts the clusters' counters into the order of a new table; gives each old id its new one.
    pub(crate) fn renumber(&mut self, map: &[ClusterId], clusters: usize, listeners: usize) {
        let mut old = std::mem::take(&mut self.clusters);
        self.reserve(clusters, listeners);
        for (stats, id) in old.drain(..).zip(map) {
            self.clusters[id.index()] = stats;
        }
    }

    /// Counters of one cluster.
    pub fn cluster(&self, cluster: ClusterId) -> &ClusterStats {
        &self.clusters[cluster.index()]
    }

    /// Counters of one listener.
    pub fn http(&self, listener: ListenerId) -> &HttpStats {
        &self.listeners[listener.index()]
    }

    pub(crate) fn cluster_mut(&mut self, cluster: ClusterId) -> &mut ClusterStats {
        &mut self.clusters[cluster.index()]
    }

    pub(crate) fn http_mut(&mut self, listener: ListenerId) -> &mut HttpStats {
        &mut self.listeners[listener.index()]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_envoys() {
        let mut stats = ClusterStats::default();
        stats.add(ClusterCounter::UpstreamRqRetry);
        stats.charge(503);
        stats.charge(504);
        stats.retried.add(503);
        let table = [
            ("upstream_rq_retry", Some(1)),
            ("upstream_rq_503", Some(1)),
            ("upstream_rq_5xx", Some(2)),
            ("upstream_rq_completed", Some(2)),
            ("retry.upstream_rq_503", Some(1)),
            ("upstream_rq_200", Some(0)),
            ("membership_total", None),
        ];
        for (name, expect) in table {
            assert_eq!(stats.by_name(name), expect, "{name}");
        }
    }
}
