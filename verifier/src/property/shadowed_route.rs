//! `MP0301` shadowed-route (`P5`).
//!
//! **Statement.** For each HTTP rule of each `VirtualService` there is a request that it takes: one that it matches and
//! no earlier rule does. Ports, gateways, namespaces and labels of clients are part of the request.
//!
//! **Decided by** subsumption (one earlier match block whose conditions all follow from this one's), and by Z3 where
//! several earlier blocks together may cover a rule; each dead rule that subsumption finds is checked by Z3. Patterns
//! are truth values with the axioms of [`Patterns`]: no theory of strings. Regular expressions take part through
//! products of automata, pair by pair; what those cannot tell counts as possible, so that no live rule is called dead.

use meshproof_model::{
    Finding, Located, Location, SHADOWED_ROUTE, Subject,
    istio::{HttpMatch, HttpRoute, StringMatch, VirtualService},
};

use super::{Judge, listed};
use crate::{
    Engine, Proof, Report,
    assumption::{APPLIED, NO_PATCHES},
    term::{Bool, Query},
    z3::{Answer, check_all},
};

mod patterns;
#[cfg(test)]
mod tests;

use patterns::{Attribute, Pattern, Patterns};

/// Judges every rule of every `VirtualService`.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let mut report = Report::default();
    for service in &judge.mesh.virtual_services {
        let rules: Vec<Vec<Block>> = service.http.iter().map(|rule| blocks(service, rule)).collect();
        let queries: Vec<Query> = (0..rules.len()).map(|rule| takes(&rules[..rule], &rules[rule])).collect();
        let answers = check_all(&queries, judge.options.rlimit);
        for (number, answer) in answers.into_iter().enumerate() {
            let subject = super::route_subject(service, number);
            let by = coverers(&rules[..number], &rules[number]);
            match (answer, by) {
                (Answer::Sat(_), None) => report
                    .proofs
                    .push(Proof::new(&SHADOWED_ROUTE, subject, Engine::Z3, None).assuming([NO_PATCHES, APPLIED])),
                (Answer::Unsat, Some(by)) => report.findings.push(finding(service, number, subject, &by)),
                (Answer::Unsat, None) => {
                    let by = smallest_union(judge, &rules[..number], &rules[number]);
                    report.findings.push(finding(service, number, subject, &by));
                }
                (Answer::Unknown(reason), _) => report.undecided(&SHADOWED_ROUTE, subject, &reason),
                (Answer::Sat(_), Some(_)) => {
                    report.disagree(&SHADOWED_ROUTE, &subject, "Z3 finds a request that subsumption denies");
                }
            }
        }
    }
    report
}

/// Conditions that all must hold.
pub(crate) type Block = Vec<Condition>;

/// One of these patterns holds of an attribute, or none does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Condition {
    attribute: Attribute,
    any: Vec<Pattern>,
    negated: bool,
}

impl Condition {
    fn new(attribute: Attribute, pattern: Pattern) -> Self {
        Self { attribute, any: vec![pattern], negated: false }
    }

    /// Whether this one makes `other` true.
    fn implies(&self, other: &Self) -> bool {
        if self.attribute != other.attribute {
            return false;
        }
        match (self.negated, other.negated) {
            (false, false) => self.any.iter().all(|own| other.any.iter().any(|wider| own.implies(wider))),
            (true, true) => other.any.iter().all(|own| self.any.iter().any(|wider| own.implies(wider))),
            _ => false,
        }
    }
}

/// The match blocks of a rule; a rule without any takes everything (`RT-1`).
fn blocks(service: &VirtualService, rule: &HttpRoute) -> Vec<Block> {
    if rule.matches.is_empty() {
        return vec![vec![gateways(service, &service.gateways)]];
    }
    rule.matches.iter().map(|block| conditions(service, block)).collect()
}

fn conditions(service: &VirtualService, block: &HttpMatch) -> Block {
    let mut all = Vec::new();
    if block.gateways.is_empty() {
        all.push(gateways(service, &service.gateways));
        // Labels and namespace are read only where `gateways` are not (`RT-5`).
        for (key, value) in &block.source_labels {
            all.push(Condition::new(Attribute::Label(key.clone()), Pattern::exact(value)));
        }
        if let Some(namespace) = &block.source_namespace {
            all.push(Condition::new(Attribute::Namespace, Pattern::exact(&namespace.value)));
        }
    } else {
        all.push(gateways(service, &block.gateways));
    }
    if let Some(port) = &block.port {
        all.push(Condition::new(Attribute::Port, Pattern::exact(&port.value.to_string())));
    }
    let path = if block.ignore_uri_case { Attribute::FoldedPath } else { Attribute::Path };
    let single = [
        (path, &block.uri, block.ignore_uri_case),
        (Attribute::Method, &block.method, false),
        (Attribute::Authority, &block.authority, false),
        (Attribute::Scheme, &block.scheme, false),
    ];
    for (attribute, matcher, folded) in single {
        if let Some(matcher) = matcher {
            all.push(Condition::new(attribute, pattern(&matcher.value, folded)));
        }
    }
    let header = |name: &String| Attribute::Header(name.to_ascii_lowercase());
    for (name, matcher) in &block.headers {
        all.push(Condition::new(header(name), pattern(&matcher.value, false)));
    }
    for (name, matcher) in &block.without_headers {
        all.push(Condition { negated: true, ..Condition::new(header(name), pattern(&matcher.value, false)) });
    }
    for (name, matcher) in &block.query_params {
        all.push(Condition::new(Attribute::Query(name.clone()), pattern(&matcher.value, false)));
    }
    all
}

/// The request comes through one of these gateways, or from the mesh (`VS-1`, `H-2`).
fn gateways(service: &VirtualService, names: &[Located<String>]) -> Condition {
    let complete = |name: &Located<String>| meshproof_model::complete_gateway(&name.value, service.meta.namespace());
    let mut any: Vec<Pattern> = names.iter().map(|name| Pattern::exact(&complete(name))).collect();
    if any.is_empty() {
        any.push(Pattern::exact("mesh"));
    }
    Condition { attribute: Attribute::Gateway, any, negated: false }
}

fn pattern(matcher: &StringMatch, folded: bool) -> Pattern {
    let fold = |text: &String| if folded { text.to_ascii_lowercase() } else { text.clone() };
    match matcher {
        StringMatch::Exact(text) => Pattern::Exact(fold(text)),
        StringMatch::Prefix(text) => Pattern::Prefix(fold(text)),
        // `*` is no regular expression; Istio takes it for presence (`RT-3`).
        StringMatch::Regex(text) if text == "*" => Pattern::Present,
        StringMatch::Regex(text) => Pattern::Regex(text.clone()),
        StringMatch::Present => Pattern::Present,
    }
}

/// Is there a request that a rule matches and no earlier one does?
fn takes(earlier: &[Vec<Block>], rule: &[Block]) -> Query {
    let mut patterns = Patterns::default();
    let blocks: Vec<Bool> = rule.iter().map(|block| block_term(&mut patterns, block)).collect();
    let before: Vec<Bool> = earlier.iter().flatten().map(|block| block_term(&mut patterns, block)).collect();
    let mut query = patterns.into_query();
    query.assert(Bool::Or(blocks));
    query.assert(!Bool::Or(before));
    query
}

fn block_term(patterns: &mut Patterns, block: &Block) -> Bool {
    let terms = block.iter().map(|condition| {
        let attribute = &condition.attribute;
        let mut any: Vec<Bool> = condition.any.iter().map(|pattern| patterns.term(attribute, pattern)).collect();
        if !condition.negated {
            return Bool::Or(any);
        }
        // A header that is absent counts as empty, but for the mere question whether it is there (`RT-3`).
        if condition.any.iter().any(|p| *p != Pattern::Present && p.contains("") == Some(true)) {
            any.push(!patterns.term(attribute, &Pattern::Present));
        }
        !Bool::Or(any)
    });
    Bool::And(terms.collect())
}

/// The earlier rules that, each block by itself, cover all blocks of a rule.
fn coverers(earlier: &[Vec<Block>], rule: &[Block]) -> Option<Vec<usize>> {
    let covers = |wide: &Block, narrow: &Block| {
        let follows = |wanted: &Condition| wanted.is_always() || narrow.iter().any(|own| own.implies(wanted));
        wide.iter().all(follows)
    };
    let mut by: Vec<usize> = rule
        .iter()
        .map(|block| earlier.iter().position(|blocks| blocks.iter().any(|wide| covers(wide, block))))
        .collect::<Option<_>>()?;
    by.sort_unstable();
    by.dedup();
    Some(by)
}

impl Condition {
    /// Whether every request meets it.
    fn is_always(&self) -> bool {
        !self.negated && self.any.iter().any(|pattern| self.attribute.is_always(pattern))
    }
}

/// Of the earlier rules that cover a rule together, as few as leaving out one after the other gives.
fn smallest_union(judge: &Judge<'_>, earlier: &[Vec<Block>], rule: &[Block]) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..earlier.len()).collect();
    for left_out in (0..earlier.len()).rev() {
        let fewer: Vec<usize> = kept.iter().copied().filter(|number| *number != left_out).collect();
        let chosen: Vec<Vec<Block>> = fewer.iter().map(|number| earlier[*number].clone()).collect();
        if check_all(&[takes(&chosen, rule)], judge.options.rlimit).first() == Some(&Answer::Unsat) {
            kept = fewer;
        }
    }
    kept
}

fn finding(service: &VirtualService, number: usize, subject: Subject, by: &[usize]) -> Finding {
    let place = |number: usize| -> Location { service.http[number].at.clone() };
    let name = |number: &usize| match &service.http[*number].name {
        Some(name) => format!("`{}`", name.value),
        None => format!("`http[{number}]`"),
    };
    let names: Vec<String> = by.iter().map(name).collect();
    let message = match names.len() {
        0 => format!("{} matches no request at all", name(&number)),
        1 => format!("{} never acts: {} before it takes all of its requests", name(&number), names[0]),
        _ => format!("{} never acts: {} before it take all of its requests", name(&number), listed(&names)),
    };
    let mut finding = Finding::new(&SHADOWED_ROUTE, subject, message)
        .at(place(number))
        .help("move it before the rules that shadow it, or remove it");
    for number in by {
        finding = finding.related(place(*number), "this rule comes first");
    }
    finding
}
