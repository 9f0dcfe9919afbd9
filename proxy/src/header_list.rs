//! Headers in order, in one reused buffer, so that a warm stream copies a request's or a response's headers without
//! allocating.

use std::fmt;

/// Names (lower case) and values in order.
#[derive(Clone, Default)]
pub(crate) struct HeaderList {
    text: String,
    entries: Vec<Entry>,
}

/// Where a name and its value lie in the text, one behind the other.
#[derive(Clone, Copy)]
struct Entry {
    start: u32,
    name_len: u32,
    value_len: u32,
}

impl HeaderList {
    /// Forgets everything and keeps the allocations.
    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.entries.clear();
    }

    /// Takes over the headers of `other` and keeps the allocations.
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.text.clone_from(&other.text);
        self.entries.clone_from(&other.entries);
    }

    /// Whether the header is there.
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Adds a header at the end.
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        let entry = self.write(name, format_args!("{value}"));
        self.entries.push(entry);
    }

    /// Adds a header at the end whose value is formatted.
    pub(crate) fn push_fmt(&mut self, name: &str, value: fmt::Arguments<'_>) {
        let entry = self.write(name, value);
        self.entries.push(entry);
    }

    /// Replaces every header of this name by one, in the place of the first; adds it if there is none.
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        self.set_fmt(name, format_args!("{value}"));
    }

    /// Like `set`, with a formatted value.
    pub(crate) fn set_fmt(&mut self, name: &str, value: fmt::Arguments<'_>) {
        let place = self.entries.iter().position(|entry| self.name(*entry) == name);
        let entry = self.write(name, value);
        let Some(place) = place else { return self.entries.push(entry) };
        self.entries[place] = entry;
        let text = &self.text;
        let mut index = 0;
        self.entries.retain(|entry| {
            index += 1;
            index - 1 <= place || &text[entry.name_range()] != name
        });
    }

    /// Removes every header of this name and says whether there was one.
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        self.remove_if(|other, _| other == name)
    }

    /// Removes headers and says whether there was one to remove.
    pub(crate) fn remove_if(&mut self, mut condition: impl FnMut(&str, &str) -> bool) -> bool {
        let text = &self.text;
        let before = self.entries.len();
        self.entries.retain(|entry| !condition(&text[entry.name_range()], &text[entry.value_range()]));
        self.entries.len() < before
    }

    /// Every header in order.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &str)> + Clone {
        self.entries.iter().map(|entry| (self.name(*entry), &self.text[entry.value_range()]))
    }

    /// Every value of a header, in order.
    pub(crate) fn values<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + Clone {
        self.iter().filter(move |(other, _)| *other == name).map(|(_, value)| value)
    }

    /// The first value of a header.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.iter().find(|(other, _)| *other == name).map(|(_, value)| value)
    }

    fn name(&self, entry: Entry) -> &str {
        &self.text[entry.name_range()]
    }

    fn write(&mut self, name: &str, value: fmt::Arguments<'_>) -> Entry {
        let start = self.text.len();
        self.text.push_str(name);
        let value_start = self.text.len();
        match value.as_str() {
            Some(value) => self.text.push_str(value),
            // Writing to a string does not fail.
            None => drop(fmt::Write::write_fmt(&mut self.text, value)),
        }
        let length = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Entry {
            start: length(start),
            name_len: length(value_start - start),
            value_len: length(self.text.len() - value_start),
        }
    }
}

impl Entry {
    const fn name_range(self) -> std::ops::Range<usize> {
        self.start as usize..(self.start + self.name_len) as usize
    }

    const fn value_range(self) -> std::ops::Range<usize> {
        let start = (self.start + self.name_len) as usize;
        start..start + self.value_len as usize
    }
}

impl fmt::Debug for HeaderList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_keep_their_order() {
        let mut headers = HeaderList::default();
        for (name, value) in [("a", "1"), ("b", "2"), ("a", "3"), ("c", "")] {
            headers.push(name, value);
        }
        assert_eq!(headers.get("a"), Some("1"));
        assert_eq!(headers.values("a").collect::<Vec<_>>(), ["1", "3"]);
        headers.set("a", "4");
        headers.set_fmt("d", format_args!("{}", 5));
        assert_eq!(headers.iter().collect::<Vec<_>>(), [("a", "4"), ("b", "2"), ("c", ""), ("d", "5")]);
        assert!(headers.remove("b") && !headers.remove("b"));
        assert_eq!(format!("{headers:?}"), r#"[("a", "4"), ("c", ""), ("d", "5")]"#);
    }
}
