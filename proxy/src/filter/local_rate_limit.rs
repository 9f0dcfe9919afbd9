//! The local rate limit's buckets and counters (Envoy: `LocalRateLimiterImpl`).

use std::collections::BTreeMap;

use super::bucket::Bucket;
use crate::{Time, config::LocalRateLimit};

/// Beyond so many connections, those whose buckets are full again are forgotten.
const CONNECTIONS_KEPT: usize = 1024;

/// Counters of one local rate limit (Envoy: `<prefix>.http_local_rate_limit.`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct RateLimitStats {
    /// Requests that were looked at.
    pub enabled: u64,
    /// Requests within the limit.
    pub ok: u64,
    /// Requests over the limit.
    pub rate_limited: u64,
    /// Requests that were refused.
    pub enforced: u64,
}

impl RateLimitStats {
    pub(super) fn add(&mut self, other: Self) {
        self.enabled += other.enabled;
        self.ok += other.ok;
        self.rate_limited += other.rate_limited;
        self.enforced += other.enforced;
    }
}

/// The state of one local rate limit.
#[derive(Debug, Default)]
pub(crate) struct LocalRateLimitState {
    pub(crate) stats: RateLimitStats,
    shared: Option<Buckets>,
    /// By downstream connection.
    own: BTreeMap<u64, Buckets>,
}

#[derive(Debug)]
struct Buckets {
    default: Bucket,
    descriptors: Vec<Bucket>,
}

/// What a request met: whether it may pass, and the consulted bucket with the fewest tokens.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Met {
    pub(crate) allowed: bool,
    pub(crate) limit: u32,
    pub(crate) remaining: u64,
    pub(crate) reset_s: u64,
}

impl LocalRateLimitState {
    /// Takes a token from each descriptor's bucket that `matches` (by index), then from the default one; the first
    /// empty one ends it.
    pub(crate) fn take(
        &mut self,
        config: &LocalRateLimit,
        connection: u64,
        now: Time,
        matches: impl Fn(usize) -> bool,
    ) -> Met {
        let buckets = if config.per_connection {
            if self.own.len() > CONNECTIONS_KEPT {
                self.own.retain(|_, buckets| !buckets.is_full(now));
            }
            self.own.entry(connection).or_insert_with(|| Buckets::new(config, now))
        } else {
            self.shared.get_or_insert_with(|| Buckets::new(config, now))
        };
        let matching = buckets.descriptors.iter_mut().enumerate().filter(|(index, _)| matches(*index));
        let consulted = matching.map(|(_, bucket)| bucket).chain(std::iter::once(&mut buckets.default));
        let mut fewest: Option<Met> = None;
        for bucket in consulted {
            let allowed = bucket.take(now);
            let remaining = bucket.remaining();
            if fewest.is_none_or(|fewest| remaining < fewest.remaining) || !allowed {
                fewest = Some(Met { allowed, limit: bucket.limit(), remaining, reset_s: bucket.reset_s() });
            }
            if !allowed {
                break;
            }
        }
        fewest.unwrap_or(Met { allowed: true, limit: 0, remaining: 0, reset_s: 0 })
    }
}

impl Buckets {
    fn new(config: &LocalRateLimit, now: Time) -> Self {
        let descriptors = config.descriptors.iter().map(|descriptor| Bucket::full(descriptor.bucket, now));
        Self { default: Bucket::full(config.bucket, now), descriptors: descriptors.collect() }
    }

    fn is_full(&self, now: Time) -> bool {
        self.default.is_full(now) && self.descriptors.iter().all(|bucket| bucket.is_full(now))
    }
}
