//! When requests arrive. Times come from the inverse of the integrated rate, in exact integers.

use meshproof_model::Phase;

use crate::{
    dist::exponential,
    entropy::{Keys, Purpose},
};

/// One request, in the unit of an integrated rate: thousandths of a request per second times nanoseconds.
const REQUEST: u128 = 1_000_000_000_000;

/// A rate over time, piecewise linear.
#[derive(Clone, Debug)]
pub(crate) struct Curve {
    pieces: Vec<Piece>,
}

#[derive(Clone, Debug)]
struct Piece {
    from: u64,
    /// BOUND: below 2^43 ns (about 2.4 hours) for a ramp, so that its square times a rate fits 128 bits.
    length: u64,
    /// In thousandths of a request per second.
    rate_before: u64,
    rate_after: u64,
    requests_before: u128,
}

impl Curve {
    /// The course of these phases until the horizon, in nanoseconds; the last rate holds.
    pub(crate) fn new(phases: &[Phase], horizon: u64) -> Self {
        let mut pieces = Vec::new();
        let (mut from, mut rate, mut requests) = (0_u64, 0_u64, 0_u128);
        let hold = Phase::Hold { rate: meshproof_model::Rate::default(), during: meshproof_proxy::Nanos::ZERO };
        for phase in phases.iter().chain(std::iter::once(&hold)) {
            let is_last = std::ptr::eq(phase, &raw const hold);
            let (before, after, length) = match phase {
                _ if is_last => (rate, rate, horizon.saturating_sub(from)),
                Phase::Hold { rate, during } => (rate.milli(), rate.milli(), during.get()),
                Phase::Ramp { to, during } => (rate, to.milli(), during.get()),
            };
            let piece = Piece { from, length, rate_before: before, rate_after: after, requests_before: requests };
            requests += piece.integral(length);
            (from, rate) = (from.saturating_add(length), after);
            pieces.push(piece);
        }
        Self { pieces }
    }

    /// The least time at which the integrated rate reaches `area`; `piece` is where the last search ended.
    fn reached(&self, area: u128, piece: &mut usize) -> Option<u64> {
        loop {
            let current = self.pieces.get(*piece)?;
            let wanted = area - current.requests_before;
            if current.integral(current.length) >= wanted {
                return Some(current.from + current.inverse(wanted));
            }
            *piece += 1;
        }
    }
}

impl Piece {
    /// Requests in the first `x` nanoseconds.
    fn integral(&self, x: u64) -> u128 {
        let (x, length) = (u128::from(x), u128::from(self.length));
        let base = u128::from(self.rate_before) * x;
        if self.rate_before == self.rate_after || x == 0 {
            return base;
        }
        let bend = u128::from(self.rate_before.abs_diff(self.rate_after)) * x * x / (2 * length);
        if self.rate_after > self.rate_before { base + bend } else { base - bend.min(base) }
    }

    /// The least `x` with `integral(x) >= wanted`.
    fn inverse(&self, wanted: u128) -> u64 {
        if self.rate_before == self.rate_after {
            let rate = u128::from(self.rate_before.max(1));
            return u64::try_from(wanted.div_ceil(rate)).unwrap_or(u64::MAX);
        }
        let (mut low, mut high) = (0, self.length);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.integral(middle) >= wanted { high = middle } else { low = middle + 1 }
        }
        low
    }
}

/// How the arrivals of an open load are spaced.
#[derive(Clone, Debug)]
pub(crate) enum Spacing {
    Constant(Curve),
    Poisson(Curve),
    /// At these times, ascending, in nanoseconds.
    Recorded(std::sync::Arc<[u64]>),
}

/// The arrivals of one open load.
#[derive(Clone, Debug)]
pub(crate) struct Arrivals {
    spacing: Spacing,
    load: u64,
    count: u64,
    area: u128,
    piece: usize,
}

impl Arrivals {
    pub(crate) const fn new(spacing: Spacing, load: u64) -> Self {
        Self { spacing, load, count: 0, area: 0, piece: 0 }
    }

    /// The time of the next arrival, if there is one.
    pub(crate) fn next(&mut self, keys: &Keys) -> Option<u64> {
        let number = self.count;
        self.count += 1;
        match &self.spacing {
            Spacing::Constant(curve) => {
                self.area += REQUEST;
                curve.reached(self.area, &mut self.piece)
            }
            Spacing::Poisson(curve) => {
                let gap = exponential(keys.draw(Purpose::Arrival, self.load, number));
                self.area += (gap * REQUEST as f64) as u128;
                curve.reached(self.area, &mut self.piece)
            }
            Spacing::Recorded(times) => times.get(usize::try_from(number).ok()?).copied(),
        }
    }
}

#[cfg(test)]
mod tests {
    use meshproof_model::Rate;
    use meshproof_proxy::Nanos;

    use super::*;

    const SECOND: u64 = 1_000_000_000;

    fn spike() -> Curve {
        let phases = [
            Phase::Hold { rate: Rate::per_second(10), during: Nanos::from_secs(2) },
            Phase::Ramp { to: Rate::per_second(110), during: Nanos::from_secs(10) },
            Phase::Hold { rate: Rate::per_second(110), during: Nanos::from_secs(5) },
            Phase::Ramp { to: Rate::per_second(10), during: Nanos::from_secs(1) },
        ];
        Curve::new(&phases, 20 * SECOND)
    }

    fn times(spacing: Spacing) -> Vec<u64> {
        let keys = Keys::new(5, 0);
        let mut arrivals = Arrivals::new(spacing, 0);
        std::iter::from_fn(|| arrivals.next(&keys)).collect()
    }

    fn between(times: &[u64], from: u64, to: u64) -> usize {
        times.iter().filter(|at| (from * SECOND..to * SECOND).contains(at)).count()
    }

    #[test]
    fn constant_arrivals_follow_the_rate_exactly() {
        let times = times(Spacing::Constant(spike()));
        assert!(times.is_sorted());
        assert_eq!(times[..3], [SECOND / 10, SECOND / 5, 3 * SECOND / 10]);
        // 20 in the first phase, 600 in the ramp, 550 in the hold, 60 in the way back, 20 after it; the last one of a
        // phase falls on its end.
        assert_eq!(times.len(), 1250);
        assert_eq!(times.last(), Some(&(20 * SECOND)));
        assert!(between(&times, 12, 17).abs_diff(550) <= 1);
    }

    #[test]
    fn poisson_arrivals_have_the_mean_and_variance_of_their_rate() {
        let curve =
            Curve::new(&[Phase::Hold { rate: Rate::per_second(100), during: Nanos::from_secs(1) }], 1000 * SECOND);
        let times = times(Spacing::Poisson(curve));
        assert!(times.is_sorted() && times.len().abs_diff(100_000) < 1500, "{}", times.len());
        let counts: Vec<_> = (0..1000).map(|s| between(&times[..], s, s + 1) as f64).collect();
        let mean = counts.iter().sum::<f64>() / 1000.0;
        let variance = counts.iter().map(|count| (count - mean) * (count - mean)).sum::<f64>() / 999.0;
        assert!((variance / mean - 1.0).abs() < 0.2, "{variance} {mean}");
    }

    #[test]
    fn recorded_arrivals_are_as_they_were() {
        assert_eq!(times(Spacing::Recorded([3, 5, 5].into())), [3, 5, 5]);
    }

    #[test]
    fn a_load_without_a_rate_never_arrives() {
        assert!(times(Spacing::Constant(Curve::new(&[], SECOND))).is_empty());
    }
}
