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
    /// Of the name: most names that are not the wanted one differ here.
    tag: u32,
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
    #[inline]
    pub(crate) fn contains(&self, name: &str) -> bool {
        self.get(name).is_some()
    }

    /// Adds a header at the end.
    #[inline]
    pub(crate) fn push(&mut self, name: &str, value: &str) {
        let entry = self.write(tag(name), name, value);
        self.entries.push(entry);
    }

    /// Adds a header at the end whose value is formatted.
    pub(crate) fn push_fmt(&mut self, name: &str, value: fmt::Arguments<'_>) {
        let entry = self.write_fmt(name, value);
        self.entries.push(entry);
    }

    /// Replaces every header of this name by one, in the place of the first; adds it if there is none.
    #[inline]
    pub(crate) fn set(&mut self, name: &str, value: &str) {
        let entry = self.write(tag(name), name, value);
        self.put(name, entry);
    }

    /// Like `set`, with a formatted value.
    pub(crate) fn set_fmt(&mut self, name: &str, value: fmt::Arguments<'_>) {
        let entry = self.write_fmt(name, value);
        self.put(name, entry);
    }

    /// Like `set`, with a number as the value.
    #[inline]
    pub(crate) fn set_number(&mut self, name: &str, number: u64) {
        let mut digits = [0; 20];
        let entry = self.write(tag(name), name, decimal(number, &mut digits));
        self.put(name, entry);
    }

    fn put(&mut self, name: &str, entry: Entry) {
        if self.entries.is_empty() {
            return self.entries.push(entry);
        }
        match self.place(entry.tag, name) {
            None => self.entries.push(entry),
            Some(place) => {
                self.entries[place] = entry;
                let text = &self.text;
                let mut next = 0..;
                self.entries.retain(|entry| next.next() <= Some(place) || &text[entry.name_range()] != name);
            }
        }
    }

    /// Removes every header of this name and says whether there was one.
    #[inline]
    pub(crate) fn remove(&mut self, name: &str) -> bool {
        let is_there = self.place(tag(name), name).is_some();
        if is_there {
            self.remove_if(|other, _| other == name);
        }
        is_there
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
        let tag = tag(name);
        let named = self.entries.iter().filter(move |entry| self.is_named(**entry, tag, name));
        named.map(|entry| &self.text[entry.value_range()])
    }

    /// The first value of a header.
    #[inline]
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        let place = self.place(tag(name), name)?;
        Some(&self.text[self.entries[place].value_range()])
    }

    fn name(&self, entry: Entry) -> &str {
        &self.text[entry.name_range()]
    }

    /// Where the first header of this name is.
    fn place(&self, tag: u32, name: &str) -> Option<usize> {
        self.entries.iter().position(|entry| self.is_named(*entry, tag, name))
    }

    #[inline]
    fn is_named(&self, entry: Entry, tag: u32, name: &str) -> bool {
        entry.tag == tag && &self.text.as_bytes()[entry.name_range()] == name.as_bytes()
    }

    fn write(&mut self, tag: u32, name: &str, value: &str) -> Entry {
        let start = length(self.text.len());
        self.text.reserve(name.len() + value.len());
        self.text.push_str(name);
        self.text.push_str(value);
        Entry { tag, start, name_len: length(name.len()), value_len: length(value.len()) }
    }

    fn write_fmt(&mut self, name: &str, value: fmt::Arguments<'_>) -> Entry {
        let entry = self.write(tag(name), name, "");
        let before = self.text.len();
        // Writing to a string does not fail.
        _ = fmt::Write::write_fmt(&mut self.text, value);
        Entry { value_len: length(self.text.len() - before), ..entry }
    }
}

/// Length, first, middle and last byte: enough to tell the usual names apart without looking at the text.
#[inline]
fn tag(name: &str) -> u32 {
    let bytes = name.as_bytes();
    let (Some(first), Some(middle), Some(last)) = (bytes.first(), bytes.get(bytes.len() / 2), bytes.last()) else {
        return 0;
    };
    let len = u8::try_from(bytes.len()).unwrap_or(u8::MAX);
    u32::from_le_bytes([len, *first, *middle, *last])
}

fn length(n: usize) -> u32 {
    u32::try_from(n).unwrap_or(u32::MAX)
}

/// A number in decimal; formatting machinery would cost more than all else here.
fn decimal(number: u64, digits: &mut [u8; 20]) -> &str {
    let mut start = digits.len();
    let mut rest = number;
    while start == digits.len() || rest > 0 {
        start -= 1;
        digits[start] = b'0' + (rest % 10) as u8;
        rest /= 10;
    }
    str::from_utf8(&digits[start..]).unwrap_or_default()
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
        for (number, text) in [(0, "0"), (7, "7"), (15_000, "15000"), (u64::MAX, "18446744073709551615")] {
            headers.set_number("d", number);
            assert_eq!(headers.get("d"), Some(text));
        }
        headers.remove("d");
        assert!(headers.remove("b") && !headers.remove("b"));
        assert_eq!(format!("{headers:?}"), r#"[("a", "4"), ("c", "")]"#);
    }
}
