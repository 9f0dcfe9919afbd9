//! A token bucket that refills continuously, in whole numbers (Envoy: `AtomicTokenBucketImpl`, which uses doubles).

use std::cmp::Ordering;

use crate::{Nanos, Time, config::TokenBucket};

/// What is in a bucket. One token is `fill_interval` parts; `tokens_per_fill` parts come each nanosecond.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Bucket {
    config: TokenBucket,
    parts: u128,
    updated: Time,
}

impl Bucket {
    /// A full bucket.
    pub(crate) fn full(config: TokenBucket, now: Time) -> Self {
        Self { config, parts: capacity(config), updated: now }
    }

    /// Adds what has come since the last call.
    pub(crate) fn refill(&mut self, now: Time) {
        let elapsed = u128::from(now.since(self.updated).get());
        let came = elapsed * u128::from(self.config.tokens_per_fill);
        self.parts = (self.parts + came).min(capacity(self.config));
        self.updated = now;
    }

    /// Takes a token if there is a whole one.
    pub(crate) fn take(&mut self, now: Time) -> bool {
        self.refill(now);
        let token = token(self.config);
        let has_one = self.parts >= token;
        if has_one {
            self.parts -= token;
        }
        has_one
    }

    /// Whether a new bucket would be the same.
    pub(crate) fn is_full(mut self, now: Time) -> bool {
        self.refill(now);
        self.parts == capacity(self.config)
    }

    /// Which of two buckets refills more slowly.
    pub(crate) fn cmp_rate(&self, other: &Self) -> Ordering {
        let cross = |a: TokenBucket, b: TokenBucket| u128::from(a.tokens_per_fill) * token(b);
        cross(self.config, other.config).cmp(&cross(other.config, self.config))
    }

    /// Its size in tokens.
    pub(crate) const fn limit(&self) -> u32 {
        self.config.max_tokens
    }

    /// Whole tokens in it, as of the last call.
    pub(crate) fn remaining(&self) -> u64 {
        u64::try_from(self.parts / token(self.config)).unwrap_or(u64::MAX)
    }

    /// Whole seconds until the next token, rounded up; 0 if there is one.
    pub(crate) fn reset_s(&self) -> u64 {
        let missing = token(self.config).saturating_sub(self.parts);
        let ns = missing.div_ceil(u128::from(self.config.tokens_per_fill.max(1)));
        u64::try_from(ns.div_ceil(1_000_000_000)).unwrap_or(u64::MAX)
    }
}

fn token(config: TokenBucket) -> u128 {
    u128::from(config.fill_interval.max(Nanos::new(1)).get())
}

fn capacity(config: TokenBucket) -> u128 {
    token(config) * u128::from(config.max_tokens)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_refills_continuously() {
        let at = |ms| Time::START + Nanos::from_millis(ms);
        let config = TokenBucket { max_tokens: 2, tokens_per_fill: 2, fill_interval: Nanos::from_secs(2) };
        let mut bucket = Bucket::full(config, at(0));
        // time in ms, taken, whole tokens left, seconds to the next one
        let table = [
            (0, true, 1, 0),
            (0, true, 0, 1),
            (999, false, 0, 1),
            (1_150, true, 0, 1),
            (1_999, false, 0, 1),
            (2_000, true, 0, 1),
            (60_000, true, 1, 0),
        ];
        for (ms, taken, left, reset) in table {
            assert_eq!(bucket.take(at(ms)), taken, "at {ms} ms");
            assert_eq!((bucket.remaining(), bucket.reset_s()), (left, reset), "at {ms} ms");
        }
        assert!(!bucket.is_full(at(60_500)) && bucket.is_full(at(61_000)));
    }
}
