//! The queue of events, in the order (time, sequence of insertion).
//!
//! Most of what waits in a mesh are timers that never fire: a per-try timeout of one second for an answer that takes
//! ten milliseconds, an idle timer of five minutes for the same. Timers of one duration are set in the order in which
//! they are due, so each common duration has a lane, a plain first-in-first-out queue; only a lane's front takes
//! part in the heap, and dead timers are dropped from the front before they ever get there. The heap stays small
//! enough for the first-level cache.

use std::collections::VecDeque;

/// A place in the order of events.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Key {
    at: u64,
    sequence: u64,
}

#[derive(Clone, Copy, Debug)]
struct Node<T> {
    key: Key,
    item: Item<T>,
}

#[derive(Clone, Copy, Debug)]
enum Item<T> {
    Event(T),
    /// The front of a lane, as it was when the node was made; the front may be later by now, never earlier.
    Lane(u32),
}

#[derive(Clone, Debug)]
struct Lane<T> {
    entries: VecDeque<(Key, T)>,
    /// Whether a node of the heap stands for this lane.
    is_in_heap: bool,
}

/// A duration that may deserve a lane.
#[derive(Clone, Copy, Debug, Default)]
struct Candidate {
    delay: u64,
    seen: u32,
    lane: Option<u32>,
}

/// Events by (time, sequence).
#[derive(Clone, Debug)]
pub(crate) struct Queue<T> {
    heap: Vec<Node<T>>,
    lanes: Vec<Lane<T>>,
    candidates: [Candidate; CANDIDATES],
    sequence: u64,
    /// All that waits, in one sorted list: what heap and lanes must be equal to.
    #[cfg(test)]
    plain: Option<std::collections::BTreeMap<Key, T>>,
}

/// BOUND: lanes, and durations that are watched for one.
const CANDIDATES: usize = 64;
/// So often a duration is seen before it gets a lane.
const PROMOTED_AFTER: u32 = 4;
/// Dead fronts dropped for each timer that is set: with more than one, a lane never outgrows its live timers.
const DROPPED_PER_PUSH: usize = 2;

impl<T: Copy> Queue<T> {
    pub(crate) fn new() -> Self {
        Self {
            heap: Vec::new(),
            lanes: Vec::new(),
            candidates: [Candidate::default(); CANDIDATES],
            sequence: 0,
            #[cfg(test)]
            plain: None,
        }
    }

    /// Adds an event.
    pub(crate) fn push(&mut self, at: u64, event: T) {
        let key = self.next_key(at);
        #[cfg(test)]
        if let Some(plain) = &mut self.plain {
            plain.insert(key, event);
            return;
        }
        self.heap_push(Node { key, item: Item::Event(event) });
    }

    /// Adds a timer that was set `delay` ago for `at`; `is_alive` tells which timers may still fire.
    pub(crate) fn push_timer(&mut self, at: u64, delay: u64, timer: T, is_alive: impl FnMut(&T) -> bool) {
        #[cfg(test)]
        if self.plain.is_some() {
            return self.push(at, timer);
        }
        let Some(index) = self.lane(delay) else { return self.push(at, timer) };
        let key = self.next_key(at);
        let lane = &mut self.lanes[index as usize];
        if lane.entries.back().is_some_and(|(last, _)| last.at > at) {
            return self.heap_push(Node { key, item: Item::Event(timer) });
        }
        lane.drop_dead(DROPPED_PER_PUSH, is_alive);
        lane.entries.push_back((key, timer));
        if !lane.is_in_heap {
            lane.is_in_heap = true;
            let key = lane.entries.front().map_or(key, |(front, _)| *front);
            self.heap_push(Node { key, item: Item::Lane(index) });
        }
    }

    /// Removes the next event that is alive, with its time.
    pub(crate) fn pop(&mut self, mut is_alive: impl FnMut(&T) -> bool) -> Option<(u64, T)> {
        #[cfg(test)]
        if let Some(plain) = &mut self.plain {
            let mut alive = std::iter::from_fn(|| plain.pop_first()).filter(|(_, event)| is_alive(event));
            return alive.next().map(|(key, event)| (key.at, event));
        }
        loop {
            let node = *self.heap.first()?;
            match node.item {
                Item::Event(event) => {
                    self.heap_pop();
                    if is_alive(&event) {
                        return Some((node.key.at, event));
                    }
                }
                Item::Lane(index) => {
                    let lane = &mut self.lanes[index as usize];
                    lane.drop_dead(usize::MAX, &mut is_alive);
                    let due = match lane.entries.front() {
                        Some((key, _)) if *key == node.key => lane.entries.pop_front(),
                        _ => None,
                    };
                    if let Some(key) = lane.entries.front().map(|(key, _)| *key) {
                        self.replace_first(Node { key, item: Item::Lane(index) });
                    } else {
                        lane.is_in_heap = false;
                        self.heap_pop();
                    }
                    if let Some((key, event)) = due {
                        return Some((key.at, event));
                    }
                }
            }
        }
    }

    /// The same queue as one sorted list.
    #[cfg(test)]
    pub(crate) fn into_plain(mut self) -> Self {
        let in_lanes = self.lanes.drain(..).flat_map(|lane| lane.entries);
        let in_heap = self.heap.drain(..).filter_map(|node| match node.item {
            Item::Event(event) => Some((node.key, event)),
            Item::Lane(_) => None,
        });
        self.plain = Some(in_lanes.chain(in_heap).collect());
        self
    }

    /// How many entries wait, dead ones included.
    #[cfg(test)]
    pub(crate) fn len(&self) -> usize {
        self.heap.len() + self.lanes.iter().map(|lane| lane.entries.len()).sum::<usize>()
    }

    const fn next_key(&mut self, at: u64) -> Key {
        self.sequence += 1;
        Key { at, sequence: self.sequence }
    }

    /// The lane of a duration, if it has one or has earned one.
    fn lane(&mut self, delay: u64) -> Option<u32> {
        let slot = (delay.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 58) as usize;
        let candidate = &mut self.candidates[slot];
        if candidate.delay != delay {
            if candidate.lane.is_none() {
                *candidate = Candidate { delay, seen: 1, lane: None };
            }
            return None;
        }
        if candidate.lane.is_none() {
            candidate.seen += 1;
            if candidate.seen >= PROMOTED_AFTER {
                candidate.lane = u32::try_from(self.lanes.len()).ok();
                self.lanes.push(Lane { entries: VecDeque::new(), is_in_heap: false });
            }
        }
        candidate.lane
    }

    fn heap_push(&mut self, node: Node<T>) {
        let mut hole = self.heap.len();
        self.heap.push(node);
        while hole > 0 {
            let parent = (hole - 1) / 4;
            if self.heap[parent].key <= node.key {
                break;
            }
            self.heap[hole] = self.heap[parent];
            hole = parent;
        }
        self.heap[hole] = node;
    }

    fn heap_pop(&mut self) {
        if let Some(last) = self.heap.pop()
            && !self.heap.is_empty()
        {
            self.replace_first(last);
        }
    }

    /// Puts a node in the first one's place and lets it sink.
    fn replace_first(&mut self, node: Node<T>) {
        let heap = self.heap.as_mut_slice();
        let order = node.key.order();
        let mut hole = 0;
        loop {
            let first = hole * 4 + 1;
            let Some((child, least)) = least_of(heap.get(first..).unwrap_or_default()) else { break };
            if order <= least {
                break;
            }
            heap[hole] = heap[first + child];
            hole = first + child;
        }
        heap[hole] = node;
    }
}

/// The least of up to four nodes: where it is, and its key.
#[inline]
fn least_of<T>(nodes: &[Node<T>]) -> Option<(usize, u128)> {
    if let Some([a, b, c, d]) = nodes.first_chunk() {
        let less = |(i, x): (usize, u128), (j, y): (usize, u128)| if y < x { (j, y) } else { (i, x) };
        let left = less((0, a.key.order()), (1, b.key.order()));
        return Some(less(left, less((2, c.key.order()), (3, d.key.order()))));
    }
    nodes.iter().map(|node| node.key.order()).enumerate().min_by_key(|(_, order)| *order)
}

impl Key {
    /// Both parts in one number, which compares faster.
    const fn order(self) -> u128 {
        (self.at as u128) << 64 | self.sequence as u128
    }
}

impl<T> Lane<T> {
    fn drop_dead(&mut self, at_most: usize, mut is_alive: impl FnMut(&T) -> bool) {
        for _ in 0..at_most {
            match self.entries.front() {
                Some((_, timer)) if !is_alive(timer) => self.entries.pop_front(),
                _ => return,
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;

    #[derive(Clone, Debug)]
    enum Op {
        Event(u64),
        Timer(u64),
        Kill(usize),
        Pop,
    }

    fn op() -> impl Strategy<Value = Op> {
        prop_oneof![
            3 => (0_u64..50).prop_map(Op::Event),
            5 => prop_oneof![Just(7_u64), Just(30), Just(100), 0_u64..200].prop_map(Op::Timer),
            3 => (0_usize..400).prop_map(Op::Kill),
            4 => Just(Op::Pop),
        ]
    }

    proptest! {
        #[test]
        fn the_order_is_that_of_a_sorted_list(ops in proptest::collection::vec(op(), 1..400)) {
            let mut queue = Queue::new();
            let mut naive: BTreeMap<(u64, u64), usize> = BTreeMap::new();
            let mut alive = Vec::new();
            let mut now = 0;
            let pops = std::iter::repeat_n(Op::Pop, ops.len());
            for (sequence, op) in (0_u64..).zip(ops.into_iter().chain(pops)) {
                match op {
                    Op::Event(after) | Op::Timer(after) => {
                        let id = alive.len();
                        alive.push(true);
                        naive.insert((now + after, sequence), id);
                        if matches!(op, Op::Event(_)) {
                            queue.push(now + after, id);
                        } else {
                            queue.push_timer(now + after, after, id, |id| alive[*id]);
                        }
                    }
                    Op::Kill(id) => {
                        if let Some(alive) = alive.get_mut(id) {
                            *alive = false;
                        }
                    }
                    Op::Pop => {
                        let mut expected = None;
                        while let Some(((at, _), id)) = naive.pop_first() {
                            if alive[id] {
                                expected = Some((at, id));
                                break;
                            }
                        }
                        let popped = queue.pop(|id| alive[*id]);
                        prop_assert_eq!(popped, expected);
                        now = popped.map_or(now, |(at, _)| at);
                    }
                }
            }
        }
    }

    #[test]
    fn dead_timers_of_a_common_duration_do_not_pile_up() {
        let mut queue = Queue::new();
        for now in 0..100_000_u64 {
            queue.push_timer(now + 1_000_000, 1_000_000, now, |set_at| set_at + 10 > now);
        }
        assert!(queue.len() < 32, "{}", queue.len());
    }
}
