//! What a driver lends to the core for the length of one call: the time, draws, and a place for effects.

use crate::{Effects, RequestKey, Time};

/// What is injected into every call. Nothing of it can be kept, so no module holds a clock or a generator.
pub struct Cx<'a> {
    /// The time of the event being handled.
    pub now: Time,
    /// Randomness.
    pub entropy: &'a mut dyn Entropy,
    /// Where the answers go.
    pub effects: &'a mut Effects,
}

/// The only source of randomness.
pub trait Entropy {
    /// A uniform 64-bit draw; to be reproducible, a pure function of a seed and the key.
    fn draw(&mut self, key: DrawKey) -> u64;
}

/// Names one draw: the same key always gets the same value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct DrawKey {
    /// Which request; [`RequestKey::default`] for draws that belong to none.
    pub request: RequestKey,
    /// Which try, or which of several draws of one purpose.
    pub attempt: u32,
    /// What for.
    pub what: Draw,
}

/// What a draw decides. The core reduces the raw value itself, as Envoy does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[repr(u8)]
pub enum Draw {
    /// The stream's random number: runtime fractions, weighted clusters and mirrors all reduce this one value.
    Stream,
    /// Whether a fault delays.
    FaultDelay,
    /// Whether a fault aborts.
    FaultAbort,
    /// Whether a rate limit is enabled for this request.
    RateLimitEnabled,
    /// Whether a rate limit is enforced for this request.
    RateLimitEnforced,
    /// Whether admission control rejects.
    Admission,
    /// Which priority.
    LbPriority,
    /// Which locality.
    LbLocality,
    /// The first sample of a balancer.
    LbFirst,
    /// The second sample of a balancer, and further ones by `attempt`.
    LbSecond,
    /// A hash where the request gives none.
    LbHash,
    /// Where round robin starts; belongs to no request.
    LbStart,
    /// Jitter of the back-off.
    BackOff,
    /// Whether an ejection is enforced; belongs to no request.
    OutlierEnforce,
    /// Jitter of an ejection; belongs to no request.
    OutlierJitter,
    /// Jitter of health checks; belongs to no request.
    HealthCheckJitter,
    /// Jitter of adaptive concurrency; belongs to no request.
    ConcurrencyJitter,
    /// Jitter of a Linkerd penalty; belongs to no request.
    PenaltyJitter,
}
