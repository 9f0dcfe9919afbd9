//! The scripted client: what it sends, and what it sees.

use std::{collections::BTreeMap, rc::Rc};

use meshproof_proxy::{AccessLog, Nanos, Peer, StreamEnd, Time};

use super::{
    flow::{DELAYED_CLOSE, Origin},
    framing,
    leg::{Head, LOOPBACK},
    script::GRPC_FRAME,
    token,
    world::{Event, World},
};
use crate::case::{Case, Millis, Protocol, Request};

/// How long the client waits for an answer, where the case does not say.
const PATIENCE: Millis = Millis::new(15_000);

/// What is left for the client to do.
pub(crate) struct Client {
    /// For each request of the case: how many of a closed loop were begun.
    begun: Vec<usize>,
    /// Exchanges that are neither over nor abandoned, and those not yet begun.
    open: usize,
    /// Named connections.
    connections: BTreeMap<String, u64>,
    last_connection: u64,
}

/// One request of the client and what became of it.
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct Exchange {
    pub(crate) request: usize,
    /// Which worker of a closed loop sent it.
    worker: Option<usize>,
    pub(crate) sent: Time,
    pub(crate) flow: Option<usize>,
    pub(crate) status: Option<u16>,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) text: Rc<str>,
    pub(crate) body_bytes: u64,
    pub(crate) trailers: Vec<(String, String)>,
    pub(crate) is_cut: bool,
    pub(crate) is_aborted: bool,
    pub(crate) reset_code: Option<&'static str>,
    /// Whether the answer is complete.
    pub(crate) is_complete: bool,
    is_over: bool,
}

/// What the first proxy, or a further one, logged.
#[derive(Clone)]
pub(crate) struct Log {
    pub(crate) status: u16,
    pub(crate) flags: Vec<&'static str>,
    pub(crate) details: String,
    pub(crate) attempts: u32,
    pub(crate) route: Option<String>,
    pub(crate) cluster: Option<String>,
    pub(crate) transport_failure: Option<&'static str>,
    pub(crate) grpc_status: Option<u32>,
    pub(crate) duration: Nanos,
}

impl Client {
    pub(crate) fn new(case: &Case) -> Self {
        Self { begun: vec![0; case.requests.len()], open: 0, connections: BTreeMap::new(), last_connection: 0 }
    }

    /// Requests that share a name share a connection.
    fn connection(&mut self, name: Option<&String>) -> u64 {
        if let Some(connection) = name.and_then(|name| self.connections.get(name)) {
            return *connection;
        }
        self.last_connection += 1;
        if let Some(name) = name {
            self.connections.insert(name.clone(), self.last_connection);
        }
        self.last_connection
    }
}

impl Exchange {
    pub(crate) fn head(&mut self, status: u16, headers: Vec<(String, String)>, text: Rc<str>) {
        if !self.is_over {
            self.status = Some(status);
            self.headers = headers;
            self.text = text;
        }
    }

    /// The part of the body that has arrived, cut as the rig cuts it.
    pub(crate) fn body(&self) -> String {
        let bytes = usize::try_from(self.body_bytes).unwrap_or(usize::MAX).min(300);
        self.text.chars().take(bytes).collect()
    }
}

impl World<'_> {
    pub(crate) fn begin(&mut self) {
        for (index, request) in self.case.requests.iter().enumerate() {
            let workers = match request.repeat {
                Some(repeat) => request.concurrency.unwrap_or(1).min(repeat),
                None => 1,
            };
            for worker in 0..workers {
                self.client.open += 1;
                let worker = request.repeat.and(usize::try_from(worker).ok());
                self.io_at(request.at_ms.nanos(), Event::Send { request: index, worker });
            }
        }
    }

    pub(crate) const fn is_client_done(&self) -> bool {
        self.client.open == 0
    }

    /// The client sends a request, or a worker the next one of its loop.
    pub(crate) fn send(&mut self, index: usize, worker: Option<usize>) {
        let request = &self.case.requests[index];
        let turn = self.client.begun[index];
        if worker.is_some() && turn as u64 >= request.repeat.unwrap_or(1) {
            self.client.open -= 1;
            return;
        }
        self.client.begun[index] += 1;
        let (name, turn) = match worker {
            Some(_) => (format!("{index}.{turn}"), Some(turn)),
            None => (index.to_string(), None),
        };
        let exchange = self.exchanges.len();
        self.exchanges.push(Exchange {
            request: index,
            worker,
            sent: self.now,
            flow: None,
            status: None,
            headers: Vec::new(),
            text: Rc::from(""),
            body_bytes: 0,
            trailers: Vec::new(),
            is_cut: false,
            is_aborted: false,
            reset_code: None,
            is_complete: false,
            is_over: false,
        });
        let (head, body) = head(request, turn);
        let version = request.http_version.as_deref();
        let refused = framing::refusal(version, &head.authority, &head.path, &head.headers).filter(|_| !head.http2);
        if let Some(status) = refused {
            // The codec answers this by itself, without a stream and without a log.
            let (text, headers) = framing::refuse(status);
            let this = &mut self.exchanges[exchange];
            this.body_bytes = text.len() as u64;
            this.head(status, headers, Rc::from(text));
            this.is_complete = true;
            return self.finish(exchange);
        }
        let patience = request.abort_after_ms.unwrap_or(PATIENCE);
        self.io(patience.nanos(), Event::GiveUp(exchange));
        let connection = match worker {
            Some(worker) => self.client.connection(Some(&format!("{index} worker {worker}"))),
            None => self.client.connection(request.connection.as_ref()),
        };
        self.exchanges[exchange].flow = Some(self.flows.len());
        let peer = Peer { address: Some(LOOPBACK), connection, ..Peer::default() };
        let flow = self.flows.len();
        self.open_flow(0, Origin::Client(exchange), Rc::from(name), &head, peer);
        if body > 0 {
            self.request_body(flow, body, true);
        }
        self.send_chunks(request, flow);
    }

    fn send_chunks(&mut self, request: &Request, flow: usize) {
        let Some(chunks) = request.body_chunks.as_ref().filter(|_| request.protocol == Protocol::Http1) else { return };
        let mut left: u64 = chunks.iter().map(|(_, bytes)| bytes).sum();
        let mut after = Nanos::ZERO;
        for (delay, bytes) in chunks {
            after = after + delay.nanos();
            left -= bytes;
            if *bytes > 0 {
                self.io(after, Event::Chunk { flow, bytes: *bytes, end: left == 0 });
            }
        }
    }

    /// The first proxy has ended a stream.
    pub(crate) fn end_exchange(&mut self, exchange: usize, how: StreamEnd, flow: usize) {
        let http2 = self.flows[flow].http2;
        let this = &mut self.exchanges[exchange];
        if this.is_over {
            return;
        }
        this.trailers = std::mem::take(&mut self.flows[flow].trailers);
        if let Some(status) = this.status.filter(|_| !http2) {
            let method = &self.case.requests[this.request].method;
            this.headers.extend(framing::response(method, status, &this.headers, this.body_bytes, how));
        }
        match how {
            StreamEnd::Reset if http2 => {
                this.reset_code = Some("internal_error");
                self.cut(exchange);
            }
            StreamEnd::Reset => self.io(DELAYED_CLOSE, Event::Cut(exchange)),
            StreamEnd::Complete | StreamEnd::ClientGone => {
                this.is_complete = how == StreamEnd::Complete;
                self.finish(exchange);
            }
        }
    }

    /// The client sees that an answer is cut off.
    pub(crate) fn cut(&mut self, exchange: usize) {
        if !self.exchanges[exchange].is_over {
            self.exchanges[exchange].is_cut = true;
            self.finish(exchange);
        }
    }

    /// The client has waited long enough and closes the connection.
    pub(crate) fn give_up(&mut self, exchange: usize) {
        if self.exchanges[exchange].is_over {
            return;
        }
        self.exchanges[exchange].is_aborted = true;
        self.finish(exchange);
        if let Some(flow) = self.exchanges[exchange].flow {
            self.leave(flow, true);
        }
    }

    /// Whether the client has as much body as `content-length` says, on a connection of its own.
    pub(crate) fn is_satisfied(&self, exchange: usize) -> bool {
        let this = &self.exchanges[exchange];
        let length = this.headers.iter().find(|(name, _)| name == "content-length");
        let length = length.and_then(|(_, length)| length.parse::<u64>().ok());
        let is_own = this.worker.is_none() && self.case.requests[this.request].connection.is_none();
        is_own && length.is_some_and(|length| this.body_bytes >= length)
    }

    /// A client that has everything closes its connection, even if the proxy still waits for the end of the answer.
    pub(crate) fn close_satisfied(&mut self, exchange: usize, flow: usize) {
        if !self.flows[flow].ended && !self.exchanges[exchange].is_over {
            self.exchanges[exchange].is_complete = true;
            self.finish(exchange);
            self.leave(flow, true);
        }
    }

    /// An exchange is over; the worker of a closed loop goes on.
    fn finish(&mut self, exchange: usize) {
        let this = &mut self.exchanges[exchange];
        this.is_over = true;
        let (request, worker) = (this.request, this.worker);
        let is_lost = this.is_cut || this.is_aborted;
        if let Some(worker) = worker {
            if is_lost {
                self.client.connections.remove(&format!("{request} worker {worker}"));
            }
            let turn = self.rig_turn();
            self.io(turn, Event::Send { request, worker: Some(worker) });
        } else {
            self.client.open -= 1;
        }
    }
}

/// The head of a request, and the length of the body that follows at once.
fn head(request: &Request, turn: Option<usize>) -> (Head, u64) {
    let substitute = |text: &str| match turn {
        Some(turn) => text.replace("{i}", &turn.to_string()),
        None => text.to_owned(),
    };
    let http2 = request.protocol == Protocol::Http2;
    let placed = token::place(request);
    let mut headers: Vec<_> =
        placed.headers.into_iter().map(|(name, value)| (name.to_ascii_lowercase(), substitute(&value))).collect();
    let chunks = request.body_chunks.as_ref().filter(|_| !http2);
    let later: u64 = chunks.map_or(0, |chunks| chunks.iter().map(|(_, bytes)| bytes).sum());
    let body = match (request.grpc_messages.filter(|_| http2), request.body_bytes) {
        (Some(messages), _) => messages * GRPC_FRAME,
        (None, bytes) => bytes.filter(|_| chunks.is_none()).unwrap_or(0),
    };
    if request.authority.is_empty() && !request.no_host {
        headers.push(("host".to_owned(), String::new()));
    }
    if !http2 && (chunks.is_some() || request.body_bytes.is_some()) {
        headers.push(("content-length".to_owned(), (later + body).to_string()));
    }
    let head = Head {
        method: request.method.clone(),
        authority: if request.no_host { String::new() } else { request.authority.clone() },
        path: substitute(&placed.path),
        headers,
        tokens: placed.tokens,
        http2,
        end: later + body == 0,
    };
    (head, body)
}

impl Log {
    pub(crate) fn new(log: &AccessLog<'_>, transport_failure: Option<&'static str>, duration: Nanos) -> Self {
        Self {
            status: log.status,
            flags: log.flags.iter().map(meshproof_proxy::ResponseFlag::code).collect(),
            details: log.details.to_string(),
            attempts: log.attempts,
            route: log.route.map(str::to_owned),
            cluster: log.cluster.map(str::to_owned),
            transport_failure,
            grpc_status: log.grpc_status,
            duration,
        }
    }
}
