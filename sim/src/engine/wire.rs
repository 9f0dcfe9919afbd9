//! Between proxies: connections, requests on their way, answers on their way back.

use meshproof_proxy::{AttemptId, ConnectionId, ResetReason, ResponseHead};

use super::{
    Down, Engine, Event, Home, Leg, NONE, Node, Sender, Server, Todo,
    links::{BACK, RESET},
    proxies::Asked,
};
use crate::{
    plan::{Link, Target},
    slab::Ref,
};

const OVERLOADED: &[(&str, &str)] = &[("x-envoy-overloaded", "true")];

impl Engine<'_> {
    pub(super) fn on_connected(&mut self, at: Home, connection: ConnectionId) -> bool {
        let Some(known) = self.connection(at, connection) else { return false };
        let is_up = known.target.node().is_none_or(|node| self.nodes[node as usize].takes_connections());
        let failure = match (known.target, known.link) {
            (Target::Nowhere, _) => Some(ResetReason::RemoteConnectionFailure),
            _ if !is_up => Some(ResetReason::RemoteConnectionFailure),
            (_, Link::Refused) => Some(ResetReason::TlsFailure),
            (target, Link::Tls { .. }) if !self.certificates_hold(at.instance, target) => Some(ResetReason::TlsFailure),
            _ => None,
        };
        if matches!(known.link, Link::Doomed | Link::Refused) {
            let workload = self.instances[at.instance as usize].spec.workload;
            self.observe_refusal(Some(workload), known.target);
        }
        let Some(reason) = failure else {
            if known.link == Link::Doomed {
                let node = self.instances[at.instance as usize].node;
                let way = self.link_delay(Some(node), known.target.node(), at.instance.into(), self.now);
                self.queue.push(self.now.saturating_add(way.saturating_mul(2)), Event::Closed { at, connection });
            }
            let is_http2 = match known.link {
                Link::Tls { is_http2, .. } => is_http2,
                _ => None,
            };
            self.with_proxy(at.instance, |proxy, cx| proxy.on_connected(cx, connection, is_http2));
            return true;
        };
        self.instances[at.instance as usize].take_connection(connection);
        self.with_proxy(at.instance, |proxy, cx| proxy.on_connect_failed(cx, connection, reason));
        true
    }

    /// Whether both ends of a TLS connection show certificates that hold.
    fn certificates_hold(&mut self, instance: u32, target: Target) -> bool {
        let own = self.instances[instance as usize].node;
        self.certificate_holds(own) && target.node().is_none_or(|node| self.certificate_holds(node))
    }

    pub(super) fn on_closed(&mut self, at: Home, connection: ConnectionId) -> bool {
        if self.connection(at, connection).is_none() {
            return false;
        }
        self.instances[at.instance as usize].take_connection(connection);
        let is_on_it = |leg: &Leg| matches!(leg.client, Sender::Proxy { at: home, connection: over, .. } if home == at && over == connection);
        let lost: Vec<Ref<Leg>> = self.legs.iter().filter(|(_, leg)| is_on_it(leg)).map(|(leg, _)| leg).collect();
        for leg in lost {
            self.unlink(leg);
            self.drop_leg(leg);
        }
        let reason = ResetReason::ConnectionTermination;
        self.with_proxy(at.instance, |proxy, cx| proxy.on_connection_closed(cx, connection, reason));
        true
    }

    /// The proxy closes a connection.
    pub(super) fn close(&mut self, instance: u32, connection: ConnectionId) {
        self.instances[instance as usize].take_connection(connection);
    }

    pub(super) fn connection(&self, at: Home, connection: ConnectionId) -> Option<super::Connection> {
        if !self.is_current(at) {
            return None;
        }
        self.instances[at.instance as usize].connection(connection)
    }

    pub(super) fn on_arrive(&mut self, at: Ref<Leg>) -> bool {
        let Some(leg) = self.legs.get_mut(at) else { return false };
        leg.arrived = self.now;
        let is_doomed = leg.link == Link::Doomed;
        // A client without a proxy opens a connection for each request.
        let is_new = matches!(leg.client, Sender::Client { .. });
        let takes = |node: &Node| if is_new { node.takes_connections() } else { node.is_up };
        let Some(node) = leg.target.node().filter(|node| !is_doomed && takes(&self.nodes[*node as usize])) else {
            leg.server = Server::Lost;
            if let Sender::Client { .. } = leg.client {
                self.queue.push(self.now, Event::Lost { leg: at });
            } else if let Sender::Gone = leg.client {
                self.drop_leg(at);
            }
            return true;
        };
        match leg.target {
            Target::Proxy { listener, .. } => self.ask(at, node, listener),
            Target::Bare { node } => self.visit(at, node),
            Target::App | Target::Nowhere => {}
        }
        true
    }

    /// Hands a request that has arrived to the proxy of its server.
    fn ask(&mut self, at: Ref<Leg>, node: u32, listener: meshproof_proxy::ListenerId) {
        if self.has_passed(at) {
            return self.visit(at, node);
        }
        let Some(leg) = self.legs.get(at) else { return };
        let entry = &self.nodes[node as usize];
        let Some(instance) = entry.gateway.or(entry.inbound) else { return };
        let is_gateway = entry.gateway.is_some();
        let identity = match leg.link {
            Link::Tls { identity, .. } => identity,
            _ => NONE,
        };
        let asked = Asked {
            head: leg.head,
            body: leg.body,
            key: leg.key,
            identity,
            down: Down::Leg(at),
            root: leg.root,
            service: leg.service,
            edge: NONE,
            number: leg.number,
            caller: leg.caller,
            deadline: leg.deadline,
        };
        if self.passes_through(instance, listener, &asked) {
            self.remember_passing(at);
            return self.visit(at, node);
        }
        let home = self.instances[instance as usize].home(instance);
        if is_gateway {
            self.observe_request(asked.root, asked.service);
        }
        let stream = self.request(instance, listener, &asked);
        // The proxy may have answered at once; then the leg is on its way back already.
        if let Some(leg) = self.legs.get_mut(at)
            && let Server::OnItsWay = leg.server
        {
            leg.server = Server::Stream { at: home, stream };
        }
    }

    /// Whether a server's proxy has nothing to decide about a request: no policy, no limit and no filter of its own. Such
    /// a proxy passes the request to the handler beside it and the answer back, at the same times as if it were asked;
    /// the time that it takes is in the way. [`PreparedRequest::passes_through`](meshproof_proxy::PreparedRequest) says
    /// so from its configuration.
    fn passes_through(&mut self, instance: u32, listener: meshproof_proxy::ListenerId, asked: &Asked) -> bool {
        let head = self.heads.get(asked.head);
        let spec = &self.instances[instance as usize].spec;
        let known = self.prepared.get(self.plan, spec, (listener, asked.head, asked.identity), head);
        known.is_some_and(|known| known.passes_through)
    }

    /// Whether the last request of this kind over this connection passed, under the configurations of now. What a
    /// connection shows of its client stays the same, so there is nothing else to look at.
    fn has_passed(&self, at: Ref<Leg>) -> bool {
        let Some((leg, known)) = self.connection_of(at) else { return false };
        known.passed == Some((leg.head, self.configurations))
    }

    fn remember_passing(&mut self, at: Ref<Leg>) {
        let Some((leg, known)) = self.connection_of(at) else { return };
        let (client, head) = (leg.client, leg.head);
        let known = super::Connection { passed: Some((head, self.configurations)), ..known };
        if let Sender::Proxy { at: home, .. } = client {
            self.instances[home.instance as usize].set_connection(known);
        }
    }

    fn connection_of(&self, at: Ref<Leg>) -> Option<(&Leg, super::Connection)> {
        let leg = self.legs.get(at)?;
        let Sender::Proxy { at: home, connection, .. } = leg.client else { return None };
        Some((leg, self.connection(home, connection)?))
    }

    /// A request reaches the handler beside its proxy.
    pub(super) fn serve(&mut self, at: Ref<Leg>) {
        let Some(Leg { client: Sender::Proxy { at: home, .. }, .. }) = self.legs.get(at) else { return };
        let node = self.instances[home.instance as usize].node;
        self.visit(at, node);
    }

    /// The server has an answer; `status` 0: it breaks off.
    /// `bytes`: the answer's body.
    pub(super) fn answered(&mut self, at: Ref<Leg>, status: u16, overloaded: bool, bytes: u64) {
        let Some(leg) = self.legs.get_mut(at) else { return };
        leg.body = bytes;
        leg.server = Server::Answered;
        leg.status = status;
        leg.overloaded = overloaded;
        let (key, target) = (leg.key, leg.target);
        let (service, arrived) = (leg.service, leg.arrived);
        self.count_at_server(target, service, status, arrived);
        let Some(leg) = self.legs.get(at) else { return };
        let (takes_time, client) = match leg.client {
            Sender::Gone => {
                self.drop_leg(at);
                return;
            }
            Sender::Proxy { at: home, .. } => {
                let client = &self.instances[home.instance as usize];
                (client.takes_time, Some(client.node))
            }
            Sender::Client { .. } => (false, None),
        };
        if target == Target::App {
            return self.todo.push_back(Todo::Answer { leg: at });
        }
        let delay = self.way(takes_time, client, target, key, BACK).saturating_add(self.plan.network.carrying(bytes));
        self.push_timer(self.now.saturating_add(delay), delay, Event::Answer { leg: at });
    }

    pub(super) fn on_answer(&mut self, at: Ref<Leg>) -> bool {
        let Some(leg) = self.legs.get(at) else { return false };
        let (client, status, body) = (leg.client, leg.status, leg.body);
        let headers = if leg.overloaded { OVERLOADED } else { &[] };
        self.unlink(at);
        self.drop_leg(at);
        match client {
            Sender::Proxy { at: home, attempt, .. } => {
                if status == 0 {
                    let reason = ResetReason::RemoteReset;
                    self.with_proxy(home.instance, |proxy, cx| proxy.on_upstream_reset(cx, attempt, reason));
                } else {
                    if body > 0
                        && let Some(side) = self.side(home.instance, attempt.stream)
                    {
                        side.answer = body;
                    }
                    let head = ResponseHead { status, headers };
                    self.with_proxy(home.instance, |proxy, cx| proxy.on_response(cx, attempt, &head, true));
                }
            }
            Sender::Client { request, number } => {
                self.measure_direct(request, number, status);
                self.todo.push_back(Todo::TryDone { request, number, status });
            }
            Sender::Gone => {}
        }
        true
    }

    /// The client's proxy gives up an attempt.
    pub(super) fn reset_upstream(&mut self, instance: u32, attempt: AttemptId) {
        let Some(side) = self.side(instance, attempt.stream) else { return };
        let mut next = side.legs;
        while let Some(at) = next {
            let Some(leg) = self.legs.get(at) else { return };
            next = leg.next;
            if matches!(leg.client, Sender::Proxy { attempt: sent, .. } if sent == attempt) {
                self.unlink(at);
                return self.drop_sender(at);
            }
        }
    }

    /// Whoever sent an attempt no longer waits: its server hears of it in its time.
    pub(super) fn drop_sender(&mut self, at: Ref<Leg>) {
        let Some(leg) = self.legs.get_mut(at) else { return };
        let client = match leg.client {
            Sender::Proxy { at: home, .. } => Some(self.instances[home.instance as usize].node),
            Sender::Client { .. } | Sender::Gone => None,
        };
        leg.client = Sender::Gone;
        leg.next = None;
        let (key, target) = (leg.key, leg.target);
        match leg.server {
            Server::Answered | Server::Lost => {
                self.drop_leg(at);
            }
            Server::Visit(visit) if target == Target::App => {
                self.drop_leg(at);
                self.abandon(visit);
            }
            Server::OnItsWay if target == Target::App => {
                self.drop_leg(at);
            }
            Server::OnItsWay | Server::Stream { .. } | Server::Visit(_) => {
                let delay = self.link_delay(client, target.node(), key, RESET);
                self.queue.push(self.now.saturating_add(delay), Event::Reset { leg: at });
            }
        }
    }

    /// The server hears that its client has left.
    pub(super) fn on_reset(&mut self, at: Ref<Leg>) -> bool {
        let Some(leg) = self.drop_leg(at) else { return false };
        if matches!(leg.server, Server::Stream { .. } | Server::Visit(_)) {
            self.count_at_server(leg.target, leg.service, 0, leg.arrived);
        }
        match leg.server {
            Server::Stream { at: home, stream } if self.is_current(home) => {
                self.with_proxy(home.instance, |proxy, cx| proxy.on_downstream_reset(cx, stream));
            }
            Server::Visit(visit) => self.abandon(visit),
            Server::OnItsWay | Server::Stream { .. } | Server::Answered | Server::Lost => {}
        }
        true
    }

    /// A client without a proxy hears that its server is gone.
    pub(super) fn on_lost(&mut self, at: Ref<Leg>) -> bool {
        let Some(leg) = self.drop_leg(at) else { return false };
        if let Sender::Client { request, number } = leg.client {
            self.measure_direct(request, number, 0);
            self.todo.push_back(Todo::TryDone { request, number, status: 0 });
        }
        true
    }

    /// Removes an attempt that is over for both sides.
    pub(super) fn drop_leg(&mut self, at: Ref<Leg>) -> Option<Leg> {
        let leg = self.legs.remove(at)?;
        self.release(leg.root);
        Some(leg)
    }

    /// Takes an attempt out of its stream's list.
    fn unlink(&mut self, at: Ref<Leg>) {
        let Some(leg) = self.legs.get(at) else { return };
        let Sender::Proxy { at: home, attempt, .. } = leg.client else { return };
        let after = leg.next;
        if !self.is_current(home) {
            return;
        }
        let Some(side) = self.side(home.instance, attempt.stream) else { return };
        if side.legs == Some(at) {
            side.legs = after;
            return;
        }
        let mut before = side.legs;
        while let Some(entry) = before.and_then(|before| self.legs.get_mut(before)) {
            if entry.next == Some(at) {
                entry.next = after;
                return;
            }
            before = entry.next;
        }
    }
}
