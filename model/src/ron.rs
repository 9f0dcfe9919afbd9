//! Reading and writing RON: meshes' behaviour and scenarios, strictly, with the place of what is wrong.
//!
//! Formats are read with implicit `Some`; unknown fields, doubled keys and other top-level names are refused.

use ::ron::{Options, error::SpannedError, extensions::Extensions, ser::PrettyConfig};
use serde::{Serialize, de::DeserializeOwned};

use crate::{Behaviour, Scenario, did_you_mean};

/// Why a RON text cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{line}:{column}: {message}")]
pub struct RonError {
    /// What is wrong, in one sentence.
    pub message: String,
    /// From 1.
    pub line: u32,
    /// From 1, in characters.
    pub column: u32,
}

/// Why a value cannot be written.
pub use ::ron::Error as RonWriteError;

/// What a RON file is, as its top-level name says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RonKind {
    /// `Mesh(...)`: behaviour.
    Mesh,
    /// `Scenario(...)`.
    Scenario,
    /// `Sweep(...)`.
    Sweep,
    /// `Tests(...)`.
    Tests,
}

const KINDS: [(&str, RonKind); 4] =
    [("Mesh", RonKind::Mesh), ("Scenario", RonKind::Scenario), ("Sweep", RonKind::Sweep), ("Tests", RonKind::Tests)];

/// Says what a RON text is, by its top-level name.
///
/// # Errors
/// If the text does not begin, after comments, with one of the known names.
pub fn ron_kind(text: &str) -> Result<RonKind, RonError> {
    let offset = top_level(text);
    let name: &str = &text[offset..][..identifier_length(&text[offset..])];
    if let Some((_, kind)) = KINDS.iter().find(|(known, _)| *known == name) {
        return Ok(*kind);
    }
    let expected = "a file begins with `Mesh(`, `Scenario(`, `Sweep(` or `Tests(`";
    let message = match (name, did_you_mean(name, KINDS.iter().map(|(known, _)| *known))) {
        ("", _) => expected.to_owned(),
        (name, Some(known)) => format!("`{name}` is no kind of file; did you mean `{known}`?"),
        (name, None) => format!("`{name}` is no kind of file; {expected}"),
    };
    Err(error_at(text, offset, message))
}

/// Reads a `mesh.ron`.
///
/// # Errors
/// If the text is not `Mesh(...)` of version 1, with the place.
pub fn read_behaviour(text: &str) -> Result<Behaviour, RonError> {
    let behaviour: Behaviour = read(text, RonKind::Mesh)?;
    check_version(text, behaviour.version)?;
    Ok(behaviour)
}

/// Reads a scenario.
///
/// # Errors
/// If the text is not `Scenario(...)` of version 1, with the place.
pub fn read_scenario(text: &str) -> Result<Scenario, RonError> {
    let scenario: Scenario = read(text, RonKind::Scenario)?;
    check_version(text, scenario.version)?;
    Ok(scenario)
}

/// Reads another file of ours, whose version `version` tells.
///
/// # Errors
/// If the text is not of that kind and of version 1, with the place.
pub fn read_ron<T: DeserializeOwned>(text: &str, kind: RonKind, version: impl Fn(&T) -> u32) -> Result<T, RonError> {
    let value = read(text, kind)?;
    check_version(text, version(&value))?;
    Ok(value)
}

/// Writes a scenario so that [`read_scenario`] gives the same again.
///
/// # Errors
/// If a value has no form in RON; no [`Scenario`] has such a one.
pub fn write_scenario(scenario: &Scenario) -> Result<String, RonWriteError> {
    write_ron("Scenario", scenario)
}

/// Writes a mesh's behaviour so that [`read_behaviour`] gives the same again.
///
/// # Errors
/// If a value has no form in RON; no [`Behaviour`] has such a one.
pub fn write_behaviour(behaviour: &Behaviour) -> Result<String, RonWriteError> {
    write_ron("Mesh", behaviour)
}

/// Writes another file of ours under its top-level name, so that [`read_ron`] gives the same again.
///
/// # Errors
/// If a value has no form in RON.
pub fn write_ron<T: Serialize>(name: &str, value: &T) -> Result<String, RonWriteError> {
    let pretty = PrettyConfig::new().indentor("    ").depth_limit(3);
    Ok(format!("{name}{}\n", options().to_string_pretty(value, pretty)?))
}

fn options() -> Options {
    Options::default().with_default_extension(Extensions::IMPLICIT_SOME)
}

fn read<T: DeserializeOwned>(text: &str, kind: RonKind) -> Result<T, RonError> {
    let found = ron_kind(text)?;
    if found != kind {
        let message = format!("this is a `{found:?}(...)`, where a `{kind:?}(...)` is needed");
        return Err(error_at(text, top_level(text), message));
    }
    options().from_str(text).map_err(|error| spanned(&error))
}

fn check_version(text: &str, version: u32) -> Result<(), RonError> {
    if version == 1 {
        return Ok(());
    }
    let offset = text.find("version").unwrap_or(0);
    Err(error_at(text, offset, format!("version {version} of the format is not known; this program reads version 1")))
}

fn spanned(error: &SpannedError) -> RonError {
    use ::ron::Error as E;
    let hint = |found: &str, expected: &'static [&'static str]| {
        did_you_mean(found, expected.iter().copied())
            .map_or_else(|| format!("; known: {}", expected.join(", ")), |known| format!("; did you mean `{known}`?"))
    };
    let message = match &error.code {
        E::NoSuchStructField { expected, found, .. } => format!("unknown field `{found}`{}", hint(found, expected)),
        E::NoSuchEnumVariant { expected, found, .. } => format!("unknown variant `{found}`{}", hint(found, expected)),
        E::MissingStructField { field, .. } => format!("the field `{field}` is missing"),
        E::DuplicateStructField { field, .. } => format!("the field `{field}` is written twice"),
        other => lower_first(&other.to_string()),
    };
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    RonError { message, line: count(error.span.start.line), column: count(error.span.start.col) }
}

fn lower_first(text: &str) -> String {
    let mut chars = text.chars();
    chars.next().map_or_else(String::new, |first| first.to_ascii_lowercase().to_string() + chars.as_str())
}

fn error_at(text: &str, offset: usize, message: String) -> RonError {
    let before = &text[..offset];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or("").chars().count() + 1;
    let count = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    RonError { message, line: count(line), column: count(column) }
}

/// The byte offset of the first thing that is neither white space, a comment nor an attribute.
fn top_level(text: &str) -> usize {
    let mut rest = text;
    loop {
        rest = rest.trim_start_matches(|c: char| c.is_whitespace() || c == '\u{feff}');
        let skipped = if rest.starts_with("//") {
            rest.find('\n')
        } else if rest.starts_with("/*") {
            rest.find("*/").map(|end| end + 2)
        } else if rest.starts_with("#!") {
            rest.find(']').map(|end| end + 1)
        } else {
            return text.len() - rest.len();
        };
        rest = skipped.map_or("", |end| &rest[end..]);
    }
}

fn identifier_length(text: &str) -> usize {
    text.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(text.len())
}
