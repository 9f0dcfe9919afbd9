//! Points in time and lengths of time, counted in whole nanoseconds.

use std::{fmt, ops, str::FromStr};

use serde::{Deserialize, Serialize};

/// A point on the driver's own clock: nanoseconds since the run began.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(u64);

/// A length of time in nanoseconds.
///
/// Written as `250ms`, `1.5s`, `1m30s`; the units are `h`, `m`, `s`, `ms`, `us` and `ns`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Nanos(u64);

/// Units from the largest to the smallest, in nanoseconds.
const UNITS: [(&str, u64); 6] = [
    ("h", 3_600_000_000_000),
    ("m", 60_000_000_000),
    ("s", 1_000_000_000),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

impl Time {
    /// The start of the run.
    pub const START: Self = Self(0);

    /// The point that lies `ns` nanoseconds after the start.
    pub const fn from_nanos(ns: u64) -> Self {
        Self(ns)
    }

    /// Nanoseconds since the start.
    pub const fn as_nanos(self) -> u64 {
        self.0
    }

    /// How long ago `earlier` was; zero if it lies ahead.
    pub const fn since(self, earlier: Self) -> Nanos {
        Nanos(self.0.saturating_sub(earlier.0))
    }
}

impl Nanos {
    /// No time at all.
    pub const ZERO: Self = Self(0);

    /// From raw nanoseconds.
    pub const fn new(ns: u64) -> Self {
        Self(ns)
    }

    /// From milliseconds, saturating.
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms.saturating_mul(1_000_000))
    }

    /// From seconds, saturating.
    pub const fn from_secs(s: u64) -> Self {
        Self(s.saturating_mul(1_000_000_000))
    }

    /// The raw count.
    pub const fn get(self) -> u64 {
        self.0
    }

    /// Whole milliseconds, rounded down.
    pub const fn as_millis(self) -> u64 {
        self.0 / 1_000_000
    }

    /// Whether this is no time at all; for most of Envoy's timeouts zero means "off".
    pub const fn is_zero(self) -> bool {
        self.0 == 0
    }

    /// The product, saturating.
    #[must_use]
    pub const fn times(self, factor: u64) -> Self {
        Self(self.0.saturating_mul(factor))
    }
}

impl ops::Add<Nanos> for Time {
    type Output = Self;
    fn add(self, rhs: Nanos) -> Self {
        Self(self.0.saturating_add(rhs.0))
    }
}

impl ops::Add for Nanos {
    type Output = Self;
    fn add(self, rhs: Self) -> Self {
        Self(self.0.saturating_add(rhs.0))
    }
}

impl ops::Sub for Nanos {
    type Output = Self;
    fn sub(self, rhs: Self) -> Self {
        Self(self.0.saturating_sub(rhs.0))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{:09}s", self.0 / 1_000_000_000, self.0 % 1_000_000_000)
    }
}

impl fmt::Display for Nanos {
    /// The shortest exact form with one unit where there is one: `1.5s`, `250ms`, `0s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, unit) = match self.0 {
            0 => return f.write_str("0s"),
            1_000_000_000.. => ("s", 1_000_000_000),
            1_000_000.. => ("ms", 1_000_000),
            1_000.. => ("us", 1_000),
            _ => ("ns", 1),
        };
        let (whole, rest) = (self.0 / unit, self.0 % unit);
        if rest == 0 {
            return write!(f, "{whole}{name}");
        }
        let width = unit.ilog10() as usize;
        let digits = format!("{rest:0width$}");
        write!(f, "{whole}.{}{name}", digits.trim_end_matches('0'))
    }
}

/// Why a text is not a length of time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a duration such as `250ms`, `1.5s` or `1m30s`")]
pub struct ParseNanosError {
    /// What was given.
    pub text: String,
}

impl FromStr for Nanos {
    type Err = ParseNanosError;

    fn from_str(text: &str) -> Result<Self, ParseNanosError> {
        parse(text).ok_or_else(|| ParseNanosError { text: text.to_owned() })
    }
}

fn parse(text: &str) -> Option<Nanos> {
    let mut rest = text.trim();
    let mut total = 0_u64;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let number = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (digits, tail) = rest.split_at(number);
        let unit_end = tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len());
        let (name, tail) = tail.split_at(unit_end);
        let unit = UNITS.iter().find(|(n, _)| *n == name)?.1;
        total = total.checked_add(scale(digits, unit)?)?;
        rest = tail;
    }
    Some(Nanos(total))
}

/// `digits` (with at most one decimal point) times `unit`, exactly; digits beyond a nanosecond are refused.
fn scale(digits: &str, unit: u64) -> Option<u64> {
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut value = whole.checked_mul(unit)?;
    let mut place = unit;
    for digit in fraction.chars() {
        let digit = u64::from(digit.to_digit(10)?);
        if !place.is_multiple_of(10) {
            return (digit == 0).then_some(value);
        }
        place /= 10;
        value = value.checked_add(digit * place)?;
    }
    Some(value)
}

impl Serialize for Nanos {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Nanos {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_read_and_print_exactly() {
        let table = [
            ("0s", Some((0, "0s"))),
            ("250ms", Some((250_000_000, "250ms"))),
            ("1.5s", Some((1_500_000_000, "1.5s"))),
            ("1500ms", Some((1_500_000_000, "1.5s"))),
            ("1m30s", Some((90_000_000_000, "90s"))),
            ("0.2ms", Some((200_000, "200us"))),
            ("1h", Some((3_600_000_000_000, "3600s"))),
            ("15", None),
            ("", None),
            ("s", None),
            ("-1s", None),
            ("1.s.", None),
            ("99999999999999h", None),
        ];
        for (text, expect) in table {
            let got = text.parse::<Nanos>().ok().map(|n| (n.get(), n.to_string()));
            assert_eq!(got, expect.map(|(ns, shown)| (ns, shown.to_owned())), "{text}");
        }
    }
}
