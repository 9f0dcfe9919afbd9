//! For people: each finding with its excerpt, why it matters and what helps; then proofs, assumptions and gaps.

use std::fmt::Write as _;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet, renderer::DecorStyle};
use meshproof_model::{Finding, Location, Severity};

use super::{Verdict, Verification, table};

/// The whole report. `color`: whether terminal colours are wanted.
pub(super) fn render(verification: &Verification<'_>, color: bool) -> String {
    let renderer = if color { Renderer::styled() } else { Renderer::plain() }.decor_style(DecorStyle::Ascii);
    let mut out = String::new();
    for finding in &verification.findings {
        let _ = writeln!(out, "{}\n", excerpt(verification, finding, &renderer));
    }
    if !verification.proofs.is_empty() {
        let _ = writeln!(out, "proved:\n{}\n", table::proofs(verification));
    }
    if !verification.assumptions.is_empty() {
        out.push_str("assumptions:\n");
        for assumption in &verification.assumptions {
            let _ = writeln!(out, "  {}: {}", assumption.id, assumption.text);
        }
        out.push('\n');
    }
    gaps(verification, &mut out);
    out.push_str(&table::repair(verification));
    let _ = writeln!(out, "{}", totals(verification));
    out
}

/// What is not modelled. What changes no verdict is only counted here; the JSON names it.
fn gaps(verification: &Verification<'_>, out: &mut String) {
    let (matter, other): (Vec<_>, Vec<_>) = verification.mesh.unmodelled.iter().partition(|gap| gap.matters);
    if !matter.is_empty() {
        out.push_str("not modelled:\n");
        for gap in &matter {
            let _ = writeln!(out, "  {}: {}: {}", gap.at.display(verification.sources), gap.resource, gap.reason);
        }
        out.push('\n');
    }
    if !other.is_empty() {
        let count = other.len();
        let _ = writeln!(
            out,
            "fields of {count} objects are not modelled and change no verdict; --format json names them\n"
        );
    }
}

/// A place, what is to be seen there, and whether it is the finding's own.
type Annotated<'a> = (&'a Location, &'a str, bool);

/// One finding as a compiler would show it.
fn excerpt(verification: &Verification<'_>, finding: &Finding, renderer: &Renderer) -> String {
    let level = match finding.severity {
        Severity::Error => Level::ERROR,
        Severity::Warning => Level::WARNING,
        Severity::Info => Level::INFO,
    };
    let mut main = Group::with_title(level.primary_title(&finding.message).id(finding.rule.code));
    let mut files: Vec<(&Location, Vec<Annotated<'_>>)> = Vec::new();
    let primary = finding.location.iter().map(|at| (at, "", true));
    let related = finding.related.iter().map(|(at, message)| (at, message.as_str(), false));
    for (at, label, is_primary) in primary.chain(related) {
        match files.iter_mut().find(|(first, _)| first.file == at.file) {
            Some((_, annotations)) => annotations.push((at, label, is_primary)),
            None => files.push((at, vec![(at, label, is_primary)])),
        }
    }
    for (first, annotations) in files {
        let Some(source) = verification.sources.get(first.file) else { continue };
        let mut snippet = Snippet::source(source.text.as_str()).path(source.path.as_str());
        for (at, label, is_primary) in annotations {
            let kind = if is_primary { AnnotationKind::Primary } else { AnnotationKind::Context };
            let annotation = kind.span(span(at, &source.text));
            snippet = snippet.annotation(if label.is_empty() { annotation } else { annotation.label(label) });
        }
        main = main.element(snippet);
    }
    let mut groups = vec![main];
    let why = format!("why: {}", finding.rule.why);
    groups.push(Group::with_title(Level::NOTE.secondary_title(&why)));
    let steps = steps(finding);
    groups.extend(steps.iter().map(|step| Group::with_title(Level::NOTE.secondary_title(step))));
    if let Some(help) = &finding.help {
        groups.push(Group::with_title(Level::HELP.secondary_title(help)));
    }
    renderer.render(&groups)
}

/// How the violation comes about, and whether a replay showed it.
fn steps(finding: &Finding) -> Vec<String> {
    let Some(witness) = &finding.witness else { return Vec::new() };
    let mut notes = Vec::new();
    if !witness.path.is_empty() {
        notes.push(format!("path: {}", witness.path.join(" -> ")));
    }
    notes.extend(witness.steps.iter().map(|step| format!("witness: {step}")));
    if witness.replayed == Some(true) {
        notes.push("the simulator replayed the witness, and it shows this".to_owned());
    }
    notes
}

/// The bytes of a place, inside the text and on character boundaries.
fn span(at: &Location, text: &str) -> std::ops::Range<usize> {
    let floor = |index: usize| (0..=index.min(text.len())).rev().find(|i| text.is_char_boundary(*i)).unwrap_or(0);
    let start = floor(at.offset as usize);
    let line_end = text[start..].find('\n').map_or(text.len(), |i| start + i);
    start..floor((at.offset + at.length.max(1)) as usize).min(line_end).max(start)
}

/// As people read it.
pub const fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "info",
    }
}

/// `holds: 12 proved, 0 errors, 1 warning, 3 infos; 2 not modelled`.
pub(super) fn totals(verification: &Verification<'_>) -> String {
    let plural = |n: usize, word: &str| format!("{n} {word}{}", if n == 1 { "" } else { "s" });
    let verdict = match verification.verdict() {
        Verdict::Holds => "holds",
        Verdict::Vacuous => "vacuous",
        Verdict::Unknown => "undecided",
        Verdict::Violated => "violated",
    };
    let mut out = format!(
        "{verdict}: {} proved, {}, {}, {}",
        verification.proofs.len(),
        plural(verification.count(Severity::Error), "error"),
        plural(verification.count(Severity::Warning), "warning"),
        plural(verification.count(Severity::Info), "info"),
    );
    let gaps = verification.mesh.unmodelled.len();
    if gaps > 0 {
        let _ = write!(out, "; {gaps} not modelled");
    }
    // A file alone is judged by what stands in it.
    if verification.mesh.services.is_empty() && !verification.mesh.virtual_services.is_empty() {
        out.push_str("; no Service was read, so no host was looked up");
    }
    if let Some(known) = verification.in_baseline {
        let _ = write!(out, "; {known} more in the baseline");
    }
    if let Some(seconds) = verification.seconds {
        let _ = write!(out, "; {seconds:.2} s");
    }
    out
}
