//! A baseline: the findings of one day, of which later runs report only what is new.

use std::collections::BTreeMap;

use meshproof_model::Finding;
use serde::{Deserialize, Serialize};

use crate::{fingerprint::fingerprint, project::read_text};

/// The findings of a baseline.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Baseline {
    schema_version: u32,
    findings: Vec<Known>,
}

/// One finding; code and subject are for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Known {
    fingerprint: String,
    code: String,
    subject: String,
}

/// Why a baseline cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum BaselineError {
    /// The file cannot be read.
    #[error(transparent)]
    Input(#[from] crate::InputError),
    /// It is not what `--write-baseline` writes.
    #[error("`{path}` is no baseline: {message}")]
    Malformed {
        /// As given.
        path: String,
        /// What is wrong with it.
        message: String,
    },
}

const VERSION: u32 = 1;

impl Baseline {
    /// Reads the file of a baseline.
    ///
    /// # Errors
    /// If it cannot be read, or is none.
    pub fn read(path: &str) -> Result<Self, BaselineError> {
        let malformed = |message: String| BaselineError::Malformed { path: path.to_owned(), message };
        let baseline: Self = serde_json::from_str(&read_text(path)?).map_err(|error| malformed(error.to_string()))?;
        match baseline.schema_version {
            VERSION => Ok(baseline),
            other => Err(malformed(format!("its schema_version is {other}, and {VERSION} is understood"))),
        }
    }

    /// Leaves out what the baseline holds, each of its findings once, and counts what was left out.
    pub fn leave_out(&self, findings: &mut Vec<Finding>) -> usize {
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for finding in &self.findings {
            *known.entry(&finding.fingerprint).or_default() += 1;
        }
        let before = findings.len();
        findings.retain(|finding| match known.get_mut(fingerprint(finding).as_str()) {
            Some(left) if *left > 0 => {
                *left -= 1;
                false
            }
            _ => true,
        });
        before - findings.len()
    }
}

/// The text of a baseline with these findings.
pub fn write(findings: &[Finding]) -> String {
    let mut known: Vec<Known> = (findings.iter())
        .map(|finding| Known {
            fingerprint: fingerprint(finding),
            code: finding.rule.code.to_owned(),
            subject: finding.subject.to_string(),
        })
        .collect();
    known.sort_by(|a, b| (&a.code, &a.subject, &a.fingerprint).cmp(&(&b.code, &b.subject, &b.fingerprint)));
    format!("{:#}\n", serde_json::json!({"schema_version": VERSION, "findings": known}))
}
