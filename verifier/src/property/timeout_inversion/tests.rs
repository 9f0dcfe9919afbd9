#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;
use crate::{
    graph::{Limit, Retry},
    testing::{after_work, by_default, call, cases, graph, limit},
    z3::{Answer, check_all},
};

fn ms(value: u64) -> Longest {
    Longest::Time(Nanos::from_millis(value))
}

fn with_limits(to: usize, timeout: Option<u64>, per_try: Option<u64>, retry: Retry) -> Call {
    let mut made = call(to, retry);
    made.ways[0].timeout = timeout.map_or(Limit::none("RT-10"), |value| limit(value, 1));
    made.ways[0].per_try = per_try.map_or(Limit::none("RT-15"), |value| limit(value, 2));
    made
}

#[test]
fn a_call_lasts_as_long_as_its_limits_and_tries_allow() {
    let table = [
        // (timeout, per try, retry, expected)
        (Some(1000), None, Retry::none(""), ms(1000)),
        (Some(2000), Some(600), after_work(3, 1), ms(2000)),
        (Some(4000), Some(600), after_work(3, 1), ms(4 * 600 + 24 + 49 + 99)),
        (None, Some(600), after_work(1, 1), ms(2 * 600 + 24)),
        (Some(500), Some(600), after_work(3, 1), ms(500)),
        (Some(1000), None, by_default(), ms(1000)),
        (None, None, by_default(), Longest::Open),
    ];
    for (timeout, per_try, retry, expected) in table {
        let mut graph = graph(3);
        graph.nodes[1].stages.push(vec![with_limits(2, timeout, per_try, retry)]);
        assert_eq!(BusyTimes::of(&graph).of_node(1), expected, "{timeout:?} {per_try:?}");
    }
}

#[test]
fn stages_add_up_and_calls_of_a_stage_run_side_by_side() {
    let mut graph = graph(4);
    graph.nodes[1].own = OwnTime::AtMost(Nanos::from_millis(25));
    let calls = || [with_limits(2, Some(1000), None, by_default()), with_limits(3, Some(1500), None, by_default())];
    graph.nodes[1].stages = vec![calls().into()];
    assert_eq!(BusyTimes::of(&graph).of_node(1), ms(25 + 1500));
    graph.nodes[1].stages = calls().map(|call| vec![call]).into();
    assert_eq!(BusyTimes::of(&graph).of_node(1), ms(25 + 1000 + 1500));
    graph.nodes[1].stages[0][0].times = 2;
    assert_eq!(BusyTimes::of(&graph).of_node(1), ms(25 + 2000 + 1500));
}

#[test]
fn without_a_limit_the_time_of_the_callee_counts_where_it_is_known() {
    let mut graph = graph(4);
    graph.nodes[1].stages = vec![vec![with_limits(2, None, None, after_work(1, 1))]];
    graph.nodes[2].stages = vec![vec![with_limits(3, Some(100), None, Retry::none(""))]];
    assert_eq!(BusyTimes::of(&graph).of_node(1), Longest::Open, "w2's own time is unknown");
    graph.nodes[2].own = OwnTime::AtMost(Nanos::from_millis(10));
    assert_eq!(BusyTimes::of(&graph).of_node(1), ms(2 * (10 + 100) + 24));
}

#[test]
fn a_cycle_is_open_only_without_any_limit() {
    for (limit, expected) in [(None, Longest::Open), (Some(300), ms(300 + 10))] {
        let mut graph = graph(4);
        for node in 1..4 {
            graph.nodes[node].own = OwnTime::AtMost(Nanos::from_millis(10));
        }
        graph.nodes[1].stages = vec![vec![with_limits(2, None, None, Retry::none(""))]];
        graph.nodes[2].stages = vec![vec![with_limits(1, limit, None, Retry::none(""))]];
        graph.nodes[3].stages = vec![vec![with_limits(1, None, None, Retry::none(""))]];
        let busy = BusyTimes::of(&graph);
        assert_eq!(busy.of_node(2), expected);
        if limit.is_some() {
            assert_eq!((busy.of_node(1), busy.of_node(3)), (ms(320), ms(330)), "the limit is carried round the cycle");
        }
    }
}

/// Graphs of at most five nodes whose calls go to later nodes, and how long each try and back-off takes.
fn small_graph() -> impl Strategy<Value = Graph> {
    let limits = (proptest::option::of(1_u64..6), proptest::option::of(1_u64..6));
    let edge = (1_usize..5, 1_usize..5, limits, 0_u64..3, any::<bool>(), 1_u64..3, any::<bool>());
    let own = proptest::collection::vec(proptest::option::of(0_u64..4), 5);
    (proptest::collection::vec(edge, 1..7), own).prop_map(|(edges, own)| {
        let mut graph = graph(5);
        for (node, own) in graph.nodes.iter_mut().zip(own) {
            node.own = own.map_or(OwnTime::Unknown, |time| OwnTime::AtMost(Nanos::from_millis(time)));
        }
        for (from, to, (timeout, per_try), attempts, after, times, join) in edges {
            let (from, to) = (from.min(to), from.max(to));
            if from == to {
                continue;
            }
            let mut retry = if after { after_work(attempts, 1) } else { Retry::none("") };
            retry.base = Nanos::from_millis(2);
            retry.max = Nanos::from_millis(3);
            let made = Call { times, ..with_limits(to, timeout, per_try, retry) };
            match graph.nodes[from].stages.last_mut().filter(|_| join) {
                Some(stage) => stage.push(made),
                None => graph.nodes[from].stages.push(vec![made]),
            }
        }
        graph
    })
}

/// The longest run, in milliseconds, found by trying every outcome: each try takes any whole time up to what its
/// callee can take (or, if it hangs, its limit), and fails or not; `None`: no limit.
fn longest_run(graph: &Graph, node: usize) -> Option<u64> {
    let own = match graph.nodes[node].own {
        OwnTime::AtMost(time) => time.as_millis(),
        OwnTime::Unknown => 0,
    };
    let mut total = own;
    for stage in &graph.nodes[node].stages {
        let mut slowest = 0;
        for call in stage {
            let mut time = 0;
            for _ in 0..call.times {
                time += call_runs(graph, &call.ways[0])?;
            }
            slowest = slowest.max(time);
        }
        total += slowest;
    }
    Some(total)
}

fn call_runs(graph: &Graph, way: &Way) -> Option<u64> {
    let hang = way.try_limit().map(Nanos::as_millis);
    let target = &way.arms[0].targets[0];
    let works = match graph.nodes[target.node].own {
        OwnTime::AtMost(_) => longest_run(graph, target.node),
        OwnTime::Unknown => None,
    };
    let longest = hang.or(works)?;
    let timeout = way.timeout.value.map_or(u64::MAX, Nanos::as_millis);
    // Elapsed times at which a try can start; the run ends when no try is left or the timeout strikes.
    let (mut starts, mut worst) = (vec![0_u64], 0);
    for attempt in 0..way.retry.work() {
        let ends: Vec<u64> = starts.iter().flat_map(|s| (0..=longest).map(move |t| (s + t).min(timeout))).collect();
        worst = worst.max(*ends.iter().max().unwrap());
        if attempt + 1 == way.retry.work() {
            break;
        }
        let interval = if attempt == 0 { 2 } else { 3 };
        starts = ends.iter().filter(|e| **e < timeout).flat_map(|e| (0..interval).map(move |w| e + w)).collect();
        starts.sort_unstable();
        starts.dedup();
        // A pause that outlasts the timeout ends the run there.
        if starts.iter().any(|s| *s >= timeout) {
            worst = worst.max(timeout);
        }
        starts.retain(|s| *s < timeout);
        if starts.is_empty() {
            break;
        }
    }
    Some(worst)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(u32::try_from(cases(400)).unwrap()))]

    #[test]
    fn the_fixpoint_is_the_longest_of_all_runs(graph in small_graph()) {
        let busy = BusyTimes::of(&graph);
        for node in 1..5 {
            let expected = longest_run(&graph, node).map_or(Longest::Open, ms);
            prop_assert_eq!(busy.of_node(node), expected, "node {}", node);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn z3_accepts_the_fixpoint_and_refuses_anything_smaller(graph in small_graph()) {
        let mut busy = BusyTimes::of(&graph);
        let answers = check_all(&busy.queries(&graph), 1_000_000);
        prop_assert!(answers.iter().all(|answer| *answer == Answer::Unsat), "{:?}", answers);
        let Longest::Time(time) = busy.times[1] else { return Ok(()) };
        if !time.is_zero() && !graph.nodes[1].stages.is_empty() {
            busy.times[1] = Longest::Time(time - Nanos::new(1));
            let answers = check_all(&busy.queries(&graph), 1_000_000);
            prop_assert!(answers.iter().any(|answer| matches!(answer, Answer::Sat(_))), "{:?} {:#?}", answers, busy.queries(&graph));
        }
    }
}
