//! The way to a field inside of its document.

use std::{
    borrow::Cow,
    fmt,
    hash::{Hash, Hasher},
    sync::Arc,
};

/// The way to a field inside of its document, such as `spec.http[0].retries.attempts`; empty for a whole document.
///
/// Fields of one object share the way to it, so that a place costs one step and no text. Two ways are equal if they read
/// the same.
#[derive(Clone, Default)]
pub struct FieldPath(Option<Arc<Step>>);

struct Step {
    before: FieldPath,
    name: Name,
}

enum Name {
    Key(Cow<'static, str>),
    Index(usize),
}

impl FieldPath {
    /// The way to the field of that name.
    #[must_use]
    pub fn key(&self, key: impl Into<Cow<'static, str>>) -> Self {
        self.step(Name::Key(key.into()))
    }

    /// The way to the item of that number, from 0.
    #[must_use]
    pub fn index(&self, index: usize) -> Self {
        self.step(Name::Index(index))
    }

    /// Whether it leads to a whole document.
    pub fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    fn step(&self, name: Name) -> Self {
        Self(Some(Arc::new(Step { before: self.clone(), name })))
    }
}

impl From<&str> for FieldPath {
    fn from(path: &str) -> Self {
        if path.is_empty() { Self::default() } else { Self::default().key(path.to_owned()) }
    }
}

impl From<String> for FieldPath {
    fn from(path: String) -> Self {
        if path.is_empty() { Self::default() } else { Self::default().key(path) }
    }
}

impl fmt::Display for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut steps = Vec::new();
        let mut next = &self.0;
        while let Some(step) = next {
            steps.push(&step.name);
            next = &step.before.0;
        }
        for (i, name) in steps.iter().rev().enumerate() {
            match name {
                Name::Key(key) if i == 0 => f.write_str(key)?,
                Name::Key(key) => write!(f, ".{key}")?,
                Name::Index(index) => write!(f, "[{index}]")?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for FieldPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.to_string(), f)
    }
}

impl PartialEq for FieldPath {
    fn eq(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (None, None) => true,
            (Some(own), Some(other_step)) => Arc::ptr_eq(own, other_step) || self.to_string() == other.to_string(),
            _ => false,
        }
    }
}

impl Eq for FieldPath {}

impl PartialOrd for FieldPath {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for FieldPath {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.to_string().cmp(&other.to_string())
    }
}

impl Hash for FieldPath {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.to_string().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use super::FieldPath;

    #[test]
    fn ways_are_equal_if_they_read_the_same() {
        let http = FieldPath::default().key("spec").key("http");
        let first = http.index(0).key("name");
        assert_eq!(first.to_string(), "spec.http[0].name");
        assert_eq!(first, FieldPath::from("spec.http[0].name"));
        assert!(first < http.index(1), "{first}");
        assert_ne!(http.index(1), http.index(2));
        assert!(FieldPath::from("").is_empty() && FieldPath::default().to_string().is_empty());
        assert_eq!(format!("{first:?}"), "\"spec.http[0].name\"");
        assert_eq!(FieldPath::default().index(2).to_string(), "[2]");
    }
}
