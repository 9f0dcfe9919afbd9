//! Queues of messages: taken in batches, given back when they fail, put aside when they fail for good.
//!
//! Whoever sends or takes a message reaches its queue at once: what a broker's network costs is in the handlers' time.

use std::collections::VecDeque;

use super::{Engine, Event, NEVER, Visit};
use crate::{
    dist::reduce,
    entropy::{Purpose, mix},
    plan::{Caller, Workload},
    slab::Ref,
};

/// The answer of a handler whose message found no room.
const NO_ROOM: u16 = 503;

/// One message.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    queue: u32,
    /// For draws.
    key: u64,
    sent_at: u64,
    /// How often it was taken.
    receives: u32,
    state: State,
    /// The next of the same batch.
    next: Option<Ref<Message>>,
}

/// Where a message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    /// In the queue.
    Waiting,
    /// In a batch that is worked on.
    AtWork,
    /// Nobody works on it; it comes back when its time has come.
    Failed,
    /// In a batch that took too long: another message stands for it.
    Replaced,
}

/// What changes of a queue.
#[derive(Clone, Debug, Default)]
pub(crate) struct MessageQueue {
    waiting: VecDeque<Ref<Message>>,
    /// Messages that it ever had.
    count: u64,
    /// The consumer that is asked first.
    turn: usize,
}

impl Engine<'_> {
    /// A handler sends its messages; what it answers then.
    pub(super) fn publish(&mut self, visit: &Visit, workload: &Workload, status: u16) -> u16 {
        if !super::is_ok(status) {
            return status;
        }
        for (number, publication) in (0_u64..).zip(&workload.publishes) {
            let draw = self.keys.draw(Purpose::Publish, visit.key, number);
            if reduce(draw, 1_000_000) >= u64::from(publication.share.ppm()) {
                continue;
            }
            for _ in 0..publication.times {
                let limit = self.plan.queues[publication.queue as usize].limit;
                let is_full = self.queues[publication.queue as usize].waiting.len() as u64 >= limit;
                self.measure.published(self.now, publication.queue, is_full);
                if is_full {
                    return NO_ROOM;
                }
                self.send_message(publication.queue, self.now);
            }
        }
        status
    }

    fn send_message(&mut self, queue: u32, sent_at: u64) {
        let entry = &mut self.queues[queue as usize];
        let key = self.keys.draw(Purpose::Message, u64::from(queue), entry.count);
        entry.count += 1;
        let message = Message { queue, key, sent_at, receives: 0, state: State::Waiting, next: None };
        let message = self.messages.insert(message);
        self.offer(message);
    }

    /// A message can be taken.
    fn offer(&mut self, at: Ref<Message>) {
        let Some(message) = self.messages.get_mut(at) else { return };
        message.state = State::Waiting;
        let queue = message.queue;
        let entry = &mut self.queues[queue as usize];
        entry.waiting.push_back(at);
        self.measure.queue_depth(self.now, queue, entry.waiting.len() as u64);
        self.todo.push_back(super::Todo::Consume { queue });
    }

    /// Consumers that have room take messages, each in its turn.
    pub(super) fn consume(&mut self, queue: u32) {
        let plan = self.plan;
        let consumers = &plan.queues[queue as usize].consumers;
        let nodes = |workload: &u32| plan.workloads[*workload as usize].replicas as usize;
        let count: usize = consumers.iter().map(nodes).sum();
        while !self.queues[queue as usize].waiting.is_empty() {
            let turn = self.queues[queue as usize].turn;
            let consumer = |offset: usize| {
                let mut at = (turn + offset) % count;
                for workload in consumers {
                    let entry = &plan.workloads[*workload as usize];
                    if at < entry.replicas as usize {
                        return Some((entry.first_node + at as u32, entry));
                    }
                    at -= entry.replicas as usize;
                }
                None
            };
            let free = (0..count).find_map(|offset| {
                let (node, workload) = consumer(offset)?;
                let entry = &self.nodes[node as usize];
                (entry.takes_connections() && entry.freezes == 0 && entry.busy < entry.places)
                    .then_some((offset, node, workload))
            });
            let Some((offset, node, workload)) = free else { return };
            self.queues[queue as usize].turn = (turn + offset + 1) % count;
            self.take(queue, node, workload.consumes.map_or(1, |(_, batch)| batch));
        }
    }

    /// One replica takes a batch, and works on it.
    fn take(&mut self, queue: u32, node: u32, batch: u32) {
        let timeout = self.plan.queues[queue as usize].visibility_timeout;
        let (mut first, mut key) = (None, 0);
        for _ in 0..batch {
            let Some(at) = self.queues[queue as usize].waiting.pop_front() else { break };
            let Some(message) = self.messages.get_mut(at) else { continue };
            message.state = State::AtWork;
            message.receives += 1;
            message.next = first;
            key = mix(message.key, u64::from(message.receives));
            first = Some(at);
            self.measure.received(self.now, queue);
            self.push_timer(self.now.saturating_add(timeout), timeout, Event::Visible { message: at });
        }
        if first.is_none() {
            return;
        }
        let visit = self.visits.insert(Visit {
            node,
            leg: None,
            root: None,
            caller: Caller::Client(u32::MAX),
            key,
            is_working: false,
            arrived: self.now,
            due: NEVER,
            share: None,
            stage: 0,
            pending: 0,
            has_failed: false,
            script: None,
            calls: None,
            deadline: u64::MAX,
            is_hit: false,
            batch: first,
        });
        self.begin(visit);
    }

    /// A batch has come to its end: its messages are done, or come back.
    pub(super) fn batch_done(&mut self, batch: Ref<Message>, is_ok: bool) {
        let mut next = Some(batch);
        while let Some(at) = next {
            let Some(message) = self.messages.get_mut(at) else { return };
            next = message.next;
            let (queue, sent_at, receives) = (message.queue, message.sent_at, message.receives);
            let policy = &self.plan.queues[queue as usize];
            if message.state == State::Replaced {
                self.messages.remove(at);
            } else if is_ok {
                self.messages.remove(at);
                self.measure.message_done(self.now, queue, sent_at);
            } else if policy.is_dead(receives) {
                self.bury(at);
            } else if let Some((base, max)) = policy.back_off {
                let doublings = u32::min(receives.saturating_sub(1), 63);
                let pause = base.saturating_mul(1 << doublings).min(max);
                if let Some(copy) = self.replace(at, State::Failed) {
                    self.queue.push(self.now.saturating_add(pause), Event::Visible { message: copy });
                }
            } else {
                // Its visibility timeout brings it back.
                message.state = State::Failed;
            }
        }
    }

    /// Whoever worked on a batch is gone: its visibility timeout brings it back.
    pub(super) fn batch_lost(&mut self, batch: Ref<Message>) {
        let mut next = Some(batch);
        while let Some((at, message)) = next.and_then(|at| Some((at, self.messages.get_mut(at)?))) {
            next = message.next;
            if message.state == State::Replaced {
                self.messages.remove(at);
            } else {
                message.state = State::Failed;
            }
        }
    }

    /// A message that was taken can be taken again, unless it is done.
    pub(super) fn on_visible(&mut self, at: Ref<Message>) -> bool {
        let Some(message) = self.messages.get_mut(at) else { return false };
        let (queue, receives, state) = (message.queue, message.receives, message.state);
        let copy = match state {
            State::Waiting | State::Replaced => return false,
            State::Failed => self.replace(at, State::Waiting),
            State::AtWork => {
                message.state = State::Replaced;
                let copy = Message { next: None, ..*message };
                Some(self.messages.insert(copy))
            }
        };
        let Some(copy) = copy else { return false };
        if self.plan.queues[queue as usize].is_dead(receives) {
            self.bury(copy);
        } else {
            self.offer(copy);
        }
        true
    }

    /// Gives a message another name, so that timers of the old one mean nothing.
    fn replace(&mut self, at: Ref<Message>, state: State) -> Option<Ref<Message>> {
        let message = self.messages.remove(at)?;
        Some(self.messages.insert(Message { state, next: None, ..message }))
    }

    /// A message that failed too often is put aside.
    fn bury(&mut self, at: Ref<Message>) {
        let Some(message) = self.messages.remove(at) else { return };
        self.measure.buried(self.now, message.queue);
        if let Some(dead_letters) = self.plan.queues[message.queue as usize].dead_letters {
            self.send_message(dead_letters, message.sent_at);
        }
    }
}
