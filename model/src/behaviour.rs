//! What manifests cannot say: who calls whom and how often, how long work takes, what a link costs (`mesh.ron`).

use indexmap::IndexMap;
use meshproof_proxy::Nanos;
use serde::{Deserialize, Serialize};

use crate::{Bytes, Cache, Consumption, MessageQueue, Pauses, Publication, Share, SlowStart};

/// The contents of a `mesh.ron`.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename = "Mesh", deny_unknown_fields)]
pub struct Behaviour {
    /// The version of the format: 1.
    pub version: u32,
    /// Who starts requests, by name.
    #[serde(default, deserialize_with = "crate::unique::map")]
    pub clients: IndexMap<String, ClientBehaviour>,
    /// How workloads behave, by `namespace/name`; absent ones take the defaults of [`WorkloadBehaviour`].
    #[serde(default, deserialize_with = "crate::unique::map")]
    pub workloads: IndexMap<String, WorkloadBehaviour>,
    /// Queues of messages, by name.
    #[serde(default, deserialize_with = "crate::unique::map")]
    pub queues: IndexMap<String, MessageQueue>,
    /// What links cost.
    #[serde(default)]
    pub network: Network,
    /// Where replicas run.
    #[serde(default)]
    pub placement: Placement,
    /// How changes reach the proxies.
    #[serde(default)]
    pub control_plane: ControlPlane,
}

impl Behaviour {
    /// Its fields, as paths to faults in it begin.
    pub const FIELDS: [&str; 6] = ["clients", "workloads", "queues", "network", "placement", "control_plane"];
}

/// Who starts requests.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientBehaviour {
    /// Who it is.
    pub from: ClientFrom,
    /// The service that it dials, a gateway's too: `[namespace/]name:port`.
    pub to: String,
    /// What it asks for.
    pub requests: Vec<RequestClass>,
    /// It leaves after this; absent: never.
    #[serde(default)]
    pub patience: Option<Distribution>,
    /// Its own retries, on top of the mesh's.
    #[serde(default)]
    pub retries: Option<ClientRetries>,
}

/// Who a client is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ClientFrom {
    /// Someone outside the mesh, without an identity.
    Outside,
    /// A workload, as `namespace/name`.
    Workload(String),
}

/// One kind of request.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RequestClass {
    /// A name for reports.
    pub name: String,
    /// The method.
    #[serde(default = "get")]
    pub method: String,
    /// The authority; absent: the name that is dialled.
    #[serde(default)]
    pub host: Option<String>,
    /// The path, with its query if it has one.
    #[serde(default = "root")]
    pub path: String,
    /// Other headers.
    #[serde(default, deserialize_with = "crate::unique::map")]
    pub headers: IndexMap<String, String>,
    /// Size of the body.
    #[serde(default)]
    pub body: Bytes,
    /// Its weight among the client's classes.
    #[serde(default = "one")]
    pub share: u32,
}

/// A client's own retries.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClientRetries {
    /// Tries after the first.
    pub max: u32,
    /// The pause before each.
    #[serde(default = "no_time")]
    pub back_off: Distribution,
}

/// How a workload behaves.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkloadBehaviour {
    /// Requests that one replica works on at a time; the others queue. A request that waits for a call holds its place.
    pub concurrency: u32,
    /// Where requests wait.
    pub queue: Queue,
    /// The handler's own time, without its calls.
    pub service_time: Distribution,
    /// Stages one after the other; calls inside a stage run in parallel. Only a workload that `mesh.ron` does not
    /// describe at all makes the calls that its manifests suggest.
    pub calls: Vec<Vec<CallBehaviour>>,
    /// Answers that are errors.
    pub errors: Vec<ErrorBehaviour>,
    /// Whether work for a caller that has left stops.
    pub cancels_abandoned_work: bool,
    /// Time from the start of a replica until it is ready.
    pub start_up: Nanos,
    /// Whether a replica that is told to stop (SIGTERM, after `preStop`) takes no further connections and finishes what it
    /// has begun, within its grace period; else it is gone at once, with all that it works on.
    pub finishes_work: bool,
    /// Size of an answer's body.
    pub response: Bytes,
    /// Whether work stops, and calls are not made, once the time is over that the caller waits: its proxy's limit, and
    /// what the caller itself was told.
    pub obeys_deadlines: bool,
    /// How slow a replica is at first.
    pub warm_up: Option<SlowStart>,
    /// Requests that are answered from memory.
    pub cache: Option<Cache>,
    /// Times at which everything in a replica stops, as for garbage collection.
    pub pauses: Option<Pauses>,
    /// Messages that it sends once it has done its work and made its calls.
    pub publishes: Vec<Publication>,
    /// The queue whose messages it works on.
    pub consumes: Option<Consumption>,
}

impl Default for WorkloadBehaviour {
    /// 64 requests at a time, a queue of 1024, 5 ms constant.
    fn default() -> Self {
        Self {
            concurrency: 64,
            queue: Queue::default(),
            service_time: Distribution::Constant(Nanos::from_millis(5)),
            calls: Vec::new(),
            errors: Vec::new(),
            cancels_abandoned_work: false,
            start_up: Nanos::from_secs(5),
            finishes_work: false,
            response: Bytes::new(0),
            obeys_deadlines: false,
            warm_up: None,
            cache: None,
            pauses: None,
            publishes: Vec::new(),
            consumes: None,
        }
    }
}

/// Where requests wait for a place.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Queue {
    /// Who goes next.
    pub discipline: Discipline,
    /// One that finds so many waiting is answered 503. Where all are worked on at once: so many beyond `concurrency`.
    pub limit: u32,
    /// One that has waited so long leaves the queue and is answered 503; absent: never.
    pub patience: Option<Distribution>,
}

impl Default for Queue {
    /// First in, first out, up to 1024.
    fn default() -> Self {
        Self { discipline: Discipline::Fifo, limit: 1024, patience: None }
    }
}

/// Who goes next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Discipline {
    /// First in, first out.
    #[default]
    Fifo,
    /// Last in, first out.
    Lifo,
    /// Nobody waits: `concurrency` processors are shared equally by all requests whose own time is not over.
    Shared,
}

/// One call that a handler makes.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CallBehaviour {
    /// The service: `[namespace/]name:port`.
    pub to: String,
    /// The method.
    #[serde(default = "get")]
    pub method: String,
    /// The path.
    #[serde(default = "root")]
    pub path: String,
    /// The authority; absent: the name that is dialled.
    #[serde(default)]
    pub host: Option<String>,
    /// Other headers.
    #[serde(default, deserialize_with = "crate::unique::map")]
    pub headers: IndexMap<String, String>,
    /// Size of the body.
    #[serde(default)]
    pub body: Bytes,
    /// Whether the handler succeeds without it.
    #[serde(default)]
    pub optional: bool,
    /// How often, one after the other.
    #[serde(default = "one")]
    pub times: u32,
    /// In which share of the requests.
    #[serde(default = "always")]
    pub share: Share,
}

/// Answers that are errors.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ErrorBehaviour {
    /// HTTP status.
    pub status: u16,
    /// In which share of the requests.
    pub share: Share,
}

/// A length of time that differs from case to case.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub enum Distribution {
    /// Always the same.
    Constant(Nanos),
    /// Exponential.
    Exponential {
        /// The mean.
        mean: Nanos,
    },
    /// Log-normal.
    LogNormal {
        /// The median.
        median: Nanos,
        /// The 99th percentile.
        p99: Nanos,
    },
    /// Gamma: of shape 1 exponential, of shape `k` the sum of `k` exponentials.
    Gamma {
        /// The mean.
        mean: Nanos,
        /// Above zero; the squared coefficient of variation is its inverse.
        shape: f64,
    },
    /// Uniform between two lengths.
    Uniform {
        /// The least.
        min: Nanos,
        /// The greatest.
        max: Nanos,
    },
    /// One of two lengths.
    Bimodal {
        /// The usual one.
        fast: Nanos,
        /// The other one.
        slow: Nanos,
        /// How often it is the other one.
        slow_share: Share,
    },
    /// By quantiles, linear between them, from zero at 0 %.
    Quantiles(Vec<(Share, Nanos)>),
}

impl Distribution {
    /// The least length that can occur.
    pub fn min(&self) -> Nanos {
        match self {
            Self::Constant(value) => *value,
            Self::Uniform { min, .. } => *min,
            Self::Bimodal { fast, slow, .. } => *fast.min(slow),
            Self::Exponential { .. } | Self::LogNormal { .. } | Self::Gamma { .. } | Self::Quantiles(_) => Nanos::ZERO,
        }
    }

    /// The greatest length that can occur; `None` if there is none.
    pub fn max(&self) -> Option<Nanos> {
        match self {
            Self::Constant(value) => Some(*value),
            Self::Uniform { max, .. } => Some(*max),
            Self::Bimodal { fast, slow, .. } => Some(*fast.max(slow)),
            Self::Quantiles(quantiles) => quantiles.iter().map(|(_, value)| *value).max(),
            Self::Exponential { .. } | Self::LogNormal { .. } | Self::Gamma { .. } => None,
        }
    }
}

/// What links cost.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// One way inside a zone.
    pub same_zone: Distribution,
    /// One way between zones.
    pub cross_zone: Distribution,
    /// One way between clusters; absent: as between zones.
    pub cross_cluster: Option<Distribution>,
    /// Opening a connection, beyond the way there and back.
    pub connect: Nanos,
    /// A TLS handshake.
    pub tls_handshake: Nanos,
    /// One passage through a proxy.
    pub proxy: Distribution,
    /// What a link carries in a second; absent: a body takes no time.
    pub bandwidth: Option<Bytes>,
}

impl Network {
    /// A network that takes no time.
    pub const FREE: Self = Self {
        same_zone: Distribution::Constant(Nanos::ZERO),
        cross_zone: Distribution::Constant(Nanos::ZERO),
        cross_cluster: None,
        connect: Nanos::ZERO,
        tls_handshake: Nanos::ZERO,
        proxy: Distribution::Constant(Nanos::ZERO),
        bandwidth: None,
    };
}

impl Default for Network {
    /// 0.2 ms inside a zone, 0.8 ms between zones, 0.5 ms to connect, 1.5 ms for a handshake, 0.3 ms in a proxy.
    fn default() -> Self {
        Self {
            same_zone: Distribution::Constant(Nanos::new(200_000)),
            cross_zone: Distribution::Constant(Nanos::new(800_000)),
            cross_cluster: None,
            connect: Nanos::new(500_000),
            tls_handshake: Nanos::new(1_500_000),
            proxy: Distribution::Constant(Nanos::new(300_000)),
            bandwidth: None,
        }
    }
}

/// How changes reach the proxies.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ControlPlane {
    /// From a change until a proxy has it, drawn for each proxy: old and new stand side by side meanwhile.
    pub push: Distribution,
    /// How long a certificate holds. Half-way it is renewed (Istio: `SECRET_GRACE_PERIOD_RATIO`), if the control plane
    /// is there; absent: for ever.
    pub certificates: Option<Nanos>,
}

impl Default for ControlPlane {
    /// At once, and for ever.
    fn default() -> Self {
        Self { push: Distribution::Constant(Nanos::ZERO), certificates: None }
    }
}

/// Where replicas run.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Placement {
    /// Names of zones: `region/zone`, or one name that stands for a region of its own.
    pub zones: Vec<String>,
    /// How replicas are spread over them.
    pub spread: Spread,
    /// Zones of clusters, by the cluster's name. All clusters are one mesh: a service has the pods of all of them
    /// (`MCU-1`), and pods reach each other directly.
    #[serde(deserialize_with = "crate::unique::map")]
    pub clusters: IndexMap<String, Vec<String>>,
    /// Workloads that run in some of the zones only, by `namespace/name`: replica `i` in the one of number `i` modulo how
    /// many these are.
    #[serde(deserialize_with = "crate::unique::map")]
    pub only: IndexMap<String, Vec<String>>,
}

impl Default for Placement {
    /// One zone, `a`.
    fn default() -> Self {
        Self { zones: vec!["a".to_owned()], spread: Spread::Even, clusters: IndexMap::new(), only: IndexMap::new() }
    }
}

impl Placement {
    /// The zones in which a workload runs, by their numbers: its replicas in turn.
    pub fn zones_of(&self, workload: &str) -> Vec<usize> {
        let number = |zone: &String| self.zones.iter().position(|known| known == zone);
        match (self.only.get(workload), self.spread) {
            (Some(only), _) => only.iter().filter_map(number).collect(),
            (None, Spread::Even) => (0..self.zones.len()).collect(),
            (None, Spread::First) => vec![0],
        }
    }

    /// The number of the cluster that a zone belongs to, if it belongs to one.
    pub fn cluster_of(&self, zone: usize) -> Option<usize> {
        let zone = self.zones.get(zone)?;
        self.clusters.values().position(|zones| zones.contains(zone))
    }
}

/// How replicas are spread over zones.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Spread {
    /// In turn: replica `i` runs in zone `i mod zones`.
    #[default]
    Even,
    /// All in the first zone.
    First,
}

pub(crate) fn get() -> String {
    "GET".to_owned()
}
fn root() -> String {
    "/".to_owned()
}
pub(crate) const fn one() -> u32 {
    1
}
pub(crate) const fn always() -> Share {
    Share::ALL
}
const fn no_time() -> Distribution {
    Distribution::Constant(Nanos::ZERO)
}
