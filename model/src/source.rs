//! The texts that were read, and places in them.

use std::fmt;

use crate::FieldPath;

/// Every text that was read, in the order of their paths.
#[derive(Clone, Debug, Default)]
pub struct Sources {
    files: Vec<Source>,
}

/// One text.
#[derive(Clone, Debug)]
pub struct Source {
    /// Where it was read from, as the user would write it; `-` is standard input.
    pub path: String,
    /// What it says.
    pub text: String,
}

/// One of the [`Sources`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FileId(u32);

impl FileId {
    /// The index into the sources.
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl Sources {
    /// Adds a text and gives its name.
    pub fn add(&mut self, path: impl Into<String>, text: impl Into<String>) -> FileId {
        let id = FileId(u32::try_from(self.files.len()).unwrap_or(u32::MAX));
        self.files.push(Source { path: path.into(), text: text.into() });
        id
    }

    /// The text of that name.
    pub fn get(&self, id: FileId) -> Option<&Source> {
        self.files.get(id.index())
    }

    /// The path of that text; empty for a name of other sources.
    pub fn path(&self, id: FileId) -> &str {
        self.get(id).map_or("", |source| source.path.as_str())
    }

    /// All texts with their names.
    pub fn iter(&self) -> impl Iterator<Item = (FileId, &Source)> {
        self.files.iter().enumerate().map(|(i, s)| (FileId(u32::try_from(i).unwrap_or(u32::MAX)), s))
    }
}

/// A place in a text: where a fact stands.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Location {
    /// Which text.
    pub file: FileId,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
    /// Byte offset in the text.
    pub offset: u32,
    /// Bytes from `offset`; at least 1 where something is written there.
    pub length: u32,
    /// The way to the field inside its document; empty for a whole file.
    pub path: FieldPath,
}

impl Location {
    /// `file:line:column`, for people.
    pub fn display<'a>(&'a self, sources: &'a Sources) -> impl fmt::Display + 'a {
        struct Shown<'a>(&'a Location, &'a Sources);
        impl fmt::Display for Shown<'_> {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{}:{}:{}", self.1.path(self.0.file), self.0.line, self.0.column)
            }
        }
        Shown(self, sources)
    }
}

/// A value and where it is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Located<T> {
    /// The value.
    pub value: T,
    /// Where it stands.
    pub at: Location,
}

impl<T> Located<T> {
    /// A value that stands at a place.
    pub const fn new(value: T, at: Location) -> Self {
        Self { value, at }
    }

    /// Another value that stands at the same place.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Located<U> {
        Located { value: f(self.value), at: self.at }
    }

    /// A borrowed view.
    pub fn as_ref(&self) -> Located<&T> {
        Located { value: &self.value, at: self.at.clone() }
    }
}

/// Where an effective value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Written there.
    Written(Location),
    /// A default; the rule's id in the book, such as `RT-11`.
    Default(&'static str),
}

impl Origin {
    /// The place, for a value that is written somewhere.
    pub const fn location(&self) -> Option<&Location> {
        match self {
            Self::Written(at) => Some(at),
            Self::Default(_) => None,
        }
    }
}

/// An effective value and its origin.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sourced<T> {
    /// The value.
    pub value: T,
    /// Why it is that.
    pub origin: Origin,
}

impl<T> Sourced<T> {
    /// A value that is written somewhere.
    pub const fn written(value: T, at: Location) -> Self {
        Self { value, origin: Origin::Written(at) }
    }

    /// A default.
    pub const fn default(value: T, rule: &'static str) -> Self {
        Self { value, origin: Origin::Default(rule) }
    }

    /// Another value of the same origin.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> Sourced<U> {
        Sourced { value: f(self.value), origin: self.origin }
    }
}

impl<T> From<Located<T>> for Sourced<T> {
    fn from(located: Located<T>) -> Self {
        Self::written(located.value, located.at)
    }
}
