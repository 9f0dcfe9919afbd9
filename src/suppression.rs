//! Suppressions of the manifests: what they cover is left out; those that cover nothing, or are past their day, are
//! findings themselves.

use meshproof_import::{Suppression, SuppressionScope};
use meshproof_model::{EXPIRED_SUPPRESSION, Finding, Sources, Subject, UNUSED_SUPPRESSION};

/// Takes out what is covered by a suppression that has not expired on the day `today` (`YYYY-MM-DD`), and gives it with
/// the suppression's reason.
pub(crate) fn apply(
    suppressions: &[Suppression],
    sources: &Sources,
    today: Option<&str>,
    findings: &mut Vec<Finding>,
) -> Vec<(Finding, String)> {
    let mut suppressed = Vec::new();
    let mut used = vec![false; suppressions.len()];
    let expired = |s: &Suppression| matches!((&s.until, today), (Some(until), Some(today)) if until.as_str() < today);
    findings.retain(|finding| {
        let mut reason = None;
        for (suppression, used) in suppressions.iter().zip(&mut used) {
            if covers(suppression, sources, finding) {
                *used = true;
                if !expired(suppression) {
                    reason = Some(suppression.reason.clone().unwrap_or_default());
                }
            }
        }
        suppressed.extend(reason.clone().map(|reason| (finding.clone(), reason)));
        reason.is_none()
    });
    for (suppression, used) in suppressions.iter().zip(used) {
        let about = |rule, message: String| {
            let subject = match &suppression.scope {
                SuppressionScope::Resource(resource) => Subject::Resource(resource.clone()),
                SuppressionScope::Line(line) => Subject::File(format!("line {line}")),
                SuppressionScope::Matching { .. } => Subject::File(sources.path(suppression.at.file).to_owned()),
            };
            Finding::new(rule, subject, message).at(suppression.at.clone())
        };
        if expired(suppression) {
            let until = suppression.until.as_deref().unwrap_or_default();
            let message = format!("the suppression of `{}` expired after {until}", suppression.code);
            findings.push(about(&EXPIRED_SUPPRESSION, message).help("mend what it hid, or give it a new day"));
        } else if !used {
            let message = format!("no finding of `{}` is suppressed here", suppression.code);
            findings.push(about(&UNUSED_SUPPRESSION, message).help("remove the suppression"));
        }
    }
    suppressed
}

fn covers(suppression: &Suppression, sources: &Sources, finding: &Finding) -> bool {
    if suppression.code != finding.rule.code {
        return false;
    }
    match &suppression.scope {
        SuppressionScope::Line(line) => {
            finding.location.as_ref().is_some_and(|at| at.file == suppression.at.file && at.line == *line)
        }
        SuppressionScope::Resource(resource) => match &finding.subject {
            Subject::Resource(about) | Subject::Route { resource: about, .. } => about == resource,
            Subject::Service(name) => resource.kind == "Service" && is_named(resource, name),
            Subject::Workload(name) => is_named(resource, name),
            _ => false,
        },
        SuppressionScope::Matching { resource, path } => {
            let file = finding.location.as_ref().map(|at| sources.path(at.file));
            let about = match &finding.subject {
                Subject::Route { resource, .. } => resource.to_string(),
                other => other.to_string(),
            };
            resource.as_ref().is_none_or(|pattern| fits(pattern, &about))
                && path.as_ref().is_none_or(|pattern| file.is_some_and(|file| fits(pattern, file)))
        }
    }
}

/// Whether a text is of a pattern, in which `*` stands for any text.
fn fits(pattern: &str, path: &str) -> bool {
    match pattern.split_once('*') {
        None => pattern == path,
        Some((start, rest)) => path
            .strip_prefix(start)
            .is_some_and(|path| (0..=path.len()).filter(|i| path.is_char_boundary(*i)).any(|i| fits(rest, &path[i..]))),
    }
}

fn is_named(resource: &meshproof_model::ResourceRef, full: &str) -> bool {
    full.split_once('/') == Some((resource.namespace.as_str(), resource.name.as_str()))
}
