//! Inclusion and disjointness of languages of whole-value patterns, by products of automata.

use std::collections::{BTreeSet, VecDeque};

use regex_automata::{
    Anchored, MatchKind,
    dfa::{Automaton, StartKind, dense},
    util::{primitives::StateID, start, syntax},
};

/// States of a product beyond which nothing is said.
const STATES_MAX: usize = 10_000;
/// Bytes of one automaton beyond which nothing is said.
const BYTES_MAX: usize = 1 << 20;

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
        self.product(other, |here, there| here && !there).map(|found| !found)
    }

    /// Whether some value is in both; `None`: too large to say.
    pub(crate) fn meets(&self, other: &Self) -> Option<bool> {
        self.product(other, |here, there| here && there)
    }

    /// Whether a value leads to a pair of states for which `wanted` holds.
    fn product(&self, other: &Self, wanted: impl Fn(bool, bool) -> bool) -> Option<bool> {
        let first = (self.start, other.start);
        let (mut seen, mut queue) = (BTreeSet::from([first]), VecDeque::from([first]));
        while let Some((here, there)) = queue.pop_front() {
            if wanted(self.accepts(here), other.accepts(there)) {
                return Some(true);
            }
            // Values are printable; what lies beyond ASCII behaves as one byte of it.
            for byte in (0x20..0x7f).chain([0xc3]) {
                let next = (self.dfa.next_state(here, byte), other.dfa.next_state(there, byte));
                if !self.dfa.is_dead_state(next.0) && seen.insert(next) {
                    queue.push_back(next);
                }
            }
            if seen.len() > STATES_MAX {
                return None;
            }
        }
        Some(false)
    }

    fn accepts(&self, state: StateID) -> bool {
        self.dfa.is_match_state(self.dfa.next_eoi_state(state))
    }
}

/// A text as a pattern that matches it alone.
fn escaped(text: &str) -> String {
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
    }

    #[test]
    fn what_is_too_large_is_not_decided() {
        let wide = Language::regex(".*a.{40}");
        assert!(wide.is_none(), "2^41 states");
        assert!(Language::regex("(").is_none());
    }
}
