//! `meshproof compare`.

use super::{
    Failure, HOLDS, InputArgs, print,
    simulate::{RunArgs, RunFormat},
    write_file,
};
use crate::{InternalError, report::comparison_table};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The mesh as it is.
    base: String,
    /// The mesh as it would be.
    head: String,
    /// A scenario of either mesh by name, or a scenario file.
    #[arg(long, value_name = "NAME")]
    scenario: String,
    #[command(flatten)]
    input: InputArgs,
    #[command(flatten)]
    run: RunArgs,
    /// How the result is printed.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: RunFormat,
    /// Where the result goes; absent: standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<String>,
}

pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    let base = args.input.read(std::slice::from_ref(&args.base))?;
    let head = args.input.read(std::slice::from_ref(&args.head))?;
    super::refuse_faults(&base)?;
    super::refuse_faults(&head)?;
    let (name, scenario) = head.scenario(&args.scenario).or_else(|_| base.scenario(&args.scenario))?;
    let mut options = args.run.options();
    options.name = name;
    let comparison = meshproof_sim::compare(&base.imported.mesh, &head.imported.mesh, &scenario, &options)
        .map_err(|error| Failure::Usage(format!("scenario `{}`: {error}", options.name)))?;
    if !comparison.internal_errors.is_empty() {
        return Err(InternalError::CheckerViolated(comparison.internal_errors).into());
    }
    let json = serde_json::to_value(&comparison).map_err(|error| Failure::Usage(error.to_string()))?;
    let text = match args.format {
        RunFormat::Json => format!("{json:#}\n"),
        RunFormat::Table => comparison_table(&json),
    };
    match &args.output {
        Some(path) => write_file(path, &text)?,
        None => {
            print(&text)?;
        }
    }
    Ok(HOLDS)
}
