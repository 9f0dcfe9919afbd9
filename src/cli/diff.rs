//! `meshproof diff`.

use super::{Failure, HOLDS, InputArgs, VIOLATED, print, refuse_faults, write_file};
use crate::{
    Choice,
    difference::changes,
    report::{difference_json, difference_text},
};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The mesh as it was: a folder, or `git:REV` for the other folder at that revision.
    base: String,
    /// The mesh as it is; likewise.
    head: String,
    #[command(flatten)]
    input: InputArgs,
    /// How the result is printed.
    #[arg(long, value_name = "FORMAT", default_value = "table")]
    format: DiffFormat,
    /// Where the result goes; absent: standard output.
    #[arg(long, value_name = "FILE")]
    output: Option<String>,
    /// Only findings of rules of this code or family; repeatable.
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    select: Vec<String>,
    /// No findings of rules of this code or family; repeatable.
    #[arg(long, value_name = "CODE", value_delimiter = ',')]
    ignore: Vec<String>,
    /// Threads; 0: as many as there are cores.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
    /// Print nothing where nothing differs.
    #[arg(short, long)]
    quiet: bool,
}

/// How differences are printed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum DiffFormat {
    /// For people.
    Table,
    /// One JSON document.
    Json,
}

pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    let base = args.input.read_side(&args.base, &args.head)?;
    let head = args.input.read_side(&args.head, &args.base)?;
    refuse_faults(&base)?;
    refuse_faults(&head)?;
    let choice = Choice {
        select: args.select.clone(),
        ignore: args.ignore.clone(),
        strict: args.input.strict,
        threads: args.threads,
        today: Some(super::today()),
        ..Choice::default()
    };
    let found = changes(&base, &head, &choice)?;
    let code = if found.is_empty() { HOLDS } else { VIOLATED };
    if args.quiet && code == HOLDS {
        return Ok(code);
    }
    let text = match args.format {
        DiffFormat::Json => format!("{:#}\n", difference_json(&found)),
        DiffFormat::Table => difference_text(&found),
    };
    match &args.output {
        Some(path) => write_file(path, &text)?,
        None => {
            print(&text)?;
        }
    }
    Ok(code)
}
