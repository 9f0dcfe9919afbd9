//! Z3's word on a formula of which no request was found.

use super::{
    formula::Atoms,
    search::{conflict, constant},
};
use crate::{
    patterns::{Attribute, Patterns},
    term::Bool,
    z3::{Answer, check_one},
};

// BOUND: combinations of patterns without a common value that are found out one after the other.
const ROUNDS_MAX: usize = 200;

/// What Z3 says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Recheck {
    /// There is none.
    None,
    /// There is one.
    Some,
    /// It met its limit.
    Undecided(String),
}

/// Asks Z3 whether a formula holds under some request. It gets the axioms on pairs of patterns; where what it then finds
/// is no request, because more than two patterns of a field have no common value, it gets that as a clause and is asked
/// again.
pub(crate) fn recheck(formula: &Bool, atoms: &Atoms, rlimit: u32) -> Recheck {
    match constant(formula) {
        Some(false) => return Recheck::None,
        Some(true) => return Recheck::Some,
        None => {}
    }
    let mut patterns = Patterns::default();
    for (attribute, pattern) in atoms.list() {
        // In their order, so that both count them alike.
        patterns.term(attribute, pattern);
    }
    let (mut query, _) = patterns.into_query();
    query.assert(formula.clone());
    let mut attributes: Vec<&Attribute> = atoms.list().iter().map(|(attribute, _)| attribute).collect();
    attributes.sort();
    attributes.dedup();
    for _ in 0..ROUNDS_MAX {
        let assignment = match check_one(&query, rlimit) {
            Answer::Sat(assignment) => assignment,
            Answer::Unsat => return Recheck::None,
            Answer::Unknown(reason) => return Recheck::Undecided(reason),
        };
        let conflicts: Vec<_> =
            attributes.iter().filter_map(|attribute| conflict(atoms, attribute, &assignment.bools)).collect();
        if conflicts.is_empty() {
            return Recheck::Some;
        }
        for literals in conflicts {
            let against =
                literals.iter().map(|(atom, holds)| if *holds { !Bool::Var(*atom) } else { Bool::Var(*atom) });
            query.assert(Bool::Or(against.collect()));
        }
    }
    Recheck::Undecided("too many combinations of patterns".to_owned())
}
