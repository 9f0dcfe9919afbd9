//! Which limits hold for a request (Envoy: `FilterUtility::finalTimeout`), and what the next hop is told of them.

use crate::{Nanos, Time};

/// The limits that the router keeps; zero: none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Timeouts {
    pub(crate) global: Nanos,
    pub(crate) per_try: Nanos,
    pub(crate) per_try_idle: Nanos,
    pub(crate) hedge_on_per_try: bool,
    /// Whether a `grpc-timeout` header goes upstream with what is left of the time.
    pub(crate) rewrite_grpc_timeout: bool,
}

/// What a route says of timeouts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct RouteTimeouts {
    /// `None`: 15 s. It does not count where `has_max_stream_duration` holds.
    pub(crate) timeout: Option<Nanos>,
    pub(crate) has_max_stream_duration: bool,
    pub(crate) max_grpc_timeout: Option<Nanos>,
    pub(crate) grpc_timeout_offset: Option<Nanos>,
    pub(crate) per_try: Nanos,
    pub(crate) per_try_idle: Nanos,
    pub(crate) hedge_on_per_try: bool,
}

/// What a request's headers say of timeouts; each is `None` if the header is absent or malformed.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeaderTimeouts {
    pub(crate) is_grpc: bool,
    /// `grpc-timeout`.
    pub(crate) grpc_timeout: Option<Nanos>,
    /// `x-envoy-expected-rq-timeout-ms`, where the router respects it.
    pub(crate) expected_ms: Option<u64>,
    /// `x-envoy-upstream-rq-timeout-ms`.
    pub(crate) upstream_ms: Option<u64>,
    /// `x-envoy-upstream-rq-per-try-timeout-ms`.
    pub(crate) per_try_ms: Option<u64>,
    /// `x-envoy-hedge-on-per-try-timeout`.
    pub(crate) hedge: Option<bool>,
}

impl Timeouts {
    /// Combines a route and a request's headers.
    pub(crate) fn resolve(route: &RouteTimeouts, headers: &HeaderTimeouts) -> Self {
        let (mut global, rewrite_grpc_timeout) = match route.max_grpc_timeout {
            _ if route.has_max_stream_duration => (Nanos::ZERO, false),
            Some(max) if headers.is_grpc => (grpc_limit(headers.grpc_timeout, route.grpc_timeout_offset, max), true),
            _ => (route.timeout.unwrap_or(Nanos::from_secs(15)), false),
        };
        if let Some(ms) = headers.expected_ms.or(headers.upstream_ms) {
            global = Nanos::from_millis(ms);
        }
        let mut per_try = headers.per_try_ms.map_or(route.per_try, Nanos::from_millis);
        if !global.is_zero() && per_try >= global {
            per_try = Nanos::ZERO;
        }
        Self {
            global,
            per_try,
            per_try_idle: route.per_try_idle,
            hedge_on_per_try: headers.hedge.unwrap_or(route.hedge_on_per_try),
            rewrite_grpc_timeout,
        }
    }

    /// What `x-envoy-expected-rq-timeout-ms` says to an attempt that starts now; `None`: nothing.
    pub(crate) fn expected_ms(&self, request_complete_at: Option<Time>, now: Time) -> Option<u64> {
        let elapsed = request_complete_at.map_or(Nanos::ZERO, |at| now.since(at)).as_millis();
        let global = self.global.as_millis();
        let per_try = self.per_try.as_millis();
        let limit = if per_try != 0 && !self.hedge_on_per_try { per_try } else { global };
        match (limit, global) {
            (0, _) => None,
            (limit, 0) => Some(limit),
            (limit, global) if elapsed < global => Some(limit.min(global - elapsed)),
            _ => Some(1),
        }
    }
}

/// The deprecated pair `max_grpc_timeout` and `grpc_timeout_offset`; zero stands for no limit everywhere.
fn grpc_limit(header: Option<Nanos>, offset: Option<Nanos>, max: Nanos) -> Nanos {
    let asked = header.unwrap_or(Nanos::ZERO);
    let asked = match offset {
        Some(offset) if offset < asked => asked - offset,
        _ => asked,
    };
    if !max.is_zero() && (asked.is_zero() || asked > max) { max } else { asked }
}

/// The limit on the whole stream; `None`: none. Unlike elsewhere, zero from a `grpc-timeout` header is due at once.
pub(crate) fn max_stream_duration(
    route: Option<&crate::config::MaxStreamDuration>,
    listener: Option<Nanos>,
    grpc_timeout: Option<Nanos>,
) -> Option<Nanos> {
    let configured = route.and_then(|route| route.max).or(listener).filter(|limit| !limit.is_zero());
    let Some(max) = route.and_then(|route| route.grpc_timeout_header_max) else { return configured };
    let Some(asked) = grpc_timeout else { return configured };
    let offset = route.and_then(|route| route.grpc_timeout_header_offset).unwrap_or(Nanos::ZERO);
    let capped = if max.is_zero() { asked } else { asked.min(max) };
    Some(capped - offset)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::MaxStreamDuration;

    const fn ms(n: u64) -> Nanos {
        Nanos::from_millis(n)
    }

    #[test]
    fn a_per_try_timeout_that_is_not_shorter_than_the_route_timeout_is_ignored() {
        // route timeout, per-try, what holds per try
        for (global, per_try, expect) in [(300, 100, 100), (300, 300, 0), (300, 500, 0), (0, 500, 500)] {
            let route = RouteTimeouts { timeout: Some(ms(global)), per_try: ms(per_try), ..Default::default() };
            assert_eq!(Timeouts::resolve(&route, &HeaderTimeouts::default()).per_try, ms(expect), "{global} {per_try}");
        }
    }

    #[test]
    fn headers_override_the_route() {
        let route = RouteTimeouts::default();
        let of = |headers: HeaderTimeouts| Timeouts::resolve(&route, &headers).global;
        assert_eq!(of(HeaderTimeouts::default()), ms(15_000));
        assert_eq!(of(HeaderTimeouts { upstream_ms: Some(0), ..Default::default() }), ms(0));
        assert_eq!(of(HeaderTimeouts { upstream_ms: Some(7), expected_ms: Some(9), ..Default::default() }), ms(9));
        let new_style = RouteTimeouts { has_max_stream_duration: true, timeout: Some(ms(5)), ..route };
        assert_eq!(Timeouts::resolve(&new_style, &HeaderTimeouts::default()).global, ms(0));
    }

    #[test]
    fn the_deprecated_grpc_limit_caps_the_header() {
        // header, offset, max, limit
        let table = [
            (Some(100), None, 200, 100),
            (None, None, 200, 200),
            (Some(10_000), None, 200, 200),
            (Some(100), Some(30), 200, 70),
            (Some(100), Some(100), 200, 100),
            (None, None, 0, 0),
        ];
        for (header, offset, max, expect) in table {
            let got = grpc_limit(header.map(ms), offset.map(ms), ms(max));
            assert_eq!(got, ms(expect), "{header:?} {offset:?} {max}");
        }
    }

    #[test]
    fn the_stream_duration_follows_the_grpc_timeout_header() {
        let route = |max, header_max, offset| MaxStreamDuration {
            max: Option::map(max, ms),
            grpc_timeout_header_max: Option::map(header_max, ms),
            grpc_timeout_header_offset: Option::map(offset, ms),
        };
        let table = [
            (route(Some(500), None, None), Some(100), Some(500)),
            (route(Some(0), None, None), None, None),
            (route(None, Some(0), None), Some(100), Some(100)),
            (route(None, Some(50), None), Some(100), Some(50)),
            (route(None, Some(0), Some(150)), Some(400), Some(250)),
            (route(None, Some(300), Some(150)), Some(400), Some(150)),
            (route(None, Some(300), Some(500)), Some(400), Some(0)),
            (route(None, Some(0), Some(150)), Some(100), Some(0)),
            (route(None, Some(0), None), None, Some(900)),
        ];
        for (route, header, expect) in table {
            let listener = route.max.is_none().then(|| ms(900));
            let got = max_stream_duration(Some(&route), listener, header.map(ms));
            assert_eq!(got, expect.map(ms), "{route:?} {header:?}");
        }
    }

    #[test]
    fn the_next_hop_is_told_what_is_left() {
        let timeouts = |global, per_try, hedge_on_per_try| Timeouts {
            global: ms(global),
            per_try: ms(per_try),
            hedge_on_per_try,
            ..Default::default()
        };
        let table = [
            (timeouts(15_000, 0, false), 17, Some(14_983)),
            (timeouts(3_000, 200, false), 500, Some(200)),
            (timeouts(3_000, 200, true), 221, Some(2_779)),
            (timeouts(300, 200, false), 400, Some(1)),
            (timeouts(0, 200, false), 400, Some(200)),
            (timeouts(0, 0, false), 0, None),
        ];
        for (timeouts, elapsed, expect) in table {
            let got = timeouts.expected_ms(Some(Time::START), Time::START + ms(elapsed));
            assert_eq!(got, expect, "{timeouts:?} after {elapsed} ms");
        }
    }
}
