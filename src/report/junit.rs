//! `JUnit`: one test case for each finding and each proof.

use quick_junit::{NonSuccessKind, Report, TestCase, TestCaseStatus, TestSuite};

use super::{Verification, severity};
use meshproof_model::{Finding, FindingVerdict};

/// One document.
pub(super) fn render(verification: &Verification<'_>) -> String {
    let mut suite = TestSuite::new("meshproof verify");
    suite.add_test_cases(verification.findings.iter().map(|finding| failed(verification, finding)));
    suite.add_test_cases(verification.proofs.iter().map(|proof| {
        let mut case = TestCase::new(proof.subject.to_string(), TestCaseStatus::success());
        case.set_classname(format!("{} {}", proof.rule.code, proof.rule.name));
        case
    }));
    let mut report = Report::new("meshproof");
    report.add_test_suite(suite);
    // Writing to memory does not fail.
    report.to_string().unwrap_or_default()
}

/// A finding that fails the run is a failure; an undecided one is an error; any other is skipped.
fn failed(verification: &Verification<'_>, finding: &Finding) -> TestCase {
    let fails = finding.severity >= verification.fail_on;
    let mut status = match finding.verdict {
        FindingVerdict::Unknown | FindingVerdict::Vacuous => TestCaseStatus::non_success(NonSuccessKind::Error),
        FindingVerdict::Violated | FindingVerdict::Lint if fails => {
            TestCaseStatus::non_success(NonSuccessKind::Failure)
        }
        _ => TestCaseStatus::skipped(),
    };
    status.set_message(finding.message.clone()).set_type(severity(finding.severity));
    let place = finding.location.as_ref().map(|at| format!("{}\n", at.display(verification.sources)));
    let help = finding.help.as_ref().map(|help| format!("help: {help}\n"));
    let why = format!("why: {}\n", finding.rule.why);
    status.set_description(format!("{}{why}{}", place.unwrap_or_default(), help.unwrap_or_default()));
    let mut case = TestCase::new(finding.subject.to_string(), status);
    case.set_classname(format!("{} {}", finding.rule.code, finding.rule.name));
    case
}
