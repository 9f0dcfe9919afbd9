//! Bounds that need no search: what limits on whole calls say of their length.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_model::{Bounds, Mesh, Nanos};

use crate::{
    access::matrix::{Passing, access_matrix},
    graph::{Call, Graph, NodeKind},
};

/// BOUND: with more workloads, pairs that cannot reach each other are not looked for.
const WORKLOADS_MAX: usize = 64;

/// Adds what the limits on time and the rules of access say.
pub(crate) fn add(bounds: &mut Bounds, mesh: &Mesh, graph: &Graph) {
    bounds.latency = latency(mesh, graph);
    if mesh.workloads.len() <= WORKLOADS_MAX {
        bounds.unreachable = unreachable(mesh);
    }
}

/// The greatest limit on a whole call, of callers all of whose calls have one. A delay that a fault adds comes before
/// the limit begins, so that with delays nothing is bounded.
fn latency(mesh: &Mesh, graph: &Graph) -> BTreeMap<String, Nanos> {
    let has_faults = mesh.virtual_services.iter().any(|service| service.http.iter().any(|route| route.fault.is_some()));
    if has_faults {
        return BTreeMap::new();
    }
    let mut limits: BTreeMap<String, Option<Nanos>> = BTreeMap::new();
    for node in &graph.nodes {
        let caller = match node.kind {
            NodeKind::Client => {
                let client = mesh.behaviour.clients.get_index_of(&node.name);
                // A client outside of the mesh has no proxy.
                let Some(workload) = client.and_then(|client| mesh.client_workload(client)) else { continue };
                mesh.workload(workload).full_name()
            }
            _ => node.name.clone(),
        };
        for call in node.stages.iter().flatten() {
            let limit = limit(call);
            let known = limits.entry(caller.clone()).or_insert(Some(Nanos::ZERO));
            *known = known.and_then(|known| Some(known.max(limit?)));
        }
    }
    limits.into_iter().filter_map(|(caller, limit)| Some((caller, limit?))).collect()
}

/// The limit on a call, if each of its routes has one.
fn limit(call: &Call) -> Option<Nanos> {
    if call.ways.is_empty() {
        return None;
    }
    call.ways.iter().try_fold(Nanos::ZERO, |most, way| Some(most.max(way.timeout.value?)))
}

/// Pairs of which no request passes on any port.
fn unreachable(mesh: &Mesh) -> BTreeSet<(String, String)> {
    let matrix = access_matrix(mesh);
    let pairs = |wanted: fn(Passing) -> bool| {
        let found = matrix.iter().filter(move |(_, passing)| wanted(**passing));
        found.map(|(pair, _)| (pair.from.clone(), pair.to.clone()))
    };
    let open: BTreeSet<_> = pairs(|passing| passing != Passing::None).collect();
    pairs(|passing| passing == Passing::None).filter(|pair| !open.contains(pair)).collect()
}
