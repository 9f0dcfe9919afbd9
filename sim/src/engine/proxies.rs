//! Driving the proxies: one call, then its effects, completely.

use std::sync::Arc;

use meshproof_proxy::{
    AttemptId, Authorization, ClusterId, ConnectionId, Cx, Effect, HealthResult, HostId, ListenerId, Note, Proxy,
    RateLimitAnswer, RequestKey, ResponseFlag, StreamEnd, StreamId, Time, TimerId,
};

use super::pods::{Phase, Pod};
use super::prepared::with_head;
use super::{Connection, Down, Engine, Event, Home, Instance, Leg, NONE, Node, Sender, Server, Side, Todo};
use crate::{
    delivery::Side as CountedBy,
    dist::reduce,
    entropy::{Purpose, mix},
    measure::Sent,
    plan::{Direction, Head, Link, Spec, Target},
    slab::Ref,
};

impl Engine<'_> {
    pub(super) fn start_proxies(&mut self) {
        for (number, node) in self.plan.nodes.iter().enumerate() {
            let workload = &self.plan.workloads[node.workload as usize];
            let number = number as u32;
            let zone = (number - workload.first_node) % workload.zones;
            let mut start = |spec: Option<u32>| spec.map(|spec| self.start_proxy(number, spec, workload.has_proxy));
            let (outbound, inbound, gateway) = (
                start(workload.outbound.map(|spec| spec + zone)),
                start(workload.inbound),
                start(workload.gateway.map(|spec| spec + zone)),
            );
            let is_there = number - workload.first_node < workload.at_start;
            self.nodes.push(Node {
                is_up: is_there,
                epoch: 0,
                busy: 0,
                queue: std::collections::VecDeque::new(),
                waiting: 0,
                queue_max: 0,
                busy_since: 0,
                busy_nanos: 0,
                jobs_nanos: [0; crate::measure::JOBS],
                sharing: super::sharing::Sharing::default(),
                freezes: 0,
                frozen_since: 0,
                held: Vec::new(),
                slow: 1_000_000,
                places: workload.concurrency,
                started: None,
                cached: workload.cache.as_ref().map_or(0, |cache| cache.warm_after),
                certified_at: 0,
                faults: Vec::new(),
                // A gateway has one proxy, which is also the one that clients in it dial through.
                outbound: outbound.or(gateway),
                inbound,
                gateway,
                pod: Pod {
                    phase: if is_there { Phase::There } else { Phase::Absent },
                    is_ready: is_there,
                    ..Pod::default()
                },
            });
            if is_there {
                self.start_node(number);
            }
        }
    }

    /// Certificates are of all ages at the start; pauses begin.
    fn start_node(&mut self, node: u32) {
        if let Some(lifetime) = self.plan.control_plane.certificates {
            let age = reduce(self.keys.draw(Purpose::CertificateAge, self.replica(node), 0), (lifetime / 2).max(1));
            self.nodes[node as usize].certified_at = lifetime - age;
        }
        self.next_pause(node, 0, 0);
    }

    fn start_proxy(&mut self, node: u32, spec_index: u32, takes_time: bool) -> u32 {
        let spec = Arc::clone(&self.plan.specs[spec_index as usize]);
        let index = self.instances.len() as u32;
        let salt = mix(u64::from(node), u64::from(spec_index));
        let is_asleep = spec.table.is_quiet();
        let proxy = if is_asleep { Proxy::default() } else { self.new_proxy(&spec, salt, self.now) };
        self.instances.push(Instance {
            proxy,
            is_asleep,
            spec,
            spec_index,
            change: 0,
            seen: 0,
            node,
            epoch: 0,
            salt,
            takes_time,
            streams: Vec::new(),
            connections: Vec::new(),
            open: Vec::new(),
        });
        self.drain(index);
        index
    }

    /// A proxy with nothing in flight, as it is made at some time; its first effects wait to be drained.
    pub(super) fn new_proxy(&mut self, spec: &Spec, salt: u64, now: u64) -> Proxy {
        let mut draws = self.keys.of_proxy(salt, now);
        let mut cx = Cx { now: Time::from_nanos(now), entropy: &mut draws, effects: &mut self.effects };
        Proxy::new(&mut cx, Arc::clone(&spec.table))
    }

    /// Makes a proxy that was not needed before, as it was at the start of the run.
    pub(super) fn wake(&mut self, instance: u32) {
        let entry = &mut self.instances[instance as usize];
        if !std::mem::take(&mut entry.is_asleep) {
            return;
        }
        let (spec, salt) = (Arc::clone(&entry.spec), entry.salt);
        self.instances[instance as usize].proxy = self.new_proxy(&spec, salt, 0);
        if !self.effects.is_empty() {
            self.checker.violation(format!("proxy {instance} was to be quiet, and acts as soon as it is made"));
        }
    }

    /// Calls a proxy and does what it asks for.
    pub(super) fn with_proxy(&mut self, instance: u32, call: impl FnOnce(&mut Proxy, &mut Cx<'_>)) {
        self.wake(instance);
        let entry = &mut self.instances[instance as usize];
        let mut draws = self.keys.of_proxy(entry.salt, self.now);
        let mut cx = Cx { now: Time::from_nanos(self.now), entropy: &mut draws, effects: &mut self.effects };
        call(&mut entry.proxy, &mut cx);
        self.drain(instance);
    }

    /// Hands a request to a proxy.
    pub(super) fn request(&mut self, instance: u32, listener: ListenerId, asked: &Asked) -> StreamId {
        self.wake(instance);
        let head = self.heads.get(asked.head);
        let entry = &mut self.instances[instance as usize];
        let at = entry.home(instance);
        let mut draws = self.keys.of_proxy(entry.salt, self.now);
        let mut cx = Cx { now: Time::from_nanos(self.now), entropy: &mut draws, effects: &mut self.effects };
        let kind = (listener, asked.head, asked.identity);
        let is_whole = asked.body == 0;
        let stream = match self.prepared.get(self.plan, &entry.spec, kind, head) {
            Some(known) => entry.proxy.on_prepared_request(&mut cx, &known.request, RequestKey(asked.key), is_whole),
            None => with_head(self.plan, head, asked.identity, asked.key, |head| {
                entry.proxy.on_request(&mut cx, listener, head, is_whole)
            }),
        };
        let side = Side {
            at,
            stream,
            down: asked.down,
            root: asked.root,
            key: asked.key,
            head: asked.head,
            started: self.now,
            service: asked.service,
            edge: asked.edge,
            number: asked.number,
            attempts: 0,
            caller: asked.caller,
            body: asked.body,
            answer: 0,
            deadline: asked.deadline,
            target: NONE,
            legs: None,
            sibling: None,
        };
        entry.put_side(&mut self.sides, side);
        self.drain(instance);
        if asked.body > 0 {
            self.with_proxy(instance, |proxy, cx| proxy.on_request_body(cx, stream, asked.body, true));
        }
        stream
    }

    /// Does everything that the last call of a proxy asks for. Nothing here calls a proxy.
    pub(super) fn drain(&mut self, instance: u32) {
        let mut effects = std::mem::take(&mut self.effects);
        for effect in effects.drain() {
            self.effect(instance, effect);
        }
        self.instances[instance as usize].proxy.sweep(&mut effects);
        self.effects = effects;
    }

    fn effect(&mut self, instance: u32, effect: Effect) {
        let at = self.instances[instance as usize].home(instance);
        match effect {
            Effect::Connect { connection, cluster, host } => self.connect(instance, connection, cluster, host),
            Effect::Send { attempt, connection, cluster, .. } => self.send(instance, attempt, connection, cluster),
            Effect::ResetUpstream { attempt, .. } => self.reset_upstream(instance, attempt),
            Effect::Close(connection) => self.close(instance, connection),
            Effect::SetTimer { timer, at } => self.set_timer(instance, timer, at),
            Effect::End { stream, how } => self.end(instance, stream, how),
            Effect::Mirror { of, shadow } => self.mirror(instance, of, shadow),
            Effect::Note(note) => self.note(instance, note),
            Effect::Authorize { stream } => self.todo.push_back(Todo::Allowed { at, stream, is_rate_limit: false }),
            Effect::CheckRateLimit { stream } => self.todo.push_back(Todo::Allowed { at, stream, is_rate_limit: true }),
            Effect::CheckHealth { cluster, host } => self.todo.push_back(Todo::Checked { at, cluster, host }),
            // The buffer leaves these out.
            Effect::ClearTimer(_) | Effect::Respond { .. } | Effect::RespondBody { .. } => {}
        }
    }

    fn set_timer(&mut self, instance: u32, timer: TimerId, at: Time) {
        let entry = &self.instances[instance as usize];
        let side = timer.stream().and_then(|stream| {
            let side = entry.side_at(stream)?;
            self.sides.get(side).filter(|known| known.stream == stream).map(|_| side)
        });
        let event = match side {
            Some(side) => Event::StreamTimer { side, timer },
            None => Event::Timer { at: entry.home(instance), timer },
        };
        let at = at.as_nanos().max(self.now);
        self.push_timer(at, at - self.now, event);
    }

    fn connect(&mut self, instance: u32, connection: ConnectionId, cluster: ClusterId, host: HostId) {
        let (target, link) = self.end_of(instance, cluster, host);
        let entry = &mut self.instances[instance as usize];
        let passed = None;
        entry.put_connection(Connection {
            id: connection,
            cluster: cluster.index() as u32,
            host,
            target,
            link,
            passed,
        });
        let at = entry.home(instance);
        if target == Target::App {
            return self.todo.push_back(Todo::Connected { at, connection });
        }
        let open = entry.open[cluster.index()];
        let service = entry.spec.clusters.get(cluster.index()).and_then(|cluster| cluster.service);
        let from = entry.node;
        if let Some(service) = service {
            self.measure.connection(self.now, service, open);
        }
        let way = self.link_delay(Some(from), target.node(), at.instance.into(), u64::from(at.epoch));
        let handshake = if link == Link::Plaintext { 0 } else { self.plan.network.tls_handshake };
        let handshakes = self.plan.network.connect + handshake;
        let opened_at = self.now.saturating_add(way.saturating_mul(2)).saturating_add(handshakes);
        self.queue.push(opened_at, Event::Connected { at, connection });
    }

    fn send(&mut self, instance: u32, attempt: AttemptId, connection: ConnectionId, cluster: ClusterId) {
        let entry = &mut self.instances[instance as usize];
        let Some(known) = entry.connection(connection) else { return };
        self.checker.sent(&entry.proxy, cluster);
        let (service, edge) = entry.spec.clusters.get(cluster.index()).map_or((None, None), |c| (c.service, c.edge));
        let at = entry.home(instance);
        let rewrites = entry.spec.rewrites;
        let direction = entry.spec.direction;
        let workload = entry.spec.workload;
        let target = known.target.node().map(|node| self.plan.nodes[node as usize].workload);
        let Some(side) = entry.side(&mut self.sides, attempt.stream) else { return };
        side.service = service.unwrap_or(side.service);
        side.edge = edge.unwrap_or(side.edge);
        side.attempts += 1;
        side.target = target.unwrap_or(NONE);
        let mut leg = Leg {
            client: Sender::Proxy { at, attempt, connection },
            server: Server::OnItsWay,
            target: known.target,
            link: known.link,
            root: side.root,
            key: mix(side.key, u64::from(attempt.number)),
            head: side.head,
            body: side.body,
            number: side.number,
            caller: side.caller,
            deadline: side.deadline,
            arrived: 0,
            status: 0,
            overloaded: false,
            service: side.service,
            next: side.legs,
        };
        if direction != Direction::Inbound {
            leg.number = attempt.number;
            leg.caller = crate::plan::Caller::Workload(self.plan.workloads[workload as usize].base);
        }
        if direction == Direction::Outbound
            && let Down::Try { .. } = side.down
        {
            leg.caller = side.caller;
        }
        let (started, edge, service, is_retry) = (side.started, side.edge, side.service, attempt.number > 1);
        if rewrites && let Some(head) = self.rewritten(instance, attempt) {
            leg.head = head;
        }
        if self.plan.has_deadlines
            && let Some(left) = self.instances[instance as usize].proxy.time_left(attempt, Time::from_nanos(self.now))
        {
            leg.deadline = leg.deadline.min(self.now.saturating_add(left.get()));
        }
        let bytes = leg.body;
        let (key, target, link, root) = (leg.key, leg.target, leg.link, leg.root);
        let leg = self.legs.insert(leg);
        self.retain(root);
        if let Some(side) = self.side(instance, attempt.stream) {
            side.legs = Some(leg);
        }
        if target == Target::App {
            return self.todo.push_back(Todo::Serve { leg });
        }
        let sent = Sent { started, service, edge, target: self.workload_of(target), link, is_retry };
        self.measure.attempt(self.now, &sent);
        self.observe_attempt(Some(workload), target, link, service, root);
        let delay = self.way_out(Some(instance), target, key, bytes);
        self.push_timer(self.now.saturating_add(delay), delay, Event::Arrive { leg });
    }

    /// The head that the next hop sees, where routes change it. Headers that every proxy sets itself are left out.
    fn rewritten(&mut self, instance: u32, attempt: AttemptId) -> Option<u32> {
        let request = self.instances[instance as usize].proxy.upstream_request(attempt)?;
        let is_plumbing =
            |name: &str| name.starts_with("x-envoy-") || name.starts_with("x-forwarded-") || name == "x-request-id";
        let headers = request.headers().filter(|(name, _)| !is_plumbing(name));
        let head = Head {
            method: request.method().to_owned(),
            authority: request.authority().to_owned(),
            path: request.path().to_owned(),
            headers: headers.map(|(name, value)| (name.to_owned(), value.to_owned())).collect(),
        };
        Some(self.heads.id(head))
    }

    fn end(&mut self, instance: u32, stream: StreamId, how: StreamEnd) {
        let entry = &mut self.instances[instance as usize];
        let Some(side) = entry.take_side(&mut self.sides, stream) else { return self.checker.ended_twice() };
        let (status, flags) = entry.proxy.outcome(stream).unwrap_or((0, meshproof_proxy::ResponseFlags::NONE));
        let is_denied =
            self.observer.is_some() && entry.proxy.access_log(stream).is_some_and(|log| is_access_denied(log.details));
        if entry.spec.direction != Direction::Inbound {
            self.measure.stream(self.now, &side, status, flags, how);
            self.count(CountedBy::Source, (side.target, side.service), status, side.started);
        }
        if is_denied {
            self.observe_obstacle();
        }
        let mut leg = side.legs;
        while let Some(at) = leg {
            leg = self.legs.get(at).and_then(|leg| leg.next);
            self.drop_sender(at);
        }
        let is_complete = how == StreamEnd::Complete;
        match side.down {
            Down::Call { visit, call, repeat } => {
                self.forget_call(visit, stream, side.sibling);
                let is_ok = is_complete && is_ok(status);
                self.todo.push_back(Todo::CallDone { visit, call, repeat, is_ok });
            }
            Down::Try { request, number } => {
                let status = if is_complete { status } else { 0 };
                self.todo.push_back(Todo::TryDone { request, number, status });
            }
            Down::Leg(leg) => {
                let overloaded = flags.contains(ResponseFlag::UpstreamOverflow);
                self.answered(leg, if is_complete { status } else { 0 }, overloaded, side.answer);
            }
            Down::Shadow => {}
        }
    }

    fn mirror(&mut self, instance: u32, of: StreamId, shadow: StreamId) {
        let now = self.now;
        let entry = &mut self.instances[instance as usize];
        let Some(original) = entry.side(&mut self.sides, of) else { return };
        let side = Side {
            at: original.at,
            stream: shadow,
            down: Down::Shadow,
            root: original.root,
            key: mix(original.key, u64::from(u32::MAX)),
            head: original.head,
            started: now,
            service: NONE,
            edge: NONE,
            number: 1,
            attempts: 0,
            caller: original.caller,
            body: original.body,
            answer: 0,
            deadline: u64::MAX,
            target: NONE,
            legs: None,
            sibling: None,
        };
        entry.put_side(&mut self.sides, side);
    }

    fn note(&mut self, instance: u32, note: Note) {
        let (Note::Ejected(cluster, _)
        | Note::Unejected(cluster, _)
        | Note::RetryOverflow(cluster)
        | Note::Overflow(cluster)
        | Note::Panic(cluster)) = note;
        if matches!(note, Note::Ejected(..) | Note::RetryOverflow(_) | Note::Overflow(_)) {
            self.observe_obstacle();
        }
        let spec = &self.instances[instance as usize].spec;
        if let Some(service) = spec.clusters.get(cluster.index()).and_then(|cluster| cluster.service) {
            self.measure.note(self.now, service, note);
        }
    }

    /// A service outside the mesh that a filter asks answers at once, and allows everything.
    pub(super) fn allowed(&mut self, at: Home, stream: StreamId, is_rate_limit: bool) {
        if self.is_current(at) {
            self.with_proxy(at.instance, |proxy, cx| {
                if is_rate_limit {
                    proxy.on_rate_limit_answered(cx, stream, RateLimitAnswer::Ok);
                } else {
                    proxy.on_authorized(cx, stream, Authorization::Allowed);
                }
            });
        }
    }

    pub(super) fn checked(&mut self, at: Home, cluster: ClusterId, host: HostId) {
        if !self.is_current(at) {
            return;
        }
        let (target, _) = self.end_of(at.instance, cluster, host);
        let node = target.node();
        let own = self.instances[at.instance as usize].node;
        let is_up = target != Target::Nowhere
            && node.is_none_or(|node| self.nodes[node as usize].is_up)
            && !self.is_cut(Some(own), node);
        let result = if is_up { HealthResult::Status(200) } else { HealthResult::Failed };
        self.with_proxy(at.instance, |proxy, cx| proxy.on_health_checked(cx, cluster, host, result));
    }

    /// The simulator's side of a stream.
    pub(super) fn side(&mut self, instance: u32, stream: StreamId) -> Option<&mut Side> {
        self.instances[instance as usize].side(&mut self.sides, stream)
    }

    pub(super) fn is_current(&self, at: Home) -> bool {
        self.instances[at.instance as usize].epoch == at.epoch
    }

    /// The workload of a replica, whatever its template.
    pub(super) fn workload_of(&self, target: Target) -> Option<u32> {
        let workload = self.plan.nodes[target.node()? as usize].workload;
        Some(self.plan.workloads[workload as usize].base)
    }

    /// Takes a call out of its handler's list.
    fn forget_call(&mut self, visit: Ref<super::Visit>, stream: StreamId, next: Option<StreamId>) {
        let Some(visit) = self.visits.get_mut(visit) else { return };
        if visit.calls == Some(stream) {
            visit.calls = next;
            return;
        }
        let Some(outbound) = self.nodes[visit.node as usize].outbound else { return };
        let instance = &self.instances[outbound as usize];
        let mut at = visit.calls;
        while let Some(side) = at.and_then(|at| instance.side(&mut self.sides, at)) {
            if side.sibling == Some(stream) {
                side.sibling = next;
                return;
            }
            at = side.sibling;
        }
    }
}

/// What is asked of a proxy.
pub(super) struct Asked {
    pub(super) head: u32,
    pub(super) body: u64,
    pub(super) key: u64,
    /// The client's certificate, by its number; [`NONE`]: it shows none.
    pub(super) identity: u32,
    pub(super) down: Down,
    pub(super) root: Option<Ref<super::Request>>,
    pub(super) service: u32,
    pub(super) edge: u32,
    pub(super) number: u32,
    pub(super) caller: crate::plan::Caller,
    /// The caller no longer waits then, in nanoseconds.
    pub(super) deadline: u64,
}

/// Whether an answer is a good one: complete, and its status below 400.
pub(crate) const fn is_ok(status: u16) -> bool {
    status >= 100 && status < 400
}

/// Whether a stream ended because a filter refused it (Envoy: `response_code_details`).
fn is_access_denied(details: &str) -> bool {
    ["rbac_access_denied", "jwt_authn_access_denied", "ext_authz_denied"]
        .iter()
        .any(|reason| details.starts_with(reason))
}
