//! GitLab's code quality report: <https://docs.gitlab.com/ci/testing/code_quality/>.

use std::collections::BTreeMap;

use meshproof_model::Severity;
use serde_json::json;

use super::Verification;
use crate::fingerprint::fingerprint;

/// One entry for each finding. An entry must have a place: what has none stands in the first line of the path.
pub(super) fn render(verification: &Verification<'_>) -> String {
    let mut seen = BTreeMap::<String, usize>::new();
    let entries = verification.findings.iter().map(|finding| {
        let mut name = fingerprint(finding);
        // Entries of one fingerprint would be taken for one.
        let count = seen.entry(name.clone()).or_default();
        *count += 1;
        if *count > 1 {
            name = format!("{name}-{count}");
        }
        let (path, line) = match &finding.location {
            Some(at) => (verification.sources.path(at.file), at.line),
            None => (verification.path.as_str(), 1),
        };
        let severity = match finding.severity {
            Severity::Error => "critical",
            Severity::Warning => "major",
            Severity::Info => "info",
        };
        json!({
            "description": format!("{}: {}", finding.rule.code, finding.message),
            "check_name": finding.rule.name,
            "fingerprint": name,
            "severity": severity,
            "location": {"path": path.strip_prefix("./").unwrap_or(path), "lines": {"begin": line}},
        })
    });
    format!("{:#}\n", entries.collect::<serde_json::Value>())
}
