//! Numbers of a report: counts, measures, and intervals where there are replications.

use serde::Serialize;

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

/// A mean and half the width of its 95 % confidence interval.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Mean {
    pub(crate) mean: f64,
    pub(crate) half: f64,
}

impl Mean {
    /// Of these values; the interval of one value is as wide as nothing is known, here: zero.
    pub(crate) fn of(values: &[f64]) -> Option<Self> {
        let count = values.len();
        if count == 0 {
            return None;
        }
        let mean = values.iter().sum::<f64>() / count as f64;
        if count == 1 {
            return Some(Self { mean, half: 0.0 });
        }
        let squares: f64 = values.iter().map(|value| (value - mean) * (value - mean)).sum();
        let deviation = libm::sqrt(squares / (count - 1) as f64);
        Some(Self { mean, half: student(count - 1) * deviation / libm::sqrt(count as f64) })
    }
}

/// The 97.5th percentile of Student's t with so many degrees of freedom: exact to three digits.
fn student(freedom: usize) -> f64 {
    const TABLE: [f64; 30] = [
        12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131,
        2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056, 2.052, 2.048, 2.045, 2.042,
    ];
    match TABLE.get(freedom.saturating_sub(1)) {
        Some(t) => *t,
        // Cornish and Fisher's expansion, exact to three digits from here on.
        None => 1.959_964 + 2.372_271 / freedom as f64 + 2.822_5 / (freedom * freedom) as f64,
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

    #[test]
    fn student_meets_its_expansion() {
        assert!((student(30) - student(31)).abs() < 0.003 && (student(1_000_000) - 1.96).abs() < 0.001);
    }
}
