//! Who can call whom, over which routes, with which limits: all that the load and time properties read.
//!
//! Made from a mesh in one place ([`extract`](crate::extract)), and directly by tests.

use meshproof_model::{Location, Nanos, Origin, Subject};

/// Calls between clients, gateways and workloads.
#[derive(Clone, Debug, Default)]
pub(crate) struct Graph {
    /// What handles requests or starts them.
    pub nodes: Vec<Node>,
    /// What is called, as `namespace/name`.
    pub services: Vec<String>,
    /// The nodes at which requests begin.
    pub entries: Vec<usize>,
}

/// What handles requests or starts them.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    /// A client's name, or `namespace/name` of a workload.
    pub name: String,
    /// What it is.
    pub kind: NodeKind,
    /// The time of the handler itself.
    pub own: OwnTime,
    /// Whether work for a caller that has left stops.
    pub cancels: bool,
    /// Whether work stops, and calls are not made, once the time is over that the caller waits.
    pub obeys: bool,
    /// Stages one after the other; calls of a stage run in parallel.
    pub stages: Vec<Vec<Call>>,
}

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NodeKind {
    /// Starts requests; described in `mesh.ron`.
    Client,
    /// Starts requests; assumed, because nothing in `mesh.ron` does.
    Entry,
    /// Passes requests on and has no handler.
    Gateway,
    /// Has a handler.
    Workload,
}

/// The time of a handler itself, without its calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OwnTime {
    /// Nothing is known.
    Unknown,
    /// At most so long, as `mesh.ron` says.
    AtMost(Nanos),
}

/// A call that a node makes for each request.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    /// What is dialled: one of [`Graph::services`] and its port; `None`: nothing that has a name.
    pub dials: Option<(usize, u16)>,
    /// How often, one after the other.
    pub times: u64,
    /// In which share of the requests, in millionths.
    pub share_ppm: u32,
    /// Tries of the application itself, the first included.
    pub own_tries: u64,
    /// Whether it was inferred, with its stage.
    pub inferred: bool,
    /// Whether the caller succeeds without it.
    pub optional: bool,
    /// The routes that it can take; a request takes one of them.
    pub ways: Vec<Way>,
}

/// One route that a call can take.
#[derive(Clone, Debug)]
pub(crate) struct Way {
    /// The route, as findings name it; `None`: the default one.
    pub route: Option<Subject>,
    /// Limit on the whole call.
    pub timeout: Limit,
    /// Limit on one try.
    pub per_try: Limit,
    /// The client proxy's retries.
    pub retry: Retry,
    /// Where requests go: one of these.
    pub arms: Vec<Arm>,
    /// Whether the request of the replay takes it.
    pub taken: bool,
}

/// A destination.
#[derive(Clone, Debug)]
pub(crate) struct Arm {
    /// Which of [`Graph::services`]; `None`: a gateway without a Service.
    pub service: Option<usize>,
    /// The subset of the service, where the route names one.
    pub subset: Option<String>,
    /// Whether a budget or a limit bounds the retries of all requests together.
    pub capped: bool,
    /// Which workloads can answer; empty: somebody outside of the model.
    pub targets: Vec<Target>,
}

/// A workload that can answer.
#[derive(Clone, Debug)]
pub(crate) struct Target {
    /// Which of [`Graph::nodes`].
    pub node: usize,
    /// Retries of its own proxy.
    pub inbound: Retry,
}

/// A limit on time and where it comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Limit {
    /// `None`: no limit.
    pub value: Option<Nanos>,
    /// Why.
    pub origin: Origin,
}

/// When and how often a proxy tries again, as far as bounds need it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Retry {
    /// Tries after the first, if any condition is retried at all.
    pub attempts: u64,
    /// Where that number comes from.
    pub origin: Origin,
    /// Whether a condition is retried that the callee cannot have worked for.
    pub before_work: bool,
    /// Whether a condition is retried that the callee can produce after it has worked.
    pub after_work: bool,
    /// Whether a try that met its own limit is retried.
    pub timeouts: bool,
    /// An HTTP status that is retried.
    pub status: Option<u16>,
    /// First interval of the back-off.
    pub base: Nanos,
    /// Longest interval of the back-off.
    pub max: Nanos,
}

impl Retry {
    /// No retries, because of a rule of the book.
    pub(crate) fn none(rule: &'static str) -> Self {
        Self {
            attempts: 0,
            origin: Origin::Default(rule),
            before_work: false,
            after_work: false,
            timeouts: false,
            status: None,
            base: Nanos::from_millis(25),
            max: Nanos::from_millis(250),
        }
    }

    /// Tries that leave the proxy for one request, the first included (`P2.1`: tries).
    pub(crate) fn tries(&self) -> u64 {
        if self.before_work || self.after_work { self.attempts.saturating_add(1) } else { 1 }
    }

    /// Tries that the callee can work on for one request, the first included (`P2.1`: work).
    pub(crate) fn work(&self) -> u64 {
        if self.after_work { self.attempts.saturating_add(1) } else { 1 }
    }

    /// The longest time that all back-offs of one request can take together (Envoy: uniform in whole milliseconds
    /// below the interval, which doubles until half of its maximum).
    pub(crate) fn back_off(&self) -> Nanos {
        let milli = 1_000_000;
        let mut interval = self.base.get().div_ceil(milli).max(1);
        let max = self.max.get().div_ceil(milli).max(interval);
        let (mut total, mut left) = (0_u64, self.tries() - 1);
        while left > 0 && interval < max {
            total = total.saturating_add(interval - 1);
            interval = if interval < max / 2 { interval * 2 } else { max };
            left -= 1;
        }
        // From here on each retry waits the same.
        total = total.saturating_add(left.saturating_mul(max - 1));
        Nanos::from_millis(total)
    }
}

impl Limit {
    /// No limit, because of a rule of the book.
    pub(crate) const fn none(rule: &'static str) -> Self {
        Self { value: None, origin: Origin::Default(rule) }
    }

    /// Where it is written.
    pub(crate) const fn location(&self) -> Option<&Location> {
        self.origin.location()
    }
}

impl Way {
    /// The time that one try may take: the smaller of the two limits (a per-try limit that is not smaller is
    /// dropped, Envoy: `finalTimeout`).
    pub(crate) fn try_limit(&self) -> Option<Nanos> {
        match (self.timeout.value, self.per_try.value) {
            (Some(timeout), Some(per_try)) => Some(timeout.min(per_try)),
            (timeout, per_try) => timeout.or(per_try),
        }
    }

    /// The limit that decides how long one try may take.
    pub(crate) fn deciding_limit(&self) -> &Limit {
        match (self.timeout.value, self.per_try.value) {
            (Some(timeout), Some(per_try)) if per_try < timeout => &self.per_try,
            (None, Some(_)) => &self.per_try,
            _ => &self.timeout,
        }
    }
}

impl Graph {
    /// The nodes that a node's calls can reach directly.
    pub(crate) fn callees(&self, node: usize) -> impl Iterator<Item = usize> + '_ {
        self.calls(node)
            .flat_map(|call| &call.ways)
            .flat_map(|way| &way.arms)
            .flat_map(|arm| &arm.targets)
            .map(|t| t.node)
    }

    /// All calls of a node.
    pub(crate) fn calls(&self, node: usize) -> impl Iterator<Item = &Call> + '_ {
        self.nodes[node].stages.iter().flatten()
    }

    /// Groups of nodes, callees before callers: one node each, or all nodes of a cycle of calls, by number.
    pub(crate) fn components(&self) -> Vec<Vec<usize>> {
        let mut graph = petgraph::graph::DiGraph::<(), (), usize>::default();
        for _ in &self.nodes {
            graph.add_node(());
        }
        for node in 0..self.nodes.len() {
            for callee in self.callees(node) {
                graph.update_edge(node.into(), callee.into(), ());
            }
        }
        let members = |component: Vec<petgraph::graph::NodeIndex<usize>>| {
            let mut members: Vec<usize> = component.into_iter().map(petgraph::graph::NodeIndex::index).collect();
            members.sort_unstable();
            members
        };
        petgraph::algo::tarjan_scc(&graph).into_iter().map(members).collect()
    }

    /// Whether a group of [`Graph::components`] is a cycle of calls.
    pub(crate) fn is_cycle(&self, component: &[usize]) -> bool {
        component.len() > 1 || self.callees(component[0]).any(|callee| callee == component[0])
    }

    /// A short name for a place in the text, for tests.
    #[cfg(test)]
    pub(crate) fn place(line: u32) -> Location {
        let mut sources = meshproof_model::Sources::default();
        let file = sources.add("test.yaml", "");
        Location { file, line, column: 1, offset: 0, length: 1, path: "spec".into() }
    }
}
