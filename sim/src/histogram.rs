//! Lengths of time, counted in log-linear buckets: relative error below 1/256, merged exactly and in any order.

/// Counts of lengths in nanoseconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Histogram {
    buckets: Vec<u32>,
    count: u64,
    sum: u128,
    max: u64,
}

/// 128 buckets for each doubling.
const SUB_BITS: u32 = 7;
/// The unit of a bucket's index is 64 ns: finer differences do not matter here.
const UNIT_BITS: u32 = 6;

impl Histogram {
    pub(crate) fn record(&mut self, nanos: u64) {
        let index = index(nanos);
        if index >= self.buckets.len() {
            self.buckets.resize(index + 1, 0);
        }
        self.buckets[index] += 1;
        self.count += 1;
        self.sum += u128::from(nanos);
        self.max = self.max.max(nanos);
    }

    pub(crate) fn merge(&mut self, other: &Self) {
        if self.buckets.len() < other.buckets.len() {
            self.buckets.resize(other.buckets.len(), 0);
        }
        for (mine, theirs) in self.buckets.iter_mut().zip(&other.buckets) {
            *mine += theirs;
        }
        self.count += other.count;
        self.sum += other.sum;
        self.max = self.max.max(other.max);
    }

    /// How many lengths there are.
    pub(crate) const fn count(&self) -> u64 {
        self.count
    }

    pub(crate) const fn max(&self) -> u64 {
        self.max
    }

    /// The mean in nanoseconds, rounded down; 0 without values.
    pub(crate) fn mean(&self) -> u64 {
        self.sum.checked_div(u128::from(self.count)).map_or(0, |mean| u64::try_from(mean).unwrap_or(u64::MAX))
    }

    /// The least length that `ppm` millionths of the values do not exceed, up to the width of a bucket; 0 without
    /// values.
    pub(crate) fn quantile(&self, ppm: u32) -> u64 {
        let rank = (u128::from(self.count) * u128::from(ppm)).div_ceil(1_000_000).max(1);
        let mut seen = 0_u128;
        for (index, count) in self.buckets.iter().enumerate() {
            let before = seen;
            seen += u128::from(*count);
            if seen >= rank {
                // Values are taken to lie evenly in their bucket.
                let (least, width) = (least(index), u128::from(least(index + 1) - least(index)));
                let part = width * (2 * (rank - before) - 1) / (2 * u128::from(*count));
                return (least + u64::try_from(part).unwrap_or(0)).min(self.max);
            }
        }
        self.max
    }
}

const fn index(nanos: u64) -> usize {
    let units = nanos >> UNIT_BITS;
    if units >> SUB_BITS == 0 {
        return units as usize;
    }
    let shift = units.ilog2() - SUB_BITS;
    (((shift as u64) << SUB_BITS) + (units >> shift)) as usize
}

/// The least length in a bucket.
const fn least(index: usize) -> u64 {
    let index = index as u64;
    if index >> SUB_BITS < 2 {
        return index << UNIT_BITS;
    }
    let shift = (index >> SUB_BITS) - 1;
    ((index - (shift << SUB_BITS)) << shift) << UNIT_BITS
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn a_bucket_holds_what_lies_near_its_middle(nanos in 0_u64..=1 << 50) {
            let least_of = least(index(nanos));
            prop_assert!(least_of <= nanos && nanos < least(index(nanos) + 1));
            prop_assert!(nanos - least_of <= 64.max(nanos / 128));
        }

        #[test]
        fn buckets_are_in_order(a in 0_u64..=1 << 50, b in 0_u64..=1 << 50) {
            prop_assert_eq!(a.cmp(&b).then(index(a).cmp(&index(b))), a.cmp(&b));
            prop_assert!((a <= b) == (index(a) <= index(b)) || index(a) == index(b));
        }

        #[test]
        fn quantiles_are_those_of_a_sorted_list(mut values in proptest::collection::vec(0_u64..100_000_000, 1..300), ppm in 1_u32..=1_000_000) {
            let mut whole = Histogram::default();
            let mut parts = [Histogram::default(), Histogram::default()];
            for (i, value) in values.iter().enumerate() {
                whole.record(*value);
                parts[i % 2].record(*value);
            }
            let [mut merged, other] = parts;
            merged.merge(&other);
            prop_assert_eq!(&merged, &whole);
            values.sort_unstable();
            let rank = (values.len() as u64 * u64::from(ppm)).div_ceil(1_000_000).max(1);
            let exact = values[rank as usize - 1];
            prop_assert!(whole.quantile(ppm).abs_diff(exact) <= 64.max(exact / 128), "{} {exact}", whole.quantile(ppm));
        }
    }
}
