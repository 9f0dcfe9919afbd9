//! Clients: arrivals, patience, their own retries.

use meshproof_proxy::{ListenerId, StreamEnd};

use super::{
    Down, Engine, Event, Leg, NONE, Request, Sender, Server, Todo, Way,
    proxies::{Asked, is_ok},
};
use crate::{
    dist::reduce,
    entropy::{Purpose, mix},
    measure::Sent,
    plan::{Caller, Class, Link, LoadKind, Origin, Workload},
    slab::Ref,
};

impl Engine<'_> {
    pub(super) fn on_arrival(&mut self, load: u32) -> bool {
        let entry = &self.plan.loads[load as usize];
        let number = self.bursts[load as usize];
        self.bursts[load as usize] += 1;
        let next = match &entry.kind {
            LoadKind::Burst { requests, .. } => (number + 1 < *requests).then_some(self.now),
            _ => self.arrivals[load as usize].as_mut().and_then(|arrivals| arrivals.next(&self.keys)),
        };
        if let Some(at) = next.filter(|at| *at <= self.plan.horizon) {
            self.queue.push(at.max(self.now), Event::Arrival { load });
        }
        self.start_request(load, number, None);
        true
    }

    /// A user of a closed load begins to think.
    pub(super) fn think(&mut self, load: u32, user: u32, count: u32) {
        let LoadKind::Closed { think, .. } = &self.plan.loads[load as usize].kind else { return };
        let subject = mix(u64::from(load), u64::from(user));
        let at = self.now.saturating_add(think.sample(self.keys.draw(Purpose::Think, subject, count.into())));
        if at <= self.plan.horizon {
            self.queue.push(at, Event::User { load, user, count });
        }
    }

    pub(super) fn on_user(&mut self, load: u32, user: u32, count: u32) -> bool {
        self.start_request(load, mix(u64::from(user), u64::from(count)), Some((load, user, count)));
        true
    }

    fn start_request(&mut self, load: u32, number: u64, user: Option<(u32, u32, u32)>) {
        let client_index = self.plan.loads[load as usize].client;
        let client = &self.plan.clients[client_index as usize];
        let key = self.keys.draw(Purpose::Request, u64::from(load), number);
        let mut share = match client.classes.len() {
            1 => 0,
            _ => reduce(self.keys.draw(Purpose::Class, key, 0), client.shares),
        };
        let mut class = 0;
        while let Some(entry) = client.classes.get(class).filter(|entry| share >= entry.share) {
            share -= entry.share;
            class += 1;
        }
        let request = self.requests.insert(Request {
            client: client_index,
            class: class as u32,
            key,
            started: self.now,
            number: 0,
            tried_at: self.now,
            is_trying: false,
            is_over: false,
            in_flight: 0,
            way: Way::Nowhere,
            user,
        });
        self.measure.in_flight += 1;
        self.observe_start(request);
        self.begin_try(request);
    }

    pub(super) fn begin_try(&mut self, at: Ref<Request>) -> bool {
        let plan = self.plan;
        let Some(request) = self.requests.get_mut(at) else { return false };
        request.number += 1;
        request.is_trying = true;
        request.tried_at = self.now;
        let (number, key) = (request.number, mix(request.key, u64::from(request.number)));
        let client = &plan.clients[request.client as usize];
        let class = &client.classes[request.class as usize];
        let mut deadline = u64::MAX;
        if let Some(patience) = &client.patience {
            let wait = match patience.constant() {
                Some(wait) => wait,
                None => patience.sample(self.keys.draw(Purpose::Patience, key, 0)),
            };
            deadline = self.now.saturating_add(wait);
            self.push_timer(deadline, wait, Event::Leave { request: at, number });
        }
        if self.is_unresolved(client.service) {
            self.todo.push_back(Todo::TryDone { request: at, number, status: 0 });
            return true;
        }
        let way = match &client.origin {
            Origin::Outside(doors) => {
                let doors = doors.iter().filter(|door| self.is_door(door));
                let count = doors.clone().count() as u64;
                let door = reduce(self.keys.draw(Purpose::Replica, key, 0), count.max(1)) as usize;
                let door = doors.clone().nth(door).copied();
                self.go_straight(at, door, client.edge, deadline)
            }
            Origin::Workload(workload) => {
                let (node, listener) = self.client_replica(&plan.workloads[*workload as usize], class, key);
                node.and_then(|node| self.nodes[node as usize].outbound).zip(listener).map(|(instance, listener)| {
                    let asked = Asked {
                        head: class.head,
                        body: class.body,
                        key,
                        identity: NONE,
                        down: Down::Try { request: at, number },
                        root: Some(at),
                        service: client.service,
                        edge: client.edge,
                        number: 1,
                        caller: Caller::Client(self.requests.get(at).map_or(0, |request| request.client)),
                        deadline,
                    };
                    let home = self.instances[instance as usize].home(instance);
                    Way::Stream { at: home, stream: self.request(instance, listener, &asked) }
                })
            }
        };
        match way {
            Some(way) => {
                if let Some(request) = self.requests.get_mut(at) {
                    request.way = way;
                }
            }
            None => self.todo.push_back(Todo::TryDone { request: at, number, status: 0 }),
        }
        true
    }

    /// The replica that a client of the mesh runs on, and its listener for what it dials.
    fn client_replica(&self, workload: &Workload, class: &Class, key: u64) -> (Option<u32>, Option<ListenerId>) {
        let up = self.replicas(workload).filter(|node| self.nodes[*node as usize].takes_connections());
        let chosen = reduce(self.keys.draw(Purpose::Replica, key, 0), (up.clone().count() as u64).max(1));
        let node = up.clone().nth(chosen as usize);
        let template = node.and_then(|node| {
            let own = self.plan.nodes[node as usize].workload;
            workload.kin.iter().position(|known| *known == own)
        });
        (node, class.listeners.get(template.unwrap_or(0)).copied())
    }

    /// Sends a try of a client without a proxy on its way.
    fn go_straight(
        &mut self,
        at: Ref<Request>,
        door: Option<crate::plan::Host>,
        edge: u32,
        deadline: u64,
    ) -> Option<Way> {
        let mut door = door?;
        door.link = self.link_from_outside(door.target, door.link);
        let request = self.requests.get(at)?;
        let class = &self.plan.clients[request.client as usize].classes[request.class as usize];
        let key = mix(request.key, u64::from(request.number));
        let service = self.plan.clients[request.client as usize].service;
        let leg = Leg {
            client: Sender::Client { request: at, number: request.number },
            server: Server::OnItsWay,
            target: door.target,
            link: door.link,
            root: Some(at),
            key,
            head: class.head,
            body: class.body,
            number: 1,
            caller: Caller::Client(request.client),
            deadline,
            arrived: 0,
            status: 0,
            overloaded: false,
            service,
            next: None,
        };
        let leg = self.legs.insert(leg);
        self.retain(Some(at));
        let target = self.workload_of(door.target);
        let sent = Sent { started: self.now, service, edge, target, link: door.link, is_retry: false };
        self.measure.attempt(self.now, &sent);
        self.observe_attempt(None, door.target, door.link, service, Some(at));
        if matches!(door.link, Link::Refused | Link::Doomed) {
            self.observe_refusal(None, door.target);
            let way = 2 * self.link_delay(None, door.target.node(), key, 0);
            self.queue.push(self.now.saturating_add(way), Event::Lost { leg });
        } else {
            let way = self.way_out(None, door.target, key, class.body);
            self.queue.push(self.now.saturating_add(way), Event::Arrive { leg });
        }
        Some(Way::Leg(leg))
    }

    /// A client's patience with a try is over.
    pub(super) fn on_leave(&mut self, at: Ref<Request>, number: u32) -> bool {
        let Some(request) = self.requests.get(at) else { return false };
        if request.number != number || !request.is_trying {
            return false;
        }
        match request.way {
            Way::Leg(leg) => {
                self.measure_direct(at, number, 0);
                self.drop_sender(leg);
                self.try_done(at, number, 0);
            }
            // The stream's end tells that the try is over.
            Way::Stream { at: home, stream } if self.is_current(home) => {
                self.with_proxy(home.instance, |proxy, cx| proxy.on_downstream_reset(cx, stream));
            }
            Way::Stream { .. } | Way::Nowhere => self.try_done(at, number, 0),
        }
        true
    }

    /// Figures of a try that went without a client's proxy.
    pub(super) fn measure_direct(&mut self, at: Ref<Request>, number: u32, status: u16) {
        let Some(request) = self.requests.get(at) else { return };
        if request.number != number {
            return;
        }
        let client = &self.plan.clients[request.client as usize];
        let how = if status == 0 { StreamEnd::Reset } else { StreamEnd::Complete };
        self.measure.answer(self.now, request.tried_at, client.service, client.edge, status, how);
    }

    /// A try is over: the request ends, or another try follows. `status` 0: no answer.
    pub(super) fn try_done(&mut self, at: Ref<Request>, number: u32, status: u16) {
        let Some(request) = self.requests.get_mut(at) else { return };
        if request.number != number || !request.is_trying {
            return;
        }
        request.is_trying = false;
        request.way = Way::Nowhere;
        let client = &self.plan.clients[request.client as usize];
        let ok = is_ok(status);
        if !ok && is_retriable(status) && number <= client.retries {
            let key = mix(request.key, u64::from(number));
            let pause = client.back_off.sample(self.keys.draw(Purpose::ClientBackOff, key, 0));
            self.measure.backs_off(request.client, request.started, pause);
            return self.queue.push(self.now.saturating_add(pause), Event::Retry { request: at });
        }
        let (client, started, user) = (request.client, request.started, request.user);
        self.checker.ended(request.is_over);
        request.is_over = true;
        if request.in_flight == 0 {
            self.requests.remove(at);
        }
        self.measure.in_flight -= 1;
        self.measure.client(self.now, client, started, ok, number);
        self.digest.record(self.now, 0, client, u32::from(status) << 16 | (number & 0xffff));
        if let Some((load, user, count)) = user {
            self.think(load, user, count + 1);
        }
    }

    /// Something is on its way because of a request.
    pub(super) fn retain(&mut self, root: Option<Ref<Request>>) {
        if let Some(request) = root.and_then(|root| self.requests.get_mut(root)) {
            request.in_flight += 1;
        }
    }

    /// It has come to its end; the request's entry goes when nothing of it is left.
    pub(super) fn release(&mut self, root: Option<Ref<Request>>) {
        let Some(at) = root else { return };
        let Some(request) = self.requests.get_mut(at) else { return };
        request.in_flight -= 1;
        if request.in_flight == 0 && request.is_over {
            self.requests.remove(at);
        }
    }
}

/// Whether a client tries again after this: no answer, an error of the server, or a refusal for now.
const fn is_retriable(status: u16) -> bool {
    status == 0 || status >= 500 || status == 429
}
