//! A document as it is written: every value with its bytes, for those who change a text in place.

use std::ops::Range;

use crate::yaml::{self, Node, Value};

/// A value of a manifest and where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Written {
    /// Its bytes in the text: with its quotes or brackets; in block style, from its first part to the end of its last.
    pub range: Range<usize>,
    /// What it is.
    pub parts: Parts,
}

/// What a value consists of.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Parts {
    /// A text, a number, nothing.
    Scalar(String),
    /// Values, in order.
    List(Vec<Written>),
    /// Keys, each with the byte that it begins at, and their values, in order.
    Map(Vec<(String, usize, Written)>),
}

/// A step from a value to one of its parts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The value of a key.
    Key(String),
    /// The value at a place of a list.
    Item(usize),
}

/// The document of a text that holds this byte; `None`: there is none, or it cannot be read.
pub fn document_at(text: &str, offset: usize) -> Option<Written> {
    let mut start = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    for part in yaml::document_texts(text) {
        let range = start..start + part.len();
        start = range.end;
        if range.contains(&offset) {
            let parsed = yaml::parse_part(text, range);
            return parsed
                .broken
                .is_empty()
                .then(|| parsed.documents.first().map(|document| of(&document.root, text)))?;
        }
    }
    None
}

impl Written {
    /// The way to the value that begins at this byte, or whose key does; the innermost one of several.
    pub fn way_to(&self, offset: usize) -> Option<Vec<Step>> {
        let inside = |step: Step, part: &Self| {
            let mut way = part.way_to(offset)?;
            way.insert(0, step);
            Some(way)
        };
        let deeper = match &self.parts {
            Parts::Scalar(_) => None,
            Parts::List(items) => (0..).zip(items).find_map(|(at, item)| inside(Step::Item(at), item)),
            Parts::Map(entries) => entries.iter().find_map(|(key, begins, value)| {
                let step = Step::Key(key.clone());
                let is_key = (*begins == offset).then(|| vec![step.clone()]);
                // A block list's item begins where its first key does, and is meant rather than that.
                is_key.filter(|_| self.range.start != offset).or_else(|| inside(step, value))
            }),
        };
        deeper.or_else(|| (self.range.start == offset).then(Vec::new))
    }

    /// The value at the end of a way.
    pub fn at(&self, way: &[Step]) -> Option<&Self> {
        way.iter().try_fold(self, |value, step| match (step, &value.parts) {
            (Step::Key(key), Parts::Map(_)) => value.get(key),
            (Step::Item(at), Parts::List(items)) => items.get(*at),
            _ => None,
        })
    }

    /// The value of a key.
    pub fn get(&self, key: &str) -> Option<&Self> {
        match &self.parts {
            Parts::Map(entries) => entries.iter().rev().find(|(known, _, _)| known == key).map(|(_, _, value)| value),
            _ => None,
        }
    }

    /// A scalar's text.
    pub fn scalar(&self) -> Option<&str> {
        match &self.parts {
            Parts::Scalar(text) => Some(text),
            _ => None,
        }
    }

    /// Whether a list or a mapping stands in brackets.
    pub fn is_flow(&self, text: &str) -> bool {
        text[self.range.clone()].starts_with(['{', '['])
    }
}

fn of(node: &Node<'_>, text: &str) -> Written {
    let parts = match &node.value {
        Value::Scalar { text, .. } => Parts::Scalar(text.to_string()),
        Value::Sequence(items) => Parts::List(items.iter().map(|item| of(item, text)).collect()),
        Value::Mapping(entries) => Parts::Map(
            entries
                .iter()
                .map(|entry| (entry.key.to_string(), entry.mark.offset as usize, of(&entry.value, text)))
                .collect(),
        ),
    };
    let start = node.mark.offset as usize;
    let own = start..(start + node.mark.length as usize).min(text.len());
    let range = match &parts {
        Parts::Scalar(_) => own,
        _ if text[own.clone()].starts_with(['{', '[']) => own,
        Parts::List(items) => extent(items.iter().map(|item| item.range.clone())).unwrap_or(own),
        Parts::Map(entries) => {
            extent(entries.iter().map(|(_, begins, value)| *begins..value.range.end.max(*begins))).unwrap_or(own)
        }
    };
    Written { range, parts }
}

/// From the first byte of all to the last one.
fn extent(mut parts: impl Iterator<Item = Range<usize>>) -> Option<Range<usize>> {
    let first = parts.next()?;
    Some(parts.fold(first, |whole, part| whole.start.min(part.start)..whole.end.max(part.end)))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

    use super::*;

    const TEXT: &str = "kind: A\n---\n# first\nspec:\n  http:\n  - timeout: 2s # why\n    retries: {attempts: \"3\"}\n  - \
                        route: x\n";

    fn shown(way: &[Step]) -> String {
        let step = |step: &Step| match step {
            Step::Key(key) => format!(".{key}"),
            Step::Item(at) => format!("[{at}]"),
        };
        way.iter().map(step).collect()
    }

    #[test]
    fn values_are_where_they_are_written() {
        let root = document_at(TEXT, TEXT.find("timeout").unwrap()).unwrap();
        let find = |what: &str| TEXT.find(what).unwrap();
        for (what, way, written) in [
            ("2s", ".spec.http[0].timeout", "2s"),
            ("timeout", ".spec.http[0]", "timeout: 2s # why\n    retries: {attempts: \"3\"}"),
            ("retries", ".spec.http[0].retries", "{attempts: \"3\"}"),
            ("\"3\"", ".spec.http[0].retries.attempts", "\"3\""),
            ("route", ".spec.http[1]", "route: x"),
        ] {
            let found = root.way_to(find(what)).unwrap();
            assert_eq!(shown(&found), way);
            assert_eq!(&TEXT[root.at(&found).unwrap().range.clone()], written);
        }
        assert_eq!(root.way_to(find("why")), None);
        assert_eq!(document_at(TEXT, 2).unwrap().get("kind").and_then(Written::scalar), Some("A"));
        assert!(root.get("spec").is_some_and(|spec| !spec.is_flow(TEXT)));
    }
}
