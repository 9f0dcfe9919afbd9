//! `meshproof rules`.

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
}

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
