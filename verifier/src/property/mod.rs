//! One file for each property: what it states, how it is decided, checked again and shown.

pub(crate) mod breaker_below_load;
pub(crate) mod breaker_beyond_capacity;
pub(crate) mod dead_authorization;
pub(crate) mod dead_retries;
pub(crate) mod early_redelivery;
pub(crate) mod emptied_cluster;
pub(crate) mod hasty_rollback;
pub(crate) mod hopeless_call;
pub(crate) mod identity_in_plaintext;
pub(crate) mod late_wave;
pub(crate) mod local_limit;
pub(crate) mod mtls;
pub(crate) mod no_spare_zone;
pub(crate) mod outlier_inert;
pub(crate) mod outlived_certificate;
pub(crate) mod overload;
pub(crate) mod retry_amplification;
pub(crate) mod rollout;
pub(crate) mod shadowed_route;
pub(crate) mod stuck_drain;
pub(crate) mod timeout_inversion;
pub(crate) mod unmet_objective;
pub(crate) mod unretried_timeout;

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Mutex, PoisonError},
};

use meshproof_model::{Finding, FindingVerdict, Mesh, Nanos, Rule, Severity, Subject, Value, istio::VirtualService};
use rayon::prelude::*;

use crate::{
    Engine, Report, VerifyOptions,
    graph::Graph,
    staging::Staging,
    term::Query,
    z3::{Answer, check_all, check_one},
};

/// What every property reads.
pub(crate) struct Judge<'a> {
    /// The mesh.
    pub mesh: &'a Mesh,
    /// Its calls with their effective policies.
    pub graph: &'a Graph,
    /// What is asked.
    pub options: &'a VerifyOptions,
    /// Queries that were put to Z3, where they are wanted.
    pub asked: Asked,
    /// The mesh with what witnesses bring along.
    pub staging: Staging,
}

/// Queries that were put to Z3, each once.
#[derive(Default)]
pub(crate) struct Asked {
    /// All of them, where they are wanted.
    kept: Mutex<BTreeMap<Query, &'static str>>,
    /// Answers to queries that were asked alone, in a context of their own, so that they depend on the query only.
    alone: Mutex<BTreeMap<Query, Answer>>,
}

impl Asked {
    fn add(&self, queries: &[Query], answers: &[Answer]) {
        let status = |answer: &Answer| match answer {
            Answer::Unsat => "unsat",
            Answer::Sat(_) => "sat",
            Answer::Unknown(_) => "unknown",
        };
        let both = queries.iter().cloned().zip(answers.iter().map(status));
        self.kept.lock().unwrap_or_else(PoisonError::into_inner).extend(both);
    }

    /// As SMT-LIB, in the order of their contents.
    pub(crate) fn scripts(&self) -> Vec<String> {
        let kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.iter().map(|(query, status)| crate::smt::script(query, status)).collect()
    }

    /// Z3's answer to one query.
    fn alone(&self, query: &Query, rlimit: u32) -> Answer {
        let known = || self.alone.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(answer) = known().get(query) {
            return answer.clone();
        }
        let answer = check_one(query, rlimit);
        known().insert(query.clone(), answer.clone());
        answer
    }

    /// Z3's answers to several queries, in order. Like queries are asked once, in groups that are made by their contents.
    fn together(&self, queries: &[Query], rlimit: u32) -> Vec<Answer> {
        if let [one] = queries {
            return vec![self.alone(one, rlimit)];
        }
        let distinct: Vec<&Query> = queries.iter().collect::<BTreeSet<_>>().into_iter().collect();
        let groups: Vec<&[&Query]> = distinct.chunks(GROUP).collect();
        let answers: Vec<Vec<Answer>> = groups.par_iter().map(|group| check_all(group, rlimit)).collect();
        let answers: BTreeMap<&Query, Answer> = distinct.into_iter().zip(answers.into_iter().flatten()).collect();
        queries.iter().filter_map(|query| answers.get(query).cloned()).collect()
    }
}

/// Queries that share a context of Z3: a context costs as much as some of them.
const GROUP: usize = 64;

/// A property, with the rules that it judges.
pub(crate) type Property = (&'static [&'static Rule], fn(&Judge<'_>) -> Report);

/// Every property, in the order of the rules.
pub(crate) static PROPERTIES: &[Property] = &[
    (&[&meshproof_model::SHADOWED_ROUTE], shadowed_route::check),
    (&[&meshproof_model::RETRY_AMPLIFICATION], retry_amplification::check),
    (&[&meshproof_model::TIMEOUT_INVERSION], timeout_inversion::check),
    (&[&meshproof_model::DEAD_RETRIES], dead_retries::check),
    (&[&meshproof_model::UNRETRIED_TIMEOUT], unretried_timeout::check),
    (&[&meshproof_model::HOPELESS_CALL], hopeless_call::check),
    (&[&meshproof_model::UNMET_OBJECTIVE], unmet_objective::check),
    (&[&meshproof_model::OUTLIER_INERT], outlier_inert::check),
    (&[&meshproof_model::BREAKER_BEYOND_CAPACITY], breaker_beyond_capacity::check),
    (&[&meshproof_model::BREAKER_BELOW_LOAD], breaker_below_load::check),
    (&[&meshproof_model::EMPTIED_CLUSTER], emptied_cluster::check),
    (&[&meshproof_model::LIMIT_BEYOND_CAPACITY, &meshproof_model::LIMIT_BELOW_LOAD], local_limit::check),
    (&[&meshproof_model::EARLY_REDELIVERY], early_redelivery::check),
    (&[&meshproof_model::LOAD_BEYOND_CAPACITY, &meshproof_model::SELF_SUSTAINED_OVERLOAD], overload::check),
    (&[&meshproof_model::PLAINTEXT_PATH, &meshproof_model::MTLS_OUTAGE], mtls::check),
    (&[&meshproof_model::IDENTITY_IN_PLAINTEXT], identity_in_plaintext::check),
    (&[&meshproof_model::DEAD_AUTHORIZATION], dead_authorization::check),
    (&[&meshproof_model::OUTLIVED_CERTIFICATE], outlived_certificate::check),
    (&[&meshproof_model::STUCK_DRAIN, &meshproof_model::LAX_BUDGET], stuck_drain::check),
    (&[&meshproof_model::NO_SPARE_ZONE], no_spare_zone::check),
    (
        &[&meshproof_model::SLOW_ROLLBACK, &meshproof_model::BLIND_ANALYSIS, &meshproof_model::COARSE_WEIGHT],
        rollout::check,
    ),
    (&[&meshproof_model::LATE_WAVE], late_wave::check),
    (&[&meshproof_model::HASTY_ROLLBACK], hasty_rollback::check),
    (crate::intent::RULES, crate::intent::check),
];

/// What Z3 says of a claim that no query of a group is satisfiable.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Check {
    /// The same.
    Confirmed,
    /// It met its limit.
    Undecided(String),
    /// The opposite.
    Refuted,
}

impl Judge<'_> {
    /// The engine that decides a second time where that is wanted of every verdict.
    pub(crate) fn second(&self, engine: Engine) -> Option<Engine> {
        self.options.paranoid.then_some(engine)
    }

    /// Asks Z3 about a group of queries of which none may be satisfiable.
    pub(crate) fn none_satisfiable(&self, queries: &[Query]) -> Check {
        let answers = self.each_unsatisfiable(queries);
        let refuted = answers.iter().find(|answer| **answer == Check::Refuted);
        refuted
            .or_else(|| answers.iter().find(|answer| **answer != Check::Confirmed))
            .cloned()
            .unwrap_or(Check::Confirmed)
    }

    /// Asks Z3 about each query of a group whether it is unsatisfiable.
    pub(crate) fn each_unsatisfiable(&self, queries: &[Query]) -> Vec<Check> {
        let check = |answer| match answer {
            Answer::Unsat => Check::Confirmed,
            Answer::Sat(_) => Check::Refuted,
            Answer::Unknown(reason) => Check::Undecided(reason),
        };
        let answers = self.asked.together(queries, self.options.rlimit);
        if self.options.keep_queries {
            self.asked.add(queries, &answers);
        }
        answers.into_iter().map(check).collect()
    }
}

impl Report {
    /// Two engines said opposite things of this.
    pub(crate) fn disagree(&mut self, rule: &Rule, subject: &Subject, what: &str) {
        self.disagreements.push(format!("{} {subject}: {what}", rule.code));
    }

    /// Z3 met its limit on this.
    pub(crate) fn undecided(&mut self, rule: &'static Rule, subject: Subject, reason: &str) {
        let mut finding = Finding::new(rule, subject, format!("not decided: {reason}"))
            .help("raise the limit on solver steps, or judge a part of the mesh");
        finding.verdict = FindingVerdict::Unknown;
        finding.severity = Severity::Warning;
        self.findings.push(finding);
    }
}

/// A route of a `VirtualService`, by its name or its number.
pub(crate) fn route_subject(service: &VirtualService, number: usize) -> Subject {
    let name = service.http.get(number).and_then(|route| route.name.as_ref()).map(|name| name.value.clone());
    let route = name.unwrap_or_else(|| format!("http[{number}]"));
    Subject::Route { resource: service.meta.resource.clone(), route }
}

/// A length of time in milliseconds, for values whose key ends in `_ms`.
pub(crate) fn millis(time: Nanos) -> Value {
    if time.get().is_multiple_of(1_000_000) {
        return Value::Int(time.as_millis());
    }
    #[allow(clippy::cast_precision_loss, reason = "for people")]
    Value::Float(time.get() as f64 / 1e6)
}

/// `a`, `a and b`, `a, b and c`.
pub(crate) fn listed(names: &[String]) -> String {
    match names {
        [] => "nobody".to_owned(),
        [one] => one.clone(),
        [first @ .., last] => format!("{} and {last}", first.join(", ")),
    }
}
