//! The local rate limit's buckets and counters (Envoy: `LocalRateLimiterImpl`).

use std::collections::BTreeMap;

use smallvec::SmallVec;

use super::bucket::Bucket;
use crate::{Time, config::LocalRateLimit};

/// Beyond so many connections, those whose buckets are full again are forgotten.
const CONNECTIONS_KEPT: usize = 1024;
/// Values of a wildcard that have buckets at a time (Envoy's default of `LocalRateLimit.max_dynamic_descriptors`).
const WILDCARD_VALUES: usize = 20;

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
#[derive(Clone, Debug, Default)]
pub(crate) struct LocalRateLimitState {
    pub(crate) stats: RateLimitStats,
    shared: Option<Buckets>,
    /// By downstream connection.
    own: BTreeMap<u64, Buckets>,
}

#[derive(Clone, Debug)]
struct Buckets {
    default: Bucket,
    descriptors: Vec<Bucket>,
    wildcards: Vec<Wildcard>,
    /// Counts buckets of wildcards.
    made: u64,
}

/// The buckets of a descriptor with wildcards, one for each value that was seen of late (Envoy: `DynamicDescriptor`).
#[derive(Clone, Debug)]
struct Wildcard {
    descriptor: u16,
    /// The one used last comes last.
    buckets: Vec<(u64, Box<[Box<str>]>, Bucket)>,
}

/// The bucket that one list of a request's descriptor entries leads to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Matched {
    /// That of a descriptor whose values are all given.
    Exact(u16),
    /// That of these values, under a descriptor with wildcards.
    Wildcard(u16, Box<[Box<str>]>),
}

/// What a request met: whether it may pass, and which bucket its answer shows.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Met {
    pub(crate) allowed: bool,
    pub(crate) bucket: BucketId,
}

/// One bucket of a local rate limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BucketId {
    Default,
    /// That of a descriptor, by its place in the configuration.
    Exact(u16),
    /// The one with this number, under a descriptor with wildcards.
    Wildcard(u16, u64),
}

impl LocalRateLimitState {
    /// Takes a token from the bucket of each matched descriptor, the slowest to refill first, then from the default
    /// one. The first empty bucket ends it, and is shown; a request that passes shows the first descriptor's.
    pub(crate) fn take(
        &mut self,
        config: &LocalRateLimit,
        connection: u64,
        now: Time,
        matched: SmallVec<[Matched; 4]>,
    ) -> Met {
        let buckets = self.buckets(config, connection, now);
        let mut matched: SmallVec<[BucketId; 4]> =
            matched.into_iter().map(|matched| buckets.id(config, now, matched)).collect();
        matched.sort_by(|a, b| buckets.get(config, now, *a).cmp_rate(&buckets.get(config, now, *b)));
        for bucket in matched.iter().copied().chain([BucketId::Default]) {
            // One that was pushed out by another match of the same request was full.
            let is_taken = buckets.find(bucket).is_none_or(|bucket| bucket.take(now));
            if !is_taken {
                return Met { allowed: false, bucket };
            }
        }
        Met { allowed: true, bucket: matched.first().copied().unwrap_or(BucketId::Default) }
    }

    /// The bucket as it is now.
    pub(crate) fn bucket(&mut self, config: &LocalRateLimit, connection: u64, now: Time, bucket: BucketId) -> Bucket {
        let mut bucket = self.buckets(config, connection, now).get(config, now, bucket);
        bucket.refill(now);
        bucket
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
        Self {
            default: Bucket::full(config.bucket, now),
            descriptors: descriptors.collect(),
            wildcards: Vec::new(),
            made: 0,
        }
    }

    /// The bucket of a match. One of a wildcard is made if there is none; too many of them push out the one that was
    /// not used for longest.
    fn id(&mut self, config: &LocalRateLimit, now: Time, matched: Matched) -> BucketId {
        let (descriptor, values) = match matched {
            Matched::Exact(descriptor) => return BucketId::Exact(descriptor),
            Matched::Wildcard(descriptor, values) => (descriptor, values),
        };
        let at = self.wildcards.iter().position(|known| known.descriptor == descriptor).unwrap_or_else(|| {
            self.wildcards.push(Wildcard { descriptor, buckets: Vec::new() });
            self.wildcards.len() - 1
        });
        let buckets = &mut self.wildcards[at].buckets;
        let entry = if let Some(at) = buckets.iter().position(|(_, known, _)| *known == values) {
            buckets.remove(at)
        } else {
            if buckets.len() >= WILDCARD_VALUES {
                buckets.remove(0);
            }
            self.made += 1;
            (self.made, values, Bucket::full(config.descriptors[usize::from(descriptor)].bucket, now))
        };
        let number = entry.0;
        buckets.push(entry);
        BucketId::Wildcard(descriptor, number)
    }

    /// `None`: a wildcard's that was pushed out.
    fn find(&mut self, bucket: BucketId) -> Option<&mut Bucket> {
        match bucket {
            BucketId::Default => Some(&mut self.default),
            BucketId::Exact(descriptor) => Some(&mut self.descriptors[usize::from(descriptor)]),
            BucketId::Wildcard(descriptor, number) => {
                let wildcard = self.wildcards.iter_mut().find(|known| known.descriptor == descriptor)?;
                wildcard.buckets.iter_mut().find(|entry| entry.0 == number).map(|entry| &mut entry.2)
            }
        }
    }

    /// The bucket as it was last left; one that was pushed out is shown as a new one.
    fn get(&mut self, config: &LocalRateLimit, now: Time, bucket: BucketId) -> Bucket {
        let new = match bucket {
            BucketId::Default => config.bucket,
            BucketId::Exact(descriptor) | BucketId::Wildcard(descriptor, _) => {
                config.descriptors[usize::from(descriptor)].bucket
            }
        };
        self.find(bucket).copied().unwrap_or_else(|| Bucket::full(new, now))
    }

    fn is_full(&self, now: Time) -> bool {
        let wildcards = self.wildcards.iter().flat_map(|wildcard| &wildcard.buckets).map(|(_, _, bucket)| bucket);
        self.default.is_full(now) && self.descriptors.iter().chain(wildcards).all(|bucket| bucket.is_full(now))
    }
}
