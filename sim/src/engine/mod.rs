//! The event loop: integer nanoseconds, in the order (time, sequence).
//!
//! A hop is few events: the client's proxy decides when the call is made, the server's when the request has come
//! through both proxies and the link, so fixed delays between which nothing can happen are one event. What follows
//! without time passing is a [`Todo`], done before the next event.

mod calls;
mod changes;
mod clients;
mod crash;
mod endpoints;
mod faults;
mod handlers;
mod links;
mod messages;
mod observe;
mod pods;
mod prepared;
mod probes;
mod proxies;
mod releases;
mod rolling;
mod scaling;
mod sharing;
mod state;
#[cfg(test)]
mod tests;
mod transport;
mod wire;
mod work;

use std::collections::VecDeque;

use meshproof_proxy::{ClusterId, ConnectionId, Effects, HostId, StreamId, TimerId};
pub(crate) use messages::{Message, MessageQueue};
pub(crate) use observe::*;
use prepared::Prepared;
pub(crate) use proxies::is_ok;
pub(crate) use state::*;

use crate::{
    checker::Checker,
    digest::{Digest, Digester},
    entropy::Keys,
    load::Arrivals,
    measure::Measure,
    plan::{Change, LoadKind, Plan},
    queue::Queue,
    slab::{Ref, Slab},
};

/// Something that happens at a point in time.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Event {
    /// The next request of an open load, or of a burst.
    Arrival { load: u32 },
    /// A user of a closed load has thought enough.
    User { load: u32, user: u32, count: u32 },
    /// A client tries again.
    Retry { request: Ref<Request> },
    /// A client's patience with one try is over.
    Leave { request: Ref<Request>, number: u32 },
    /// A connection is open, or refused.
    Connected { at: Home, connection: ConnectionId },
    /// The far end of a connection is gone.
    Closed { at: Home, connection: ConnectionId },
    /// The far end of a connection takes no further requests on it.
    Goaway { at: Home, connection: ConnectionId },
    /// A request arrives at its server.
    Arrive { leg: Ref<Leg> },
    /// An answer arrives at its client.
    Answer { leg: Ref<Leg> },
    /// The server hears that its client has left.
    Reset { leg: Ref<Leg> },
    /// The client hears that its server is gone.
    Lost { leg: Ref<Leg> },
    /// A handler's own time is over.
    Done { visit: Ref<Visit> },
    /// A request has waited enough in a handler's queue.
    GiveUp { visit: Ref<Visit> },
    /// The first of those who share a replica's processors is done.
    Shared { node: u32, turn: u32 },
    /// A replica stands still for a while.
    Pause { node: u32, epoch: u32, number: u32 },
    /// It goes on.
    Thaw { node: u32 },
    /// A message that was taken can be taken again.
    Visible { message: Ref<Message> },
    /// A proxy's timer.
    Timer { at: Home, timer: TimerId },
    /// The same for one of its streams: whether it is over is told without a look at the proxy.
    StreamTimer { side: Ref<Side>, timer: TimerId },
    /// A fault begins or ends.
    Fault { fault: u32, begins: bool },
    /// A replica is ready again after a crash.
    Ready { node: u32, epoch: u32 },
    /// A change of configuration.
    Change { change: u32 },
    /// It reaches one proxy.
    Push { change: u32, instance: u32 },
    /// A release's controller wakes.
    Release { release: u32 },
    /// Something is done to pods.
    PodStep { step: u32 },
    /// A proxy hears of the first so many changes of endpoints; [`NONE`]: clients outside the mesh do.
    Endpoints { instance: u32, upto: u32 },
    /// A pod that was told to go is told to stop, or killed.
    Stop { node: u32, life: u32, is_kill: bool },
    /// The kubelet asks a pod.
    Probe { node: u32, life: u32, restarts: u32, kind: probes::Kind },
    /// A pod has been ready for long enough.
    Reconcile { group: u32 },
    /// An autoscaler looks.
    Scale { group: u32 },
    /// Pods of a zone that is drained are evicted.
    Evict { zone: u32, until: u64 },
}

/// Something to do before the next event, in order.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Todo {
    /// The way to the handler beside a proxy is open.
    Connected { at: Home, connection: ConnectionId },
    /// A request reaches the handler beside a proxy.
    Serve { leg: Ref<Leg> },
    /// The handler beside a proxy has answered.
    Answer { leg: Ref<Leg> },
    /// A handler whose client has left stops.
    Cancel { visit: Ref<Visit> },
    /// A handler's call is over.
    CallDone { visit: Ref<Visit>, call: u32, repeat: u32, is_ok: bool },
    /// A client's try is over.
    TryDone { request: Ref<Request>, number: u32, status: u16 },
    /// A service outside the mesh answers a proxy: it allows everything.
    Allowed { at: Home, stream: StreamId, is_rate_limit: bool },
    /// A host answers a health check if it is up.
    Checked { at: Home, cluster: ClusterId, host: HostId },
    /// Consumers of a queue look for messages.
    Consume { queue: u32 },
    /// A group has not the pods that are wanted.
    Reconcile { group: u32 },
    /// A pod that stops has nothing left to do.
    EndPod { node: u32, life: u32 },
}

/// One run.
#[derive(Clone)]
pub(crate) struct Engine<'p> {
    pub(crate) plan: &'p Plan,
    pub(crate) keys: Keys,
    pub(crate) now: u64,
    queue: Queue<Event>,
    todo: VecDeque<Todo>,
    effects: Effects,
    heads: Heads,
    prepared: Prepared,
    pub(crate) nodes: Vec<Node>,
    pub(crate) instances: Vec<Instance>,
    /// How often a proxy took over a configuration, or began anew.
    configurations: u32,
    sides: Slab<Side>,
    legs: Slab<Leg>,
    visits: Slab<Visit>,
    requests: Slab<Request>,
    messages: Slab<Message>,
    pub(crate) queues: Vec<MessageQueue>,
    arrivals: Vec<Option<Arrivals>>,
    bursts: Vec<u64>,
    pub(crate) pods: pods::PodsState,
    /// By fault: which nodes it hits.
    hit: Vec<Vec<u32>>,
    /// Bad links that are active, by their index in the plan.
    bad_links: Vec<u32>,
    /// Faults of name resolution that are active, by their index.
    unresolved: Vec<u32>,
    releases: Vec<releases::Delivery<'p>>,
    /// Changes of configuration that controllers have made, numbered after those of the plan.
    issued: Vec<Change>,
    pub(crate) measure: Measure,
    digest: Digester,
    pub(crate) checker: Checker,
    pub(crate) observer: Option<Box<Observer>>,
}

/// What a run leaves behind.
#[derive(Clone)]
pub(crate) struct Outcome {
    pub(crate) digest: Digest,
    pub(crate) events: u64,
    pub(crate) measure: Measure,
    pub(crate) checker: Checker,
    pub(crate) observer: Option<Box<Observer>>,
}

/// BOUND: after the load has ended, what is in flight may take so long to end, in nanoseconds.
const DRAIN: u64 = 600_000_000_000;

impl<'p> Engine<'p> {
    pub(crate) fn new(plan: &'p Plan, keys: Keys, measure: Measure, checker: Checker) -> Self {
        let mut engine = Self {
            plan,
            keys,
            now: 0,
            queue: Queue::new(),
            todo: VecDeque::new(),
            effects: Effects::terse(),
            heads: Heads::new(&plan.heads),
            prepared: Prepared::default(),
            nodes: Vec::new(),
            instances: Vec::new(),
            configurations: 0,
            sides: Slab::default(),
            legs: Slab::default(),
            visits: Slab::default(),
            requests: Slab::default(),
            messages: Slab::default(),
            queues: plan.queues.iter().map(|_| MessageQueue::default()).collect(),
            arrivals: Vec::new(),
            bursts: Vec::new(),
            pods: pods::PodsState::default(),
            hit: Vec::new(),
            bad_links: Vec::new(),
            unresolved: Vec::new(),
            releases: plan.releases.all.iter().map(releases::Delivery::new).collect(),
            issued: Vec::new(),
            measure,
            digest: Digester::new(),
            checker,
            observer: None,
        };
        engine.start_proxies();
        engine.start_loads();
        engine.start_faults();
        engine.start_releases();
        engine.start_pods();
        engine
    }

    /// Runs until the load has ended and nothing is in flight.
    pub(crate) fn run(mut self) -> Outcome {
        while self.step() {}
        self.finish()
    }

    /// Handles the next event and what follows from it at once; `false`: the run is over.
    pub(crate) fn step(&mut self) -> bool {
        let alive = Alive {
            instances: &self.instances,
            sides: &self.sides,
            requests: &self.requests,
            visits: &self.visits,
            messages: &self.messages,
        };
        let Some((at, mut event)) = self.queue.pop(|event| alive.is(event)) else { return false };
        if at > self.plan.horizon && (self.is_at_rest() || at > self.plan.horizon.saturating_add(DRAIN)) {
            return false;
        }
        self.checker.time(self.now, at);
        self.now = at;
        if let Event::StreamTimer { side, timer } = event
            && let Some(side) = self.sides.get(side)
        {
            event = Event::Timer { at: side.at, timer };
        }
        if self.handle(event) {
            self.record(event);
        }
        while let Some(todo) = self.todo.pop_front() {
            self.act(todo);
        }
        true
    }

    /// A copy of everything as it is between two events, which goes on under these keys. With the keys of the original
    /// both go on alike, to the last byte.
    pub(crate) fn fork(&self, keys: Keys) -> Self {
        let mut copy = self.clone();
        copy.keys = keys;
        copy
    }

    fn finish(mut self) -> Outcome {
        for node in 0..self.nodes.len() {
            self.settle_busy(node);
        }
        for (node, plan) in self.nodes.iter().zip(&self.plan.nodes) {
            self.measure.workload(plan.workload, node);
        }
        let releases = std::mem::take(&mut self.releases).into_iter();
        self.measure.releases = releases.map(|release| release.finish(self.plan.horizon)).collect();
        if self.is_at_rest() {
            self.checker.at_rest(&self.instances, &self.nodes);
        }
        Outcome {
            events: self.digest.records(),
            digest: self.digest.finish(),
            measure: self.measure,
            checker: self.checker,
            observer: self.observer,
        }
    }

    fn is_at_rest(&self) -> bool {
        self.requests.len() == 0 && self.visits.len() == 0 && self.legs.len() == 0
    }

    /// Handles an event and says whether it still meant something.
    fn handle(&mut self, event: Event) -> bool {
        match event {
            Event::Arrival { load } => self.on_arrival(load),
            Event::User { load, user, count } => self.on_user(load, user, count),
            Event::Retry { request } => self.begin_try(request),
            Event::Leave { request, number } => self.on_leave(request, number),
            Event::Connected { at, connection } => self.on_connected(at, connection),
            Event::Closed { at, connection } => self.on_closed(at, connection),
            Event::Goaway { at, connection } => self.on_goaway(at, connection),
            Event::Arrive { leg } => self.on_arrive(leg),
            Event::Answer { leg } => self.on_answer(leg),
            Event::Reset { leg } => self.on_reset(leg),
            Event::Lost { leg } => self.on_lost(leg),
            Event::Done { visit } => self.on_done(visit),
            Event::GiveUp { visit } => self.on_give_up(visit),
            Event::Shared { node, turn } => self.on_shared(node, turn),
            Event::Pause { node, epoch, number } => self.on_pause(node, epoch, number),
            Event::Thaw { node } => {
                self.thaw(node);
                true
            }
            Event::Visible { message } => self.on_visible(message),
            Event::Timer { at, timer } => {
                self.with_proxy(at.instance, |proxy, cx| proxy.on_timer(cx, timer));
                true
            }
            // It is a plain timer by now.
            Event::StreamTimer { .. } => false,
            Event::Fault { fault, begins } => self.on_fault(fault, begins),
            Event::Ready { node, epoch } => self.on_ready(node, epoch),
            Event::Change { change } => self.on_change(change),
            Event::Push { change, instance } => self.on_push(change, instance),
            Event::Release { release } => self.on_release(release),
            Event::PodStep { step } => self.on_pod_step(step),
            Event::Endpoints { instance, upto } => self.on_endpoints(instance, upto),
            Event::Stop { node, life, is_kill } => self.on_stop(node, life, is_kill),
            Event::Probe { node, life, restarts, kind } => self.on_probe(node, life, restarts, kind),
            Event::Reconcile { group } => {
                self.reconcile(group);
                true
            }
            Event::Scale { group } => self.on_scale(group),
            Event::Evict { zone, until } => self.on_evict(zone, until),
        }
    }

    /// Plans an event for a time that is `delay` from now, where that is often the same: many wait in one line then, and
    /// those that are dead before they are due cost nothing.
    fn push_timer(&mut self, at: u64, delay: u64, event: Event) {
        let alive = Alive {
            instances: &self.instances,
            sides: &self.sides,
            requests: &self.requests,
            visits: &self.visits,
            messages: &self.messages,
        };
        self.queue.push_timer(at, delay, event, |event| alive.is(event));
    }

    fn act(&mut self, todo: Todo) {
        match todo {
            Todo::Connected { at, connection } => {
                self.on_connected(at, connection);
            }
            Todo::Serve { leg } => self.serve(leg),
            Todo::Answer { leg } => {
                self.on_answer(leg);
            }
            Todo::Cancel { visit } => self.cancel(visit),
            Todo::CallDone { visit, call, repeat, is_ok } => self.call_done(visit, call, repeat, is_ok),
            Todo::TryDone { request, number, status } => self.try_done(request, number, status),
            Todo::Allowed { at, stream, is_rate_limit } => self.allowed(at, stream, is_rate_limit),
            Todo::Checked { at, cluster, host } => self.checked(at, cluster, host),
            Todo::Consume { queue } => self.consume(queue),
            Todo::Reconcile { group } => self.reconcile(group),
            Todo::EndPod { node, life } => self.end_pod(node, life),
        }
    }

    /// One record for the digest: what happened, to whom.
    fn record(&mut self, event: Event) {
        let (kind, who, what) = match event {
            Event::Arrival { load } => (1, load, 0),
            Event::User { load, user, count } => (2, load, user ^ count.rotate_left(16)),
            Event::Retry { request } => (3, request.slot(), 0),
            Event::Leave { request, number } => (4, request.slot(), number),
            Event::Connected { at, connection } => (5, at.instance, slot(connection.slot())),
            Event::Closed { at, connection } => (6, at.instance, slot(connection.slot())),
            Event::Arrive { leg } => (7, leg.slot(), self.legs.get(leg).map_or(0, |leg| leg.key as u32)),
            Event::Answer { leg } => (8, leg.slot(), 0),
            Event::Reset { leg } => (9, leg.slot(), 0),
            Event::Lost { leg } => (10, leg.slot(), 0),
            Event::Done { visit } => (11, visit.slot(), 0),
            Event::Timer { at, timer } => (12, at.instance, timer_code(timer)),
            Event::StreamTimer { timer, .. } => (12, NONE, timer_code(timer)),
            Event::Fault { fault, begins } => (13, fault, u32::from(begins)),
            Event::Ready { node, epoch } => (14, node, epoch),
            Event::Change { change } => (15, change, 0),
            Event::GiveUp { visit } => (16, visit.slot(), 0),
            Event::Shared { node, turn } => (17, node, turn),
            Event::Pause { node, epoch, number } => (18, node, epoch << 24 ^ number),
            Event::Thaw { node } => (19, node, 0),
            Event::Visible { message } => (20, message.slot(), 0),
            Event::Push { change, instance } => (21, instance, change),
            Event::Goaway { at, connection } => (22, at.instance, slot(connection.slot())),
            Event::Release { release } => (40, release, 0),
            Event::PodStep { step } => (23, step, 0),
            Event::Endpoints { instance, upto } => (24, instance, upto),
            Event::Stop { node, life, is_kill } => (25, node, life << 1 | u32::from(is_kill)),
            Event::Probe { node, life, restarts, kind } => (26, node, life << 8 ^ restarts << 2 ^ kind as u32),
            Event::Reconcile { group } => (27, group, 0),
            Event::Scale { group } => (28, group, 0),
            Event::Evict { zone, .. } => (29, zone, 0),
        };
        self.digest.record(self.now, kind, who, what);
    }

    fn start_loads(&mut self) {
        for (load, number) in self.plan.loads.iter().zip(0..) {
            let mut arrivals = None;
            match &load.kind {
                LoadKind::Open(spacing) => {
                    let mut open = Arrivals::new(spacing.clone(), u64::from(number));
                    if let Some(at) = open.next(&self.keys).filter(|at| *at <= self.plan.horizon) {
                        self.queue.push(at, Event::Arrival { load: number });
                    }
                    arrivals = Some(open);
                }
                LoadKind::Closed { users, .. } => {
                    for user in 0..*users {
                        self.think(number, user, 0);
                    }
                }
                LoadKind::Burst { requests, at } if *requests > 0 => {
                    self.queue.push(*at, Event::Arrival { load: number });
                }
                LoadKind::Burst { .. } => {}
            }
            self.arrivals.push(arrivals);
            self.bursts.push(0);
        }
    }
}

/// What tells whether an event still means something.
struct Alive<'a> {
    instances: &'a [Instance],
    sides: &'a Slab<Side>,
    requests: &'a Slab<Request>,
    visits: &'a Slab<Visit>,
    messages: &'a Slab<Message>,
}

impl Alive<'_> {
    fn is_timer(&self, at: Home, timer: TimerId) -> bool {
        let instance = &self.instances[at.instance as usize];
        instance.epoch == at.epoch && instance.proxy.is_live(timer)
    }

    /// As far as that is cheap to tell.
    fn is(&self, event: &Event) -> bool {
        match event {
            Event::Timer { at, timer } => self.is_timer(*at, *timer),
            Event::StreamTimer { side, timer } => {
                self.sides.get(*side).is_some_and(|side| self.is_timer(side.at, *timer))
            }
            Event::Leave { request, number } => {
                self.requests.get(*request).is_some_and(|entry| entry.number == *number && entry.is_trying)
            }
            Event::GiveUp { visit } => self.visits.get(*visit).is_some_and(|visit| !visit.is_working),
            Event::Visible { message } => self.messages.contains(*message),
            _ => true,
        }
    }
}

fn slot(slot: usize) -> u32 {
    slot as u32
}

fn timer_code(timer: TimerId) -> u32 {
    let (kind, slot) = match timer {
        TimerId::Route(stream) => (0, stream.slot()),
        TimerId::PerTry(attempt) => (1, attempt.stream.slot()),
        TimerId::PerTryIdle(attempt) => (2, attempt.stream.slot()),
        TimerId::UpstreamMaxDuration(attempt) => (3, attempt.stream.slot()),
        TimerId::BackOff(stream) => (4, stream.slot()),
        TimerId::FaultDelay(stream) => (5, stream.slot()),
        TimerId::StreamIdle(stream) => (6, stream.slot()),
        TimerId::MaxStreamDuration(stream) => (7, stream.slot()),
        TimerId::RequestTimeout(stream) => (8, stream.slot()),
        TimerId::Authorize(stream) => (9, stream.slot()),
        TimerId::Connect(connection) => (10, connection.slot()),
        TimerId::ConnectionIdle(connection) => (11, connection.slot()),
        TimerId::Outlier(cluster) => (12, cluster.index()),
        TimerId::Publish(cluster) => (13, cluster.index()),
        TimerId::HealthCheck(_, host) => (14, host.index()),
        TimerId::HealthCheckTimeout(_, host) => (15, host.index()),
        TimerId::Penalty(_, host) => (16, host.index()),
        TimerId::Concurrency(filter) => (17, filter as usize),
        TimerId::Failfast(cluster) => (18, cluster.index()),
    };
    kind << 24 | (slot as u32 & 0x00ff_ffff)
}
