//! Numbers with units, exact: `300ms`, `5%`, `800rps`, `4`, `0.99`.

use std::{cmp::Ordering, fmt};

/// A number. Of two with different units neither is less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Quantity {
    /// In millionths of the unit's base; [`Quantity::INFINITE`] is without bound.
    micros: i128,
    /// What it counts.
    pub unit: Unit,
}

/// What a number counts, with its base.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Unit {
    /// Things; the base is one.
    Count,
    /// Time; nanoseconds.
    Time,
    /// Requests per second; thousandths.
    Rate,
    /// Parts of a whole; millionths.
    Share,
    /// Bytes.
    Size,
}

const SCALE: i128 = 1_000_000;

/// Names of units, those first that end another one's name.
const UNITS: &[(&str, Unit, i128)] = &[
    ("ns", Unit::Time, 1),
    ("us", Unit::Time, 1_000),
    ("ms", Unit::Time, 1_000_000),
    ("s", Unit::Time, 1_000_000_000),
    ("m", Unit::Time, 60_000_000_000),
    ("h", Unit::Time, 3_600_000_000_000),
    ("rps", Unit::Rate, 1_000),
    ("krps", Unit::Rate, 1_000_000),
    ("%", Unit::Share, 10_000),
    ("B", Unit::Size, 1),
    ("KiB", Unit::Size, 1 << 10),
    ("MiB", Unit::Size, 1 << 20),
    ("GiB", Unit::Size, 1 << 30),
    ("x", Unit::Count, 1),
    ("", Unit::Count, 1),
];

impl Quantity {
    const INFINITE: i128 = i128::MAX;

    /// So many bases of a unit.
    pub(crate) const fn new(bases: u64, unit: Unit) -> Self {
        // Cannot overflow: 64 bits times a million.
        Self { micros: bases as i128 * SCALE, unit }
    }

    /// A share in percent.
    pub(crate) const fn percent(share: u32) -> Self {
        Self { micros: share as i128 * 10_000 * SCALE, unit: Unit::Share }
    }

    /// So many things; `None`: without bound.
    pub(crate) fn count(number: Option<u64>) -> Self {
        number.map_or(Self { micros: Self::INFINITE, unit: Unit::Count }, |number| Self::new(number, Unit::Count))
    }

    /// A length of time; `None`: without end.
    pub(crate) fn time(time: Option<meshproof_model::Nanos>) -> Self {
        time.map_or(Self { micros: Self::INFINITE, unit: Unit::Time }, |time| Self::new(time.get(), Unit::Time))
    }

    /// Reads `digits[.digits]` and a unit's name.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn parse(number: &str, unit: &str) -> Result<Self, String> {
        let Some((_, unit, base)) = UNITS.iter().find(|(name, _, _)| *name == unit) else {
            let known: Vec<&str> = UNITS.iter().map(|(name, _, _)| *name).filter(|name| !name.is_empty()).collect();
            let meant = meshproof_model::did_you_mean(unit, known.iter().copied());
            let hint = meant.map_or_else(
                || format!(": there are {}", known.join(", ")),
                |meant| format!(": did you mean `{meant}`?"),
            );
            return Err(format!("`{unit}` is no unit{hint}"));
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        let too_long = || format!("`{number}` has too many digits");
        if whole.len() > 15 || fraction.len() > 6 {
            return Err(too_long());
        }
        let whole: i128 = whole.parse().map_err(|_| too_long())?;
        let padded: i128 = format!("{fraction:0<6}").parse().map_err(|_| too_long())?;
        Ok(Self { micros: (whole * SCALE + padded) * base, unit: *unit })
    }

    /// Whether it has no bound.
    pub(crate) const fn is_infinite(self) -> bool {
        self.micros == Self::INFINITE
    }

    /// In whole bases of its unit, rounded down; what has no bound is the greatest there is.
    pub(crate) fn bases(self) -> u64 {
        u64::try_from((self.micros / SCALE).max(0)).unwrap_or(u64::MAX)
    }

    /// In millionths of its base.
    pub(crate) const fn micros(self) -> i128 {
        self.micros
    }

    /// Both together; of one unit.
    pub(crate) fn plus(self, other: Self) -> Self {
        let micros = if self.is_infinite() || other.is_infinite() {
            Self::INFINITE
        } else {
            self.micros.saturating_add(other.micros)
        };
        Self { micros, ..self }
    }

    /// The rest; of one unit.
    pub(crate) fn minus(self, other: Self) -> Self {
        let micros = if self.is_infinite() { Self::INFINITE } else { self.micros.saturating_sub(other.micros) };
        Self { micros, ..self }
    }

    /// `factor` is a plain number or a share.
    pub(crate) fn times(self, factor: Self) -> Self {
        let scale = if factor.unit == Unit::Share { SCALE * SCALE } else { SCALE };
        let micros =
            if self.is_infinite() { Self::INFINITE } else { self.micros.saturating_mul(factor.micros) / scale };
        Self { micros, ..self }
    }

    /// The order of two numbers of one unit.
    pub(crate) fn order(self, other: Self) -> Ordering {
        self.micros.cmp(&other.micros)
    }
}

impl Unit {
    /// As an error names it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Count => "a plain number",
            Self::Time => "a length of time",
            Self::Rate => "a rate",
            Self::Share => "a share",
            Self::Size => "a size",
        }
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_infinite() {
            return f.write_str("without bound");
        }
        // The greatest unit in which it is whole, or the least one.
        let own = || UNITS.iter().filter(|(name, unit, _)| *unit == self.unit && *name != "x");
        let whole = own().filter(|(_, _, base)| self.micros % (base * SCALE) == 0).max_by_key(|(_, _, base)| *base);
        let Some((name, _, base)) = whole.or_else(|| own().min_by_key(|(_, _, base)| *base)) else { return Ok(()) };
        if self.micros == 0 {
            return write!(f, "0{}", own().min_by_key(|(_, _, base)| *base).map_or("", |(name, _, _)| *name));
        }
        let (whole, rest) = (self.micros / (base * SCALE), (self.micros % (base * SCALE)).abs() / base);
        if rest == 0 {
            return write!(f, "{whole}{name}");
        }
        let digits = format!("{rest:06}");
        write!(f, "{whole}.{}{name}", digits.trim_end_matches('0'))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn quantities_are_exact_and_print_as_they_are_written() {
        for (number, unit, shown) in [
            ("300", "ms", "300ms"),
            ("1.5", "s", "1500ms"),
            ("60", "s", "1m"),
            ("5", "%", "5%"),
            ("0.1", "%", "0.1%"),
            ("2", "krps", "2krps"),
            ("4", "", "4"),
            ("0.99", "", "0.99"),
            ("5", "x", "5"),
            ("0", "s", "0ns"),
        ] {
            assert_eq!(Quantity::parse(number, unit).unwrap().to_string(), shown, "{number}{unit}");
        }
        let time = Quantity::parse("2", "s").unwrap();
        assert_eq!(time.times(Quantity::parse("0.5", "").unwrap()).to_string(), "1s");
        assert_eq!(time.times(Quantity::parse("50", "%").unwrap()).to_string(), "1s");
        assert!(Quantity::time(None).order(time).is_gt(), "without end is longer");
        assert!(Quantity::parse("5", "sec").unwrap_err().contains("no unit"));
    }
}
