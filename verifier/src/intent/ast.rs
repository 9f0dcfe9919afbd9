//! What a text of intents says, with the place of each part.

use super::quantity::Quantity;

/// A part of the text, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Span {
    /// Where it begins.
    pub start: usize,
    /// Where it ends, exclusive.
    pub end: usize,
}

/// A word and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// The word.
    pub text: String,
    /// Where.
    pub span: Span,
}

/// A file of intents.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Spec {
    /// Named sets, in order; each may use those before it.
    pub lets: Vec<(Word, Set)>,
    /// What must hold.
    pub assertions: Vec<Assertion>,
}

/// One thing that must hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Assertion {
    /// Its name, without quotes.
    pub name: Word,
    /// How bad it is where it does not.
    pub severity: Option<Word>,
    /// Whether it may hold only because nothing matches it.
    pub allow_vacuous: bool,
    /// Whom to ask about it.
    pub owner: Option<String>,
    /// Steps of the solver for one question.
    pub limit: Option<u32>,
    /// What it ranges over, the outermost first.
    pub quantifiers: Vec<Quantifier>,
    /// Only where this holds.
    pub when: Option<Pred>,
    /// What must hold then.
    pub goals: Vec<Goal>,
}

/// Variables and what they range over.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Quantifier {
    /// Whether it must hold of all, or of some.
    pub is_all: bool,
    /// The variable.
    pub variable: Word,
    /// Its range.
    pub set: Set,
    /// Only those.
    pub filter: Option<Pred>,
}

/// A set.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Set {
    /// What it is.
    pub kind: SetKind,
    /// Where it stands.
    pub span: Span,
}

/// What a set is.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum SetKind {
    /// By its name: `services`, or one that `let` has named.
    Named(String),
    /// These.
    Listed(Vec<Word>),
    /// Workloads with all of these labels.
    Labels(Vec<(String, String)>),
    /// Things that lead from some to others: `requests`, `paths`, `edges`, `links`.
    Between { what: String, from: Option<Box<Set>>, to: Option<Box<Set>> },
    /// Sets of failures: up to so many of each kind.
    Failures(Vec<(u32, Word)>),
    /// Two sets put together.
    Joined(Box<Set>, Join, Box<Set>),
}

/// How two sets are put together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Join {
    /// What is in either.
    Union,
    /// What is in the first only.
    Minus,
    /// What is in both.
    Intersect,
}

/// What must hold.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Goal {
    /// This.
    Always(Pred),
    /// Not this.
    Never(Pred),
    /// This, not later than so long after what `when` says.
    Within(Quantity, Pred),
    /// The term has the value that it had there, but for these.
    Unchanged { term: Term, since: Word, except: Option<Set>, span: Span },
}

/// A condition.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Pred {
    /// All of them.
    And(Vec<Pred>),
    /// Some of them.
    Or(Vec<Pred>),
    /// Not this.
    Not(Box<Pred>),
    /// A comparison.
    Compare(Term, Comparison, Term, Span),
    /// A text is in a pattern.
    Matches(Term, Word),
    /// An element is in a set.
    In(Term, Set),
    /// A fact about its arguments.
    Fact(Term),
    /// More load by this factor, for so long.
    Surge(Quantity, Quantity, Span),
}

impl Pred {
    /// `allowed(r)`: true, `not allowed(r)`: false; anything else is neither.
    pub(super) fn one_way(&self) -> Option<bool> {
        match self {
            Self::Not(inner) => inner.one_way().map(|way| !way),
            Self::Fact(Term::Call(name, ..)) if name.text == "allowed" => Some(true),
            _ => None,
        }
    }
}

/// A comparison.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Comparison {
    /// `<`.
    Less,
    /// `<=`.
    AtMost,
    /// `=`.
    Equal,
    /// `!=`.
    Differs,
    /// `>=`.
    AtLeast,
    /// `>`.
    More,
}

/// A value.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Term {
    /// A number with its unit.
    Number(Quantity, Span),
    /// A text.
    Text(Word),
    /// A variable, or the name of something of the mesh.
    Name(Word),
    /// A function of its arguments.
    Call(Word, Vec<Term>, Span),
    /// The sum of both.
    Sum(Box<Term>, Box<Term>),
    /// The first without the second.
    Difference(Box<Term>, Box<Term>),
    /// So many times.
    Times(Quantity, Box<Term>, Span),
}

impl Span {
    /// From the beginning of this to the end of `other`.
    pub(crate) const fn to(self, other: Self) -> Self {
        Self { start: self.start, end: other.end }
    }
}

impl Term {
    /// Where it stands.
    pub(crate) fn span(&self) -> Span {
        match self {
            Self::Number(_, span) | Self::Call(_, _, span) | Self::Times(_, _, span) => *span,
            Self::Text(word) | Self::Name(word) => word.span,
            Self::Sum(a, b) | Self::Difference(a, b) => a.span().to(b.span()),
        }
    }
}

impl Comparison {
    /// Whether it holds of two things in that order.
    pub(crate) const fn holds(self, order: std::cmp::Ordering) -> bool {
        match self {
            Self::Less => order.is_lt(),
            Self::AtMost => order.is_le(),
            Self::Equal => order.is_eq(),
            Self::Differs => order.is_ne(),
            Self::AtLeast => order.is_ge(),
            Self::More => order.is_gt(),
        }
    }
}
