//! What breaks in a scenario.

use std::fmt;

use meshproof_proxy::Nanos;
use serde::{Deserialize, Serialize};

use crate::{Distribution, Share};

/// Something that breaks.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Fault {
    /// Replicas refuse connections and lose their work, then start anew.
    Crash {
        /// `namespace/name`.
        workload: String,
        /// Which.
        #[serde(default)]
        replicas: Replicas,
        /// From when.
        at: Nanos,
        /// For how long.
        during: Nanos,
    },
    /// Work takes longer.
    Slow {
        /// `namespace/name`.
        workload: String,
        /// Which.
        #[serde(default)]
        replicas: Replicas,
        /// From when.
        at: Nanos,
        /// For how long.
        during: Nanos,
        /// So many times as long.
        factor: f64,
    },
    /// Requests are answered with an error.
    Errors {
        /// `namespace/name`.
        workload: String,
        /// Which.
        #[serde(default)]
        replicas: Replicas,
        /// From when.
        at: Nanos,
        /// For how long.
        during: Nanos,
        /// HTTP status.
        status: u16,
        /// In which share of the requests.
        share: Share,
    },
    /// Nothing is worked on, as in a pause of a garbage collector: requests wait, connections stay, and what was begun
    /// goes on afterwards.
    Freeze {
        /// `namespace/name`.
        workload: String,
        /// Which.
        #[serde(default)]
        replicas: Replicas,
        /// From when.
        at: Nanos,
        /// For how long.
        during: Nanos,
    },
    /// Replicas work on fewer requests at a time.
    Capacity {
        /// `namespace/name`.
        workload: String,
        /// Which.
        #[serde(default)]
        replicas: Replicas,
        /// From when.
        at: Nanos,
        /// For how long.
        during: Nanos,
        /// What is left of the places, rounded to the nearest, at least one.
        share: Share,
    },
    /// Caches forget.
    CacheLoss {
        /// `namespace/name`.
        workload: String,
        /// Which.
        #[serde(default)]
        replicas: Replicas,
        /// When.
        at: Nanos,
        /// How much of what they hold.
        share: Share,
    },
    /// Every replica of a zone crashes.
    ZoneLoss {
        /// One of the placement's zones.
        zone: String,
        /// From when.
        at: Nanos,
        /// For how long.
        during: Nanos,
    },
    /// Every replica of a cluster crashes.
    ClusterLoss {
        /// One of the placement's clusters.
        cluster: String,
        /// From when.
        at: Nanos,
        /// For how long.
        during: Nanos,
    },
    /// Nothing gets through between two places, in either direction; what is under way arrives, what is sent arrives
    /// when it is over, as TCP sends it again.
    Partition {
        /// One side.
        from: Place,
        /// The other.
        to: Place,
        /// From when.
        at: Nanos,
        /// For how long.
        during: Nanos,
    },
    /// A bad link between two places, in both directions.
    Link {
        /// One side.
        from: Place,
        /// The other.
        to: Place,
        /// From when.
        at: Nanos,
        /// For how long.
        during: Nanos,
        /// What each way takes on top.
        #[serde(default = "no_time")]
        delay: Distribution,
        /// What gets lost and is sent again: after 200 ms, then after twice as long each time.
        #[serde(default)]
        loss: Share,
    },
    /// Names are not resolved: calls of handlers fail at once, requests of clients too. Proxies know addresses.
    Dns {
        /// Of this service alone, as `namespace/name`; absent: of all.
        #[serde(default)]
        service: Option<String>,
        /// From when.
        at: Nanos,
        /// For how long.
        during: Nanos,
    },
    /// Proxies keep their last configuration, replicas that start get none, and certificates are not renewed.
    ControlPlane {
        /// From when.
        at: Nanos,
        /// For how long.
        during: Nanos,
    },
    /// The certificates of a workload's replicas are out of date: handshakes with them fail, open connections stay.
    CertificateExpiry {
        /// `namespace/name`.
        workload: String,
        /// Which.
        #[serde(default)]
        replicas: Replicas,
        /// From when.
        at: Nanos,
        /// For how long.
        during: Nanos,
    },
}

/// Which replicas of a workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Replicas {
    /// All.
    #[default]
    All,
    /// So many, drawn from the seed.
    Count(u32),
    /// So large a part, drawn from the seed, rounded to the nearest.
    Share(Share),
}

/// A side of a link.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Place {
    /// Everywhere.
    #[default]
    Anywhere,
    /// Clients outside the mesh.
    Outside,
    /// The replicas of one of the placement's zones.
    Zone(String),
    /// The replicas of one of the placement's clusters.
    Cluster(String),
    /// The replicas of a workload, `namespace/name`.
    Workload(String),
}

impl Fault {
    /// From when until when it lasts; what happens at one moment begins and ends there.
    pub fn span(&self) -> (Nanos, Nanos) {
        let (at, during) = match self {
            Self::Crash { at, during, .. }
            | Self::Slow { at, during, .. }
            | Self::Errors { at, during, .. }
            | Self::Freeze { at, during, .. }
            | Self::Capacity { at, during, .. }
            | Self::ZoneLoss { at, during, .. }
            | Self::ClusterLoss { at, during, .. }
            | Self::Partition { at, during, .. }
            | Self::Link { at, during, .. }
            | Self::Dns { at, during, .. }
            | Self::ControlPlane { at, during }
            | Self::CertificateExpiry { at, during, .. } => (*at, *during),
            Self::CacheLoss { at, .. } => (*at, Nanos::ZERO),
        };
        (at, Nanos::new(at.get().saturating_add(during.get())))
    }

    /// The workload that it hits, and which of its replicas, if it hits one.
    pub fn workload(&self) -> Option<(&str, Replicas)> {
        match self {
            Self::Crash { workload, replicas, .. }
            | Self::Slow { workload, replicas, .. }
            | Self::Errors { workload, replicas, .. }
            | Self::Freeze { workload, replicas, .. }
            | Self::Capacity { workload, replicas, .. }
            | Self::CacheLoss { workload, replicas, .. }
            | Self::CertificateExpiry { workload, replicas, .. } => Some((workload, *replicas)),
            Self::ZoneLoss { .. }
            | Self::ClusterLoss { .. }
            | Self::Partition { .. }
            | Self::Link { .. }
            | Self::Dns { .. }
            | Self::ControlPlane { .. } => None,
        }
    }
}

impl fmt::Display for Fault {
    /// What it is and what it hits, such as `Freeze default/ratings-v1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let kind = match self {
            Self::Crash { .. } => "Crash",
            Self::Slow { .. } => "Slow",
            Self::Errors { .. } => "Errors",
            Self::Freeze { .. } => "Freeze",
            Self::Capacity { .. } => "Capacity",
            Self::CacheLoss { .. } => "CacheLoss",
            Self::CertificateExpiry { .. } => "CertificateExpiry",
            Self::ZoneLoss { zone, .. } => return write!(f, "ZoneLoss {zone}"),
            Self::ClusterLoss { cluster, .. } => return write!(f, "ClusterLoss {cluster}"),
            Self::Partition { from, to, .. } => return write!(f, "Partition {from} {to}"),
            Self::Link { from, to, .. } => return write!(f, "Link {from} {to}"),
            Self::Dns { service, .. } => return write!(f, "Dns {}", service.as_deref().unwrap_or("of all services")),
            Self::ControlPlane { .. } => return f.write_str("ControlPlane"),
        };
        write!(f, "{kind} {}", self.workload().map_or("", |(workload, _)| workload))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Anywhere => f.write_str("anywhere"),
            Self::Outside => f.write_str("outside"),
            Self::Zone(name) | Self::Cluster(name) | Self::Workload(name) => f.write_str(name),
        }
    }
}

const fn no_time() -> Distribution {
    Distribution::Constant(Nanos::ZERO)
}
