//! What a few events say of how many there are on average.

/// The 95 % interval of the mean of a Poisson distribution of which so many events were seen (Garwood 1936: each end
/// leaves 2.5 % beyond what was seen).
pub(crate) fn poisson_interval(seen: u32) -> [f64; 2] {
    let lower = if seen == 0 { 0.0 } else { solve(|mean| 1.0 - at_most(seen - 1, mean) >= 0.025, seen) };
    let upper = solve(|mean| at_most(seen, mean) <= 0.025, seen);
    [lower, upper]
}

/// The probability of at most so many events.
fn at_most(count: u32, mean: f64) -> f64 {
    let mut term = libm::exp(-mean);
    let mut sum = term;
    for number in 1..=count {
        term *= mean / f64::from(number);
        sum += term;
    }
    sum
}

/// The least mean for which a claim holds that holds for all greater ones, by bisection.
fn solve(holds: impl Fn(f64) -> bool, seen: u32) -> f64 {
    let (mut low, mut high) = (0.0, 4.0 * f64::from(seen) + 10.0);
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if holds(middle) {
            high = middle;
        } else {
            low = middle;
        }
    }
    high
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn intervals_are_those_of_the_tables() {
        for (seen, lower, upper) in [(0, 0.0, 3.689), (1, 0.0253, 5.572), (11, 5.491, 19.68), (100, 81.36, 121.63)] {
            let [least, most] = poisson_interval(seen);
            assert!((least - lower).abs() < 0.01 && (most - upper).abs() < 0.01, "{seen}: {least} {most}");
        }
    }
}
