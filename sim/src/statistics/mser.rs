//! Where a warm-up ends: MSER-5 (White, Cobb and Spratt 2000).

/// Observations are first averaged over so many.
const BATCH: usize = 5;

/// How many of the first observations to leave out: a multiple of five, at most half of them. It is the number that
/// leaves the least marginal standard error, the sum of the squared deviations of the rest over the square of its
/// length.
pub(crate) fn mser5(observations: &[f64]) -> usize {
    let batches: Vec<f64> =
        observations.chunks_exact(BATCH).map(|batch| batch.iter().sum::<f64>() / BATCH as f64).collect();
    // Deviations from one value that lies among them, so that nothing is lost to cancellation.
    let origin = batches.last().copied().unwrap_or_default();
    let (mut sum, mut squares) = (0.0, 0.0);
    let mut best = (f64::INFINITY, 0);
    for (left_out, value) in batches.iter().enumerate().rev() {
        let deviation = value - origin;
        sum += deviation;
        squares += deviation * deviation;
        let rest = (batches.len() - left_out) as f64;
        let error = (squares - sum * sum / rest).max(0.0) / (rest * rest);
        if left_out <= batches.len() / 2 && error <= best.0 {
            best = (error, left_out);
        }
    }
    best.1 * BATCH
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The definition, word by word.
    fn naive(observations: &[f64]) -> Vec<f64> {
        let batches: Vec<f64> = observations.chunks_exact(5).map(|batch| batch.iter().sum::<f64>() / 5.0).collect();
        (0..=batches.len() / 2)
            .take(batches.len())
            .map(|left_out| {
                let rest = &batches[left_out..];
                let mean = rest.iter().sum::<f64>() / rest.len() as f64;
                rest.iter().map(|value| (value - mean) * (value - mean)).sum::<f64>() / (rest.len() * rest.len()) as f64
            })
            .collect()
    }

    #[test]
    fn known_series_are_cut_where_they_are_known_to_settle() {
        // A step: 20 at 100, then 180 that alternate between 9 and 11.
        let step = |at: usize| if at < 20 { 100.0 } else { 9.0 + 2.0 * (at % 2) as f64 };
        assert_eq!(mser5(&(0..200).map(step).collect::<Vec<_>>()), 20);
        // A constant has no warm-up, and neither has nothing.
        assert_eq!((mser5(&[3.0; 100]), mser5(&[])), (0, 0));
        // Halves every five: 64 + 7, 32 + 7, ..., with a ripple of 0.5. Below the ripple, more data is worth more.
        let decay = |at: usize| 7.0 + libm::exp2(6.0 - (at / 5) as f64) + 0.5 * ((at / 5 % 2) as f64);
        assert_eq!(mser5(&(0..200).map(decay).collect::<Vec<_>>()), 40);
        // One that grows to the end is cut at the half, the most that is allowed.
        assert_eq!(mser5(&(0..200).map(f64::from).collect::<Vec<_>>()), 100);
    }

    proptest! {
        #[test]
        fn it_is_the_least_error_of_the_definition(values in proptest::collection::vec(0.0_f64..1000.0, 0..400)) {
            let errors = naive(&values);
            let chosen = mser5(&values) / 5;
            let least = errors.iter().copied().fold(f64::INFINITY, f64::min);
            prop_assert!(errors.is_empty() || errors[chosen] <= least * (1.0 + 1e-9) + 1e-12, "{chosen} {errors:?}");
        }
    }
}
