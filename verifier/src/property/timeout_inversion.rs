//! `MP0402` timeout-inversion (`P1`).
//!
//! **Statement.** For each call whose tries have a limit: no callee can be busy with a try for longer than that limit.
//! Two ways to break it are told apart: *inversion*, one call of the callee alone may last as long as the caller waits
//! (`P1` a); *zombie work*, the callee's own time and its calls, one after the other, last longer (`P1` b).
//!
//! **Decided by** a fixpoint. The longest time `W` of a call: with a written limit, the timeout, or all tries at the
//! per-try limit and the back-offs between them, whichever is less (the callee may hang); without one, the callee's
//! longest busy time and the back-offs. The longest busy time `D` of a handler: its own time and, stage after stage,
//! the longest `W` of the stage. Both are sums, maxima and minima with constants, so the worst case is at the corner
//! where everything takes longest.
//!
//! A callee that looks at the time that its caller waits (`obeys_deadlines` in `mesh.ron`) is busy beyond that only with
//! a call that it has made before; the first hop at which nobody looks is told ([`deadline`]).
//!
//! **Checked by** Z3 on the certificate `D`: for no node can its time exceed `D` of it, given that each try at a
//! callee takes at most the callee's `D` (one local query of linear arithmetic for each node).

use meshproof_model::Nanos;

use crate::{
    graph::{Call, Graph, OwnTime, Target, Way},
    term::{Bool, Int, Query},
};

/// The longest time that something takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Longest {
    /// At most so long.
    Time(Nanos),
    /// Nothing written bounds it.
    Open,
}

/// The longest busy time of each node's handler; [`OwnTime::Unknown`] counts as nothing.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BusyTimes {
    times: Vec<Longest>,
}

impl BusyTimes {
    /// Of every node. A cycle of calls without any limit is open.
    pub(crate) fn of(graph: &Graph) -> Self {
        let mut times = vec![Longest::Open; graph.nodes.len()];
        for component in graph.components() {
            // From the top: in a cycle of calls, each round carries the written limits one call further.
            for _ in 0..component.len() {
                for &node in &component {
                    times[node] = longest_busy(graph, node, &times);
                }
            }
        }
        Self { times }
    }

    /// Of one node.
    pub(crate) fn of_node(&self, node: usize) -> Longest {
        self.times[node]
    }

    /// The longest time of a call over one of its routes, repeated as often as it is made.
    pub(crate) fn way(&self, graph: &Graph, call: &Call, way: &Way) -> Longest {
        longest_way(graph, call, way, &self.times)
    }
}

fn longest_busy(graph: &Graph, node: usize, times: &[Longest]) -> Longest {
    let own = match graph.nodes[node].own {
        OwnTime::AtMost(time) => time,
        OwnTime::Unknown => Nanos::ZERO,
    };
    graph.nodes[node].stages.iter().fold(Longest::Time(own), |sum, stage| {
        let ways = stage.iter().flat_map(|call| call.ways.iter().map(move |way| (call, way)));
        sum.plus(
            ways.fold(Longest::Time(Nanos::ZERO), |most, (call, way)| most.max(longest_way(graph, call, way, times))),
        )
    })
}

fn longest_way(graph: &Graph, call: &Call, way: &Way, times: &[Longest]) -> Longest {
    let all_tries = match longest_try(graph, way, times) {
        Longest::Time(one) => Longest::Time(one.times(way.retry.work()) + way.retry.back_off()),
        Longest::Open => Longest::Open,
    };
    let once = match (way.timeout.value, all_tries) {
        (Some(timeout), Longest::Time(tries)) => Longest::Time(timeout.min(tries)),
        (Some(timeout), Longest::Open) => Longest::Time(timeout),
        (None, tries) => tries,
    };
    match once {
        Longest::Time(time) => Longest::Time(time.times(call.times)),
        Longest::Open => Longest::Open,
    }
}

/// The longest time of one try: its written limit, else the callee's busy time as far as `mesh.ron` gives it.
fn longest_try(graph: &Graph, way: &Way, times: &[Longest]) -> Longest {
    if let Some(limit) = way.try_limit() {
        return Longest::Time(limit);
    }
    let mut longest = Longest::Time(Nanos::ZERO);
    for arm in &way.arms {
        if arm.targets.is_empty() {
            return Longest::Open;
        }
        for target in &arm.targets {
            longest = longest.max(match graph.nodes[target.node].own {
                OwnTime::AtMost(_) => inbound_tries(target, times[target.node]),
                OwnTime::Unknown => Longest::Open,
            });
        }
    }
    longest
}

/// What a target's own proxy makes of its handler's time.
fn inbound_tries(target: &Target, handler: Longest) -> Longest {
    match handler {
        Longest::Time(time) => Longest::Time(time.times(target.inbound.work()) + target.inbound.back_off()),
        Longest::Open => Longest::Open,
    }
}

impl Longest {
    /// The time; `None`: nothing bounds it.
    pub(crate) const fn bounded(self) -> Option<Nanos> {
        match self {
            Self::Time(time) => Some(time),
            Self::Open => None,
        }
    }

    /// The longer of two.
    pub(crate) fn max(self, other: Self) -> Self {
        match (self, other) {
            (Self::Time(a), Self::Time(b)) => Self::Time(a.max(b)),
            _ => Self::Open,
        }
    }

    /// One after the other.
    fn plus(self, other: Self) -> Self {
        match (self, other) {
            (Self::Time(a), Self::Time(b)) => Self::Time(a + b),
            _ => Self::Open,
        }
    }
}

impl BusyTimes {
    /// One query for each node whose time is bounded: can it take longer, if no try at a callee takes longer than the
    /// callee's own bound? All must be unsatisfiable.
    pub(crate) fn queries(&self, graph: &Graph) -> Vec<Query> {
        (0..graph.nodes.len()).filter_map(|node| self.query(graph, node)).collect()
    }

    fn query(&self, graph: &Graph, node: usize) -> Option<Query> {
        let Longest::Time(claimed) = self.times[node] else { return None };
        if graph.nodes[node].stages.is_empty() {
            return None;
        }
        let mut query = Query::default();
        let own = query.int("own");
        query.assert(own.clone().le(Int::Const(match graph.nodes[node].own {
            OwnTime::AtMost(time) => time.get(),
            OwnTime::Unknown => 0,
        })));
        let mut total = vec![own];
        for (number, stage) in graph.nodes[node].stages.iter().enumerate() {
            let lasts = query.int(format!("stage{number}"));
            let ends = stage
                .iter()
                .flat_map(|call| call.ways.iter().map(move |way| (call, way)))
                .map(|(call, way)| {
                    let time = self.way_term(&mut query, way);
                    lasts.clone().le(time.times(call.times))
                })
                .collect::<Vec<_>>();
            query.assert(if ends.is_empty() { lasts.clone().le(Int::Const(0)) } else { Bool::Or(ends) });
            total.push(lasts);
        }
        query.assert(Int::Sum(total).gt(Int::Const(claimed.get())));
        Some(query)
    }

    /// A free number: the time of one call over a route.
    fn way_term(&self, query: &mut Query, way: &Way) -> Int {
        let (call, one, waits) = (query.int("call"), query.int("try"), query.int("waits"));
        if let Some(limit) = way.try_limit() {
            query.assert(one.clone().le(Int::Const(limit.get())));
        } else {
            let fits = way.arms.iter().flat_map(|arm| &arm.targets).map(|target| {
                let most = match inbound_tries(target, self.times[target.node]) {
                    Longest::Time(time) => time.get(),
                    Longest::Open => u64::MAX,
                };
                one.clone().le(Int::Const(most))
            });
            query.assert(Bool::Or(fits.collect()));
        }
        query.assert(waits.clone().le(Int::Const(way.retry.back_off().get())));
        query.assert(call.clone().le(Int::Sum(vec![one.times(way.retry.work()), waits])));
        if let Some(timeout) = way.timeout.value {
            query.assert(call.clone().le(Int::Const(timeout.get())));
        }
        call
    }
}

mod deadline;
mod judge;
#[cfg(test)]
mod tests;

pub(crate) use judge::check;
