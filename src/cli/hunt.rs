//! `meshproof hunt`.

use std::fmt::Write as _;

use meshproof_sim::{Collapse, LoadClass, collapse};

use super::{
    Failure, HOLDS, InputArgs, emit,
    simulate::{RunArgs, RunFormat},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files, folders, or `-` for standard input; absent: the current folder.
    paths: Vec<String>,
    /// A scenario of the mesh by name, or a scenario file: its loads, held at their greatest.
    #[arg(long, value_name = "NAME")]
    scenario: String,
    /// Map load and triggers, and watch for falls without a trigger.
    #[arg(long, required = true)]
    collapse: bool,
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
    let project = args.input.read(&args.paths)?;
    super::refuse_faults(&project)?;
    let (scenario, options) = project.ready(&args.scenario, args.run.options())?;
    let found = collapse(&project.imported.mesh, &scenario, &options)
        .map_err(|error| Failure::Usage(project.why_not(&args.scenario, &error)))?;
    let text = match args.format {
        RunFormat::Json => {
            let json = serde_json::to_value(&found).map_err(|error| Failure::Usage(error.to_string()))?;
            format!("{json:#}\n")
        }
        RunFormat::Table => table(&found),
    };
    emit(args.output.as_deref(), &text)?;
    Ok(HOLDS)
}

const fn named(class: LoadClass) -> &'static str {
    match class {
        LoadClass::Stable => "stable",
        LoadClass::Vulnerable => "vulnerable",
        LoadClass::Overloaded => "overloaded",
    }
}

fn table(found: &Collapse) -> String {
    let mut out = format!("scenario {}, seed {}: {}\n", found.scenario, found.seed, named(found.class));
    let _ = writeln!(out, "recovery after a pause of {}:", found.trigger);
    for row in &found.map {
        let _ = write!(out, "{:>6.0} %  {:<11}", row.load * 100.0, named(row.class));
        for cell in &row.triggers {
            let end = match (cell.recovers, cell.recovery_s) {
                (true, Some(seconds)) => format!("{seconds:.1} s"),
                (true, None) => "yes".to_owned(),
                (false, _) => "never".to_owned(),
            };
            let _ = write!(out, "  {} s: {end:<8}", cell.pause_s);
        }
        let _ = writeln!(out);
    }
    let falls = &found.spontaneous;
    let (runs, collapses, exposure) = (falls.runs, falls.collapses, falls.exposure_s);
    let _ = write!(out, "without a trigger: {collapses} of {runs} runs fell in {exposure:.0} s");
    let _ = match (falls.mean_time_s, falls.interval) {
        (Some(mean), (lo, Some(hi))) => writeln!(out, ", one in {mean:.0} s (95 %: {lo:.0} to {hi:.0} s)"),
        (_, (lo, _)) => writeln!(out, ": less often than once in {lo:.0} s (95 %)"),
    };
    if let Some(found) = &found.splitting {
        let _ = write!(out, "by splitting, from {:.0} simulated seconds: ", found.simulated_s);
        let _ = match (found.mean_time_s, found.interval) {
            (Some(mean), (lo, Some(hi))) => writeln!(out, "one in {mean:.3e} s (95 %: {lo:.2e} to {hi:.2e} s)"),
            (_, (lo, _)) => writeln!(out, "none; less often than once in {lo:.1e} s (95 %)"),
        };
    }
    out
}

#[cfg(test)]
mod tests {
    use meshproof_sim::{Splitting, Spontaneous};

    use super::*;

    fn found(mean_time_s: Option<f64>, interval: (f64, Option<f64>)) -> Collapse {
        Collapse {
            schema_version: 1,
            scenario: "steady".to_owned(),
            seed: 1,
            trigger: "default/worker".to_owned(),
            class: LoadClass::Vulnerable,
            spontaneous: Spontaneous {
                runs: 8,
                collapses: 0,
                exposure_s: 480.0,
                mean_time_s: None,
                interval: (130.1, None),
            },
            splitting: Some(Splitting {
                levels: vec![1.0, 3.0],
                first_steps_per_s: 2.0,
                shares: vec![0.25],
                estimates: 6,
                simulated_s: 900.0,
                mean_time_s,
                interval,
            }),
            map: Vec::new(),
        }
    }

    #[test]
    fn falls_that_were_not_seen_are_estimated_on_the_last_line() {
        let last = |found: &Collapse| table(found).lines().last().unwrap_or_default().to_owned();
        assert_eq!(
            last(&found(Some(123_456.0), (60_000.0, Some(250_000.0)))),
            "by splitting, from 900 simulated seconds: one in 1.235e5 s (95 %: 6.00e4 to 2.50e5 s)"
        );
        assert_eq!(
            last(&found(None, (3e9, None))),
            "by splitting, from 900 simulated seconds: none; less often than once in 3.0e9 s (95 %)"
        );
    }
}
