//! A fixed map from names to numbers whose cost does not grow with their number.

use crate::hash::xxh64;

/// Names and their numbers: an open-addressing table, at most half full. Nothing ever iterates over it.
#[derive(Debug, Default)]
pub(crate) struct NameMap {
    entries: Vec<(Box<str>, u32)>,
    /// Indices of `entries` plus one; zero is free.
    slots: Box<[u32]>,
}

impl NameMap {
    /// Numbers the names; of two equal names the first counts, and the second is passed to `duplicate`.
    pub(crate) fn new<'a>(names: impl Iterator<Item = (&'a str, u32)>, mut duplicate: impl FnMut(&str)) -> Self {
        let mut entries: Vec<(Box<str>, u32)> = names.map(|(name, number)| (name.into(), number)).collect();
        let mut map = Self { entries: Vec::new(), slots: vec![0; (entries.len() * 2).next_power_of_two()].into() };
        for (name, number) in entries.drain(..) {
            let slot = map.slot(&name);
            if map.slots[slot] != 0 {
                duplicate(&name);
                continue;
            }
            map.entries.push((name, number));
            map.slots[slot] = u32::try_from(map.entries.len()).unwrap_or(u32::MAX);
        }
        map
    }

    pub(crate) fn get(&self, name: &str) -> Option<u32> {
        if self.entries.is_empty() {
            return None;
        }
        let entry = self.slots[self.slot(name)].checked_sub(1)?;
        self.entries.get(entry as usize).map(|(_, number)| *number)
    }

    /// Where the name is, or where it would be.
    fn slot(&self, name: &str) -> usize {
        let mask = self.slots.len() - 1;
        // Only the low bits are used.
        #[expect(clippy::cast_possible_truncation)]
        let mut slot = xxh64(name) as usize & mask;
        while let Some(entry) = self.slots[slot].checked_sub(1) {
            if &*self.entries[entry as usize].0 == name {
                break;
            }
            slot = (slot + 1) & mask;
        }
        slot
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_is_found_and_no_other() {
        let names: Vec<String> = (0..1000).map(|n| format!("svc-{n}.test")).collect();
        let map = NameMap::new(names.iter().map(String::as_str).zip(0..), |name| unreachable!("{name} is there once"));
        for (name, number) in names.iter().zip(0..) {
            assert_eq!(map.get(name), Some(number));
        }
        assert_eq!(map.get("svc-1000.test"), None);
        let mut twice = Vec::new();
        let map = NameMap::new([("a", 7), ("b", 8), ("a", 9)].into_iter(), |name| twice.push(name.to_owned()));
        assert_eq!((map.get("a"), map.get(""), twice), (Some(7), None, vec!["a".to_owned()]));
        assert_eq!(NameMap::default().get("a"), None);
    }
}
