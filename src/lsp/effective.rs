//! What the lines of the manifests mean: for each, the values that calls of the mesh get from it.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_model::{Caller, Mesh, ServiceId, Sources, WorkloadId};

use crate::{
    decide::Prepared,
    explain::{Call, explain},
};

// BOUND: calls that are looked at; more would keep a typist waiting.
const CALLS_MAX: usize = 200;

/// By file and line: each value, and the calls that get it from there.
pub(super) type Effective = BTreeMap<String, BTreeMap<String, BTreeSet<String>>>;

/// The values that every call of a mesh gets, by the line that says them.
pub(super) fn effective(mesh: &Mesh, sources: &Sources) -> Effective {
    let prepared = Prepared::new(mesh);
    let mut found = Effective::new();
    for (from, to, port) in calls(mesh) {
        let call = Call { from, to, port, request: None };
        let Ok(explanation) = explain(&prepared, sources, &call) else { continue };
        let who = format!("`{}` → `{}`", explanation.from, explanation.to);
        for (name, leaf) in explanation.outbound.iter().chain(&explanation.inbound) {
            let value = leaf.value.as_str().map_or_else(|| leaf.value.to_string(), str::to_owned);
            let said = format!("{} = {value}", plain_name(name));
            found.entry(leaf.place.clone()).or_default().entry(said).or_default().insert(who.clone());
        }
    }
    found
}

/// The calls of workloads; what clients outside of the mesh call has no proxy to ask.
fn calls(mesh: &Mesh) -> BTreeSet<(WorkloadId, ServiceId, u16)> {
    let calls = mesh.calls();
    let of = |id| calls.of(Caller::Workload(id)).map(move |(_, call)| (id, call.to, call.port));
    mesh.workload_ids().flat_map(of).take(CALLS_MAX).collect()
}

/// `route[00].retries.attempts` as `retries.attempts`.
fn plain_name(name: &str) -> &str {
    name.split_once("].").map_or(name, |(_, name)| name)
}
