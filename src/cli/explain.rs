//! `meshproof explain CODE`: a rule's page.

use meshproof_model::rule;

use super::{Failure, print};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// A rule's code, such as MP0401.
    code: String,
}

pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    let Some(rule) = rule(&args.code) else {
        return Err(Failure::Usage(format!("no rule has the code `{}`: see `meshproof rules`", args.code)));
    };
    let severity = crate::report::severity(rule.severity);
    let istio = rule.istio.map(|code| format!("\nIstio's analysis: {code}")).unwrap_or_default();
    print(&format!(
        "{} {} ({severity})\n\nWhat it judges: {}.\nWhy it matters: {}.{istio}\n",
        rule.code, rule.name, rule.what, rule.why
    ))
}
