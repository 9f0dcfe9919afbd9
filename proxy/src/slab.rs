//! Slots that are reused, so that nothing is allocated once a run is warm; a handle's generation tells a
//! late event from a current one.

use std::{
    marker::PhantomData,
    ops::{Index, IndexMut},
};

use crate::{ConnectionId, StreamId};

/// A generational name of a slot.
pub(crate) trait Handle: Copy {
    fn new(slot: u32, generation: u32) -> Self;
    fn parts(self) -> (usize, u32);
}

impl Handle for StreamId {
    fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation }
    }
    fn parts(self) -> (usize, u32) {
        (self.slot as usize, self.generation)
    }
}

impl Handle for ConnectionId {
    fn new(slot: u32, generation: u32) -> Self {
        Self { slot, generation }
    }
    fn parts(self) -> (usize, u32) {
        (self.slot as usize, self.generation)
    }
}

/// Values under generational handles. A freed value stays in its slot, with whatever it has allocated, for the next
/// user of the slot, who must reset it.
#[derive(Clone, Debug)]
pub(crate) struct Slab<H, T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
    handle: PhantomData<H>,
}

/// An odd generation is live, an even one is free.
#[derive(Clone, Debug)]
struct Slot<T> {
    generation: u32,
    value: T,
}

impl<H, T> Default for Slab<H, T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new(), handle: PhantomData }
    }
}

impl<H: Handle, T: Default> Slab<H, T> {
    /// Takes a slot; its value is whatever the last user left.
    pub(crate) fn reserve(&mut self) -> H {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(Slot { generation: 0, value: T::default() });
            u32::try_from(self.slots.len() - 1).unwrap_or(u32::MAX)
        });
        let entry = &mut self.slots[slot as usize];
        entry.generation = entry.generation.wrapping_add(1);
        H::new(slot, entry.generation)
    }

    /// Gives a slot back; every handle to it is dead from here on.
    pub(crate) fn release(&mut self, handle: H) {
        let (slot, generation) = handle.parts();
        if self.slots[slot].generation == generation {
            self.slots[slot].generation = generation.wrapping_add(1);
            self.free.push(u32::try_from(slot).unwrap_or(u32::MAX));
        }
    }

    /// The value, unless the handle is dead.
    pub(crate) fn get(&self, handle: H) -> Option<&T> {
        let (slot, generation) = handle.parts();
        self.slots.get(slot).filter(|entry| entry.generation == generation).map(|entry| &entry.value)
    }

    /// The value, unless the handle is dead.
    pub(crate) fn get_mut(&mut self, handle: H) -> Option<&mut T> {
        let (slot, generation) = handle.parts();
        self.slots.get_mut(slot).filter(|entry| entry.generation == generation).map(|entry| &mut entry.value)
    }

    /// How many slots are taken.
    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Every live handle.
    pub(crate) fn handles(&self) -> impl Iterator<Item = H> + '_ {
        let live = self.slots.iter().enumerate().filter(|(_, entry)| entry.generation % 2 == 1);
        live.map(|(slot, entry)| H::new(u32::try_from(slot).unwrap_or(u32::MAX), entry.generation))
    }
}

/// For handles that are known to be live.
impl<H: Handle, T> Index<H> for Slab<H, T> {
    type Output = T;
    fn index(&self, handle: H) -> &T {
        let (slot, generation) = handle.parts();
        debug_assert_eq!(self.slots[slot].generation, generation, "dead handle");
        &self.slots[slot].value
    }
}

impl<H: Handle, T> IndexMut<H> for Slab<H, T> {
    fn index_mut(&mut self, handle: H) -> &mut T {
        let (slot, generation) = handle.parts();
        debug_assert_eq!(self.slots[slot].generation, generation, "dead handle");
        &mut self.slots[slot].value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reused_slot_has_another_generation() {
        let mut slab = Slab::<StreamId, Vec<u8>>::default();
        let first = slab.reserve();
        slab[first].push(1);
        slab.release(first);
        slab.release(first);
        let second = slab.reserve();
        assert_eq!((first.slot(), second.slot(), slab.len()), (0, 0, 1));
        assert_ne!(first, second);
        assert!(slab.get(first).is_none());
        assert_eq!(slab.get(second), Some(&vec![1]), "the value and its allocation stay in the slot");
        assert_eq!(slab.handles().collect::<Vec<_>>(), [second]);
    }
}
