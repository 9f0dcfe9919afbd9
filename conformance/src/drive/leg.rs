//! Attempts on the way to a host, and what the host does with them.

use std::{
    net::{IpAddr, Ipv4Addr},
    rc::Rc,
    sync::Arc,
};

use meshproof_proxy::{AttemptId, ConnectionId, Nanos, Peer, ResetReason, ResponseHead, Time, Token};

use super::{
    flow::{DELAYED_CLOSE, Origin},
    framing,
    link::LinkState,
    script::{self, Step},
    world::{Event, ScriptedHost, Target, World},
};
use crate::case::LastStream;

/// Where every connection comes from.
pub(crate) const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);
/// What the rig needs for one thing of a closed loop: to answer a request, or to send the next one.
const RIG_TURN: Nanos = Nanos::new(100_000);
/// Connections between proxies are numbered from here, those of the client below.
const HOP_CONNECTIONS: u64 = 1 << 32;

/// A request's head, owned.
#[derive(Clone, Debug, Default)]
pub(crate) struct Head {
    pub(crate) method: String,
    pub(crate) authority: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) tokens: Vec<Arc<Token>>,
    pub(crate) http2: bool,
    pub(crate) end: bool,
}

/// One attempt.
pub(crate) struct Leg {
    pub(crate) node: usize,
    pub(crate) attempt: AttemptId,
    pub(crate) link: usize,
    pub(crate) flow: usize,
    head: Head,
    /// Whether the proxy still wants to hear of it.
    alive: bool,
    /// Whether the host waits for the end of the request.
    waiting: bool,
    /// When the host is done with it.
    done_at: Option<Time>,
    pub(crate) arrival: Option<usize>,
    /// The stream that it is at the proxy it leads to.
    pub(crate) carries: Option<usize>,
    pub(crate) text: Rc<str>,
    pub(crate) trailers: Vec<(String, String)>,
    action: crate::case::Action,
}

/// A request as a scripted host saw it.
pub(crate) struct Arrival {
    pub(crate) request: Rc<str>,
    pub(crate) host: usize,
    pub(crate) at: Time,
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) headers: Vec<(String, String)>,
    /// The number of the host's connection.
    pub(crate) connection: usize,
    pub(crate) reset_by_proxy: bool,
}

impl World<'_> {
    /// A proxy sends a request over an open connection.
    pub(crate) fn send_attempt(&mut self, node: usize, attempt: AttemptId, connection: ConnectionId) {
        let (Some(flow), Some(link)) =
            (self.nodes[node].streams.get(&attempt.stream).copied(), self.nodes[node].links.get(&connection).copied())
        else {
            return;
        };
        let Some(request) = self.nodes[node].proxy.upstream_request(attempt) else { return };
        let head = Head {
            method: request.method().to_owned(),
            authority: request.authority().to_owned(),
            path: request.path().to_owned(),
            headers: request.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
            tokens: self.flows[flow].tokens.clone(),
            http2: self.links[link].http2,
            end: self.flows[flow].complete,
        };
        let leg = self.legs.len();
        self.legs.push(Leg {
            node,
            attempt,
            link,
            flow,
            head,
            alive: true,
            waiting: false,
            done_at: None,
            arrival: None,
            carries: None,
            text: Rc::from(""),
            trailers: Vec::new(),
            action: crate::case::Action::default(),
        });
        self.links[link].legs.push(leg);
        self.nodes[node].attempts.insert(attempt, leg);
        self.io(Nanos::ZERO, Event::Arrive(leg));
    }

    /// A request's head reaches its host.
    pub(crate) fn arrive(&mut self, leg: usize) {
        let link = self.legs[leg].link;
        if !self.legs[leg].alive || self.links[link].is_doomed {
            return;
        }
        match self.links[link].target {
            Target::Scripted(host) => self.arrive_at_host(leg, host),
            Target::Proxy(node) => self.arrive_at_proxy(leg, node),
        }
    }

    fn arrive_at_host(&mut self, leg: usize, host: usize) {
        let link = self.legs[leg].link;
        if self.links[link].http2 != self.hosts[host].http2 {
            // An HTTP/1.1 host answers 400 to anything else, an HTTP/2 host sends SETTINGS: neither is understood.
            return self.io(Nanos::ZERO, Event::Step(leg, Step::Close(ResetReason::ProtocolError)));
        }
        let request = self.flows[self.legs[leg].flow].request.clone();
        let times_seen = self.seen.entry(request.clone()).or_default();
        let seen = *times_seen;
        *times_seen += 1;
        let ScriptedHost { cluster, name, arrivals, .. } = &mut self.hosts[host];
        let action = self.case.upstream.action(&request, cluster, name, seen, *arrivals);
        *arrivals += 1;
        self.legs[leg].arrival = Some(self.arrivals.len());
        let head = &self.legs[leg].head;
        let mut headers = Vec::with_capacity(head.headers.len() + 1);
        if !head.http2 {
            headers.push(("host".to_owned(), head.authority.clone()));
        }
        headers.extend(head.headers.iter().cloned());
        if !head.http2 {
            let has_body = !self.flows[self.legs[leg].flow].complete || self.flows[self.legs[leg].flow].body_bytes > 0;
            headers.extend(framing::request(&head.method, &head.headers, has_body));
        }
        self.arrivals.push(Arrival {
            request,
            host,
            at: self.now,
            method: head.method.clone(),
            path: head.path.clone(),
            headers,
            connection: self.links[link].number,
            reset_by_proxy: false,
        });
        let acts_early = action.early;
        self.legs[leg].text = Rc::from(script::body(&action));
        self.legs[leg].action = action;
        if acts_early || self.flows[self.legs[leg].flow].complete {
            self.act(leg);
        } else {
            self.legs[leg].waiting = true;
        }
    }

    /// A listener that expects HTTP/2 gets HTTP/1.1: it closes the connection when its delay for that is over.
    fn misread(&mut self, link: usize) {
        if !self.links[link].is_misread {
            self.links[link].is_misread = true;
            self.io(DELAYED_CLOSE, Event::LinkCut(link));
        }
    }

    fn arrive_at_proxy(&mut self, leg: usize, node: usize) {
        let link = self.legs[leg].link;
        match (self.links[link].http2, self.links[link].read_as_http2) {
            (false, Some(true)) => return self.misread(link),
            // The listener answers 400 in HTTP/1.1, which is not understood.
            (true, Some(false)) => {
                return self.io(Nanos::ZERO, Event::Step(leg, Step::Close(ResetReason::ProtocolError)));
            }
            _ => {}
        }
        // What was sent before this request is read before it.
        self.leave_all(|this, leaving| this.flows[leaving].node == node);
        let Leg { flow, link, ref head, .. } = self.legs[leg];
        let body_bytes = self.flows[flow].body_bytes;
        let complete = self.flows[flow].complete;
        let head = Head { end: complete && body_bytes == 0, ..head.clone() };
        let request = self.flows[flow].request.clone();
        let facts = self.links[link].facts.clone();
        let peer = Peer {
            identity: facts.identity.as_ref(),
            server_name: facts.server_name.as_deref(),
            address: Some(LOOPBACK),
            connection: link as u64 + HOP_CONNECTIONS,
            ..Peer::default()
        };
        self.legs[leg].carries = Some(self.flows.len());
        self.open_flow(node, Origin::Leg(leg), request, &head, peer);
        if body_bytes > 0
            && let Some(carried) = self.legs[leg].carries
        {
            self.request_body(carried, body_bytes, complete);
        }
    }

    /// More of the request's body reaches the host of a leg.
    pub(crate) fn pass_body(&mut self, leg: usize, bytes: u64, end: bool) {
        if !self.legs[leg].alive {
            return;
        }
        if let Some(carried) = self.legs[leg].carries {
            self.io(Nanos::ZERO, Event::Chunk { flow: carried, bytes, end });
        } else if end && self.legs[leg].waiting {
            self.legs[leg].waiting = false;
            self.act(leg);
        }
    }

    /// The host plays its script. In a closed loop it waits for its turn.
    fn act(&mut self, leg: usize) {
        let is_loop = self.flows[self.legs[leg].flow].request.contains('.');
        let turn = if is_loop { self.rig_turn() } else { Nanos::ZERO };
        let Leg { ref action, ref head, link, .. } = self.legs[leg];
        let play = if self.links[link].http2 { script::http2 } else { script::http1 };
        let script = play(action, &head.method);
        self.legs[leg].done_at = script.done_after.map(|after| self.now + turn + after);
        for (after, step) in script.steps {
            self.io(turn + after, Event::Step(leg, step));
        }
    }

    /// When the rig comes to do one more thing of a closed loop: it is one process that does one after the other.
    pub(crate) fn rig_turn(&mut self) -> Nanos {
        self.rig_free = self.rig_free.max(self.now) + RIG_TURN;
        self.rig_free.since(self.now)
    }

    /// The host of a leg does something, and the proxy hears of it.
    pub(crate) fn step(&mut self, leg: usize, step: Step) {
        let Leg { node, attempt, link, alive, .. } = self.legs[leg];
        if self.links[link].state != LinkState::Open {
            return;
        }
        match step {
            Step::GoAway(last) => return self.go_away(leg, last),
            Step::Close(reason) => return self.link_lost(link, reason),
            _ if !alive => return,
            Step::Head { status, headers, end } => {
                self.legs[leg].alive = !end;
                let headers: Vec<_> = headers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                let head = ResponseHead { status, headers: &headers };
                self.call(node, |proxy, cx| proxy.on_response(cx, attempt, &head, end));
            }
            Step::Body { bytes, end } => {
                self.legs[leg].alive = !end;
                self.call(node, |proxy, cx| proxy.on_response_body(cx, attempt, bytes, end));
            }
            Step::Trailers(trailers) => {
                self.legs[leg].alive = false;
                let borrowed: Vec<_> = trailers.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
                self.call(node, |proxy, cx| proxy.on_response_trailers(cx, attempt, &borrowed));
                self.legs[leg].trailers = trailers;
            }
            Step::Rst(reason) => {
                self.legs[leg].alive = false;
                self.call(node, |proxy, cx| proxy.on_upstream_reset(cx, attempt, reason));
            }
        }
        self.settle(node, Some(leg));
    }

    /// No further stream on this connection, and those above the last one were not handled.
    fn go_away(&mut self, leg: usize, last: LastStream) {
        let Leg { node, link, .. } = self.legs[leg];
        let position = self.links[link].legs.iter().position(|other| *other == leg).unwrap_or(0);
        let handled = match last {
            LastStream::This => position + 1,
            LastStream::Previous => position,
            LastStream::Max => usize::MAX,
            LastStream::Zero => 0,
        };
        let connection = self.links[link].connection;
        self.call(node, |proxy, cx| proxy.on_goaway(cx, connection));
        self.settle(node, None);
        let refused: Vec<_> = self.links[link].legs.iter().copied().skip(handled).collect();
        for leg in refused {
            self.step(leg, Step::Rst(ResetReason::RemoteRefusedStream));
        }
    }

    /// The proxy gives an attempt up.
    pub(crate) fn reset_attempt(&mut self, node: usize, attempt: AttemptId) {
        let Some(leg) = self.nodes[node].attempts.get(&attempt).copied() else { return };
        let was_alive = std::mem::replace(&mut self.legs[leg].alive, false);
        self.legs[leg].waiting = false;
        if !self.links[self.legs[leg].link].http2 {
            return;
        }
        if let Some(arrival) = self.legs[leg].arrival
            && self.legs[leg].done_at.is_none_or(|done| self.now < done)
        {
            self.arrivals[arrival].reset_by_proxy = true;
        }
        if let Some(flow) = self.legs[leg].carries.filter(|_| was_alive) {
            self.give_up_carried(flow);
        }
    }

    /// Ends every leg on a link; what they carry is told that its client has gone.
    pub(crate) fn drop_legs(&mut self, link: usize) {
        for leg in self.links[link].legs.clone() {
            self.legs[leg].alive = false;
            self.legs[leg].waiting = false;
            if let Some(flow) = self.legs[leg].carries {
                self.give_up_carried(flow);
            }
        }
    }
}
