//! What the manifests of some folders mean for all requests: `cargo run --example verify -- topologies/bookinfo-broken`

#![allow(clippy::print_stdout, reason = "a program for people")]

use std::error::Error;

use meshproof::{Choice, Project, verify};
use meshproof_import::ImportOptions;

fn main() -> Result<(), Box<dyn Error>> {
    let paths: Vec<String> = std::env::args().skip(1).collect();
    let project = Project::read(&paths, &ImportOptions::default())?;
    let verified = verify(&project, &Choice::default())?;
    for finding in &verified.findings {
        let at = finding.location.as_ref().map(|at| at.display(&project.sources).to_string()).unwrap_or_default();
        println!("{at}: {}: {}", finding.rule.code, finding.message);
    }
    println!("{} proofs, {} findings", verified.proofs.len(), verified.findings.len());
    Ok(())
}
