//! Hosts whose success rate stands out (Envoy: `processSuccessRateEjections`).
#![expect(clippy::float_arithmetic, reason = "Envoy computes rates, mean and deviation in doubles")]

use super::table::OutlierOptions;

/// Requests of the running interval and of the finished one.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Bucket {
    running: Counts,
    finished: Counts,
}

#[derive(Clone, Copy, Debug, Default)]
struct Counts {
    ok: u32,
    total: u32,
}

impl Bucket {
    pub(super) fn put(&mut self, ok: bool) {
        self.running.total += 1;
        self.running.ok += u32::from(ok);
    }

    /// The interval has passed.
    pub(super) fn finish(&mut self) {
        self.finished = std::mem::take(&mut self.running);
    }

    /// The finished interval's rate in percent, if it saw at least so many requests.
    fn rate(&self, volume: u32) -> Option<f64> {
        let Counts { ok, total } = self.finished;
        (total > 0 && total >= volume).then(|| f64::from(ok) * 100.0 / f64::from(total))
    }
}

/// Hosts whose rate lies too many standard deviations below the mean.
pub(super) fn outliers(options: &OutlierOptions, buckets: &[(usize, Bucket)]) -> Vec<usize> {
    let rates = rates(buckets, options.success_rate_request_volume);
    if rates.is_empty() || rates.len() < options.success_rate_minimum_hosts as usize {
        return Vec::new();
    }
    let threshold = threshold(&rates, f64::from(options.success_rate_stdev_factor) / 1000.0);
    rates.iter().filter(|(_, rate)| *rate < threshold).map(|(index, _)| *index).collect()
}

/// Hosts that fail at least the configured share of their requests.
pub(super) fn failing(options: &OutlierOptions, buckets: &[(usize, Bucket)]) -> Vec<usize> {
    let rates = rates(buckets, options.failure_percentage_request_volume);
    if rates.is_empty() || rates.len() < options.failure_percentage_minimum_hosts as usize {
        return Vec::new();
    }
    let threshold = f64::from(options.failure_percentage_threshold);
    rates.iter().filter(|(_, rate)| 100.0 - rate >= threshold).map(|(index, _)| *index).collect()
}

fn rates(buckets: &[(usize, Bucket)], volume: u32) -> Vec<(usize, f64)> {
    buckets.iter().filter_map(|(index, bucket)| Some((*index, bucket.rate(volume)?))).collect()
}

/// Mean less `factor` times the standard deviation of the population.
fn threshold(rates: &[(usize, f64)], factor: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "a number of hosts")]
    let count = rates.len() as f64;
    let mean = rates.iter().map(|(_, rate)| rate).sum::<f64>() / count;
    let variance = rates.iter().map(|(_, rate)| (rate - mean) * (rate - mean)).sum::<f64>() / count;
    mean - factor * variance.sqrt()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thresholds_are_those_of_the_specification() {
        let table: [(&[f64], f64, f64); 4] = [
            (&[50.0, 100.0, 100.0, 100.0, 100.0], 1.9, 52.0),
            (&[0.0, 100.0, 100.0, 100.0, 100.0], 1.9, 4.0),
            (&[0.0, 100.0, 100.0, 100.0, 100.0], 2.0, 0.0),
            (&[0.0, 100.0, 100.0, 100.0], 1.0, 31.698_729_810_778_06),
        ];
        for (rates, factor, expect) in table {
            let rates: Vec<_> = rates.iter().copied().enumerate().collect();
            assert!((threshold(&rates, factor) - expect).abs() < 1e-9, "{rates:?} at {factor}");
        }
    }
}
