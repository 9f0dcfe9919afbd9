//! Changes of a text in place: what is not changed keeps every byte.

use std::{collections::BTreeMap, fmt::Write as _, ops::Range};

use meshproof_import::{Parts, Step, Written, document_at};
use meshproof_model::{FileId, Location, Sources};

/// Bytes of a text that become others.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Edit {
    pub(super) file: FileId,
    pub(super) range: Range<usize>,
    pub(super) text: String,
}

/// The texts that edits change, as they become. Edits of one text lie apart from each other.
pub(super) fn applied(sources: &Sources, edits: &[Edit]) -> BTreeMap<FileId, String> {
    let mut sorted: Vec<&Edit> = edits.iter().collect();
    sorted.sort_by_key(|edit| (edit.file, edit.range.start, edit.range.end));
    let mut texts: BTreeMap<FileId, String> = BTreeMap::new();
    // From the end, so that places before stay what they are.
    for edit in sorted.into_iter().rev() {
        let Some(source) = sources.get(edit.file) else { continue };
        texts.entry(edit.file).or_insert_with(|| source.text.clone()).replace_range(edit.range.clone(), &edit.text);
    }
    texts
}

/// How a mapping takes a further key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    at: usize,
    /// What stands before each key in block style, after the end of a line; `None`: the mapping stands in braces.
    indent: Option<String>,
    is_empty: bool,
}

impl Shape {
    /// Of a mapping; `None` where no line can be added.
    pub(super) fn of(text: &str, value: &Written) -> Option<Self> {
        let Parts::Map(entries) = &value.parts else { return None };
        let end = entries.last().map(|(_, _, last)| last.range.end);
        if value.is_flow(text) {
            return Some(Self { at: end.unwrap_or(value.range.start + 1), indent: None, is_empty: end.is_none() });
        }
        let (_, first, _) = entries.first()?;
        let line = text[..*first].rfind('\n').map_or(0, |newline| newline + 1);
        let indent = " ".repeat(text[line..*first].chars().count());
        let at = line_end(text, text[..end?].trim_end().len());
        // Lines that end as those of Windows do go on to.
        let (at, newline) = if text[..at].ends_with('\r') { (at - 1, "\r\n") } else { (at, "\n") };
        Some(Self { at, indent: Some(format!("{newline}{indent}")), is_empty: false })
    }

    /// What adds a value under keys, one below the other.
    pub(super) fn insert(&self, file: FileId, keys: &[&str], value: &str) -> Edit {
        let mut text = String::new();
        // Writing to a text does not fail.
        if let Some(indent) = &self.indent {
            for (depth, key) in keys.iter().enumerate() {
                let _ = write!(text, "{indent}{}{key}:", "  ".repeat(depth));
            }
            let _ = write!(text, " {value}");
        } else {
            let _ = write!(text, "{}{}", if self.is_empty { "" } else { ", " }, keys.join(": {"));
            let _ = write!(text, ": {value}{}", "}".repeat(keys.len().saturating_sub(1)));
        }
        Edit { file, range: self.at..self.at, text }
    }
}

/// Moves the item of a list that stands at one place before the item of the same list at another one; `None`: they are no
/// such items.
pub(super) fn moved(sources: &Sources, item: &Location, before: &Location) -> Option<Vec<Edit>> {
    let (list, from, to) = items(sources, item, before)?;
    let text = &sources.get(item.file)?.text;
    let (item, first) = (list.block(text, from)?, list.block(text, to)?);
    let taken = Edit { file: list.file, range: item.clone(), text: String::new() };
    // The last line of a text may have no end.
    let own = &text[item];
    let own = if own.ends_with('\n') || list.is_flow { own.to_owned() } else { format!("{own}\n") };
    Some(vec![Edit { file: list.file, range: first.start..first.start, text: own }, taken])
}

/// Takes the item of a list away that stands at a place, beside one at another place.
pub(super) fn removed(sources: &Sources, item: &Location, other: &Location) -> Option<Vec<Edit>> {
    let (list, from, _) = items(sources, item, other)?;
    let range = list.block(&sources.get(item.file)?.text, from)?;
    Some(vec![Edit { file: list.file, range, text: String::new() }])
}

/// A list in a text.
struct List {
    file: FileId,
    items: Vec<Range<usize>>,
    is_flow: bool,
}

/// The list that holds the items at two places, and which they are.
fn items(sources: &Sources, one: &Location, other: &Location) -> Option<(List, usize, usize)> {
    let text = &sources.get(one.file).filter(|_| one.file == other.file)?.text;
    let root = document_at(text, one.offset as usize)?;
    let (own, theirs) = (root.way_to(one.offset as usize)?, root.way_to(other.offset as usize)?);
    let (Some((Step::Item(own), above)), Some((Step::Item(theirs), beside))) = (own.split_last(), theirs.split_last())
    else {
        return None;
    };
    let list = root.at(above).filter(|_| above == beside)?;
    let Parts::List(items) = &list.parts else { return None };
    let ranges = items.iter().map(|item| item.range.clone()).collect();
    Some((List { file: one.file, items: ranges, is_flow: list.is_flow(text) }, *own, *theirs))
}

impl List {
    /// Everything that belongs to an item: with the comments above it in block style, with the comma behind it in brackets.
    /// `None` where that is not plain to see.
    fn block(&self, text: &str, item: usize) -> Option<Range<usize>> {
        if self.is_flow {
            // The last one would leave a comma behind.
            return Some(self.items[item].start..self.items.get(item + 1)?.start);
        }
        let end = if item + 1 < self.items.len() {
            self.begin(text, item + 1)?
        } else {
            (line_end(text, text[..self.items[item].end].trim_end().len()) + 1).min(text.len())
        };
        Some(self.begin(text, item)?..end)
    }

    /// The line of an item's dash, or of the first of the comments right above it.
    fn begin(&self, text: &str, item: usize) -> Option<usize> {
        let dash = text[..self.items[item].start].trim_end().strip_suffix('-')?.len();
        let mut line = text[..dash].rfind('\n').map_or(0, |newline| newline + 1);
        if !text[line..dash].trim().is_empty() {
            return None;
        }
        while line > 0 {
            let above = text[..line - 1].rfind('\n').map_or(0, |newline| newline + 1);
            if !text[above..line].trim_start().starts_with('#') {
                break;
            }
            line = above;
        }
        Some(line)
    }
}

/// Where the line ends that holds this byte.
fn line_end(text: &str, at: usize) -> usize {
    text[at..].find('\n').map_or(text.len(), |newline| at + newline)
}
