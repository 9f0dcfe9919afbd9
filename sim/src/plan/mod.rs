//! What a run needs to know, compiled once from a mesh and a scenario: dense ids, samplers, tables, outcomes of
//! handshakes. Runs share it and change nothing in it.

mod build;
mod change;
mod fault;
mod link;
mod load;
mod pods;
mod release;
mod spec;
mod workload;

use std::sync::Arc;

pub(crate) use fault::{BadLink, Fault, FaultEffect, Hits, Side as LinkSide};
pub(crate) use link::{link, plain_link};
use meshproof_model::Share;
use meshproof_proxy::{
    ClusterId, HostId, ListenerId, Table,
    config::{Config, Identity},
};
pub(crate) use pods::{Metered, PodChange, PodStep, Pods, Probe, Scaler};

pub(crate) use release::Releases;
pub(crate) use workload::{Cache, MessageQueue, Workload};

use crate::{dist::Sampler, load::Spacing};

/// Everything that runs of one scenario share.
#[derive(Debug)]
pub(crate) struct Plan {
    pub(crate) clients: Vec<Client>,
    /// By workload id.
    pub(crate) workloads: Vec<Workload>,
    /// Replicas, those of one workload next to each other.
    pub(crate) nodes: Vec<NodePlan>,
    pub(crate) services: Vec<Service>,
    /// Configurations of proxies at the start.
    pub(crate) specs: Vec<Arc<Spec>>,
    pub(crate) calls: Vec<Call>,
    pub(crate) edges: Vec<Edge>,
    pub(crate) heads: Vec<Head>,
    pub(crate) identities: Vec<Identity>,
    pub(crate) loads: Vec<Load>,
    pub(crate) faults: Vec<Fault>,
    /// By [`FaultEffect::Link`].
    pub(crate) bad_links: Vec<BadLink>,
    pub(crate) queues: Vec<MessageQueue>,
    pub(crate) control_plane: ControlPlane,
    /// Whether any handler looks at deadlines.
    pub(crate) has_deadlines: bool,
    pub(crate) changes: Vec<Change>,
    /// Whether manifests change, so that what a connection becomes is found out when it is opened.
    pub(crate) mixes: bool,
    /// What controllers change on the way.
    pub(crate) releases: Releases,
    /// Whether what proxies were compiled from is kept.
    pub(crate) keeps_configs: bool,
    /// Pods that come and go; `None`: all stay.
    pub(crate) pods: Option<Pods>,
    pub(crate) script: Vec<Scripted>,
    /// What the run leaves out, for people.
    pub(crate) warnings: Vec<String>,
    pub(crate) network: Network,
    /// When the load ends, in nanoseconds.
    pub(crate) horizon: u64,
    /// What starts before is not counted, in nanoseconds.
    pub(crate) warm_up: u64,
}

/// Who starts requests.
#[derive(Debug)]
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) origin: Origin,
    pub(crate) classes: Vec<Class>,
    /// The sum of the classes' shares.
    pub(crate) shares: u64,
    pub(crate) patience: Option<Sampler>,
    pub(crate) retries: u32,
    pub(crate) back_off: Sampler,
    pub(crate) service: u32,
    pub(crate) edge: u32,
}

/// Where a client's requests come from.
#[derive(Debug)]
pub(crate) enum Origin {
    /// Straight to one of these, without a proxy of its own.
    Outside(Vec<Host>),
    /// Out of a workload's replicas.
    Workload(u32),
}

/// One kind of a client's requests.
#[derive(Debug)]
pub(crate) struct Class {
    pub(crate) share: u64,
    pub(crate) head: u32,
    pub(crate) body: u64,
    /// On the outbound proxies of the workload's templates, for clients that have one.
    pub(crate) listeners: Vec<ListenerId>,
}

#[derive(Debug)]
pub(crate) struct NodePlan {
    pub(crate) workload: u32,
    pub(crate) zone: u32,
    /// `None`: none is named.
    pub(crate) cluster: Option<u32>,
}

#[derive(Debug)]
pub(crate) struct Service {
    /// `namespace/name`.
    pub(crate) full_name: String,
    pub(crate) workloads: Vec<u32>,
}

/// One call of a handler.
#[derive(Debug)]
pub(crate) struct Call {
    pub(crate) edge: u32,
    pub(crate) listener: ListenerId,
    pub(crate) head: u32,
    pub(crate) body: u64,
    pub(crate) times: u32,
    pub(crate) share: Share,
    pub(crate) optional: bool,
}

/// Who calls which service.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Edge {
    pub(crate) from: Caller,
    pub(crate) to: u32,
}

/// Who calls.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Caller {
    Client(u32),
    Workload(u32),
}

/// The head of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
}

/// The configuration of a workload's proxies of one direction.
#[derive(Debug)]
pub(crate) struct Spec {
    /// Tells it from all other configurations of the plan, those of changes included.
    pub(crate) number: u32,
    pub(crate) workload: u32,
    pub(crate) direction: Direction,
    pub(crate) table: Arc<Table>,
    /// The port and the services of each listener.
    pub(crate) listeners: Vec<(u16, Vec<u32>)>,
    pub(crate) clusters: Vec<Cluster>,
    /// Whether routes change what the next hop can see of a request.
    pub(crate) rewrites: bool,
    /// What it was compiled from; kept where [`Plan::mixes`], and where pods come and go.
    pub(crate) config: Option<Arc<Config>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    Outbound,
    Inbound,
    Gateway,
}

/// A cluster of a proxy.
#[derive(Clone, Debug)]
pub(crate) struct Cluster {
    pub(crate) service: Option<u32>,
    pub(crate) edge: Option<u32>,
    pub(crate) hosts: Vec<Host>,
}

/// Where requests to a host of a cluster end up.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Host {
    pub(crate) target: Target,
    pub(crate) link: Link,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    /// The handler beside the proxy.
    App,
    /// A handler without a proxy.
    Bare { node: u32 },
    /// A replica's inbound or gateway proxy.
    Proxy { node: u32, listener: ListenerId },
    /// Nothing listens there.
    Nowhere,
}

impl Target {
    pub(crate) const fn node(self) -> Option<u32> {
        match self {
            Self::Bare { node } | Self::Proxy { node, .. } => Some(node),
            Self::App | Self::Nowhere => None,
        }
    }
}

/// What a connection to a host becomes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Link {
    Plaintext,
    /// TLS: who the client is, whether it has shown a certificate, and what ALPN has agreed on.
    Tls {
        identity: u32,
        is_mutual: bool,
        is_http2: Option<bool>,
    },
    /// The client takes it for open, and the server closes it as soon as it has looked.
    Doomed,
    /// The two sides cannot agree.
    Refused,
}

impl Plan {
    /// All slots of a group of pods.
    pub(crate) fn slots(&self, group: u32) -> impl Iterator<Item = u32> + Clone + use<'_> {
        let workloads = self.pods.as_ref().map_or(&[][..], |pods| &pods.groups[group as usize].workloads);
        workloads.iter().flat_map(|workload| self.workloads[*workload as usize].slots())
    }

    /// Whether who calls is the one that is meant; a client in a workload is both.
    pub(crate) fn is_caller(&self, caller: Caller, meant: Caller) -> bool {
        // A workload stands for all of its templates.
        let runs_in = |client: u32, workload: u32| {
            let origin = self.clients.get(client as usize).map(|client| &client.origin);
            matches!(origin, Some(Origin::Workload(origin)) if *origin == workload)
        };
        match (caller, meant) {
            (Caller::Client(client), Caller::Workload(workload)) => runs_in(client, workload),
            _ => caller == meant,
        }
    }
}

impl Spec {
    pub(crate) fn host(&self, cluster: ClusterId, host: HostId) -> Option<&Host> {
        self.clusters.get(cluster.index())?.hosts.get(host.index())
    }

    /// The listener that takes what is sent to a service's port.
    pub(crate) fn listener(&self, service: u32, port: u16) -> Option<ListenerId> {
        let takes = |(known, services): &(u16, Vec<u32>)| *known == port && services.contains(&service);
        u32::try_from(self.listeners.iter().position(takes)?).ok().map(ListenerId::new)
    }
}

/// One load of the scenario.
#[derive(Debug)]
pub(crate) struct Load {
    pub(crate) client: u32,
    pub(crate) kind: LoadKind,
}

#[derive(Debug)]
pub(crate) enum LoadKind {
    Open(Spacing),
    Closed { users: u32, think: Sampler },
    Burst { requests: u64, at: u64 },
}

/// A change of configuration on the way.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) at: u64,
    /// The specs that differ from before, by their index.
    pub(crate) specs: Vec<(u32, Arc<Spec>)>,
    /// For the report.
    pub(crate) weights: Vec<(String, u32)>,
    /// For the report.
    pub(crate) reason: String,
}

impl Change {
    /// What a spec becomes, if it differs from before.
    pub(crate) fn spec(&self, index: u32) -> Option<&Arc<Spec>> {
        self.specs.iter().find(|(known, _)| *known == index).map(|(_, spec)| spec)
    }
}

/// An answer that is forced on a handler.
#[derive(Debug)]
pub(crate) struct Scripted {
    pub(crate) from: Option<Caller>,
    pub(crate) fail_attempts: u32,
    pub(crate) status: u16,
    pub(crate) takes: Option<u64>,
}

/// What links cost.
#[derive(Debug)]
pub(crate) struct Network {
    pub(crate) same_zone: Sampler,
    pub(crate) cross_zone: Sampler,
    pub(crate) cross_cluster: Option<Sampler>,
    pub(crate) connect: u64,
    pub(crate) tls_handshake: u64,
    pub(crate) proxy: Sampler,
    /// Bytes per second.
    pub(crate) bandwidth: Option<u64>,
}

impl Network {
    /// What a body of this size takes on a link, in nanoseconds.
    pub(crate) fn carrying(&self, bytes: u64) -> u64 {
        match self.bandwidth {
            Some(bandwidth) if bytes > 0 => {
                let nanos = u128::from(bytes) * 1_000_000_000 / u128::from(bandwidth.max(1));
                u64::try_from(nanos).unwrap_or(u64::MAX)
            }
            _ => 0,
        }
    }
}

/// How changes reach the proxies.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    pub(crate) push: Sampler,
    /// How long a certificate holds, in nanoseconds.
    pub(crate) certificates: Option<u64>,
    /// When it is not there: from and until, in nanoseconds, ascending and apart from each other.
    pub(crate) outages: Vec<(u64, u64)>,
}

impl ControlPlane {
    /// The time at which the control plane is there, from this one on.
    pub(crate) fn there_from(&self, at: u64) -> u64 {
        let outage = self.outages.iter().find(|(from, until)| (*from..*until).contains(&at));
        outage.map_or(at, |(_, until)| *until)
    }
}
