//! Kubernetes: `discovery.v1.EndpointSlice` and `v1.Endpoints`: endpoints that are listed by hand (`K-1`).

use crate::{Located, Location, Meta};

/// Endpoints of a Service without a selector.
#[derive(Clone, Debug, PartialEq)]
pub struct Endpoints {
    /// Its name and place.
    pub meta: Meta,
    /// The Service of the same namespace: the label `kubernetes.io/service-name`, or the name of the Endpoints.
    pub service: String,
    /// Their addresses.
    pub addresses: Vec<EndpointAddress>,
    /// Their ports, with names.
    pub ports: Vec<(String, Located<u16>)>,
}

/// One address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndpointAddress {
    /// Where it begins.
    pub at: Location,
    /// The address, or a name.
    pub address: String,
    /// Whether it is sent requests; absent conditions count as ready.
    pub is_ready: bool,
    /// The zone, where it is named.
    pub zone: Option<String>,
}
