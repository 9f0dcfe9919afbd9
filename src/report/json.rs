//! The JSON of `verify` (`schema_version` 1).

use meshproof_model::{Finding, FindingVerdict, Location, ResourceRef, Severity, Sources, Subject};
use meshproof_verifier::Proof;
use serde_json::{Map, Value as Json, json};

use super::{Repaired, Verification, number};
use crate::{fingerprint::fingerprint, repair::Fix};

/// One document with everything.
pub(super) fn document(verification: &Verification<'_>) -> String {
    let mut summary = json!({
        "errors": verification.count(Severity::Error),
        "warnings": verification.count(Severity::Warning),
        "infos": verification.count(Severity::Info),
        "proved": verification.proofs.len(),
        "violated": verification.verdicts(FindingVerdict::Violated),
        "unknown": verification.verdicts(FindingVerdict::Unknown),
    });
    if let (Some(seconds), Some(map)) = (verification.seconds, summary.as_object_mut()) {
        map.insert("seconds".to_owned(), number::rounded(seconds, 3));
    }
    if let (Some(known), Some(map)) = (verification.in_baseline, summary.as_object_mut()) {
        map.insert("in_baseline".to_owned(), json!(known));
    }
    let unmodelled = verification.mesh.unmodelled.iter().map(|gap| {
        json!({
            "resource": gap.resource,
            "location": location(verification.sources, &gap.at),
            "reason": gap.reason,
        })
    });
    let mut document = json!({
        "schema_version": 1,
        "meshproof_version": env!("CARGO_PKG_VERSION"),
        "verdict": verification.verdict().name(),
        "summary": summary,
        "findings": findings(verification),
        "proofs": verification.proofs.iter().map(proof).collect::<Vec<_>>(),
        "assumptions": verification.assumptions.iter()
            .map(|a| json!({"id": a.id, "text": a.text})).collect::<Vec<_>>(),
        "unmodelled": unmodelled.collect::<Vec<_>>(),
    });
    if let (Some(repaired), Some(map)) = (&verification.repair, document.as_object_mut()) {
        map.insert("repair".to_owned(), repair(verification.sources, repaired));
    }
    format!("{document:#}\n")
}

fn repair(sources: &Sources, repaired: &Repaired<'_>) -> Json {
    let fix = |fix: &Fix| {
        json!({
            "code": fix.code,
            "subject": fix.subject.to_string(),
            "message": fix.message,
            "location": location(sources, &fix.location),
            "changes": fix.changes,
        })
    };
    json!({
        "applied": repaired.is_applied,
        "fixes": repaired.fixes.iter().map(fix).collect::<Vec<_>>(),
        "patch": repaired.patch,
        "untried": repaired.untried,
    })
}

/// One line for each finding, then one for each proof.
pub(super) fn lines(verification: &Verification<'_>) -> String {
    let proofs = verification.proofs.iter().map(proof);
    let lines: Vec<String> = findings(verification).into_iter().chain(proofs).map(|value| value.to_string()).collect();
    lines.join("\n") + "\n"
}

fn findings(verification: &Verification<'_>) -> Vec<Json> {
    let names = witness_names(&verification.findings);
    let all = verification.findings.iter().zip(names);
    all.map(|(finding, name)| one(verification.sources, finding, name.as_deref())).collect()
}

/// The file name of each finding's replayable witness: `witness-CODE-N.ron`, counted for each code.
pub fn witness_names(findings: &[Finding]) -> Vec<Option<String>> {
    let mut counts = std::collections::BTreeMap::new();
    let name = |finding: &Finding| {
        finding.witness.as_ref()?.scenario.as_ref()?;
        let count = counts.entry(finding.rule.code).and_modify(|n| *n += 1).or_insert(1);
        Some(format!("witness-{}-{count}.ron", finding.rule.code))
    };
    findings.iter().map(name).collect()
}

pub(super) fn one(sources: &Sources, finding: &Finding, witness_name: Option<&str>) -> Json {
    let mut out = json!({
        "code": finding.rule.code,
        "rule": finding.rule.name,
        "severity": finding.severity,
        "verdict": finding.verdict,
        "message": finding.message,
        "why": finding.rule.why,
        "subject": finding.subject.to_string(),
        "resource": resource(&finding.subject),
        "related": finding.related.iter()
            .map(|(at, message)| json!({"location": location(sources, at), "message": message})).collect::<Vec<_>>(),
        "values": finding.values,
        "fingerprint": fingerprint(finding),
    });
    let Some(map) = out.as_object_mut() else { return out };
    let mut add = |key: &str, value: Option<Json>| {
        if let Some(value) = value {
            map.insert(key.to_owned(), value);
        }
    };
    add("help", finding.help.clone().map(Json::from));
    add("location", finding.location.as_ref().map(|at| location(sources, at)));
    add("istio", finding.istio.map(Json::from));
    add(
        "witness",
        finding.witness.as_ref().map(|witness| {
            let mut fields = Map::new();
            fields.insert("kind".to_owned(), json!(witness.kind));
            fields.insert("replayed".to_owned(), json!(witness.replayed == Some(true)));
            if let Some(name) = witness_name {
                fields.insert("scenario".to_owned(), json!(name));
            }
            fields.insert("path".to_owned(), json!(witness.path));
            fields.insert("steps".to_owned(), json!(witness.steps));
            if let Some(request) = &witness.request {
                fields.insert("request".to_owned(), crate::decide::as_question(request));
            }
            Json::Object(fields)
        }),
    );
    out
}

fn proof(proof: &Proof) -> Json {
    json!({
        "code": proof.rule.code,
        "rule": proof.rule.name,
        "subject": proof.subject.to_string(),
        "verdict": "holds",
        "values": proof.values,
        "assumptions": proof.assumptions,
        "engine": proof.engine,
        "checked_by": proof.checked_by,
    })
}

pub(crate) fn location(sources: &Sources, at: &Location) -> Json {
    json!({"file": sources.path(at.file), "line": at.line, "column": at.column, "path": at.path.to_string()})
}

/// The subject as a resource: what is no object of the manifests gets the kind of thing that it is.
fn resource(subject: &Subject) -> ResourceRef {
    let named = |kind: &str, full: &str| {
        let (namespace, name) = full.split_once('/').unwrap_or(("", full));
        ResourceRef { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
    };
    match subject {
        Subject::Resource(resource) | Subject::Route { resource, .. } => resource.clone(),
        Subject::Service(name) => named("Service", name),
        Subject::Workload(name) => named("Workload", name),
        Subject::Call { to, .. } => named("Service", to),
        Subject::Namespace(name) => named("Namespace", &format!("/{name}")),
        Subject::File(path) => named("File", &format!("/{path}")),
        Subject::Mesh => named("Mesh", "/mesh"),
    }
}
