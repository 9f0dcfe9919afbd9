//! One queue of events in virtual time, ordered by time, class and arrival.

use std::{
    cmp::{Ordering, Reverse},
    collections::BinaryHeap,
};

use meshproof_proxy::Time;

/// At one time, everything that arrives from outside is handled before any timer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Class {
    /// Connections, headers, data, resets.
    Io,
    /// Timers, in the order in which they were set.
    Timer,
}

/// Events that are yet to come.
pub(crate) struct Queue<E> {
    heap: BinaryHeap<Reverse<Entry<E>>>,
    next: u64,
}

struct Entry<E> {
    key: (Time, Class, u64),
    event: E,
}

impl<E> Queue<E> {
    pub(crate) const fn new() -> Self {
        Self { heap: BinaryHeap::new(), next: 0 }
    }

    pub(crate) fn push(&mut self, at: Time, class: Class, event: E) {
        self.heap.push(Reverse(Entry { key: (at, class, self.next), event }));
        self.next += 1;
    }

    pub(crate) fn next_time(&self) -> Option<Time> {
        self.heap.peek().map(|Reverse(entry)| entry.key.0)
    }

    pub(crate) fn pop(&mut self) -> Option<(Time, E)> {
        self.heap.pop().map(|Reverse(entry)| (entry.key.0, entry.event))
    }
}

impl<E> PartialEq for Entry<E> {
    fn eq(&self, other: &Self) -> bool {
        self.key == other.key
    }
}

impl<E> Eq for Entry<E> {}

impl<E> PartialOrd for Entry<E> {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl<E> Ord for Entry<E> {
    fn cmp(&self, other: &Self) -> Ordering {
        self.key.cmp(&other.key)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn io_comes_before_timers_and_first_come_is_first_served() {
        let mut queue = Queue::new();
        let (soon, late) = (Time::from_nanos(1), Time::from_nanos(2));
        for (at, class, name) in [
            (late, Class::Io, "e"),
            (soon, Class::Timer, "c"),
            (soon, Class::Io, "a"),
            (soon, Class::Timer, "d"),
            (soon, Class::Io, "b"),
        ] {
            queue.push(at, class, name);
        }
        let order: Vec<_> = std::iter::from_fn(|| queue.pop()).map(|(_, name)| name).collect();
        assert_eq!(order.concat(), "abcde");
    }
}
