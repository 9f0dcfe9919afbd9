//! Queries as SMT-LIB 2.6, in words that every solver has: no cardinalities of Z3's own, sums of two and more.

use std::fmt::Write as _;

use crate::term::{Bool, Int, Query};

/// A script that asks whether there is an assignment under which all assertions hold, with the answer that is known.
pub(crate) fn script(query: &Query, status: &str) -> String {
    let is_arithmetic = query.is_arithmetic() || query.assertions.iter().any(counts);
    let mut out =
        format!("(set-logic {})\n(set-info :status {status})\n", if is_arithmetic { "QF_LIA" } else { "QF_UF" });
    // Writing to a string does not fail.
    for (number, name) in query.bools.iter().enumerate() {
        let _ = writeln!(out, "(declare-const {} Bool)", symbol(name, number, 'b'));
    }
    for (number, name) in query.ints.iter().enumerate() {
        let name = symbol(name, number, 'i');
        let _ = writeln!(out, "(declare-const {name} Int)\n(assert (<= 0 {name}))");
    }
    for fact in &query.assertions {
        let mut text = String::new();
        truth(query, fact, &mut text);
        let _ = writeln!(out, "(assert {text})");
    }
    out.push_str("(check-sat)\n");
    out
}

/// A name in bars: it may hold anything but bars and backslashes.
fn symbol(name: &str, number: usize, sort: char) -> String {
    let name: String = name.chars().map(|c| if matches!(c, '|' | '\\') || c.is_control() { '_' } else { c }).collect();
    format!("|{name}.{sort}{number}|")
}

/// Whether a number is in it.
fn counts(fact: &Bool) -> bool {
    match fact {
        Bool::Not(inner) => counts(inner),
        Bool::And(parts) | Bool::Or(parts) => parts.iter().any(counts),
        Bool::Le(..) => true,
        Bool::Const(_) | Bool::Var(_) => false,
    }
}

fn truth(query: &Query, fact: &Bool, out: &mut String) {
    match fact {
        Bool::Const(value) => out.push_str(if *value { "true" } else { "false" }),
        Bool::Var(number) => out.push_str(&symbol(&query.bools[*number], *number, 'b')),
        Bool::Not(inner) => {
            out.push_str("(not ");
            truth(query, inner, out);
            out.push(')');
        }
        Bool::And(parts) => joined(query, "and", "true", parts, out),
        Bool::Or(parts) => joined(query, "or", "false", parts, out),
        Bool::Le(left, right) => {
            let _ = write!(out, "(<= {} {})", number(query, left), number(query, right));
        }
    }
}

fn joined(query: &Query, word: &str, empty: &str, parts: &[Bool], out: &mut String) {
    match parts {
        [] => out.push_str(empty),
        [one] => truth(query, one, out),
        several => {
            let _ = write!(out, "({word}");
            for part in several {
                out.push(' ');
                truth(query, part, out);
            }
            out.push(')');
        }
    }
}

fn number(query: &Query, value: &Int) -> String {
    match value {
        Int::Const(value) => value.to_string(),
        Int::Var(place) => symbol(&query.ints[*place], *place, 'i'),
        Int::Sum(parts) => sum(parts.iter().map(|part| number(query, part)).collect()),
        Int::Times(factor, inner) => format!("(* {factor} {})", number(query, inner)),
    }
}

fn sum(mut parts: Vec<String>) -> String {
    match parts.len() {
        0 => "0".to_owned(),
        1 => parts.remove(0),
        _ => format!("(+ {})", parts.join(" ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scripts_are_portable() {
        let mut query = Query::default();
        let (a, b) = (query.bool("a|b"), query.bool("c"));
        query.assert(Bool::Or(vec![a, b]));
        let plain = script(&query, "sat");
        assert_eq!(
            plain,
            "(set-logic QF_UF)\n(set-info :status sat)\n(declare-const |a_b.b0| Bool)\n(declare-const |c.b1| Bool)\n(assert (or |a_b.b0| \
             |c.b1|))\n(check-sat)\n"
        );
        let x = query.int("x");
        query.assert(Int::Sum(vec![x.clone()]).gt(x.times(2)));
        let counted = script(&query, "unknown");
        assert!(counted.starts_with("(set-logic QF_LIA)\n(set-info :status unknown)\n"));
        assert!(counted.contains("(assert (not (<= |x.i0| (* 2 |x.i0|))))"), "{counted}");
    }
}
