//! Which failures are tried again (Envoy: `RetryPolicy`, `RetryStateImpl`).

use smallvec::SmallVec;

use crate::{
    Nanos, ResetReason,
    back_off::{BackOff, BackOffLimits},
    config::{self, RateLimitedBackOff},
    hosts::RetryHosts,
    table::HeaderMatch,
};

/// A set of retry conditions.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RetryOn(u16);

macro_rules! conditions {
    ($($name:ident = $bit:literal, $text:literal, $is_grpc:literal;)*) => {
        impl RetryOn {
            $(const $name: Self = Self(1 << $bit);)*
        }
        /// Names, conditions, and whether they belong to gRPC.
        const CONDITIONS: &[(&str, RetryOn, bool)] = &[$(($text, RetryOn::$name, $is_grpc),)*];
    };
}

conditions! {
    FIVE_XX = 0, "5xx", false;
    GATEWAY_ERROR = 1, "gateway-error", false;
    CONNECT_FAILURE = 2, "connect-failure", false;
    RETRIABLE_4XX = 3, "retriable-4xx", false;
    REFUSED_STREAM = 4, "refused-stream", false;
    RETRIABLE_STATUS_CODES = 5, "retriable-status-codes", false;
    RESET = 6, "reset", false;
    RESET_BEFORE_REQUEST = 7, "reset-before-request", false;
    RETRIABLE_HEADERS = 8, "retriable-headers", false;
    ENVOY_RATELIMITED = 9, "envoy-ratelimited", false;
    HTTP3_POST_CONNECT_FAILURE = 10, "http3-post-connect-failure", false;
    CANCELLED = 11, "cancelled", true;
    DEADLINE_EXCEEDED = 12, "deadline-exceeded", true;
    INTERNAL = 13, "internal", true;
    RESOURCE_EXHAUSTED = 14, "resource-exhausted", true;
    UNAVAILABLE = 15, "unavailable", true;
}

impl RetryOn {
    const NONE: Self = Self(0);

    const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn with(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether an answer with a status is never a failure, only that there is none.
    pub(crate) const fn is_of_resets(self) -> bool {
        let resets = Self::CONNECT_FAILURE.0
            | Self::REFUSED_STREAM.0
            | Self::RESET.0
            | Self::RESET_BEFORE_REQUEST.0
            | Self::HTTP3_POST_CONNECT_FAILURE.0;
        self.0 & !resets == 0
    }

    /// Reads conditions separated by commas; `false` if one of them is unknown and was left out.
    fn parse(text: &str, accepts: impl Fn(bool) -> bool) -> (Self, bool) {
        let mut all_known = true;
        let on = text.split(',').map(str::trim).fold(Self::NONE, |on, name| {
            let known = CONDITIONS.iter().find(|(text, _, is_grpc)| *text == name && accepts(*is_grpc));
            all_known &= known.is_some();
            known.map_or(on, |(_, condition, _)| on.with(*condition))
        });
        (on, all_known)
    }

    /// Reads `x-envoy-retry-on`: HTTP conditions only.
    pub(crate) fn of_header(text: &str) -> (Self, bool) {
        Self::parse(text, |is_grpc| !is_grpc)
    }

    /// Reads `x-envoy-retry-grpc-on`: gRPC conditions only.
    pub(crate) fn of_grpc_header(text: &str) -> (Self, bool) {
        Self::parse(text, |is_grpc| is_grpc)
    }
}

/// A retry policy with Envoy's defaults applied.
#[derive(Debug)]
pub(crate) struct RetryPolicy {
    pub(crate) on: RetryOn,
    pub(crate) num_retries: u32,
    pub(crate) per_try: Nanos,
    pub(crate) per_try_idle: Nanos,
    pub(crate) codes: Box<[u16]>,
    pub(crate) headers: Box<[HeaderMatch]>,
    pub(crate) request_headers: Box<[HeaderMatch]>,
    pub(crate) back_off: BackOffLimits,
    pub(crate) rate_limited: Option<RateLimitedBackOff>,
    pub(crate) hosts: RetryHosts,
}

impl RetryPolicy {
    /// Applies the defaults; `headers` and `request_headers` are `policy`'s matchers, compiled.
    pub(crate) fn new(
        policy: &config::RetryPolicy,
        headers: Box<[HeaderMatch]>,
        request_headers: Box<[HeaderMatch]>,
    ) -> Self {
        let on = policy.retry_on.iter().map(|text| RetryOn::parse(text, |_| true).0);
        Self {
            on: on.fold(RetryOn::NONE, RetryOn::with),
            num_retries: policy.num_retries.unwrap_or(1),
            per_try: policy.per_try_timeout.unwrap_or_default(),
            per_try_idle: policy.per_try_idle_timeout.unwrap_or_default(),
            codes: policy.retriable_status_codes.clone().into(),
            headers,
            request_headers,
            back_off: BackOffLimits::new(policy.base_interval, policy.max_interval),
            rate_limited: policy.rate_limited_back_off.clone(),
            hosts: RetryHosts {
                previous_hosts: policy.previous_hosts,
                max_attempts: policy.host_selection_retry_max_attempts.unwrap_or(1),
                previous_priorities: policy.previous_priorities_update_frequency,
            },
        }
    }
}

/// What a request's own headers add to the policy.
#[derive(Clone, Debug, Default)]
pub(crate) struct RetryHeaders {
    /// `x-envoy-retry-on` and `x-envoy-retry-grpc-on`; `None`: neither is there.
    pub(crate) on: Option<RetryOn>,
    /// `x-envoy-max-retries`.
    pub(crate) max_retries: Option<u32>,
    /// `x-envoy-retriable-status-codes`.
    pub(crate) codes: SmallVec<[u16; 4]>,
    /// `x-envoy-retriable-header-names`.
    pub(crate) header_names: Vec<String>,
}

/// What is left of a request's retries.
#[derive(Clone, Debug)]
pub(crate) struct RetryState {
    on: RetryOn,
    pub(crate) remaining: u32,
    /// Whether a retry is scheduled or in flight and counted by the breaker.
    pub(crate) holds_slot: bool,
    /// Whether a retry was ever scheduled.
    pub(crate) has_retried: bool,
    /// How the scheduled retry waits.
    pub(crate) kind: BackOffKind,
    pub(crate) back_off: BackOff,
    /// What the request adds to the policy; most requests add nothing.
    added: Option<Box<RetryHeaders>>,
}

/// How a scheduled retry waits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum BackOffKind {
    /// Exponentially longer.
    #[default]
    Exponential,
    /// As the upstream asked.
    RateLimited,
    /// Not at all.
    Immediate,
}

/// Whether a failure is one that the policy tries again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Decision {
    No,
    WithBackOff,
    Immediately,
}

impl RetryState {
    /// `None`: this request is never tried again. `is_retriable` says whether the request satisfies the policy's
    /// `request_headers`.
    pub(crate) fn new(
        policy: Option<&RetryPolicy>,
        added: Option<Box<RetryHeaders>>,
        is_retriable: bool,
    ) -> Option<Self> {
        let configured = policy.map_or(RetryOn::NONE, |policy| policy.on);
        let asked = added.as_ref().and_then(|added| added.on);
        if asked.is_none() && configured == RetryOn::NONE {
            return None;
        }
        let on = if is_retriable { configured.with(asked.unwrap_or_default()) } else { RetryOn::NONE };
        let max_retries = added.as_ref().and_then(|added| added.max_retries);
        let configured = policy.map_or(1, |policy| policy.num_retries);
        Some(Self {
            on,
            remaining: max_retries.filter(|_| on != RetryOn::NONE).unwrap_or(configured),
            holds_slot: false,
            has_retried: false,
            kind: BackOffKind::default(),
            back_off: BackOff::default(),
            added,
        })
    }

    /// Whether response headers are a failure to try again. `value` gives a header's values, `matches` evaluates one of
    /// the policy's matchers.
    pub(crate) fn on_headers<'a>(
        &self,
        policy: Option<&RetryPolicy>,
        status: u16,
        value: impl Fn(&str) -> Option<&'a str>,
        matches: impl Fn(&HeaderMatch) -> bool,
    ) -> Decision {
        let on = self.on;
        if value("x-envoy-ratelimited").is_some() {
            return if on.has(RetryOn::ENVOY_RATELIMITED) { Decision::WithBackOff } else { Decision::No };
        }
        let is_listed = || {
            policy.is_some_and(|policy| policy.codes.contains(&status))
                || self.added.as_ref().is_some_and(|added| added.codes.contains(&status))
        };
        let has_listed_header = || {
            policy.is_some_and(|policy| policy.headers.iter().any(&matches))
                || self.added.iter().flat_map(|added| &added.header_names).any(|name| value(name).is_some())
        };
        if on.has(RetryOn::FIVE_XX) && (500..600).contains(&status)
            || on.has(RetryOn::GATEWAY_ERROR) && matches!(status, 502..=504)
            || on.has(RetryOn::RETRIABLE_4XX) && status == 409
        {
            return Decision::WithBackOff;
        }
        if on.has(RetryOn::RETRIABLE_STATUS_CODES) && is_listed() {
            // Too Early: the next try is not early any more.
            return if status == 425 { Decision::Immediately } else { Decision::WithBackOff };
        }
        if on.has(RetryOn::RETRIABLE_HEADERS) && has_listed_header() || self.is_grpc_failure(value) {
            return Decision::WithBackOff;
        }
        Decision::No
    }

    fn is_grpc_failure<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        const GRPC: RetryOn = RetryOn(0b1111_1000_0000_0000);
        if !self.on.has(GRPC) {
            return false;
        }
        let condition = match value("grpc-status") {
            Some("1") => RetryOn::CANCELLED,
            Some("4") => RetryOn::DEADLINE_EXCEEDED,
            Some("8") => RetryOn::RESOURCE_EXHAUSTED,
            Some("13") => RetryOn::INTERNAL,
            Some("14") => RetryOn::UNAVAILABLE,
            _ => return false,
        };
        self.on.has(condition)
    }

    /// Whether a reset is a failure to try again. `was_sent`: some of the request reached the upstream.
    pub(crate) fn on_reset(&self, reason: ResetReason, was_sent: bool) -> Decision {
        let on = self.on;
        let is_covered = match reason {
            ResetReason::Overflow => return Decision::No,
            _ if reason.is_connect_failure() && on.has(RetryOn::CONNECT_FAILURE) => true,
            ResetReason::RemoteRefusedStream if on.has(RetryOn::REFUSED_STREAM) => true,
            _ => {
                on.has(RetryOn::RESET.with(RetryOn::FIVE_XX).with(RetryOn::GATEWAY_ERROR))
                    || on.has(RetryOn::RESET_BEFORE_REQUEST) && !was_sent
            }
        };
        if is_covered { Decision::WithBackOff } else { Decision::No }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state(on: &str) -> RetryState {
        let headers = RetryHeaders { on: Some(RetryOn::parse(on, |_| true).0), ..Default::default() };
        RetryState::new(None, Some(Box::new(headers)), true).unwrap_or_else(|| unreachable!("conditions were given"))
    }

    #[test]
    fn response_headers_are_judged_in_envoys_order() {
        use Decision::{No, WithBackOff};
        type Headers = &'static [(&'static str, &'static str)];
        let limited: Headers = &[("x-envoy-ratelimited", "true")];
        let table: &[(&str, u16, Headers, Decision)] = &[
            ("5xx", 500, &[], WithBackOff),
            ("5xx", 499, &[], No),
            ("gateway-error", 500, &[], No),
            ("gateway-error", 503, &[], WithBackOff),
            ("retriable-4xx", 409, &[], WithBackOff),
            ("retriable-4xx", 404, &[], No),
            ("5xx", 503, limited, No),
            ("envoy-ratelimited", 200, limited, WithBackOff),
            ("unavailable", 200, &[("grpc-status", "14")], WithBackOff),
            ("unavailable", 200, &[("grpc-status", "4")], No),
            ("5xx, unavailable ,nonsense", 200, &[("grpc-status", "14")], WithBackOff),
            ("connect-failure", 503, &[], No),
            ("5xx", 503, &[("x-envoy-overloaded", "true")], WithBackOff),
        ];
        for (on, status, headers, expect) in table {
            let value = |name: &str| headers.iter().find(|(key, _)| *key == name).map(|(_, value)| *value);
            let got = state(on).on_headers(None, *status, value, |_| false);
            assert_eq!(got, *expect, "{on}: {status} {headers:?}");
        }
    }

    #[test]
    fn resets_are_judged_by_reason_and_by_what_was_sent() {
        use ResetReason::*;
        let table = [
            ("5xx", Overflow, false, false),
            ("connect-failure", RemoteConnectionFailure, false, true),
            ("connect-failure", ConnectionTimeout, false, true),
            ("connect-failure", ConnectionTermination, true, false),
            ("reset-before-request", RemoteConnectionFailure, false, true),
            ("reset-before-request", ConnectionTermination, true, false),
            ("reset", ConnectionTermination, true, true),
            ("reset", RemoteConnectionFailure, false, true),
            ("gateway-error", LocalReset, true, true),
            ("refused-stream", RemoteRefusedStream, true, true),
            ("refused-stream", RemoteReset, true, false),
            ("retriable-4xx", ProtocolError, true, false),
            ("retriable-status-codes", RemoteConnectionFailure, false, false),
        ];
        for (on, reason, was_sent, expect) in table {
            let got = state(on).on_reset(reason, was_sent) != Decision::No;
            assert_eq!(got, expect, "{on}: {reason:?}, sent: {was_sent}");
        }
    }

    #[test]
    fn control_headers_know_their_own_conditions_only() {
        assert_eq!(RetryOn::of_header("5xx,unavailable"), (RetryOn::FIVE_XX, false));
        assert_eq!(RetryOn::of_grpc_header("5xx,unavailable"), (RetryOn::UNAVAILABLE, false));
        assert_eq!(RetryOn::of_header("reset, connect-failure"), (RetryOn::RESET.with(RetryOn::CONNECT_FAILURE), true));
    }
}
