//! Intervals from one long run: the means of batches are nearly independent where single values are not.

use super::Mean;

/// So many batches: more have too much in common, fewer too wide an interval (Schmeiser 1982: 10 to 30).
pub(crate) const BATCHES: usize = 20;

/// The mean over the batches of a run and its interval; `None` unless at least half of the batches have a value.
pub(crate) fn batch_means(batches: &[Option<f64>]) -> Option<Mean> {
    let values: Vec<f64> = batches.iter().copied().flatten().collect();
    if values.len() * 2 < batches.len().max(4) { None } else { Mean::of(&values) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{dist::Sampler, entropy::mix};

    /// The interval of a mean of values that depend on each other covers the truth about as often as it says.
    #[test]
    fn batches_cover_the_mean_of_a_series_that_remembers() {
        let trials = 400;
        let noise = Sampler::Exponential(1e6);
        let covered = (0..trials).filter(|trial| {
            let mut level = 1.0;
            let values: Vec<f64> = (0..20_000_u64)
                .map(|at| {
                    level = 0.9 * level + 0.1 * noise.sample(mix(mix(1, *trial), at)) as f64 / 1e6;
                    level
                })
                .collect();
            let mean = |batch: &[f64]| Some(batch.iter().sum::<f64>() / batch.len() as f64);
            let batches: Vec<_> = values.chunks(values.len() / BATCHES).map(mean).collect();
            batch_means(&batches).is_some_and(|found| (found.mean - 1.0).abs() <= found.half)
        });
        let covered = covered.count();
        // 380 expected; five standard deviations are 22.
        assert!((355..=398).contains(&covered), "{covered} of {trials}");
    }

    #[test]
    fn too_few_batches_give_no_interval() {
        assert!(batch_means(&[Some(1.0), None, None, None]).is_none());
        assert!(batch_means(&[Some(1.0), Some(2.0), None, None]).is_some());
    }
}
