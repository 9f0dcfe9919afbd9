//! Results as text: one file for each format, each a pure function of the result.

mod concise;
mod difference;
mod full;
mod github;
mod gitlab;
mod html;
mod json;
mod junit;
mod markdown;
pub(crate) mod number;
mod sarif;
mod simulation;
mod table;

pub use difference::{difference_json, difference_text};
pub use full::severity;
pub(crate) use json::location;
pub use json::witness_names;
use meshproof_model::{Finding, FindingVerdict, Mesh, Severity, Sources};
use meshproof_verifier::{Assumption, Proof};

use crate::repair::Fix;
pub use simulation::{comparison_table, run_table};

/// Everything that `verify` found.
#[derive(Debug)]
pub struct Verification<'a> {
    /// The texts, for excerpts.
    pub sources: &'a Sources,
    /// The mesh, for what is not modelled.
    pub mesh: &'a Mesh,
    /// The path that was verified, for replay commands.
    pub path: String,
    /// Findings by file, line, column and code.
    pub findings: Vec<Finding>,
    /// Proofs by code and subject.
    pub proofs: Vec<Proof>,
    /// What the proofs rest on.
    pub assumptions: Vec<Assumption>,
    /// Findings that a suppression covers, each with the suppression's reason.
    pub suppressed: Vec<(Finding, String)>,
    /// How many findings a baseline holds; absent: there is none.
    pub in_baseline: Option<usize>,
    /// The least severity that makes the verdict `violated`.
    pub fail_on: Severity,
    /// Edits that mend findings; absent: nobody asked for them.
    pub repair: Option<Repaired<'a>>,
    /// Wall time; left out where the bytes must not depend on it.
    pub seconds: Option<f64>,
}

/// What was mended, or could be.
#[derive(Clone, Copy, Debug)]
pub struct Repaired<'a> {
    /// One for each finding that an edit mends.
    pub fixes: &'a [Fix],
    /// All edits as a unified diff.
    pub patch: &'a str,
    /// How many findings were not gone into, since what was tried for others was enough work.
    pub untried: usize,
    /// Whether the files have changed: then the findings are those that are left.
    pub is_applied: bool,
}

/// How a verification ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    /// Everything that was asked holds.
    Holds,
    /// A property holds only because nothing matches it.
    Vacuous,
    /// A property could not be decided within its limits.
    Unknown,
    /// A property does not hold.
    Violated,
}

impl Verdict {
    /// As the JSON report names it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Holds => "holds",
            Self::Vacuous => "vacuous",
            Self::Unknown => "unknown",
            Self::Violated => "violated",
        }
    }
}

impl Verification<'_> {
    /// How many findings are of that severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }

    /// How many findings rest on that.
    pub fn verdicts(&self, verdict: FindingVerdict) -> usize {
        self.findings.iter().filter(|finding| finding.verdict == verdict).count()
    }

    /// The verdict over all properties. What its severity keeps from failing does not make it `violated`, so that the
    /// verdict and the exit code agree.
    pub fn verdict(&self) -> Verdict {
        let of = |finding: &Finding| match finding.verdict {
            FindingVerdict::Violated | FindingVerdict::Lint if finding.severity >= self.fail_on => Verdict::Violated,
            FindingVerdict::Unknown if finding.severity > Severity::Info => Verdict::Unknown,
            FindingVerdict::Vacuous if finding.severity > Severity::Info => Verdict::Vacuous,
            _ => Verdict::Holds,
        };
        self.findings.iter().map(of).max().unwrap_or(Verdict::Holds)
    }
}

/// A format of `verify`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Tables of findings and proofs.
    Table,
    /// Findings with excerpts, reasons and advice; then the proofs.
    Full,
    /// One line for each finding.
    Concise,
    /// One JSON document.
    Json,
    /// One JSON document for each finding and proof.
    Jsonl,
    /// SARIF 2.1.0.
    Sarif,
    /// `JUnit`.
    Junit,
    /// Annotations of GitHub Actions.
    Github,
    /// GitLab's code quality report.
    Gitlab,
    /// A summary for a pull request.
    Markdown,
    /// One self-contained page.
    Html,
}

/// The verification in that format. `color`: whether terminal colours are wanted.
pub fn render(verification: &Verification<'_>, format: Format, color: bool) -> String {
    match format {
        Format::Table => table::render(verification),
        Format::Full => full::render(verification, color),
        Format::Concise => concise::render(verification),
        Format::Json => json::document(verification),
        Format::Jsonl => json::lines(verification),
        Format::Sarif => sarif::render(verification),
        Format::Junit => junit::render(verification),
        Format::Github => github::render(verification),
        Format::Gitlab => gitlab::render(verification),
        Format::Markdown => markdown::render(verification),
        Format::Html => html::render(verification),
    }
}
