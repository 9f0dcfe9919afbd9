//! Patterns on attributes of a request as truth values, with what they have to do with each other.

use std::collections::BTreeMap;

use regex_automata::meta::Regex;

use crate::{
    dfa::{Language, escaped},
    term::{Bool, Query},
};

/// What a condition is on.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Attribute {
    /// The path.
    Path,
    /// The path in lower case.
    FoldedPath,
    /// The method.
    Method,
    /// The authority.
    Authority,
    /// The scheme.
    Scheme,
    /// The value of a header; several are one, joined by commas (Envoy: `HeaderUtility::getAllOfHeaderAsString`).
    Header(String),
    /// The first value of a query parameter.
    Query(String),
    /// The port that was dialled.
    Port,
    /// The gateway, or `mesh`.
    Gateway,
    /// The client's namespace.
    Namespace,
    /// The value of one of the client's labels.
    Label(String),
    /// The lines of a header, each by itself (Envoy: access control).
    HeaderLine(String),
    /// The elements of a verified token's claim, or the claim as its only one; `a.b` leads into objects.
    Claim(String),
    /// The peer's name over mutual TLS.
    Identity,
    /// The name that the connection asks for.
    ServerName,
    /// The peer's address, as [`bits`].
    PeerAddress,
    /// The client's address, as [`bits`].
    ClientAddress,
    /// The address that was dialled, as [`bits`].
    DialledAddress,
    /// A condition that is not understood.
    Opaque(String),
}

/// A set of values.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Pattern {
    /// Any.
    Present,
    /// This one.
    Exact(String),
    /// Those that begin so.
    Prefix(String),
    /// Those that a regular expression matches as a whole.
    Regex(String),
}

impl Attribute {
    /// Whether every request has a value of it; of the others, some have none.
    pub(crate) const fn is_required(&self) -> bool {
        matches!(self, Self::Path | Self::FoldedPath | Self::Method | Self::Authority | Self::Scheme)
            || matches!(self, Self::Port | Self::Gateway | Self::Namespace)
    }

    /// Whether a request may have several values of it, of which each pattern asks for some.
    pub(crate) fn is_several(&self) -> bool {
        match self {
            Self::HeaderLine(_) => true,
            Self::Claim(name) => !matches!(name.as_str(), "iss" | "sub"),
            _ => false,
        }
    }

    /// Whether its values are addresses.
    pub(crate) const fn is_address(&self) -> bool {
        matches!(self, Self::PeerAddress | Self::ClientAddress | Self::DialledAddress)
    }

    /// Whether every request's value is in a pattern: paths begin with `/`.
    pub(crate) fn is_always(&self, pattern: &Pattern) -> bool {
        match pattern {
            Pattern::Present => self.is_required(),
            Pattern::Prefix(prefix) => {
                self.is_required()
                    && (prefix.is_empty() || (matches!(self, Self::Path | Self::FoldedPath) && prefix == "/"))
            }
            Pattern::Exact(_) => false,
            Pattern::Regex(_) => {
                let all = if matches!(self, Self::Path | Self::FoldedPath) { "/" } else { "" };
                self.is_required() && Pattern::Prefix(all.to_owned()).implies(pattern)
            }
        }
    }
}

impl Pattern {
    pub(crate) fn exact(text: &str) -> Self {
        Self::Exact(text.to_owned())
    }

    /// Those that end so.
    pub(crate) fn suffix(text: &str) -> Self {
        Self::Regex(format!("(?s:.)*{}", escaped(text)))
    }

    /// Whether each of its values is in `wider`, as far as that can be told.
    pub(crate) fn implies(&self, wider: &Self) -> bool {
        match (self, wider) {
            (_, Self::Present) => true,
            (Self::Exact(text), _) => wider.contains(text) == Some(true),
            (Self::Prefix(own), Self::Prefix(prefix)) => own.starts_with(prefix.as_str()),
            (Self::Regex(own), Self::Regex(other)) if own == other => true,
            (Self::Prefix(_) | Self::Regex(_), Self::Regex(_)) | (Self::Regex(_), Self::Prefix(_)) => {
                let languages = self.automaton(false).zip(wider.automaton(false));
                languages.and_then(|(own, wider)| own.is_within(&wider)).unwrap_or(false)
            }
            _ => false,
        }
    }

    /// Whether no value is in both, as far as that can be told.
    fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Present, _) | (_, Self::Present) => false,
            (Self::Exact(text), _) => other.contains(text) == Some(false),
            (_, Self::Exact(text)) => self.contains(text) == Some(false),
            (Self::Prefix(a), Self::Prefix(b)) => !a.starts_with(b.as_str()) && !b.starts_with(a.as_str()),
            _ => {
                let languages = self.automaton(false).zip(other.automaton(false));
                languages.and_then(|(a, b)| a.meets(&b)).is_some_and(|meets| !meets)
            }
        }
    }

    /// Whether a value is in it; `None`: the regular expression is not understood.
    pub(crate) fn contains(&self, value: &str) -> Option<bool> {
        Some(match self {
            Self::Present => true,
            Self::Exact(text) => text == value,
            Self::Prefix(prefix) => value.starts_with(prefix.as_str()),
            Self::Regex(pattern) => Regex::new(&format!("^(?:{pattern})$")).ok()?.is_match(value),
        })
    }

    /// The automaton of its values; `folded`: whatever their case. `None`: all values, or too large.
    pub(crate) fn automaton(&self, folded: bool) -> Option<Language> {
        let text = |text: &str| if folded { format!("(?i:{})", escaped(text)) } else { escaped(text) };
        match self {
            Self::Present => None,
            Self::Exact(exact) => Language::regex(&text(exact)),
            Self::Prefix(prefix) => Language::regex(&format!("{}(?s:.)*", text(prefix))),
            Self::Regex(pattern) => Language::regex(pattern),
        }
    }
}

/// Truth values for patterns, one for each attribute and pattern.
///
/// The axioms hold of every request: a pattern implies those that contain it; patterns without a common value exclude
/// each other; a pattern implies that the attribute is there. For exact texts and prefixes they are complete: any
/// assignment that keeps them is some request's. Three regular expressions may have no common value though any two of
/// them have: that is found out when the value is looked for.
#[derive(Default)]
pub(crate) struct Patterns {
    query: Query,
    terms: BTreeMap<(Attribute, Pattern), Bool>,
}

impl Patterns {
    /// The truth value of a pattern.
    pub(crate) fn term(&mut self, attribute: &Attribute, pattern: &Pattern) -> Bool {
        if attribute.is_always(pattern) {
            return Bool::Const(true);
        }
        let key = (attribute.clone(), pattern.clone());
        let query = &mut self.query;
        self.terms.entry(key).or_insert_with(|| query.bool(format!("{attribute:?} {pattern:?}"))).clone()
    }

    /// A query with the axioms, and which truth value stands for which pattern.
    pub(crate) fn into_query(mut self) -> (Query, BTreeMap<(Attribute, Pattern), Bool>) {
        let attributes: std::collections::BTreeSet<Attribute> = self.terms.keys().map(|(a, _)| a.clone()).collect();
        for attribute in attributes.iter().filter(|attribute| !attribute.is_required()) {
            self.term(attribute, &Pattern::Present);
        }
        let terms: Vec<(&(Attribute, Pattern), &Bool)> = self.terms.iter().collect();
        let mut axioms = Vec::new();
        for (index, ((attribute, pattern), term)) in terms.iter().enumerate() {
            for ((other_attribute, other), other_term) in &terms[index + 1..] {
                if attribute == other_attribute {
                    axioms.extend(relations(attribute, (pattern, term), (other, other_term)));
                } else if (attribute, other_attribute) == (&Attribute::Path, &Attribute::FoldedPath) {
                    axioms.extend(folding((pattern, term), (other, other_term)));
                }
            }
        }
        for axiom in axioms {
            self.query.assert(axiom);
        }
        (self.query, self.terms)
    }
}

fn relations(attribute: &Attribute, (a, x): (&Pattern, &Bool), (b, y): (&Pattern, &Bool)) -> Vec<Bool> {
    let mut found = Vec::new();
    if a.implies(b) {
        found.push(x.clone().implies(y.clone()));
    }
    if b.implies(a) {
        found.push(y.clone().implies(x.clone()));
    }
    // Of several values one may be in the first and another in the second.
    if !attribute.is_several() && a.excludes(b) {
        found.push(Bool::Or(vec![!x.clone(), !y.clone()]));
    }
    found
}

/// An address as a text of which blocks are prefixes: `4` or `6`, then its bits.
pub(crate) fn bits(address: std::net::IpAddr) -> String {
    match address {
        std::net::IpAddr::V4(address) => format!("4{:032b}", address.to_bits()),
        std::net::IpAddr::V6(address) => format!("6{:0128b}", address.to_bits()),
    }
}

/// The address of a text that [`bits`] gives.
pub(crate) fn address(bits: &str) -> Option<std::net::IpAddr> {
    let (version, bits) = bits.split_at_checked(1)?;
    match version {
        "4" => u32::from_str_radix(bits, 2).ok().map(|bits| std::net::Ipv4Addr::from_bits(bits).into()),
        _ => u128::from_str_radix(bits, 2).ok().map(|bits| std::net::Ipv6Addr::from_bits(bits).into()),
    }
}

/// A block of addresses as a pattern on [`bits`]; `None`: it is none.
pub(crate) fn block(cidr: &str) -> Option<Pattern> {
    let (base, length) = cidr.split_once('/').map_or((cidr, None), |(base, length)| (base, Some(length)));
    let bits = bits(base.parse().ok()?);
    let length = length.map_or(Some(bits.len() - 1), |length| length.parse().ok())?;
    bits.get(..=length).map(|prefix| Pattern::Prefix(prefix.to_owned()))
}

/// What a pattern on the path says of one on the path in lower case.
fn folding((a, x): (&Pattern, &Bool), (b, y): (&Pattern, &Bool)) -> Vec<Bool> {
    let folded = match a {
        Pattern::Exact(text) => Pattern::Exact(text.to_ascii_lowercase()),
        Pattern::Prefix(text) => Pattern::Prefix(text.to_ascii_lowercase()),
        Pattern::Present | Pattern::Regex(_) => return Vec::new(),
    };
    let mut found = Vec::new();
    if folded.implies(b) {
        found.push(x.clone().implies(y.clone()));
    }
    if folded.excludes(b) {
        found.push(Bool::Or(vec![!x.clone(), !y.clone()]));
    }
    found
}
