//! Turns properties of a mesh into fixpoints and SMT queries, and the answers into checked verdicts.
//!
//! Engines form a ladder: a closed form or a fixpoint in exact integers decides where the statement is monotone,
//! and Z3 checks its certificate again; where there is a choice to make, Z3 decides. Two engines that disagree are a
//! bug of this program and never a verdict; a query that meets its limit is undecided and never a pass.
#![allow(clippy::similar_names, reason = "callers and callees")]

mod access;
pub mod assumption;
mod availability;
mod bounds;
mod dfa;
mod difference;
mod extract;
mod failures;
mod flow;
mod graph;
mod intent;
mod orders;
mod patterns;
mod property;
mod report;
mod route_formula;
mod route_match;
mod smt;
mod staging;
mod term;
#[cfg(test)]
mod testing;
mod value;
mod witness;
mod z3;

use meshproof_model::Mesh;
use rayon::prelude::*;

pub use access::matrix::{Pair, Passing, access_matrix};
pub use assumption::Assumption;
pub use availability::availability;
pub use difference::*;
pub use intent::Intents;
pub use orders::{Orders, UnsafeState, orders};
pub use report::*;
pub use z3::z3_version;

/// Judges every rule that is selected. The report depends on the mesh, the limits and the version of Z3 alone, not on
/// the number of threads.
pub fn verify(mesh: &Mesh, options: &VerifyOptions) -> Report {
    let graph = extract::extract(mesh);
    let judge = property::Judge {
        mesh,
        graph: &graph,
        options,
        asked: property::Asked::default(),
        staging: staging::Staging::default(),
    };
    let selected: Vec<_> =
        property::PROPERTIES.iter().filter(|(rules, _)| rules.iter().any(|rule| options.selects(rule))).collect();
    let run = || selected.par_iter().map(|(_, check)| check(&judge)).collect::<Vec<Report>>();
    let parts = match rayon::ThreadPoolBuilder::new().num_threads(options.threads).build() {
        Ok(pool) => pool.install(run),
        Err(_) => selected.iter().map(|(_, check)| check(&judge)).collect(),
    };
    let mut report = Report { z3_version: z3_version(), ..Report::default() };
    for part in parts {
        report.absorb(part);
    }
    report.findings.retain(|finding| options.selects(finding.rule));
    report.proofs.retain(|proof| options.selects(proof.rule));
    report.queries = judge.asked.scripts();
    report.finish();
    report
}

/// What no simulated run of a mesh may exceed, beyond what [`verify`] has put into its report.
pub fn add_bounds(bounds: &mut meshproof_model::Bounds, mesh: &Mesh) {
    bounds::add(bounds, mesh, &extract::extract(mesh));
}
