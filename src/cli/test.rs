//! `meshproof test`.

use std::fmt::Write as _;

use quick_junit::{NonSuccessKind, TestCase, TestCaseStatus, TestSuite};
use serde_json::json;

use super::{Failure, HOLDS, InputArgs, VIOLATED, emit};
use crate::cases::{self, Coverage, Covered, Report, TestError};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files `*.test.ron`, or folders with such; absent: the current folder.
    paths: Vec<String>,
    #[command(flatten)]
    input: InputArgs,
    /// Prints, in place of running them, tests for the routes and policies that no test touches.
    #[arg(long, conflicts_with = "format")]
    suggest: bool,
    /// How the result is printed.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: TestFormat,
    /// Where the result goes; absent: standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<String>,
    /// Threads; 0: as many as there are cores.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

/// A format of `test`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum TestFormat {
    /// One line for each test.
    Table,
    /// One JSON document.
    Json,
    /// `JUnit`.
    Junit,
}

impl From<TestError> for Failure {
    fn from(error: TestError) -> Self {
        match error {
            TestError::Internal(error) => Self::Internal(error),
            TestError::Input(error) => Self::Input(error),
            other => Self::Usage(other.to_string()),
        }
    }
}

pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    let here = [".".to_owned()];
    let paths = if args.paths.is_empty() { &here[..] } else { &args.paths };
    if args.suggest {
        emit(args.output.as_deref(), &cases::suggest(paths, &args.input.options())?)?;
        return Ok(HOLDS);
    }
    let report = cases::run(paths, &args.input.options(), args.threads)?;
    let text = match args.format {
        TestFormat::Table => table(&report),
        TestFormat::Json => {
            let verdict = if report.failed() == 0 { "passed" } else { "failed" };
            let (tests, coverage) = (&report.tests, &report.coverage);
            format!("{:#}\n", json!({"schema_version": 1, "verdict": verdict, "tests": tests, "coverage": coverage}))
        }
        TestFormat::Junit => junit(&report),
    };
    emit(args.output.as_deref(), &text)?;
    Ok(if report.failed() == 0 { HOLDS } else { VIOLATED })
}

fn table(report: &Report) -> String {
    let mut out = String::new();
    for test in &report.tests {
        let mark = if test.failures.is_empty() { "ok    " } else { "FAILED" };
        _ = writeln!(out, "{mark} {}: {}", test.file, test.name);
        for failure in &test.failures {
            _ = writeln!(out, "         {failure}");
        }
    }
    for (mesh, Coverage { routes, policies }) in &report.coverage {
        for (what, Covered { covered, of, missing }) in [("routes", routes), ("policies", policies)] {
            if *of > 0 {
                _ = writeln!(out, "{mesh}: tests touch {covered} of {of} {what}");
                for name in missing {
                    _ = writeln!(out, "         not touched: {name}");
                }
            }
        }
    }
    out + &format!("{} passed, {} failed\n", report.tests.len() - report.failed(), report.failed())
}

fn junit(report: &Report) -> String {
    let mut suite = TestSuite::new("meshproof test");
    suite.add_test_cases(report.tests.iter().map(|test| {
        let status = match test.failures.first() {
            None => TestCaseStatus::success(),
            Some(first) => {
                let mut status = TestCaseStatus::non_success(NonSuccessKind::Failure);
                status.set_message(first.clone()).set_description(test.failures.join("\n"));
                status
            }
        };
        let mut case = TestCase::new(test.name.clone(), status);
        case.set_classname(test.file.clone());
        case
    }));
    let mut document = quick_junit::Report::new("meshproof");
    document.add_test_suite(suite);
    // Writing to memory does not fail.
    document.to_string().unwrap_or_default()
}
