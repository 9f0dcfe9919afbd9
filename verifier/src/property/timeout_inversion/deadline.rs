//! Deadlines that are passed on (`P1` c): how long a handler is busy that looks at the time that its caller waits.
//!
//! Its own work ends then, and it makes no further call; what can go on is a call that it has made before. That ends
//! with it if whoever answers looks at the time too, which the proxies on the way hand on; else it lasts as long as it
//! may. Pauses between tries go on where the answer that comes at the deadline, a 504, is retried.

use meshproof_model::Nanos;

use super::{BusyTimes, Longest, longest_way};
use crate::{
    graph::{Call, Graph, NodeKind, OwnTime, Way},
    term::{Bool, Int, Query},
};

/// How much longer than its caller waits a handler can be busy that looks at that time; of each node.
#[derive(Clone, Debug)]
pub(super) struct Overruns(Vec<Longest>);

/// A call that goes on for the longest when its caller's caller has left.
#[derive(Clone, Copy, Debug)]
pub(super) struct Late<'a> {
    /// The call, and the route that it takes.
    pub call: (&'a Call, &'a Way),
    /// When it ends, from the beginning of the request on.
    pub ends: Longest,
}

impl Overruns {
    /// Of every node; a cycle of calls is open.
    pub(super) fn of(graph: &Graph, busy: &BusyTimes) -> Self {
        let mut all = Self(vec![Longest::Open; graph.nodes.len()]);
        for component in graph.components() {
            if graph.is_cycle(&component) {
                continue;
            }
            let node = component[0];
            let ways = graph.calls(node).flat_map(|call| call.ways.iter().map(move |way| (call, way)));
            let over = ways.map(|(call, way)| match all.after(graph, call, way) {
                Some(over) => over,
                None => longest_way(graph, call, way, &busy.times),
            });
            all.0[node] = over.fold(Longest::Time(Nanos::ZERO), Longest::max);
        }
        all
    }

    /// How long a call goes on at the most when the time is over; `None`: somebody who answers it does not look.
    fn after(&self, graph: &Graph, call: &Call, way: &Way) -> Option<Longest> {
        let mut longest = Longest::Time(Nanos::ZERO);
        for arm in &way.arms {
            let looks = |node: usize| graph.nodes[node].kind == NodeKind::Workload && graph.nodes[node].obeys;
            if arm.targets.is_empty() || !arm.targets.iter().all(|target| looks(target.node)) {
                return None;
            }
            longest = arm.targets.iter().fold(longest, |most, target| most.max(self.0[target.node]));
        }
        let pauses = if way.retry.work() > 1 { way.retry.back_off() } else { Nanos::ZERO };
        Some(match longest.plus(Longest::Time(pauses)) {
            Longest::Time(time) if !way.arms.is_empty() => Longest::Time(time.times(call.times)),
            _ => Longest::Open,
        })
    }

    /// How long a handler that looks at the time is busy with a request whose caller waits for `limit`, and the call that
    /// makes it so if that is longer.
    pub(super) fn held<'a>(
        &self,
        graph: &'a Graph,
        busy: &BusyTimes,
        node: usize,
        limit: Nanos,
    ) -> (Longest, Option<Late<'a>>) {
        let mut begins = own(graph, node).min(limit);
        let (mut longest, mut late) = (Longest::Time(begins), None);
        for stage in &graph.nodes[node].stages {
            // A stage begins before the time is over, or not at all.
            let start = begins.min(Nanos::new(limit.get().saturating_sub(1)));
            let mut ends = Longest::Time(start);
            for (call, way) in stage.iter().flat_map(|call| call.ways.iter().map(move |way| (call, way))) {
                let end = self.ends(graph, busy, (call, way), (start, limit));
                let is_late = end.bounded().is_none_or(|end| end > limit);
                if is_late && late.as_ref().is_none_or(|known: &Late<'_>| is_longer(end, known.ends)) {
                    late = Some(Late { call: (call, way), ends: end });
                }
                ends = ends.max(end);
            }
            longest = longest.max(ends);
            begins = ends.bounded().map_or(limit, |ends| ends.min(limit));
        }
        (longest, late)
    }

    /// When a call ends at the latest that begins before the time is over.
    fn ends(
        &self,
        graph: &Graph,
        busy: &BusyTimes,
        (call, way): (&Call, &Way),
        (start, limit): (Nanos, Nanos),
    ) -> Longest {
        let whole = Longest::Time(start).plus(longest_way(graph, call, way, &busy.times));
        let Some(over) = self.after(graph, call, way) else { return whole };
        match (whole, Longest::Time(limit).plus(over)) {
            (Longest::Time(whole), Longest::Time(over)) => Longest::Time(whole.min(over)),
            (Longest::Open, other) | (other, Longest::Open) => other,
        }
    }

    /// Is there a run in which the handler is busy for longer than is claimed? `None`: nothing is claimed.
    pub(super) fn query(&self, graph: &Graph, busy: &BusyTimes, node: usize, limit: Nanos) -> Option<Query> {
        let claimed = self.held(graph, busy, node, limit).0.bounded()?;
        let mut query = Query::default();
        let mut before = query.int("own");
        query.assert(before.clone().le(Int::Const(own(graph, node).get())));
        query.assert(before.clone().le(Int::Const(limit.get())));
        let mut longer = vec![before.clone().gt(Int::Const(claimed.get()))];
        for (number, stage) in graph.nodes[node].stages.iter().enumerate() {
            let (start, end) = (query.int(format!("start{number}")), query.int(format!("end{number}")));
            query.assert(start.clone().le(before));
            // At the limit no stage begins, and what has not begun has not ended.
            query.assert(Int::Const(limit.get().max(1)).gt(start.clone()));
            let mut fits = vec![end.clone().le(start.clone())];
            for (call, way) in stage.iter().flat_map(|call| call.ways.iter().map(move |way| (call, way))) {
                let mut all = Vec::new();
                if let Longest::Time(time) = longest_way(graph, call, way, &busy.times) {
                    all.push(end.clone().le(Int::Sum(vec![start.clone(), Int::Const(time.get())])));
                }
                if let Some(Longest::Time(over)) = self.after(graph, call, way) {
                    all.push(end.clone().le(Int::Const((limit + over).get())));
                }
                fits.push(Bool::And(all));
            }
            query.assert(Bool::Or(fits));
            longer.push(end.clone().gt(Int::Const(claimed.get())));
            before = end;
        }
        query.assert(Bool::Or(longer));
        Some(query)
    }
}

fn own(graph: &Graph, node: usize) -> Nanos {
    match graph.nodes[node].own {
        OwnTime::AtMost(time) => time,
        OwnTime::Unknown => Nanos::ZERO,
    }
}

fn is_longer(one: Longest, other: Longest) -> bool {
    match (one, other) {
        (Longest::Time(one), Longest::Time(other)) => one > other,
        (Longest::Open, Longest::Time(_)) => true,
        (_, Longest::Open) => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use std::collections::BTreeSet;

    use meshproof_model::Nanos;

    use super::*;
    use crate::{
        graph::{Limit, Retry},
        testing::{Draws, after_work, call, cases, graph, limit},
        z3::{Answer, check_one},
    };

    /// Nodes 1 to 4, of which each may call later ones; times in milliseconds.
    fn some_graph(draws: &mut Draws) -> Graph {
        let mut graph = graph(5);
        for node in 1..5 {
            graph.nodes[node].own = OwnTime::AtMost(Nanos::from_millis(draws.below(3)));
            graph.nodes[node].obeys = draws.chance(55);
            for to in node + 1..5 {
                if !draws.chance(45) {
                    continue;
                }
                let attempts = draws.below(2);
                let mut retry = if draws.chance(40) { after_work(attempts, 1) } else { Retry::none("") };
                (retry.base, retry.max) = (Nanos::from_millis(2), Nanos::from_millis(2));
                let mut made = call(to, retry);
                let mut some =
                    |line| if draws.chance(60) { limit(1 + draws.below(6), line) } else { Limit::none("RT-10") };
                (made.ways[0].timeout, made.ways[0].per_try) = (some(1), some(2));
                match graph.nodes[node].stages.last_mut().filter(|_| draws.chance(30)) {
                    Some(stage) => stage.push(made),
                    None => graph.nodes[node].stages.push(vec![made]),
                }
            }
        }
        graph.nodes[1].obeys = true;
        graph
    }

    /// Every moment, in quarters of a millisecond, at which a handler can be done that begins at `start` and whose caller
    /// leaves at `deadline`; `None`: nothing bounds it.
    fn ends(graph: &Graph, node: usize, start: u64, deadline: u64) -> Option<BTreeSet<u64>> {
        let of = &graph.nodes[node];
        let own = own(graph, node).as_millis() * 4;
        let cut = |time: u64| if of.obeys { time.min(deadline.max(start)) } else { time };
        let mut times: BTreeSet<u64> = (start..=start + own).map(cut).collect();
        let mut done = BTreeSet::new();
        for stage in &of.stages {
            let mut next = BTreeSet::new();
            for begins in times {
                if of.obeys && begins >= deadline {
                    done.insert(begins);
                    continue;
                }
                // Every call can fail at once, so that the stage ends with any one of them.
                for call in stage {
                    next.extend(call_ends(graph, &call.ways[0], begins, deadline)?);
                }
            }
            times = next;
        }
        Some(done.into_iter().chain(times).collect())
    }

    fn call_ends(graph: &Graph, way: &Way, begins: u64, deadline: u64) -> Option<BTreeSet<u64>> {
        let quarters = |limit: Option<Nanos>| limit.map_or(u64::MAX, |limit| limit.as_millis() * 4);
        let (timeout, of_try) = (quarters(way.timeout.value), quarters(way.try_limit()));
        let last = begins.saturating_add(timeout);
        let target = way.arms[0].targets[0].node;
        let (mut starts, mut all) = (BTreeSet::from([begins]), BTreeSet::from([begins]));
        for attempt in 0..way.retry.work() {
            let mut ended = BTreeSet::new();
            for start in starts {
                let leaves = start.saturating_add(of_try).min(last);
                let tried: BTreeSet<u64> = if graph.nodes[target].obeys {
                    // Told how long its caller's caller waits, and its own.
                    let found = ends(graph, target, start, deadline.min(leaves));
                    found.or_else(|| (leaves < u64::MAX).then(|| (start..=leaves).collect()))?
                } else if leaves < u64::MAX {
                    (start..=leaves).collect()
                } else {
                    ends(graph, target, start, deadline.min(leaves))?
                };
                ended.extend(tried.into_iter().map(|end| end.min(leaves)));
            }
            all.extend(&ended);
            if attempt + 1 == way.retry.work() {
                break;
            }
            // Whole milliseconds below two.
            starts = ended.iter().flat_map(|end| [*end, end + 4]).filter(|start| *start < last).collect();
            all.extend(starts.iter().copied());
            all.extend(ended.iter().map(|end| (end + 4).min(last)));
        }
        Some(all)
    }

    #[test]
    fn nobody_who_looks_at_the_time_is_busy_for_longer_than_said() {
        let cases = cases(300);
        let mut draws = Draws::new(31);
        let (mut held, mut ends_in_time, mut spared, mut exact) = (0, 0, 0, 0);
        for number in 0..cases {
            let graph = some_graph(&mut draws);
            let busy = BusyTimes::of(&graph);
            let overruns = Overruns::of(&graph, &busy);
            let waits = 1 + draws.below(5);
            let (said, late) = overruns.held(&graph, &busy, 1, Nanos::from_millis(waits));
            // In quarters, rounded up: what begins a nanosecond before the end has begun.
            let said = said.bounded().map(|said| said.get().div_ceil(250_000));
            assert_eq!(late.is_some(), said.is_none_or(|said| said > waits * 4), "{graph:#?}");
            let found = ends(&graph, 1, 0, waits * 4).map(|ends| *ends.last().unwrap());
            assert!(found.is_some() || said.is_none(), "without end: {graph:#?}");
            match (said, found) {
                (Some(said), Some(found)) => {
                    assert!(found <= said, "{found} > {said} of {waits}: {graph:#?}");
                    // A quarter before the end is the last moment at which the naive run begins a call.
                    exact += usize::from(found + 4 >= said);
                    *(if found > waits * 4 { &mut held } else { &mut ends_in_time }) += 1;
                    let told = said > waits * 4;
                    assert!(told || found <= waits * 4);
                    spared += usize::from(!told && busy.of_node(1).bounded().is_none_or(|d| d.as_millis() > waits));
                }
                (None, _) | (_, None) => held += 1,
            }
            if number < 100 {
                let query = overruns.query(&graph, &busy, 1, Nanos::from_millis(waits));
                assert!(query.is_none_or(|query| check_one(&query, 1_000_000) == Answer::Unsat), "{graph:#?}");
            }
        }
        let shares = format!("{held} held, {ends_in_time} not, {spared} of these spared, {exact} exact, of {cases}");
        assert!(held * 4 >= cases && ends_in_time * 4 >= cases, "{shares}");
        assert!(spared * 20 >= cases && exact * 2 >= cases, "{shares}");
    }
}
