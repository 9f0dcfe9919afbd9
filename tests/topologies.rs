//! The shipped scenarios: each shows what it is there to show, its bytes are known, and a page tells of it.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod common;

use std::{fmt::Write, fs};

use meshproof::Project;
use meshproof_import::ImportOptions;
use meshproof_model::{Load, Phase, Rate, Scenario};
use meshproof_sim::{Run, SimOptions, simulate};

const DIGESTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/digests.txt");
const PAGE: &str = include_str!("../book/src/topologies.md");
/// Scenarios with more requests are run in full with `MESHPROOF_SLOW` only.
const QUICK: u128 = 60_000;
/// Loads are thinned to about so many requests for a digest.
const THIN: u128 = 10_000;

/// Every mesh of `topologies/` by its name, in order.
fn shipped() -> Vec<(String, Project)> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/topologies");
    let mut folders: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    folders.retain(|path| path.join("scenarios").is_dir());
    folders.sort();
    let read = |path: std::path::PathBuf| {
        let project = Project::read(&[path.display().to_string()], &ImportOptions::default()).unwrap();
        (path.file_name().unwrap().to_str().unwrap().to_owned(), project)
    };
    folders.into_iter().map(read).collect()
}

fn requests(scenario: &Scenario) -> u128 {
    let closed = |load: &Load| match load {
        Load::Closed { users, think, .. } => {
            let think = u128::from(think.max().map_or(1_000_000_000, meshproof_model::Nanos::get).max(1));
            u128::from(*users) * u128::from(scenario.horizon.get()) / think
        }
        _ => 0,
    };
    scenario.requests() + scenario.load.iter().map(closed).sum::<u128>()
}

/// The same scenario with a load so much lower that a digest takes no time.
fn thinned(scenario: &Scenario) -> Scenario {
    let by = u64::try_from(requests(scenario).div_ceil(THIN)).unwrap().max(1);
    let mut thin = scenario.clone();
    for load in &mut thin.load {
        match load {
            Load::Open { rate, .. } => {
                for phase in rate {
                    let (Phase::Hold { rate, .. } | Phase::Ramp { to: rate, .. }) = phase;
                    *rate = Rate::from_milli(rate.milli() / by);
                }
            }
            Load::Closed { users, .. } => *users = (*users / u32::try_from(by).unwrap()).max(1),
            Load::Burst { requests, .. } => *requests /= by,
        }
    }
    thin
}

fn run(project: &Project, name: &str, scenario: &Scenario) -> Run {
    let (_, options) = project.ready(name, SimOptions::default()).unwrap();
    let run = simulate(&project.imported.mesh, scenario, &options).unwrap();
    assert_eq!(run.internal_errors, [""; 0]);
    run
}

/// `MESHPROOF_BLESS=1 cargo test --test topologies` writes the list anew; the change is to be read like any other.
#[test]
fn digests_are_those_of_the_list() {
    let mut digests = "# Digests of the shipped scenarios under a thinned load: mesh, scenario, digest.\n".to_owned();
    for (mesh, project) in shipped() {
        for (name, scenario) in &project.scenarios {
            writeln!(digests, "{mesh} {name} {}", run(&project, name, &thinned(scenario)).digest).unwrap();
        }
    }
    if std::env::var_os("MESHPROOF_BLESS").is_some() {
        fs::write(DIGESTS, &digests).unwrap();
    }
    assert_eq!(fs::read_to_string(DIGESTS).unwrap(), digests);
}

#[test]
fn every_scenario_shows_what_it_is_there_to_show() {
    let is_slow = std::env::var_os("MESHPROOF_SLOW").is_some();
    let mut missed = Vec::new();
    // The broken mesh is there to miss its objectives.
    for (mesh, project) in shipped().into_iter().filter(|(mesh, _)| mesh != "bookinfo-broken") {
        for (name, scenario) in &project.scenarios {
            assert!(!scenario.objectives.is_empty(), "{mesh} {name} has no objectives");
            if requests(scenario) > QUICK && !is_slow {
                continue;
            }
            for objective in run(&project, name, scenario).objectives.iter().filter(|objective| !objective.met) {
                missed.push(format!("{mesh} {name}: {} is {:?}", objective.expression, objective.observed));
            }
        }
    }
    assert_eq!(missed, [""; 0]);
}

#[test]
fn every_scenario_has_its_command_and_seed_on_the_page() {
    for (mesh, project) in shipped() {
        for (name, scenario) in &project.scenarios {
            let command = format!("meshproof simulate topologies/{mesh} --scenario {name}");
            assert!(PAGE.contains(&command), "the page lacks `{command}`");
            assert!(PAGE.contains(&format!("seed {}", scenario.seed)), "the page lacks the seed of {mesh} {name}");
        }
    }
}
