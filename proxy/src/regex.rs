//! Regular expressions as Envoy reads them: RE2 syntax, over the whole text.

use regex_automata::{PatternID, meta, util::syntax};

use crate::error::CompileFault;

/// A pattern that must match a whole text (Envoy: `RE2::FullMatch`).
#[derive(Clone, Debug)]
pub(crate) struct FullMatch(meta::Regex);

impl FullMatch {
    pub(crate) fn new(pattern: &str) -> Result<Self, CompileFault> {
        build(pattern)?;
        build(&format!(r"\A(?:{pattern})\z")).map(Self)
    }

    pub(crate) fn matches(&self, text: &str) -> bool {
        self.0.is_match(text)
    }
}

/// A pattern whose matches are replaced (Envoy: `RE2::GlobalReplace`), with `\0` to `\9` for groups.
#[derive(Clone, Debug)]
pub(crate) struct Replacement {
    pattern: meta::Regex,
    parts: Box<[Part]>,
}

#[derive(Clone, Debug)]
enum Part {
    Text(Box<str>),
    Group(usize),
}

impl Replacement {
    pub(crate) fn new(pattern: &str, substitution: &str) -> Result<Self, CompileFault> {
        let regex = build(pattern)?;
        let groups = regex.group_info().group_len(PatternID::ZERO);
        let parts = parts(substitution, groups)
            .map_err(|reason| CompileFault::Regex { pattern: pattern.to_owned(), reason })?;
        Ok(Self { pattern: regex, parts })
    }

    /// Appends `text` to `out` with every match replaced.
    pub(crate) fn replace_all(&self, text: &str, out: &mut String) {
        let text = text.as_bytes();
        let mut new = Vec::with_capacity(text.len());
        let mut end = 0;
        for groups in self.pattern.captures_iter(text) {
            let Some(whole) = groups.get_match() else { continue };
            new.extend_from_slice(&text[end..whole.start()]);
            for part in &self.parts {
                match part {
                    Part::Text(text) => new.extend_from_slice(text.as_bytes()),
                    Part::Group(index) => {
                        new.extend_from_slice(groups.get_group(*index).map_or(&[], |span| &text[span.start..span.end]));
                    }
                }
            }
            end = whole.end();
        }
        new.extend_from_slice(&text[end..]);
        // A match may end within a character.
        out.push_str(&String::from_utf8_lossy(&new));
    }
}

/// RE2's classes such as `\d` are ASCII, so patterns are read bytewise; those that name Unicode classes cannot be.
fn build(pattern: &str) -> Result<meta::Regex, CompileFault> {
    let builder = |unicode| {
        let syntax = syntax::Config::new().unicode(unicode).utf8(unicode);
        let mut builder = meta::Builder::new();
        builder.syntax(syntax).configure(meta::Config::new().utf8_empty(true));
        builder
    };
    if let Ok(regex) = builder(false).build(pattern) {
        return Ok(regex);
    }
    builder(true).build(pattern).map_err(|error| {
        let reason = error.syntax_error().map_or_else(|| error.to_string(), ToString::to_string);
        let reason = reason.lines().last().unwrap_or_default().trim_start_matches("error: ").to_owned();
        CompileFault::Regex { pattern: pattern.to_owned(), reason }
    })
}

fn parts(substitution: &str, groups: usize) -> Result<Box<[Part]>, String> {
    let mut parts = Vec::new();
    let mut text = String::new();
    let mut rest = substitution.chars();
    while let Some(c) = rest.next() {
        match (c, if c == '\\' { rest.next() } else { None }) {
            ('\\', Some('\\')) => text.push('\\'),
            ('\\', Some(digit)) => {
                let group = digit.to_digit(10).map(|digit| digit as usize).filter(|group| *group < groups);
                let group = group.ok_or_else(|| format!("there is no group for `\\{digit}`"))?;
                if !text.is_empty() {
                    parts.push(Part::Text(std::mem::take(&mut text).into()));
                }
                parts.push(Part::Group(group));
            }
            ('\\', None) => return Err("the substitution ends with a backslash".to_owned()),
            (c, _) => text.push(c),
        }
    }
    if !text.is_empty() {
        parts.push(Part::Text(text.into()));
    }
    Ok(parts.into())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn a_pattern_matches_the_whole_text() {
        let table = [
            ("/a.*z", "/abcz", true),
            ("/a.*z", "/abcz?", false),
            ("a|ab", "ab", true),
            ("[0-9]+", "1z", false),
            (r"\d+", "\u{663}", false),
            ("", "", true),
            ("", "x", false),
            ("(?i)abc", "aBC", true),
            (r"\pL+", "\u{e9}", true),
        ];
        for (pattern, text, expect) in table {
            assert_eq!(FullMatch::new(pattern).unwrap().matches(text), expect, "{pattern} {text}");
        }
        for pattern in ["(", "a)|(b", "a{2", "[", r"\1", "(?=a)"] {
            let is_refused = FullMatch::new(pattern).is_err();
            // RE2 and this engine both read an open brace as a literal or refuse it; neither guesses a repetition.
            assert!(is_refused, "{pattern}");
        }
    }

    #[test]
    fn every_match_is_replaced() {
        let table = [
            ("^/svc/([^/]+)(/.*)$", r"\2/inst/\1", "/svc/foo/v1/api", "/v1/api/inst/foo"),
            ("a", "bb", "banana", "bbbnbbnbb"),
            ("x*", "-", "abc", "-a-b-c-"),
            ("(a)|b", r"[\1]", "ab", "[a][]"),
            ("a", r"\\\0", "a", r"\a"),
            ("one", "two", "three", "three"),
            ("^/.", "/", "/\u{e9}", "/\u{fffd}"),
        ];
        for (pattern, substitution, text, expect) in table {
            let mut out = String::new();
            Replacement::new(pattern, substitution).unwrap().replace_all(text, &mut out);
            assert_eq!(out, expect, "{pattern} {substitution}");
        }
        for (pattern, substitution) in [("a", r"\1"), ("a", r"\x"), ("a", r"x\")] {
            assert!(Replacement::new(pattern, substitution).is_err(), "{substitution}");
        }
    }
}
