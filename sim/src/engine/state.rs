//! What changes during a run.

use std::{
    collections::{BTreeMap, VecDeque},
    sync::Arc,
};

use meshproof_proxy::{AttemptId, ConnectionId, HostId, Proxy, StreamId};

use super::{Todo, pods::Pod, sharing::Sharing};
use crate::{
    measure::JOBS,
    plan::{Caller, Head, Link, Spec, Target},
    slab::{Ref, Slab},
};

/// No service, no edge.
pub(crate) const NONE: u32 = u32::MAX;
/// No point in time.
pub(crate) const NEVER: u64 = u64::MAX;

/// A replica.
#[derive(Clone, Debug)]
pub(crate) struct Node {
    pub(crate) is_up: bool,
    /// Grows with each crash.
    pub(crate) epoch: u32,
    /// Requests that the handler works on.
    pub(crate) busy: u32,
    pub(crate) queue: VecDeque<Ref<Visit>>,
    /// Entries of the queue that still wait.
    pub(crate) waiting: u32,
    pub(crate) queue_max: u32,
    pub(crate) busy_since: u64,
    pub(crate) busy_nanos: u128,
    /// Time with so many requests in work or waiting; the last entry stands for all greater numbers.
    pub(crate) jobs_nanos: [u64; JOBS],
    /// Processors that all requests share.
    pub(crate) sharing: Sharing,
    /// Faults that freeze it.
    pub(crate) freezes: u32,
    pub(crate) frozen_since: u64,
    /// What waits for the end of the freeze.
    pub(crate) held: Vec<Todo>,
    /// Requests that it may work on at a time now.
    pub(crate) places: u32,
    /// When it became ready the last time; `None`: it was there from the start.
    pub(crate) started: Option<u64>,
    /// Requests that its cache holds.
    pub(crate) cached: u64,
    /// Since when its certificate holds, in nanoseconds after the start less one lifetime.
    pub(crate) certified_at: u64,
    /// Millionths of the usual time.
    pub(crate) slow: u64,
    /// Faults that are active, by index.
    pub(crate) faults: Vec<u32>,
    pub(crate) outbound: Option<u32>,
    pub(crate) inbound: Option<u32>,
    pub(crate) gateway: Option<u32>,
    pub(crate) pod: Pod,
}

/// One proxy and the simulator's side of its streams and connections.
#[derive(Clone, Debug)]
pub(crate) struct Instance {
    /// Empty while [`Self::is_asleep`].
    pub(crate) proxy: Proxy,
    /// Nothing has come to it that does nothing on its own. What wakes it finds it as if it had been there from the
    /// start: most proxies of a large mesh see no request in a short run.
    pub(crate) is_asleep: bool,
    pub(crate) spec: Arc<Spec>,
    pub(crate) spec_index: u32,
    /// The last change of configuration that it has taken over, counted from 1.
    pub(crate) change: u32,
    /// How many changes of endpoints it has heard of.
    pub(crate) seen: u32,
    pub(crate) node: u32,
    /// Grows with each crash; what was meant for an earlier one is ignored.
    pub(crate) epoch: u32,
    /// Distinguishes draws that belong to no request.
    pub(crate) salt: u64,
    /// Whether it is a real proxy, which takes time.
    pub(crate) takes_time: bool,
    /// By slot of the proxy's stream.
    pub(crate) streams: Vec<Option<Ref<Side>>>,
    pub(crate) connections: Vec<Option<Connection>>,
    /// Open or opening connections, by cluster.
    pub(crate) open: Vec<u32>,
}

/// An instance between two crashes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Home {
    pub(crate) instance: u32,
    pub(crate) epoch: u32,
}

/// The simulator's side of a proxy's stream.
#[derive(Clone, Debug)]
pub(crate) struct Side {
    pub(crate) at: Home,
    pub(crate) stream: StreamId,
    pub(crate) down: Down,
    pub(crate) root: Option<Ref<Request>>,
    pub(crate) key: u64,
    pub(crate) head: u32,
    pub(crate) started: u64,
    pub(crate) service: u32,
    pub(crate) edge: u32,
    /// The attempt that the handler behind this proxy sees.
    pub(crate) number: u32,
    pub(crate) attempts: u32,
    pub(crate) caller: Caller,
    /// Bytes of the request's body.
    pub(crate) body: u64,
    /// Bytes of the answer's.
    pub(crate) answer: u64,
    /// Nobody waits for the answer then.
    pub(crate) deadline: u64,
    /// The workload that its last attempt went to; [`NONE`]: nowhere yet.
    pub(crate) target: u32,
    /// The first of the attempts in flight.
    pub(crate) legs: Option<Ref<Leg>>,
    /// The next call of the same handler.
    pub(crate) sibling: Option<StreamId>,
}

/// Who waits for a stream's answer.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Down {
    /// A handler.
    Call { visit: Ref<Visit>, call: u32, repeat: u32 },
    /// A client of the mesh.
    Try { request: Ref<Request>, number: u32 },
    /// A client's proxy, or a client outside the mesh.
    Leg(Ref<Leg>),
    /// Nobody.
    Shadow,
}

/// The simulator's side of a proxy's connection.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Connection {
    pub(crate) id: ConnectionId,
    pub(crate) cluster: u32,
    pub(crate) host: HostId,
    pub(crate) target: Target,
    pub(crate) link: Link,
    /// The last request over it that the server's proxy had nothing to decide about: its head, and the number of
    /// configurations that had been taken over by then.
    pub(crate) passed: Option<(u32, u32)>,
}

/// One attempt on its way: from a client or its proxy to a server's proxy or handler.
#[derive(Clone, Debug)]
pub(crate) struct Leg {
    pub(crate) client: Sender,
    pub(crate) server: Server,
    pub(crate) target: Target,
    pub(crate) link: Link,
    pub(crate) root: Option<Ref<Request>>,
    pub(crate) key: u64,
    pub(crate) head: u32,
    /// Bytes of the request's body, then of the answer's.
    pub(crate) body: u64,
    pub(crate) number: u32,
    pub(crate) caller: Caller,
    /// Nobody waits for the answer then.
    pub(crate) deadline: u64,
    /// When it came to its server.
    pub(crate) arrived: u64,
    pub(crate) status: u16,
    pub(crate) overloaded: bool,
    pub(crate) service: u32,
    pub(crate) next: Option<Ref<Leg>>,
}

/// Who sent an attempt.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Sender {
    Proxy {
        at: Home,
        attempt: AttemptId,
        connection: ConnectionId,
    },
    Client {
        request: Ref<Request>,
        number: u32,
    },
    /// It has left, or is gone.
    Gone,
}

/// How far an attempt has come.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Server {
    OnItsWay,
    Stream { at: Home, stream: StreamId },
    Visit(Ref<Visit>),
    Answered,
    Lost,
}

/// A request in a handler.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    pub(crate) node: u32,
    pub(crate) leg: Option<Ref<Leg>>,
    pub(crate) root: Option<Ref<Request>>,
    pub(crate) caller: Caller,
    pub(crate) key: u64,
    pub(crate) is_working: bool,
    pub(crate) arrived: u64,
    /// When its own time is over; [`NEVER`] before and after, and where processors are shared.
    pub(crate) due: u64,
    /// Its place among those who share processors.
    pub(crate) share: Option<(u128, u64)>,
    pub(crate) stage: u32,
    /// Calls of this stage that are not over.
    pub(crate) pending: u32,
    pub(crate) has_failed: bool,
    /// The forced answer, by its index in the plan.
    pub(crate) script: Option<u32>,
    /// The first of its calls in flight, streams of its outbound proxy.
    pub(crate) calls: Option<StreamId>,
    /// Nobody waits for the answer then.
    pub(crate) deadline: u64,
    /// It is answered from memory.
    pub(crate) is_hit: bool,
    /// The first of the messages that it works on.
    pub(crate) batch: Option<Ref<super::Message>>,
}

/// A client's request, from its first try to its end.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) client: u32,
    pub(crate) class: u32,
    pub(crate) key: u64,
    pub(crate) started: u64,
    /// The current try, from 1.
    pub(crate) number: u32,
    /// When the current try began.
    pub(crate) tried_at: u64,
    /// Whether a try is under way.
    pub(crate) is_trying: bool,
    /// It has ended for the client; what is still in flight for it keeps the entry.
    pub(crate) is_over: bool,
    /// Attempts and handlers that still work for it.
    pub(crate) in_flight: u32,
    pub(crate) way: Way,
    /// The user who waits, of closed loads: load, user, requests so far.
    pub(crate) user: Option<(u32, u32, u32)>,
}

/// How a client's try travels.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Way {
    Nowhere,
    Leg(Ref<Leg>),
    Stream { at: Home, stream: StreamId },
}

/// Heads of requests: those of the plan, and those that proxies make of them.
#[derive(Clone, Debug)]
pub(crate) struct Heads {
    heads: Vec<Head>,
    index: BTreeMap<Head, u32>,
}

impl Heads {
    pub(crate) fn new(heads: &[Head]) -> Self {
        Self { heads: heads.to_vec(), index: heads.iter().cloned().zip(0..).collect() }
    }

    pub(crate) fn get(&self, head: u32) -> &Head {
        &self.heads[head as usize]
    }

    pub(crate) fn id(&mut self, head: Head) -> u32 {
        if let Some(id) = self.index.get(&head) {
            return *id;
        }
        let id = u32::try_from(self.heads.len()).unwrap_or(u32::MAX);
        self.heads.push(head.clone());
        self.index.insert(head, id);
        id
    }
}

impl Instance {
    pub(crate) const fn home(&self, instance: u32) -> Home {
        Home { instance, epoch: self.epoch }
    }

    /// The side of the last stream in this slot.
    pub(crate) fn side_at(&self, stream: StreamId) -> Option<Ref<Side>> {
        self.streams.get(stream.slot()).copied().flatten()
    }

    pub(crate) fn side<'s>(&self, sides: &'s mut Slab<Side>, stream: StreamId) -> Option<&'s mut Side> {
        sides.get_mut(self.side_at(stream)?).filter(|side| side.stream == stream)
    }

    pub(crate) fn take_side(&mut self, sides: &mut Slab<Side>, stream: StreamId) -> Option<Side> {
        self.side(sides, stream)?;
        sides.remove(self.streams.get_mut(stream.slot())?.take()?)
    }

    pub(crate) fn put_side(&mut self, sides: &mut Slab<Side>, side: Side) {
        let slot = side.stream.slot();
        if self.streams.len() <= slot {
            self.streams.resize(slot + 1, None);
        }
        self.streams[slot] = Some(sides.insert(side));
    }

    pub(crate) fn connection(&self, connection: ConnectionId) -> Option<Connection> {
        self.connections.get(connection.slot()).copied().flatten().filter(|known| known.id == connection)
    }

    /// Changes what is known of a connection.
    pub(crate) fn set_connection(&mut self, entry: Connection) {
        if let Some(known) = self.connections.get_mut(entry.id.slot()).filter(|known| known.is_some()) {
            *known = Some(entry);
        }
    }

    pub(crate) fn put_connection(&mut self, entry: Connection) {
        let slot = entry.id.slot();
        if self.connections.len() <= slot {
            self.connections.resize(slot + 1, None);
        }
        self.connections[slot] = Some(entry);
        let cluster = entry.cluster as usize;
        if self.open.len() <= cluster {
            self.open.resize(cluster + 1, 0);
        }
        self.open[cluster] += 1;
    }

    pub(crate) fn take_connection(&mut self, connection: ConnectionId) -> Option<Connection> {
        let known = self.connections.get_mut(connection.slot())?.take_if(|known| known.id == connection)?;
        self.open[known.cluster as usize] -= 1;
        Some(known)
    }
}
