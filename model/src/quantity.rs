//! Quantities with their units, as people write them in RON files: `"10krps"`, `"5%"`, `"4KiB"`.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A rate, in thousandths of a request per second: `"800rps"`, `"10krps"`, `"0.5rps"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Rate(u64);

/// A share, in parts per million: `"5%"`, `"0.1%"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Share(u32);

/// A size in bytes: `"1KiB"`, `"512B"`, `"4MiB"`, `"1kB"`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Bytes(u64);

/// Why a text is not a quantity.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{text}` is not a {what}")]
pub struct ParseQuantityError {
    /// What was given.
    pub text: String,
    /// What was expected, with an example.
    pub what: &'static str,
}

impl Rate {
    /// Whole requests per second.
    pub const fn per_second(rps: u64) -> Self {
        Self(rps.saturating_mul(1000))
    }
    /// Thousandths of a request per second.
    pub const fn from_milli(milli: u64) -> Self {
        Self(milli)
    }
    /// Thousandths of a request per second.
    pub const fn milli(self) -> u64 {
        self.0
    }
}

impl Share {
    /// Everything.
    pub const ALL: Self = Self(1_000_000);
    /// Whole percent.
    pub const fn percent(percent: u32) -> Self {
        Self(percent.saturating_mul(10_000))
    }
    /// Parts per million.
    pub const fn from_ppm(ppm: u32) -> Self {
        Self(ppm)
    }
    /// Parts per million.
    pub const fn ppm(self) -> u32 {
        self.0
    }
    /// This share of `base`, rounded to the nearest.
    pub fn of(self, base: u64) -> u64 {
        let share = (u128::from(base) * u128::from(self.0) + 500_000) / 1_000_000;
        u64::try_from(share).unwrap_or(u64::MAX)
    }
}

impl Bytes {
    /// So many bytes.
    pub const fn new(bytes: u64) -> Self {
        Self(bytes)
    }
    /// So many bytes.
    pub const fn get(self) -> u64 {
        self.0
    }
}

const RATE: &[(&str, u64)] = &[("krps", 1_000_000), ("rps", 1000)];
const SHARE: &[(&str, u64)] = &[("%", 10_000)];
const BYTES: &[(&str, u64)] =
    &[("KiB", 1 << 10), ("MiB", 1 << 20), ("GiB", 1 << 30), ("kB", 1000), ("MB", 1_000_000), ("B", 1)];

/// `digits[.digits]unit` as a whole number of the smallest unit; exact, or nothing.
fn parse(text: &str, units: &[(&str, u64)]) -> Option<u64> {
    let (number, scale) = units.iter().find_map(|(name, scale)| Some((text.trim().strip_suffix(name)?, *scale)))?;
    let number = number.trim_end();
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = |s: &str| s.chars().all(|c| c.is_ascii_digit());
    if whole.is_empty() || !digits(whole) || !digits(fraction) || fraction.len() > 12 {
        return None;
    }
    let whole = u128::from(whole.parse::<u64>().ok()?) * u128::from(scale);
    let power = 10_u128.pow(u32::try_from(fraction.len()).ok()?);
    let part = if fraction.is_empty() { 0 } else { u128::from(fraction.parse::<u64>().ok()?) * u128::from(scale) };
    if part % power != 0 {
        return None;
    }
    u64::try_from(whole + part / power).ok()
}

/// `milli` thousandths of `unit`, without needless zeros.
fn decimal(f: &mut fmt::Formatter<'_>, value: u64, scale: u64, unit: &str) -> fmt::Result {
    let (whole, rest) = (value / scale, value % scale);
    if rest == 0 {
        return write!(f, "{whole}{unit}");
    }
    let width = scale.ilog10() as usize;
    let digits = format!("{rest:0width$}");
    write!(f, "{whole}.{}{unit}", digits.trim_end_matches('0'))
}

impl FromStr for Rate {
    type Err = ParseQuantityError;
    fn from_str(text: &str) -> Result<Self, ParseQuantityError> {
        parse(text, RATE).map(Self).ok_or_else(|| error(text, "rate such as `800rps` or `10krps`"))
    }
}
impl FromStr for Share {
    type Err = ParseQuantityError;
    fn from_str(text: &str) -> Result<Self, ParseQuantityError> {
        parse(text, SHARE)
            .and_then(|ppm| u32::try_from(ppm).ok())
            .filter(|ppm| *ppm <= 1_000_000)
            .map(Self)
            .ok_or_else(|| error(text, "share such as `5%`, from 0% to 100%"))
    }
}
impl FromStr for Bytes {
    type Err = ParseQuantityError;
    fn from_str(text: &str) -> Result<Self, ParseQuantityError> {
        parse(text, BYTES).map(Self).ok_or_else(|| error(text, "size such as `512B` or `4KiB`"))
    }
}

fn error(text: &str, what: &'static str) -> ParseQuantityError {
    ParseQuantityError { text: text.to_owned(), what }
}

impl fmt::Display for Rate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal(f, self.0, 1000, "rps")
    }
}
impl fmt::Display for Share {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        decimal(f, u64::from(self.0), 10_000, "%")
    }
}
impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (name, scale) in [("GiB", 1_u64 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)] {
            if self.0 != 0 && self.0.is_multiple_of(scale) {
                return write!(f, "{}{name}", self.0 / scale);
            }
        }
        write!(f, "{}B", self.0)
    }
}

macro_rules! as_text {
    ($($name:ident),*) => {$(
        impl Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.collect_str(self)
            }
        }
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    )*};
}
as_text!(Rate, Share, Bytes);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantities_read_and_print() {
        let rates = [("800rps", Some("800rps")), ("10krps", Some("10000rps")), ("0.5rps", Some("0.5rps"))];
        for (text, shown) in
            rates.into_iter().chain([("10", None), ("-1rps", None), ("0.0001rps", None), ("rps", None)])
        {
            assert_eq!(text.parse::<Rate>().ok().map(|r| r.to_string()).as_deref(), shown, "{text}");
        }
        for (text, shown) in [("5%", Some("5%")), ("0.1%", Some("0.1%")), ("101%", None), ("NaN%", None), ("5", None)] {
            assert_eq!(text.parse::<Share>().ok().map(|r| r.to_string()).as_deref(), shown, "{text}");
        }
        for (text, shown) in [("1KiB", Some("1KiB")), ("1kB", Some("1000B")), ("1.5KiB", Some("1536B")), ("x", None)] {
            assert_eq!(text.parse::<Bytes>().ok().map(|r| r.to_string()).as_deref(), shown, "{text}");
        }
    }
}
