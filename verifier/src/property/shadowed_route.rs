//! `MP0301` shadowed-route (`P5`).
//!
//! **Statement.** For each HTTP rule of each `VirtualService` there is a request that it takes: one that it matches and
//! no earlier rule does. Ports, gateways, namespaces and labels of clients are part of the request.
//!
//! **Decided by** an example where one is easily found: a request that is evaluated on the rule and on every earlier
//! one. Else by subsumption (one earlier match block whose conditions all follow from this one's) and Z3, which also
//! sees that several earlier blocks together cover a rule. For Z3 patterns are truth values with the axioms of
//! [`Patterns`]: no theory of strings. Each of its answers is made a request and evaluated; patterns that turn out to
//! have no common value become a clause, and Z3 is asked again. Regular expressions take part through products of
//! automata; what those cannot tell counts as possible, so that no live rule is called dead.

use meshproof_model::{
    Finding, Located, Location, SHADOWED_ROUTE, Subject,
    istio::{HttpMatch, HttpRoute, StringMatch, VirtualService},
};

use rayon::prelude::*;

use super::{Judge, listed};
use crate::{
    Engine, Proof, Report,
    assumption::{APPLIED, NO_PATCHES},
    patterns::{Attribute, Pattern},
    term::Bool,
};

mod reach;
mod request;
#[cfg(test)]
mod tests;

use reach::{Reach, by_search, by_solver, reach};

/// Judges every rule of every `VirtualService`.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let parts: Vec<Report> =
        judge.mesh.virtual_services.par_iter().map(|service| check_service(judge, service)).collect();
    let mut report = Report::default();
    for part in parts {
        report.absorb(part);
    }
    report
}

/// Whether a rule takes some request; `None`: not decided.
pub(crate) fn takes_some(service: &VirtualService, number: usize, rlimit: u32) -> Option<bool> {
    let rules: Vec<Vec<Block>> = service.http.iter().map(|rule| blocks(service, rule)).collect();
    match reach(&earlier(&rules[..number]), &rules[number], rlimit) {
        Reach::Takes(..) | Reach::Possible => Some(true),
        Reach::Never => Some(false),
        Reach::Undecided(_) | Reach::Disagreement(_) => None,
    }
}

fn check_service(judge: &Judge<'_>, service: &VirtualService) -> Report {
    let mut report = Report::default();
    let rules: Vec<Vec<Block>> = service.http.iter().map(|rule| blocks(service, rule)).collect();
    for number in 0..rules.len() {
        let subject = super::route_subject(service, number);
        let proof = |engine| Proof::new(&SHADOWED_ROUTE, subject.clone(), engine, None).assuming([NO_PATCHES, APPLIED]);
        let rlimit = judge.options.rlimit;
        match reach(&earlier(&rules[..number]), &rules[number], rlimit) {
            Reach::Takes(request, by_z3) => {
                let engine = if by_z3 { Engine::Z3 } else { Engine::Sat };
                let mut proof = proof(engine).value("request", request.to_string());
                if judge.options.paranoid {
                    // A request of Z3's was evaluated; one that was evaluated is put to Z3.
                    let second = if by_z3 { Some(Engine::Sat) } else { Some(Engine::Z3) };
                    match if by_z3 { Some(true) } else { by_solver(&earlier(&rules[..number]), &rules[number], rlimit) }
                    {
                        Some(true) => proof.checked_by = second,
                        Some(false) => {
                            let what = format!("`{request}` takes the rule, and Z3 says that nothing does");
                            report.disagree(&SHADOWED_ROUTE, &subject, &what);
                        }
                        None => {}
                    }
                }
                report.proofs.push(proof);
            }
            Reach::Possible => report.proofs.push(proof(Engine::Z3)),
            Reach::Never => {
                if judge.options.paranoid && by_search(&earlier(&rules[..number]), &rules[number]) == Some(true) {
                    report.disagree(
                        &SHADOWED_ROUTE,
                        &subject,
                        "the search finds a request, and Z3 says that nothing takes it",
                    );
                }
                let by = coverers(&rules[..number], &rules[number])
                    .unwrap_or_else(|| smallest_union(judge, &rules[..number], &rules[number]));
                report.findings.push(finding(service, number, subject, &by));
            }
            Reach::Undecided(reason) => report.undecided(&SHADOWED_ROUTE, subject, &reason),
            Reach::Disagreement(request) => {
                let what = format!("Z3's request `{request}` does not take the rule when it is evaluated");
                report.disagree(&SHADOWED_ROUTE, &subject, &what);
            }
        }
    }
    report
}

/// The blocks of rules, in order.
fn earlier(rules: &[Vec<Block>]) -> Vec<&Block> {
    rules.iter().flatten().collect()
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
    // Regular expressions keep their case (`RT-3`).
    let is_regex = matches!(block.uri.as_ref().map(|uri| &uri.value), Some(StringMatch::Regex(_)));
    let folds = block.ignore_uri_case && !is_regex;
    let path = if folds { Attribute::FoldedPath } else { Attribute::Path };
    let single = [
        (path, &block.uri, folds),
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

/// What a block asks for; `term`: the truth value of an attribute's being in a pattern.
fn block_term(term: &mut impl FnMut(&Attribute, &Pattern) -> Bool, block: &Block) -> Bool {
    let terms = block.iter().map(|condition| {
        let attribute = &condition.attribute;
        let mut any: Vec<Bool> = condition.any.iter().map(|pattern| term(attribute, pattern)).collect();
        if !condition.negated {
            return Bool::Or(any);
        }
        // A header that is absent counts as empty, but for the mere question whether it is there (`RT-3`).
        if condition.any.iter().any(|p| *p != Pattern::Present && p.contains("") == Some(true)) {
            any.push(!term(attribute, &Pattern::Present));
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
fn smallest_union(judge: &Judge<'_>, before: &[Vec<Block>], rule: &[Block]) -> Vec<usize> {
    let mut kept: Vec<usize> = (0..before.len()).collect();
    for left_out in (0..before.len()).rev() {
        let fewer: Vec<usize> = kept.iter().copied().filter(|number| *number != left_out).collect();
        let chosen: Vec<&Block> = fewer.iter().flat_map(|number| &before[*number]).collect();
        if reach(&chosen, rule, judge.options.rlimit) == Reach::Never {
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
