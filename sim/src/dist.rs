//! Lengths of time from draws: own samplers over `libm`, whose bits are the same on every host.
//!
//! This is the one file in which a random length passes through a float, and it ends in whole nanoseconds.

use meshproof_model::Distribution;

use crate::entropy::mix;

/// A distribution, ready to be sampled.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Sampler {
    /// Always the same, in nanoseconds.
    Constant(u64),
    /// Exponential with this mean in nanoseconds.
    Exponential(f64),
    /// Log-normal: the median in nanoseconds and the standard deviation of the logarithm.
    LogNormal(f64, f64),
    /// Gamma: the scale in nanoseconds, the shape, and the exponent that a shape below one needs.
    Gamma(f64, f64, Option<f64>),
    /// Uniform: the least value and the number of values.
    Uniform(u64, u64),
    /// One of two values: the usual one, the other one, and its parts per million.
    Bimodal(u64, u64, u32),
    /// Quantiles: parts per million and nanoseconds, ascending in both.
    Quantiles(Box<[(u32, u64)]>),
}

/// The 99th percentile of the standard normal distribution.
const Z_99: f64 = 2.326_347_874_040_840_8;
/// No length is longer than this: about 292 years.
const LONGEST: f64 = 9.2e18;

impl Sampler {
    /// Compiles a distribution.
    ///
    /// # Errors
    /// What is wrong with it, in words.
    pub(crate) fn new(distribution: &Distribution) -> Result<Self, String> {
        Ok(match distribution {
            Distribution::Constant(value) => Self::Constant(value.get()),
            Distribution::Exponential { mean } => Self::Exponential(mean.get() as f64),
            Distribution::LogNormal { median, p99 } => {
                if median.is_zero() || p99 < median {
                    return Err(format!("log-normal with median {median} and p99 {p99}: needs 0s < median <= p99"));
                }
                let ratio = p99.get() as f64 / median.get() as f64;
                Self::LogNormal(median.get() as f64, libm::log(ratio) / Z_99)
            }
            Distribution::Gamma { mean, shape } => {
                if !(shape.is_finite() && *shape > 0.0) {
                    return Err(format!("gamma of shape {shape}: needs one above zero"));
                }
                // A shape below one is reached from one above it (Marsaglia and Tsang 2000, section 6).
                let boost = (*shape < 1.0).then(|| 1.0 / shape);
                Self::Gamma(mean.get() as f64 / shape, if boost.is_some() { shape + 1.0 } else { *shape }, boost)
            }
            Distribution::Uniform { min, max } => {
                if max < min {
                    return Err(format!("uniform from {min} to {max}: the least is greater than the greatest"));
                }
                Self::Uniform(min.get(), (max.get() - min.get()).saturating_add(1))
            }
            Distribution::Bimodal { fast, slow, slow_share } => Self::Bimodal(fast.get(), slow.get(), slow_share.ppm()),
            Distribution::Quantiles(quantiles) => {
                let points: Box<[_]> = quantiles.iter().map(|(share, value)| (share.ppm(), value.get())).collect();
                if points.is_empty() || !points.is_sorted_by(|a, b| a.0 < b.0 && a.1 <= b.1) {
                    return Err("quantiles must be at least one, with ascending shares and lengths".to_owned());
                }
                Self::Quantiles(points)
            }
        })
    }

    /// The length of a uniform 64-bit draw, in nanoseconds.
    pub(crate) fn sample(&self, draw: u64) -> u64 {
        match self {
            Self::Constant(value) => *value,
            Self::Exponential(mean) => nanos(exponential(draw) * mean),
            Self::LogNormal(median, sigma) => nanos(median * libm::exp(sigma * normal(unit(draw)))),
            Self::Gamma(scale, shape, boost) => nanos(gamma(*shape, *boost, draw) * scale),
            Self::Uniform(min, values) => min + reduce(draw, *values),
            Self::Bimodal(fast, slow, share) => {
                if reduce(draw, 1_000_000) < u64::from(*share) {
                    *slow
                } else {
                    *fast
                }
            }
            Self::Quantiles(points) => quantile(points, draw),
        }
    }

    /// The length, where it is always the same.
    pub(crate) const fn constant(&self) -> Option<u64> {
        match self {
            Self::Constant(value) => Some(*value),
            _ => None,
        }
    }
}

/// A draw from `0..values`.
pub(crate) const fn reduce(draw: u64, values: u64) -> u64 {
    ((draw as u128 * values as u128) >> 64) as u64
}

/// An exponential draw with mean 1.
pub(crate) fn exponential(draw: u64) -> f64 {
    -libm::log(unit(draw))
}

/// A gamma draw of scale 1 and this shape, at least one (Marsaglia and Tsang 2000); its further draws follow from the
/// first. `boost`: the power of a uniform draw by which a smaller shape is reached.
fn gamma(shape: f64, boost: Option<f64>, draw: u64) -> f64 {
    let scale = shape - 1.0 / 3.0;
    let spread = 1.0 / libm::sqrt(9.0 * scale);
    let mut round = 0;
    let value = loop {
        let x = normal(unit(mix(draw, 2 * round)));
        let root = 1.0 + spread * x;
        let cube = root * root * root;
        let limit = 0.5 * x * x + scale * (1.0 - cube + if cube > 0.0 { libm::log(cube) } else { 0.0 });
        if cube > 0.0 && libm::log(unit(mix(draw, 2 * round + 1))) < limit {
            break scale * cube;
        }
        round += 1;
    };
    boost.map_or(value, |exponent| value * libm::exp(libm::log(unit(mix(draw, u64::MAX))) * exponent))
}

/// Rounds to whole nanoseconds.
fn nanos(value: f64) -> u64 {
    (value.min(LONGEST) + 0.5) as u64
}

/// Strictly between 0 and 1, on the middles of 2^53 equal parts.
fn unit(draw: u64) -> f64 {
    ((draw >> 11) as f64 + 0.5) * (1.0 / 9_007_199_254_740_992.0)
}

/// Linear between the points, from zero at 0 %; beyond the last point its value.
fn quantile(points: &[(u32, u64)], draw: u64) -> u64 {
    // Millionths of a part per million.
    let position = ((u128::from(draw) * 1_000_000_000_000) >> 64) as u64;
    let mut before = (0_u64, 0_u64);
    for (ppm, value) in points {
        let at = u64::from(*ppm) * 1_000_000;
        if position < at {
            let rise = u128::from(value - before.1) * u128::from(position - before.0);
            return before.1 + (rise / u128::from(at - before.0)) as u64;
        }
        before = (at, *value);
    }
    before.1
}

/// The inverse of the standard normal distribution function (Wichura 1988, AS 241, PPND16).
fn normal(p: f64) -> f64 {
    let q = p - 0.5;
    if q.abs() <= 0.425 {
        let r = 0.180_625 - q * q;
        return q * polynomial(&CENTRE_ABOVE, r) / polynomial(&CENTRE_BELOW, r);
    }
    let r = libm::sqrt(-libm::log(if q < 0.0 { p } else { 1.0 - p }));
    let z = if r <= 5.0 {
        polynomial(&MIDDLE_ABOVE, r - 1.6) / polynomial(&MIDDLE_BELOW, r - 1.6)
    } else {
        polynomial(&TAIL_ABOVE, r - 5.0) / polynomial(&TAIL_BELOW, r - 5.0)
    };
    if q < 0.0 { -z } else { z }
}

/// Horner's scheme, the highest coefficient first.
fn polynomial(coefficients: &[f64; 8], x: f64) -> f64 {
    coefficients.iter().fold(0.0, |sum, coefficient| sum * x + coefficient)
}

const CENTRE_ABOVE: [f64; 8] = [
    2_509.080_928_730_122_7,
    33_430.575_583_588_13,
    67_265.770_927_008_7,
    45_921.953_931_549_87,
    13_731.693_765_509_46,
    1_971.590_950_306_551_3,
    133.141_667_891_784_38,
    3.387_132_872_796_366_5,
];
const CENTRE_BELOW: [f64; 8] = [
    5_226.495_278_852_545,
    28_729.085_735_721_943,
    39_307.895_800_092_71,
    21_213.794_301_586_597,
    5_394.196_021_424_751,
    687.187_007_492_057_9,
    42.313_330_701_600_91,
    1.0,
];
const MIDDLE_ABOVE: [f64; 8] = [
    7.745_450_142_783_414e-4,
    0.022_723_844_989_269_184,
    0.241_780_725_177_450_6,
    1.270_458_252_452_368_4,
    3.647_848_324_763_204_5,
    5.769_497_221_460_691,
    4.630_337_846_156_546,
    1.423_437_110_749_683_5,
];
const MIDDLE_BELOW: [f64; 8] = [
    1.050_750_071_644_416_9e-9,
    5.475_938_084_995_345e-4,
    0.015_198_666_563_616_457,
    0.148_103_976_427_480_08,
    0.689_767_334_985_1,
    1.676_384_830_183_803_8,
    2.053_191_626_637_759,
    1.0,
];
const TAIL_ABOVE: [f64; 8] = [
    2.010_334_399_292_288_1e-7,
    2.711_555_568_743_487_6e-5,
    0.001_242_660_947_388_078_4,
    0.026_532_189_526_576_124,
    0.296_560_571_828_504_87,
    1.784_826_539_917_291_3,
    5.463_784_911_164_114,
    6.657_904_643_501_103,
];
const TAIL_BELOW: [f64; 8] = [
    2.044_263_103_389_939_8e-15,
    1.421_511_758_316_446e-7,
    1.846_318_317_510_054_8e-5,
    7.868_691_311_456_133e-4,
    0.014_875_361_290_850_615,
    0.136_929_880_922_735_8,
    0.599_832_206_555_888,
    1.0,
];

#[cfg(test)]
#[allow(clippy::expect_used, clippy::panic, clippy::similar_names, reason = "a test may stop")]
mod tests {
    use meshproof_model::Share;
    use meshproof_proxy::Nanos;

    use super::*;

    fn ms(ms: u64) -> Nanos {
        Nanos::from_millis(ms)
    }

    fn samples(distribution: &Distribution) -> Vec<u64> {
        let sampler = Sampler::new(distribution).expect("a valid distribution");
        let mut samples: Vec<_> = (0..100_000).map(|i| sampler.sample(mix(3, i))).collect();
        samples.sort_unstable();
        samples
    }

    fn near(value: u64, expected: u64, percent: u64) -> bool {
        value.abs_diff(expected) * 100 <= expected * percent
    }

    #[test]
    fn samples_have_the_quantiles_that_are_asked_for() {
        let uniform = samples(&Distribution::Uniform { min: ms(2), max: ms(4) });
        assert!(uniform[0] >= 2_000_000 && uniform[99_999] <= 4_000_000 && near(uniform[50_000], 3_000_000, 1));
        let exponential = samples(&Distribution::Exponential { mean: ms(10) });
        assert!(near(exponential.iter().sum::<u64>() / 100_000, 10_000_000, 1));
        assert!(near(exponential[50_000], 6_931_472, 1), "{}", exponential[50_000]);
        let log_normal = samples(&Distribution::LogNormal { median: ms(6), p99: ms(25) });
        assert!(near(log_normal[50_000], 6_000_000, 1) && near(log_normal[99_000], 25_000_000, 2));
        let bimodal = samples(&Distribution::Bimodal { fast: ms(1), slow: ms(50), slow_share: Share::percent(10) });
        assert!(near(bimodal.iter().filter(|value| **value == 50_000_000).count() as u64, 10_000, 3));
        assert_eq!(bimodal[0], 1_000_000);
        let quantiles = Distribution::Quantiles(vec![
            (Share::percent(50), ms(3)),
            (Share::percent(99), ms(12)),
            (Share::percent(100), ms(40)),
        ]);
        let empirical = samples(&quantiles);
        assert!(near(empirical[25_000], 1_500_000, 2) && near(empirical[50_000], 3_000_000, 1));
        assert!(near(empirical[99_000], 12_000_000, 2) && empirical[99_999] <= 40_000_000);
    }

    #[test]
    fn gamma_lengths_have_the_moments_that_are_asked_for() {
        for shape in [0.5, 1.0, 4.0] {
            let gamma = samples(&Distribution::Gamma { mean: ms(10), shape });
            let mean = gamma.iter().sum::<u64>() as f64 / 1e5;
            let variance = gamma.iter().map(|value| (*value as f64 - mean).powi(2)).sum::<f64>() / 1e5;
            assert!((mean / 1e7 - 1.0).abs() < 0.02, "shape {shape}: mean {mean}");
            assert!((variance / mean / mean * shape - 1.0).abs() < 0.06, "shape {shape}: variance {variance}");
        }
    }

    #[test]
    fn the_normal_quantiles_are_those_of_the_tables() {
        for (p, z) in [(0.5, 0.0), (0.975, 1.959_963_984_540_054), (0.01, -Z_99), (1e-12, -7.034_483_825_301_131)] {
            assert!((normal(p) - z).abs() < 1e-12, "{p}: {}", normal(p));
        }
    }

    /// The same bits on every host and in every build: these numbers change only with the samplers themselves.
    #[test]
    fn samples_have_golden_bits() {
        let table = [
            Distribution::Exponential { mean: ms(10) },
            Distribution::LogNormal { median: ms(6), p99: ms(25) },
            Distribution::Uniform { min: ms(1), max: ms(9) },
            Distribution::Quantiles(vec![(Share::percent(50), ms(3)), (Share::ALL, ms(40))]),
        ];
        let hashes: Vec<_> = table
            .iter()
            .map(|distribution| {
                let sampler = Sampler::new(distribution).expect("a valid distribution");
                (0..100_000).fold(0, |hash, i| mix(hash, sampler.sample(mix(11, i))))
            })
            .map(|hash| format!("{hash:016x}"))
            .collect();
        insta::assert_snapshot!(hashes.join(" "), @"66ac38fb665b3666 a96962e4e0b42080 34c153b62d71828a 21a9c3bb4623ff24");
    }

    #[test]
    fn a_distribution_that_cannot_be_is_refused() {
        let table = [
            Distribution::LogNormal { median: ms(5), p99: ms(4) },
            Distribution::LogNormal { median: ms(0), p99: ms(4) },
            Distribution::Uniform { min: ms(5), max: ms(4) },
            Distribution::Quantiles(Vec::new()),
            Distribution::Quantiles(vec![(Share::percent(50), ms(5)), (Share::percent(50), ms(6))]),
            Distribution::Quantiles(vec![(Share::percent(50), ms(5)), (Share::percent(60), ms(4))]),
        ];
        for distribution in table {
            assert!(Sampler::new(&distribution).is_err(), "{distribution:?}");
        }
    }
}
