//! A YAML tree that keeps the place of every key and value, one document at a time.
//!
//! The parser is `granit-parser`'s; what is ours is what kubectl does around it: documents are split at lines that
//! begin with `---`, so that a broken one leaves the others; plain scalars follow YAML 1.1; a key written twice counts
//! once, the last one; aliases and depth are limited, so that a small text cannot become a large tree.

mod scalar;
mod split;
mod template;
mod tree;

use std::{
    borrow::Cow,
    sync::atomic::{AtomicBool, Ordering},
};

use rayon::prelude::*;
pub(crate) use scalar::Plain;
pub(crate) use template::in_scalar as template_in_scalar;

/// A stretch of the text.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Mark {
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// In bytes, from the beginning of the text.
    pub offset: u32,
    /// In bytes.
    pub length: u32,
}

/// A value and its place.
#[derive(Clone, Debug)]
pub(crate) struct Node<'a> {
    pub mark: Mark,
    pub value: Value<'a>,
}

#[derive(Clone, Debug)]
pub(crate) enum Value<'a> {
    Scalar { text: Cow<'a, str>, plain: bool },
    Sequence(Vec<Node<'a>>),
    Mapping(Vec<Entry<'a>>),
}

/// A key and its value.
#[derive(Clone, Debug)]
pub(crate) struct Entry<'a> {
    pub key: Cow<'a, str>,
    pub mark: Mark,
    pub value: Node<'a>,
    /// Whether the model took it in; what is left at the end is named.
    pub read: Flag,
}

/// A mark that any thread may set, and that is looked at after all of them are done.
#[derive(Debug, Default)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn set(&self) {
        self.0.store(true, Ordering::Relaxed);
    }

    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }
}

impl Clone for Flag {
    fn clone(&self) -> Self {
        Self(AtomicBool::new(self.get()))
    }
}

/// A key that is written twice in one mapping.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Duplicate {
    pub path: String,
    pub key: String,
    pub first: Mark,
    pub second: Mark,
}

/// A comment, without its `#`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Comment<'a> {
    pub text: Cow<'a, str>,
    pub mark: Mark,
    /// Whether nothing but blanks stands before it on its line.
    pub alone: bool,
}

/// One document.
#[derive(Clone, Debug)]
pub(crate) struct Document<'a> {
    pub root: Node<'a>,
    pub duplicates: Vec<Duplicate>,
    /// Whether `{{` stands somewhere in its text: without it no value holds a template's action.
    pub braces: bool,
}

/// A document that cannot be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Broken {
    pub mark: Mark,
    pub message: String,
    /// Whether it is a template that was not rendered.
    pub template: bool,
}

/// Everything of one text.
#[derive(Clone, Debug, Default)]
pub(crate) struct Parsed<'a> {
    /// In order; documents without content are left out.
    pub documents: Vec<Document<'a>>,
    pub broken: Vec<Broken>,
    pub comments: Vec<Comment<'a>>,
}

/// Reads a text, its documents on all cores; never fails as a whole.
pub(crate) fn parse(text: &str) -> Parsed<'_> {
    let one = |chunk| {
        let mut parsed = Parsed::default();
        tree::read(chunk, &mut parsed);
        parsed
    };
    let parts: Vec<Parsed<'_>> = split::chunks(text).into_par_iter().map(one).collect();
    let mut parsed = Parsed::default();
    for mut part in parts {
        parsed.documents.append(&mut part.documents);
        parsed.broken.append(&mut part.broken);
        parsed.comments.append(&mut part.comments);
    }
    parsed
}

/// The texts of the documents of a text, in order; together they are all of it but a byte order mark.
pub(crate) fn document_texts(text: &str) -> Vec<&str> {
    split::chunks(text).into_iter().map(|chunk| chunk.text).collect()
}

/// Reads a part of a text; places are those in the whole text.
pub(crate) fn parse_part(text: &str, part: std::ops::Range<usize>) -> Parsed<'_> {
    let mut parsed = Parsed::default();
    let lines = text[..part.start].matches('\n').count();
    tree::read(split::Chunk { text: &text[part.clone()], offset: part.start, lines }, &mut parsed);
    parsed
}

/// The lines of a literal block (`key: |`), if the scalar at `mark` is one.
pub(crate) fn block_lines(text: &str, mark: Mark) -> Option<std::ops::Range<usize>> {
    let (content, end) = (mark.offset as usize, (mark.offset as usize) + (mark.length as usize));
    let start = text.get(..content)?.rfind('\n')? + 1;
    let header = text[..start].trim_end().rsplit('\n').next()?;
    let header = header.split(" #").next()?.trim_end().trim_end_matches(|c: char| matches!(c, '-' | '+' | '1'..='9'));
    (header.ends_with('|') && start <= end && text.is_char_boundary(end)).then_some(start..end)
}

impl<'a> Node<'a> {
    /// The plain reading of a scalar; `None` for a sequence or mapping.
    pub(crate) fn plain(&self) -> Option<Plain<'_>> {
        match &self.value {
            Value::Scalar { text, plain } => Some(scalar::resolve(text, *plain)),
            _ => None,
        }
    }

    pub(crate) fn is_null(&self) -> bool {
        self.plain() == Some(Plain::Null)
    }

    pub(crate) fn entries(&self) -> &[Entry<'a>] {
        match &self.value {
            Value::Mapping(entries) => entries,
            _ => &[],
        }
    }

    pub(crate) fn items(&self) -> &[Node<'a>] {
        match &self.value {
            Value::Sequence(items) => items,
            _ => &[],
        }
    }

    /// The value of a key; the last one, if it is written twice.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry<'a>> {
        self.entries().iter().rev().find(|entry| entry.key == key)
    }

    /// What a reader of messages would call it.
    pub(crate) fn kind(&self) -> &'static str {
        match &self.value {
            Value::Sequence(_) => "a list",
            Value::Mapping(_) => "an object",
            Value::Scalar { .. } => self.plain().map_or("a text", |plain| plain.kind()),
        }
    }
}

#[cfg(test)]
mod tests;
