//! Runs that must be the same to the last byte: over another queue, and after a fork. Every shipped scenario, thinned.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

use std::{fs, path::Path};

use meshproof_import::{ImportOptions, import};
use meshproof_model::{Load, Mesh, Phase, Rate, RolloutStep, Scenario, Sources, read_behaviour, read_scenario};

use super::*;
use crate::{SimOptions, measure::Kept};

/// Loads are thinned to about so many requests.
const REQUESTS: u128 = 3000;

/// What a run leaves behind, in full.
fn bytes(outcome: Outcome) -> String {
    let Outcome { digest, events, measure, checker, .. } = outcome;
    assert_eq!(checker.violations(), [""; 0]);
    format!("{digest} {events} {measure:?}")
}

fn engine(plan: &Plan, seed: u64) -> Engine<'_> {
    Engine::new(plan, Keys::new(seed, 0), Measure::new(plan, &Kept::default()), Checker::default())
}

#[test]
fn two_queues_give_the_same_bytes() {
    each_shipped(|name, plan| {
        let mut plain = engine(plan, 5);
        plain.queue = plain.queue.into_plain();
        assert_eq!(bytes(plain.run()), bytes(engine(plan, 5).run()), "{name}");
    });
}

#[test]
fn a_fork_goes_on_as_the_run_would_have_gone_on() {
    let mut changed = 0;
    each_shipped(|name, plan| {
        let whole = bytes(engine(plan, 5).run());
        let mut run = engine(plan, 5);
        while run.now < plan.horizon / 2 && run.step() {}
        let same = run.fork(run.keys.clone());
        let other = run.fork(run.keys.branch(1));
        // Neither copy knows of the other, nor of what becomes of the original.
        let other = bytes(other.run());
        assert_eq!(bytes(run.run()), whole, "{name}");
        assert_eq!(bytes(same.run()), whole, "{name}");
        changed += u32::from(other != whole);
    });
    assert!(changed > 10, "other keys lead elsewhere, but in {changed} scenarios only");
}

/// Runs each scenario of `topologies/` with a load that takes no time.
fn each_shipped(mut run: impl FnMut(&str, &Plan)) {
    let folder = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../topologies"));
    let mut count = 0;
    for mesh_folder in files(folder).into_iter().filter(|path| path.join("scenarios").is_dir()) {
        let mesh = mesh(&mesh_folder);
        for file in files(&mesh_folder.join("scenarios")) {
            let Ok(mut scenario) = read_scenario(&fs::read_to_string(&file).unwrap()) else { continue };
            // What a step applies is read elsewhere.
            if scenario.rollout.iter().any(RolloutStep::changes_manifests) {
                continue;
            }
            thin(&mut scenario);
            let plan = Plan::new(&mesh, &scenario, &SimOptions::default()).unwrap();
            run(&file.display().to_string(), &plan);
            count += 1;
        }
    }
    assert!(count > 15, "only {count} scenarios were found");
}

fn mesh(folder: &Path) -> Mesh {
    let mut sources = Sources::default();
    for file in files(folder).into_iter().filter(|file| file.extension().is_some_and(|of| of == "yaml")) {
        sources.add(file.display().to_string(), fs::read_to_string(&file).unwrap());
    }
    let mut mesh = import(&sources, &ImportOptions::default()).mesh;
    mesh.behaviour = read_behaviour(&fs::read_to_string(folder.join("mesh.ron")).unwrap()).unwrap();
    mesh
}

fn thin(scenario: &mut Scenario) {
    let by = u64::try_from(scenario.requests().div_ceil(REQUESTS)).unwrap().max(1);
    for load in &mut scenario.load {
        match load {
            Load::Open { rate, .. } => {
                for phase in rate {
                    let (Phase::Hold { rate, .. } | Phase::Ramp { to: rate, .. }) = phase;
                    *rate = Rate::from_milli(rate.milli() / by);
                }
            }
            Load::Closed { users, .. } => *users = (*users / 10).max(1),
            Load::Burst { requests, .. } => *requests = (*requests / by).max(1),
        }
    }
}

fn files(folder: &Path) -> Vec<std::path::PathBuf> {
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    files
}
