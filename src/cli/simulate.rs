//! `meshproof simulate`.

use std::time::Instant;

use meshproof_model::Share;
use meshproof_sim::SimOptions;

use super::{Failure, HOLDS, InputArgs, VIOLATED, emit};
use crate::{
    InternalError, bounds_of_run,
    report::{number, run_table},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files, folders, or `-` for standard input; absent: the current folder.
    paths: Vec<String>,
    /// A scenario of the mesh by name, or a scenario file.
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
    /// Leave out the wall time, so that the same input gives the same bytes.
    #[arg(long)]
    no_timing: bool,
}

/// How runs are made.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct RunArgs {
    /// The seed, in place of the scenario's.
    #[arg(long, value_name = "N")]
    pub(super) seed: Option<u64>,
    /// The number of runs, in place of the scenario's.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) replications: Option<u32>,
    /// As many runs as it takes, until the interval of each objective's figure reaches to both sides at most this part
    /// of it, such as `2%`; `--replications` is then the most.
    #[arg(long, value_name = "SHARE")]
    pub(super) precision: Option<Share>,
    /// Threads; 0: as many as there are cores.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub(super) threads: usize,
}

/// A format of `simulate` and `compare`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub(super) enum RunFormat {
    /// Tables.
    Table,
    /// One JSON document.
    Json,
}

impl RunArgs {
    pub(super) fn options(&self) -> SimOptions {
        SimOptions {
            seed: self.seed,
            replications: self.replications,
            precision: self.precision.map(|share| f64::from(share.ppm()) / 1e6),
            threads: self.threads,
            ..SimOptions::default()
        }
    }
}

pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    let project = args.input.read(&args.paths)?;
    super::refuse_faults(&project)?;
    let (scenario, mut options) = project.ready(&args.scenario, args.run.options())?;
    let started = Instant::now();
    options.bounds = bounds_of_run(&project.imported.mesh, &scenario, &options)?;
    let result = meshproof_sim::simulate(&project.imported.mesh, &scenario, &options)
        .map_err(|error| Failure::Usage(project.why_not(&args.scenario, &error)))?;
    if !result.internal_errors.is_empty() {
        return Err(InternalError::CheckerViolated(result.internal_errors).into());
    }
    let mut run = serde_json::to_value(&result).map_err(|error| Failure::Usage(error.to_string()))?;
    if let (Some(map), false) = (run.as_object_mut(), args.no_timing) {
        map.insert("wall_s".to_owned(), number::rounded(started.elapsed().as_secs_f64(), 3));
    }
    let missed = run["objectives"].as_array().into_iter().flatten().any(|objective| objective["met"] == false);
    let text = match args.format {
        RunFormat::Json => format!("{run:#}\n"),
        RunFormat::Table => run_table(&run),
    };
    emit(args.output.as_deref(), &text)?;
    Ok(if missed { VIOLATED } else { HOLDS })
}
