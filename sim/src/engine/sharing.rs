//! Processors that all requests of a replica share: each gets the same part, and one processor at most.

use std::collections::BTreeMap;

use super::{Engine, Event, Visit};
use crate::slab::Ref;

/// The requests of one replica that share its processors.
///
/// All get the same, so it is enough to know how much each has been given since the start of the run: a request is
/// done when that has grown by its own time.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sharing {
    /// What each has been given so far, in parts of a nanosecond.
    given: u128,
    /// Up to when that is so.
    since: u64,
    /// By the value of `given` at which they are done, then by arrival.
    ends: BTreeMap<(u128, u64), Ref<Visit>>,
    arrivals: u64,
    /// Tells the event that is meant from earlier ones.
    turn: u32,
}

/// Parts of a nanosecond, so that a small share of a short time is not lost.
const PART_BITS: u32 = 20;

impl Sharing {
    /// Forgets all requests.
    pub(crate) fn clear(&mut self) {
        self.ends.clear();
        self.turn = self.turn.wrapping_add(1);
    }

    /// Hands out time up to `now`.
    fn settle(&mut self, now: u64, processors: u32, is_frozen: bool) {
        let (requests, processors) = (self.ends.len() as u128, u128::from(processors));
        let length = u128::from(now - self.since) << PART_BITS;
        if !is_frozen && requests > 0 {
            self.given += if requests <= processors { length } else { length * processors / requests };
        }
        self.since = now;
    }

    /// Takes out one that is done.
    fn take_done(&mut self) -> Option<Ref<Visit>> {
        let first = self.ends.first_entry()?;
        (first.key().0 <= self.given).then(|| first.remove())
    }

    /// How long it takes until the first is done, rounded up to whole nanoseconds.
    fn next(&self, processors: u32) -> Option<u64> {
        let ((end, _), _) = self.ends.first_key_value()?;
        let (requests, processors) = (self.ends.len() as u128, u128::from(processors));
        let left = end.saturating_sub(self.given);
        let parts = if requests <= processors { left } else { (left * requests).div_ceil(processors) };
        u64::try_from(parts.div_ceil(1 << PART_BITS)).ok()
    }
}

impl Engine<'_> {
    /// A request joins those who share.
    pub(super) fn share(&mut self, at: Ref<Visit>, time: u64) {
        let Some(node) = self.visits.get(at).map(|visit| visit.node) else { return };
        self.settle_shares(node);
        let sharing = &mut self.nodes[node as usize].sharing;
        let key = (sharing.given + (u128::from(time) << PART_BITS), sharing.arrivals);
        sharing.arrivals += 1;
        sharing.ends.insert(key, at);
        if let Some(visit) = self.visits.get_mut(at) {
            visit.share = Some(key);
        }
        self.schedule_shares(node);
    }

    /// One leaves before its time is over.
    pub(super) fn stop_sharing(&mut self, node: u32, share: Option<(u128, u64)>) {
        let Some(key) = share else { return };
        self.settle_shares(node);
        self.nodes[node as usize].sharing.ends.remove(&key);
        self.schedule_shares(node);
    }

    pub(super) fn settle_shares(&mut self, node: u32) {
        let entry = &mut self.nodes[node as usize];
        let processors = entry.places;
        entry.sharing.settle(self.now, processors, entry.freezes > 0);
    }

    pub(super) fn schedule_shares(&mut self, node: u32) {
        let entry = &mut self.nodes[node as usize];
        let processors = entry.places;
        entry.sharing.turn = entry.sharing.turn.wrapping_add(1);
        let turn = entry.sharing.turn;
        if let Some(after) = entry.sharing.next(processors).filter(|_| entry.freezes == 0) {
            self.queue.push(self.now.saturating_add(after), Event::Shared { node, turn });
        }
    }

    pub(super) fn on_shared(&mut self, node: u32, turn: u32) -> bool {
        let entry = &self.nodes[node as usize];
        if entry.sharing.turn != turn || entry.freezes > 0 {
            return false;
        }
        self.settle_shares(node);
        while let Some(at) = self.nodes[node as usize].sharing.take_done() {
            if let Some(visit) = self.visits.get_mut(at) {
                visit.share = None;
            }
            self.own_time_over(at);
        }
        self.schedule_shares(node);
        true
    }
}
