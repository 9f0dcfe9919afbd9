//! One line for each finding: `file:line:column: severity[code] message`.

use std::fmt::Write as _;

use super::Verification;

/// The findings, then a line of totals.
pub(super) fn render(verification: &Verification<'_>) -> String {
    let mut out = String::new();
    for finding in &verification.findings {
        if let Some(at) = &finding.location {
            let _ = write!(out, "{}: ", at.display(verification.sources));
        }
        let _ = writeln!(out, "{}[{}] {}", super::full::severity(finding.severity), finding.rule.code, finding.message);
    }
    let _ = writeln!(out, "{}", super::full::totals(verification));
    out
}
