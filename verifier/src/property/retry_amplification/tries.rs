//! The calls of a graph as loads see them: of each call only the alternatives that differ, so that a service with a
//! hundred routes of one policy counts as one.

use std::collections::BTreeMap;

use super::{Certificate, Over, hops};
use crate::graph::Graph;

/// The calls of every node, and the order in which bounds are found.
pub(crate) struct Tries {
    /// Callees before callers; those of more than one node, or whose node calls itself, are cycles.
    components: Vec<(Vec<usize>, bool)>,
    /// By node.
    pub(super) calls: Vec<Vec<Branch>>,
    /// Whether the known requests can take every alternative.
    pub(super) all_taken: bool,
}

/// A call of a node.
pub(super) struct Branch {
    /// How often, one after the other.
    pub times: u64,
    /// One of these happens.
    pub alternatives: Vec<Alternative>,
}

/// What a try comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Alternative {
    /// Requests that the endpoint handles for one time that the call is made.
    pub factor: u64,
    /// Connections at the endpoint, likewise.
    pub connects: u64,
    /// The service that is called.
    pub service: Option<usize>,
    /// The endpoint's node.
    pub node: Option<usize>,
    /// Whether the known requests take it.
    pub taken: bool,
}

impl Tries {
    /// The calls of a graph, among components that are given with callees before callers.
    pub(crate) fn of(graph: &Graph, components: &[Vec<usize>]) -> Self {
        let calls: Vec<Vec<Branch>> = (0..graph.nodes.len())
            .map(|node| {
                let branch = |call| {
                    let mut distinct = BTreeMap::new();
                    for hop in hops(node, call) {
                        let target = hop.target.map(|target| target.node);
                        let key = (hop.factor(), hop.connects(), hop.arm.service, target);
                        *distinct.entry(key).or_insert(false) |= hop.way.taken;
                    }
                    let alternative = |((factor, connects, service, node), taken)| Alternative {
                        factor,
                        connects,
                        service,
                        node,
                        taken,
                    };
                    Branch { times: call.times, alternatives: distinct.into_iter().map(alternative).collect() }
                };
                graph.calls(node).map(branch).collect()
            })
            .collect();
        let all_taken = calls.iter().flatten().flat_map(|branch| &branch.alternatives).all(|one| one.taken);
        let components = components.iter().map(|members| (members.clone(), graph.is_cycle(members))).collect();
        Self { components, calls, all_taken }
    }

    /// The alternatives of a node's calls.
    fn alternatives(&self, node: usize) -> impl Iterator<Item = &Alternative> {
        self.calls[node].iter().flat_map(|branch| &branch.alternatives)
    }

    /// What one request at each node can cause at a service.
    pub(crate) fn certificate(&self, service: usize, over: Over) -> Certificate {
        let nobody = vec![Some(0); self.calls.len()];
        let mut result = Certificate { service, requests: nobody.clone(), connects: nobody };
        for (members, is_cycle) in &self.components {
            if *is_cycle {
                // Without a bound if the service can be reached from the cycle.
                let reaches = members.iter().flat_map(|node| self.alternatives(*node)).any(|one| {
                    one.service == Some(service) || one.node.is_some_and(|node| result.requests[node] != Some(0))
                });
                for node in members.iter().filter(|_| reaches) {
                    (result.requests[*node], result.connects[*node]) = (None, None);
                }
                continue;
            }
            let node = members[0];
            result.requests[node] = self.total(node, over, |one| {
                let below = result.below(one.service, one.node, &result.requests, 1)?;
                Some(one.factor.saturating_mul(below))
            });
            result.connects[node] = self.total(node, over, |one| {
                let here = if one.service == Some(service) { one.connects } else { 0 };
                let further = result.below(one.service, one.node, &result.connects, 0)?;
                Some(here.saturating_add(one.factor.saturating_mul(further)))
            });
        }
        result
    }

    /// The sum over a node's calls of what each causes.
    fn total(&self, node: usize, over: Over, value: impl Fn(&Alternative) -> Option<u64>) -> Option<u64> {
        self.calls[node].iter().try_fold(0_u64, |sum, branch| {
            let counted = branch.alternatives.iter().filter(|one| over == Over::All || one.taken);
            let mut extreme = None::<u64>;
            for one in counted {
                let value = value(one)?;
                extreme = Some(match extreme {
                    Some(known) if over == Over::Sure => known.min(value),
                    Some(known) => known.max(value),
                    None => value,
                });
            }
            Some(sum.saturating_add(branch.times.saturating_mul(extreme.unwrap_or(0))))
        })
    }

    /// What one request at an entry brings to every node and service, counted from the entry on; `None`: calls form a
    /// cycle there, or the numbers do not fit.
    pub(super) fn flow(&self, entry: usize) -> Option<Flow> {
        let mut flow = Flow { at_nodes: vec![0; self.calls.len()], ..Flow::default() };
        flow.at_nodes[entry] = 1;
        let mut into: BTreeMap<usize, Vec<Vec<(u64, u64)>>> = BTreeMap::new();
        let mut into_services: BTreeMap<usize, Vec<Vec<(u64, u64)>>> = BTreeMap::new();
        for (members, is_cycle) in self.components.iter().rev() {
            let node = members[0];
            if *is_cycle && members.iter().any(|node| into.contains_key(node) || *node == entry) {
                return None;
            }
            if let Some(parts) = into.remove(&node) {
                let claim = Claim::tight(parts);
                flow.at_nodes[node] = claim.most;
                flow.claims.push(claim);
            }
            let here = flow.at_nodes[node];
            if here == 0 {
                continue;
            }
            for branch in &self.calls[node] {
                let mut nodes: BTreeMap<usize, Vec<(u64, u64)>> = BTreeMap::new();
                let mut services: BTreeMap<usize, Vec<(u64, u64)>> = BTreeMap::new();
                for one in &branch.alternatives {
                    let part = (branch.times.saturating_mul(one.factor), here);
                    one.node.into_iter().for_each(|node| nodes.entry(node).or_default().push(part));
                    one.service.into_iter().for_each(|service| services.entry(service).or_default().push(part));
                }
                for (node, parts) in nodes {
                    into.entry(node).or_default().push(parts);
                }
                for (service, parts) in services {
                    into_services.entry(service).or_default().push(parts);
                }
            }
        }
        for (service, parts) in into_services {
            let claim = Claim::tight(parts);
            flow.at_services.insert(service, claim.most);
            flow.claims.push(claim);
        }
        flow.claims.iter().all(|claim| claim.most < u64::MAX).then_some(flow)
    }
}

/// What one request at an entry brings about, as a certificate: each node's number is at least what its callers' numbers
/// allow. A request that chooses between two ways to one service is counted on both, so that the numbers can be greater
/// than a [`Certificate`]'s and are never smaller.
#[derive(Debug, Default)]
pub(super) struct Flow {
    at_nodes: Vec<u64>,
    /// Requests at each service that is reached.
    pub at_services: BTreeMap<usize, u64>,
    /// All that makes the numbers sound.
    pub claims: Vec<Claim>,
}

/// A step of a certificate: some calls together cause at most so many requests. Of each call one alternative happens:
/// at most `factor` times a number that is at most `most`, for its pair `(factor, most)`.
///
/// The calls are in order, so that nodes that are alike make the same claim.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Claim {
    pub(super) most: u64,
    pub(super) calls: Vec<Vec<(u64, u64)>>,
}

impl Claim {
    /// That these calls cause at most `most`.
    pub(super) fn new(most: u64, mut calls: Vec<Vec<(u64, u64)>>) -> Self {
        for alternatives in &mut calls {
            alternatives.sort_unstable();
            alternatives.dedup();
        }
        calls.sort_unstable();
        Self { most, calls }
    }

    /// Whether it is true, in exact integers: each call causes as much as it can.
    pub(super) fn holds(&self) -> bool {
        let worst = |alternatives: &Vec<(u64, u64)>| {
            alternatives.iter().map(|(factor, most)| u128::from(*factor) * u128::from(*most)).max().unwrap_or(0)
        };
        self.calls.iter().map(worst).fold(0, u128::saturating_add) <= u128::from(self.most)
    }

    /// With the least number that is sound.
    fn tight(calls: Vec<Vec<(u64, u64)>>) -> Self {
        let worst = |alternatives: &Vec<(u64, u64)>| {
            alternatives.iter().map(|(factor, most)| factor.saturating_mul(*most)).max().unwrap_or(0)
        };
        Self::new(calls.iter().map(worst).fold(0, u64::saturating_add), calls)
    }
}
