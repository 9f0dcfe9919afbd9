//! Numbers of a report: counts, measures, and intervals where there are replications.

use serde::Serialize;

use crate::statistics::Mean;

/// A figure of a report.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Number {
    /// There is none, such as a share of no requests.
    Absent(()),
    /// How many.
    Count(u64),
    /// How much.
    Real(f64),
    /// The mean over replications, with its 95 % confidence interval.
    Interval {
        /// The mean.
        value: f64,
        /// The interval's lower end.
        lo: f64,
        /// The interval's upper end.
        hi: f64,
    },
}

impl Number {
    /// There is none.
    pub const ABSENT: Self = Self::Absent(());

    /// The figure, or its mean over replications.
    pub fn value(self) -> Option<f64> {
        match self {
            Self::Absent(()) => None,
            Self::Count(count) => Some(count as f64),
            Self::Real(value) | Self::Interval { value, .. } => Some(value),
        }
    }

    /// The ends of its confidence interval, where it has one.
    pub const fn interval(self) -> Option<[f64; 2]> {
        match self {
            Self::Interval { lo, hi, .. } => Some([lo, hi]),
            _ => None,
        }
    }

    /// `part / whole`; absent for no whole.
    pub(crate) fn ratio(part: u64, whole: u64) -> Self {
        if whole == 0 { Self::ABSENT } else { Self::Real(part as f64 / whole as f64) }
    }

    /// Nanoseconds in milliseconds.
    pub(crate) fn millis(nanos: u64) -> Self {
        Self::Real(nanos as f64 / 1e6)
    }

    /// One figure of several replications: as it is for one, else the mean and its interval by Student's t.
    pub(crate) fn of(replications: impl IntoIterator<Item = Self>) -> Self {
        let all: Vec<Self> = replications.into_iter().collect();
        if let [only] = all.as_slice() {
            return *only;
        }
        let values: Vec<f64> = all.iter().filter_map(|number| number.value()).collect();
        match Mean::of(&values) {
            Some(Mean { mean, half }) => Self::Interval { value: mean, lo: mean - half, hi: mean + half },
            None => Self::ABSENT,
        }
    }
}

impl From<u64> for Number {
    fn from(count: u64) -> Self {
        Self::Count(count)
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, clippy::panic, clippy::similar_names, reason = "a test may stop")]
mod tests {
    use super::*;

    #[test]
    fn one_replication_is_exact_and_several_have_an_interval() {
        assert_eq!(Number::of([Number::Count(3)]), Number::Count(3));
        let several = Number::of([Number::Count(2), Number::Count(4), Number::Count(6)]);
        let Number::Interval { value, lo, hi } = several else { panic!("{several:?}") };
        // The standard error is 2 / sqrt(3), times 4.303 for two degrees of freedom.
        assert!((value - 4.0).abs() < 1e-12 && (hi - value - 4.303 * 2.0 / 3.0_f64.sqrt()).abs() < 1e-9 && lo < 0.0);
        assert_eq!(Number::of([Number::ABSENT, Number::ABSENT]), Number::ABSENT);
    }
}
