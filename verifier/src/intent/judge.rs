//! From assertions to verdicts: instance by instance, with what breaks each.

use std::collections::BTreeMap;

use meshproof_model::{
    Finding, FindingVerdict, INTENT_VIOLATED, ResourceRef, Severity, Subject, UNREADABLE_INTENT, VACUOUS_INTENT,
};

use super::{
    IntentError, IntentFile,
    ast::{Assertion, Quantifier},
    blame,
    element::Element,
    eval::Maker,
    world::{Env, World},
};
use crate::{
    Engine, Proof, Report, VerifyOptions,
    access::{Fields, Outcome, Recheck, constant, holds, recheck, request_line, search},
    failures::Failure,
    property::Judge,
    term::Bool,
};

/// Judges every intent.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let mut report = Report::default();
    for file in judge.options.intents.files() {
        if !file.errors.is_empty() {
            report.findings.extend(file.errors.iter().map(|error| file.unreadable(error)));
            continue;
        }
        for assertion in &file.spec.assertions {
            let rlimit = assertion.limit.unwrap_or(judge.options.rlimit);
            let options = VerifyOptions { rlimit, ..judge.options.clone() };
            let world = World::new(judge.mesh, judge.graph, &file.spec.lets, &options);
            let assertion = Judged { world: &world, file, assertion };
            report.absorb(assertion.judge());
        }
    }
    report
}

/// One assertion on one mesh.
pub(super) struct Judged<'j, 'a> {
    pub(super) world: &'j World<'a>,
    pub(super) file: &'j IntentFile,
    pub(super) assertion: &'j Assertion,
}

/// What is known of an assertion, or of a part of its instances.
#[derive(Default)]
pub(super) struct Found {
    /// What breaks it.
    pub(super) counters: Vec<Counter>,
    /// Why it is not known of some.
    pub(super) undecided: Option<String>,
    /// Instances whose premise can hold.
    pub(super) instances: u64,
    /// An instance, for people.
    pub(super) example: Option<String>,
    /// Whether requests were searched, and whether Z3 says the same.
    pub(super) searched: bool,
    pub(super) disagreement: Option<String>,
}

/// An instance that breaks an assertion.
pub(super) struct Counter {
    pub(super) env: Env,
    /// The request, if one is needed.
    pub(super) fields: Option<Fields>,
}

impl Judged<'_, '_> {
    /// Says at the assertion why it is not decided.
    pub(super) fn undecided(&self, report: &mut Report, reason: &str) {
        report.undecided(&INTENT_VIOLATED, self.subject(), reason);
        if let Some(finding) = report.findings.last_mut() {
            finding.message = format!("intent \"{}\" is not decided: {reason}", self.assertion.name.text);
            finding.location = Some(self.location());
        }
    }

    fn judge(&self) -> Report {
        let mut report = Report::default();
        match self.unchanged() {
            Some(Ok(report)) => return report,
            Some(Err(error)) => {
                report.findings.push(self.file.unreadable(&error));
                return report;
            }
            None => {}
        }
        let found = match self.descend(&self.assertion.quantifiers, &Env::default()) {
            Ok(found) => found,
            Err(error) => {
                report.findings.push(self.file.unreadable(&error));
                return report;
            }
        };
        let subject = self.subject();
        if self.world.disagrees.get() {
            report.disagree(&INTENT_VIOLATED, &subject, "what stays up is not what does not go down");
        } else if let Some(what) = found.disagreement {
            report.disagree(&INTENT_VIOLATED, &subject, &what);
        } else if !found.counters.is_empty() {
            report.findings.extend(self.findings(&found.counters));
        } else if let Some(reason) = found.undecided {
            self.undecided(&mut report, &reason);
        } else if found.instances == 0 && !self.assertion.allow_vacuous {
            report.findings.push(self.vacuous());
        } else {
            let (engine, checked) =
                if found.searched { (Engine::Sat, Some(Engine::Z3)) } else { (Engine::Fixpoint, None) };
            let mut proof = Proof::new(&INTENT_VIOLATED, subject, engine, checked).value("instances", found.instances);
            if let Some(example) = found.example {
                proof = proof.value("example", example);
            }
            report.proofs.push(proof.assuming(blame::assumptions(self.assertion)));
        }
        report
    }

    /// Goes through the elements of the outermost quantifier.
    fn descend(&self, rest: &[Quantifier], env: &Env) -> Result<Found, IntentError> {
        let Some((first, further)) = rest.split_first() else { return Ok(self.leaf(env)) };
        let mut all = Found::default();
        let mut holds_of_one = false;
        let elements = self.world.elements(&first.set)?;
        for element in elements {
            let inner_env = env.with(&first.variable.text, element.clone());
            let found = if let Element::Request(..) = element {
                self.requests(first, further, &inner_env)
            } else {
                match self.admits(first, &inner_env) {
                    Ok(true) => self.descend(further, &inner_env)?,
                    Ok(false) => continue,
                    Err(reason) => Found { undecided: Some(reason), ..Found::default() },
                }
            };
            if !first.is_all && found.counters.is_empty() && found.undecided.is_none() && found.instances > 0 {
                holds_of_one = true;
                all = found;
                break;
            }
            all.add(found);
        }
        if !first.is_all && !holds_of_one && all.undecided.is_none() {
            // None will do: that is one fault, whatever breaks each of them.
            all.counters = vec![Counter { env: env.clone(), fields: None }];
            all.instances = 1;
        }
        Ok(all)
    }

    /// Whether an element is one of those that are meant.
    fn admits(&self, quantifier: &Quantifier, env: &Env) -> Result<bool, String> {
        let Some(filter) = &quantifier.filter else { return Ok(true) };
        let mut maker = Maker::new(self.world);
        Ok(maker.pred(filter, env, true)?.eval(&crate::term::Assignment::default()))
    }

    /// An instance in which everything is known.
    fn leaf(&self, env: &Env) -> Found {
        if let Some(found) = self.release(env) {
            return found;
        }
        let mut maker = Maker::new(self.world);
        let known = crate::term::Assignment::default();
        let decided = maker.premise(self.assertion.when.as_ref(), env, true).and_then(|premise| {
            let holds = maker.holds(&[], (self.assertion.when.as_ref(), &self.assertion.goals), env, false)?;
            Ok((premise.eval(&known), holds.eval(&known)))
        });
        match decided {
            Err(reason) => Found { undecided: Some(reason), ..Found::default() },
            Ok((premise, holds)) => Found {
                counters: if holds { Vec::new() } else { vec![Counter { env: env.clone(), fields: None }] },
                instances: u64::from(premise),
                ..Found::default()
            },
        }
    }

    /// An instance in which a request is free.
    fn requests(&self, quantifier: &Quantifier, further: &[Quantifier], env: &Env) -> Found {
        match self.try_requests(quantifier, further, env) {
            Ok(found) => found,
            Err(reason) => Found { undecided: Some(reason), searched: true, ..Found::default() },
        }
    }

    fn try_requests(&self, quantifier: &Quantifier, further: &[Quantifier], env: &Env) -> Result<Found, String> {
        let mut found = Found { searched: true, ..Found::default() };
        let mut maker = Maker::new(self.world);
        let is_all = quantifier.is_all;
        let matter = (self.assertion.when.as_ref(), self.assertion.goals.as_slice());
        let filter = maker.premise(quantifier.filter.as_ref(), env, is_all)?;
        if constant(&filter) == Some(false) {
            if !is_all {
                found.counters.push(Counter { env: env.clone(), fields: None });
            }
            return Ok(found);
        }
        let body = maker.holds(further, matter, env, false)?;
        let asked = Bool::And(vec![filter.clone(), if is_all { !body } else { body }]);
        match search(&asked, &maker.atoms) {
            Outcome::Request(fields) if is_all => {
                found.instances = 1;
                if !holds(&asked, &maker.atoms, &fields) {
                    found.disagreement = Some("the request that was found does not break it".to_owned());
                }
                found.counters.push(Counter { env: env.clone(), fields: Some(fields) });
                return Ok(found);
            }
            Outcome::Request(fields) => {
                found.instances = 1;
                found.example = Some(request_line(&fields));
                return Ok(found);
            }
            Outcome::Unknown(reason) => return Err(reason.to_owned()),
            Outcome::Nothing => match recheck(&asked, &maker.atoms, self.world.options.rlimit) {
                Recheck::None => {}
                Recheck::Some => {
                    let what = "the search finds no request, and Z3 says that there is one";
                    found.disagreement = Some(what.to_owned());
                }
                Recheck::Undecided(reason) => found.undecided = Some(reason),
            },
        }
        if !is_all {
            found.counters.push(Counter { env: env.clone(), fields: None });
            return Ok(found);
        }
        // Whether any request is meant at all.
        let when = maker.premise(self.assertion.when.as_ref(), env, true)?;
        if let Outcome::Request(fields) = search(&Bool::And(vec![filter, when]), &maker.atoms) {
            found.instances = 1;
            let at = env.elements().next_back().map(|(_, element)| self.world.shown(element)).unwrap_or_default();
            found.example = Some(format!("{} between {at}", request_line(&fields)));
        }
        Ok(found)
    }

    fn findings(&self, counters: &[Counter]) -> Vec<Finding> {
        let counters = smallest(counters);
        // Requests of several clients to one port are one fault of that port.
        let mut groups: BTreeMap<Vec<Element>, Vec<&Counter>> = BTreeMap::new();
        for counter in counters {
            let key = counter.env.elements().map(|(_, element)| match element {
                Element::Request(_, server) => Element::Request(crate::access::Client::Outside, *server),
                other => other.clone(),
            });
            groups.entry(key.collect()).or_default().push(counter);
        }
        groups.into_values().map(|group| self.finding(&group)).collect()
    }

    fn finding(&self, group: &[&Counter]) -> Finding {
        let name = &self.assertion.name.text;
        let Some(first) = group.first() else { return self.vacuous() };
        let blame = blame::Blame::of(self, group);
        let message = format!("intent \"{name}\" does not hold{}", blame.message);
        let last = first.env.elements().next_back().and_then(|(_, element)| self.world.subject(element));
        let mut finding = Finding::new(&INTENT_VIOLATED, last.unwrap_or_else(|| self.subject()), message);
        finding.verdict = FindingVerdict::Violated;
        finding.severity = self.severity();
        finding.location = Some(self.location());
        finding.related = blame.places;
        finding.values.insert("intent", name.as_str().into());
        finding.values.extend(blame.values);
        finding.witness = blame.witness;
        finding.help = self.assertion.owner.as_ref().map(|owner| format!("`{owner}` owns this intent"));
        finding
    }

    fn vacuous(&self) -> Finding {
        let message = format!("intent \"{}\" holds only because nothing matches it", self.assertion.name.text);
        let mut finding = Finding::new(&VACUOUS_INTENT, self.subject(), message)
            .at(self.location())
            .help("name what it is about, or say that it may be empty: `assert \"...\" (allow-vacuous): ...`");
        finding.verdict = FindingVerdict::Vacuous;
        finding
    }

    pub(super) fn severity(&self) -> Severity {
        match self.assertion.severity.as_ref().map(|word| word.text.as_str()) {
            Some("warning") => Severity::Warning,
            Some("info") => Severity::Info,
            _ => INTENT_VIOLATED.severity,
        }
    }

    pub(super) fn subject(&self) -> Subject {
        Subject::Resource(ResourceRef {
            kind: "Intent".to_owned(),
            namespace: String::new(),
            name: self.assertion.name.text.clone(),
        })
    }

    pub(super) fn location(&self) -> meshproof_model::Location {
        self.file.location(self.assertion.name.span, "assert")
    }
}

/// Of sets of failures that break the same, only those without a smaller one inside.
fn smallest(counters: &[Counter]) -> Vec<&Counter> {
    let parts = |counter: &Counter| {
        let (mut failures, mut rest) = (Vec::new(), Vec::new());
        for (_, element) in counter.env.elements() {
            match element {
                Element::Failures(of) => failures.extend(of.clone()),
                other => rest.push(other.clone()),
            }
        }
        (rest, failures)
    };
    let all: Vec<(Vec<Element>, Vec<Failure>)> = counters.iter().map(parts).collect();
    let covers = |small: &Failure, large: &Failure| match (small, large) {
        (Failure::Pods(one, few), Failure::Pods(other, many)) => one == other && few <= many,
        _ => small == large,
    };
    let is_smallest = |number: usize| {
        let (rest, failures) = &all[number];
        !all.iter().enumerate().any(|(other, (other_rest, inside))| {
            other != number
                && other_rest == rest
                && inside != failures
                && inside.iter().all(|small| failures.iter().any(|large| covers(small, large)))
        })
    };
    counters.iter().enumerate().filter(|(number, _)| is_smallest(*number)).map(|(_, counter)| counter).collect()
}

impl Found {
    fn add(&mut self, other: Self) {
        self.counters.extend(other.counters);
        self.instances += other.instances;
        self.searched |= other.searched;
        self.undecided = self.undecided.take().or(other.undecided);
        self.example = self.example.take().or(other.example);
        self.disagreement = self.disagreement.take().or(other.disagreement);
    }
}

/// The rules that intents are judged by.
pub(crate) const RULES: &[&meshproof_model::Rule] = &[&INTENT_VIOLATED, &UNREADABLE_INTENT, &VACUOUS_INTENT];
