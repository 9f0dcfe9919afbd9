//! Meshes from YAML text, and reports as short texts.
#![allow(dead_code, clippy::unwrap_used, clippy::expect_used, clippy::panic)]

pub(crate) mod draws;
pub(crate) mod layered;
pub(crate) mod yaml;

use std::{fmt::Write as _, path::Path};

use meshproof_import::{ImportOptions, import};
use meshproof_model::{Finding, Mesh, Sources, Value, read_behaviour};
use meshproof_verifier::{Report, VerifyOptions, verify};

/// A mesh from one YAML text, named `mesh.yaml`, and a `mesh.ron`, empty for none.
pub(crate) fn mesh(yaml: &str, behaviour: &str) -> (Sources, Mesh) {
    let mut sources = Sources::default();
    sources.add("mesh.yaml", yaml);
    finish(sources, behaviour)
}

/// The mesh of a folder of `topologies/`, or any other.
pub(crate) fn folder(path: &str) -> (Sources, Mesh) {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path);
    let mut names: Vec<_> = std::fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).collect();
    names.sort();
    let mut sources = Sources::default();
    for name in names.iter().filter(|name| name.extension().is_some_and(|e| e == "yaml" || e == "yml")) {
        sources.add(name.file_name().unwrap().to_str().unwrap(), std::fs::read_to_string(name).unwrap());
    }
    let behaviour = std::fs::read_to_string(root.join("mesh.ron")).unwrap_or_default();
    finish(sources, &behaviour)
}

fn finish(sources: Sources, behaviour: &str) -> (Sources, Mesh) {
    let mut mesh = import(&sources, &ImportOptions::default()).mesh;
    if !behaviour.is_empty() {
        mesh.behaviour = read_behaviour(behaviour).unwrap();
    }
    (sources, mesh)
}

/// Verifies with the defaults.
pub(crate) fn judge(mesh: &Mesh) -> Report {
    verify(mesh, &VerifyOptions::default())
}

/// Findings of the given codes (all, if none is given), a few lines each.
pub(crate) fn findings(sources: &Sources, report: &Report, codes: &[&str]) -> String {
    let mut text = String::new();
    for finding in report.findings.iter().filter(|f| codes.is_empty() || codes.contains(&f.rule.code)) {
        let place = finding.location.as_ref().map_or("-".to_owned(), |at| short(sources, at));
        let _ = writeln!(text, "{} {:?} {place} {}", finding.rule.code, finding.severity, finding.message);
        for (at, what) in &finding.related {
            let _ = writeln!(text, "    {} {what}", short(sources, at));
        }
        if let Some(witness) = &finding.witness {
            let _ = writeln!(text, "    witness: {} {}", witness.path.join(" -> "), expectation(finding));
        }
    }
    text
}

fn expectation(finding: &Finding) -> String {
    let witness = finding.witness.as_ref().unwrap();
    let shown = witness.expectation.as_ref().map_or("not replayable".to_owned(), |expected| format!("{expected:?}"));
    format!("[{shown}]")
}

fn short(sources: &Sources, at: &meshproof_model::Location) -> String {
    format!("{}:{}", sources.path(at.file), at.line)
}

/// Proofs of the given codes (all, if none is given), one line each.
pub(crate) fn proofs(report: &Report, codes: &[&str]) -> String {
    let mut text = String::new();
    for proof in report.proofs.iter().filter(|p| codes.is_empty() || codes.contains(&p.rule.code)) {
        let values: Vec<String> = proof.values.iter().map(|(key, value)| format!("{key}={}", shown(value))).collect();
        let _ = writeln!(text, "{} {} {}", proof.rule.code, proof.subject, values.join(" "));
    }
    text
}

fn shown(value: &Value) -> String {
    match value {
        Value::Int(value) => value.to_string(),
        Value::Float(value) => value.to_string(),
        Value::Bool(value) => value.to_string(),
        Value::Text(value) => value.clone(),
    }
}

/// Replays every witness that has a scenario; gives how many, and those that did not show what they claim.
pub(crate) fn replay_all(mesh: &Mesh, report: &Report) -> (usize, Vec<String>) {
    let witnesses: Vec<_> = report.findings.iter().filter_map(|finding| finding.witness.as_ref()).collect();
    let with_scenario: Vec<_> = witnesses.into_iter().filter(|witness| witness.scenario.is_some()).collect();
    let failed = with_scenario.iter().filter_map(|witness| {
        let outcome = meshproof_sim::replay(mesh, witness).unwrap();
        (!outcome.shown).then(|| format!("{:?}: {}", witness.expectation, outcome.observed))
    });
    (with_scenario.len(), failed.collect())
}
