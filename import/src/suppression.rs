//! Suppressions: `# meshproof: ignore MP0401 until=2027-01-01 reason="..."` on or above a line, and the annotation
//! `meshproof.dev/ignore` of an object, which holds what would follow `ignore`.

use meshproof_model::{FileId, Finding, INVALID_VALUE, Location, ResourceRef, Severity, Subject};

use crate::{
    object::{Object, locate},
    yaml::{Comment, Mark},
};

/// One rule that shall not be reported in one place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Suppression {
    /// The rule's code, such as `MP0401`.
    pub code: String,
    /// Its last day, as `YYYY-MM-DD`.
    pub until: Option<String>,
    /// Why; one is required.
    pub reason: Option<String>,
    /// What it covers.
    pub scope: SuppressionScope,
    /// Where it stands.
    pub at: Location,
}

/// What a suppression covers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SuppressionScope {
    /// Findings at this line of its file.
    Line(u32),
    /// Findings about or inside of this object.
    Resource(ResourceRef),
    /// Findings about the object and in files of the path, where either is given; `*` in a path stands for any text.
    Matching {
        /// `Kind namespace/name`.
        resource: Option<String>,
        /// Such as `shop/*.yaml`.
        path: Option<String>,
    },
}

/// The annotation's name.
pub(crate) const ANNOTATION: &str = "meshproof.dev/ignore";

/// The suppressions of a file's comments. One above a line covers the next line that holds anything else.
pub(crate) fn in_comments(
    file: FileId,
    text: &str,
    comments: &[Comment<'_>],
    findings: &mut Vec<Finding>,
) -> Vec<Suppression> {
    let marked = |comment: &&Comment<'_>| comment.text.trim_start().starts_with("meshproof:");
    if !comments.iter().any(|comment| marked(&comment)) {
        return Vec::new();
    }
    let lines: Vec<&str> = text.lines().collect();
    let mut suppressions = Vec::new();
    for comment in comments.iter().filter(marked) {
        let at = locate(file, comment.mark, "");
        let body = comment.text.trim_start().trim_start_matches("meshproof:").trim();
        let scope = SuppressionScope::Line(covered(comment.mark, comment.alone, &lines));
        match body.strip_prefix("ignore") {
            Some(rest) => suppressions.extend(parse(rest, &scope, &at, findings)),
            None => findings.push(malformed(
                &at,
                format!("`{body}` is nothing that meshproof can be told in a comment"),
                "write `# meshproof: ignore MP0401 reason=\"...\"`",
            )),
        }
    }
    suppressions
}

/// The suppressions of an object's annotation.
pub(crate) fn in_annotation(object: &Object<'_>, findings: &mut Vec<Finding>) -> Vec<Suppression> {
    let Some(text) = object.meta.annotations.get(ANNOTATION) else { return Vec::new() };
    let field = object.get("metadata").and_then(|m| m.get("annotations")?.get(ANNOTATION));
    let at = field.map_or_else(|| object.meta.at.clone(), |field| field.at());
    let scope = SuppressionScope::Resource(object.meta.resource.clone());
    parse(text, &scope, &at, findings)
}

/// The line that a comment covers.
fn covered(mark: Mark, alone: bool, lines: &[&str]) -> u32 {
    if !alone {
        return mark.line;
    }
    let below = lines.iter().enumerate().skip(mark.line as usize);
    let content = |line: &str| !line.trim().is_empty() && !line.trim_start().starts_with('#');
    below.into_iter().find(|(_, line)| content(line)).and_then(|(i, _)| u32::try_from(i + 1).ok()).unwrap_or(mark.line)
}

/// `CODE[,CODE...] [until=DATE] reason="..."`, several separated by `;`.
fn parse(text: &str, scope: &SuppressionScope, at: &Location, findings: &mut Vec<Finding>) -> Vec<Suppression> {
    let mut suppressions = Vec::new();
    for part in split_outside_quotes(text) {
        let (head, reason) = match part.split_once("reason=") {
            Some((head, reason)) => (head, Some(reason.trim().trim_matches('"').to_owned())),
            None => (part, None),
        };
        let mut until = None;
        let mut codes = Vec::new();
        for word in head.split([' ', ',', '\t']).filter(|word| !word.is_empty()) {
            match word.strip_prefix("until=") {
                Some(date) => until = Some(date.trim_matches('"').to_owned()),
                None => codes.push(word.to_owned()),
            }
        }
        let reason = reason.filter(|reason| !reason.is_empty());
        let listed = codes.join(", ");
        let unknown = codes.iter().find(|code| meshproof_model::rule(code).is_none());
        let fault = if codes.is_empty() {
            let help = "name a rule, such as `ignore MP0401 reason=\"...\"`";
            Some(("this suppression names no rule, so it suppresses nothing".to_owned(), help))
        } else if let Some(code) = unknown {
            let text = format!("this suppression names `{code}`, which is no rule, so it suppresses nothing");
            Some((text, "name a rule that exists; `meshproof rules` lists them"))
        } else if let Some(date) = until.as_ref().filter(|date| !is_date(date)) {
            let text = format!("this suppression of {listed} ends at `{date}`, which is no day: it suppresses nothing");
            Some((text, "write the last day as `until=2027-01-31`"))
        } else if reason.is_none() {
            let text = format!("this suppression of {listed} has no reason, and without one it suppresses nothing");
            Some((text, "say why the finding is right to stay: `reason=\"...\"`"))
        } else {
            None
        };
        if let Some((message, help)) = fault {
            findings.push(malformed(at, message, help));
            continue;
        }
        for code in codes {
            let (until, reason) = (until.clone(), reason.clone());
            suppressions.push(Suppression { code, until, reason, scope: scope.clone(), at: at.clone() });
        }
    }
    suppressions
}

fn split_outside_quotes(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut start, mut quoted) = (0, false);
    for (i, c) in text.char_indices() {
        match c {
            '"' => quoted = !quoted,
            ';' if !quoted => {
                parts.push(&text[start..i]);
                start = i + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts.into_iter().filter(|part| !part.trim().is_empty()).collect()
}

/// Whether a text is a day, as `YYYY-MM-DD`.
pub fn is_date(text: &str) -> bool {
    let parts: Vec<&str> = text.split('-').collect();
    let number = |i: usize, len: usize| {
        parts
            .get(i)
            .filter(|p| p.len() == len && p.bytes().all(|b| b.is_ascii_digit()))
            .and_then(|p| p.parse::<u32>().ok())
    };
    parts.len() == 3
        && number(0, 4).is_some()
        && number(1, 2).is_some_and(|month| (1..=12).contains(&month))
        && number(2, 2).is_some_and(|day| (1..=31).contains(&day))
}

fn malformed(at: &Location, message: String, help: &str) -> Finding {
    let mut finding = Finding::new(&INVALID_VALUE, Subject::Mesh, message);
    finding.severity = Severity::Warning;
    finding.at(at.clone()).help(help)
}
