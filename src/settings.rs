//! `meshproof.toml`: limits, which rules are judged, and what is suppressed.

use std::collections::BTreeMap;

use meshproof_import::{Suppression, SuppressionScope};
use meshproof_model::{FileId, Location, Severity, rule};
use serde::Deserialize;

/// The contents of a `meshproof.toml`.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// Limits of rules.
    pub limits: Limits,
    /// Which rules are judged, and how bad their findings are.
    pub checks: Checks,
    /// What is not reported, and why.
    pub ignore: Vec<Ignore>,
}

/// An `[[ignore]]`: one rule that is not reported, of some objects or files, or anywhere.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ignore {
    /// The rule's code.
    pub code: toml::Spanned<String>,
    /// Why; it must not be empty.
    pub reason: String,
    /// The last day, as `YYYY-MM-DD`.
    pub until: Option<String>,
    /// Only findings about this object, as `Kind namespace/name` (`Kind name` of what has no namespace); `*` stands
    /// for any text.
    pub resource: Option<String>,
    /// Only findings in files of this path; `*` stands for any text.
    pub path: Option<String>,
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
        for ignore in &settings.ignore {
            let code = ignore.code.get_ref();
            let fault = if rule(code).is_none() {
                Some(format!("no rule has the code `{code}`"))
            } else if ignore.reason.trim().is_empty() {
                Some(format!("`[[ignore]]` of `{code}` needs a reason"))
            } else if ignore.until.as_deref().is_some_and(|day| !meshproof_import::is_date(day)) {
                Some(format!("`until` of `{code}` is a day such as `2027-01-31`"))
            } else {
                None
            };
            if let Some(fault) = fault {
                return Err(error(ignore.code.span().start, fault));
            }
        }
        Ok(settings)
    }

    /// The suppressions of `[[ignore]]`, which stand in that text.
    pub(crate) fn suppressions(&self, file: FileId, text: &str) -> Vec<Suppression> {
        let of = |(i, ignore): (usize, &Ignore)| {
            let span = ignore.code.span();
            let before = &text[..span.start.min(text.len())];
            let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
            let at = Location {
                file,
                line: narrow(before.matches('\n').count() + 1),
                column: narrow(before.rsplit('\n').next().unwrap_or_default().chars().count() + 1),
                offset: narrow(span.start),
                length: narrow(span.len()),
                path: format!("ignore[{i}].code").into(),
            };
            let scope = SuppressionScope::Matching { resource: ignore.resource.clone(), path: ignore.path.clone() };
            let (code, until) = (ignore.code.get_ref().clone(), ignore.until.clone());
            Suppression { code, until, reason: Some(ignore.reason.clone()), scope, at }
        };
        self.ignore.iter().enumerate().map(of).collect()
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
