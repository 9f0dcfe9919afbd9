//! Names of things: indices into one proxy's table, and generational handles of what is in flight.

use serde::{Deserialize, Serialize};

macro_rules! id {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub struct $name(u32);
        impl $name {
            /// Wraps a table index.
            pub const fn new(index: u32) -> Self { Self(index) }
            /// The table index.
            pub const fn index(self) -> usize { self.0 as usize }
        }
    };
}

id!(/// A listener of one proxy.
    ListenerId);
id!(/// A route, counted over all virtual hosts of one listener's route configuration.
    RouteId);
id!(/// An upstream cluster in one proxy's table.
    ClusterId);
id!(/// A host (endpoint) of one cluster.
    HostId);

macro_rules! handle {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name { pub(crate) slot: u32, pub(crate) generation: u32 }
        impl $name {
            /// The slot, for a driver's side table. Slots are reused; the whole handle is not.
            pub const fn slot(self) -> usize { self.slot as usize }
        }
    };
}

handle!(/// One downstream request in flight.
    StreamId);
handle!(/// One upstream connection of this proxy.
    ConnectionId);

/// One try of a stream; 1 is the first (Envoy: `x-envoy-attempt-count`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AttemptId {
    /// The stream it belongs to.
    pub stream: StreamId,
    /// Which try, from 1.
    pub number: u32,
}

/// The driver's stable number for a request; every draw made for the request is keyed by it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestKey(pub u64);
