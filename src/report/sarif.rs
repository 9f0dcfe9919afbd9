//! SARIF 2.1.0, which code hosts show beside the changed lines.

use std::collections::BTreeMap;

use meshproof_model::{Finding, Location, Rule, Severity, Sources};
use serde::Serialize;

use super::Verification;
use crate::fingerprint::fingerprint;

const SCHEMA: &str = "https://json.schemastore.org/sarif-2.1.0.json";
/// Where a rule's page is printed.
const PAGE: &str = "meshproof explain";

/// A log with one run.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Log<'a> {
    #[serde(rename = "$schema")]
    schema: &'static str,
    version: &'static str,
    runs: [Run<'a>; 1],
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Run<'a> {
    tool: Tool<'a>,
    /// Columns count characters.
    column_kind: &'static str,
    results: Vec<ResultOf<'a>>,
}

#[derive(Serialize)]
struct Tool<'a> {
    driver: Driver<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Driver<'a> {
    name: &'static str,
    semantic_version: &'static str,
    rules: Vec<Descriptor<'a>>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Descriptor<'a> {
    id: &'a str,
    name: &'a str,
    short_description: Text,
    full_description: Text,
    help: Text,
    default_configuration: Configuration,
}

#[derive(Serialize)]
struct Configuration {
    level: &'static str,
}

#[derive(Serialize)]
struct Text {
    text: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ResultOf<'a> {
    rule_id: &'a str,
    rule_index: usize,
    level: &'static str,
    message: Text,
    locations: Vec<Place>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    related_locations: Vec<Place>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    code_flows: Vec<CodeFlow>,
    partial_fingerprints: BTreeMap<&'static str, String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    suppressions: Vec<Suppressed<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    baseline_state: Option<&'static str>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Place {
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    physical_location: Option<Physical>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    logical_locations: Vec<Logical>,
    #[serde(skip_serializing_if = "Option::is_none")]
    message: Option<Text>,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Physical {
    artifact_location: Artifact,
    region: Region,
}

#[derive(Serialize)]
struct Artifact {
    uri: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Region {
    start_line: u32,
    start_column: u32,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Logical {
    fully_qualified_name: String,
}

/// The witness, step by step.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct CodeFlow {
    thread_flows: [ThreadFlow; 1],
}

#[derive(Serialize)]
struct ThreadFlow {
    locations: Vec<Step>,
}

#[derive(Serialize)]
struct Step {
    location: Place,
}

#[derive(Serialize)]
struct Suppressed<'a> {
    kind: &'static str,
    justification: &'a str,
}

/// One document.
pub(super) fn render(verification: &Verification<'_>) -> String {
    let mut rules: Vec<&Rule> = Vec::new();
    let mut results = Vec::new();
    let open = verification.findings.iter().map(|finding| (finding, None));
    let hidden = verification.suppressed.iter().map(|(finding, reason)| (finding, Some(reason.as_str())));
    for (finding, reason) in open.chain(hidden) {
        let rule_index = rules.iter().position(|rule| rule.code == finding.rule.code).unwrap_or_else(|| {
            rules.push(finding.rule);
            rules.len() - 1
        });
        results.push(result(verification, finding, rule_index, reason));
    }
    let driver = Driver {
        name: "meshproof",
        semantic_version: env!("CARGO_PKG_VERSION"),
        rules: rules.into_iter().map(descriptor).collect(),
    };
    let run = Run { tool: Tool { driver }, column_kind: "unicodeCodePoints", results };
    let log = Log { schema: SCHEMA, version: "2.1.0", runs: [run] };
    // Strings and numbers alone: it cannot fail.
    serde_json::to_string_pretty(&log).unwrap_or_default() + "\n"
}

fn descriptor(rule: &Rule) -> Descriptor<'_> {
    Descriptor {
        id: rule.code,
        name: rule.name,
        short_description: Text { text: rule.what.to_owned() },
        full_description: Text { text: rule.why.to_owned() },
        help: Text { text: format!("{PAGE} {}", rule.code) },
        default_configuration: Configuration { level: level(rule.severity) },
    }
}

fn result<'a>(
    verification: &Verification<'_>,
    finding: &'a Finding,
    rule_index: usize,
    reason: Option<&'a str>,
) -> ResultOf<'a> {
    let sources = verification.sources;
    let help = finding.help.as_ref().map(|help| format!("\nhelp: {help}")).unwrap_or_default();
    let related = finding.related.iter().enumerate();
    ResultOf {
        rule_id: finding.rule.code,
        rule_index,
        level: level(finding.severity),
        message: Text { text: format!("{}{help}", finding.message) },
        locations: vec![Place {
            id: None,
            physical_location: finding.location.as_ref().map(|at| physical(sources, at)),
            logical_locations: vec![Logical { fully_qualified_name: finding.subject.to_string() }],
            message: None,
        }],
        related_locations: related.map(|(index, (at, text))| place(sources, Some(at), text, Some(index + 1))).collect(),
        code_flows: flow(sources, finding).into_iter().collect(),
        partial_fingerprints: BTreeMap::from([("meshproof/v1", fingerprint(finding))]),
        suppressions: reason.map(|justification| Suppressed { kind: "inSource", justification }).into_iter().collect(),
        baseline_state: verification.in_baseline.map(|_| "new"),
    }
}

fn flow(sources: &Sources, finding: &Finding) -> Option<CodeFlow> {
    let steps = &finding.witness.as_ref().filter(|witness| !witness.steps.is_empty())?.steps;
    let step = |text: &String| Step { location: place(sources, finding.location.as_ref(), text, None) };
    Some(CodeFlow { thread_flows: [ThreadFlow { locations: steps.iter().map(step).collect() }] })
}

fn place(sources: &Sources, at: Option<&Location>, text: &str, id: Option<usize>) -> Place {
    Place {
        id,
        physical_location: at.map(|at| physical(sources, at)),
        logical_locations: Vec::new(),
        message: Some(Text { text: text.to_owned() }),
    }
}

fn physical(sources: &Sources, at: &Location) -> Physical {
    Physical {
        artifact_location: Artifact { uri: uri(sources.path(at.file)) },
        region: Region { start_line: at.line.max(1), start_column: at.column.max(1) },
    }
}

/// A path as a relative reference: what is no plain character of a path is written as `%XX`.
fn uri(path: &str) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~/".contains(&byte);
    path.bytes().map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") }).collect()
}

const fn level(severity: Severity) -> &'static str {
    match severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
        Severity::Info => "note",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_relative_references() {
        assert_eq!(uri("./a b/c:d.yaml"), "a%20b/c%3Ad.yaml");
        assert_eq!(uri("shop/ü.yaml"), "shop/%C3%BC.yaml");
    }
}
