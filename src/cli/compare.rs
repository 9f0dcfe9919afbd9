//! `meshproof compare`.

use meshproof_import::leaves;
use serde_json::{Value as Json, json};

use super::{
    Failure, HOLDS, InputArgs, emit,
    simulate::{RunArgs, RunFormat},
};
use crate::{InternalError, Project, report::comparison_table};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The mesh as it is: a folder, or `git:REV` for the other folder at that revision.
    base: String,
    /// The mesh as it would be; not given: the same with the values of `--set`.
    head: Option<String>,
    /// A value of the second mesh, such as `VirtualService/default/reviews spec.http[0].retries.attempts=3`.
    #[arg(long, value_name = "KIND/NS/NAME PATH=VALUE")]
    set: Vec<String>,
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
    if args.head.is_none() && args.set.is_empty() {
        return Err(Failure::Usage("compare needs a second mesh, or `--set`".to_owned()));
    }
    let other = args.head.as_deref().unwrap_or(&args.base);
    let base = args.input.read_side(&args.base, other)?;
    let mut head = args.input.read_side(other, &args.base)?;
    super::refuse_faults(&base)?;
    super::refuse_faults(&head)?;
    if !args.set.is_empty() {
        head = head.with_values(&args.set, &args.input.options())?;
        super::refuse_faults(&head)?;
    }
    let (owner, (name, scenario)) = match head.scenario(&args.scenario) {
        Ok(found) => (&head, found),
        Err(_) => (&base, base.scenario(&args.scenario)?),
    };
    let mut options = args.run.options();
    options.recorded =
        head.recordings(&args.scenario, &scenario).or_else(|_| base.recordings(&args.scenario, &scenario))?;
    options.stages = base.stages(owner, &args.scenario, &scenario)?;
    options.head_stages = head.stages(owner, &args.scenario, &scenario)?;
    options.name = name;
    let comparison = meshproof_sim::compare(&base.imported.mesh, &head.imported.mesh, &scenario, &options)
        .map_err(|error| Failure::Usage(head.why_not(&args.scenario, &error)))?;
    if !comparison.internal_errors.is_empty() {
        return Err(InternalError::CheckerViolated(comparison.internal_errors).into());
    }
    let mut json = serde_json::to_value(&comparison).map_err(|error| Failure::Usage(error.to_string()))?;
    if let Some(map) = json.as_object_mut() {
        map.insert("configuration".to_owned(), configuration(&base, &head, &args.input));
    }
    let text = match args.format {
        RunFormat::Json => format!("{json:#}\n"),
        RunFormat::Table => comparison_table(&json),
    };
    emit(args.output.as_deref(), &text)?;
    Ok(HOLDS)
}

/// What is written differently in the manifests, leaf by leaf, and whether `mesh.ron` differs.
fn configuration(base: &Project, head: &Project, input: &InputArgs) -> Json {
    let options = input.options();
    let (before, after) = (leaves(&base.sources, &options), leaves(&head.sources, &options));
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort();
    names.dedup();
    let mut changes: Vec<Json> = names
        .into_iter()
        .filter(|name| before.get(*name) != after.get(*name))
        .map(|name| json!({ "leaf": name, "before": before.get(name), "after": after.get(name) }))
        .collect();
    if base.behaviour() != head.behaviour() {
        changes.push(json!({ "leaf": "mesh.ron", "before": "another behaviour", "after": "another behaviour" }));
    }
    Json::Array(changes)
}
