//! Compiled matchers on texts, headers and query parameters.

use crate::{
    config::{self, HeaderValueMatcher, QueryValueMatcher, StringPattern},
    error::CompileFault,
    regex::FullMatch,
};

/// A compiled [`config::StringMatcher`].
#[derive(Clone, Debug)]
pub(crate) struct StringMatch {
    pattern: Pattern,
    ignore_case: bool,
}

#[derive(Clone, Debug)]
enum Pattern {
    Exact(Box<str>),
    Prefix(Box<str>),
    Suffix(Box<str>),
    Contains(Box<str>),
    Regex(FullMatch),
}

impl StringMatch {
    pub(crate) fn new(matcher: &config::StringMatcher) -> Result<Self, CompileFault> {
        let pattern = match &matcher.pattern {
            StringPattern::Exact(text) => Pattern::Exact(text.as_str().into()),
            StringPattern::Prefix(text) => Pattern::Prefix(text.as_str().into()),
            StringPattern::Suffix(text) => Pattern::Suffix(text.as_str().into()),
            StringPattern::Contains(text) => Pattern::Contains(text.as_str().into()),
            StringPattern::Regex(text) => Pattern::Regex(FullMatch::new(text)?),
        };
        Ok(Self { pattern, ignore_case: matcher.ignore_case })
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        let bytes = text.as_bytes();
        match &self.pattern {
            Pattern::Exact(want) => self.equal(bytes, want),
            Pattern::Prefix(want) => bytes.get(..want.len()).is_some_and(|head| self.equal(head, want)),
            Pattern::Suffix(want) => {
                bytes.len().checked_sub(want.len()).is_some_and(|at| self.equal(&bytes[at..], want))
            }
            Pattern::Contains(want) if self.ignore_case => {
                want.is_empty() || bytes.windows(want.len()).any(|part| self.equal(part, want))
            }
            Pattern::Contains(want) => text.contains(&**want),
            Pattern::Regex(regex) => regex.matches(text),
        }
    }

    fn equal(&self, got: &[u8], want: &str) -> bool {
        if self.ignore_case { got.eq_ignore_ascii_case(want.as_bytes()) } else { got == want.as_bytes() }
    }
}

/// A compiled [`config::HeaderMatcher`] (Envoy: `HeaderUtility::HeaderData`).
#[derive(Clone, Debug)]
pub(crate) struct HeaderMatch {
    name: Box<str>,
    value: ValueMatch,
    invert: bool,
    treat_missing_as_empty: bool,
}

#[derive(Clone, Debug)]
enum ValueMatch {
    Present(bool),
    Text(StringMatch),
    Range { start: i64, end: i64 },
}

impl HeaderMatch {
    pub(crate) fn new(matcher: &config::HeaderMatcher) -> Result<Self, CompileFault> {
        let value = match &matcher.value {
            HeaderValueMatcher::Present(present) => ValueMatch::Present(*present),
            HeaderValueMatcher::Text(text) => ValueMatch::Text(StringMatch::new(text)?),
            HeaderValueMatcher::Range { start, end } => ValueMatch::Range { start: *start, end: *end },
        };
        Ok(Self {
            name: matcher.name.to_ascii_lowercase().into(),
            value,
            invert: matcher.invert,
            treat_missing_as_empty: matcher.treat_missing_as_empty,
        })
    }

    /// The header's lower-case name.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Whether the header's values satisfy the matcher. Each value is judged alone; an absent header satisfies no
    /// matcher on values, not even an inverted one, unless it counts as empty.
    pub(crate) fn matches<'a>(&self, values: impl Iterator<Item = &'a str>) -> bool {
        let mut values = values.peekable();
        if let ValueMatch::Present(wanted) = self.value {
            return (values.peek().is_some() == wanted) != self.invert;
        }
        if values.peek().is_none() {
            return self.treat_missing_as_empty && self.value.matches("") != self.invert;
        }
        values.any(|value| self.value.matches(value)) != self.invert
    }
}

impl ValueMatch {
    fn matches(&self, value: &str) -> bool {
        match self {
            Self::Present(wanted) => *wanted,
            Self::Text(text) => text.matches(value),
            Self::Range { start, end } => value.parse().is_ok_and(|number: i64| (*start..*end).contains(&number)),
        }
    }
}

/// A compiled [`config::QueryMatcher`].
#[derive(Clone, Debug)]
pub(crate) struct QueryMatch {
    name: Box<str>,
    value: QueryValueMatch,
}

#[derive(Clone, Debug)]
enum QueryValueMatch {
    Present(bool),
    Text(StringMatch),
}

impl QueryMatch {
    pub(crate) fn new(matcher: &config::QueryMatcher) -> Result<Self, CompileFault> {
        let value = match &matcher.value {
            QueryValueMatcher::Present(present) => QueryValueMatch::Present(*present),
            QueryValueMatcher::Text(text) => QueryValueMatch::Text(StringMatch::new(text)?),
        };
        Ok(Self { name: matcher.name.as_str().into(), value })
    }

    /// Whether the first parameter of that name satisfies the matcher.
    pub(crate) fn matches(&self, query: &str) -> bool {
        let value = query_parameter(query, &self.name);
        match &self.value {
            QueryValueMatch::Present(wanted) => value.is_some() == *wanted,
            QueryValueMatch::Text(text) => value.is_some_and(|value| text.matches(value)),
        }
    }
}

/// The first parameter of that name: pieces end at `&`, a piece's name at its first `=`, nothing is decoded.
pub(crate) fn query_parameter<'a>(query: &'a str, name: &str) -> Option<&'a str> {
    query
        .split('&')
        .filter(|piece| !piece.is_empty())
        .map(|piece| piece.split_once('=').unwrap_or((piece, "")))
        .find_map(|(key, value)| (key == name).then_some(value))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::{HeaderMatcher, QueryMatcher, StringMatcher};

    fn text(pattern: StringPattern, ignore_case: bool) -> StringMatcher {
        StringMatcher { pattern, ignore_case }
    }

    #[test]
    fn texts_are_compared_as_told() {
        use StringPattern::{Contains, Exact, Prefix, Regex, Suffix};
        let own = str::to_owned;
        let table = [
            (text(Exact(own("v2")), false), "v2", true),
            (text(Exact(own("v2")), false), "V2", false),
            (text(Exact(own("v2")), true), "V2", true),
            (text(Prefix(own("ab")), false), "abyz", true),
            (text(Prefix(own("ab")), true), "ABYZ", true),
            (text(Prefix(own("ab")), false), "a", false),
            (text(Suffix(own("yz")), false), "xyz", true),
            (text(Suffix(own("YZ")), true), "xyz", true),
            (text(Suffix(own("xyz")), false), "yz", false),
            (text(Contains(own("mm")), false), "ammb", true),
            (text(Contains(own("MM")), true), "ammb", true),
            (text(Contains(own("")), true), "", true),
            (text(Regex(own("a+")), false), "aa", true),
            (text(Regex(own("a+")), true), "AA", false),
        ];
        for (matcher, value, expect) in table {
            assert_eq!(StringMatch::new(&matcher).unwrap().matches(value), expect, "{matcher:?} {value}");
        }
    }

    #[test]
    fn each_value_of_a_header_is_judged_alone() {
        let exact = |value: &str| HeaderValueMatcher::Text(StringMatcher::exact(value));
        let range = HeaderValueMatcher::Range { start: -10, end: 10 };
        let present = HeaderValueMatcher::Present;
        // matcher, inverted, missing is empty, values, whether it matches
        let table: &[(HeaderValueMatcher, bool, bool, &[&str], bool)] = &[
            (exact("a"), false, false, &["b", "a"], true),
            (exact("a,b"), false, false, &["a", "b"], false),
            (exact("a,b"), false, false, &["a,b"], true),
            (exact("a"), true, false, &["b", "a"], false),
            (exact("1"), true, false, &[], false),
            (exact("1"), true, true, &[], true),
            (exact(""), false, true, &[], true),
            (exact("bad"), true, false, &[""], true),
            (present(true), false, false, &[""], true),
            (present(true), true, false, &[], true),
            (present(false), false, false, &[], true),
            (present(false), true, false, &["x"], true),
            (range.clone(), false, false, &["-10"], true),
            (range.clone(), false, false, &["10"], false),
            (range.clone(), false, false, &["+5"], true),
            (range.clone(), false, false, &["5x"], false),
            (range.clone(), false, false, &["5.5"], false),
            (range.clone(), false, false, &[""], false),
            (range.clone(), true, false, &["abc"], true),
            (range, true, false, &[], false),
        ];
        for (value, invert, missing_is_empty, values, expect) in table {
            let matcher = HeaderMatcher {
                name: "X-A".to_owned(),
                value: value.clone(),
                invert: *invert,
                treat_missing_as_empty: *missing_is_empty,
            };
            let compiled = HeaderMatch::new(&matcher).unwrap();
            assert_eq!(compiled.name(), "x-a");
            assert_eq!(compiled.matches(values.iter().copied()), *expect, "{matcher:?} {values:?}");
        }
    }

    #[test]
    fn the_first_parameter_of_a_name_counts() {
        let text = |value: &str| QueryValueMatcher::Text(StringMatcher::exact(value));
        let present = QueryValueMatcher::Present;
        let table = [
            ("a=1&a=2", text("1"), true),
            ("a=2&a=1", text("1"), false),
            ("&&a=1", text("1"), true),
            ("a==1", text("=1"), true),
            ("a=1;b=2", text("1"), false),
            ("%61=1", text("1"), false),
            ("a=%31", text("1"), false),
            ("a", text(""), true),
            ("a", present(true), true),
            ("b", present(true), false),
            ("", present(true), false),
            ("a=1", present(false), false),
            ("A=1", present(false), true),
            ("", present(false), true),
        ];
        for (query, value, expect) in table {
            let matcher = QueryMatcher { name: "a".to_owned(), value };
            assert_eq!(QueryMatch::new(&matcher).unwrap().matches(query), expect, "{query} {matcher:?}");
        }
    }
}
