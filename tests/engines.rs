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

/// An answer of the cache is the answer, whatever is in the folder.
#[test]
fn a_cache_changes_no_answer() {
    let folder = common::copy_of("bookinfo-broken", "cache-mesh", &[]);
    let cache = scratch("cache-answers");
    let [mesh, answers] = [&folder, &cache].map(|path| path.display().to_string());
    let question = ["verify", &mesh, "--format", "json", "--no-timing", "--format", "concise"];
    let plain = meshproof(&question);
    let ask = |more: &[&str]| meshproof(&[&question[..], &["--cache", &answers], more].concat());
    let entries = || {
        let entries = fs::read_dir(&cache).unwrap().map(|entry| entry.unwrap().path());
        entries.collect::<BTreeSet<_>>().into_iter().collect::<Vec<_>>()
    };
    for (what, count) in [("first", 1), ("again", 1)] {
        let answer = ask(&[]);
        assert_eq!((answer.code, &answer.out, &answer.err), (plain.code, &plain.out, &plain.err), "{what}");
        assert_eq!(entries().len(), count, "{what}");
    }
    // It is the entry that answers: another program would write another one.
    let entry = entries().remove(0);
    let whole = fs::read_to_string(&entry).unwrap();
    let broken = [
        String::new(),
        whole[..whole.len() / 2].to_owned(),
        whole.replacen("\"code\":1", "\"code\":0", 1),
        whole.replacen("MP0401", "MP0402", 1),
        "no digest".to_owned(),
    ];
    for text in broken {
        assert_ne!(text, whole);
        fs::write(&entry, &text).unwrap();
        let answer = ask(&[]);
        assert_eq!((answer.code, &answer.out), (plain.code, &plain.out), "{text:.60}");
        assert_eq!(fs::read_to_string(&entry).unwrap(), whole, "it is written anew");
    }
    // Any other question has an entry of its own, and so has a text that differs by a blank.
    assert_eq!(ask(&["--fail-on", "never"]).code, 0);
    let file = folder.join("mesh.ron");
    let text = fs::read_to_string(&file).unwrap();
    fs::write(&file, text + " ").unwrap();
    assert_eq!(ask(&[]).code, plain.code);
    assert_eq!(entries().len(), 3);
    // What looks at more than the texts is not kept.
    ask(&["--suggest"]);
    assert_eq!(entries().len(), 3);
}

/// cvc5 says of every query what Z3 said. `make cvc5` installs it.
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
