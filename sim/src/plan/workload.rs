//! How handlers behave, compiled.

use meshproof_model::{Discipline, Mesh, ProxyMode, Share, SlowStart, WorkloadBehaviour};

use super::{
    build::{millionths, sampler},
    pods::Life,
};
use crate::dist::Sampler;

/// A workload: its handler, and what its proxies are.
#[derive(Debug)]
pub(crate) struct Workload {
    pub(crate) name: String,
    pub(crate) first_node: u32,
    /// Its slots for pods; all are taken where pods neither come nor go.
    pub(crate) replicas: u32,
    /// Pods at the start.
    pub(crate) at_start: u32,
    /// The workload of the start that it is a template of: itself, but for templates that come later.
    pub(crate) base: u32,
    /// All templates of the same base, itself among them.
    pub(crate) kin: Vec<u32>,
    /// Among [`Pods`](super::Pods); `None`: its pods stay.
    pub(crate) group: Option<u32>,
    pub(crate) life: Life,
    pub(crate) concurrency: u32,
    pub(crate) queue_limit: u32,
    pub(crate) discipline: Discipline,
    /// How long a request waits in the queue before it leaves.
    pub(crate) queue_patience: Option<Sampler>,
    pub(crate) service_time: Sampler,
    /// Bytes of an answer.
    pub(crate) response: u64,
    /// Stages of calls, as ranges of [`super::Plan::calls`].
    pub(crate) stages: Vec<std::ops::Range<u32>>,
    pub(crate) errors: Vec<(u16, Share)>,
    pub(crate) cancels: bool,
    pub(crate) obeys_deadlines: bool,
    pub(crate) start_up: u64,
    /// Millionths of the usual time right after the start, and for how long it is longer.
    pub(crate) warm_up: Option<(u64, u64)>,
    pub(crate) cache: Option<Cache>,
    pub(crate) pauses: Option<Pauses>,
    pub(crate) publishes: Vec<Publication>,
    /// The queue and the most messages of one batch.
    pub(crate) consumes: Option<(u32, u32)>,
    /// Zones that its replicas run in: replica `i` in the one of number `i` modulo this.
    pub(crate) zones: u32,
    /// The configuration of its outbound proxies in the first zone; those of the other zones follow.
    pub(crate) outbound: Option<u32>,
    pub(crate) inbound: Option<u32>,
    /// As that of outbound proxies.
    pub(crate) gateway: Option<u32>,
    /// Whether its proxies are real ones, which take time.
    pub(crate) has_proxy: bool,
    /// Indices into [`super::Plan::script`].
    pub(crate) script: Vec<u32>,
}

/// Answers from memory.
#[derive(Debug)]
pub(crate) struct Cache {
    pub(crate) hits: Share,
    pub(crate) time: Sampler,
    /// Requests that fill it.
    pub(crate) warm_after: u64,
}

/// Times at which everything stops.
#[derive(Debug)]
pub(crate) struct Pauses {
    pub(crate) every: Sampler,
    pub(crate) length: Sampler,
    pub(crate) per_request: u64,
}

/// Messages that a handler sends.
#[derive(Debug)]
pub(crate) struct Publication {
    pub(crate) queue: u32,
    pub(crate) times: u32,
    pub(crate) share: Share,
}

/// A queue of messages. Times in nanoseconds.
#[derive(Debug)]
pub(crate) struct MessageQueue {
    pub(crate) name: String,
    pub(crate) limit: u64,
    pub(crate) visibility_timeout: u64,
    pub(crate) max_receives: Option<u32>,
    pub(crate) dead_letters: Option<u32>,
    /// The first pause and the longest.
    pub(crate) back_off: Option<(u64, u64)>,
    /// Workloads that take messages from it.
    pub(crate) consumers: Vec<u32>,
}

/// A queue's number; `check_behaviour` has refused names that do not exist.
fn queue(mesh: &Mesh, name: &str) -> u32 {
    mesh.behaviour.queues.get_index_of(name).and_then(|at| u32::try_from(at).ok()).unwrap_or(u32::MAX)
}

impl Workload {
    /// A workload without its proxies and calls.
    pub(super) fn new(
        mesh: &Mesh,
        workload: &meshproof_model::Workload,
        behaviour: &WorkloadBehaviour,
        (number, first_node): (u32, u32),
    ) -> Self {
        let publication = |publication: &meshproof_model::Publication| Publication {
            queue: queue(mesh, &publication.queue),
            times: publication.times,
            share: publication.share,
        };
        Self {
            name: workload.full_name(),
            first_node,
            replicas: workload.replicas.value,
            at_start: workload.replicas.value,
            base: number,
            kin: vec![number],
            group: None,
            life: Life { finishes_work: behaviour.finishes_work, ..Life::of(workload) },
            concurrency: behaviour.concurrency,
            queue_limit: behaviour.queue.limit,
            discipline: behaviour.queue.discipline,
            queue_patience: behaviour.queue.patience.as_ref().map(sampler),
            service_time: sampler(&behaviour.service_time),
            response: behaviour.response.get(),
            stages: Vec::new(),
            errors: behaviour.errors.iter().map(|error| (error.status, error.share)).collect(),
            cancels: behaviour.cancels_abandoned_work,
            obeys_deadlines: behaviour.obeys_deadlines,
            start_up: behaviour.start_up.get(),
            warm_up: behaviour.warm_up.map(|SlowStart { factor, during }| (millionths(factor), during.get())),
            cache: behaviour.cache.as_ref().map(|cache| Cache {
                hits: cache.hits,
                time: sampler(&cache.time),
                warm_after: cache.warm_after,
            }),
            pauses: behaviour.pauses.as_ref().map(|pauses| Pauses {
                every: sampler(&pauses.every),
                length: sampler(&pauses.length),
                per_request: pauses.per_request.get(),
            }),
            publishes: behaviour.publishes.iter().map(publication).collect(),
            consumes: behaviour.consumes.as_ref().map(|consumes| (queue(mesh, &consumes.queue), consumes.batch)),
            zones: 1,
            outbound: None,
            inbound: None,
            gateway: None,
            has_proxy: matches!(workload.proxy, ProxyMode::Sidecar | ProxyMode::Gateway | ProxyMode::Linkerd),
            script: Vec::new(),
        }
    }

    /// Its slots for pods.
    pub(crate) const fn slots(&self) -> std::ops::Range<u32> {
        self.first_node..self.first_node + self.replicas
    }
}

impl MessageQueue {
    /// Whether a message that was taken so often and failed is put aside.
    pub(crate) fn is_dead(&self, receives: u32) -> bool {
        self.max_receives.is_some_and(|max| receives >= max)
    }

    /// Every queue of a mesh; consumers are found later.
    pub(super) fn all(mesh: &Mesh) -> Vec<Self> {
        let one = |(name, behaviour): (&String, &meshproof_model::MessageQueue)| Self {
            name: name.clone(),
            limit: behaviour.limit,
            visibility_timeout: behaviour.visibility_timeout.get(),
            max_receives: behaviour.max_receives,
            dead_letters: behaviour.dead_letters.as_deref().map(|name| queue(mesh, name)),
            back_off: behaviour.back_off.map(|pause| (pause.base.get(), pause.max.get())),
            consumers: Vec::new(),
        };
        mesh.behaviour.queues.iter().map(one).collect()
    }
}
