//! What happens to a mesh in one simulated run (`scenarios/*.ron`).

use std::{borrow::Cow, fmt};

use indexmap::IndexMap;
use meshproof_proxy::Nanos;
use serde::{Deserialize, Serialize};

use crate::{
    CallBehaviour, ClientBehaviour, Distribution, ErrorBehaviour, Expectation, Fault, Mesh, Rate, WorkloadBehaviour,
};

/// The contents of a scenario file. Times count from the start of the run; `at` is a point, `during` a length. The
/// default is empty and no valid file: it has no version, no horizon and no replication.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// The version of the format: 1.
    pub version: u32,
    /// What it is about, in one sentence.
    #[serde(default)]
    pub summary: String,
    /// Every draw of a run follows from it.
    #[serde(default)]
    pub seed: u64,
    /// Simulated time, the warm-up included.
    pub horizon: Nanos,
    /// What is not counted.
    #[serde(default)]
    pub warm_up: WarmUp,
    /// Runs; run `i` has a seed derived from the seed and `i`.
    #[serde(default = "one")]
    pub replications: u32,
    /// Who starts requests, beside the clients of `mesh.ron`; one of the same name takes the other's place.
    #[serde(default, skip_serializing_if = "IndexMap::is_empty", deserialize_with = "crate::unique::map")]
    pub clients: IndexMap<String, ClientBehaviour>,
    /// Who sends how much.
    #[serde(default)]
    pub load: Vec<Load>,
    /// What breaks.
    #[serde(default)]
    pub faults: Vec<Fault>,
    /// What is changed on the way.
    #[serde(default)]
    pub rollout: Vec<RolloutStep>,
    /// What must hold: `"browser.success > 99.9%"`, `"recovers within 60s"`.
    #[serde(default)]
    pub objectives: Vec<String>,
    /// Answers that are forced, for the replay of a witness.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub script: Vec<ScriptedAnswer>,
    /// What the run must show, for the replay of a witness: it is judged like an objective. Such a run is made as proofs
    /// assume: the network takes no time, and proxies do not wait before a retry.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shows: Option<Expectation>,
}

impl Mesh {
    /// The mesh with the clients that a scenario brings.
    pub fn with_clients(&self, clients: &IndexMap<String, ClientBehaviour>) -> Cow<'_, Self> {
        if clients.iter().all(|(name, client)| self.behaviour.clients.get(name) == Some(client)) {
            return Cow::Borrowed(self);
        }
        let mut mesh = self.clone();
        mesh.behaviour.clients.extend(clients.iter().map(|(name, client)| (name.clone(), client.clone())));
        Cow::Owned(mesh)
    }
}

/// What is not counted at the start of a run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum WarmUp {
    /// Nothing is left out.
    #[default]
    Off,
    /// So much.
    Fixed(Nanos),
    /// What the rule MSER-5 finds.
    Mser5,
}

/// Requests of one client of the mesh.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Load {
    /// Arrivals that do not wait for answers.
    Open {
        /// A client of `mesh.ron` or of the scenario.
        client: String,
        /// When they arrive.
        #[serde(default)]
        arrivals: Arrivals,
        /// How many; the last rate holds until the horizon.
        rate: Vec<Phase>,
    },
    /// Users who think between answers.
    Closed {
        /// A client of `mesh.ron` or of the scenario.
        client: String,
        /// How many.
        users: u32,
        /// The pause after each answer.
        think: crate::Distribution,
    },
    /// So many requests at once.
    Burst {
        /// A client of `mesh.ron` or of the scenario.
        client: String,
        /// How many.
        requests: u64,
        /// When.
        at: Nanos,
    },
}

/// When requests of an open load arrive.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Arrivals {
    /// At equal distances.
    Constant,
    /// Independently of each other.
    #[default]
    Poisson,
    /// At the times of a file, one in seconds on each line.
    Recorded(String),
}

/// A part of a rate's course.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Phase {
    /// The same rate.
    Hold {
        /// How many.
        rate: Rate,
        /// For how long.
        during: Nanos,
    },
    /// A straight line from the rate before it, or from zero.
    Ramp {
        /// The rate at its end.
        to: Rate,
        /// For how long.
        during: Nanos,
    },
}

/// Something that is done on purpose on the way.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum RolloutStep {
    /// New weights of a route's destinations, by subset or, where there is none, by host.
    Weight {
        /// The VirtualService, as `namespace/name`.
        route: String,
        /// When.
        at: Nanos,
        /// The weights.
        #[serde(deserialize_with = "crate::unique::map")]
        weights: IndexMap<String, u32>,
    },
    /// Manifests are applied, as by `kubectl apply -f`: their objects take the place of those of the same name.
    Apply {
        /// Files, as seen from the scenario's.
        files: Vec<String>,
        /// When.
        at: Nanos,
    },
    /// Objects are taken away, as by `kubectl delete`.
    Delete {
        /// Each as `KIND/NAMESPACE/NAME`.
        objects: Vec<String>,
        /// When.
        at: Nanos,
    },
    /// One value of an object is set, as by `compare --set`.
    Set {
        /// `KIND/NAMESPACE/NAME PATH=VALUE`.
        value: String,
        /// When.
        at: Nanos,
    },
    /// A new version that a controller of the manifests brings out step by step, and takes back where its metrics say so:
    /// Argo's Rollout with canary steps, or Flagger's Canary. Beside it there are no other changes.
    Release {
        /// The Rollout or Canary, as `namespace/name`.
        of: String,
        /// When the new version comes.
        at: Nanos,
        /// How it differs from the old one. Its pods are the workload `namespace/name-canary` of a Rollout, and the target
        /// of a Canary, for faults and reports.
        #[serde(default)]
        build: Build,
        /// When somebody lets the release go on that waits without a time.
        #[serde(default)]
        resume: Vec<Nanos>,
        /// How often Prometheus reads the proxies' counters: what happens after the last time is not known yet.
        #[serde(default = "scrape")]
        scrape: Nanos,
    },
    /// All pods of a workload are replaced in the way that its strategy says, as by `kubectl rollout restart`.
    Restart {
        /// `namespace/name`.
        workload: String,
        /// When.
        at: Nanos,
    },
    /// A zone is emptied, as by `kubectl drain` of all its nodes: pods are evicted as far as disruption budgets let them
    /// go, and none are started there.
    Drain {
        /// One of the placement's zones.
        zone: String,
        /// From when.
        at: Nanos,
        /// Until pods may be started there again.
        during: Nanos,
    },
}

impl RolloutStep {
    /// When it begins.
    pub const fn at(&self) -> Nanos {
        match self {
            Self::Weight { at, .. }
            | Self::Apply { at, .. }
            | Self::Delete { at, .. }
            | Self::Set { at, .. }
            | Self::Restart { at, .. }
            | Self::Drain { at, .. }
            | Self::Release { at, .. } => *at,
        }
    }

    /// Whether it changes manifests, so that a run needs the [`Stage`](crate::Stage) that follows it.
    pub const fn changes_manifests(&self) -> bool {
        matches!(self, Self::Apply { .. } | Self::Delete { .. } | Self::Set { .. })
    }
}

impl fmt::Display for RolloutStep {
    /// What is done, such as `apply strict.yaml`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Weight { route, .. } => write!(f, "weights of {route}"),
            Self::Apply { files, .. } => write!(f, "apply {}", files.join(", ")),
            Self::Delete { objects, .. } => write!(f, "delete {}", objects.join(", ")),
            Self::Set { value, .. } => write!(f, "set {value}"),
            Self::Release { of, .. } => write!(f, "release {of}"),
            Self::Restart { workload, .. } => write!(f, "restart {workload}"),
            Self::Drain { zone, .. } => write!(f, "drain zone {zone}"),
        }
    }
}

impl Scenario {
    /// The steps of the rollout with their numbers, in the order in which they are done.
    pub fn steps(&self) -> Vec<(usize, &RolloutStep)> {
        let mut steps: Vec<_> = self.rollout.iter().enumerate().collect();
        steps.sort_by_key(|(_, step)| step.at());
        steps
    }
}

/// How a new version differs from the old one; what is absent is the same.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Build {
    /// The handler's own time, without its calls.
    #[serde(default)]
    pub service_time: Option<Distribution>,
    /// Answers that are errors.
    #[serde(default)]
    pub errors: Option<Vec<ErrorBehaviour>>,
    /// Its calls, in stages.
    #[serde(default)]
    pub calls: Option<Vec<Vec<CallBehaviour>>>,
    /// Requests that one replica works on at a time.
    #[serde(default)]
    pub concurrency: Option<u32>,
    /// Time from the start of a replica until it is ready.
    #[serde(default)]
    pub start_up: Option<Nanos>,
}

impl Build {
    /// Whether nothing differs.
    pub fn is_same(&self) -> bool {
        *self == Self::default()
    }

    /// Changes the old version's behaviour to that of the new one.
    pub fn change(&self, behaviour: &mut WorkloadBehaviour) {
        let Self { service_time, errors, calls, concurrency, start_up } = self;
        if let Some(service_time) = service_time {
            behaviour.service_time = service_time.clone();
        }
        if let Some(errors) = errors {
            behaviour.errors.clone_from(errors);
        }
        if let Some(calls) = calls {
            behaviour.calls.clone_from(calls);
        }
        behaviour.concurrency = concurrency.unwrap_or(behaviour.concurrency);
        behaviour.start_up = start_up.unwrap_or(behaviour.start_up);
    }
}

/// An answer that is forced on a workload's handler, decided by the number of the try that reaches it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptedAnswer {
    /// The workload that answers, as `namespace/name`.
    pub at: String,
    /// The workload or client that calls; absent: any.
    #[serde(default)]
    pub from: Option<String>,
    /// The first so many tries of each request fail, after the handler has made all its calls.
    pub fail_attempts: u32,
    /// How they fail.
    pub status: u16,
    /// The handler's own time; absent: as `mesh.ron` says.
    #[serde(default)]
    pub takes: Option<Nanos>,
}

const fn one() -> u32 {
    1
}

/// Prometheus' usual time between two scrapes with Istio.
const fn scrape() -> Nanos {
    Nanos::from_secs(15)
}
