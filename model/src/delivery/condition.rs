//! What an AnalysisTemplate asks of a measured value: `successCondition` and `failureCondition` (`AR-5`).

use super::token::{Reader, Token};

/// A condition on the result of a query.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// All of them.
    All(Vec<Self>),
    /// One of them.
    Any(Vec<Self>),
    /// Not that.
    Not(Box<Self>),
    /// A comparison by `==`, `!=`, `<`, `<=`, `>` or `>=`.
    Compare(Term, &'static str, Term),
    /// `isNaN(…)`.
    IsNan(Term),
    /// `all(result, # …)` and `any(result, # …)`: the comparison, and what holds without a value.
    Each(&'static str, Term, bool),
    /// A constant.
    Always(bool),
}

/// A part of a comparison.
#[derive(Clone, Debug, PartialEq)]
pub enum Term {
    /// A number.
    Number(f64),
    /// `result[0]`; where there is no value it cannot be said.
    First,
    /// `len(result)`.
    Length,
    /// `default(…, number)`: the number where there is no value, or none that is a number.
    Default(Box<Self>, f64),
}

impl Condition {
    /// Reads a condition.
    ///
    /// # Errors
    /// If it says what is not modelled; the message says what.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut reader = Reader::new(text)?;
        let condition = any(&mut reader)?;
        reader.end()?;
        Ok(condition)
    }

    /// Whether it holds of a result; `None`: it cannot be evaluated, which makes the measurement an error.
    pub fn holds(&self, result: Option<f64>) -> Option<bool> {
        match self {
            Self::All(parts) => {
                for part in parts {
                    if !part.holds(result)? {
                        return Some(false);
                    }
                }
                Some(true)
            }
            Self::Any(parts) => {
                for part in parts {
                    if part.holds(result)? {
                        return Some(true);
                    }
                }
                Some(false)
            }
            Self::Not(inner) => inner.holds(result).map(|holds| !holds),
            Self::Compare(left, sign, right) => Some(compare(left.value(result)?, sign, right.value(result)?)),
            Self::IsNan(term) => Some(term.value(result)?.is_nan()),
            Self::Each(sign, bound, without) => match result {
                Some(value) => Some(compare(value, sign, bound.value(Some(value))?)),
                None => Some(*without),
            },
            Self::Always(holds) => Some(*holds),
        }
    }
}

impl Term {
    fn value(&self, result: Option<f64>) -> Option<f64> {
        match self {
            Self::Number(number) => Some(*number),
            Self::First => result,
            Self::Length => Some(if result.is_some() { 1.0 } else { 0.0 }),
            Self::Default(term, otherwise) => {
                Some(term.value(result).filter(|value| !value.is_nan()).unwrap_or(*otherwise))
            }
        }
    }
}

#[expect(clippy::float_cmp, reason = "Argo compares doubles")]
fn compare(left: f64, sign: &str, right: f64) -> bool {
    match sign {
        "<" => left < right,
        "<=" => left <= right,
        ">" => left > right,
        ">=" => left >= right,
        "==" => left == right,
        _ => left != right,
    }
}

const COMPARISONS: [&str; 6] = ["==", "!=", "<=", ">=", "<", ">"];

fn any(reader: &mut Reader) -> Result<Condition, String> {
    let mut parts = vec![all(reader)?];
    while reader.takes("||") || reader.takes_name("or") {
        parts.push(all(reader)?);
    }
    Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::Any(parts) })
}

fn all(reader: &mut Reader) -> Result<Condition, String> {
    let mut parts = vec![one(reader)?];
    while reader.takes("&&") || reader.takes_name("and") {
        parts.push(one(reader)?);
    }
    Ok(if parts.len() == 1 { parts.remove(0) } else { Condition::All(parts) })
}

fn one(reader: &mut Reader) -> Result<Condition, String> {
    if reader.takes("!") || reader.takes_name("not") {
        return Ok(Condition::Not(Box::new(one(reader)?)));
    }
    if reader.takes("(") {
        let inner = any(reader)?;
        reader.expect(")")?;
        return Ok(inner);
    }
    for (name, holds) in [("true", true), ("false", false)] {
        if reader.takes_name(name) {
            return Ok(Condition::Always(holds));
        }
    }
    if reader.takes_name("isNaN") {
        reader.expect("(")?;
        let term = term(reader)?;
        reader.expect(")")?;
        return Ok(Condition::IsNan(term));
    }
    for (name, without) in [("all", true), ("any", false)] {
        if reader.takes_name(name) {
            return each(reader, without);
        }
    }
    let left = term(reader)?;
    let sign = reader.takes_one(&COMPARISONS).ok_or_else(|| format!("{} is no comparison", reader.shown()))?;
    Ok(Condition::Compare(left, sign, term(reader)?))
}

fn each(reader: &mut Reader, without: bool) -> Result<Condition, String> {
    reader.expect("(")?;
    if !reader.takes_name("result") {
        return Err(format!("{} is not modelled there", reader.shown()));
    }
    reader.expect(",")?;
    let is_block = reader.takes("{");
    reader.expect("#")?;
    let sign = reader.takes_one(&COMPARISONS).ok_or_else(|| format!("{} is no comparison", reader.shown()))?;
    let bound = term(reader)?;
    if is_block {
        reader.expect("}")?;
    }
    reader.expect(")")?;
    Ok(Condition::Each(sign, bound, without))
}

fn term(reader: &mut Reader) -> Result<Term, String> {
    let shown = reader.shown();
    if reader.takes("-") {
        return match reader.next() {
            Some(Token::Number(value, _)) => Ok(Term::Number(-value)),
            _ => Err(format!("{shown} is not modelled there")),
        };
    }
    match reader.next() {
        Some(Token::Number(value, unit)) if unit.is_empty() => Ok(Term::Number(value)),
        Some(Token::Name(name)) => match name.as_str() {
            "result" => {
                reader.expect("[").map_err(|_| "`result` of a query is a list; `result[0]` is its value".to_owned())?;
                if !matches!(reader.next(), Some(Token::Number(index, _)) if index == 0.0) {
                    return Err("only the first value of a result is modelled".to_owned());
                }
                reader.expect("]")?;
                Ok(Term::First)
            }
            "len" => {
                reader.expect("(")?;
                if !reader.takes_name("result") {
                    return Err(format!("{} is not modelled there", reader.shown()));
                }
                reader.expect(")")?;
                Ok(Term::Length)
            }
            "asFloat" | "float" => {
                reader.expect("(")?;
                let inner = term(reader)?;
                reader.expect(")")?;
                Ok(inner)
            }
            "default" => {
                reader.expect("(")?;
                let inner = if reader.takes_name("result") {
                    if reader.takes("[") {
                        reader.next();
                        reader.expect("]")?;
                    }
                    Term::First
                } else {
                    term(reader)?
                };
                reader.expect(",")?;
                let Term::Number(otherwise) = term(reader)? else {
                    return Err("`default` takes a number second".to_owned());
                };
                reader.expect(")")?;
                Ok(Term::Default(Box::new(inner), otherwise))
            }
            _ => Err(format!("{shown} is not modelled")),
        },
        _ => Err(format!("{shown} is not modelled there")),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

    use super::*;

    #[test]
    fn ar5_conditions_are_read_and_judged() {
        let (value, none, nan) = (Some(0.97), None, Some(f64::NAN));
        for (text, result, expect) in [
            ("result[0] >= 0.95", value, Some(true)),
            ("result[0] >= 0.98", value, Some(false)),
            ("result[0] >= 0.95", none, None),
            ("result[0] >= 0.95", nan, Some(false)),
            ("len(result) == 0 || result[0] >= 0.95", none, Some(true)),
            ("len(result) > 0 && result[0] < 0.95", none, Some(false)),
            ("isNaN(result[0]) || result[0] <= 1", nan, Some(true)),
            ("!(result[0] < 0.5) and true", value, Some(true)),
            ("default(result, 0) < 0.05", none, Some(true)),
            ("all(result, # > 0.9)", value, Some(true)),
            ("all(result, {# > 0.99})", value, Some(false)),
            ("any(result, # > 0.9)", none, Some(false)),
            ("asFloat(result[0]) != 1", value, Some(true)),
        ] {
            assert_eq!(Condition::parse(text).unwrap().holds(result), expect, "AR-5 {text} of {result:?}");
        }
    }

    #[test]
    fn what_is_not_modelled_is_named() {
        for (text, expect) in [
            ("result >= 0.95", "`result` of a query is a list; `result[0]` is its value"),
            ("result[1] >= 0.95", "only the first value of a result is modelled"),
            ("filter(result, # > 1)", "`filter` is not modelled"),
            ("result[0]", "the end is no comparison"),
            ("result[0] > 1 2", "`2` is not modelled there"),
        ] {
            assert_eq!(Condition::parse(text).unwrap_err(), expect, "{text}");
        }
    }
}
