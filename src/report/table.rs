//! Tables of findings and proofs.

use std::fmt::Write as _;

use meshproof_model::Value;
use tabled::{builder::Builder, settings::Style};

use super::Verification;

/// Both tables and a line of totals.
pub(super) fn render(verification: &Verification<'_>) -> String {
    let mut out = String::new();
    if !verification.findings.is_empty() {
        let mut rows = Builder::default();
        rows.push_record(["code", "rule", "severity", "where", "what"]);
        for finding in &verification.findings {
            let place = finding.location.as_ref().map(|at| at.display(verification.sources).to_string());
            rows.push_record([
                finding.rule.code,
                finding.rule.name,
                super::full::severity(finding.severity),
                &place.unwrap_or_default(),
                &finding.message,
            ]);
        }
        let _ = writeln!(out, "{}", rows.build().with(Style::sharp()));
    }
    if !verification.proofs.is_empty() {
        let _ = writeln!(out, "{}", proofs(verification));
    }
    out.push_str(&repair(verification));
    let _ = writeln!(out, "{}", super::full::totals(verification));
    out
}

/// What edits mend, and the patch; empty if nobody asked.
pub(super) fn repair(verification: &Verification<'_>) -> String {
    let Some(repaired) = &verification.repair else { return String::new() };
    let untried = match repaired.untried {
        0 => String::new(),
        some => format!("{some} findings were not tried: choose some by --select, or mend a part of the mesh\n\n"),
    };
    if repaired.fixes.is_empty() {
        return format!("no edit of a blamed field mends a finding\n\n{untried}");
    }
    let mut out = if repaired.is_applied { "mended:\n" } else { "these edits mend findings:\n" }.to_owned();
    for fix in repaired.fixes {
        let place = fix.location.display(verification.sources);
        let _ = writeln!(out, "  {place}: {} {}: {}", fix.code, fix.subject, fix.changes.join("; "));
    }
    let _ = write!(out, "\n{}\n{untried}", repaired.patch);
    out
}

/// What was proved.
pub(super) fn proofs(verification: &Verification<'_>) -> String {
    let mut rows = Builder::default();
    rows.push_record(["code", "rule", "subject", "proved", "engine", "assumes"]);
    for proof in &verification.proofs {
        let values: Vec<String> = proof.values.iter().map(|(key, value)| format!("{key} {}", shown(value))).collect();
        let engine = match proof.checked_by {
            Some(checker) => format!("{}, checked by {}", proof.engine.name(), checker.name()),
            None => proof.engine.name().to_owned(),
        };
        rows.push_record([
            proof.rule.code,
            proof.rule.name,
            &proof.subject.to_string(),
            &values.join(", "),
            &engine,
            &proof.assumptions.join(" "),
        ]);
    }
    rows.build().with(Style::sharp()).to_string()
}

fn shown(value: &Value) -> String {
    match value {
        Value::Int(n) => n.to_string(),
        Value::Float(x) => format!("{x:.3}"),
        Value::Bool(b) => b.to_string(),
        Value::Text(text) => text.clone(),
    }
}
