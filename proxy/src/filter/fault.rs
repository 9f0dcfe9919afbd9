//! Injected faults: which requests are delayed or aborted (Envoy: `FaultFilter`).

use crate::{
    FractionalPercent, Nanos,
    config::{AbortWith, FaultAbort, FaultDelay},
};

/// What an abort answers with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Abort {
    Http(u16),
    Grpc(u32),
}

/// The delay of a request with this draw; `header` gives request headers.
pub(crate) fn delay<'a>(fault: &FaultDelay, header: impl Fn(&str) -> Option<&'a str>, draw: u64) -> Option<Nanos> {
    let (duration, percentage) = if let Some(fixed) = fault.fixed {
        (fixed, fault.percentage)
    } else {
        let ms = number(header("x-envoy-fault-delay-request")?)?;
        let lowered = lower(fault.percentage, header("x-envoy-fault-delay-request-percentage"));
        (Nanos::from_millis(ms), lowered)
    };
    (!duration.is_zero() && percentage.holds(draw)).then_some(duration)
}

/// The abort of a request with this draw.
pub(crate) fn abort<'a>(fault: &FaultAbort, header: impl Fn(&str) -> Option<&'a str>, draw: u64) -> Option<Abort> {
    let (with, percentage) = match fault.with {
        AbortWith::HttpStatus(status) => (Abort::Http(status), fault.percentage),
        AbortWith::GrpcStatus(status) => (Abort::Grpc(status), fault.percentage),
        AbortWith::Header => {
            let http = header("x-envoy-fault-abort-request").and_then(number).filter(|n| (200..600).contains(n));
            let with = match http.and_then(|status| u16::try_from(status).ok()) {
                Some(status) => Abort::Http(status),
                None => Abort::Grpc(u32::try_from(number(header("x-envoy-fault-abort-grpc-request")?)?).ok()?),
            };
            (with, lower(fault.percentage, header("x-envoy-fault-abort-request-percentage")))
        }
    };
    percentage.holds(draw).then_some(with)
}

/// A header can only lower the configured numerator.
fn lower(percentage: FractionalPercent, header: Option<&str>) -> FractionalPercent {
    let asked = header.and_then(number).and_then(|n| u32::try_from(n).ok()).unwrap_or(u32::MAX);
    FractionalPercent { numerator: percentage.numerator.min(asked), ..percentage }
}

fn number(value: &str) -> Option<u64> {
    value.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_control_aborts_within_their_limits() {
        type Headers = &'static [(&'static str, &'static str)];
        let fault = FaultAbort { with: AbortWith::Header, percentage: FractionalPercent::hundred(50) };
        let table: &[(Headers, u64, Option<Abort>)] = &[
            (&[("x-envoy-fault-abort-request", "503")], 49, Some(Abort::Http(503))),
            (&[("x-envoy-fault-abort-request", "503")], 50, None),
            (&[("x-envoy-fault-abort-request", "99")], 0, None),
            (&[("x-envoy-fault-abort-grpc-request", "4")], 0, Some(Abort::Grpc(4))),
            (&[("x-envoy-fault-abort-request", "503"), ("x-envoy-fault-abort-request-percentage", "10")], 10, None),
            (&[("x-envoy-fault-abort-request", "503"), ("x-envoy-fault-abort-request-percentage", "90")], 50, None),
            (&[], 0, None),
        ];
        for (headers, draw, expect) in table {
            let header = |name: &str| headers.iter().find(|(other, _)| *other == name).map(|(_, value)| *value);
            assert_eq!(abort(&fault, header, *draw), *expect, "{headers:?} {draw}");
        }
    }

    #[test]
    fn a_delay_of_no_time_is_none() {
        let fixed = |ms| FaultDelay { fixed: Some(Nanos::from_millis(ms)), percentage: FractionalPercent::ALWAYS };
        assert_eq!(delay(&fixed(5), |_| None, 0), Some(Nanos::from_millis(5)));
        assert_eq!(delay(&fixed(0), |_| None, 0), None);
        let by_header = FaultDelay { fixed: None, percentage: FractionalPercent::ALWAYS };
        assert_eq!(delay(&by_header, |_| Some("7"), 0), Some(Nanos::from_millis(7)));
        assert_eq!(delay(&by_header, |_| None, 0), None);
    }
}
