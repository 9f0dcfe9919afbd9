//! Randomness by name: every draw is a pure function of the run's seed and of what is drawn.
//!
//! Nothing is drawn "next": two runs that differ in one policy then differ in nothing else (common random numbers),
//! one request can be replayed alone, and the order in which events are handled cannot leak into a result.

use meshproof_proxy::{Draw, DrawKey, Entropy, RequestKey};
use rand_chacha::{
    ChaCha8Rng,
    rand_core::{Rng, SeedableRng},
};

/// What a draw of the simulator itself decides; draws of proxies are named by [`Draw`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub(crate) enum Purpose {
    /// When the next request arrives.
    Arrival,
    /// The key of a client's request.
    Request,
    /// Which of a client's classes.
    Class,
    /// Where a client without a proxy goes, and which replica a client of the mesh runs on.
    Replica,
    /// How long a client waits.
    Patience,
    /// How long a client pauses before it tries again.
    ClientBackOff,
    /// How long a user thinks.
    Think,
    /// A handler's own time.
    Service,
    /// Whether a handler answers with an error.
    HandlerError,
    /// Whether a fault makes the handler answer with an error.
    FaultError,
    /// Whether a call is made.
    CallShare,
    /// How long a link takes.
    Link,
    /// How long a proxy takes.
    Proxy,
    /// Which replicas a fault hits.
    FaultReplicas,
    /// How long a request waits in a handler's queue.
    QueuePatience,
    /// Whether a request is answered from memory.
    Cache,
    /// When a replica stands still.
    PauseEvery,
    /// For how long.
    PauseLength,
    /// What a fault makes of a link.
    BadLink,
    /// How old a certificate is at the start.
    CertificateAge,
    /// Whether a handler sends a message.
    Publish,
    /// The key of a message.
    Message,
    /// How long a change takes to reach a proxy.
    Push,
    /// How long a change of endpoints takes to reach a proxy.
    Endpoints,
}

const _: () = assert!((Purpose::Endpoints as usize) < FIRST_OF_PROXIES);

/// Draws of proxies come after those of the simulator.
const FIRST_OF_PROXIES: usize = 32;
const PURPOSES: usize = 64;

/// The keys of one run.
#[derive(Clone, Debug)]
pub(crate) struct Keys {
    keys: [u64; PURPOSES],
    /// Whether proxies never wait before a retry, which is the least that they may draw.
    is_hasty: bool,
}

impl Keys {
    /// The keys of one replication of a seed.
    pub(crate) fn new(seed: u64, replication: u32) -> Self {
        let mut bytes = [0; 32];
        bytes[..8].copy_from_slice(&seed.to_le_bytes());
        bytes[8..12].copy_from_slice(&replication.to_le_bytes());
        let mut rng = ChaCha8Rng::from_seed(bytes);
        Self { keys: std::array::from_fn(|_| rng.next_u64()), is_hasty: false }
    }

    /// The same, but for back-offs of nothing: the worst case of a load, which no limit on time cuts short.
    pub(crate) fn hasty(self) -> Self {
        Self { is_hasty: true, ..self }
    }

    /// Other keys that follow from these, for the `n`-th way in which a run may go on.
    pub(crate) fn branch(&self, n: u64) -> Self {
        Self { keys: self.keys.map(|key| mix(key, n)), ..*self }
    }

    /// The `n`-th draw for one purpose and subject.
    pub(crate) const fn draw(&self, purpose: Purpose, subject: u64, n: u64) -> u64 {
        mix(self.keys[purpose as usize] ^ subject, n)
    }

    /// The draws of one proxy at one time.
    pub(crate) const fn of_proxy(&self, instance: u64, now: u64) -> ProxyDraws<'_> {
        ProxyDraws { keys: self, instance, now }
    }
}

/// What a proxy draws from.
pub(crate) struct ProxyDraws<'a> {
    keys: &'a Keys,
    instance: u64,
    now: u64,
}

impl Entropy for ProxyDraws<'_> {
    /// Draws for a request do not depend on the replica that asks; those for none depend on it and on the time.
    fn draw(&mut self, key: DrawKey) -> u64 {
        if self.keys.is_hasty && key.what == Draw::BackOff {
            return 0;
        }
        let purpose = FIRST_OF_PROXIES + key.what as usize;
        let subject = if key.request == RequestKey::default() { mix(self.instance, self.now) } else { key.request.0 };
        mix(self.keys.keys[purpose % PURPOSES] ^ subject, u64::from(key.attempt))
    }
}

const _: () = assert!(FIRST_OF_PROXIES + (Draw::PenaltyJitter as usize) < PURPOSES);

/// Two rounds of the finaliser of `SplitMix64`.
pub(crate) const fn mix(a: u64, b: u64) -> u64 {
    finalise(finalise(a).wrapping_add(b.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0xd1b5_4a32_d192_ed03))
}

const fn finalise(mut x: u64) -> u64 {
    x ^= x >> 30;
    x = x.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    x ^= x >> 27;
    x = x.wrapping_mul(0x94d0_49bb_1331_11eb);
    x ^ (x >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn draws_are_those_of_the_seed() {
        let keys = Keys::new(42, 0);
        assert_eq!(keys.draw(Purpose::Service, 7, 0), Keys::new(42, 0).draw(Purpose::Service, 7, 0));
        let other = [
            Keys::new(43, 0).draw(Purpose::Service, 7, 0),
            Keys::new(42, 1).draw(Purpose::Service, 7, 0),
            keys.draw(Purpose::Service, 8, 0),
            keys.draw(Purpose::Service, 7, 1),
            keys.draw(Purpose::Patience, 7, 0),
        ];
        assert!(other.iter().all(|draw| *draw != keys.draw(Purpose::Service, 7, 0)), "{other:?}");
    }

    #[test]
    fn draws_are_spread_evenly() {
        let keys = Keys::new(1, 0);
        let mut counts = [0_u32; 16];
        for request in 0..160_000 {
            counts[(keys.draw(Purpose::Class, request, 0) >> 60) as usize] += 1;
        }
        // Six standard deviations of a binomial with 160,000 trials of 1/16.
        assert!(counts.iter().all(|count| count.abs_diff(10_000) < 600), "{counts:?}");
    }
}
