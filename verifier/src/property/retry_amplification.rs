//! `MP0401` retry-amplification (`P2.1`).
//!
//! **Statement.** For each service: the greatest number of requests that reach it for one request at an entry, over
//! all failures that proxies answer with a retry after the callee has worked. A try that fails before the callee has
//! worked adds a connection and nothing below it.
//!
//! **Decided by** a fixpoint. Let `M(v)` be the requests at the service for one request that `v` handles:
//! `M(v) = Σ calls of v: times · own tries · max over routes: work · max over endpoints w: inbound work · (here + M(w))`,
//! exact because each try may fail on its own: let every callee make all its calls, then fail at the end on all
//! tries but the last; the back-off can be zero, so every try fits into any timeout. One pass from the callees to the
//! callers suffices; a cycle of calls has no bound and is reported as undecided.
//!
//! **Checked by** Z3 on a certificate, one local query of linear arithmetic for each step that differs. Where counting
//! from the entry on (each node's requests are at most what its callers' allow) gives the same number for a service,
//! that is the certificate, one for all services. Else it is `M`: for no node can its calls cause more than `M` of it,
//! given that each try at a callee causes at most the callee's `M`.

use crate::{
    graph::{Arm, Call, Graph, Target, Way},
    term::{Bool, Int, Query},
};

/// Requests or connections at one service, for one request at each node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Certificate {
    /// The service.
    pub service: usize,
    /// By node; `None`: without a bound, because of a cycle of calls.
    pub requests: Vec<Option<u64>>,
    /// By node: tries that leave a proxy for the service or reach its application, those before work included.
    pub connects: Vec<Option<u64>>,
}

/// A try that goes from a node to an endpoint, and what multiplies it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Hop<'a> {
    /// Who calls.
    pub from: usize,
    /// The call.
    pub call: &'a Call,
    /// Its route.
    pub way: &'a Way,
    /// The destination.
    pub arm: &'a Arm,
    /// The endpoint; `None`: somebody outside of the model.
    pub target: Option<&'a Target>,
}

impl Hop<'_> {
    /// Requests that the endpoint handles for one time that the call is made.
    pub(crate) fn factor(&self) -> u64 {
        let inbound = self.target.map_or(1, |target| target.inbound.work());
        self.call.own_tries.saturating_mul(self.way.retry.work()).saturating_mul(inbound)
    }

    /// Connections at the endpoint for one time that the call is made.
    pub(crate) fn connects(&self) -> u64 {
        let inbound = self.target.map_or(1, |target| target.inbound.tries());
        self.call.own_tries.saturating_mul(self.way.retry.tries()).saturating_mul(inbound)
    }
}

/// The bounds of every service.
#[cfg(test)]
pub(crate) fn certificates(graph: &Graph) -> Vec<Certificate> {
    let tries = Tries::of(graph, &graph.components());
    (0..graph.services.len()).map(|service| tries.certificate(service, Over::All)).collect()
}

/// The cycles of calls.
pub(crate) fn cycles(graph: &Graph) -> Vec<Vec<usize>> {
    let mut cycles: Vec<_> = graph.components().into_iter().filter(|members| graph.is_cycle(members)).collect();
    cycles.sort();
    cycles
}

/// Which of the alternatives of a call count.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Over {
    /// The worst of all.
    All,
    /// The worst of the routes that the request of a replay takes.
    Taken,
    /// The least of those: what happens whatever the endpoint.
    Sure,
}

/// What one request at each node can cause at a service.
pub(crate) fn certificate(graph: &Graph, components: &[Vec<usize>], service: usize, over: Over) -> Certificate {
    Tries::of(graph, components).certificate(service, over)
}

impl Certificate {
    /// What one request that an endpoint handles causes at the service; `here` for the endpoint itself.
    fn below(&self, to: Option<usize>, node: Option<usize>, values: &[Option<u64>], here: u64) -> Option<u64> {
        let own = if to == Some(self.service) { here } else { 0 };
        let further = node.map_or(Some(0), |node| values[node])?;
        Some(own.saturating_add(further))
    }

    /// The same for requests, for nodes that have a bound.
    fn caused(&self, to: Option<usize>, node: Option<usize>) -> u64 {
        self.below(to, node, &self.requests, 1).unwrap_or(u64::MAX)
    }

    /// The worst path from a node: of its calls the one that causes the most, and so on until the service.
    pub(crate) fn worst_path<'a>(&self, graph: &'a Graph, entry: usize) -> Vec<Hop<'a>> {
        let (mut path, mut node) = (Vec::new(), entry);
        while let Some((_, hop)) = self.worst_hop(graph, node) {
            path.push(hop);
            match hop.target {
                Some(target) if self.requests[target.node].is_some_and(|further| further > 0) => node = target.node,
                _ => break,
            }
        }
        path
    }

    /// The first of a node's hops that cause the most requests at the service; among equals one that the known
    /// requests take, since that can be shown.
    fn worst_hop<'a>(&self, graph: &'a Graph, node: usize) -> Option<(u64, Hop<'a>)> {
        let mut worst: Option<(u64, Hop<'a>)> = None;
        for call in graph.calls(node) {
            for hop in hops(node, call) {
                let one =
                    hop.factor().saturating_mul(self.caused(hop.arm.service, hop.target.map(|target| target.node)));
                let all = call.times.saturating_mul(one);
                let known = worst.as_ref().map_or((0, false), |(most, hop)| (*most, hop.way.taken));
                if all > 0 && (all, hop.way.taken) > known {
                    worst = Some((all, hop));
                }
            }
        }
        worst
    }

    /// One claim for each node that can reach the service: its calls cause no more than the certificate says, if those
    /// of its callees cause no more than it says.
    pub(crate) fn claims(&self, tries: &Tries) -> impl Iterator<Item = Claim> {
        self.requests.iter().zip(&tries.calls).filter_map(|(claimed, calls)| {
            let claimed = claimed.filter(|claimed| *claimed > 0)?;
            let parts = calls.iter().map(|branch| {
                let part =
                    |one: &Alternative| (branch.times.saturating_mul(one.factor), self.caused(one.service, one.node));
                branch.alternatives.iter().map(part).collect::<Vec<_>>()
            });
            // Calls that cause nothing are left out, so that more nodes are alike.
            let matters = |parts: &Vec<(u64, u64)>| parts.iter().any(|(_, most)| *most > 0);
            Some(Claim::new(claimed, parts.filter(matters).collect()))
        })
    }
}

impl Claim {
    /// Can the calls cause more than is claimed? It must be unsatisfiable.
    pub(crate) fn query(&self) -> Query {
        let mut query = Query::default();
        let calls = self.calls.iter().enumerate();
        let total: Vec<Int> = calls.map(|(index, parts)| call_term(&mut query, index, parts)).collect();
        query.assert(Int::Sum(total).gt(Int::Const(self.most)));
        query
    }
}

/// What all tries of one call cause: the product of what multiplies it with a free number that is at most what one try
/// at one of its endpoints causes.
fn call_term(query: &mut Query, index: usize, parts: &[(u64, u64)]) -> Int {
    let caused = query.int(format!("call{index}"));
    let choices: Vec<Bool> = parts
        .iter()
        .enumerate()
        .map(|(number, (factor, most))| {
            let one = query.int(format!("call{index}try{number}"));
            let fits = one.clone().le(Int::Const(*most));
            Bool::And(vec![fits, caused.clone().le(one.times(*factor))])
        })
        .collect();
    query.assert(if choices.is_empty() { caused.clone().le(Int::Const(0)) } else { Bool::Or(choices) });
    caused
}

/// Every way to every endpoint of a call.
pub(crate) fn hops(from: usize, call: &Call) -> impl Iterator<Item = Hop<'_>> {
    call.ways.iter().flat_map(move |way| {
        way.arms.iter().flat_map(move |arm| {
            let nobody = arm.targets.is_empty().then_some(None);
            let targets = arm.targets.iter().map(Some).chain(nobody);
            targets.map(move |target| Hop { from, call, way, arm, target })
        })
    })
}

mod judge;
#[cfg(test)]
mod tests;
mod tries;

pub(crate) use judge::check;
pub(crate) use tries::{Claim, Tries};

use tries::Alternative;
