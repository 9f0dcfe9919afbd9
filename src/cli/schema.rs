//! `meshproof schema NAME`: what programs may rely on, as JSON Schema.

use super::{Failure, print};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// Which output or file.
    name: Name,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Name {
    /// The JSON of `verify`.
    Verify,
    /// The JSON of `simulate`.
    Simulate,
    /// The JSON of `rules`.
    Rules,
    /// The file of `--baseline`.
    Baseline,
    /// `meshproof.toml`.
    Settings,
    /// `mesh.ron`, in terms of JSON.
    Mesh,
    /// `scenarios/*.ron`, in terms of JSON.
    Scenario,
}

pub(super) fn run(args: &Args) -> Result<u8, Failure> {
    print(match args.name {
        Name::Verify => include_str!("../../schemas/verify.json"),
        Name::Simulate => include_str!("../../schemas/simulate.json"),
        Name::Rules => include_str!("../../schemas/rules.json"),
        Name::Baseline => include_str!("../../schemas/baseline.json"),
        Name::Settings => include_str!("../../schemas/settings.json"),
        Name::Mesh => include_str!("../../schemas/mesh.json"),
        Name::Scenario => include_str!("../../schemas/scenario.json"),
    })
}
