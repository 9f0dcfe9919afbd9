//! A field of an object while it is read: its value, its place and the way to it.

use meshproof_model::{FieldPath, FileId, Labels, Located, Location};

use crate::{
    object::{entry_mark, head, labels, locate, text_of},
    yaml::{Mark, Node, Plain},
};

/// A value and where it stands. Reading marks it, so that what nobody read can be named.
#[derive(Clone, Debug)]
pub(crate) struct Field<'a> {
    file: FileId,
    node: &'a Node<'a>,
    mark: Mark,
    path: FieldPath,
    /// Reading leaves no mark: what is read is kept, and verdicts do not see it.
    quiet: bool,
}

impl<'a> Field<'a> {
    /// The whole object.
    pub(crate) fn root(file: FileId, node: &'a Node<'a>, path: FieldPath) -> Self {
        Self { file, node, mark: head(node), path, quiet: false }
    }

    /// The same, read without a mark: it stays among what is not modelled.
    pub(crate) fn quietly(&self) -> Self {
        Self { quiet: true, ..self.clone() }
    }

    /// The field of that name, unless it is absent or null.
    pub(crate) fn get(&self, key: &'static str) -> Option<Self> {
        let entry = self.node.entry(key)?;
        if !self.quiet {
            entry.read.set();
        }
        (!entry.value.is_null()).then(|| Self {
            file: self.file,
            node: &entry.value,
            mark: entry_mark(entry),
            path: self.path.key(key),
            quiet: self.quiet,
        })
    }

    /// Whether the field is written, null or not, without reading it.
    pub(crate) fn has(&self, key: &str) -> bool {
        self.node.entry(key).is_some()
    }

    /// The items of a list; of anything else none.
    pub(crate) fn items(&self) -> impl ExactSizeIterator<Item = Self> + use<'a> {
        self.each(self.node.items(), self.path.clone())
    }

    /// The items of the list of that name.
    pub(crate) fn list(&self, key: &'static str) -> impl ExactSizeIterator<Item = Self> + use<'a> {
        match self.get(key) {
            Some(field) => field.each(field.node.items(), field.path.clone()),
            None => self.each(&[], FieldPath::default()),
        }
    }

    /// What the items of the list of that name say, without those that say nothing.
    pub(crate) fn read_list<T>(&self, key: &'static str, read: impl FnMut(Self) -> Option<T>) -> Vec<T> {
        let items = self.list(key);
        let mut all = Vec::with_capacity(items.len());
        all.extend(items.filter_map(read));
        all
    }

    /// Items of the list at `path`. Their number is known, so that what is collected takes no more room than it needs.
    fn each(&self, nodes: &'a [Node<'a>], path: FieldPath) -> impl ExactSizeIterator<Item = Self> + use<'a> {
        let (file, quiet) = (self.file, self.quiet);
        nodes.iter().enumerate().map(move |(i, node)| Self { file, node, mark: head(node), path: path.index(i), quiet })
    }

    /// The fields of an object with keys of the user's choice, null ones too.
    pub(crate) fn fields(&self) -> impl Iterator<Item = (&'a str, Self)> + use<'a> {
        let (file, path, quiet) = (self.file, self.path.clone(), self.quiet);
        self.node.entries().iter().map(move |entry| {
            if !quiet {
                entry.read.set();
            }
            let field = Self {
                file,
                node: &entry.value,
                mark: entry_mark(entry),
                path: path.key(entry.key.to_string()),
                quiet,
            };
            (entry.key.as_ref(), field)
        })
    }

    /// Where it stands.
    pub(crate) fn at(&self) -> Location {
        locate(self.file, self.mark, self.path.clone())
    }

    /// The value with its place.
    pub(crate) fn located<T>(&self, value: T) -> Located<T> {
        Located::new(value, self.at())
    }

    pub(crate) fn node(&self) -> &'a Node<'a> {
        self.node
    }

    /// Whether it is an object without fields.
    pub(crate) fn is_empty(&self) -> bool {
        self.node.entries().is_empty() && self.node.items().is_empty()
    }

    /// Its text.
    pub(crate) fn text(&self) -> Option<String> {
        text_of(self.node)
    }

    /// The text of the field of that name.
    pub(crate) fn text_at(&self, key: &'static str) -> Option<String> {
        self.get(key)?.text()
    }

    /// The text of the field of that name, with its place.
    pub(crate) fn located_text(&self, key: &'static str) -> Option<Located<String>> {
        let field = self.get(key)?;
        field.text().map(|text| field.located(text))
    }

    /// The texts of the list of that name, with their places.
    pub(crate) fn texts(&self, key: &'static str) -> Vec<Located<String>> {
        self.read_list(key, |item| item.text().map(|text| item.located(text)))
    }

    /// Its whole number, also where it stands in quotes.
    pub(crate) fn int(&self) -> Option<i64> {
        match self.node.plain()? {
            Plain::Int(value) => Some(value),
            #[expect(
                clippy::cast_possible_truncation,
                reason = "whole, and far from the limits in every valid manifest"
            )]
            Plain::Float(value) if value.fract() == 0.0 && value.abs() < 9.0e15 => Some(value as i64),
            Plain::Text(text) => text.parse().ok(),
            _ => None,
        }
    }

    /// Its number in parts of `scale`, rounded to the nearest: percentages without binary fractions.
    pub(crate) fn scaled(&self, scale: f64) -> Option<f64> {
        match self.node.plain()? {
            #[expect(clippy::cast_precision_loss, reason = "percentages")]
            Plain::Int(value) => Some((value as f64) * scale),
            Plain::Float(value) => Some((value * scale).round()),
            _ => None,
        }
    }

    /// Its yes or no.
    pub(crate) fn bool(&self) -> Option<bool> {
        match self.node.plain()? {
            Plain::Bool(value) => Some(value),
            _ => None,
        }
    }

    /// The yes or no of the field of that name.
    pub(crate) fn bool_at(&self, key: &'static str) -> Option<bool> {
        self.get(key)?.bool()
    }

    /// The labels of the field of that name.
    pub(crate) fn labels_at(&self, key: &'static str) -> Labels {
        self.get(key).map(|field| field.labels()).unwrap_or_default()
    }

    /// Its labels; they count as read.
    pub(crate) fn labels(&self) -> Labels {
        for entry in self.node.entries().iter().filter(|_| !self.quiet) {
            entry.read.set();
        }
        labels(self.node)
    }
}
