//! Milliseconds, percentages and thousandths as the schema writes them: JSON numbers.

use meshproof_proxy::{FractionalPercent, Nanos, Percent};
use serde::Deserialize;

/// A number of milliseconds, possibly with a fraction.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Millis(Nanos);

impl Millis {
    pub(crate) const fn new(ms: u64) -> Self {
        Self(Nanos::from_millis(ms))
    }

    pub(crate) fn from_f64(ms: f64) -> Self {
        Self(Nanos::new(rounded(ms * 1e6)))
    }

    pub(crate) const fn from_nanos(nanos: Nanos) -> Self {
        Self(nanos)
    }

    pub(crate) const fn nanos(self) -> Nanos {
        self.0
    }
}

impl<'de> Deserialize<'de> for Millis {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let ms = f64::deserialize(deserializer)?;
        if !(0.0..1e12).contains(&ms) {
            return Err(serde::de::Error::custom(format!("{ms} is not a number of milliseconds")));
        }
        Ok(Self::from_f64(ms))
    }
}

pub(crate) fn nanos(ms: Option<Millis>) -> Option<Nanos> {
    ms.map(Millis::nanos)
}

/// A share of requests: a number of percent, or a numerator over a denominator.
#[derive(Clone, Copy, Deserialize)]
#[serde(untagged, deny_unknown_fields)]
pub(crate) enum Share {
    Percent(f64),
    Fraction { numerator: u32, denominator: u32 },
}

impl Share {
    pub(crate) fn lower(self) -> FractionalPercent {
        match self {
            Self::Fraction { numerator, denominator } => FractionalPercent { numerator, denominator },
            Self::Percent(percent) if percent.fract() == 0.0 => FractionalPercent::hundred(small(percent)),
            Self::Percent(percent) => FractionalPercent::million(small(percent * 10_000.0)),
        }
    }

    /// All requests, where the schema leaves the share out.
    pub(crate) fn or_always(share: Option<Self>) -> FractionalPercent {
        share.map_or(FractionalPercent::ALWAYS, Self::lower)
    }
}

pub(crate) fn percent(value: Option<f64>) -> Option<Percent> {
    value.map(|percent| Percent::from_ppm(small(percent * 10_000.0)))
}

pub(crate) fn milli(value: Option<f64>) -> Option<u32> {
    value.map(|number| small(number * 1000.0))
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates, as is wanted here")]
fn small(number: f64) -> u32 {
    number.round() as u32
}

#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates, as is wanted here")]
fn rounded(number: f64) -> u64 {
    number.round() as u64
}
