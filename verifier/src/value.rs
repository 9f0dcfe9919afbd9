//! A value of one attribute that is in some patterns and in none of others.
//!
//! Texts and prefixes are solved by trying the few values that can do; what remains (regular expressions, paths whose
//! case counts for some patterns only) is a search in a product of automata.

use crate::{
    dfa::{Language, Searched, VALUES, search},
    patterns::{Attribute, Pattern},
};

/// A pattern that the value must be in, or must not.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Literal<'a> {
    /// The pattern.
    pub pattern: &'a Pattern,
    /// Whether it is on the value in lower case.
    pub is_folded: bool,
    /// Whether the value must be in it.
    pub is_wanted: bool,
}

impl Literal<'_> {
    /// Whether a value does; `None`: the regular expression is not understood.
    fn holds(&self, value: &str) -> Option<bool> {
        let folded = self.is_folded.then(|| value.to_ascii_lowercase());
        Some(self.pattern.contains(folded.as_deref().unwrap_or(value))? == self.is_wanted)
    }
}

/// What a search gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    /// This value does.
    Value(String),
    /// None does.
    Nothing,
    /// It cannot be told, or the value cannot be printed.
    Unknown,
}

/// Methods that every server speaks, but `CONNECT`, which is no request for a path.
const METHODS: [&str; 8] = ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "TRACE"];

/// Bytes that make a text longer without making it another pattern's.
const FRESH: &[u8] = b"~-_0123456789abcdefghijklmnopqrstuvwxyz";

/// Finds a value of an attribute; for the path, the literals of both its readings.
pub(crate) fn find(attribute: &Attribute, literals: &[Literal<'_>]) -> Found {
    let mut tried = 0;
    for candidate in candidates(attribute, literals) {
        tried += 1;
        match literals.iter().map(|literal| literal.holds(&candidate)).collect::<Option<Vec<bool>>>() {
            Some(holds) if holds.iter().all(|holds| *holds) => return Found::Value(candidate),
            Some(_) => {}
            None => return Found::Unknown,
        }
    }
    let is_decided = |literal: &Literal<'_>| literal.is_wanted && !literal.is_folded && is_exact(literal.pattern);
    if literals.iter().any(is_decided) || (*attribute == Attribute::Method && tried > 0) {
        return Found::Nothing;
    }
    by_automata(attribute, literals)
}

const fn is_exact(pattern: &Pattern) -> bool {
    matches!(pattern, Pattern::Exact(_))
}

/// Values that do if any does, as long as there are texts and prefixes only.
fn candidates(attribute: &Attribute, literals: &[Literal<'_>]) -> Vec<String> {
    let exact = literals.iter().filter(|literal| literal.is_wanted).find_map(|literal| match literal.pattern {
        Pattern::Exact(text) => Some(text.clone()),
        _ => None,
    });
    if let Some(text) = exact {
        return vec![text];
    }
    let mut all: Vec<String> = match attribute {
        Attribute::Method => METHODS.iter().map(|&method| method.to_owned()).collect(),
        Attribute::Scheme => vec!["https".to_owned(), "http".to_owned()],
        Attribute::Port => vec!["80".to_owned()],
        _ => Vec::new(),
    };
    if *attribute == Attribute::Method {
        return all;
    }
    // What looks like one, or nothing will do.
    if attribute.is_address() || *attribute == Attribute::Identity {
        return Vec::new();
    }
    let start = if is_path(attribute) { "/" } else { "" };
    let prefixes = literals.iter().filter(|literal| literal.is_wanted).filter_map(|literal| match literal.pattern {
        Pattern::Prefix(prefix) => Some(prefix.as_str()),
        _ => None,
    });
    let base = prefixes.chain([start]).max_by_key(|prefix| prefix.len()).unwrap_or(start);
    if !base.is_empty() {
        all.push(base.to_owned());
    }
    let one = |byte: &u8| format!("{base}{}", char::from(*byte));
    all.extend(FRESH.iter().map(one));
    // More prefixes than there are bytes: two of them.
    if literals.len() > FRESH.len() {
        all.extend(FRESH.iter().flat_map(|byte| {
            let longer = one(byte);
            FRESH.iter().map(move |next| format!("{longer}{}", char::from(*next)))
        }));
    }
    all
}

const fn is_path(attribute: &Attribute) -> bool {
    matches!(attribute, Attribute::Path | Attribute::FoldedPath)
}

fn by_automata(attribute: &Attribute, literals: &[Literal<'_>]) -> Found {
    let mut languages = Vec::new();
    for literal in literals {
        match (literal.pattern, literal.is_wanted) {
            (Pattern::Present, true) => {}
            (Pattern::Present, false) => return Found::Nothing,
            (pattern, is_wanted) => match pattern.automaton(literal.is_folded) {
                Some(language) => languages.push((language, is_wanted)),
                None => return Found::Unknown,
            },
        }
    }
    // What comes after `?` and `#` is not part of the path, and blanks end it.
    let cut = if is_path(attribute) { &b" ?#"[..] } else { b"" };
    let bytes: Vec<u8> = VALUES.iter().copied().filter(|byte| !cut.contains(byte)).collect();
    if let Some(form) = form(attribute) {
        match Language::regex(form) {
            Some(language) => languages.push((language, true)),
            None => return Found::Unknown,
        }
    }
    let borrowed: Vec<(&Language, bool)> = languages.iter().map(|(language, wanted)| (language, *wanted)).collect();
    match search(&borrowed, &bytes) {
        Searched::Value(value) if value.is_ascii() => String::from_utf8(value).map_or(Found::Unknown, Found::Value),
        Searched::Nothing => Found::Nothing,
        Searched::Value(_) | Searched::TooLarge => Found::Unknown,
    }
}

/// What all values of an attribute look like, if not everything is one.
const fn form(attribute: &Attribute) -> Option<&'static str> {
    match attribute {
        Attribute::Path | Attribute::FoldedPath => Some("/(?s:.)*"),
        Attribute::PeerAddress | Attribute::ClientAddress | Attribute::DialledAddress => Some("4[01]{32}|6[01]{128}"),
        Attribute::Identity => Some("spiffe://[a-z0-9.-]+/ns/[a-z0-9-]+/sa/[a-z0-9.-]+"),
        _ => None,
    }
}

/// Values of an attribute that may have several: for each pattern that is wanted one in it, and none in what is not.
pub(crate) fn find_several(attribute: &Attribute, literals: &[Literal<'_>]) -> Result<Vec<String>, Found> {
    let refused: Vec<Literal<'_>> = literals.iter().filter(|literal| !literal.is_wanted).copied().collect();
    let mut values: Vec<String> = Vec::new();
    // That there is some value is asked last: any that is there will do.
    let (any, certain): (Vec<&Literal<'_>>, Vec<&Literal<'_>>) =
        literals.iter().filter(|literal| literal.is_wanted).partition(|literal| *literal.pattern == Pattern::Present);
    for wanted in certain.into_iter().chain(any) {
        if values.iter().any(|value| wanted.holds(value) == Some(true)) {
            continue;
        }
        let own: Vec<Literal<'_>> = std::iter::once(*wanted).chain(refused.iter().copied()).collect();
        match find(attribute, &own) {
            Found::Value(value) => values.push(value),
            other => return Err(other),
        }
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_found_where_there_are_any() {
        let exact = |text: &str| Pattern::Exact(text.to_owned());
        let prefix = |text: &str| Pattern::Prefix(text.to_owned());
        let regex = |text: &str| Pattern::Regex(text.to_owned());
        let path = Attribute::Path;
        for (attribute, wanted, refused, found) in [
            (&path, vec![prefix("/api")], vec![prefix("/api/v1"), exact("/api")], Some("/api~")),
            (&path, vec![prefix("/a"), regex("/.*b")], vec![prefix("/ab")], Some("/aab")),
            (&path, vec![regex("/[ab]")], vec![exact("/a"), exact("/b")], None),
            (&path, vec![], vec![prefix("/")], None),
            (&Attribute::Method, vec![], vec![exact("GET"), regex("P.*")], Some("DELETE")),
            (&Attribute::Method, vec![regex("[a-z]+")], vec![], None),
            (&Attribute::Header("x".to_owned()), vec![Pattern::Present], vec![regex(".*")], None),
            (&Attribute::Header("x".to_owned()), vec![regex("[0-9]{3}")], vec![], Some("000")),
        ] {
            let literal = |is_wanted| move |pattern| Literal { pattern, is_folded: false, is_wanted };
            let literals: Vec<Literal<'_>> =
                wanted.iter().map(literal(true)).chain(refused.iter().map(literal(false))).collect();
            let expected = found.map_or(Found::Nothing, |value| Found::Value(value.to_owned()));
            assert_eq!(find(attribute, &literals), expected, "{wanted:?} {refused:?}");
        }
    }

    #[test]
    fn case_counts_for_those_patterns_only_that_ask_for_it() {
        let (any, lower) = (Pattern::Exact("/ab".to_owned()), Pattern::Exact("/ab".to_owned()));
        let literals = [
            Literal { pattern: &any, is_folded: true, is_wanted: true },
            Literal { pattern: &lower, is_folded: false, is_wanted: false },
        ];
        assert_eq!(find(&Attribute::Path, &literals), Found::Value("/aB".to_owned()));
    }
}
