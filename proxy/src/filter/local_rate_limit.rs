//! The local rate limit's buckets and counters (Envoy: `LocalRateLimiterImpl`).

use std::collections::BTreeMap;

use smallvec::SmallVec;

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

/// What a request met: whether it may pass, and which bucket its answer shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Met {
    pub(crate) allowed: bool,
    pub(crate) bucket: BucketId,
}

/// One bucket of a local rate limit: the default one, or that of a descriptor, by its place in the configuration.
pub(crate) type BucketId = Option<u16>;

impl LocalRateLimitState {
    /// Takes a token from the bucket of each matched descriptor, the slowest to refill first, then from the default
    /// one. The first empty bucket ends it, and is shown; a request that passes shows the first descriptor's.
    pub(crate) fn take(
        &mut self,
        config: &LocalRateLimit,
        connection: u64,
        now: Time,
        mut matched: SmallVec<[u16; 4]>,
    ) -> Met {
        let buckets = self.buckets(config, connection, now);
        matched.sort_by(|a, b| buckets.descriptors[usize::from(*a)].cmp_rate(&buckets.descriptors[usize::from(*b)]));
        for bucket in matched.iter().copied().map(Some).chain([None]) {
            if !buckets.get(bucket).take(now) {
                return Met { allowed: false, bucket };
            }
        }
        Met { allowed: true, bucket: matched.first().copied() }
    }

    /// The bucket as it is now.
    pub(crate) fn bucket(&mut self, config: &LocalRateLimit, connection: u64, now: Time, bucket: BucketId) -> Bucket {
        let bucket = self.buckets(config, connection, now).get(bucket);
        bucket.refill(now);
        *bucket
    }

    fn buckets(&mut self, config: &LocalRateLimit, connection: u64, now: Time) -> &mut Buckets {
        if !config.per_connection {
            return self.shared.get_or_insert_with(|| Buckets::new(config, now));
        }
        if self.own.len() > CONNECTIONS_KEPT {
            self.own.retain(|_, buckets| !buckets.is_full(now));
        }
        self.own.entry(connection).or_insert_with(|| Buckets::new(config, now))
    }
}

impl Buckets {
    fn new(config: &LocalRateLimit, now: Time) -> Self {
        let descriptors = config.descriptors.iter().map(|descriptor| Bucket::full(descriptor.bucket, now));
        Self { default: Bucket::full(config.bucket, now), descriptors: descriptors.collect() }
    }

    fn get(&mut self, bucket: BucketId) -> &mut Bucket {
        bucket.map_or(&mut self.default, |index| &mut self.descriptors[usize::from(index)])
    }

    fn is_full(&self, now: Time) -> bool {
        self.default.is_full(now) && self.descriptors.iter().all(|bucket| bucket.is_full(now))
    }
}
