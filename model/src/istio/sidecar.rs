//! Istio: networking.v1.Sidecar.

use crate::{Labels, Located, Location, Meta};

/// What the sidecars of a namespace know.
#[derive(Clone, Debug, PartialEq)]
pub struct Sidecar {
    /// Its name and place.
    pub meta: Meta,
    /// Only pods with all of them; empty: the namespace, or the mesh (`SC-1`).
    pub selector: Labels,
    /// What they may call; without any, everything (`SC-2`).
    pub egress: Vec<Egress>,
    /// Whether hosts that are not imported can be called; absent: as the mesh says (`SC-3`).
    pub outbound_allow_any: Option<Located<bool>>,
}

/// One of `egress`.
#[derive(Clone, Debug, PartialEq)]
pub struct Egress {
    /// Where it begins.
    pub at: Location,
    /// Only on this port.
    pub port: Option<u16>,
    /// `namespace/host`: `.` is the own namespace, `*` any, and `~` before a namespace excludes (`SC-2`, `VS-4`).
    pub hosts: Vec<Located<String>>,
}
