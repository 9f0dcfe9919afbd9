//! A small driver for tests: one proxy in virtual time, a client and upstream hosts that follow a script.
#![allow(dead_code, reason = "each test uses a part of it")]
#![allow(unreachable_pub, clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

pub mod reference;

use std::{collections::BTreeMap, fmt::Write, sync::Arc};

use meshproof_proxy::{
    AttemptId, ClusterId, ConnectionId, Cx, DrawKey, Effect, Effects, Entropy, ListenerId, Nanos, Peer,
    PreparedRequest, Proxy, RequestHead, RequestKey, ResetReason, ResponseHead, StreamEnd, StreamId, Table, Time,
    TimerId,
    config::{
        Action, Cluster, ClusterSpecifier, Config, HeaderMutations, Host, Listener, Route, RouteAction, RouteMatch,
        RoutingPriority, VirtualHost,
    },
};

/// What an upstream host does with a request, `after` its arrival.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// Answers with this status and, `body` later, two bytes; without `body` the headers end the answer.
    Answer { status: u16, after: u64, body: Option<u64> },
    /// Closes the connection.
    Close { after: u64 },
    /// Answers and closes the connection in the middle of the body.
    Cut { status: u16, after: u64, then: u64 },
    /// Never answers.
    Silent,
}

/// What happens to a connection, `after` it is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dial {
    Open { after: u64 },
    Refuse { after: u64 },
    Hang,
}

/// One request of the client.
#[derive(Clone, Debug)]
pub struct Call {
    pub at: u64,
    pub path: &'static str,
    pub headers: Vec<(&'static str, &'static str)>,
    /// The body arrives at once after so many milliseconds; `None`: no body.
    pub body_after: Option<u64>,
    /// The client leaves after so many milliseconds.
    pub leaves_after: Option<u64>,
}

impl Call {
    pub fn at(at: u64) -> Self {
        Self { at, path: "/", headers: Vec::new(), body_after: None, leaves_after: None }
    }
}

/// How a request ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ended {
    pub at: u64,
    pub status: u16,
    pub flags: String,
    pub details: String,
    pub attempts: u32,
    pub how: StreamEnd,
}

#[derive(Clone, Copy, Debug)]
enum Event {
    Call(usize),
    Body(StreamId),
    Leave(StreamId),
    Dialled(ConnectionId, Result<(), ResetReason>),
    Headers(AttemptId, u16, bool),
    Bytes(AttemptId),
    Lost(AttemptId, ConnectionId, ResetReason),
    Timer(TimerId),
}

/// A pure function of the key; even draws of zero are reached.
#[derive(Clone, Copy, Debug)]
pub struct Keyed(pub u64);

impl Entropy for Keyed {
    fn draw(&mut self, key: DrawKey) -> u64 {
        let mut x = self.0 ^ key.request.0.rotate_left(17) ^ u64::from(key.attempt) << 8 ^ key.what as u64;
        for _ in 0..3 {
            x = (x ^ x >> 32).wrapping_mul(0x9e37_79b9_7f4a_7c15);
        }
        x ^ x >> 29
    }
}

/// One proxy, its client and its hosts.
pub struct World {
    pub proxy: Proxy,
    pub now: Time,
    pub trace: String,
    pub ended: Vec<Option<Ended>>,
    /// Highest number of retries, requests and connections seen.
    pub high_water: [u32; 3],
    effects: Effects,
    entropy: Keyed,
    queue: BTreeMap<(Time, u8, u64), Event>,
    sequence: u64,
    calls: Vec<Call>,
    streams: Vec<(StreamId, usize)>,
    acts: Vec<Act>,
    dials: Vec<Dial>,
    sent: usize,
    dialled: usize,
    /// What one unit of the script lasts.
    pub unit: Nanos,
    /// Whether heads are prepared before they come.
    pub prepares: bool,
    table: Arc<Table>,
}

impl World {
    /// The `n`-th request sent meets the `n`-th act, the `n`-th connection the `n`-th dial; the last of each repeats.
    pub fn new(config: &Config, seed: u64, acts: &[Act], dials: &[Dial]) -> Self {
        let table = Arc::new(Table::compile(config).expect("a sound configuration"));
        let mut effects = Effects::default();
        let mut entropy = Keyed(seed);
        let proxy =
            Proxy::new(&mut Cx { now: Time::START, entropy: &mut entropy, effects: &mut effects }, Arc::clone(&table));
        let mut world = Self {
            proxy,
            now: Time::START,
            trace: String::new(),
            ended: Vec::new(),
            high_water: [0; 3],
            effects,
            entropy,
            queue: BTreeMap::new(),
            sequence: 0,
            calls: Vec::new(),
            streams: Vec::new(),
            acts: acts.to_vec(),
            dials: dials.to_vec(),
            sent: 0,
            dialled: 0,
            unit: ms(1),
            prepares: false,
            table,
        };
        world.perform();
        world
    }

    pub fn call(&mut self, call: Call) {
        let index = self.calls.len();
        self.push(Time::START + self.unit.times(call.at), 0, Event::Call(index));
        self.calls.push(call);
        self.ended.push(None);
    }

    /// Runs until nothing is left to happen before `end`.
    pub fn run(&mut self, end: u64) {
        while let Some((key, _)) = self.queue.first_key_value() {
            let key = *key;
            if key.0 > Time::START + self.unit.times(end) {
                break;
            }
            let Some(event) = self.queue.remove(&key) else { break };
            assert!(key.0 >= self.now, "time goes back");
            self.now = key.0;
            self.handle(event);
        }
    }

    fn push(&mut self, at: Time, class: u8, event: Event) {
        self.sequence += 1;
        self.queue.insert((at, class, self.sequence), event);
    }

    fn later(&mut self, after: u64, event: Event) {
        self.push(self.now + self.unit.times(after), 0, event);
    }

    fn handle(&mut self, event: Event) {
        let cx = &mut Cx { now: self.now, entropy: &mut self.entropy, effects: &mut self.effects };
        let proxy = &mut self.proxy;
        match event {
            Event::Call(index) => {
                let call = self.calls[index].clone();
                let head = RequestHead {
                    key: RequestKey(index as u64 + 1),
                    method: if call.body_after.is_some() { "POST" } else { "GET" },
                    authority: "svc",
                    path: call.path,
                    headers: &call.headers,
                    tokens: &[],
                    peer: Peer::default(),
                    http2: false,
                };
                let listener = ListenerId::new(0);
                let end_stream = call.body_after.is_none();
                let prepared = if self.prepares { PreparedRequest::new(&self.table, listener, &head) } else { None };
                let stream = match prepared {
                    Some(prepared) => proxy.on_prepared_request(cx, &prepared, head.key, end_stream),
                    None => proxy.on_request(cx, listener, &head, end_stream),
                };
                self.streams.push((stream, index));
                if let Some(after) = call.body_after {
                    self.later(after, Event::Body(stream));
                }
                if let Some(after) = call.leaves_after {
                    self.later(after, Event::Leave(stream));
                }
            }
            Event::Body(stream) => proxy.on_request_body(cx, stream, 10, true),
            Event::Leave(stream) => proxy.on_downstream_reset(cx, stream),
            Event::Dialled(connection, Ok(())) => proxy.on_connected(cx, connection, None),
            Event::Dialled(connection, Err(reason)) => proxy.on_connect_failed(cx, connection, reason),
            Event::Headers(attempt, status, end) => {
                proxy.on_response(cx, attempt, &ResponseHead { status, headers: &[] }, end);
            }
            Event::Bytes(attempt) => proxy.on_response_body(cx, attempt, 2, true),
            Event::Lost(_, connection, reason) => proxy.on_connection_closed(cx, connection, reason),
            Event::Timer(timer) => proxy.on_timer(cx, timer),
        }
        self.perform();
        self.watch();
    }

    fn perform(&mut self) {
        let effects: Vec<_> = self.effects.drain().collect();
        for effect in effects {
            self.note(effect);
            match effect {
                Effect::Connect { connection, .. } => {
                    let dial = self.dials[self.dialled.min(self.dials.len() - 1)];
                    self.dialled += 1;
                    match dial {
                        Dial::Open { after } => self.later(after, Event::Dialled(connection, Ok(()))),
                        Dial::Refuse { after } => {
                            self.later(after, Event::Dialled(connection, Err(ResetReason::RemoteConnectionFailure)));
                        }
                        Dial::Hang => {}
                    }
                }
                Effect::Send { attempt, connection, .. } => self.serve(attempt, connection),
                Effect::SetTimer { timer, at } => self.push(at, 1, Event::Timer(timer)),
                Effect::End { stream, how } => self.end(stream, how),
                _ => {}
            }
        }
    }

    fn serve(&mut self, attempt: AttemptId, connection: ConnectionId) {
        let act = self.acts[self.sent.min(self.acts.len() - 1)];
        self.sent += 1;
        match act {
            Act::Answer { status, after, body } => {
                self.later(after, Event::Headers(attempt, status, body.is_none()));
                if let Some(body) = body {
                    self.later(after + body, Event::Bytes(attempt));
                }
            }
            Act::Close { after } => {
                self.later(after, Event::Lost(attempt, connection, ResetReason::ConnectionTermination));
            }
            Act::Cut { status, after, then } => {
                self.later(after, Event::Headers(attempt, status, false));
                self.later(after + then, Event::Lost(attempt, connection, ResetReason::ProtocolError));
            }
            Act::Silent => {}
        }
    }

    fn end(&mut self, stream: StreamId, how: StreamEnd) {
        let log = self.proxy.access_log(stream).expect("an ended stream is readable");
        let known = self.streams.iter().rev().find(|(id, _)| *id == stream).copied();
        let Some((_, index)) = known else { return };
        let ended = Ended {
            at: self.now.as_nanos() / self.unit.get(),
            status: log.status,
            flags: log.flags.to_string(),
            details: log.details.to_owned(),
            attempts: log.attempts,
            how,
        };
        let _ = write!(self.trace, " {} {}", ended.status, ended.flags);
        let slot = &mut self.ended[index];
        assert!(slot.is_none(), "request {index} ends twice: {slot:?}, {ended:?}");
        *slot = Some(ended);
    }

    /// What must hold after every event.
    fn watch(&mut self) {
        let circuit = self.proxy.circuit(ClusterId::new(0), RoutingPriority::Default);
        let now = [circuit.retries, circuit.requests.active(), circuit.connections.active()];
        assert!(circuit.requests.active() <= circuit.requests.max(), "{circuit:?}");
        assert!(circuit.pending.active() <= circuit.pending.max(), "{circuit:?}");
        for (high, now) in self.high_water.iter_mut().zip(now) {
            *high = (*high).max(now);
        }
    }

    /// What must hold once every request has ended.
    pub fn at_rest(&mut self) {
        assert!(self.ended.iter().all(Option::is_some), "{:?}", self.ended);
        assert_eq!(self.proxy.active_streams(), 0);
        let circuit = self.proxy.circuit(ClusterId::new(0), RoutingPriority::Default);
        assert_eq!((circuit.retries, circuit.requests.active(), circuit.pending.active()), (0, 0, 0));
        for event in self.queue.values() {
            if let Event::Timer(timer) = event
                && !matches!(timer, TimerId::ConnectionIdle(_) | TimerId::Connect(_) | TimerId::Outlier(_))
            {
                assert!(!self.proxy.is_live(*timer), "{timer:?} is live at rest");
            }
        }
    }

    fn note(&mut self, effect: Effect) {
        let at = self.now.as_nanos() / 1_000_000;
        let in_ms = |at: Time| at.as_nanos() / 1_000_000;
        let line = match effect {
            Effect::Connect { connection, host, .. } => format!("connect c{} to h{}", connection.slot(), host.index()),
            Effect::Send { attempt, connection, .. } => {
                format!("send s{}.{} over c{}", attempt.stream.slot(), attempt.number, connection.slot())
            }
            Effect::ResetUpstream { attempt, .. } => format!("reset s{}.{}", attempt.stream.slot(), attempt.number),
            Effect::Close(connection) => format!("close c{}", connection.slot()),
            Effect::SetTimer { timer, at } => {
                let name = format!("{timer:?}");
                format!("set {} at {}ms", name.split('(').next().unwrap_or_default(), in_ms(at))
            }
            Effect::ClearTimer(timer) => {
                let name = format!("{timer:?}");
                format!("clear {}", name.split('(').next().unwrap_or_default())
            }
            Effect::Respond { stream, status } => format!("respond s{} {status}", stream.slot()),
            Effect::RespondBody { stream, bytes } => format!("body s{} {bytes}B", stream.slot()),
            Effect::End { stream, how } => format!("end s{} {how:?}", stream.slot()),
            other => format!("{other:?}"),
        };
        let _ = write!(self.trace, "\n{at}ms {line}");
    }
}

pub const fn ms(n: u64) -> Nanos {
    Nanos::from_millis(n)
}

/// One listener whose only route leads to `cluster` as `action` says.
pub fn config(action: RouteAction, cluster: Cluster) -> Config {
    Config { listeners: vec![listener(vec![route("r", "/", action)])], clusters: vec![cluster], zone: None }
}

pub fn route(name: &str, prefix: &str, action: RouteAction) -> Route {
    Route {
        name: name.to_owned(),
        matches: RouteMatch::prefix(prefix),
        action: Action::Forward(Box::new(action)),
        headers: HeaderMutations::default(),
        filter_overrides: Vec::new(),
    }
}

pub fn listener(routes: Vec<Route>) -> Listener {
    let mut listener = Listener { name: "in".to_owned(), ..Listener::default() };
    let host = VirtualHost { name: "v".to_owned(), domains: vec!["*".to_owned()], routes, ..VirtualHost::default() };
    listener.route_config.virtual_hosts.push(host);
    listener
}

pub fn to_cluster(name: &str) -> RouteAction {
    RouteAction::to(ClusterSpecifier::Cluster(name.to_owned()))
}

pub fn hosts(n: usize) -> Vec<Host> {
    (0..n).map(|i| Host::new(format!("h{i}"), format!("10.0.0.{i}:80"))).collect()
}
