//! `meshproof decide PATH`: JSON lines of questions in, JSON lines of answers out.

use std::io::Read as _;

use rayon::prelude::*;

use super::{BAD_INPUT, Failure, HOLDS, InputArgs, complain, print, refuse_faults};
use crate::decide::{Answer, Decider, Prepared, Question};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Files or folders with the mesh; questions come from standard input.
    #[arg(required = true)]
    paths: Vec<String>,
    #[command(flatten)]
    input: InputArgs,
    /// Threads; 0: as many as there are cores.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    if args.paths.iter().any(|path| path == "-") {
        return Err(Failure::Usage("`decide` reads questions from standard input: the mesh needs a path".to_owned()));
    }
    let project = args.input.read(&args.paths)?;
    refuse_faults(&project)?;
    let mut text = String::new();
    let read = std::io::stdin().lock().read_to_string(&mut text);
    read.map_err(|error| Failure::Usage(format!("cannot read the questions: {error}")))?;
    let prepared = Prepared::new(&project.imported.mesh);
    let decider = Decider::new(&prepared);
    let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    let answer = || lines.par_iter().map(|line| answer(&decider, line)).collect::<Vec<(Answer, Option<String>)>>();
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads).build();
    let answers = match pool {
        Ok(pool) => pool.install(answer),
        Err(error) => return Err(Failure::Usage(format!("cannot start threads: {error}"))),
    };
    let mut out = String::new();
    let mut code = HOLDS;
    for (number, (answer, fault)) in answers.iter().enumerate() {
        if let Some(fault) = fault {
            complain(&format!("line {}: {fault}", number + 1));
            code = BAD_INPUT;
        }
        let line = serde_json::to_string(answer);
        out.push_str(&line.map_err(|error| Failure::Usage(format!("cannot write an answer: {error}")))?);
        out.push('\n');
    }
    print(&out)?;
    Ok(code)
}

/// The answer to a line, and what is wrong with it if it is no JSON object.
fn answer(decider: &Decider<'_>, line: &str) -> (Answer, Option<String>) {
    let value: serde_json::Value = match serde_json::from_str(line) {
        Ok(value @ serde_json::Value::Object(_)) => value,
        Ok(_) => return (Answer::unknown("the line is no JSON object"), Some("no JSON object".to_owned())),
        Err(error) => return (Answer::unknown(format!("the line is no JSON: {error}")), Some(error.to_string())),
    };
    let id = value.get("id").cloned().unwrap_or_default();
    match serde_json::from_value::<Question>(value) {
        Ok(question) => (decider.answer(&question), None),
        Err(error) => (Answer { id, ..Answer::unknown(format!("the question cannot be read: {error}")) }, None),
    }
}
