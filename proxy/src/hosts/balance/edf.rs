//! Earliest deadline first: weighted rotation with weights that may change (Envoy: `EdfScheduler`).
#![expect(clippy::float_arithmetic, reason = "Envoy keeps deadlines in doubles, and ties are broken by their rounding")]

use std::cmp::Ordering;

/// More picks than this are not emulated (Envoy: `UINT32_MAX / 10`).
const PICKS_MODULUS: u32 = 429_496_729;

/// Keeps weights from being multiples of each other (Envoy adds the same).
const EPSILON: f64 = 1e-13;

/// A schedule over items `0..n`.
#[derive(Clone, Debug, Default)]
pub(crate) struct Edf {
    now: f64,
    inserted: u64,
    /// A binary heap; the earliest deadline is at the front.
    queue: Vec<Entry>,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    deadline: f64,
    order: u64,
    item: usize,
}

impl Entry {
    fn is_before(&self, other: &Self) -> bool {
        let order = self.deadline.total_cmp(&other.deadline).then(self.order.cmp(&other.order));
        order == Ordering::Less
    }
}

impl Edf {
    /// A schedule of `items` as it stands after `picks` picks (Envoy: `createWithPicks`).
    ///
    /// Every item gets the picks that its share makes certain in closed form; what is left is picked one by one.
    /// Weights must be greater than zero.
    pub(crate) fn with_picks(items: usize, picks: u64, mut weight: impl FnMut(usize) -> f64) -> Self {
        // Envoy passes its 64-bit seed as a 32-bit number of picks.
        #[expect(clippy::cast_possible_truncation, reason = "the low 32 bits of the seed are meant")]
        let picks = if items == 0 { 0 } else { picks as u32 % PICKS_MODULUS };
        let total: f64 = (0..items).map(|item| weight(item) + EPSILON).sum();
        let mut edf = Self { now: 0.0, inserted: items as u64, queue: Vec::with_capacity(items) };
        let mut done = 0;
        for item in 0..items {
            let weight = weight(item) + EPSILON;
            let certain = certain_picks(picks, weight, total);
            let order = item as u64;
            edf.queue.push(Entry { deadline: (f64::from(certain) + 1.0) / weight, order, item });
            edf.now = edf.now.max(f64::from(certain) / weight);
            done += certain;
        }
        for slot in (0..items / 2).rev() {
            edf.sift_down(slot);
        }
        for _ in done..picks {
            edf.pick(&mut weight);
        }
        edf
    }

    /// Takes the item with the earliest deadline and puts it back by its present weight.
    pub(crate) fn pick(&mut self, mut weight: impl FnMut(usize) -> f64) -> Option<usize> {
        let Entry { deadline, item, .. } = *self.queue.first()?;
        self.now = deadline;
        let deadline = self.now + 1.0 / weight(item);
        self.queue[0] = Entry { deadline, order: self.inserted, item };
        self.inserted += 1;
        self.sift_down(0);
        Some(item)
    }

    fn sift_down(&mut self, mut slot: usize) {
        loop {
            let (left, right) = (2 * slot + 1, 2 * slot + 2);
            let mut first = slot;
            for child in [left, right] {
                if child < self.queue.len() && self.queue[child].is_before(&self.queue[first]) {
                    first = child;
                }
            }
            if first == slot {
                return;
            }
            self.queue.swap(slot, first);
            slot = first;
        }
    }
}

/// Picks that an item surely has among the first `picks`: the floor of its share, corrected for rounding.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a share of a 32-bit count")]
fn certain_picks(picks: u32, weight: f64, total: f64) -> u32 {
    let floor = (weight * f64::from(picks) / total) as u32;
    let overshoots = floor > 0 && f64::from(floor) / weight >= f64::from(picks) / total;
    floor - u32::from(overshoots)
}

#[cfg(test)]
#[expect(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn cycle(weights: &[u32], picks: u64, count: usize) -> Vec<usize> {
        let mut edf = Edf::with_picks(weights.len(), picks, |item| f64::from(weights[item]));
        (0..count).filter_map(|_| edf.pick(|item| f64::from(weights[item]))).map(|item| item + 1).collect()
    }

    fn is_rotation(got: &[usize], pattern: &[usize]) -> bool {
        (0..pattern.len()).any(|start| got.iter().enumerate().all(|(n, i)| pattern[(start + n) % pattern.len()] == *i))
    }

    #[test]
    fn weights_give_the_recorded_cycles() {
        assert_eq!(cycle(&[3, 1], 0, 8), [1, 1, 2, 1, 1, 1, 2, 1]);
        for seed in 0..200 {
            assert!(is_rotation(&cycle(&[3, 1], seed, 16), &[1, 1, 2, 1]), "seed {seed}");
            let got = cycle(&[5, 2, 1], seed, 24);
            assert!(is_rotation(&got, &[2, 1, 1, 1, 2, 1, 1, 3]), "seed {seed}: {got:?}");
        }
    }

    proptest! {
        /// Emulated picks leave the same shares as picks one by one.
        #[test]
        fn emulation_agrees_with_single_picks(
            weights in prop::collection::vec(1_u32..20, 1..6),
            picks in 0_u32..500,
        ) {
            let weight = |item: usize| f64::from(weights[item]) + EPSILON;
            let mut slow = Edf::with_picks(weights.len(), 0, weight);
            let mut counts = vec![0_u32; weights.len()];
            for _ in 0..picks {
                counts[slow.pick(weight).unwrap()] += 1;
            }
            let mut fast = Edf::with_picks(weights.len(), u64::from(picks), weight);
            for _ in 0..100 {
                counts[slow.pick(weight).unwrap()] += 1;
                counts[fast.pick(weight).unwrap()] += 1;
            }
            // Both schedules together have made `picks + 200` picks; each lags by less than a turn for each item.
            let total: u32 = weights.iter().sum();
            let slack = f64::from(u32::try_from(2 * weights.len()).unwrap());
            for (count, weight) in counts.iter().zip(&weights) {
                let fair = f64::from(picks + 200) * f64::from(*weight) / f64::from(total);
                prop_assert!((f64::from(*count) - fair).abs() <= slack, "{count} against {fair}");
            }
        }

        /// The heap against the obvious search for the least deadline.
        #[test]
        fn picks_agree_with_a_linear_search(weights in prop::collection::vec(1_u32..50, 1..8)) {
            let mut edf = Edf::with_picks(weights.len(), 0, |item| f64::from(weights[item]));
            let mut naive: Vec<(f64, usize)> =
                weights.iter().enumerate().map(|(n, w)| (1.0 / (f64::from(*w) + EPSILON), n)).collect();
            let mut order: Vec<usize> = (0..weights.len()).collect();
            for turn in 0..200 {
                let best = (0..naive.len())
                    .min_by(|a, b| naive[*a].0.total_cmp(&naive[*b].0).then(order[*a].cmp(&order[*b])))
                    .unwrap();
                naive[best].0 += 1.0 / f64::from(weights[best]);
                order[best] = weights.len() + turn;
                prop_assert_eq!(edf.pick(|item| f64::from(weights[item])), Some(best));
            }
        }
    }
}
