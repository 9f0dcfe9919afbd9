//! Questions to a solver as plain data: Booleans, cardinalities and linear arithmetic over natural numbers.
//!
//! Only what the properties need. A query is data, so the same one is asked of Z3, evaluated on an assignment
//! ([`Query::holds`], the check of every model that a solver returns) and printed.

use std::ops;

/// A truth value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Bool {
    /// True or false.
    Const(bool),
    /// A free one, by its index into [`Query::bools`].
    Var(usize),
    /// Not this.
    Not(Box<Bool>),
    /// All of these.
    And(Vec<Bool>),
    /// Some of these.
    Or(Vec<Bool>),
    /// The first is at most the second.
    Le(Int, Int),
}

/// A natural number.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Int {
    /// A given one.
    Const(u64),
    /// A free one, by its index into [`Query::ints`].
    Var(usize),
    /// The sum of these.
    Sum(Vec<Int>),
    /// So many times this.
    Times(u64, Box<Int>),
}

/// What a solver is asked: is there an assignment under which all assertions hold?
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Query {
    /// Names of the free truth values.
    pub bools: Vec<String>,
    /// Names of the free natural numbers.
    pub ints: Vec<String>,
    /// What must hold.
    pub assertions: Vec<Bool>,
}

/// Values for the free variables of a query.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Assignment {
    /// Of the truth values, by index.
    pub bools: Vec<bool>,
    /// Of the natural numbers, by index.
    pub ints: Vec<u64>,
}

impl Query {
    /// A free truth value.
    pub(crate) fn bool(&mut self, name: impl Into<String>) -> Bool {
        self.bools.push(name.into());
        Bool::Var(self.bools.len() - 1)
    }

    /// A free natural number.
    pub(crate) fn int(&mut self, name: impl Into<String>) -> Int {
        self.ints.push(name.into());
        Int::Var(self.ints.len() - 1)
    }

    /// Demands that this holds.
    pub(crate) fn assert(&mut self, fact: Bool) {
        self.assertions.push(fact);
    }

    /// Whether every assertion holds under an assignment.
    pub(crate) fn holds(&self, assignment: &Assignment) -> bool {
        self.assertions.iter().all(|fact| fact.eval(assignment))
    }

    /// Whether there is arithmetic in it.
    pub(crate) fn is_arithmetic(&self) -> bool {
        !self.ints.is_empty()
    }
}

impl Bool {
    /// Whether it holds under an assignment; a variable without a value counts as false.
    pub(crate) fn eval(&self, assignment: &Assignment) -> bool {
        match self {
            Self::Const(value) => *value,
            Self::Var(index) => assignment.bools.get(*index).copied().unwrap_or(false),
            Self::Not(inner) => !inner.eval(assignment),
            Self::And(parts) => parts.iter().all(|part| part.eval(assignment)),
            Self::Or(parts) => parts.iter().any(|part| part.eval(assignment)),
            Self::Le(left, right) => left.eval(assignment) <= right.eval(assignment),
        }
    }

    /// If this holds, so does `other`.
    pub(crate) fn implies(self, other: Self) -> Self {
        Self::Or(vec![!self, other])
    }

    /// Both hold or neither.
    #[cfg(test)]
    pub(crate) fn iff(self, other: Self) -> Self {
        Self::And(vec![self.clone().implies(other.clone()), other.implies(self)])
    }
}

impl Int {
    /// Its value under an assignment; exact, as sums of 64-bit numbers need more.
    pub(crate) fn eval(&self, assignment: &Assignment) -> u128 {
        match self {
            Self::Const(value) => u128::from(*value),
            Self::Var(index) => u128::from(assignment.ints.get(*index).copied().unwrap_or(0)),
            Self::Sum(parts) => parts.iter().map(|part| part.eval(assignment)).fold(0, u128::saturating_add),
            Self::Times(factor, inner) => u128::from(*factor).saturating_mul(inner.eval(assignment)),
        }
    }

    /// At most `other`.
    pub(crate) fn le(self, other: Self) -> Bool {
        Bool::Le(self, other)
    }

    /// More than `other`.
    pub(crate) fn gt(self, other: Self) -> Bool {
        !Bool::Le(self, other)
    }

    /// So many times this.
    pub(crate) fn times(self, factor: u64) -> Self {
        Self::Times(factor, Box::new(self))
    }
}

impl ops::Not for Bool {
    type Output = Self;
    fn not(self) -> Self {
        match self {
            Self::Const(value) => Self::Const(!value),
            Self::Not(inner) => *inner,
            other => Self::Not(Box::new(other)),
        }
    }
}
