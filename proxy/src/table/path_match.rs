//! One route's condition on the path, without its query.

use super::{index::Extent, template::Template};
use crate::{config::PathMatcher, error::CompileFault, regex::FullMatch};

/// A compiled [`PathMatcher`].
#[derive(Clone, Debug)]
pub(crate) enum PathMatch {
    /// A text and what may follow it.
    Text { text: Box<str>, extent: Extent, ignore_case: bool },
    /// A regular expression over the whole path.
    Regex(FullMatch),
    /// A template over the whole path.
    Template(Template),
}

impl PathMatch {
    pub(crate) fn new(matcher: &PathMatcher, case_sensitive: bool) -> Result<Self, CompileFault> {
        let text = |text: &str, extent| Self::Text { text: text.into(), extent, ignore_case: !case_sensitive };
        Ok(match matcher {
            PathMatcher::Prefix(prefix) => text(prefix, Extent::Prefix),
            PathMatcher::Path(path) => text(path, Extent::Whole),
            PathMatcher::PathSeparatedPrefix(prefix) => {
                if prefix.ends_with('/') || prefix.contains(['?', '#']) || !prefix.starts_with('/') {
                    return Err(CompileFault::PathSeparatedPrefix { prefix: prefix.clone() });
                }
                text(prefix, Extent::Segments)
            }
            PathMatcher::Regex(pattern) => Self::Regex(FullMatch::new(pattern)?),
            PathMatcher::UriTemplate(template) => Self::Template(Template::new(template)?),
        })
    }

    pub(crate) fn matches(&self, path: &str) -> bool {
        match self {
            Self::Text { text, extent, ignore_case } => {
                let (text, path) = (text.as_bytes(), path.as_bytes());
                let Some((head, rest)) = path.split_at_checked(text.len()) else { return false };
                let is_equal = if *ignore_case { head.eq_ignore_ascii_case(text) } else { head == text };
                is_equal && extent.allows(rest)
            }
            Self::Regex(regex) => regex.matches(path),
            Self::Template(template) => template.matches(path),
        }
    }

    /// How much of a matching path a prefix rewrite replaces (Envoy: `matched_path`).
    pub(crate) fn rewritten_len(&self, path: &str) -> usize {
        match self {
            Self::Text { text, .. } => text.len(),
            Self::Regex(_) | Self::Template(_) => path.len(),
        }
    }

    /// The text of a condition that the tree can hold.
    pub(crate) fn into_text(self) -> Result<(Box<str>, Extent), Self> {
        match self {
            Self::Text { text, extent, ignore_case: false } => Ok((text, extent)),
            other => Err(other),
        }
    }
}
