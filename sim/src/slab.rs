//! Slots that are reused, so that nothing is allocated once a run is warm; a generation tells a late reference from a
//! current one.

use std::marker::PhantomData;

/// Names an entry of a [`Slab`].
#[derive(Debug)]
pub(crate) struct Ref<T> {
    slot: u32,
    generation: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Ref<T> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<T> Copy for Ref<T> {}
impl<T> PartialEq for Ref<T> {
    fn eq(&self, other: &Self) -> bool {
        (self.slot, self.generation) == (other.slot, other.generation)
    }
}
impl<T> Eq for Ref<T> {}

impl<T> Ref<T> {
    /// The slot, for side tables and records.
    pub(crate) const fn slot(self) -> u32 {
        self.slot
    }
}

#[derive(Clone, Debug)]
struct Slot<T> {
    generation: u32,
    entry: Option<T>,
}

/// Entries by reference.
#[derive(Clone, Debug)]
pub(crate) struct Slab<T> {
    slots: Vec<Slot<T>>,
    free: Vec<u32>,
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: Vec::new() }
    }
}

impl<T> Slab<T> {
    pub(crate) fn insert(&mut self, entry: T) -> Ref<T> {
        if let Some(slot) = self.free.pop() {
            let reused = &mut self.slots[slot as usize];
            reused.entry = Some(entry);
            return Ref { slot, generation: reused.generation, of: PhantomData };
        }
        let slot = u32::try_from(self.slots.len()).unwrap_or(u32::MAX);
        self.slots.push(Slot { generation: 0, entry: Some(entry) });
        Ref { slot, generation: 0, of: PhantomData }
    }

    pub(crate) fn remove(&mut self, at: Ref<T>) -> Option<T> {
        let slot = self.slots.get_mut(at.slot as usize).filter(|slot| slot.generation == at.generation)?;
        let entry = slot.entry.take()?;
        slot.generation = slot.generation.wrapping_add(1);
        self.free.push(at.slot);
        Some(entry)
    }

    pub(crate) fn get(&self, at: Ref<T>) -> Option<&T> {
        self.slots.get(at.slot as usize).filter(|slot| slot.generation == at.generation)?.entry.as_ref()
    }

    pub(crate) fn get_mut(&mut self, at: Ref<T>) -> Option<&mut T> {
        self.slots.get_mut(at.slot as usize).filter(|slot| slot.generation == at.generation)?.entry.as_mut()
    }

    pub(crate) fn contains(&self, at: Ref<T>) -> bool {
        self.get(at).is_some()
    }

    pub(crate) fn len(&self) -> usize {
        self.slots.len() - self.free.len()
    }

    /// Every entry with its name, by slot.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Ref<T>, &T)> {
        self.slots.iter().zip(0..).filter_map(|(slot, index)| {
            let at = Ref { slot: index, generation: slot.generation, of: PhantomData };
            slot.entry.as_ref().map(|entry| (at, entry))
        })
    }
}
