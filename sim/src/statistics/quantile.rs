//! Intervals without a shape: quantiles by order statistics, shares by Wilson's score.

/// The 97.5th percentile of the standard normal distribution.
const Z: f64 = 1.959_963_984_540_054;

/// The 95 % interval of a quantile of what these values were drawn from, by their order alone; `None` where there are
/// too few of them. `share` lies between 0 and 1.
pub(crate) fn quantile_interval(values: &[f64], share: f64) -> Option<[f64; 2]> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let count = sorted.len();
    // The number of values below the quantile is binomial: find ranks that it leaves out with at most 2.5 % each.
    let (mut below, mut lower, mut upper) = (0.0, None, None);
    for rank in 0..=count {
        let probability = binomial(count, rank, share);
        if below + probability <= 0.025 {
            lower = Some(rank);
        }
        below += probability;
        if below >= 0.975 && upper.is_none() {
            upper = Some(rank);
        }
    }
    Some([*sorted.get(lower?)?, *sorted.get(upper?)?])
}

fn binomial(count: usize, rank: usize, share: f64) -> f64 {
    let (n, k) = (count as f64, rank as f64);
    let log = libm::lgamma(n + 1.0) - libm::lgamma(k + 1.0) - libm::lgamma(n - k + 1.0)
        + k * libm::log(share)
        + (n - k) * libm::log(1.0 - share);
    libm::exp(log)
}

/// The 95 % interval of a share of which `part` of `whole` trials were seen (Wilson 1927).
pub(crate) fn wilson(part: u64, whole: u64) -> [f64; 2] {
    if whole == 0 {
        return [0.0, 1.0];
    }
    let (n, p) = (whole as f64, part as f64 / whole as f64);
    let centre = p + Z * Z / (2.0 * n);
    let half = Z * libm::sqrt(p * (1.0 - p) / n + Z * Z / (4.0 * n * n));
    let scale = 1.0 + Z * Z / n;
    [((centre - half) / scale).max(0.0), ((centre + half) / scale).min(1.0)]
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test may stop")]
mod tests {
    use super::*;

    /// Tables of the median's ranks: of 10 values the 2nd to the 9th, of 20 the 6th to the 15th; of 5 none.
    #[test]
    fn the_median_has_the_ranks_of_the_tables() {
        let values = |count: u32| (1..=count).map(f64::from).collect::<Vec<_>>();
        assert_eq!(quantile_interval(&values(10), 0.5), Some([2.0, 9.0]));
        assert_eq!(quantile_interval(&values(20), 0.5), Some([6.0, 15.0]));
        assert_eq!(quantile_interval(&values(5), 0.5), None);
        let [lower, upper] = quantile_interval(&values(1000), 0.9).expect("an interval");
        // 900 plus and minus 1.96 * sqrt(90).
        assert!((880.0..=883.0).contains(&lower) && (917.0..=921.0).contains(&upper), "{lower} {upper}");
    }

    #[test]
    fn a_share_that_was_never_seen_may_still_be_there() {
        let [none, some] = wilson(0, 100);
        assert!(none < 1e-12 && (some - 0.037).abs() < 0.001, "{some}");
        let [lower, upper] = wilson(50, 100);
        assert!((lower - 0.4038).abs() < 1e-3 && (upper - 0.5962).abs() < 1e-3, "{lower} {upper}");
        let [least, most] = wilson(0, 0);
        assert!(least < 1e-12 && most > 1.0 - 1e-12);
    }
}
