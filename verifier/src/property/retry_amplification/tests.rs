#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use proptest::prelude::*;

use super::*;
use crate::{
    graph::Retry,
    testing::{after_work, arm, by_default, call, cases, graph, way},
    z3::{Answer, check_all},
};

/// A chain client -> w1 -> w2 -> … with these retries at each hop.
fn chain(retries: Vec<Retry>) -> Graph {
    let mut graph = graph(retries.len() + 1);
    for (from, retry) in retries.into_iter().enumerate() {
        graph.nodes[from].stages.push(vec![call(from + 1, retry)]);
    }
    graph
}

fn bounds(graph: &Graph) -> Vec<(u64, u64)> {
    certificates(graph).iter().map(|c| (c.requests[0].unwrap(), c.connects[0].unwrap())).collect()
}

#[test]
fn retries_after_work_multiply_and_retries_before_work_only_connect() {
    let inbound = |graph: &mut Graph| {
        let own = Retry { attempts: 2, before_work: true, ..Retry::none("RT-17") };
        for node in &mut graph.nodes {
            for target in node.stages.iter_mut().flatten().flat_map(|c| &mut c.ways).flat_map(|w| &mut w.arms) {
                target.targets.iter_mut().for_each(|t| t.inbound = own.clone());
            }
        }
    };
    let mut defaults = chain(vec![by_default(), by_default(), by_default()]);
    assert_eq!(bounds(&defaults), [(1, 3), (1, 3), (1, 3)], "Istio's defaults on an HTTP chain");
    inbound(&mut defaults);
    assert_eq!(bounds(&defaults), [(1, 9), (1, 9), (1, 9)], "both sides' defaults");
    let hops = chain(vec![after_work(2, 1), after_work(3, 2), after_work(3, 3)]);
    assert_eq!(bounds(&hops), [(3, 3), (12, 12), (48, 48)]);
    let mixed = chain(vec![after_work(2, 1), by_default(), after_work(1, 3)]);
    assert_eq!(bounds(&mixed), [(3, 3), (3, 9), (6, 6)], "a retry before work leaves what lies below alone");
}

#[test]
fn versions_of_a_service_are_alternatives_and_calls_add_up() {
    // client -> {w1, w2} as one service; both call w3, w2 twice.
    let mut graph = graph(4);
    let either = Arm {
        service: Some(0),
        subset: None,
        capped: false,
        targets: [arm(1), arm(2)].into_iter().flat_map(|a| a.targets).collect(),
    };
    graph.nodes[0].stages.push(vec![Call { own_tries: 2, ..call(1, after_work(1, 1)) }]);
    graph.nodes[0].stages[0][0].ways = vec![way(vec![either], after_work(1, 1))];
    graph.nodes[1].stages.push(vec![call(3, after_work(1, 2))]);
    graph.nodes[2].stages.push(vec![Call { times: 2, ..call(3, after_work(1, 2)) }]);
    assert_eq!(bounds(&graph), [(4, 4), (0, 0), (16, 16)], "2 own tries x 2 x (2 calls x 2), not the sum of both");
}

#[test]
fn the_worst_path_follows_the_greatest_part() {
    let mut graph = graph(4);
    graph.nodes[0].stages.push(vec![call(1, after_work(1, 1)), call(2, after_work(0, 2))]);
    graph.nodes[1].stages.push(vec![call(3, after_work(1, 3))]);
    graph.nodes[2].stages.push(vec![call(3, after_work(2, 4))]);
    let certificate = &certificates(&graph)[2];
    assert_eq!(certificate.requests[0], Some(2 * 2 + 3));
    let path: Vec<usize> = certificate.worst_path(&graph, 0).iter().map(|hop| hop.target.unwrap().node).collect();
    assert_eq!(path, [1, 3]);
}

#[test]
fn a_cycle_has_no_bound_for_what_it_reaches() {
    let mut graph = chain(vec![by_default(), by_default()]);
    graph.nodes[2].stages.push(vec![call(1, by_default())]);
    assert!(certificates(&graph).iter().all(|c| c.requests[0].is_none()));
    assert_eq!(cycles(&graph), [[1, 2]]);
}

/// The most requests at a service that an adversary gets out of one request at a node, if the node then succeeds and
/// if it then fails: handlers call one after the other and give up on the first call that fails; any handler may fail
/// at its end; a failed try is tried again while tries are left.
fn game(graph: &Graph, service: usize, node: usize) -> (u64, u64) {
    let (mut done, mut failed) = (0, None::<u64>);
    for call in graph.calls(node) {
        for _ in 0..call.times {
            let (succeeds, fails) = call_game(graph, service, node, call);
            failed = failed.max(Some(done + fails));
            done += succeeds;
        }
    }
    (done, done.max(failed.unwrap_or(0)))
}

fn call_game(graph: &Graph, service: usize, node: usize, call: &Call) -> (u64, u64) {
    let mut best = (0, 0);
    for hop in hops(node, call) {
        let (succeeds, fails) = game(graph, service, hop.target.unwrap().node);
        let here = u64::from(hop.arm.service == Some(service));
        let (succeeds, fails) = (succeeds + here, fails + here);
        let tries = if hop.way.retry.after_work { hop.way.retry.attempts + 1 } else { 1 } * call.own_tries;
        // The last try succeeds after any number of failures, or all fail.
        let then_succeeds = (0..tries).map(|failures| failures * fails + succeeds).max().unwrap();
        best = (best.0.max(then_succeeds), best.1.max(tries * fails));
    }
    best
}

/// Graphs of at most six nodes whose calls go to later nodes.
fn small_graph() -> impl Strategy<Value = Graph> {
    let edge = (0_usize..6, 0_usize..6, 0_u64..4, any::<bool>(), 1_u64..3, 1_u64..3, any::<bool>());
    proptest::collection::vec(edge, 1..9).prop_map(|edges| {
        let mut graph = graph(6);
        for (from, to, attempts, after, times, own_tries, join) in edges {
            let (from, to) = (from.min(to), from.max(to));
            if from == to {
                continue;
            }
            let retry = if after { after_work(attempts, 1) } else { by_default() };
            let mut made = Call { times, own_tries, ..call(to, retry) };
            // Sometimes the call can go elsewhere too.
            if join && to + 1 < 6 {
                made.ways[0].arms.push(arm(to + 1));
            }
            graph.nodes[from].stages.push(vec![made]);
        }
        graph
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(u32::try_from(cases(2_000)).unwrap()))]

    #[test]
    fn the_fixpoint_is_the_value_of_the_game(graph in small_graph()) {
        for certificate in certificates(&graph) {
            let (succeeds, fails) = game(&graph, certificate.service, 0);
            prop_assert_eq!(certificate.requests[0], Some(succeeds.max(fails)), "service {}", certificate.service);
        }
    }
}

fn queries(graph: &Graph, certificate: &Certificate) -> Vec<Query> {
    certificate.claims(&Tries::of(graph, &graph.components())).map(|claim| claim.query()).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn counting_from_the_entry_on_is_never_less_and_exact_without_a_choice(graph in small_graph()) {
        let flow = Tries::of(&graph, &graph.components()).flow(0).unwrap();
        let has_choice = (0..graph.nodes.len()).flat_map(|node| graph.calls(node)).any(|c| c.ways[0].arms.len() > 1);
        for certificate in certificates(&graph) {
            let counted = flow.at_services.get(&certificate.service).copied().unwrap_or(0);
            let exact = certificate.requests[0].unwrap();
            prop_assert!(if has_choice { counted >= exact } else { counted == exact }, "{counted} for {exact}");
        }
        let queries: Vec<Query> = flow.claims.iter().map(Claim::query).collect();
        let answers = check_all(&queries, 1_000_000);
        prop_assert!(answers.iter().all(|answer| *answer == Answer::Unsat), "{:?}", answers);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    #[test]
    fn z3_accepts_the_fixpoint_and_refuses_anything_smaller(graph in small_graph()) {
        for mut certificate in certificates(&graph) {
            let answers = check_all(&queries(&graph, &certificate), 1_000_000);
            prop_assert!(answers.iter().all(|answer| *answer == Answer::Unsat), "{:?}", answers);
            if certificate.requests[0].is_some_and(|bound| bound > 1) {
                certificate.requests[0] = certificate.requests[0].map(|bound| bound - 1);
                let answers = check_all(&queries(&graph, &certificate), 1_000_000);
                prop_assert!(answers.iter().any(|answer| matches!(answer, Answer::Sat(_))), "{:?}", answers);
            }
        }
    }
}
