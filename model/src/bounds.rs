//! What no run may exceed, because it was proved.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_proxy::Nanos;

/// What no run may exceed, because it was proved. What is not in it is not bounded.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Requests that reach a service's handlers (`namespace/name`) for one request of a client (by name), the
    /// client's own retries included.
    pub requests: BTreeMap<(String, String), u64>,
    /// Attempts that are made for a service for one request of a client, those before work included.
    pub connects: BTreeMap<(String, String), u64>,
    /// Links that never carry plaintext, as `namespace/name` of the two workloads.
    pub encrypted: BTreeSet<(String, String)>,
    /// How long a call of a workload takes at most for its proxy, whatever it calls.
    pub latency: BTreeMap<String, Nanos>,
    /// Workloads whose handlers no request of a client reaches: the client's `namespace/name`, empty for one outside of
    /// the mesh, then the server's.
    pub unreachable: BTreeSet<(String, String)>,
}
