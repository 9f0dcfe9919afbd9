//! Matchers on text, headers, query parameters and paths.

use serde::{Deserialize, Serialize};

/// How a text is compared (Envoy: `type.matcher.v3.StringMatcher`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct StringMatcher {
    /// The comparison.
    pub pattern: StringPattern,
    /// Whether ASCII case is ignored; never for a regular expression.
    pub ignore_case: bool,
}

/// The comparison of a [`StringMatcher`].
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum StringPattern {
    /// The whole value.
    Exact(String),
    /// The value's beginning.
    Prefix(String),
    /// The value's end.
    Suffix(String),
    /// Some part of the value.
    Contains(String),
    /// A regular expression (RE2 syntax) over the whole value.
    Regex(String),
}

impl StringMatcher {
    /// The whole value, case counted.
    pub fn exact(value: impl Into<String>) -> Self {
        Self { pattern: StringPattern::Exact(value.into()), ignore_case: false }
    }

    /// The value's beginning, case counted.
    pub fn prefix(value: impl Into<String>) -> Self {
        Self { pattern: StringPattern::Prefix(value.into()), ignore_case: false }
    }

    /// The value's end, case counted.
    pub fn suffix(value: impl Into<String>) -> Self {
        Self { pattern: StringPattern::Suffix(value.into()), ignore_case: false }
    }

    /// A regular expression over the whole value.
    pub fn regex(value: impl Into<String>) -> Self {
        Self { pattern: StringPattern::Regex(value.into()), ignore_case: false }
    }
}

/// A condition on a request header (Envoy: `config.route.v3.HeaderMatcher`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct HeaderMatcher {
    /// Lower-case name; `:method`, `:authority`, `:path` and `:scheme` are the pseudo-headers.
    pub name: String,
    /// What is asked of the value.
    pub value: HeaderValueMatcher,
    /// Turns the answer round for a header that is there (and for [`HeaderValueMatcher::Present`]).
    pub invert: bool,
    /// Whether an absent header counts as an empty value.
    pub treat_missing_as_empty: bool,
}

/// What a [`HeaderMatcher`] asks of the value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum HeaderValueMatcher {
    /// Whether the header is there (`true`) or absent (`false`).
    Present(bool),
    /// Some value of the header matches.
    Text(StringMatcher),
    /// The value is a whole number in `start..end`.
    Range {
        /// Inclusive.
        start: i64,
        /// Exclusive.
        end: i64,
    },
}

/// A condition on a query parameter (Envoy: `config.route.v3.QueryParameterMatcher`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct QueryMatcher {
    /// The parameter's name, undecoded.
    pub name: String,
    /// What is asked of the value.
    pub value: QueryValueMatcher,
}

/// What a [`QueryMatcher`] asks of the value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum QueryValueMatcher {
    /// Whether the parameter is there (`true`) or absent (`false`).
    Present(bool),
    /// The first value of the parameter matches.
    Text(StringMatcher),
}

/// What is asked of the path, its query cut off (Envoy: `config.route.v3.RouteMatch.path_specifier`).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum PathMatcher {
    /// Bytes at the beginning: `/foo` matches `/foobar`.
    Prefix(String),
    /// The whole path.
    Path(String),
    /// A regular expression over the whole path.
    Regex(String),
    /// Whole segments at the beginning: `/foo` matches `/foo/bar`, not `/foobar`.
    PathSeparatedPrefix(String),
    /// A template: `{name}` and `*` stand for one segment, `**` for any rest.
    UriTemplate(String),
}
