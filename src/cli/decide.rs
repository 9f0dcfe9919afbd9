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
    let got = std::io::stdin().lock().read_to_string(&mut text);
    got.map_err(|error| Failure::Usage(format!("cannot read the questions: {error}")))?;
    let lines: Vec<Line> = text.lines().filter(|line| !line.trim().is_empty()).map(read).collect();
    let questions = lines.iter().filter_map(|line| line.question.as_deref().ok());
    let prepared = Prepared::with_questions(&project.imported.mesh, questions);
    let decider = Decider::new(&prepared);
    let answer = |line: &Line| match &line.question {
        Ok(question) => decider.answer(question),
        Err(unread) => (**unread).clone(),
    };
    let pool = rayon::ThreadPoolBuilder::new().num_threads(args.threads).build();
    let answers: Vec<Answer> = match pool {
        Ok(pool) => pool.install(|| lines.par_iter().map(answer).collect()),
        Err(error) => return Err(Failure::Usage(format!("cannot start threads: {error}"))),
    };
    let mut out = String::new();
    let mut code = HOLDS;
    for (number, (line, answer)) in lines.iter().zip(&answers).enumerate() {
        if let Some(fault) = &line.fault {
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

/// One line: its question, or the answer to a line that holds none.
struct Line {
    question: Result<Box<Question>, Box<Answer>>,
    /// What is wrong with it if it is no JSON object.
    fault: Option<String>,
}

fn read(line: &str) -> Line {
    let none = |why: String, fault: String| Line { question: Err(Box::new(Answer::unknown(why))), fault: Some(fault) };
    let value: serde_json::Value = match serde_json::from_str(line) {
        Ok(value @ serde_json::Value::Object(_)) => value,
        Ok(_) => return none("the line is no JSON object".to_owned(), "no JSON object".to_owned()),
        Err(error) => return none(format!("the line is no JSON: {error}"), error.to_string()),
    };
    let id = value.get("id").cloned().unwrap_or_default();
    let question = serde_json::from_value::<Question>(value).map(Box::new);
    let unread = |error| Box::new(Answer { id, ..Answer::unknown(format!("the question cannot be read: {error}")) });
    Line { question: question.map_err(unread), fault: None }
}
