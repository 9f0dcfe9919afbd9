//! What is watched beyond the figures: for the replay of a witness, and for bounds that were proved.

use std::collections::{BTreeMap, BTreeSet};

use super::{Engine, Request};
use crate::{
    plan::{Caller, Link, Target},
    slab::Ref,
};

/// What a run has shown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Observer {
    /// Requests that reached a service's handlers.
    pub(crate) requests: BTreeMap<u32, u64>,
    /// Callers who had left while a workload still worked for them.
    pub(crate) left: BTreeSet<(Caller, u32)>,
    /// Links that carried plaintext; no client: one outside the mesh.
    pub(crate) plaintext: BTreeSet<(Option<u32>, u32)>,
    /// Whose requests reached which workload's handlers.
    pub(crate) served: BTreeSet<(Caller, u32)>,
    /// Links whose two sides could not agree on TLS.
    pub(crate) refused: BTreeSet<(Option<u32>, u32)>,
    /// Whether a proxy kept a request from going on: access control, an ejection, a full breaker.
    pub(crate) has_obstacle: bool,
    /// The most requests, and attempts, at a service for one request of a client.
    pub(crate) most: BTreeMap<(u32, u32), Most>,
    /// By slot of the request and service.
    counts: Vec<Most>,
    services: usize,
}

/// Requests that reached handlers, and attempts that clients' proxies sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Most {
    pub(crate) requests: u32,
    pub(crate) attempts: u32,
}

impl Observer {
    pub(crate) fn new(services: usize) -> Self {
        Self { services, ..Self::default() }
    }

    pub(crate) fn caller_left(&mut self, caller: Caller, callee: u32) {
        self.left.insert((caller, callee));
    }

    fn count(&mut self, root: Ref<Request>, client: u32, service: u32) -> (&mut Most, &mut Most) {
        let at = root.slot() as usize * self.services + service as usize;
        (&mut self.counts[at], self.most.entry((client, service)).or_default())
    }
}

impl Engine<'_> {
    pub(super) fn observe_start(&mut self, root: Ref<Request>) {
        let Some(observer) = &mut self.observer else { return };
        let from = root.slot() as usize * observer.services;
        let until = from + observer.services;
        if observer.counts.len() < until {
            observer.counts.resize(until, Most::default());
        }
        observer.counts[from..until].fill(Most::default());
    }

    /// A request reaches a handler.
    pub(super) fn observe_served(&mut self, caller: Caller, workload: u32) {
        if let Some(observer) = &mut self.observer {
            observer.served.insert((caller, workload));
        }
    }

    /// A request reaches a handler, or a gateway.
    pub(super) fn observe_request(&mut self, root: Option<Ref<Request>>, service: u32) {
        let Some(observer) = &mut self.observer else { return };
        *observer.requests.entry(service).or_default() += 1;
        let Some((root, request)) = root.and_then(|root| Some((root, self.requests.get(root)?))) else { return };
        if (service as usize) < observer.services {
            let (count, most) = observer.count(root, request.client, service);
            count.requests += 1;
            most.requests = most.requests.max(count.requests);
        }
    }

    /// A client, or its proxy, sends an attempt.
    pub(super) fn observe_attempt(
        &mut self,
        from: Option<u32>,
        target: Target,
        link: Link,
        service: u32,
        root: Option<Ref<Request>>,
    ) {
        let Some(observer) = &mut self.observer else { return };
        if let (Some(node), Link::Plaintext) = (target.node(), link) {
            observer.plaintext.insert((from, self.plan.nodes[node as usize].workload));
        }
        let Some((root, request)) = root.and_then(|root| Some((root, self.requests.get(root)?))) else { return };
        if (service as usize) < observer.services {
            let (count, most) = observer.count(root, request.client, service);
            count.attempts += 1;
            most.attempts = most.attempts.max(count.attempts);
        }
    }

    /// A proxy keeps a request from going on.
    pub(super) fn observe_obstacle(&mut self) {
        if let Some(observer) = &mut self.observer {
            observer.has_obstacle = true;
        }
    }

    /// Two sides could not agree on TLS.
    pub(super) fn observe_refusal(&mut self, from: Option<u32>, target: Target) {
        let Some(observer) = &mut self.observer else { return };
        if let Some(node) = target.node() {
            observer.refused.insert((from, self.plan.nodes[node as usize].workload));
        }
    }
}
