//! Inclusion and disjointness of languages of whole-value patterns, by products of automata.

use std::collections::BTreeSet;

use regex_automata::{
    Anchored, MatchKind,
    dfa::{Automaton, StartKind, dense},
    util::{primitives::StateID, start, syntax},
};

/// States of a product beyond which nothing is said.
const STATES_MAX: usize = 10_000;
/// Bytes of one automaton beyond which nothing is said.
const BYTES_MAX: usize = 1 << 20;

/// Bytes of values: they are printable, and what lies beyond ASCII behaves as one byte of it. Those that read well come
/// first.
pub(crate) static VALUES: [u8; 96] = {
    let mut bytes = [0xc3; 96];
    let first = *b"abcdefghijklmnopqrstuvwxyz0123456789-_~./ABCDEFGHIJKLMNOPQRSTUVWXYZ";
    let mut filled = 0;
    while filled < first.len() {
        bytes[filled] = first[filled];
        filled += 1;
    }
    let mut byte = 0x20_u8;
    while byte < 0x7f {
        if !byte.is_ascii_alphanumeric() && !matches!(byte, b'-' | b'_' | b'~' | b'.' | b'/') {
            bytes[filled] = byte;
            filled += 1;
        }
        byte += 1;
    }
    bytes
};

/// The language of a pattern over whole values.
pub(crate) struct Language {
    dfa: dense::DFA<Vec<u32>>,
    start: StateID,
}

impl Language {
    /// Of a regular expression (RE2 syntax) over the whole value; `None`: not understood, or too large.
    pub(crate) fn regex(pattern: &str) -> Option<Self> {
        let dfa = dense::Builder::new()
            // Leftmost-first would stop at the first alternative that matches.
            .configure(
                dense::Config::new()
                    .match_kind(MatchKind::All)
                    .start_kind(StartKind::Anchored)
                    .dfa_size_limit(Some(BYTES_MAX))
                    .determinize_size_limit(Some(BYTES_MAX)),
            )
            .syntax(syntax::Config::new().unicode(false).utf8(false))
            .thompson(regex_automata::nfa::thompson::Config::new().utf8(false))
            .build(&format!("(?:{pattern})"))
            .ok()?;
        let start = dfa.start_state(&start::Config::new().anchored(Anchored::Yes)).ok()?;
        Some(Self { dfa, start })
    }

    /// Of all values that begin with `prefix`.
    #[cfg(test)]
    pub(crate) fn prefix(prefix: &str) -> Option<Self> {
        Self::regex(&format!("{}(?s:.)*", escaped(prefix)))
    }

    /// Whether a value is in it.
    #[cfg(test)]
    pub(crate) fn contains(&self, value: &str) -> bool {
        let state = value.bytes().fold(self.start, |state, byte| self.dfa.next_state(state, byte));
        self.accepts(state)
    }

    /// Whether each of its values is in `other`; `None`: too large to say.
    pub(crate) fn is_within(&self, other: &Self) -> Option<bool> {
        search(&[(self, true), (other, false)], &VALUES).found().map(|found| !found)
    }

    /// Whether some value is in both; `None`: too large to say.
    pub(crate) fn meets(&self, other: &Self) -> Option<bool> {
        search(&[(self, true), (other, true)], &VALUES).found()
    }

    fn accepts(&self, state: StateID) -> bool {
        self.dfa.is_match_state(self.dfa.next_eoi_state(state))
    }
}

/// What a search gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Searched {
    /// This value.
    Value(Vec<u8>),
    /// There is none.
    Nothing,
    /// The product is too large to say.
    TooLarge,
}

impl Searched {
    /// Whether there is a value; `None`: too large to say.
    const fn found(&self) -> Option<bool> {
        match self {
            Self::Value(_) => Some(true),
            Self::Nothing => Some(false),
            Self::TooLarge => None,
        }
    }
}

/// A shortest value, made of these bytes, that is in each language that is wanted and in none of the others; of several,
/// the one whose bytes come first.
pub(crate) fn search(languages: &[(&Language, bool)], bytes: &[u8]) -> Searched {
    let first: Vec<StateID> = languages.iter().map(|(language, _)| language.start).collect();
    // How each state was reached: from which one, by which byte.
    let mut reached: Vec<(Vec<StateID>, usize, u8)> = vec![(first.clone(), 0, 0)];
    let mut seen = BTreeSet::from([first]);
    let mut at = 0;
    while at < reached.len() {
        let here = reached[at].0.clone();
        if languages.iter().zip(&here).all(|((language, wanted), state)| language.accepts(*state) == *wanted) {
            let mut value = Vec::new();
            let mut state = at;
            while state != 0 {
                value.push(reached[state].2);
                state = reached[state].1;
            }
            value.reverse();
            return Searched::Value(value);
        }
        for &byte in bytes {
            let states = languages.iter().zip(&here);
            let next: Vec<StateID> =
                states.map(|((language, _), state)| language.dfa.next_state(*state, byte)).collect();
            let is_lost =
                languages.iter().zip(&next).any(|((l, wanted), state)| *wanted && l.dfa.is_dead_state(*state));
            if !is_lost && seen.insert(next.clone()) {
                reached.push((next, at, byte));
            }
        }
        if seen.len() > STATES_MAX {
            return Searched::TooLarge;
        }
        at += 1;
    }
    Searched::Nothing
}

/// A text as a pattern that matches it alone.
pub(crate) fn escaped(text: &str) -> String {
    let mut pattern = String::new();
    for character in text.chars() {
        if character.is_ascii_punctuation() {
            pattern.push('\\');
        }
        pattern.push(character);
    }
    pattern
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn inclusion_and_disjointness_are_decided_by_products() {
        for (a, b, within, meets) in [
            ("/api/v[0-9]+/users/.*", "/api/.*", true, true),
            ("/api/.*", "/api/v1/.*", false, true),
            ("/api/v1/(users|orders)", "/api/v1/(orders|users|items)", true, true),
            ("/a+", "/b.*", false, false),
            ("a|ab", "ab?", true, true),
            (".*\\.png", ".*png", true, true),
        ] {
            let (a, b) = (Language::regex(a).unwrap(), Language::regex(b).unwrap());
            assert_eq!((a.is_within(&b), a.meets(&b)), (Some(within), Some(meets)));
        }
        let prefix = Language::prefix("/a.b").unwrap();
        assert!(prefix.contains("/a.b/c") && !prefix.contains("/axb"));
        assert_eq!(Language::regex("/a\\.b/x[yz]").unwrap().is_within(&prefix), Some(true));
        let mut bytes = VALUES.to_vec();
        bytes.sort_unstable();
        bytes.dedup();
        assert_eq!(bytes.len(), 96, "each byte once");
    }

    #[test]
    fn a_search_gives_a_shortest_value() {
        let language = |pattern| Language::regex(pattern).unwrap();
        let (all, api, digits) = (language("/.*"), language("/api.*"), language(".*[0-9]"));
        let found = search(&[(&all, true), (&api, true), (&digits, true)], &VALUES);
        assert_eq!(found, Searched::Value(b"/api0".to_vec()));
        let found = search(&[(&all, true), (&api, false), (&digits, false)], &VALUES);
        assert_eq!(found, Searched::Value(b"/".to_vec()));
        assert_eq!(search(&[(&api, true), (&all, false)], &VALUES), Searched::Nothing);
    }

    #[test]
    fn what_is_too_large_is_not_decided() {
        let wide = Language::regex(".*a.{40}");
        assert!(wide.is_none(), "2^41 states");
        assert!(Language::regex("(").is_none());
    }
}
