//! How often enough of several replicas are up, if they fail independently.

/// The probability that at least `least` of `replicas` are up, each of them with probability `up`.
///
/// The distribution of the number that are up is built one replica at a time, from sums of positive terms only, so
/// that nothing is lost to cancellation.
#[must_use]
pub fn availability(replicas: u32, least: u32, up: f64) -> f64 {
    let mut chances = vec![1.0];
    for _ in 0..replicas {
        let mut next = vec![0.0; chances.len() + 1];
        for (count, chance) in chances.iter().enumerate() {
            next[count] += chance * (1.0 - up);
            next[count + 1] += chance * up;
        }
        chances = next;
    }
    chances.iter().skip(least as usize).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_binomial_tail() {
        let table = [
            (5, 3, 0.99, 0.999_990_149_4),
            (1, 1, 0.9, 0.9),
            (3, 0, 0.1, 1.0),
            (2, 2, 0.5, 0.25),
            // At most one of a thousand is down: 0.999^1000 + 1000 * 0.001 * 0.999^999.
            (1000, 999, 0.999, 0.735_758_913_0),
            (3, 4, 0.99, 0.0),
        ];
        for (replicas, least, up, expected) in table {
            let found = availability(replicas, least, up);
            assert!((found - expected).abs() < 1e-9, "{least} of {replicas}: {found}");
        }
    }
}
