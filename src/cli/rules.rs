//! `meshproof rules`.

use std::fmt::Write as _;

use meshproof_model::RULES;
use serde_json::json;
use tabled::{builder::Builder, settings::Style};

use super::{Failure, print};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// How the list is printed.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: ListFormat,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ListFormat {
    /// A table.
    Table,
    /// One JSON document.
    Json,
    /// The page of the book.
    Markdown,
}

/// What the first two digits of a code stand for.
const FAMILIES: [(&str, &str); 10] = [
    ("01", "Input and schema"),
    ("02", "References and conflicts"),
    ("03", "Routing"),
    ("04", "Timeouts and retries"),
    ("05", "Load, breakers and overload"),
    ("06", "Identity and access"),
    ("07", "Resilience"),
    ("08", "Rollout"),
    ("09", "Objectives of a simulation"),
    ("10", "Intents"),
];

pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    match args.format {
        ListFormat::Json => {
            let rules: Vec<_> = RULES
                .iter()
                .map(|rule| {
                    json!({
                        "code": rule.code, "rule": rule.name, "severity": rule.severity,
                        "what": rule.what, "why": rule.why, "istio": rule.istio,
                    })
                })
                .collect();
            print(&format!("{:#}\n", json!({"schema_version": 1, "rules": rules})))
        }
        ListFormat::Markdown => print(&markdown()),
        ListFormat::Table => {
            let mut rows = Builder::default();
            rows.push_record(["code", "rule", "severity", "judges"]);
            for rule in RULES {
                rows.push_record([rule.code, rule.name, crate::report::severity(rule.severity), rule.what]);
            }
            print(&format!("{}\n", rows.build().with(Style::sharp())))
        }
    }
}

fn markdown() -> String {
    let mut text =
        "# Rules\n\nWhat `meshproof verify` judges; this page is what `meshproof rules --format markdown` prints. \
        `meshproof explain CODE` shows for each rule a mesh that it finds fault with and one that it does not.\n"
            .to_owned();
    for (family, title) in FAMILIES {
        // Writing to a string does not fail.
        _ = write!(text, "\n## {title}\n");
        for rule in RULES.iter().filter(|rule| rule.code[2..].starts_with(family)) {
            let (code, name, severity) = (rule.code, rule.name, crate::report::severity(rule.severity));
            _ = write!(text, "\n### {code} {name}\n\n*{severity}*: {}. Why it matters: {}.", rule.what, rule.why);
            if let Some(istio) = rule.istio {
                _ = write!(text, " Istio's analysis calls it {istio}.");
            }
            if crate::pages::page(code).is_some() {
                _ = write!(text, " [Examples](../../rules/{code}.yaml)");
            }
            text.push('\n');
        }
    }
    text
}
