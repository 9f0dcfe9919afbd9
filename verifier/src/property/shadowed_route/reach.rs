//! Whether a rule takes a request: an example where one is easily found, else Z3, whose every answer is made a request.

use std::collections::BTreeMap;

use super::{Block, block_term, request::Request};
use crate::{
    access::{Atoms, Outcome, search},
    patterns::{Attribute, Pattern, Patterns},
    term::{Assignment, Bool, Query},
    value::{Found, Literal, find},
    z3::{Answer, check_one},
};

// BOUND: combinations of patterns without a common value that are found out one after the other.
const ROUNDS_MAX: usize = 200;

/// What is known of a rule.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Reach {
    /// It takes this request; whether Z3 was asked.
    Takes(Request, bool),
    /// It may take one that cannot be shown: a regular expression is not understood or too large.
    Possible,
    /// It takes none.
    Never,
    /// Z3 met its limit.
    Undecided(String),
    /// Z3's answer is no request.
    Disagreement(Request),
}

/// Is there a request that one of a rule's blocks takes and no earlier one does?
pub(super) fn reach(earlier: &[&Block], rule: &[Block], rlimit: u32) -> Reach {
    if let Some(request) = rule.iter().find_map(|block| guess(earlier, rule, block)) {
        return Reach::Takes(request, false);
    }
    let (mut query, terms) = takes(earlier, rule);
    for _ in 0..ROUNDS_MAX {
        let assignment = match check_one(&query, rlimit) {
            Answer::Sat(assignment) => assignment,
            Answer::Unsat => return Reach::Never,
            Answer::Unknown(reason) => return Reach::Undecided(reason),
        };
        match request_of(&terms, &assignment) {
            Ok(Some(request)) if is_taken(earlier, rule, &request) == Some(true) => {
                return Reach::Takes(request, true);
            }
            Ok(Some(request)) => return Reach::Disagreement(request),
            Ok(None) => return Reach::Possible,
            Err(conflict) => query.assert(conflict),
        }
    }
    Reach::Possible
}

/// What Z3 alone says of a rule: whether it takes some request; `None`: it met its limit.
pub(super) fn by_solver(earlier: &[&Block], rule: &[Block], rlimit: u32) -> Option<bool> {
    match check_one(&takes(earlier, rule).0, rlimit) {
        Answer::Sat(_) => Some(true),
        Answer::Unsat => Some(false),
        Answer::Unknown(_) => None,
    }
}

/// What the search for requests alone says; `None`: it does not know, or a path is read in two ways.
pub(super) fn by_search(earlier: &[&Block], rule: &[Block]) -> Option<bool> {
    let mut folded = earlier.iter().copied().chain(rule).flatten().map(|condition| &condition.attribute);
    if folded.any(|attribute| *attribute == Attribute::FoldedPath) {
        return None;
    }
    let mut atoms = Atoms::default();
    let mut term = |attribute: &Attribute, pattern: &Pattern| atoms.term(attribute.clone(), pattern.clone());
    let own = rule.iter().map(|block| block_term(&mut term, block)).collect();
    let before = earlier.iter().map(|block| block_term(&mut term, block)).collect();
    match search(&Bool::And(vec![Bool::Or(own), !Bool::Or(before)]), &atoms) {
        Outcome::Request(_) => Some(true),
        Outcome::Nothing => Some(false),
        Outcome::Unknown(_) => None,
    }
}

/// The request that a block asks for, and as few earlier ones as can be.
fn guess(earlier: &[&Block], rule: &[Block], block: &Block) -> Option<Request> {
    let mut known: BTreeMap<Attribute, (Vec<Literal<'_>>, Vec<Literal<'_>>)> = BTreeMap::new();
    for attribute in [Attribute::Path, Attribute::Method, Attribute::Gateway] {
        known.entry(attribute).or_default();
    }
    for condition in block {
        let (attribute, is_folded) = group(&condition.attribute);
        let literals = &mut known.entry(attribute).or_default().0;
        // One of several is enough to be in, and none of them to be out.
        let patterns = if condition.negated { condition.any.as_slice() } else { condition.any.get(..1)? };
        literals.extend(patterns.iter().map(|pattern| Literal { pattern, is_folded, is_wanted: !condition.negated }));
    }
    for condition in earlier.iter().copied().flatten() {
        let (attribute, is_folded) = group(&condition.attribute);
        if let Some((_, refused)) = known.get_mut(&attribute) {
            let literal = |pattern| Literal { pattern, is_folded, is_wanted: condition.negated };
            refused.extend(condition.any.iter().map(literal));
        }
    }
    let mut request = Request::default();
    for (attribute, (wanted, refused)) in known {
        let is_needed = wanted.iter().any(|literal| literal.is_wanted);
        if !attribute.is_required() && !is_needed {
            continue;
        }
        let all: Vec<Literal<'_>> = wanted.iter().chain(&refused).copied().collect();
        let found = match find(&attribute, &all) {
            Found::Value(value) => Found::Value(value),
            Found::Nothing | Found::Unknown => find(&attribute, &wanted),
        };
        let Found::Value(value) = found else { return None };
        request.set(attribute, value);
    }
    (is_taken(earlier, rule, &request) == Some(true)).then_some(request)
}

/// The attribute whose value decides, and whether it is read in lower case.
fn group(attribute: &Attribute) -> (Attribute, bool) {
    match attribute {
        Attribute::FoldedPath => (Attribute::Path, true),
        other => (other.clone(), false),
    }
}

/// Whether a request is a rule's and no earlier one's; `None`: not known.
fn is_taken(earlier: &[&Block], rule: &[Block], request: &Request) -> Option<bool> {
    let mut own = false;
    for block in rule {
        own |= request.meets(block)?;
    }
    for block in earlier {
        own &= !request.meets(block)?;
    }
    Some(own)
}

/// Is there a request that a rule matches and no earlier one does? With the pattern of each truth value.
fn takes(earlier: &[&Block], rule: &[Block]) -> (Query, BTreeMap<(Attribute, Pattern), Bool>) {
    let mut patterns = Patterns::default();
    let mut term = |attribute: &Attribute, pattern: &Pattern| patterns.term(attribute, pattern);
    let blocks: Vec<Bool> = rule.iter().map(|block| block_term(&mut term, block)).collect();
    let before: Vec<Bool> = earlier.iter().map(|block| block_term(&mut term, block)).collect();
    let (mut query, terms) = patterns.into_query();
    query.assert(Bool::Or(blocks));
    query.assert(!Bool::Or(before));
    (query, terms)
}

/// The request of an assignment; `None`: some value cannot be told.
///
/// # Errors
/// A clause that holds of every request and that the assignment breaks: its patterns of one attribute have no value.
fn request_of(terms: &BTreeMap<(Attribute, Pattern), Bool>, assignment: &Assignment) -> Result<Option<Request>, Bool> {
    let mut groups: BTreeMap<Attribute, Vec<(Literal<'_>, &Bool)>> = BTreeMap::new();
    for attribute in [Attribute::Path, Attribute::Method] {
        groups.entry(attribute).or_default();
    }
    for ((attribute, pattern), term) in terms {
        let (attribute, is_folded) = group(attribute);
        let literal = Literal { pattern, is_folded, is_wanted: term.eval(assignment) };
        groups.entry(attribute).or_default().push((literal, term));
    }
    let mut request = Request::default();
    let mut is_known = true;
    for (attribute, literals) in groups {
        let is_absent = literals.iter().any(|(literal, _)| *literal.pattern == Pattern::Present && !literal.is_wanted);
        if is_absent {
            continue;
        }
        let only: Vec<Literal<'_>> = literals.iter().map(|(literal, _)| *literal).collect();
        match find(&attribute, &only) {
            Found::Value(value) => request.set(attribute, value),
            Found::Unknown => is_known = false,
            Found::Nothing => return Err(conflict(&attribute, literals)),
        }
    }
    Ok(is_known.then_some(request))
}

/// Not all of these together; those that do not matter are left out.
fn conflict(attribute: &Attribute, mut literals: Vec<(Literal<'_>, &Bool)>) -> Bool {
    let mut at = 0;
    while at < literals.len() {
        let left_out = literals.remove(at);
        let rest: Vec<Literal<'_>> = literals.iter().map(|(literal, _)| *literal).collect();
        if find(attribute, &rest) != Found::Nothing {
            literals.insert(at, left_out);
            at += 1;
        }
    }
    let against = |(literal, term): &(Literal<'_>, &Bool)| {
        if literal.is_wanted { !(*term).clone() } else { (*term).clone() }
    };
    Bool::Or(literals.iter().map(against).collect())
}
