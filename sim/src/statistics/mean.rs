//! A mean and its interval by Student's t.

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
mod tests {
    use super::*;

    #[test]
    fn student_meets_its_expansion() {
        assert!((student(30) - student(31)).abs() < 0.003 && (student(1_000_000) - 1.96).abs() < 0.001);
    }
}
