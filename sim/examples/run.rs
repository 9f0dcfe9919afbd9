//! Runs a scenario of a folder and prints its report: `run FOLDER SCENARIO [SEED [REPLICATIONS [THREADS]]]`.
#![allow(
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::disallowed_types,
    clippy::cast_precision_loss,
    reason = "a program for people"
)]

use std::{fs, path::Path, time::Instant};

use meshproof_import::{ImportOptions, import};
use meshproof_model::{Sources, read_behaviour, read_scenario};
use meshproof_sim::{SimOptions, simulate};

type Failure = Box<dyn std::error::Error>;

fn main() -> Result<(), Failure> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [folder, name, rest @ ..] = arguments.as_slice() else {
        return Err("usage: run FOLDER SCENARIO [SEED [REPLICATIONS [THREADS]]]".into());
    };
    let mut sources = Sources::default();
    let mut files: Vec<_> =
        fs::read_dir(folder)?.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.sort();
    for file in files.iter().filter(|file| file.extension().is_some_and(|kind| kind == "yaml")) {
        sources.add(file.display().to_string(), fs::read_to_string(file)?);
    }
    let mut mesh = import(&sources, &ImportOptions::default()).mesh;
    mesh.behaviour = read_behaviour(&fs::read_to_string(Path::new(folder).join("mesh.ron"))?)?;
    let scenario = Path::new(folder).join("scenarios").join(format!("{name}.ron"));
    let scenario = read_scenario(&fs::read_to_string(scenario)?)?;
    let number = |at: usize| rest.get(at).map(|text| text.parse::<u32>()).transpose();
    let options = SimOptions {
        name: name.clone(),
        seed: number(0)?.map(u64::from),
        replications: number(1)?,
        threads: number(2)?.unwrap_or(0) as usize,
        ..SimOptions::default()
    };
    let begun = Instant::now();
    let mut run = simulate(&mesh, &scenario, &options)?;
    let wall = begun.elapsed().as_secs_f64();
    run.timeline.series.clear();
    println!("{}", serde_json::to_string_pretty(&run)?);
    let requests = run.client_requests as f64;
    eprintln!(
        "{wall:.2} s, {:.2} us/request, {:.1} events/request, {:.0} ns/event",
        wall * 1e6 / requests,
        run.events as f64 / requests,
        wall * 1e9 / run.events as f64,
    );
    for error in &run.internal_errors {
        eprintln!("internal error: {error}");
    }
    Ok(())
}
