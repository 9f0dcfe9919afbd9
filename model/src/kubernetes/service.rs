//! Kubernetes: fields of a Service beyond its ports (`K-1`, `K-8`, `EN-1`).

use crate::{Located, Nanos};

/// How a Service's endpoints are chosen beside readiness.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ServiceOptions {
    /// `type: ExternalName`: the name that it stands for (`EN-1`).
    pub external_name: Option<Located<String>>,
    /// `trafficDistribution` (`K-8`).
    pub traffic_distribution: Option<Located<TrafficDistribution>>,
    /// `internalTrafficPolicy: Local`: only endpoints of the client's node.
    pub internal_local: Option<Located<bool>>,
    /// `externalTrafficPolicy: Local`: only endpoints of the node that was dialled.
    pub external_local: Option<Located<bool>>,
    /// `sessionAffinity: ClientIP`: how long; 10800 s by default.
    pub client_affinity: Option<Located<Nanos>>,
    /// `publishNotReadyAddresses`: pods that are not ready too.
    pub publish_not_ready: Option<Located<bool>>,
}

/// Which endpoints come first; the others when there are none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TrafficDistribution {
    /// Of the client's zone: `PreferClose` and `PreferSameZone`.
    SameZone,
    /// Of the client's node.
    SameNode,
}
