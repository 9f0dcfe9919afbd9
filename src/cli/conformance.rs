//! `meshproof conformance`: decision cases through the proxy core.

use std::io;

use clap::Subcommand;
use meshproof_conformance::{experiment, replay};

use super::{Failure, HOLDS};

#[derive(Debug, Subcommand)]
pub(super) enum Conformance {
    /// Answer decision cases: a JSON array on standard input, one line of observations each on standard output.
    Replay,
    /// Answer system experiments of the same schema.
    Experiment,
}

pub(super) fn run(command: &Conformance) -> Result<u8, Failure> {
    let (input, output) = (io::stdin().lock(), io::stdout().lock());
    let answered = match command {
        Conformance::Replay => replay(input, output),
        Conformance::Experiment => experiment(input, output),
    };
    answered.map(|()| HOLDS).map_err(|error| Failure::Usage(error.to_string()))
}
