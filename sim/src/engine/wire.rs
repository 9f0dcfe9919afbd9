//! Between proxies: connections, requests on their way, answers on their way back.

use meshproof_proxy::{AttemptId, ConnectionId, Peer, ResetReason, ResponseHead};

use super::{Down, Engine, Event, Home, Leg, NONE, Sender, Server, Todo, proxies::Asked};
use crate::{
    entropy::Purpose,
    plan::{Link, Target},
    slab::Ref,
};

const OVERLOADED: &[(&str, &str)] = &[("x-envoy-overloaded", "true")];

impl Engine<'_> {
    /// One way between two replicas; `None`: a client outside the mesh, or nobody, as near as the other end.
    pub(super) fn link_delay(&self, from: Option<u32>, to: Option<u32>, key: u64, n: u64) -> u64 {
        let zone = |node: Option<u32>| node.map(|node| self.plan.nodes[node as usize].zone);
        let crosses = matches!((zone(from), zone(to)), (Some(a), Some(b)) if a != b);
        let sampler = if crosses { &self.plan.network.cross_zone } else { &self.plan.network.same_zone };
        sampler.constant().unwrap_or_else(|| sampler.sample(self.keys.draw(Purpose::Link, key, n)))
    }

    fn proxy_delay(&self, key: u64, n: u64) -> u64 {
        let sampler = &self.plan.network.proxy;
        sampler.constant().unwrap_or_else(|| sampler.sample(self.keys.draw(Purpose::Proxy, key, n)))
    }

    /// From the decision of the client's proxy until the server's proxy decides: through both and over the link.
    /// `None`: a client outside the mesh.
    pub(super) fn way_out(&self, instance: Option<u32>, target: Target, key: u64) -> u64 {
        let client = instance.map(|instance| &self.instances[instance as usize]);
        let takes_time = client.is_some_and(|client| client.takes_time);
        self.way(takes_time, client.map(|client| client.node), target, key, OUT)
    }

    /// Time through the client's proxy, over the link and through the server's proxy, or the other way round.
    fn way(&self, client_takes_time: bool, client: Option<u32>, target: Target, key: u64, direction: u64) -> u64 {
        let mut delay = self.link_delay(client, target.node(), key, direction);
        if client_takes_time {
            delay += self.proxy_delay(key, direction);
        }
        if matches!(target, Target::Proxy { .. }) {
            delay += self.proxy_delay(key, direction + 1);
        }
        delay
    }

    pub(super) fn on_connected(&mut self, at: Home, connection: ConnectionId) -> bool {
        let Some(known) = self.connection(at, connection) else { return false };
        let is_up = known.target.node().is_none_or(|node| self.nodes[node as usize].is_up);
        let failure = match (known.target, known.link) {
            (Target::Nowhere, _) => Some(ResetReason::RemoteConnectionFailure),
            _ if !is_up => Some(ResetReason::RemoteConnectionFailure),
            (_, Link::Refused) => Some(ResetReason::TlsFailure),
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
                self.queue.push(self.now + 2 * way, Event::Closed { at, connection });
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

    fn connection(&self, at: Home, connection: ConnectionId) -> Option<super::Connection> {
        if !self.is_current(at) {
            return None;
        }
        self.instances[at.instance as usize].connection(connection)
    }

    pub(super) fn on_arrive(&mut self, at: Ref<Leg>) -> bool {
        let Some(leg) = self.legs.get_mut(at) else { return false };
        let is_doomed = leg.link == Link::Doomed;
        let Some(node) = leg.target.node().filter(|node| !is_doomed && self.nodes[*node as usize].is_up) else {
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
        let Some(leg) = self.legs.get(at) else { return };
        let entry = &self.nodes[node as usize];
        let Some(instance) = entry.gateway.or(entry.inbound) else { return };
        let is_gateway = entry.gateway.is_some();
        let plan = self.plan;
        let identity = match leg.link {
            Link::Tls { identity, .. } => plan.identities.get(identity as usize),
            _ => None,
        };
        let asked = Asked {
            head: leg.head,
            body: leg.body,
            key: leg.key,
            peer: Peer { identity, ..Peer::default() },
            down: Down::Leg(at),
            root: leg.root,
            service: leg.service,
            edge: NONE,
            number: leg.number,
            caller: leg.caller,
        };
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

    /// A request reaches the handler beside its proxy.
    pub(super) fn serve(&mut self, at: Ref<Leg>) {
        let Some(Leg { client: Sender::Proxy { at: home, .. }, .. }) = self.legs.get(at) else { return };
        let node = self.instances[home.instance as usize].node;
        self.visit(at, node);
    }

    /// The server has an answer; `status` 0: it breaks off.
    pub(super) fn answered(&mut self, at: Ref<Leg>, status: u16, overloaded: bool) {
        let Some(leg) = self.legs.get_mut(at) else { return };
        leg.server = Server::Answered;
        leg.status = status;
        leg.overloaded = overloaded;
        let (key, target) = (leg.key, leg.target);
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
        let delay = self.way(takes_time, client, target, key, BACK);
        self.queue.push(self.now + delay, Event::Answer { leg: at });
    }

    pub(super) fn on_answer(&mut self, at: Ref<Leg>) -> bool {
        let Some(leg) = self.legs.get(at) else { return false };
        let (client, status) = (leg.client, leg.status);
        let headers = if leg.overloaded { OVERLOADED } else { &[] };
        self.unlink(at);
        self.drop_leg(at);
        match client {
            Sender::Proxy { at: home, attempt, .. } => {
                if status == 0 {
                    let reason = ResetReason::RemoteReset;
                    self.with_proxy(home.instance, |proxy, cx| proxy.on_upstream_reset(cx, attempt, reason));
                } else {
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
        let Some(side) = self.instances[instance as usize].side(attempt.stream) else { return };
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
                self.queue.push(self.now + delay, Event::Reset { leg: at });
            }
        }
    }

    /// The server hears that its client has left.
    pub(super) fn on_reset(&mut self, at: Ref<Leg>) -> bool {
        let Some(leg) = self.drop_leg(at) else { return false };
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
        let Some(side) = self.instances[home.instance as usize].side(attempt.stream) else { return };
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

/// Draws of one attempt's ways, by direction: the link, then each proxy.
const OUT: u64 = 0;
const BACK: u64 = 2;
const RESET: u64 = 4;
