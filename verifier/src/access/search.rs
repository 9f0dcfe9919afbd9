//! Is there a request under which a formula on its fields holds? Found by trying out: a truth value is chosen, what
//! follows is drawn, and each choice must leave every field a value.
//!
//! Exact: fields do not depend on each other, and whether one has a value that is in some patterns and in none of others
//! is decided by [`find`]. What cannot be told there, or takes too many steps, is not decided.

use std::collections::BTreeMap;

use super::formula::Atoms;
use crate::{
    patterns::{Attribute, Pattern},
    term::Bool,
    value::{Found, Literal, find, find_several},
};

// BOUND: choices in one search.
const STEPS_MAX: usize = 20_000;

/// The values of each field of a request; a field that is not named may have any value or none.
pub(crate) type Fields = BTreeMap<Attribute, Vec<String>>;

/// What a search gives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// It holds under this request.
    Request(Fields),
    /// It holds under none.
    Nothing,
    /// It was not decided, and why.
    Unknown(&'static str),
}

/// Searches a request under which a formula holds.
pub(crate) fn search(formula: &Bool, atoms: &Atoms) -> Outcome {
    let values = vec![None; atoms.list().len()];
    let mut search = Search { atoms: atoms.list(), steps: 0, unclear: false, known: BTreeMap::new() };
    match search.solve(&negated_inside(formula, false), values) {
        Some(fields) => Outcome::Request(fields),
        None if search.steps > STEPS_MAX => Outcome::Unknown("too many combinations of conditions"),
        None if search.unclear => {
            Outcome::Unknown("a condition is not understood, or a regular expression is too large")
        }
        None => Outcome::Nothing,
    }
}

/// Whether a formula holds of every request or of none, where that can be seen without a search.
pub(crate) fn constant(formula: &Bool) -> Option<bool> {
    match simplified(&negated_inside(formula, false), &[]) {
        Bool::Const(value) => Some(value),
        _ => None,
    }
}

struct Search<'a> {
    atoms: &'a [(Attribute, Pattern)],
    steps: usize,
    unclear: bool,
    known: BTreeMap<Vec<(usize, bool)>, Result<Option<Vec<String>>, Conflict>>,
}

/// Why a field has no value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Conflict {
    /// There is none.
    Nothing,
    /// It cannot be told.
    Unclear,
}

impl Search<'_> {
    fn solve(&mut self, formula: &Bool, mut values: Vec<Option<bool>>) -> Option<Fields> {
        self.steps += 1;
        if self.steps > STEPS_MAX {
            return None;
        }
        let mut formula = simplified(formula, &values);
        // What must hold whatever is chosen.
        loop {
            let forced: Vec<(usize, bool)> = match &formula {
                Bool::Const(false) => return None,
                Bool::Const(true) => return self.fields(&values),
                Bool::And(all) => all.iter().filter_map(as_literal).collect(),
                single => as_literal(single).into_iter().collect(),
            };
            if forced.is_empty() {
                break;
            }
            for (atom, holds) in forced {
                values[atom] = Some(holds);
                if !self.is_possible(&self.atoms[atom].0.clone(), &values) {
                    return None;
                }
            }
            formula = simplified(&formula, &values);
        }
        let (atom, holds) = first_literal(&formula)?;
        for choice in [holds, !holds] {
            let mut chosen = values.clone();
            chosen[atom] = Some(choice);
            if self.is_possible(&self.atoms[atom].0.clone(), &chosen)
                && let Some(found) = self.solve(&formula, chosen)
            {
                return Some(found);
            }
        }
        None
    }

    fn is_possible(&mut self, attribute: &Attribute, values: &[Option<bool>]) -> bool {
        self.value(attribute, values) != Err(Conflict::Nothing)
    }

    /// A value for every field that is asked for; of those that every request has, one in any case.
    fn fields(&mut self, values: &[Option<bool>]) -> Option<Fields> {
        let mut fields = Fields::new();
        let mut attributes: Vec<Attribute> = self.atoms.iter().map(|(attribute, _)| attribute.clone()).collect();
        attributes.sort();
        attributes.dedup();
        for attribute in attributes {
            match self.value(&attribute, values) {
                Ok(Some(found)) => {
                    fields.insert(attribute, found);
                }
                Ok(None) => {}
                Err(Conflict::Nothing) => return None,
                Err(Conflict::Unclear) => {
                    self.unclear = true;
                    return None;
                }
            }
        }
        Some(fields)
    }

    /// Values of a field; `None`: it may be absent.
    fn value(&mut self, attribute: &Attribute, values: &[Option<bool>]) -> Result<Option<Vec<String>>, Conflict> {
        let atoms = self.atoms;
        let own = (0..atoms.len()).filter(|atom| atoms[*atom].0 == *attribute);
        let literals: Vec<(usize, bool)> = own.filter_map(|atom| Some((atom, values[atom]?))).collect();
        if literals.is_empty() {
            return Ok(None);
        }
        self.known.entry(literals.clone()).or_insert_with(|| value(attribute, atoms, &literals)).clone()
    }
}

fn value(
    attribute: &Attribute,
    atoms: &[(Attribute, Pattern)],
    literals: &[(usize, bool)],
) -> Result<Option<Vec<String>>, Conflict> {
    let is_present = literals.iter().any(|(_, holds)| *holds);
    if matches!(attribute, Attribute::Opaque(_)) {
        return if is_present { Err(Conflict::Unclear) } else { Ok(None) };
    }
    if !attribute.is_required() && !is_present {
        return Ok(None);
    }
    let all: Vec<Literal<'_>> = literals
        .iter()
        .map(|(atom, is_wanted)| Literal { pattern: &atoms[*atom].1, is_folded: false, is_wanted: *is_wanted })
        .collect();
    let found = if attribute.is_several() {
        find_several(attribute, &all)
    } else {
        match find(attribute, &all) {
            Found::Value(value) => Ok(vec![value]),
            other => Err(other),
        }
    };
    found.map(Some).map_err(|why| if why == Found::Nothing { Conflict::Nothing } else { Conflict::Unclear })
}

/// Fewest literals of one field that no value meets; `None`: some value does, or it cannot be told.
pub(crate) fn conflict(atoms: &Atoms, attribute: &Attribute, values: &[bool]) -> Option<Vec<(usize, bool)>> {
    let atoms = atoms.list();
    let own = (0..atoms.len()).filter(|atom| atoms[*atom].0 == *attribute);
    let mut literals: Vec<(usize, bool)> = own.filter_map(|atom| Some((atom, *values.get(atom)?))).collect();
    if value(attribute, atoms, &literals) != Err(Conflict::Nothing) {
        return None;
    }
    let mut at = 0;
    while at < literals.len() {
        let left_out = literals.remove(at);
        if value(attribute, atoms, &literals) != Err(Conflict::Nothing) {
            literals.insert(at, left_out);
            at += 1;
        }
    }
    Some(literals)
}

/// The same formula with negations on truth values only.
fn negated_inside(formula: &Bool, negate: bool) -> Bool {
    let each = |parts: &[Bool]| parts.iter().map(|part| negated_inside(part, negate)).collect();
    match formula {
        Bool::Const(value) => Bool::Const(*value != negate),
        Bool::Not(inner) => negated_inside(inner, !negate),
        Bool::And(parts) if negate => Bool::Or(each(parts)),
        Bool::Or(parts) if negate => Bool::And(each(parts)),
        Bool::And(parts) => Bool::And(each(parts)),
        Bool::Or(parts) => Bool::Or(each(parts)),
        // Cardinalities and numbers are not used on requests.
        other if negate => !other.clone(),
        other => other.clone(),
    }
}

/// The formula with what is known put in.
fn simplified(formula: &Bool, values: &[Option<bool>]) -> Bool {
    match formula {
        Bool::Var(atom) => values.get(*atom).copied().flatten().map_or_else(|| formula.clone(), Bool::Const),
        Bool::Not(inner) => !simplified(inner, values),
        Bool::And(parts) => joined(parts, values, false),
        Bool::Or(parts) => joined(parts, values, true),
        other => other.clone(),
    }
}

/// `And` where `decided` is false, else `Or`: a part that is decided so decides all, and others fall out.
fn joined(parts: &[Bool], values: &[Option<bool>], decided: bool) -> Bool {
    let mut kept = Vec::new();
    for part in parts {
        match simplified(part, values) {
            Bool::Const(value) if value == decided => return Bool::Const(decided),
            Bool::Const(_) => {}
            Bool::And(inner) if !decided => kept.extend(inner),
            Bool::Or(inner) if decided => kept.extend(inner),
            other => kept.push(other),
        }
    }
    match kept.len() {
        0 => Bool::Const(!decided),
        1 => kept.remove(0),
        _ if decided => Bool::Or(kept),
        _ => Bool::And(kept),
    }
}

fn as_literal(formula: &Bool) -> Option<(usize, bool)> {
    match formula {
        Bool::Var(atom) => Some((*atom, true)),
        Bool::Not(inner) => match **inner {
            Bool::Var(atom) => Some((atom, false)),
            _ => None,
        },
        _ => None,
    }
}

fn first_literal(formula: &Bool) -> Option<(usize, bool)> {
    match formula {
        Bool::And(parts) | Bool::Or(parts) => parts.iter().find_map(first_literal),
        other => as_literal(other),
    }
}
