//! Draws as a pure function of the case, the proxy and the key.

use meshproof_proxy::{DrawKey, Entropy};

/// Draws of one proxy in one case.
pub(crate) struct Keyed {
    pub(crate) seed: u64,
    pub(crate) proxy: u64,
}

impl Entropy for Keyed {
    fn draw(&mut self, key: DrawKey) -> u64 {
        [self.proxy, key.request.0, u64::from(key.attempt), key.what as u64].into_iter().fold(self.seed, mix)
    }
}

/// A seed from a name.
pub(crate) fn seed(name: &str) -> u64 {
    name.bytes().fold(0x9e37_79b9_7f4a_7c15, |state, byte| mix(state, u64::from(byte)))
}

/// One step of splitmix64 over a state and a word.
fn mix(state: u64, word: u64) -> u64 {
    let mut z = (state ^ word.wrapping_mul(0xd6e8_feb8_6659_fd93)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ z >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ z >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ z >> 31
}

/// Numbers drawn by name and index, for the world outside the proxies.
#[derive(Clone, Copy)]
pub(crate) struct Draws(u64);

impl Draws {
    pub(crate) fn new(name: &str, seed: u64, replication: u64) -> Self {
        Self(mix(mix(self::seed(name), seed), replication))
    }

    /// Uniform in `0..1`.
    #[expect(clippy::cast_precision_loss, reason = "53 bits are kept, which is all that a double holds")]
    pub(crate) fn uniform(self, what: &str, index: u64) -> f64 {
        let draw = mix(mix(self.0, seed(what)), index);
        (draw >> 11) as f64 / (1_u64 << 53) as f64
    }

    /// Exponential with this mean.
    pub(crate) fn exponential(self, what: &str, index: u64, mean: f64) -> f64 {
        -mean * libm::log1p(-self.uniform(what, index))
    }
}
