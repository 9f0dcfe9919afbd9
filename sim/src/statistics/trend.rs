//! Whether something grows without end.

/// A straight line through values at equal distances.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Trend {
    /// The line's slope, in the values' unit for each step.
    pub(crate) slope: f64,
    /// Whether the values grow: far beyond their scatter, by at least half of their mean, and by ten.
    pub(crate) grows: bool,
}

/// Fewer values say nothing.
const LEAST: usize = 10;
/// So many standard errors are no accident, though neighbours are alike.
const ERRORS: f64 = 8.0;

/// The trend of values at equal distances; `None` for fewer than ten.
pub(crate) fn trend(values: &[f64]) -> Option<Trend> {
    let count = values.len();
    if count < LEAST {
        return None;
    }
    let n = count as f64;
    let (middle, mean) = ((n - 1.0) / 2.0, values.iter().sum::<f64>() / n);
    let (mut spread, mut covariance) = (0.0, 0.0);
    for (at, value) in values.iter().enumerate() {
        let step = at as f64 - middle;
        spread += step * step;
        covariance += step * (value - mean);
    }
    let slope = covariance / spread;
    let residuals: f64 = values
        .iter()
        .enumerate()
        .map(|(at, value)| value - mean - slope * (at as f64 - middle))
        .map(|residual| residual * residual)
        .sum();
    let error = libm::sqrt(residuals / (n - 2.0) / spread);
    let growth = slope * n;
    Some(Trend { slope, grows: slope > ERRORS * error && growth >= 10.0 && growth >= mean / 2.0 })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::entropy::mix;

    fn noisy(slope: f64, noise: f64, count: u64) -> Vec<f64> {
        let draw = |at: u64| (mix(9, at) >> 11) as f64 / 9_007_199_254_740_992.0 - 0.5;
        (0..count).map(|at| 100.0 + slope * at as f64 + noise * draw(at)).collect()
    }

    #[test]
    fn growth_is_told_from_noise() {
        let grows = |slope, noise, count| trend(&noisy(slope, noise, count)).is_some_and(|trend| trend.grows);
        assert!(grows(300.0, 50.0, 30) && grows(5.0, 50.0, 60));
        assert!(!grows(0.0, 50.0, 60) && !grows(-20.0, 5.0, 60));
        // Real, and too little to matter: a hundredth of what is there.
        assert!(!grows(0.02, 0.0, 60));
        assert_eq!(trend(&[1.0; 9]), None);
        assert!(trend(&noisy(300.0, 50.0, 30)).is_some_and(|trend| (trend.slope - 300.0).abs() < 3.0));
    }
}
