//! `meshproof.toml`: limits, which rules are judged, and what is suppressed.

use std::collections::BTreeMap;

use meshproof_model::{Severity, rule};
use serde::Deserialize;

/// The contents of a `meshproof.toml`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Limits of rules.
    pub limits: Limits,
    /// Which rules are judged, and how bad their findings are.
    pub checks: Checks,
}

/// Limits of rules.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// MP0401: requests at a service for one request at the entry.
    pub retry_amplification: u64,
}

impl Default for Limits {
    /// 4.
    fn default() -> Self {
        Self { retry_amplification: 4 }
    }
}

/// Which rules are judged, and how bad their findings are.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Checks {
    /// Only these codes, or codes that begin with these; empty: all.
    pub select: Vec<String>,
    /// Not these.
    pub ignore: Vec<String>,
    /// Severities by code, in place of the rules' own.
    pub severity: BTreeMap<String, SeverityName>,
}

/// A severity as people write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SeverityName {
    /// An error.
    Error,
    /// A warning.
    Warning,
    /// An info.
    Info,
}

impl From<SeverityName> for Severity {
    fn from(name: SeverityName) -> Self {
        match name {
            SeverityName::Error => Self::Error,
            SeverityName::Warning => Self::Warning,
            SeverityName::Info => Self::Info,
        }
    }
}

/// Why a `meshproof.toml` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}:{line}:{column}: {message}")]
pub struct SettingsError {
    /// Which file.
    pub path: String,
    /// From 1.
    pub line: usize,
    /// From 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
}

impl Settings {
    /// Reads the text of a `meshproof.toml`.
    ///
    /// # Errors
    /// If it is no TOML, names an unknown setting or an unknown rule.
    pub fn parse(path: &str, text: &str) -> Result<Self, SettingsError> {
        let error = |offset: usize, message: String| {
            let before = &text[..offset.min(text.len())];
            let line = before.matches('\n').count() + 1;
            let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
            SettingsError { path: path.to_owned(), line, column, message }
        };
        let settings: Self =
            toml::from_str(text).map_err(|e| error(e.span().map_or(0, |span| span.start), e.message().to_owned()))?;
        for code in settings.checks.severity.keys() {
            if rule(code).is_none() {
                return Err(error(text.find(code.as_str()).unwrap_or(0), format!("no rule has the code `{code}`")));
            }
        }
        Ok(settings)
    }
}

impl Checks {
    /// Whether findings of that code are wanted, given further choices of the command line.
    pub fn wants(&self, code: &str, select: &[String], ignore: &[String]) -> bool {
        let any = |list: &[String]| list.iter().any(|prefix| code.starts_with(prefix.as_str()));
        let selected = if select.is_empty() { self.select.is_empty() || any(&self.select) } else { any(select) };
        selected && !any(ignore) && !any(&self.ignore)
    }
}
