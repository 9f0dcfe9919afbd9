//! The proof that a service does not stay over its capacity, as a question to Z3: is there a set of services that keeps
//! itself over capacity, that one among them?
//!
//! Nothing is taken from the fixpoint: every service that is over is free, and so is what it receives, up to what its
//! callers can send when they try again.

use super::{Hop, Load, every_try, hops};
use crate::{
    graph::{Call, Graph},
    term::{Bool, Int, Query},
};

// BOUND: numbers of nodes times services of meshes of which it is asked.
const SIZE_MAX: usize = 400;

const MILLION: u64 = 1_000_000;

/// The question; `None`: the mesh is too large for it, or has cycles of calls, which have no bound at all.
pub(super) fn stays_over(load: &Load<'_>, service: usize) -> Option<Query> {
    let graph = load.graph;
    let is_small = graph.nodes.len() * load.capacities.len() <= SIZE_MAX;
    let components = graph.components();
    if !is_small || components.iter().any(|members| graph.is_cycle(members)) {
        return None;
    }
    let mut query = Query::default();
    let over: Vec<Bool> = graph.services.iter().map(|name| query.bool(format!("over {name}"))).collect();
    let mut asked = Asked { graph, query, failing: vec![Bool::Const(false); graph.nodes.len()], over };
    for members in &components {
        asked.may_fail(members[0]);
    }
    for (number, capacity) in load.capacities.iter().enumerate() {
        let Some(capacity) = capacity else { continue };
        let received = asked.received(load, &components, number);
        let is_over = Int::Const(capacity.saturating_add(1)).le(received);
        let fact = asked.over[number].clone().implies(is_over);
        asked.query.assert(fact);
    }
    let target = asked.over[service].clone();
    asked.query.assert(target);
    Some(asked.query)
}

struct Asked<'g> {
    graph: &'g Graph,
    query: Query,
    /// Of each node: whether it may fail, as it needs somebody who does.
    failing: Vec<Bool>,
    over: Vec<Bool>,
}

impl Asked<'_> {
    fn fails(&self, hop: &Hop<'_>) -> Bool {
        let service = hop.arm.service.map(|service| self.over[service].clone());
        let target = hop.target.map(|target| self.failing[target.node].clone());
        Bool::Or(service.into_iter().chain(target).collect())
    }

    fn may_fail(&mut self, node: usize) {
        let needed = self.graph.calls(node).filter(|call| !call.optional);
        let reasons: Vec<Bool> = needed.flat_map(|call| hops(node, call)).map(|hop| self.fails(&hop)).collect();
        let failing = self.query.bool(format!("failing {node}"));
        self.query.assert(failing.clone().implies(Bool::Or(reasons)));
        self.failing[node] = failing;
    }

    /// What a service receives at the most, in thousandths of a request per second.
    fn received(&mut self, load: &Load<'_>, components: &[Vec<usize>], service: usize) -> Int {
        let mut amounts = vec![Int::Const(0); self.graph.nodes.len()];
        for node in components.iter().map(|members| members[0]) {
            let calls: Vec<&Call> = self.graph.calls(node).collect();
            let made: Vec<Int> = calls.into_iter().map(|call| self.made(node, call, service, &amounts)).collect();
            amounts[node] = Int::Sum(made);
        }
        let mut all = Vec::new();
        for entry in &self.graph.entries {
            let rate = load.demand.get(&self.graph.nodes[*entry].name).copied().unwrap_or(0);
            let part = self.query.int(format!("from {entry} to {service}"));
            self.query.assert(part.clone().times(MILLION).le(amounts[*entry].clone().times(rate)));
            all.push(part);
        }
        Int::Sum(all)
    }

    /// What one call of a node sends to a service for one request, in millionths.
    fn made(&mut self, node: usize, call: &Call, service: usize, amounts: &[Int]) -> Int {
        let once = self.query.int(format!("call of {node} for {service}"));
        let mut fits = vec![once.clone().le(Int::Const(0))];
        for hop in hops(node, call) {
            let here = Int::Const(if hop.arm.service == Some(service) { MILLION } else { 0 });
            let below = hop.target.map_or(Int::Const(0), |target| amounts[target.node].clone());
            let one = Int::Sum(vec![here, below]);
            let again = Bool::And(vec![self.fails(&hop), once.clone().le(one.clone().times(every_try(&hop)))]);
            fits.push(Bool::Or(vec![once.clone().le(one), again]));
        }
        self.query.assert(Bool::Or(fits));
        // Rounded up, as shares are.
        let sent = self.query.int(format!("sent by {node} to {service}"));
        let made = once.times(call.times.saturating_mul(call.share_ppm.into()));
        self.query.assert(sent.clone().times(MILLION).le(Int::Sum(vec![made, Int::Const(MILLION - 1)])));
        sent
    }
}
