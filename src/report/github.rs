//! Annotations of GitHub Actions: workflow commands on standard output.

use std::fmt::Write as _;

use meshproof_model::Severity;

use super::Verification;

/// One annotation for each finding.
pub(super) fn render(verification: &Verification<'_>) -> String {
    let mut out = String::new();
    for finding in &verification.findings {
        let command = match finding.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
            Severity::Info => "notice",
        };
        let mut place = String::new();
        if let Some(at) = &finding.location {
            let file = property(verification.sources.path(at.file));
            let _ = write!(place, "file={file},line={},col={},", at.line, at.column);
        }
        let title = property(&format!("{} {}", finding.rule.code, finding.rule.name));
        let help = finding.help.as_ref().map(|help| format!("\nhelp: {help}")).unwrap_or_default();
        let _ = writeln!(out, "::{command} {place}title={title}::{}", message(&format!("{}{help}", finding.message)));
    }
    out
}

fn message(text: &str) -> String {
    text.replace('%', "%25").replace('\r', "%0D").replace('\n', "%0A")
}

fn property(text: &str) -> String {
    message(text).replace(':', "%3A").replace(',', "%2C")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_runner_would_read_as_syntax_is_escaped() {
        assert_eq!(message("5% of\nall"), "5%25 of%0Aall");
        assert_eq!(property("a:b,c"), "a%3Ab%2Cc");
    }
}
