//! `MP0610` dead-authorization (`P4`: vacuity).
//!
//! **Statement.** For each rule of each `AuthorizationPolicy` that holds for some port there is a request to one of
//! these ports that the rule matches, from some peer: one without an identity, or with one of the mesh's.
//!
//! **Decided by** a search over all requests of each port ([`search`]), **checked by** Z3 where there is none. A rule
//! that allows and asks for what only requests of HTTP show is not there on other ports (`AZ-8`); one that no port has is
//! dead.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_model::{DEAD_AUTHORIZATION, Finding, FindingVerdict, ResourceRef, Subject, rule_name};
use meshproof_proxy::config::{Filter, RbacPolicy};

use super::Judge;
use crate::{
    Engine, Proof, Report,
    access::{Access, Atoms, Outcome, Peer, Recheck, Seen, recheck, request_line, rule_matches, search},
    assumption::{APPLIED, INJECTED, NO_PATCHES},
    patterns::{Attribute, Pattern},
    term::Bool,
};

/// What is known of a rule, over the ports that its policy holds for.
enum Known {
    /// Some request matches.
    Matches(String),
    /// None does on the ports that were looked at.
    Never,
    /// It is not decided.
    Undecided(String),
    /// The search and Z3 say different things.
    Disagreement,
}

/// Judges every rule of every policy.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let mesh = judge.mesh;
    let mut report = Report::default();
    if mesh.authorization_policies.iter().all(|policy| policy.rules.is_empty()) {
        return report;
    }
    let access = Access::new(mesh);
    let (rules, attached) = known(judge, &access);
    for policy in mesh.authorization_policies.iter().filter(|policy| attached.contains(&policy.meta.resource)) {
        let subject = Subject::Resource(policy.meta.resource.clone());
        for (number, rule) in policy.rules.iter().enumerate() {
            match rules.get(&(policy.meta.namespace(), policy.meta.name(), number)) {
                Some(Known::Matches(request)) => {
                    let proof = Proof::new(&DEAD_AUTHORIZATION, subject.clone(), Engine::Sat, judge.second(Engine::Z3));
                    let proof = proof.value("rule", number as u64).value("request", request.as_str());
                    report.proofs.push(proof.assuming([NO_PATCHES, INJECTED, APPLIED]));
                }
                Some(Known::Undecided(reason)) => report.undecided(&DEAD_AUTHORIZATION, subject.clone(), reason),
                Some(Known::Disagreement) => {
                    report.disagree(
                        &DEAD_AUTHORIZATION,
                        &subject,
                        "the search for a request and Z3 say different things",
                    );
                }
                never => {
                    let why = if never.is_some() {
                        "no request meets all of its conditions"
                    } else {
                        "it asks for what only requests of HTTP show, and its ports take connections"
                    };
                    let message = format!("rule {number} of {} never matches: {why}", policy.meta.resource);
                    let mut finding = Finding::new(&DEAD_AUTHORIZATION, subject.clone(), message)
                        .at(rule.at.clone().unwrap_or_else(|| policy.meta.at.clone()))
                        .help("mend the conditions that exclude each other, or remove the rule");
                    finding.verdict = FindingVerdict::Lint;
                    report.findings.push(finding);
                }
            }
        }
    }
    report
}

type Rules<'m> = BTreeMap<(&'m str, &'m str, usize), Known>;

/// What is known of every rule that some port has, and the policies that hold for some port.
fn known<'m>(judge: &Judge<'m>, access: &Access<'m>) -> (Rules<'m>, BTreeSet<ResourceRef>) {
    let mut rules: Rules<'m> = BTreeMap::new();
    let mut attached = BTreeSet::new();
    let mut asked = Answers::new();
    let names: BTreeMap<(&str, &str), &meshproof_model::Meta> = judge
        .mesh
        .authorization_policies
        .iter()
        .map(|policy| ((policy.meta.namespace(), policy.meta.name()), &policy.meta))
        .collect();
    for (number, server) in access.servers.iter().enumerate().filter(|(number, _)| access.is_guarded(*number)) {
        let lowered = access.inbound(number);
        for listener in &lowered.config.listeners {
            for filter in &listener.filters {
                let policies: &[RbacPolicy] = match filter {
                    Filter::Rbac(rbac) => rbac.rules.as_ref().map_or(&[], |rules| &rules.policies),
                    Filter::ExtAuthz(asked) => asked.filter_enabled.as_ref().map_or(&[], |rules| &rules.policies),
                    _ => &[],
                };
                for policy in policies {
                    let Some(name) = rule_name(&policy.name) else { continue };
                    let Some(meta) = names.get(&(name.namespace, name.name)) else { continue };
                    let key = (meta.namespace(), meta.name(), name.rule);
                    // One request is enough, and what is not decided may be on the next port.
                    if !matches!(rules.get(&key), Some(Known::Matches(_) | Known::Disagreement)) {
                        rules.insert(key, matches(judge, policy, server.port, &mut asked));
                    }
                }
            }
        }
        let policies = lowered.provenance.listeners.iter().flat_map(|listener| &listener.policies);
        attached.extend(policies.map(|(resource, _)| resource.clone()));
    }
    (rules, attached)
}

/// What was found for formulas that were asked before: rules often differ in their names only.
type Answers = BTreeMap<(Bool, Vec<(Attribute, Pattern)>), (Outcome, Recheck)>;

fn matches(judge: &Judge<'_>, policy: &RbacPolicy, port: u16, asked: &mut Answers) -> Known {
    let mut known = Known::Never;
    for peer in [Peer::Anyone, Peer::Plaintext] {
        let mut atoms = Atoms::default();
        let formula = rule_matches(policy, Seen { peer: &peer, port }, &mut atoms);
        let decide = || {
            let found = search(&formula, &atoms);
            let again = match found {
                Outcome::Request(_) if !judge.options.paranoid => Recheck::Some,
                Outcome::Unknown(_) => Recheck::Some,
                _ => recheck(&formula, &atoms, judge.options.rlimit),
            };
            (found, again)
        };
        match asked.entry((formula.clone(), atoms.list().to_vec())).or_insert_with(decide).clone() {
            (Outcome::Request(_), Recheck::None) | (Outcome::Nothing, Recheck::Some) => return Known::Disagreement,
            (Outcome::Request(fields), _) => return Known::Matches(request_line(&fields)),
            (Outcome::Unknown(reason), _) => known = Known::Undecided(reason.to_owned()),
            (Outcome::Nothing, Recheck::None) => {}
            (Outcome::Nothing, Recheck::Undecided(reason)) => known = Known::Undecided(reason),
        }
    }
    known
}
