//! One self-contained page: no script, nothing from elsewhere.

use std::fmt::Write as _;

use meshproof_model::{Finding, Location};

use super::{Verification, full::totals, markdown::html, severity};

const STYLE: &str = "body{font:15px/1.5 sans-serif;max-width:70em;margin:2em auto;padding:0 1em;color:#222}\
pre{background:#f4f4f4;padding:.6em;overflow:auto}table{border-collapse:collapse}td,th{border:1px solid #ccc;\
padding:.2em .6em;text-align:left;vertical-align:top}h2{margin-top:2em}.error{color:#b00020}.warning{color:#8a5a00}\
.info{color:#00539c}mark{background:#ffe08a}";

/// The page.
pub(super) fn render(verification: &Verification<'_>) -> String {
    let verdict = verification.verdict().name();
    let mut out = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n<meta \
         http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src \
         'unsafe-inline'\">\n<title>meshproof: {verdict}</title>\n<style>{STYLE}</style></head><body>\n<h1>{}: \
         {verdict}</h1>\n<p>{}</p>\n",
        html(&verification.path),
        html(&totals(verification))
    );
    if !verification.findings.is_empty() {
        out.push_str("<h2>Findings</h2>\n");
    }
    for finding in &verification.findings {
        one(verification, finding, &mut out);
    }
    table(
        &mut out,
        "Proofs",
        &["rule", "subject", "engine", "rests on"],
        verification.proofs.iter().map(|proof| {
            let rule = format!("{} {}", proof.rule.code, proof.rule.name);
            vec![rule, proof.subject.to_string(), proof.engine.name().to_owned(), proof.assumptions.join(", ")]
        }),
    );
    table(
        &mut out,
        "Assumptions",
        &["id", "text"],
        verification.assumptions.iter().map(|assumption| vec![assumption.id.to_owned(), assumption.text.to_owned()]),
    );
    table(
        &mut out,
        "Not modelled",
        &["where", "object", "what"],
        verification.mesh.unmodelled.iter().map(|gap| {
            vec![gap.at.display(verification.sources).to_string(), gap.resource.to_string(), gap.reason.clone()]
        }),
    );
    out + "</body></html>\n"
}

fn one(verification: &Verification<'_>, finding: &Finding, out: &mut String) {
    let class = severity(finding.severity);
    let _ = writeln!(
        out,
        "<section><h3><span class=\"{class}\">{class}</span> {} {}</h3>\n<p>{}</p>",
        finding.rule.code,
        finding.rule.name,
        html(&finding.message)
    );
    let related = finding.related.iter().map(|(at, label)| (at, label.as_str()));
    for (at, label) in finding.location.iter().map(|at| (at, "")).chain(related) {
        excerpt(verification, at, label, out);
    }
    let _ = writeln!(out, "<p>Why: {}</p>", html(finding.rule.why));
    if let Some(help) = &finding.help {
        let _ = writeln!(out, "<p>Help: {}</p>", html(help));
    }
    if let Some(witness) = finding.witness.as_ref().filter(|witness| !witness.steps.is_empty()) {
        out.push_str("<ol>");
        for step in &witness.steps {
            let _ = write!(out, "<li>{}</li>", html(step));
        }
        out.push_str("</ol>\n");
        if witness.replayed == Some(true) {
            out.push_str("<p>The simulator replayed this, and it shows it.</p>\n");
        }
    }
    out.push_str("</section>\n");
}

/// The line of a place, and the one before and after it.
fn excerpt(verification: &Verification<'_>, at: &Location, label: &str, out: &mut String) {
    let Some(source) = verification.sources.get(at.file) else { return };
    let place = at.display(verification.sources).to_string();
    let _ = write!(out, "<p><code>{}</code> {}</p><pre>", html(&place), html(label));
    let line = at.line as usize;
    for (index, text) in source.text.lines().enumerate().skip(line.saturating_sub(2)).take(3) {
        let text = html(text);
        let text = if index + 1 == line { format!("<mark>{text}</mark>") } else { text };
        let _ = writeln!(out, "{:>5} | {text}", index + 1);
    }
    out.push_str("</pre>\n");
}

fn table(out: &mut String, title: &str, head: &[&str], rows: impl Iterator<Item = Vec<String>>) {
    let mut rows = rows.peekable();
    if rows.peek().is_none() {
        return;
    }
    let cells = |cells: &[String], tag: &str| {
        cells.iter().fold(String::new(), |row, cell| row + &format!("<{tag}>{}</{tag}>", html(cell)))
    };
    let head: Vec<String> = head.iter().map(|name| (*name).to_owned()).collect();
    let _ = writeln!(out, "<h2>{title}</h2>\n<table><tr>{}</tr>", cells(&head, "th"));
    for row in rows {
        let _ = writeln!(out, "<tr>{}</tr>", cells(&row, "td"));
    }
    out.push_str("</table>\n");
}
