//! What may be asked of what: sorts of elements, functions on them, units. Checked before anything is decided.

use super::{
    IntentError,
    ast::{Assertion, Goal, Pred, Quantifier, Set, SetKind, Span, Spec, Term, Word},
    quantity::Unit,
};

/// What a variable ranges over.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Sort {
    /// Services, workloads, gateways, entries: who calls and is called.
    Party,
    /// A call that is known, over one route to one service.
    Edge,
    /// A client and a port of a server that it can dial, called or not.
    Link,
    /// A rule of a `VirtualService`.
    Route,
    /// A port of a service.
    Port,
    /// A host that an object names.
    Host,
    /// An object that decides for clients.
    Object,
    /// A namespace.
    Namespace,
    /// A request: its fields are free.
    Request,
    /// A chain of calls.
    Path,
    /// A set of failures.
    Failure,
    /// An object that changes.
    Change,
    /// A Rollout of Argo or a Canary of Flagger.
    Rollout,
    /// The new version that a rollout brings.
    Version,
}

/// What a term is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Type {
    /// A number.
    Number(Unit),
    /// A text that is known.
    Text,
    /// A field of a request: a text that is free.
    Field,
    /// Whether something holds.
    Truth,
    /// An element.
    Element(Sort),
}

/// A function.
#[derive(Debug)]
pub(crate) struct Function {
    /// Its name.
    pub name: &'static str,
    /// What it may be asked of.
    pub of: &'static [Sort],
    /// Further arguments.
    pub further: &'static [Further],
    /// What it gives.
    pub gives: Type,
}

/// An argument after the first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Further {
    /// A text in quotes.
    Text,
    /// A set of failures, which may be left out.
    Failure,
}

/// Sets that have a name, with what is in them.
pub(crate) const SETS: &[(&str, Sort)] = &[
    ("services", Sort::Party),
    ("workloads", Sort::Party),
    ("gateways", Sort::Party),
    ("entries", Sort::Party),
    ("edges", Sort::Edge),
    ("links", Sort::Link),
    ("routes", Sort::Route),
    ("ports", Sort::Port),
    ("hosts", Sort::Host),
    ("objects", Sort::Object),
    ("namespaces", Sort::Namespace),
    ("requests", Sort::Request),
    ("paths", Sort::Path),
    ("changes", Sort::Change),
    ("rollouts", Sort::Rollout),
];

const CALLS: &[Sort] = &[Sort::Edge];
const ROUTED: &[Sort] = &[Sort::Edge, Sort::Route];
const PAIRS: &[Sort] = &[Sort::Edge, Sort::Link];
const MOVING: &[Sort] = &[Sort::Edge, Sort::Link, Sort::Change];
const PARTIES: &[Sort] = &[Sort::Party];
const GUARDED: &[Sort] = &[Sort::Party, Sort::Namespace];
const SPOKEN: &[Sort] = &[Sort::Party, Sort::Namespace, Sort::Edge, Sort::Link, Sort::Request];
const REQUESTS: &[Sort] = &[Sort::Request];
const NAMED: &[Sort] =
    &[Sort::Party, Sort::Namespace, Sort::Object, Sort::Host, Sort::Port, Sort::Route, Sort::Change, Sort::Rollout];

macro_rules! functions {
    ($($name:literal $of:ident $($further:ident)? => $gives:expr;)*) => {
        &[$(Function { name: $name, of: $of, further: &[$(Further::$further)?], gives: $gives },)*]
    };
}

/// Every function.
pub(crate) const FUNCTIONS: &[Function] = functions! {
    "timeout" ROUTED => Type::Number(Unit::Time);
    "per_try" ROUTED => Type::Number(Unit::Time);
    "limit" CALLS => Type::Number(Unit::Time);
    "attempts" CALLS => Type::Number(Unit::Count);
    "worst_latency" EDGES_AND_PATHS => Type::Number(Unit::Time);
    "busy" PARTIES => Type::Number(Unit::Time);
    "amplification" PARTIES => Type::Number(Unit::Count);
    "connects" PARTIES => Type::Number(Unit::Count);
    "up" PARTIES Failure => Type::Truth;
    "load" PARTIES Failure => Type::Number(Unit::Rate);
    "goodput" PARTIES => Type::Number(Unit::Rate);
    "demand" PARTIES => Type::Number(Unit::Rate);
    "capacity" PARTIES Failure => Type::Number(Unit::Rate);
    "replicas" PARTIES => Type::Number(Unit::Count);
    "callee" PAIRS => Type::Element(Sort::Party);
    "caller" PAIRS => Type::Element(Sort::Party);
    "from" REQUESTS => Type::Element(Sort::Party);
    "to" REQUESTS => Type::Element(Sort::Party);
    "plaintext" SPOKEN => Type::Truth;
    "encrypted" SPOKEN => Type::Truth;
    "outage" MOVING => Type::Truth;
    "weight" VERSIONS => Type::Number(Unit::Share);
    "error_rate" VERSIONS => Type::Number(Unit::Share);
    "injected" GUARDED => Type::Truth;
    "strict" GUARDED => Type::Truth;
    "default_deny" GUARDED => Type::Truth;
    "reachable" ROUTES => Type::Truth;
    "declared" PORTS => Type::Truth;
    "wildcard" HOSTS => Type::Truth;
    "public" OBJECTS => Type::Truth;
    "allowed" REQUESTS => Type::Truth;
    "authenticated" REQUESTS => Type::Truth;
    "name" NAMED => Type::Text;
    "namespace" NAMED => Type::Text;
    "kind" NAMED => Type::Text;
    "service_account" PARTIES => Type::Text;
    "label" PARTIES Text => Type::Text;
    "port" REQUESTS => Type::Number(Unit::Count);
    "path" REQUESTS => Type::Field;
    "method" REQUESTS => Type::Field;
    "host" REQUESTS => Type::Field;
    "sni" REQUESTS => Type::Field;
    "principal" REQUESTS => Type::Field;
    "header" REQUESTS Text => Type::Field;
    "claim" REQUESTS Text => Type::Field;
    "ip" REQUESTS => Type::Field;
    "remote_ip" REQUESTS => Type::Field;
};

const EDGES_AND_PATHS: &[Sort] = &[Sort::Edge, Sort::Path];
const VERSIONS: &[Sort] = &[Sort::Version];
const ROUTES: &[Sort] = &[Sort::Route];
const PORTS: &[Sort] = &[Sort::Port];
const HOSTS: &[Sort] = &[Sort::Host];
const OBJECTS: &[Sort] = &[Sort::Object];

/// The function of that name.
pub(crate) fn function(name: &str) -> Option<&'static Function> {
    FUNCTIONS.iter().find(|function| function.name == name)
}

/// What is wrong with a text of intents, before the mesh is looked at.
pub(super) fn check(spec: &Spec) -> Vec<IntentError> {
    let mut errors = Vec::new();
    let mut checker = Checker { sets: Vec::new(), variables: Vec::new() };
    for (name, set) in &spec.lets {
        match checker.set(set) {
            Ok(sort) => checker.sets.push((name.text.clone(), sort)),
            Err(error) => errors.push(error),
        }
    }
    for assertion in &spec.assertions {
        checker.variables.clear();
        errors.extend(checker.assertion(assertion).err());
    }
    errors
}

type Checked<T> = Result<T, IntentError>;

struct Checker {
    sets: Vec<(String, Sort)>,
    variables: Vec<(String, Sort)>,
}

fn refuse<T>(span: Span, message: impl Into<String>, help: Option<String>) -> Checked<T> {
    Err(IntentError { span, message: message.into(), help })
}

fn meant<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    meshproof_model::did_you_mean(word, known).map(|meant| format!("did you mean `{meant}`?"))
}

/// What is compared with another mesh is compared over all requests of its set; `when` tells only whether what is
/// newly allowed counts, or what is no longer.
fn comparison_alone(assertion: &Assertion) -> Checked<()> {
    let compared = assertion.goals.iter().find_map(|goal| match goal {
        Goal::Unchanged { term: Term::Call(name, ..), span, .. } => Some((name, span)),
        _ => None,
    });
    let Some((what, span)) = compared else { return Ok(()) };
    let is_narrowed = assertion.quantifiers.iter().any(|quantifier| quantifier.filter.is_some());
    let is_one_way = assertion.when.as_ref().is_none_or(|when| what.text == "allowed" && when.one_way().is_some());
    if assertion.goals.len() > 1 || is_narrowed || !is_one_way {
        let help = "give it an assertion of its own; `when allowed(r)` keeps to what is newly allowed, and \
                    `when not allowed(r)` to what is no longer";
        return refuse(*span, "`unchanged since` stands alone, without other conditions", Some(help.to_owned()));
    }
    Ok(())
}

impl Checker {
    fn assertion(&mut self, assertion: &Assertion) -> Checked<()> {
        for quantifier in &assertion.quantifiers {
            self.quantifier(quantifier)?;
        }
        let is_release = self.release(assertion)?;
        match &assertion.when {
            // What a version fails is asked of its rollout.
            _ if is_release => {}
            // What follows a surge is asked by `within`.
            Some(Pred::Surge(factor, during, span)) => {
                if (factor.unit, during.unit) != (Unit::Count, Unit::Time) {
                    return refuse(*span, "a surge is a factor for a time: `surge <= 5x for 10s`", None);
                }
            }
            when => when.iter().try_for_each(|when| self.pred(when))?,
        }
        let is_surge = matches!(assertion.when, Some(Pred::Surge(..)));
        assertion.goals.iter().try_for_each(|goal| self.goal(goal, is_surge, is_release))?;
        comparison_alone(assertion)
    }

    /// Whether it is asked what becomes of a version that fails: then `new` is the version that a rollout brings.
    fn release(&mut self, assertion: &Assertion) -> Checked<bool> {
        let of_rollouts = self.variables.iter().filter(|(_, sort)| *sort == Sort::Rollout).count();
        if of_rollouts == 0 {
            return Ok(false);
        }
        let help = "`for all r in rollouts: when error_rate(new) >= 5% then never weight(new) > 20%`";
        let span = assertion.when.as_ref().and_then(span_of).unwrap_or(assertion.name.span);
        let is_release = super::release::failing(assertion.when.as_ref()).is_some();
        if is_release && (of_rollouts > 1 || self.variables.len() > 1) {
            return refuse(span, "one rollout at a time is asked what becomes of its version", Some(help.to_owned()));
        }
        if is_release {
            self.variables.push(("new".to_owned(), Sort::Version));
        } else if let Some(when) = assertion.when.as_ref().filter(|when| super::release::names_failures(when)) {
            let span = span_of(when).unwrap_or(span);
            return refuse(span, "`when` compares the error rate of `new` with a share, alone", Some(help.to_owned()));
        }
        Ok(is_release)
    }

    fn quantifier(&mut self, quantifier: &Quantifier) -> Checked<()> {
        let sort = self.set(&quantifier.set)?;
        let name = &quantifier.variable;
        if self.variables.iter().any(|(known, _)| *known == name.text) {
            return refuse(name.span, format!("`{}` is already a variable", name.text), None);
        }
        if sort == Sort::Request && self.variables.iter().any(|(_, known)| *known == Sort::Request) {
            let help = "ask about one request; whether two of them differ is what `unchanged since` is for";
            return refuse(name.span, "two requests cannot vary at once: that is not decided", Some(help.to_owned()));
        }
        self.variables.push((name.text.clone(), sort));
        quantifier.filter.iter().try_for_each(|filter| self.pred(filter))
    }

    fn goal(&self, goal: &Goal, is_surge: bool, is_release: bool) -> Checked<()> {
        match goal {
            Goal::Always(pred) | Goal::Never(pred) => self.pred(pred),
            Goal::Within(time, pred) => {
                self.pred(pred)?;
                let is_known = is_release || (is_surge && recovering(pred).is_some());
                if is_known && time.unit == Unit::Time {
                    return Ok(());
                }
                let help = "`when surge <= 5x for 10s then within 60s goodput(s) >= 0.99 * demand(s)` is";
                let span = span_of(pred).unwrap_or_default();
                refuse(span, "`within` a time is not decided for this property", Some(help.to_owned()))
            }
            Goal::Unchanged { term, except, span, .. } => {
                let is_known = match term {
                    Term::Call(name, arguments, _) if ["destination", "allowed"].contains(&name.text.as_str()) => {
                        arguments.len() == 1 && self.term(&arguments[0])? == Type::Element(Sort::Request)
                    }
                    _ => false,
                };
                if !is_known || self.variables.len() != 1 {
                    let help =
                        "`for all r in requests: then destination(r) unchanged since git(\"main\")`, or `allowed(r)`";
                    return refuse(*span, "this is not compared with another mesh", Some(help.to_owned()));
                }
                except.as_ref().map_or(Ok(()), |set| self.set(set).map(|_| ()))
            }
        }
    }

    fn pred(&self, pred: &Pred) -> Checked<()> {
        match pred {
            Pred::And(all) | Pred::Or(all) => all.iter().try_for_each(|one| self.pred(one)),
            Pred::Not(one) => self.pred(one),
            Pred::Compare(left, comparison, right, span) => self.comparison(left, *comparison, right, *span),
            Pred::Matches(term, _) => match self.term(term)? {
                Type::Text | Type::Field => Ok(()),
                _ => refuse(term.span(), "only texts match patterns", None),
            },
            Pred::In(term, set) => {
                let sort = self.set(set)?;
                match self.term(term)? {
                    Type::Element(own) if own == sort && sort != Sort::Request => Ok(()),
                    _ => refuse(term.span(), "this is no element of such a set", None),
                }
            }
            Pred::Fact(term) => match self.term(term)? {
                Type::Truth => Ok(()),
                _ => refuse(term.span(), "this is no condition: compare it with something", None),
            },
            Pred::Surge(_, _, span) => {
                let help = "say how much load there is in a scenario, and what must hold in its objectives";
                refuse(*span, "`surge` is not decided for this property", Some(help.to_owned()))
            }
        }
    }

    fn comparison(&self, left: &Term, comparison: super::ast::Comparison, right: &Term, span: Span) -> Checked<()> {
        use super::ast::Comparison::{Differs, Equal};
        let types = (self.term(left)?, self.term(right)?);
        let is_equality = matches!(comparison, Equal | Differs);
        match types {
            (Type::Number(a), Type::Number(b)) if a == b || is_zero(left) || is_zero(right) => Ok(()),
            (Type::Number(a), Type::Number(b)) => {
                refuse(span, format!("{} is compared with {}", a.name(), b.name()), None)
            }
            (Type::Field, Type::Field) => {
                let help = "compare a field with a text in quotes";
                refuse(span, "two fields of a request are compared: that is not decided", Some(help.to_owned()))
            }
            (Type::Text | Type::Field, Type::Text) | (Type::Text, Type::Field) if is_equality => Ok(()),
            (Type::Element(a), Type::Element(b)) if a == b && is_equality && a != Sort::Request => Ok(()),
            (Type::Text | Type::Field, Type::Text | Type::Field) => {
                refuse(span, "texts have no order: they are equal (`=`) or not (`!=`)", None)
            }
            _ => refuse(span, "two things of different kinds are compared", None),
        }
    }

    fn term(&self, term: &Term) -> Checked<Type> {
        match term {
            Term::Number(quantity, _) => Ok(Type::Number(quantity.unit)),
            Term::Text(_) => Ok(Type::Text),
            Term::Name(name) => Ok(Type::Element(self.variable(name)?)),
            Term::Call(name, arguments, span) => self.call(name, arguments, *span),
            Term::Sum(a, b) | Term::Difference(a, b) => match (self.term(a)?, self.term(b)?) {
                (Type::Number(one), Type::Number(other)) if one == other => Ok(Type::Number(one)),
                (Type::Number(one), Type::Number(other)) => {
                    refuse(term.span(), format!("{} and {} do not add up", one.name(), other.name()), None)
                }
                _ => refuse(term.span(), "only numbers add up", None),
            },
            Term::Times(_, inner, span) => match self.term(inner)? {
                Type::Number(unit) => Ok(Type::Number(unit)),
                _ => refuse(*span, "only numbers are multiplied", None),
            },
        }
    }

    fn variable(&self, name: &Word) -> Checked<Sort> {
        if let Some((_, sort)) = self.variables.iter().find(|(known, _)| *known == name.text) {
            return Ok(*sort);
        }
        let help = meant(&name.text, self.variables.iter().map(|(known, _)| known.as_str()))
            .unwrap_or_else(|| "`for all` and `for some` name variables; texts stand in quotes".to_owned());
        refuse(name.span, format!("`{}` is no variable", name.text), Some(help))
    }

    fn call(&self, name: &Word, arguments: &[Term], span: Span) -> Checked<Type> {
        let Some(function) = function(&name.text) else {
            let help = meant(&name.text, FUNCTIONS.iter().map(|function| function.name));
            return refuse(name.span, format!("`{}` is no function", name.text), help);
        };
        let Some((first, further)) = arguments.split_first() else {
            return refuse(span, format!("`{}` needs to be told of what", name.text), None);
        };
        match self.term(first)? {
            Type::Element(sort) if function.of.contains(&sort) => {}
            _ => {
                let known: Vec<&str> = function.of.iter().map(|sort| sort.name()).collect();
                let message = format!("`{}` is asked of {} only", name.text, known.join(", "));
                return refuse(first.span(), message, None);
            }
        }
        let needed = function.further.iter().filter(|wanted| **wanted == Further::Text).count();
        if further.len() < needed || further.len() > function.further.len() {
            let message = format!("`{}` takes {} arguments", name.text, 1 + function.further.len());
            return refuse(span, message, None);
        }
        for (argument, wanted) in further.iter().zip(function.further) {
            let (fits, what) = match wanted {
                Further::Text => (matches!(argument, Term::Text(_)), "a text in quotes"),
                Further::Failure => (self.term(argument)? == Type::Element(Sort::Failure), "a set of failures"),
            };
            if !fits {
                return refuse(argument.span(), format!("`{}` wants {what} here", name.text), None);
            }
        }
        Ok(function.gives)
    }

    fn set(&self, set: &Set) -> Checked<Sort> {
        match &set.kind {
            SetKind::Named(name) => {
                let named = self.sets.iter().rev().find(|(known, _)| known == name).map(|(_, sort)| *sort);
                let known = || SETS.iter().find(|(known, _)| known == name).map(|(_, sort)| *sort);
                if let Some(sort) = named.or_else(known) {
                    return Ok(sort);
                }
                let own = self.sets.iter().map(|(known, _)| known.as_str());
                let all = own.chain(SETS.iter().map(|(known, _)| *known));
                let help = meant(name, all).unwrap_or_else(|| format!("a single one stands in braces: `{{{name}}}`"));
                refuse(set.span, format!("`{name}` is no set"), Some(help))
            }
            SetKind::Listed(_) | SetKind::Labels(_) => Ok(Sort::Party),
            SetKind::Between { what, from, to } => {
                for end in [from, to].into_iter().flatten() {
                    if self.set(end)? != Sort::Party {
                        return refuse(end.span, "calls go from services and workloads to others", None);
                    }
                }
                Ok(match what.as_str() {
                    "requests" => Sort::Request,
                    "paths" => Sort::Path,
                    "links" => Sort::Link,
                    _ => Sort::Edge,
                })
            }
            SetKind::Failures(kinds) => {
                const KINDS: [&str; 5] = ["zones", "services", "pods", "nodes", "control-plane"];
                if let Some((_, kind)) = kinds.iter().find(|(_, kind)| !KINDS.contains(&kind.text.as_str())) {
                    let help = meant(&kind.text, KINDS).unwrap_or_else(|| format!("there are {}", KINDS.join(", ")));
                    return refuse(kind.span, format!("`{}` do not fail", kind.text), Some(help));
                }
                if let Some((_, kind)) = kinds.iter().find(|(_, kind)| kind.text == "nodes") {
                    let help = "pods and zones can fail: `failures up to 1 zones`".to_owned();
                    return refuse(kind.span, "nothing says which node a pod runs on", Some(help));
                }
                Ok(Sort::Failure)
            }
            SetKind::Joined(first, _, second) => {
                let (a, b) = (self.set(first)?, self.set(second)?);
                if a != b || a == Sort::Request {
                    return refuse(set.span, "only sets of the same kind are put together", None);
                }
                Ok(a)
            }
        }
    }
}

/// Who has to answer again what is asked of it: `goodput(s) >= 0.99 * demand(s)`, with a share of at most all.
pub(super) fn recovering(pred: &Pred) -> Option<&Word> {
    let asked = |term: &Term, name: &str| match term {
        Term::Call(function, arguments, _) if function.text == name => match arguments.as_slice() {
            [Term::Name(of)] => Some(of.text.clone()),
            _ => None,
        },
        _ => None,
    };
    let Pred::Compare(goodput, super::ast::Comparison::AtLeast, wanted, _) = pred else { return None };
    let demand = match wanted {
        Term::Times(share, demand, _) if share.micros() <= super::quantity::Quantity::new(1, Unit::Count).micros() => {
            asked(demand, "demand")
        }
        demand => asked(demand, "demand"),
    };
    let Term::Call(_, arguments, _) = goodput else { return None };
    let Some(Term::Name(of)) = arguments.first() else { return None };
    (asked(goodput, "goodput") == demand && demand.is_some()).then_some(of)
}

fn is_zero(term: &Term) -> bool {
    matches!(term, Term::Number(quantity, _) if quantity.micros() == 0)
}

fn span_of(pred: &Pred) -> Option<Span> {
    match pred {
        Pred::And(all) | Pred::Or(all) => all.first().and_then(span_of),
        Pred::Not(one) => span_of(one),
        Pred::Compare(_, _, _, span) | Pred::Surge(_, _, span) => Some(*span),
        Pred::Matches(term, _) | Pred::In(term, _) | Pred::Fact(term) => Some(term.span()),
    }
}

impl Sort {
    /// As an error names its elements.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Party => "services and workloads",
            Self::Edge => "edges",
            Self::Link => "links",
            Self::Route => "routes",
            Self::Port => "ports",
            Self::Host => "hosts",
            Self::Object => "objects",
            Self::Namespace => "namespaces",
            Self::Request => "requests",
            Self::Path => "paths",
            Self::Failure => "failures",
            Self::Change => "changes",
            Self::Rollout => "rollouts",
            Self::Version => "`new`, after `when error_rate(new) ...`",
        }
    }
}
