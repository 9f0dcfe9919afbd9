//! Small graphs of calls for the tests of the load and time properties.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use meshproof_model::{Nanos, Origin, Subject};

use crate::graph::{Arm, Call, Graph, Limit, Node, NodeKind, OwnTime, Retry, Target, Way};

/// A graph whose first node is a client that calls the second; each node but the client is a service of its own.
pub(crate) fn graph(nodes: usize) -> Graph {
    let node = |index: usize| Node {
        name: if index == 0 { "client".to_owned() } else { format!("default/w{index}") },
        kind: if index == 0 { NodeKind::Client } else { NodeKind::Workload },
        own: OwnTime::Unknown,
        cancels: false,
        obeys: false,
        stages: Vec::new(),
    };
    Graph {
        nodes: (0..nodes).map(node).collect(),
        services: (1..nodes).map(|index| format!("default/s{index}")).collect(),
        entries: vec![0],
    }
}

/// A call to the service of one node, over a route with these retries.
pub(crate) fn call(to: usize, retry: Retry) -> Call {
    Call {
        dials: None,
        times: 1,
        share_ppm: 1_000_000,
        own_tries: 1,
        inferred: false,
        optional: false,
        ways: vec![way(vec![arm(to)], retry)],
    }
}

/// A route.
pub(crate) fn way(arms: Vec<Arm>, retry: Retry) -> Way {
    Way {
        route: Some(Subject::Mesh),
        timeout: Limit::none("RT-10"),
        per_try: Limit::none("RT-15"),
        retry,
        arms,
        taken: true,
    }
}

/// The service of a node, served by that node.
pub(crate) fn arm(node: usize) -> Arm {
    Arm {
        service: Some(node - 1),
        subset: None,
        capped: false,
        targets: vec![Target { node, inbound: Retry::none("RT-17") }],
    }
}

/// Retries on answers of the application, written at that line.
pub(crate) fn after_work(attempts: u64, line: u32) -> Retry {
    Retry {
        attempts,
        origin: Origin::Written(Graph::place(line)),
        before_work: true,
        after_work: true,
        timeouts: true,
        status: Some(503),
        ..Retry::none("RT-14")
    }
}

/// Istio's default retries on a port that is not gRPC.
pub(crate) fn by_default() -> Retry {
    Retry { attempts: 2, before_work: true, ..Retry::none("RT-11") }
}

/// A limit that is written at that line.
pub(crate) fn limit(ms: u64, line: u32) -> Limit {
    Limit { value: Some(Nanos::from_millis(ms)), origin: Origin::Written(Graph::place(line)) }
}

/// How many random cases an oracle goes through: 10,000 in the slow suite, else so many.
pub(crate) fn cases(quick: usize) -> usize {
    if std::env::var_os("MESHPROOF_SLOW").is_some() { 10_000 } else { quick }
}

/// Numbers that follow from a seed (`SplitMix64`).
pub(crate) struct Draws(u64);

impl Draws {
    /// Of a seed.
    pub(crate) const fn new(seed: u64) -> Self {
        Self(seed)
    }

    /// A number below a bound.
    pub(crate) fn below(&mut self, bound: u64) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut x = self.0;
        x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ (x >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (x ^ (x >> 31)) % bound
    }

    /// True in so many of a hundred.
    pub(crate) fn chance(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }
}
