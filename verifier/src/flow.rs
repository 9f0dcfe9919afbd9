//! How many requests certainly reach something under the load that scenarios send, no try failing: what statements about
//! ordinary load rest on. Everything is rounded down, and of alternatives the one counts that sends the least.

use std::collections::BTreeMap;

use meshproof_model::{Mesh, WorkloadId};

use crate::{
    graph::{Graph, NodeKind},
    property::retry_amplification::{Hop, hops},
};

const MILLION: u64 = 1_000_000;

/// Requests per second, in thousandths, over all hops of a kind; `demand` is that of clients by name.
pub(crate) fn sure_rate(graph: &Graph, demand: &BTreeMap<String, u64>, counts: impl Fn(&Hop<'_>) -> bool) -> u64 {
    let amounts = amounts(graph, counts, |_| 1);
    at_entries(graph, demand, &amounts)
}

/// What all entries cause together: their demand times what one request of each causes, in millionths.
pub(crate) fn at_entries(graph: &Graph, demand: &BTreeMap<String, u64>, amounts: &[u64]) -> u64 {
    let of = |entry: &usize| {
        let rate = demand.get(&graph.nodes[*entry].name).copied().unwrap_or(0);
        u64::try_from(u128::from(rate) * u128::from(amounts[*entry]) / u128::from(MILLION)).unwrap_or(u64::MAX)
    };
    graph.entries.iter().map(of).fold(0, u64::saturating_add)
}

/// How often something is counted for one request at each node, in millionths, if a hop is tried so often; what is
/// called in a cycle counts as nothing.
pub(crate) fn amounts(graph: &Graph, counts: impl Fn(&Hop<'_>) -> bool, tries: impl Fn(&Hop<'_>) -> u64) -> Vec<u64> {
    let mut amounts = vec![0_u64; graph.nodes.len()];
    for members in graph.components() {
        if graph.is_cycle(&members) {
            continue;
        }
        let node = members[0];
        let of_hop = |hop: &Hop<'_>| {
            let here = if counts(hop) { MILLION } else { 0 };
            let below = hop.target.map_or(0, |target| amounts[target.node]);
            here.saturating_add(below).saturating_mul(tries(hop))
        };
        let of_call = |call| {
            let call: &crate::graph::Call = call;
            let least = hops(node, call).filter(|hop| hop.way.taken).map(|hop| of_hop(&hop)).min().unwrap_or(0);
            let made = u128::from(call.times) * u128::from(call.share_ppm);
            u64::try_from(made * u128::from(least) / u128::from(MILLION)).unwrap_or(u64::MAX)
        };
        amounts[node] = graph.calls(node).map(of_call).fold(0, u64::saturating_add);
    }
    amounts
}

/// The workload whose proxies carry what a node sends, if it is one's.
pub(crate) fn carrier(mesh: &Mesh, graph: &Graph, node: usize) -> Option<WorkloadId> {
    match graph.nodes[node].kind {
        NodeKind::Workload | NodeKind::Gateway => mesh.named_workload(&graph.nodes[node].name),
        NodeKind::Client => mesh.client_workload(mesh.behaviour.clients.get_index_of(&graph.nodes[node].name)?),
        NodeKind::Entry => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{arm, by_default, call, graph, way};

    #[test]
    fn shares_multiply_and_alternatives_count_by_the_least() {
        // The client calls 1; 1 calls 2 twice in half of its requests, and 3 or 4, of which only 3 calls 2.
        let mut graph = graph(5);
        graph.nodes[0].stages.push(vec![call(1, by_default())]);
        let often = crate::graph::Call { times: 2, share_ppm: 500_000, ..call(2, by_default()) };
        let either =
            crate::graph::Call { ways: vec![way(vec![arm(3), arm(4)], by_default())], ..call(3, by_default()) };
        graph.nodes[1].stages.push(vec![often, either]);
        graph.nodes[3].stages.push(vec![call(2, by_default())]);
        let demand = BTreeMap::from([("client".to_owned(), 7_000)]);
        let rate = |node: usize| sure_rate(&graph, &demand, |hop| hop.arm.service == Some(node - 1));
        assert_eq!([rate(1), rate(2), rate(3), rate(4)], [7_000, 7_000, 0, 0]);
        assert_eq!(sure_rate(&graph, &BTreeMap::new(), |_| true), 0, "nobody sends");
        graph.nodes[2].stages.push(vec![call(1, by_default())]);
        assert_eq!(sure_rate(&graph, &demand, |hop| hop.arm.service == Some(1)), 0, "a cycle has no figure");
    }
}
