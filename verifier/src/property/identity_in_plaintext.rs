//! `MP0609` identity-in-plaintext (`P4`).
//!
//! **Statement.** Where a rule of an `AuthorizationPolicy` asks who the peer is, every link to the ports that it holds
//! for is mutual TLS: a peer that speaks plaintext shows no identity. A rule that allows by identity then refuses it, a
//! rule that denies by identity lets it pass, and so does one that allows all but some.
//!
//! **Decided by** looking up what each port accepts (`11.6`), for every port of every workload that the policy holds
//! for: exact.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_model::{
    Finding, FindingVerdict, IDENTITY_IN_PLAINTEXT, Located, Location, ResourceRef, Subject, Transport,
    istio::{AuthorizationAction, AuthorizationPolicy, AuthorizationRule, MtlsMode},
};

use super::{
    Check, Judge, listed,
    mtls::{Facts, Outcome, proposition},
};
use crate::{
    Engine, Proof, Report,
    access::Access,
    assumption::{APPLIED, INJECTED, NO_PATCHES},
};

/// Ports on which a policy holds.
#[derive(Default)]
struct Ports {
    /// Those that take plaintext, as `workload:port`, with what decides that.
    open: BTreeMap<String, Option<Location>>,
    all: BTreeSet<String>,
    /// What they accept.
    modes: BTreeSet<Option<MtlsMode>>,
}

/// Judges every policy that asks for an identity.
pub(crate) fn check(judge: &Judge<'_>) -> Report {
    let mesh = judge.mesh;
    let mut report = Report::default();
    let asking: Vec<(&AuthorizationPolicy, Asked<'_>)> = mesh
        .authorization_policies
        .iter()
        .filter(|policy| !policy.dry_run && policy.action.value != AuthorizationAction::Audit)
        .filter_map(|policy| Some((policy, asked(policy)?)))
        .collect();
    if asking.is_empty() {
        return report;
    }
    let ports = ports_of_policies(&Access::new(mesh));
    for (policy, asked) in asking {
        let Some(ports) = ports.get(&policy.meta.resource) else { continue };
        if ports.open.is_empty() {
            let proof = Proof::new(
                &IDENTITY_IN_PLAINTEXT,
                Subject::Resource(policy.meta.resource.clone()),
                Engine::Fixpoint,
                judge.second(Engine::Z3),
            );
            if judge.options.paranoid && ports.modes.iter().any(|mode| !is_strict_for_z3(judge, *mode)) {
                let subject = Subject::Resource(policy.meta.resource.clone());
                report.disagree(&IDENTITY_IN_PLAINTEXT, &subject, "Z3 finds plaintext at a port that takes none");
            }
            let shown: Vec<&str> = ports.all.iter().map(String::as_str).collect();
            report.proofs.push(proof.value("ports", shown.join(", ")).assuming([NO_PATCHES, INJECTED, APPLIED]));
        } else {
            report.findings.push(finding(policy, &asked, ports));
        }
    }
    report
}

/// The first condition on the identity of a policy.
struct Asked<'a> {
    value: &'a Located<String>,
    /// Whether it is met by a peer that shows none.
    is_negated: bool,
}

fn asked(policy: &AuthorizationPolicy) -> Option<Asked<'_>> {
    policy.rules.iter().find_map(asked_by_rule)
}

fn asked_by_rule(rule: &AuthorizationRule) -> Option<Asked<'_>> {
    let sources = rule.from.iter().flat_map(|source| {
        let positive = [&source.principals, &source.namespaces, &source.service_accounts].into_iter().flatten();
        let negated =
            [&source.not_principals, &source.not_namespaces, &source.not_service_accounts].into_iter().flatten();
        let named = positive.map(|value| Asked { value, is_negated: false });
        named.chain(negated.map(|value| Asked { value, is_negated: true }))
    });
    let conditions = rule.when.iter().filter(|condition| {
        matches!(condition.key.value.as_str(), "source.principal" | "source.namespace" | "source.serviceAccount")
    });
    let conditions = conditions.flat_map(|condition| {
        let values = condition.values.iter().map(|value| Asked { value, is_negated: false });
        values.chain(condition.not_values.iter().map(|value| Asked { value, is_negated: true }))
    });
    sources.chain(conditions).next()
}

/// Whether Z3 says the same of a port that takes no plaintext.
fn is_strict_for_z3(judge: &Judge<'_>, mode: Option<MtlsMode>) -> bool {
    let link = Facts { transport: Transport::Plaintext, mode, is_http: true };
    judge.none_satisfiable(&[proposition(&[link], Outcome::Plaintext)]) == Check::Confirmed
}

fn ports_of_policies(access: &Access<'_>) -> BTreeMap<ResourceRef, Ports> {
    let mut found: BTreeMap<ResourceRef, Ports> = BTreeMap::new();
    for (number, server) in access.servers.iter().enumerate().filter(|(number, _)| access.is_guarded(*number)) {
        let name = format!("{}:{}", access.mesh.workload(server.workload).full_name(), server.port);
        let lowered = access.inbound(number);
        for (policy, _) in lowered.provenance.listeners.iter().flat_map(|listener| &listener.policies) {
            let ports = found.entry(policy.clone()).or_default();
            ports.all.insert(name.clone());
            ports.modes.insert(server.mode);
            if server.mode != Some(MtlsMode::Strict) {
                ports.open.insert(name.clone(), server.origin.location().cloned());
            }
        }
    }
    found
}

fn finding(policy: &AuthorizationPolicy, asked: &Asked<'_>, ports: &Ports) -> Finding {
    let names: Vec<String> = ports.open.keys().map(|name| format!("`{name}`")).collect();
    let shown = if names.len() > 3 {
        listed(&names[..2].iter().cloned().chain([format!("{} others", names.len() - 2)]).collect::<Vec<_>>())
    } else {
        listed(&names)
    };
    let passes = match policy.action.value {
        AuthorizationAction::Deny | AuthorizationAction::Custom => !asked.is_negated,
        AuthorizationAction::Allow | AuthorizationAction::Audit => asked.is_negated,
    };
    let what = if passes { "passes by the rule" } else { "is refused, whoever sends it" };
    let (name, value) = (&policy.meta.resource, &asked.value.value);
    let message = format!(
        "{name} asks for an identity (`{value}`), but {shown} {} plaintext, which shows none: such a request {what}",
        if names.len() == 1 { "accepts" } else { "accept" }
    );
    let mut finding = Finding::new(&IDENTITY_IN_PLAINTEXT, Subject::Resource(name.clone()), message)
        .at(asked.value.at.clone())
        .help("let a PeerAuthentication with mode STRICT cover these ports")
        .value("ports", ports.open.len() as u64);
    finding.verdict = FindingVerdict::Lint;
    let places: BTreeSet<&Location> = ports.open.values().flatten().collect();
    for at in places.into_iter().take(3) {
        finding = finding.related(at.clone(), "plaintext is accepted because of this");
    }
    finding
}
