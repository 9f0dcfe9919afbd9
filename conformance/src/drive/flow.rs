//! Streams at proxies: what they ask for, and what they answer.

use std::{rc::Rc, sync::Arc};

use meshproof_proxy::{Effect, Nanos, Peer, RequestHead, RequestKey, ResetReason, StreamEnd, StreamId, Time, Token};

use super::{
    client::Log,
    leg::Head,
    script::Step,
    world::{Event, LISTENER, World},
};

/// A proxy closes a downstream HTTP/1.1 connection that it has broken off only after this (Envoy:
/// `delayed_close_timeout`).
pub(crate) const DELAYED_CLOSE: Nanos = Nanos::from_secs(1);

/// Who sent a flow's request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Origin {
    /// The client, in this exchange.
    Client(usize),
    /// The proxy before, with this leg.
    Leg(usize),
    /// The same proxy, which mirrors this flow.
    Shadow(usize),
}

/// One stream at one proxy.
#[expect(clippy::struct_excessive_bools, reason = "independent facts")]
pub(crate) struct Flow {
    pub(crate) node: usize,
    pub(crate) stream: Option<StreamId>,
    pub(crate) origin: Origin,
    /// The rig's number of the request.
    pub(crate) request: Rc<str>,
    pub(crate) tokens: Vec<Arc<Token>>,
    pub(crate) http2: bool,
    pub(crate) started: Time,
    /// How much of the request's body has arrived, and whether that is all.
    pub(crate) body_bytes: u64,
    pub(crate) complete: bool,
    pub(crate) ended: bool,
    pub(crate) head_sent: bool,
    /// The response's body and trailers, as far as known.
    pub(crate) text: Rc<str>,
    pub(crate) trailers: Vec<(String, String)>,
    /// Answers to the proxy before that wait until it is known whether they are the last.
    pending: Vec<Step>,
    pub(crate) log: Option<Log>,
}

impl World<'_> {
    /// Lets a request arrive at a proxy.
    pub(crate) fn open_flow(&mut self, node: usize, origin: Origin, request: Rc<str>, head: &Head, peer: Peer<'_>) {
        let index = self.push_flow(node, origin, request, head);
        let headers: Vec<_> = head.headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let request = RequestHead {
            key: RequestKey(index as u64 + 1),
            method: &head.method,
            authority: &head.authority,
            path: &head.path,
            headers: &headers,
            tokens: &head.tokens,
            peer,
            http2: head.http2,
        };
        let stream = self.call(node, |proxy, cx| proxy.on_request(cx, LISTENER, &request, head.end));
        self.flows[index].stream = Some(stream);
        self.nodes[node].streams.insert(stream, index);
        self.settle(node, None);
    }

    fn push_flow(&mut self, node: usize, origin: Origin, request: Rc<str>, head: &Head) -> usize {
        self.flows.push(Flow {
            node,
            stream: None,
            origin,
            request,
            tokens: head.tokens.clone(),
            http2: head.http2,
            started: self.now,
            body_bytes: 0,
            complete: head.end,
            ended: false,
            head_sent: false,
            text: Rc::from(""),
            trailers: Vec::new(),
            pending: Vec::new(),
            log: None,
        });
        self.flows.len() - 1
    }

    /// A part of a request's body arrives at a proxy, and goes on to whoever has the request already.
    pub(crate) fn request_body(&mut self, flow: usize, bytes: u64, end: bool) {
        let Flow { node, stream: Some(stream), ended: false, complete: false, .. } = self.flows[flow] else { return };
        self.flows[flow].body_bytes += bytes;
        self.flows[flow].complete = end;
        self.call(node, |proxy, cx| proxy.on_request_body(cx, stream, bytes, end));
        self.settle(node, None);
        for copy in 0..self.flows.len() {
            if self.flows[copy].origin == Origin::Shadow(flow) {
                self.flows[copy].body_bytes += bytes;
                self.flows[copy].complete = end;
            }
        }
        for leg in 0..self.legs.len() {
            let sender = self.legs[leg].flow;
            if sender == flow || self.flows[sender].origin == Origin::Shadow(flow) {
                self.pass_body(leg, bytes, end);
            }
        }
    }

    /// The proxy before has given a flow up; the flow's own proxy reads that once its due timers have run.
    pub(crate) fn give_up_carried(&mut self, flow: usize) {
        self.leaving.push(flow);
        self.after_timers(Event::Leave(flow));
    }

    /// Proxies read that these of their flows were given up.
    pub(crate) fn leave_all(&mut self, is_read: impl Fn(&Self, usize) -> bool) {
        let (read, unread) = std::mem::take(&mut self.leaving).into_iter().partition(|flow| is_read(self, *flow));
        self.leaving = unread;
        let read: Vec<usize> = read;
        for flow in read {
            self.leave(flow, false);
        }
    }

    /// The proxy before this one has given a flow up, or the client has closed its connection.
    pub(crate) fn leave(&mut self, flow: usize, is_client: bool) {
        let Flow { node, stream: Some(stream), ended: false, .. } = self.flows[flow] else { return };
        self.call(node, |proxy, cx| {
            if is_client {
                proxy.on_downstream_closed(cx, stream);
            } else {
                proxy.on_downstream_reset(cx, stream);
            }
        });
        self.settle(node, None);
    }

    /// Does one thing that a proxy asked for.
    pub(crate) fn effect(&mut self, node: usize, effect: Effect, leg: Option<usize>) {
        match effect {
            Effect::Connect { connection, cluster, host } => self.connect(node, connection, cluster, host),
            Effect::Send { attempt, connection, .. } => self.send_attempt(node, attempt, connection),
            Effect::ResetUpstream { attempt, .. } => self.reset_attempt(node, attempt),
            Effect::Close(connection) => self.close_link(node, connection),
            Effect::SetTimer { timer, at } => self.timer(at, node, timer),
            Effect::Respond { stream, status } => self.respond(node, stream, status, leg),
            Effect::RespondBody { stream, bytes } => self.respond_body(node, stream, bytes),
            Effect::End { stream, how } => self.end(node, stream, how, leg),
            Effect::Mirror { of, shadow } => self.mirror(node, of, shadow),
            Effect::CheckHealth { cluster, host } => self.check_health(node, cluster, host),
            Effect::ClearTimer(_) | Effect::Authorize { .. } | Effect::CheckRateLimit { .. } | Effect::Note(_) => {}
        }
    }

    fn flow_of(&self, node: usize, stream: StreamId) -> Option<usize> {
        self.nodes[node].streams.get(&stream).copied()
    }

    fn respond(&mut self, node: usize, stream: StreamId, status: u16, leg: Option<usize>) {
        let Some(flow) = self.flow_of(node, stream) else { return };
        let Some(response) = self.nodes[node].proxy.response(stream) else { return };
        let headers: Vec<_> = response.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
        let text = match leg {
            Some(leg) if !response.is_local() => self.legs[leg].text.clone(),
            _ => Rc::from(response.body()),
        };
        self.flows[flow].head_sent = true;
        self.flows[flow].text = text.clone();
        match self.flows[flow].origin {
            Origin::Client(exchange) => self.exchanges[exchange].head(status, headers, text),
            Origin::Leg(_) => self.answer(flow, Step::Head { status, headers, end: false }),
            Origin::Shadow(_) => {}
        }
    }

    fn respond_body(&mut self, node: usize, stream: StreamId, bytes: u64) {
        let Some(flow) = self.flow_of(node, stream) else { return };
        match self.flows[flow].origin {
            Origin::Client(exchange) => {
                self.exchanges[exchange].body_bytes += bytes;
                if !self.flows[flow].http2 && self.is_satisfied(exchange) {
                    self.after_timers(Event::Satisfied { exchange, flow });
                }
            }
            Origin::Leg(_) => self.answer(flow, Step::Body { bytes, end: false }),
            Origin::Shadow(_) => {}
        }
    }

    fn end(&mut self, node: usize, stream: StreamId, how: StreamEnd, leg: Option<usize>) {
        let Some(flow) = self.nodes[node].streams.remove(&stream) else { return };
        self.flows[flow].ended = true;
        let log = self.nodes[node].proxy.access_log(stream).filter(|log| log.is_logged);
        self.flows[flow].log =
            log.map(|log| Log::new(&log, self.transport_failure, self.now.since(self.flows[flow].started)));
        if let Some(leg) = leg.filter(|leg| self.legs[*leg].flow == flow) {
            self.flows[flow].trailers = std::mem::take(&mut self.legs[leg].trailers);
        }
        match self.flows[flow].origin {
            Origin::Client(exchange) => self.end_exchange(exchange, how, flow),
            Origin::Leg(_) => self.end_hop(flow, how),
            Origin::Shadow(_) => {}
        }
    }

    fn answer(&mut self, flow: usize, step: Step) {
        self.flows[flow].pending.push(step);
        self.answered.push(flow);
    }

    /// Marks the last thing that the proxy before will get as the last.
    fn end_hop(&mut self, flow: usize, how: StreamEnd) {
        let Flow { origin: Origin::Leg(leg), http2, head_sent, .. } = self.flows[flow] else { return };
        let trailers = std::mem::take(&mut self.flows[flow].trailers);
        match how {
            StreamEnd::ClientGone => {}
            StreamEnd::Complete if !trailers.is_empty() => self.answer(flow, Step::Trailers(trailers)),
            StreamEnd::Complete => match self.flows[flow].pending.last_mut() {
                Some(Step::Head { end, .. } | Step::Body { end, .. }) => *end = true,
                _ => self.answer(flow, Step::Body { bytes: 0, end: true }),
            },
            StreamEnd::Reset if http2 => self.answer(flow, Step::Rst(ResetReason::RemoteReset)),
            StreamEnd::Reset if head_sent => {
                self.io(DELAYED_CLOSE, Event::Step(leg, Step::Close(ResetReason::ProtocolError)));
            }
            StreamEnd::Reset => self.answer(flow, Step::Close(ResetReason::ConnectionTermination)),
        }
    }

    /// Sends on what proxies answered during one call.
    pub(crate) fn flush(&mut self) {
        for flow in std::mem::take(&mut self.answered) {
            let Flow { origin: Origin::Leg(leg), .. } = self.flows[flow] else { continue };
            self.legs[leg].text = self.flows[flow].text.clone();
            for step in std::mem::take(&mut self.flows[flow].pending) {
                self.io(Nanos::ZERO, Event::Step(leg, step));
            }
        }
    }

    fn mirror(&mut self, node: usize, of: StreamId, shadow: StreamId) {
        let Some(of) = self.flow_of(node, of) else { return };
        let Flow { ref request, complete, body_bytes, http2, .. } = self.flows[of];
        let head = Head { http2, end: complete, ..Head::default() };
        let request = request.clone();
        let index = self.push_flow(node, Origin::Shadow(of), request, &head);
        self.flows[index].stream = Some(shadow);
        self.flows[index].body_bytes = body_bytes;
        self.nodes[node].streams.insert(shadow, index);
    }
}
