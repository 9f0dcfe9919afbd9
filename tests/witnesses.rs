//! Every violation that a run can show is shown by one: when it is found, and when the user runs its witness.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod common;

use common::{meshproof, scratch};
use meshproof::{Choice, Project, verify};
use meshproof_import::ImportOptions;
use meshproof_model::{Finding, FindingVerdict, Scenario, read_scenario, write_scenario};
use meshproof_sim::{SimOptions, simulate};

/// Rules whose violations are something that happens in a run.
const SHOWN_BY_RUNS: [&str; 4] = ["MP0401", "MP0402", "MP0601", "MP0602"];

/// The shipped meshes, and the broken half of every incident, by name.
fn meshes() -> Vec<(String, Project)> {
    let root = env!("CARGO_MANIFEST_DIR");
    let below = |folder: &str| {
        let mut paths: Vec<_> =
            std::fs::read_dir(format!("{root}/{folder}")).unwrap().map(|entry| entry.unwrap().path()).collect();
        paths.sort();
        paths
    };
    let options = ImportOptions::default();
    let mut meshes = Vec::new();
    for path in below("topologies") {
        let path = path.display().to_string();
        meshes.push((path.clone(), Project::read(&[path], &options).unwrap()));
    }
    for path in below("tests/incidents") {
        let text = std::fs::read_to_string(&path).unwrap();
        let bad = text.split_once("# bad\n").unwrap().1.split_once("# good\n").unwrap().0;
        let mut parts = bad.split("# file: ");
        let mut texts = vec![("mesh.yaml".to_owned(), parts.next().unwrap().to_owned())];
        texts.extend(parts.map(|part| part.split_once('\n').unwrap()).map(|(n, t)| (n.to_owned(), t.to_owned())));
        meshes.push((path.display().to_string(), Project::of_texts(texts, &options).unwrap()));
    }
    meshes
}

fn is_shown_by_runs(finding: &Finding) -> bool {
    finding.verdict == FindingVerdict::Violated && SHOWN_BY_RUNS.contains(&finding.rule.code)
}

#[test]
fn violations_replay_when_they_are_found_and_when_their_witness_is_run() {
    let (mut own, mut known) = (0, 0);
    for (name, project) in meshes() {
        let verified = verify(&project, &Choice::default()).unwrap();
        for finding in verified.findings.iter().filter(|finding| is_shown_by_runs(finding)) {
            let what = format!("{name}: {} {}", finding.rule.code, finding.message);
            let witness = finding.witness.as_ref().unwrap();
            assert_eq!(witness.replayed, Some(true), "{what}");
            let scenario = witness.scenario.clone().unwrap();
            *if scenario.clients.is_empty() { &mut known } else { &mut own } += 1;
            let written = Scenario { shows: witness.expectation.clone(), ..scenario };
            let read = read_scenario(&write_scenario(&written).unwrap()).unwrap();
            assert_eq!(read, written, "{what}");
            let run = simulate(&project.imported.mesh, &read, &SimOptions::default()).unwrap();
            assert!(run.objectives.iter().all(|objective| objective.met), "{what}: {:?}", run.objectives);
        }
    }
    assert!(known >= 10 && own >= 3, "{known} witnesses with clients of the mesh, {own} with their own");
}

#[test]
fn a_witness_is_a_file_that_simulate_judges() {
    let folder = scratch("witness-files").display().to_string();
    let answer = meshproof(&["verify", "topologies/bookinfo-broken", "--witnesses", &folder]);
    assert_eq!(answer.code, 1, "{}", answer.err);
    let file = format!("{folder}/witness-MP0401-1.ron");
    let run =
        |file: &str| meshproof(&["simulate", "topologies/bookinfo-broken", "--scenario", file, "--format", "json"]);
    let shown = run(&file);
    assert_eq!(shown.code, 0, "{}", shown.err);
    let objective = &shown.json()["objectives"][0];
    assert_eq!((&objective["name"], &objective["met"]), (&"witness".into(), &true.into()));
    let text = std::fs::read_to_string(&file).unwrap();
    let (before, after) = text.split_once("shows: ").unwrap();
    let more = format!("{folder}/more.ron");
    std::fs::write(&more, format!("{before}shows: {}", after.replacen("count: ", "count: 1", 1))).unwrap();
    let missed = run(&more);
    assert_eq!(missed.code, 1, "a number that is not reached: {}", missed.err);
}

#[test]
fn a_second_engine_decides_every_verdict_alike() {
    let twice = ["MP0301", "MP0401", "MP0402", "MP0403", "MP0501", "MP0601", "MP0602", "MP0609", "MP0610"];
    let mut decided = 0;
    for (name, project) in meshes() {
        let usual = verify(&project, &Choice::default()).unwrap();
        let paranoid = verify(&project, &Choice { paranoid: true, ..Choice::default() }).unwrap();
        assert_eq!(usual.findings, paranoid.findings, "{name}");
        assert_eq!(usual.proofs.len(), paranoid.proofs.len(), "{name}");
        for (usual, proof) in usual.proofs.iter().zip(&paranoid.proofs) {
            assert_eq!((&usual.subject, &usual.values), (&proof.subject, &proof.values), "{name}");
            if twice.contains(&proof.rule.code) {
                assert!(proof.checked_by.is_some(), "{name}: {} {}", proof.rule.code, proof.subject);
                decided += 1;
            }
        }
    }
    assert!(decided > 200, "{decided} verdicts were decided twice");
}
