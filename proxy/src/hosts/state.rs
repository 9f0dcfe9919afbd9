//! What is known of one host while the proxy runs.

use crate::Time;
use crate::config::Host;

/// Why a host is not simply healthy; several may hold at once (Envoy: `HEALTH_FLAG`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Flags(u8);

impl Flags {
    pub(crate) const NONE: Self = Self(0);
    /// Active checks failed, or none has passed yet.
    pub(crate) const FAILED_CHECK: Self = Self(1);
    /// Ejected by outlier detection.
    pub(crate) const FAILED_OUTLIER: Self = Self(2);
    /// The endpoint configuration says unhealthy.
    pub(crate) const FAILED_EDS: Self = Self(4);
    /// An active check said degraded.
    pub(crate) const DEGRADED_CHECK: Self = Self(8);
    /// The endpoint configuration says degraded.
    pub(crate) const DEGRADED_EDS: Self = Self(16);
    /// A response told to take the host out; it does not count in panic until a check passes.
    pub(crate) const EXCLUDED: Self = Self(32);
    /// Waits for the end of a penalty (Linkerd's failure accrual).
    pub(crate) const PENALIZED: Self = Self(64);

    /// All that requests and checks have shown.
    const LEARNED: Self = Self(
        Self::FAILED_CHECK.0 | Self::FAILED_OUTLIER.0 | Self::DEGRADED_CHECK.0 | Self::EXCLUDED.0 | Self::PENALIZED.0,
    );

    pub(crate) const fn has(self, other: Self) -> bool {
        self.0 & other.0 != 0
    }

    pub(crate) const fn set(&mut self, other: Self) {
        self.0 |= other.0;
    }

    pub(crate) const fn clear(&mut self, other: Self) {
        self.0 &= !other.0;
    }

    /// Envoy: coarse health.
    pub(crate) const fn health(self) -> Health {
        const BAD: Flags =
            Flags(Flags::FAILED_CHECK.0 | Flags::FAILED_OUTLIER.0 | Flags::FAILED_EDS.0 | Flags::PENALIZED.0);
        const HALF: Flags = Flags(Flags::DEGRADED_CHECK.0 | Flags::DEGRADED_EDS.0);
        if self.has(BAD) {
            Health::Unhealthy
        } else if self.has(HALF) {
            Health::Degraded
        } else {
            Health::Healthy
        }
    }
}

/// What the balancer makes of a host's flags.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Health {
    Healthy,
    Degraded,
    Unhealthy,
}

/// The moving parts of one host that balancers read.
#[derive(Clone, Debug)]
pub(super) struct HostState {
    pub(super) flags: Flags,
    /// Requests in flight on connections (Envoy: `rq_active`).
    pub(super) active: u32,
    pub(super) weight: u32,
    pub(super) priority: u32,
    /// When it last became healthy; slow start counts from here.
    pub(super) healthy_since: Option<Time>,
    /// Whether it is still a member of the cluster.
    pub(super) member: bool,
    /// Whether it was a member before the present list of hosts came.
    pub(super) known: bool,
}

impl HostState {
    pub(super) fn new(config: &Host) -> Self {
        Self {
            flags: super::table::eds_flags(config.health),
            active: 0,
            weight: config.weight,
            priority: config.priority,
            healthy_since: None,
            member: true,
            known: false,
        }
    }

    /// The host is named by a new configuration; what was learned of it stays.
    pub(super) fn renew(&mut self, config: &Host) {
        self.flags.clear(Flags::FAILED_EDS);
        self.flags.clear(Flags::DEGRADED_EDS);
        self.flags.set(super::table::eds_flags(config.health));
        self.weight = config.weight;
        self.priority = config.priority;
        self.member = true;
    }

    /// What was learned of the host is void.
    pub(super) fn forget(&mut self) {
        self.flags.clear(Flags::LEARNED);
        self.healthy_since = None;
        self.known = false;
    }
}
