//! A proxy's streams. The room of a stream, with all that it has allocated, outlives it and goes to whichever proxy
//! needs one next: of many proxies that are seldom busy each would otherwise keep its own, out of the caches.

use std::ops::{Index, IndexMut};

use crate::{StreamId, slab::Slab, stream::Stream};

/// Room for one stream, or for none.
pub(crate) type Room = Box<[Stream]>;

/// Streams by their handles.
#[derive(Clone, Debug, Default)]
pub(crate) struct Streams(Slab<StreamId, Room>);

impl Streams {
    /// Takes a slot; the stream in it is whatever the last user of its room left.
    pub(crate) fn reserve(&mut self, rooms: &mut Vec<Room>) -> StreamId {
        let id = self.0.reserve();
        self.0[id] = rooms.pop().unwrap_or_else(|| Box::new([Stream::default()]));
        id
    }

    /// Gives a slot and its room back; every handle to it is dead from here on.
    pub(crate) fn release(&mut self, id: StreamId, rooms: &mut Vec<Room>) {
        if let Some(room) = self.0.get_mut(id) {
            rooms.push(std::mem::take(room));
        }
        self.0.release(id);
    }

    /// The stream, unless the handle is dead.
    pub(crate) fn get(&self, id: StreamId) -> Option<&Stream> {
        self.0.get(id)?.first()
    }

    /// The stream, unless the handle is dead.
    pub(crate) fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.0.get_mut(id)?.first_mut()
    }

    /// How many slots are taken.
    pub(crate) fn len(&self) -> usize {
        self.0.len()
    }

    /// Every live handle.
    pub(crate) fn handles(&self) -> impl Iterator<Item = StreamId> + '_ {
        self.0.handles()
    }
}

/// For handles that are known to be live.
impl Index<StreamId> for Streams {
    type Output = Stream;
    #[inline]
    fn index(&self, id: StreamId) -> &Stream {
        &self.0[id][0]
    }
}

impl IndexMut<StreamId> for Streams {
    #[inline]
    fn index_mut(&mut self, id: StreamId) -> &mut Stream {
        &mut self.0[id][0]
    }
}
