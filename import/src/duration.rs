//! Durations as Go's `time.ParseDuration` reads them, which is how Istio's API does.

use meshproof_model::Nanos;

/// The duration of a text; `None` for anything that is not one, and for negative ones.
pub(crate) fn go_duration(text: &str) -> Option<Nanos> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    if rest == "0" {
        return Some(Nanos::ZERO);
    }
    if rest.is_empty() {
        return None;
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let number = rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let (digits, tail) = rest.split_at(number);
        let unit = tail.len() - tail.trim_start_matches(|c: char| !c.is_ascii_digit() && c != '.').len();
        let (unit, tail) = tail.split_at(unit);
        total = total.checked_add(part(digits, unit)?)?;
        rest = tail;
    }
    // Go keeps durations in signed 64 bits.
    i64::try_from(total).ok().and_then(|ns| u64::try_from(ns).ok()).map(Nanos::new)
}

fn part(digits: &str, unit: &str) -> Option<u128> {
    let scale: u128 = match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if (whole.is_empty() && fraction.is_empty()) || fraction.contains('.') || whole.len() > 18 {
        return None;
    }
    let number = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse::<u128>().ok() };
    // Digits below a nanosecond do not count.
    let fraction = &fraction[..fraction.len().min(18)];
    let below = number(fraction)? * scale / 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    Some(number(whole)? * scale + below)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_follow_go() {
        let rows: &[(&str, Option<u64>)] = &[
            ("0", Some(0)),
            ("0s", Some(0)),
            ("1ms", Some(1_000_000)),
            ("2s", Some(2_000_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("1.5h", Some(5_400_000_000_000)),
            (".5s", Some(500_000_000)),
            ("1.s", Some(1_000_000_000)),
            ("10us", Some(10_000)),
            ("10µs", Some(10_000)),
            ("+3s", Some(3_000_000_000)),
            ("-3s", None),
            ("3", None),
            ("s", None),
            (".s", None),
            ("", None),
            ("3 s", None),
            ("1d", None),
            ("1s2", None),
            ("1.2.3s", None),
            ("9223372036854775807ns", None),
            ("99999999999999999h", None),
        ];
        for (text, nanos) in rows {
            assert_eq!(go_duration(text).map(Nanos::get), *nanos, "{text}");
        }
    }
}
