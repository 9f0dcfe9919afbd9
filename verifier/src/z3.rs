//! Z3 behind the verifier's own terms: the only file that names the crate.
//!
//! Limits are counted in Z3's own steps (`rlimit`), so that a verdict does not depend on the machine; the seed is
//! fixed. Every model that Z3 gives is evaluated on the query before anybody believes it.

use std::borrow::Borrow;

use ::z3 as api;
use api::{
    Config, Params, SatResult, Solver, ast,
    ast::{Bool as Z3Bool, Int as Z3Int},
};

use crate::term::{Assignment, Bool, Int, Query};

/// What a solver answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// There is no such assignment.
    Unsat,
    /// This is one.
    Sat(Assignment),
    /// It was not decided, and why.
    Unknown(String),
}

/// The version of the Z3 library that was linked, as it names itself.
pub fn z3_version() -> String {
    api::full_version().to_owned()
}

/// Answers a group of queries, in order, in a context of its own: what was asked before never matters.
pub(crate) fn check_all<Q: Borrow<Query> + Sync>(queries: &[Q], rlimit: u32) -> Vec<Answer> {
    // `auto_config` stays on: without it, QF_FD of Z3 4.8.12 calls unsatisfiable queries satisfiable.
    api::with_z3_config(&Config::new(), || {
        let (mut finite, mut linear) = (None, None);
        queries
            .iter()
            .map(|query| {
                let query = query.borrow();
                let slot = if query.is_arithmetic() { &mut linear } else { &mut finite };
                check(slot.get_or_insert_with(|| solver(query, rlimit)), query)
            })
            .collect()
    })
}

/// Answers one query in a context of its own.
pub(crate) fn check_one(query: &Query, rlimit: u32) -> Answer {
    check_all(&[query], rlimit).pop().unwrap_or_else(|| Answer::Unknown("not asked".to_owned()))
}

fn solver(query: &Query, rlimit: u32) -> Solver {
    let logic = if query.is_arithmetic() { "QF_LIA" } else { "QF_FD" };
    let solver = Solver::new_for_logic(logic).unwrap_or_default();
    let mut params = Params::new();
    params.set_u32("random_seed", 0);
    params.set_u32("rlimit", rlimit);
    solver.set_params(&params);
    solver
}

fn check(solver: &Solver, query: &Query) -> Answer {
    solver.push();
    // Numbered, as two variables of one name would be one.
    let numbered = |names: &[String]| names.iter().enumerate().map(|(i, n)| format!("{n}.{i}")).collect::<Vec<_>>();
    let bools: Vec<Z3Bool> = numbered(&query.bools).into_iter().map(Z3Bool::new_const).collect();
    let ints: Vec<Z3Int> = numbered(&query.ints).into_iter().map(Z3Int::new_const).collect();
    for int in &ints {
        solver.assert(int.ge(Z3Int::from_u64(0)));
    }
    for fact in &query.assertions {
        solver.assert(lower_bool(fact, &bools, &ints));
    }
    let answer = match solver.check() {
        SatResult::Unsat => Answer::Unsat,
        SatResult::Unknown => {
            Answer::Unknown(solver.get_reason_unknown().unwrap_or_else(|| "no reason given".to_owned()))
        }
        SatResult::Sat => model(solver, query, &bools, &ints),
    };
    solver.pop(1);
    answer
}

/// Reads the model, and believes it only if the query holds under it.
fn model(solver: &Solver, query: &Query, bools: &[Z3Bool], ints: &[Z3Int]) -> Answer {
    let Some(model) = solver.get_model() else {
        return Answer::Unknown("satisfiable without a model".to_owned());
    };
    let assignment = Assignment {
        bools: bools.iter().map(|b| model.eval(b, true).and_then(|v| v.as_bool()).unwrap_or(false)).collect(),
        ints: ints.iter().map(|i| model.eval(i, true).and_then(|v| v.as_u64()).unwrap_or(0)).collect(),
    };
    if query.holds(&assignment) {
        Answer::Sat(assignment)
    } else {
        Answer::Unknown("the solver's model does not satisfy the query".to_owned())
    }
}

fn lower_bool(fact: &Bool, bools: &[Z3Bool], ints: &[Z3Int]) -> Z3Bool {
    let all = |parts: &[Bool]| parts.iter().map(|part| lower_bool(part, bools, ints)).collect::<Vec<_>>();
    match fact {
        Bool::Const(value) => Z3Bool::from_bool(*value),
        Bool::Var(index) => bools[*index].clone(),
        Bool::Not(inner) => lower_bool(inner, bools, ints).not(),
        Bool::And(parts) => Z3Bool::and(&all(parts)),
        Bool::Or(parts) => Z3Bool::or(&all(parts)),
        Bool::Le(left, right) => lower_int(left, ints).le(lower_int(right, ints)),
    }
}

fn lower_int(value: &Int, ints: &[Z3Int]) -> Z3Int {
    match value {
        Int::Const(value) => Z3Int::from_u64(*value),
        Int::Var(index) => ints[*index].clone(),
        Int::Sum(parts) if parts.is_empty() => Z3Int::from_u64(0),
        Int::Sum(parts) => ast::Int::add(&parts.iter().map(|part| lower_int(part, ints)).collect::<Vec<_>>()),
        Int::Times(factor, inner) => ast::Int::mul(&[Z3Int::from_u64(*factor), lower_int(inner, ints)]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RLIMIT: u32 = 1_000_000;

    #[test]
    fn both_logics_answer_and_models_hold() {
        let mut query = Query::default();
        let (a, b) = (query.bool("a"), query.bool("b"));
        query.assert(Bool::Or(vec![a.clone(), b.clone()]));
        query.assert(Bool::Or(vec![!a.clone(), !b.clone()]));
        let mut impossible = query.clone();
        impossible.assert(a.iff(b));
        let mut linear = Query::default();
        let x = linear.int("x");
        linear.assert(x.clone().times(3).gt(Int::Const(u64::MAX)));
        linear.assert(x.clone().le(Int::Const(u64::MAX / 3 + 1)));
        let mut negative = Query::default();
        let y = negative.int("y");
        negative.assert(Int::Sum(vec![y, Int::Const(1)]).le(Int::Const(0)));
        let answers = check_all(&[query.clone(), impossible, linear, negative], RLIMIT);
        assert!(matches!(&answers[0], Answer::Sat(assignment) if query.holds(assignment)), "{answers:?}");
        assert_eq!(answers[1], Answer::Unsat);
        assert_eq!(answers[2], Answer::Sat(Assignment { bools: vec![], ints: vec![u64::MAX / 3 + 1] }));
        assert_eq!(answers[3], Answer::Unsat, "numbers are natural");
    }

    #[test]
    fn a_limit_in_steps_gives_unknown_never_a_verdict() {
        // Eleven pigeons in ten holes.
        let mut query = Query::default();
        let at: Vec<Vec<Bool>> = (0..11).map(|p| (0..10).map(|h| query.bool(format!("p{p}h{h}"))).collect()).collect();
        for pigeon in &at {
            query.assert(Bool::Or(pigeon.clone()));
        }
        for hole in 0..10 {
            for (i, first) in at.iter().enumerate() {
                for second in &at[i + 1..] {
                    query.assert(Bool::Or(vec![!first[hole].clone(), !second[hole].clone()]));
                }
            }
        }
        assert!(matches!(check_one(&query, 20_000), Answer::Unknown(_)));
    }

    #[test]
    fn the_library_names_its_version() {
        assert!(z3_version().contains("4.8.12") || z3_version().contains("5.4"), "{}", z3_version());
    }
}
