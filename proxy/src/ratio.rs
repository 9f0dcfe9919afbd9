//! Probabilities and percentages as integers, reduced as Envoy reduces them.

use serde::{Deserialize, Serialize};

/// A share of draws, `numerator / denominator` (Envoy: `type.v3.FractionalPercent`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct FractionalPercent {
    /// How many of `denominator` draws hold; a larger numerator means always.
    pub numerator: u32,
    /// 100, 10,000 or 1,000,000.
    pub denominator: u32,
}

impl FractionalPercent {
    /// Always.
    pub const ALWAYS: Self = Self { numerator: 100, denominator: 100 };
    /// Never.
    pub const NEVER: Self = Self { numerator: 0, denominator: 100 };

    /// `n` of a hundred.
    pub const fn hundred(n: u32) -> Self {
        Self { numerator: n, denominator: 100 }
    }

    /// `n` of a million.
    pub const fn million(n: u32) -> Self {
        Self { numerator: n, denominator: 1_000_000 }
    }

    /// Whether a raw draw falls inside (Envoy: `random % denominator < numerator`).
    pub const fn holds(self, draw: u64) -> bool {
        draw % (self.denominator as u64) < self.numerator as u64
    }

    /// Whether no draw falls inside.
    pub const fn is_never(self) -> bool {
        self.numerator == 0
    }

    /// Whether every draw falls inside.
    pub const fn is_always(self) -> bool {
        self.numerator >= self.denominator
    }
}

/// A percentage in parts per million, for Envoy's `type.v3.Percent` (a double there).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Percent(u32);

impl Percent {
    /// Whole percent.
    pub const fn new(percent: u32) -> Self {
        Self(percent.saturating_mul(10_000))
    }

    /// From parts per million.
    pub const fn from_ppm(ppm: u32) -> Self {
        Self(ppm)
    }

    /// Parts per million.
    pub const fn ppm(self) -> u32 {
        self.0
    }

    /// This share of `base`, rounded down.
    pub const fn of(self, base: u64) -> u64 {
        let (whole, rest) = (base / 1_000_000, base % 1_000_000);
        whole.saturating_mul(self.0 as u64).saturating_add(rest * self.0 as u64 / 1_000_000)
    }
}
