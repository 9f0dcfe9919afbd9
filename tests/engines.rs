//! Verdicts do not depend on who computes them: how many threads, how often, which solver. Slow: `MESHPROOF_SLOW`.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod common;

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use common::{meshproof, scratch};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");

fn is_slow() -> bool {
    std::env::var_os("MESHPROOF_SLOW").is_some()
}

/// The shipped meshes.
fn topologies() -> Vec<String> {
    let folder = Path::new(ROOT).join("topologies");
    let entries = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries
        .filter(|path| path.is_dir())
        .map(|path| path.display().to_string())
        .collect::<BTreeSet<_>>()
        .into_iter()
        .collect()
}

/// A hundred runs of a mesh with findings, proofs and replays, on any number of threads: the same bytes each time.
#[test]
fn a_hundred_runs_give_the_same_bytes() {
    let runs = if is_slow() { 100 } else { 4 };
    for mesh in ["topologies/bookinfo-broken", "topologies/locked-shop"] {
        let run = |number: u64| {
            let threads = (number % 9).to_string();
            let args = ["verify", mesh, "--format", "json", "--no-timing", "--fail-on", "never", "--threads", &threads];
            meshproof(&args).out
        };
        let first = run(0);
        assert!(first.contains("\"findings\""), "{first}");
        for number in 1..runs {
            assert_eq!(run(number), first, "{mesh}, run {number}");
        }
    }
}

/// cvc5 says of every query what Z3 said: no claim's negation is satisfiable. `make cvc5` installs it.
#[test]
fn another_solver_agrees() {
    let python = Path::new(ROOT).join(".cvc5/bin/python3");
    if !is_slow() || !python.exists() {
        return;
    }
    for mesh in topologies() {
        let folder = scratch(&format!("cvc5-{}", Path::new(&mesh).file_name().unwrap().display()));
        let path = folder.display().to_string();
        meshproof(&["verify", &mesh, "--fail-on", "never", "--quiet", "--paranoid", "--emit-smt2", &path]);
        if fs::read_dir(&folder).unwrap().next().is_none() {
            continue;
        }
        let output = Command::new(&python).args(["tools/check_smt2.py", &path]).current_dir(ROOT).output().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{mesh}: {said}");
    }
}
