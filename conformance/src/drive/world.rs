//! Everything that takes part in a case, and the loop that lets virtual time pass.
//!
//! A *flow* is one stream at one proxy, a *leg* one of its attempts on the way to a host, a *link* an upstream
//! connection. A host is scripted, or it is the listener of another proxy; then a leg of the one proxy carries a flow
//! of the other.

use std::{collections::BTreeMap, rc::Rc, sync::Arc};

use meshproof_proxy::{
    AttemptId, ClusterId, ConnectionId, Cx, Effects, HostId, ListenerId, Nanos, Proxy, StreamId, Table, Time, TimerId,
    config,
};

use super::{
    client::{Client, Exchange},
    entropy::Keyed,
    flow::Flow,
    leg::{Arrival, Leg},
    link::Link,
    queue::{Class, Queue},
    script::Step,
};
use crate::case::{Case, Listen};

// BOUND: what happens in a case; an experiment of ten seconds has some hundred thousand events.
const EVENTS_MAX: u64 = 5_000_000;
/// Virtual time begins at a point whose seconds are Unix time, as tokens and reset headers need it.
const CREATION: Time = Time::from_nanos(1_000_000_000_000_000_000);
/// How long the proxies run before the case starts: longer than the default merge window of health changes, and no
/// multiple of anybody's interval.
const WARM_UP: Nanos = Nanos::from_millis(2337);
/// Each proxy has one listener.
pub(crate) const LISTENER: ListenerId = ListenerId::new(0);
/// How long streams may go on after the statistics were read; the rig's recordings do not look further.
const LINGER: Nanos = Nanos::from_secs(30);

/// Where a connection leads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Target {
    Scripted(usize),
    Proxy(usize),
}

/// A scripted host.
pub(crate) struct ScriptedHost {
    pub(crate) cluster: String,
    pub(crate) name: String,
    pub(crate) listen: Listen,
    pub(crate) http2: bool,
    /// Connections accepted.
    pub(crate) accepted: usize,
    /// Requests seen.
    pub(crate) arrivals: usize,
}

/// One proxy and what surrounds it.
pub(crate) struct Node {
    pub(crate) name: String,
    pub(crate) proxy: Proxy,
    pub(crate) config: config::Config,
    /// By cluster and host.
    pub(crate) targets: Vec<Vec<Target>>,
    pub(crate) streams: BTreeMap<StreamId, usize>,
    pub(crate) attempts: BTreeMap<AttemptId, usize>,
    pub(crate) links: BTreeMap<ConnectionId, usize>,
    /// Counters of the transport, which is the driver's.
    pub(crate) transport: BTreeMap<String, u64>,
    effects: Effects,
}

/// What can happen.
pub(crate) enum Event {
    /// A client begins an exchange.
    Send { request: usize, worker: Option<usize> },
    /// A part of a request's body arrives.
    Chunk { flow: usize, bytes: u64, end: bool },
    /// The client has waited long enough.
    GiveUp(usize),
    /// The client has the whole body, by its length.
    Satisfied { exchange: usize, flow: usize },
    /// The connection of an exchange is closed.
    Cut(usize),
    /// A connection is open.
    LinkUp(usize),
    /// A connection could not be opened.
    LinkFailed(usize),
    /// The peer of a link closes it without a word.
    LinkCut(usize),
    /// The hosts' settings arrive.
    Settings(usize),
    /// A request's head arrives at its host.
    Arrive(usize),
    /// The host of a leg does something.
    Step(usize, Step),
    /// The proxy before this one has left a flow.
    Leave(usize),
    /// A health check is answered.
    Health { node: usize, cluster: ClusterId, host: HostId },
    /// A timer is due.
    Timer(usize, TimerId),
}

/// A case being played.
pub(crate) struct World<'c> {
    pub(crate) case: &'c Case,
    pub(crate) now: Time,
    pub(crate) start: Time,
    seed: u64,
    queue: Queue<Event>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) hosts: Vec<ScriptedHost>,
    pub(crate) flows: Vec<Flow>,
    pub(crate) legs: Vec<Leg>,
    pub(crate) links: Vec<Link>,
    pub(crate) arrivals: Vec<Arrival>,
    /// How often a request was seen by any host.
    pub(crate) seen: BTreeMap<Rc<str>, usize>,
    /// Why the connection failed that a proxy is being told of.
    pub(crate) transport_failure: Option<&'static str>,
    /// When the rig has handled every request of closed loops so far.
    pub(crate) rig_free: Time,
    /// Flows with answers for the proxy before them.
    pub(crate) answered: Vec<usize>,
    /// Flows that the proxy before them has given up, which their own proxy has not read yet.
    pub(crate) leaving: Vec<usize>,
    pub(crate) client: Client,
    pub(crate) exchanges: Vec<Exchange>,
}

impl<'c> World<'c> {
    /// All proxies of a case, at rest, with the hosts behind them.
    pub(crate) fn new(case: &'c Case, configs: Vec<(String, config::Config)>, seed: u64) -> Result<Self, String> {
        let mut world = Self {
            case,
            now: CREATION,
            start: CREATION + WARM_UP,
            seed,
            queue: Queue::new(),
            nodes: Vec::new(),
            hosts: Vec::new(),
            flows: Vec::new(),
            legs: Vec::new(),
            links: Vec::new(),
            arrivals: Vec::new(),
            seen: BTreeMap::new(),
            transport_failure: None,
            rig_free: CREATION,
            answered: Vec::new(),
            leaving: Vec::new(),
            client: Client::new(case),
            exchanges: Vec::new(),
        };
        let names: Vec<_> = configs.iter().map(|(name, _)| name.clone()).collect();
        for (index, (name, config)) in configs.into_iter().enumerate() {
            let targets = world.targets(&name, &names)?;
            world.create(index, name, config, targets)?;
        }
        for index in 0..world.nodes.len() {
            world.settle(index, None);
        }
        Ok(world)
    }

    fn create(
        &mut self,
        index: usize,
        name: String,
        config: config::Config,
        targets: Vec<Vec<Target>>,
    ) -> Result<(), String> {
        let table = Table::compile(&config)
            .map_err(|errors| errors.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))?;
        let mut effects = Effects::default();
        let mut entropy = Keyed { seed: self.seed, proxy: index as u64 };
        let mut cx = Cx { now: self.now, entropy: &mut entropy, effects: &mut effects };
        let proxy = Proxy::new(&mut cx, Arc::new(table));
        self.nodes.push(Node {
            name,
            proxy,
            config,
            targets,
            streams: BTreeMap::new(),
            attempts: BTreeMap::new(),
            links: BTreeMap::new(),
            transport: BTreeMap::new(),
            effects,
        });
        Ok(())
    }

    /// Where the connections of one proxy lead; scripted hosts are created on the way.
    fn targets(&mut self, name: &str, names: &[String]) -> Result<Vec<Vec<Target>>, String> {
        let main = &self.case.config;
        let clusters = main.proxies.get(name).map_or(&main.clusters, |proxy| &proxy.clusters);
        let mut targets = Vec::new();
        for cluster in clusters {
            let mut row = Vec::new();
            for host in cluster.hosts() {
                if let Some(proxy) = &host.proxy {
                    let node = names.iter().position(|name| name == proxy);
                    row.push(Target::Proxy(node.ok_or_else(|| format!("there is no proxy `{proxy}`"))?));
                    continue;
                }
                row.push(Target::Scripted(self.hosts.len()));
                self.hosts.push(ScriptedHost {
                    cluster: cluster.name.clone(),
                    name: host.name.clone(),
                    listen: host.listen,
                    http2: cluster.speaks_http2(host),
                    accepted: 0,
                    arrivals: 0,
                });
            }
            targets.push(row);
        }
        Ok(targets)
    }

    /// Schedules something that arrives from outside.
    pub(crate) fn io(&mut self, after: Nanos, event: Event) {
        self.queue.push(self.now + after, Class::Io, event);
    }

    /// Schedules something that arrives from outside at a time after the case's start.
    pub(crate) fn io_at(&mut self, offset: Nanos, event: Event) {
        self.queue.push(self.start + offset, Class::Io, event);
    }

    /// Schedules something behind all timers that are due now: a proxy's event loop handles those before it reads.
    pub(crate) fn after_timers(&mut self, event: Event) {
        self.queue.push(self.now, Class::Timer, event);
    }

    /// Sets a proxy's timer.
    pub(crate) fn timer(&mut self, at: Time, node: usize, timer: TimerId) {
        self.queue.push(at, Class::Timer, Event::Timer(node, timer));
    }

    /// Plays the case to its end. `read_stats` is called once, when the rig reads the statistics.
    ///
    /// # Errors
    /// If there is no end in sight.
    pub(crate) fn run(&mut self, read_stats: impl FnOnce(&Self)) -> Result<(), String> {
        self.begin();
        let settle = self.case.settle_ms.nanos();
        let mut read_stats = Some(read_stats);
        let mut read_at = None;
        let mut events = 0;
        while let Some(at) = self.queue.next_time() {
            events += 1;
            if events > EVENTS_MAX {
                return Err(format!("more than {EVENTS_MAX} events"));
            }
            if self.is_client_done() && read_at.is_none() {
                read_at = Some(self.now + settle);
            }
            if let Some(read_at) = read_at.filter(|read_at| at > *read_at) {
                if let Some(read) = read_stats.take() {
                    read(self);
                }
                if self.flows.iter().all(|flow| flow.ended) || at > read_at + LINGER {
                    break;
                }
            }
            let Some((at, event)) = self.queue.pop() else { break };
            self.now = at;
            self.handle(event);
        }
        if let Some(read) = read_stats.take() {
            read(self);
        }
        Ok(())
    }

    fn handle(&mut self, event: Event) {
        match event {
            Event::Send { request, worker } => self.send(request, worker),
            Event::Chunk { flow, bytes, end } => self.request_body(flow, bytes, end),
            Event::GiveUp(exchange) => self.give_up(exchange),
            Event::Satisfied { exchange, flow } => self.close_satisfied(exchange, flow),
            Event::Cut(exchange) => self.cut(exchange),
            Event::LinkUp(link) => self.link_up(link),
            Event::LinkFailed(link) => self.link_failed(link),
            Event::LinkCut(link) => self.link_cut(link),
            Event::Settings(link) => self.settings(link),
            Event::Arrive(leg) => self.arrive(leg),
            Event::Step(leg, step) => self.step(leg, step),
            Event::Leave(flow) => self.leave_all(|_, leaving| leaving == flow),
            Event::Health { node, cluster, host } => self.health_checked(node, cluster, host),
            Event::Timer(node, timer) => {
                if self.nodes[node].proxy.is_live(timer) {
                    self.call(node, |proxy, cx| proxy.on_timer(cx, timer));
                    self.settle(node, None);
                }
            }
        }
    }

    /// Calls a proxy; [`Self::settle`] must follow.
    pub(crate) fn call<R>(&mut self, node: usize, call: impl FnOnce(&mut Proxy, &mut Cx<'_>) -> R) -> R {
        let mut entropy = Keyed { seed: self.seed, proxy: node as u64 };
        let Node { proxy, effects, .. } = &mut self.nodes[node];
        call(proxy, &mut Cx { now: self.now, entropy: &mut entropy, effects })
    }

    /// Does what a proxy asked for. `leg`: whose answer the call was about.
    pub(crate) fn settle(&mut self, node: usize, leg: Option<usize>) {
        let effects: Vec<_> = self.nodes[node].effects.drain().collect();
        for effect in effects {
            self.effect(node, effect, leg);
        }
        self.flush();
    }
}
