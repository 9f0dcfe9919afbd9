//! What gRPC adds to HTTP: content types, status codes and the timeout header.

use crate::Nanos;

/// Whether a content type is gRPC's; gRPC-Web is not.
pub(crate) fn is_content_type(value: &str) -> bool {
    value.strip_prefix("application/grpc").is_some_and(|rest| rest.is_empty() || rest.starts_with('+'))
}

/// The gRPC status of a local reply with this HTTP status (Envoy: `Grpc::Utility::httpToGrpcStatus`).
pub(crate) const fn status_of_http(status: u16) -> u32 {
    match status {
        400 => 13,
        401 => 16,
        403 => 7,
        404 => 12,
        429 | 502 | 503 | 504 => 14,
        _ => 2,
    }
}

/// The HTTP status that outlier detection sees for a gRPC status (Envoy: `Grpc::Utility::grpcToHttpStatus`).
pub(crate) const fn http_of_status(status: u32) -> u16 {
    match status {
        0 => 200,
        1 => 499,
        3 | 9 | 11 => 400,
        4 => 504,
        5 => 404,
        6 | 10 => 409,
        7 => 403,
        8 => 429,
        12 => 501,
        14 => 503,
        16 => 401,
        _ => 500,
    }
}

/// A status in words, as in `PermissionDenied` and `PERMISSION_DENIED`; `None`: there is no such status.
pub(crate) fn name(status: u32) -> Option<(&'static str, &'static str)> {
    const NAMES: [(&str, &str); 17] = [
        ("OK", "OK"),
        ("Canceled", "CANCELLED"),
        ("Unknown", "UNKNOWN"),
        ("InvalidArgument", "INVALID_ARGUMENT"),
        ("DeadlineExceeded", "DEADLINE_EXCEEDED"),
        ("NotFound", "NOT_FOUND"),
        ("AlreadyExists", "ALREADY_EXISTS"),
        ("PermissionDenied", "PERMISSION_DENIED"),
        ("ResourceExhausted", "RESOURCE_EXHAUSTED"),
        ("FailedPrecondition", "FAILED_PRECONDITION"),
        ("Aborted", "ABORTED"),
        ("OutOfRange", "OUT_OF_RANGE"),
        ("Unimplemented", "UNIMPLEMENTED"),
        ("Internal", "INTERNAL"),
        ("Unavailable", "UNAVAILABLE"),
        ("DataLoss", "DATA_LOSS"),
        ("Unauthenticated", "UNAUTHENTICATED"),
    ];
    NAMES.get(usize::try_from(status).ok()?).copied()
}

/// Reads a `grpc-timeout` header: at most eight digits and a unit.
pub(crate) fn parse_timeout(value: &str) -> Option<Nanos> {
    let split = value.len().checked_sub(1).filter(|digits| (1..=8).contains(digits))?;
    let (digits, unit) = value.split_at_checked(split)?;
    let unit_ns = match unit {
        "H" => 3_600_000_000_000,
        "M" => 60_000_000_000,
        "S" => 1_000_000_000,
        "m" => 1_000_000,
        "u" => 1_000,
        "n" => 1,
        _ => return None,
    };
    let number: u64 = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    // Envoy keeps whole milliseconds and rounds smaller units up.
    let ms = number.checked_mul(unit_ns)?.div_ceil(1_000_000);
    Some(Nanos::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timeouts_are_digits_and_a_unit() {
        let table = [
            ("100m", Some(100)),
            ("10S", Some(10_000)),
            ("1M", Some(60_000)),
            ("1H", Some(3_600_000)),
            ("0m", Some(0)),
            ("1u", Some(1)),
            ("5", None),
            ("m", None),
            ("", None),
            ("-1m", None),
            ("+1m", None),
            ("123456789m", None),
            ("1x", None),
        ];
        for (text, expect) in table {
            assert_eq!(parse_timeout(text), expect.map(Nanos::from_millis), "{text}");
        }
    }

    #[test]
    fn content_types() {
        let table = [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("application/grpc-web", false),
            ("", false),
        ];
        for (value, expect) in table {
            assert_eq!(is_content_type(value), expect, "{value}");
        }
    }
}
