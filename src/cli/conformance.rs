//! `meshproof conformance`: decision cases through the proxy core, cases with known answers through the simulator.

use std::io;

use clap::Subcommand;
use meshproof_conformance::{experiment, replay};

use super::{Failure, HOLDS};
use crate::analytic::{self, Effort};

#[derive(Debug, Subcommand)]
pub(super) enum Conformance {
    /// Answer decision cases: a JSON array on standard input, one line of observations each on standard output.
    Replay,
    /// Answer system experiments of the same schema.
    Experiment,
    /// Answer cases whose answer is known: closed forms, published metastable failures.
    Analytic(AnalyticArgs),
}

#[derive(Debug, clap::Args)]
pub(super) struct AnalyticArgs {
    /// The most requests that are simulated for one number.
    #[arg(long, value_name = "N", default_value_t = Effort::default().requests)]
    requests: f64,
    /// Threads; 0: as many as there are cores.
    #[arg(long, value_name = "N", default_value_t = 0)]
    threads: usize,
}

pub(super) fn run(command: &Conformance) -> Result<u8, Failure> {
    let (input, output) = (io::stdin().lock(), io::stdout().lock());
    let answered = match command {
        Conformance::Replay => replay(input, output),
        Conformance::Experiment => experiment(input, output),
        Conformance::Analytic(args) => {
            let effort = Effort { requests: args.requests, threads: args.threads };
            let answered = analytic::answer(input, output, effort);
            return answered.map(|()| HOLDS).map_err(|error| Failure::Usage(error.to_string()));
        }
    };
    answered.map(|()| HOLDS).map_err(|error| Failure::Usage(error.to_string()))
}
