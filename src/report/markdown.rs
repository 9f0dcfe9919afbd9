//! A summary for a pull request: the verdict, what was found, a picture of each worst path, how to replay it.

use std::fmt::Write as _;

use meshproof_model::{Finding, Value, Witness};

use super::{Verification, full::totals, severity, witness_names};

/// More findings than this are counted only: a comment on a pull request has a limit.
const SHOWN: usize = 50;

/// One document.
pub(super) fn render(verification: &Verification<'_>) -> String {
    let mut out = String::new();
    let _ = writeln!(out, "## meshproof: {}\n\n{}\n", verification.verdict().name(), totals(verification));
    let findings = &verification.findings;
    if !findings.is_empty() {
        out.push_str("| | rule | where | what |\n|---|---|---|---|\n");
        for finding in findings.iter().take(SHOWN) {
            let place = finding.location.as_ref().map(|at| format!("`{}`", at.display(verification.sources)));
            let _ = writeln!(
                out,
                "| {} | {} {} | {} | {} |",
                severity(finding.severity),
                finding.rule.code,
                finding.rule.name,
                cell(&place.unwrap_or_default()),
                cell(&finding.message)
            );
        }
        if findings.len() > SHOWN {
            let _ = writeln!(out, "\n{} more findings are not shown.", findings.len() - SHOWN);
        }
        out.push('\n');
    }
    for (finding, name) in findings.iter().zip(witness_names(findings)).take(SHOWN) {
        if let Some(witness) = &finding.witness {
            details(verification, finding, witness, name.as_deref(), &mut out);
        }
    }
    if let Some(repaired) = verification.repair.filter(|repaired| !repaired.fixes.is_empty()) {
        let verb = if repaired.is_applied { "mended" } else { "can be mended" };
        let _ = writeln!(out, "<details><summary>{} {verb}</summary>\n", repaired.fixes.len());
        let _ = writeln!(out, "```diff\n{}```\n\n</details>\n", repaired.patch);
    }
    if !verification.proofs.is_empty() {
        let _ = writeln!(out, "<details><summary>{} proved</summary>\n", verification.proofs.len());
        out.push_str("| rule | subject | engine |\n|---|---|---|\n");
        for proof in &verification.proofs {
            let (code, name, engine) = (proof.rule.code, proof.rule.name, proof.engine.name());
            let _ = writeln!(out, "| {code} {name} | {} | {engine} |", cell(&proof.subject.to_string()));
        }
        out.push_str("\n</details>\n");
    }
    out
}

fn details(
    verification: &Verification<'_>,
    finding: &Finding,
    witness: &Witness,
    name: Option<&str>,
    out: &mut String,
) {
    let _ = writeln!(out, "<details><summary>{} {}</summary>\n", finding.rule.code, html(&finding.message));
    let _ = writeln!(out, "{}\n", finding.rule.why);
    if let (Some(Value::Int(bound)), Some(Value::Int(limit))) =
        (finding.values.get("bound"), finding.values.get("limit"))
    {
        let _ = writeln!(out, "{}", bars(*bound, *limit));
    }
    if witness.path.len() > 1 {
        let _ = writeln!(out, "{}", picture(&witness.path));
    }
    for step in &witness.steps {
        let _ = writeln!(out, "1. {step}");
    }
    if let Some(help) = &finding.help {
        let _ = writeln!(out, "\nHelp: {help}");
    }
    if let Some(name) = name {
        let path = &verification.path;
        let _ = writeln!(
            out,
            "\nReplay:\n\n```sh\nmeshproof verify {path} --witnesses witnesses\nmeshproof simulate {path} --scenario \
             witnesses/{name}\n```"
        );
    }
    out.push_str("\n</details>\n\n");
}

/// The bound against its limit, at most 40 characters wide.
fn bars(bound: u64, limit: u64) -> String {
    let most = bound.max(limit).max(1);
    let bar = |value: u64| {
        let width = u128::from(value) * 40 / u128::from(most);
        "█".repeat(usize::try_from(width).unwrap_or(40).max(1))
    };
    format!("```\nbound {bound:>8} {}\nlimit {limit:>8} {}\n```\n", bar(bound), bar(limit))
}

/// The way of the request, as a diagram that code hosts draw.
fn picture(path: &[String]) -> String {
    let mut out = "```mermaid\nflowchart LR\n".to_owned();
    for (index, name) in path.iter().enumerate() {
        let _ = writeln!(out, "  n{index}[\"{}\"]", name.replace('"', "'"));
    }
    for index in 1..path.len() {
        let _ = writeln!(out, "  n{} --> n{index}", index - 1);
    }
    out + "```\n"
}

/// Text inside of a table.
fn cell(text: &str) -> String {
    text.replace('|', "\\|").replace(['\n', '\r'], " ")
}

/// Text inside of a tag.
pub(super) fn html(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_keep_their_proportion() {
        let lines: Vec<usize> = bars(96, 4).lines().map(|line| line.matches('█').count()).collect();
        assert_eq!(lines, [0, 40, 1, 0]);
        assert_eq!(cell("a|b\nc"), "a\\|b c");
    }
}
