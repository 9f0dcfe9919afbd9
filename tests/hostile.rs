//! Manifests are data: whatever they say, nothing is written but what was asked for, nothing is run, nobody is called.
//! And whenever a run is killed, an output is whole or not there.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod common;

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{PermissionsExt as _, symlink},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    time::Duration,
};

use common::{copy_of, scratch};

const NAMES: [&str; 7] = [
    "../../../outside",
    "/tmp/outside",
    "a; touch ran",
    "$(touch ran)",
    "`touch ran`",
    "| touch ran",
    "http://127.0.0.1:9/x",
];

/// Every file below a folder, with its text.
fn files(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

/// Bookinfo with names that would do harm in a path or in a shell, wherever a name is free.
fn hostile(folder: &Path, name: &str) {
    common::copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("topologies/bookinfo-broken"), &folder.join("mesh"));
    let text = format!(
        "apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {{name: {name:?}, namespace: {name:?}}}\nspec:\n  \
         hosts: [{name:?}]\n  http:\n  - name: {name:?}\n    retries: {{attempts: 9}}\n    route: [{{destination: {{host: {name:?}}}}}]\n---\n\
         apiVersion: security.istio.io/v1\nkind: RequestAuthentication\nmetadata: {{name: {name:?}}}\nspec: {{jwtRules: [{{issuer: {name:?}, \
         jwksUri: \"http://127.0.0.1:9/keys\"}}]}}\n---\n\
         apiVersion: v1\nkind: ConfigMap\nmetadata: {{name: {name:?}}}\ndata: {{{name:?}: {name:?}}}\n"
    );
    fs::write(folder.join("mesh/hostile.yaml"), text).unwrap();
    fs::write(
        folder.join("mesh/x.intent"),
        format!("assert {name:?}: for all s in services: then amplification(s) <= 1;"),
    )
    .unwrap();
    let tests = format!("Tests(version: 1, tests: [Property(name: {name:?}, code: \"MP0401\", verdict: Holds)])");
    fs::write(folder.join("mesh/x.test.ron"), tests).unwrap();
}

#[test]
fn nothing_is_written_run_or_called_that_was_not_asked_for() {
    for (number, name) in NAMES.into_iter().enumerate() {
        let folder = scratch(&format!("hostile-{number}"));
        hostile(&folder, name);
        fs::create_dir(folder.join("bin")).unwrap();
        // Programs that would be run are found here first, and leave a trace.
        for program in ["git", "sh", "bash", "curl", "helm", "kubectl", "z3", "touch"] {
            let path = folder.join("bin").join(program);
            fs::write(&path, format!("#!/bin/sh\n: > '{}/ran'\n", folder.display())).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        }
        let before = files(&folder);
        for args in [
            "verify mesh --format full --format sarif --output out/a --output out/b --witnesses out/w --write-baseline out/c",
            "verify mesh --format html --output out/d",
            "test mesh --format junit --output out/e",
            "test mesh --suggest --output out/f",
            "diff mesh mesh --output out/g",
            "simulate mesh --scenario ratings-down --output out/h",
            "explain mesh --from default/productpage-v1 --to reviews:9080",
        ] {
            fs::create_dir_all(folder.join("out")).unwrap();
            let status = Command::new(env!("CARGO_BIN_EXE_meshproof"))
                .args(args.split(' '))
                .current_dir(&folder)
                .env("PATH", folder.join("bin"))
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .status()
                .unwrap();
            assert!(status.code().is_some_and(|code| code < 70), "{args}: {status}");
        }
        let mut after = files(&folder);
        after.retain(|path, _| !path.starts_with(folder.join("out")));
        assert!(
            before == after,
            "{name}: {:?}",
            after.keys().filter(|path| !before.contains_key(*path)).collect::<Vec<_>>()
        );
        let written =
            fs::read_dir(folder.join("out/w")).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
        assert!(written.into_iter().all(|name| name.starts_with("witness-MP")));
    }
}

/// The code that writes files and the code that runs a program are one function each, and none opens a connection.
#[test]
fn one_place_writes_one_place_runs_and_none_calls() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for folder in ["src", "proxy/src", "model/src", "import/src", "sim/src", "verifier/src", "conformance/src"] {
        for (path, text) in files(&root.join(folder)) {
            let text = String::from_utf8_lossy(&text).into_owned();
            let name = path.strip_prefix(root).unwrap().display().to_string();
            for word in [
                "fs::write(",
                "File::create",
                "OpenOptions",
                "process::Command",
                "TcpStream",
                "TcpListener",
                "UdpSocket",
                "UnixStream",
            ] {
                if text.contains(word) {
                    found.entry(word).or_default().push(name.clone());
                }
            }
        }
    }
    let expected = [
        ("fs::write(", vec!["src/cli/mod.rs".to_owned()]),
        ("process::Command", vec!["src/project/texts.rs".to_owned()]),
    ];
    assert_eq!(found, expected.into());
}

#[test]
fn a_killed_run_leaves_no_half_of_an_output() {
    let mesh = copy_of("bookinfo-broken", "killed", &[]);
    let output = mesh.with_extension("json");
    let _ = fs::remove_file(&output);
    let mut finished = 0;
    for wait in 0..24 {
        let mut child = Command::new(env!("CARGO_BIN_EXE_meshproof"))
            .args(["verify", mesh.to_str().unwrap(), "--format", "json", "--output", output.to_str().unwrap()])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        std::thread::sleep(Duration::from_millis(wait * 15));
        let _ = child.kill();
        finished += u32::from(child.wait().unwrap().code().is_some());
        if let Ok(text) = fs::read_to_string(&output) {
            serde_json::from_str::<serde_json::Value>(&text).unwrap();
        }
    }
    assert!(finished < 24, "some run was killed");
}

#[test]
fn a_link_to_a_file_is_read_and_a_folder_that_holds_itself_ends() {
    let folder = scratch("links");
    common::copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/gate"), &folder.join("real"));
    fs::create_dir(folder.join("mesh")).unwrap();
    symlink("../real/reviews.yaml", folder.join("mesh/reviews.yaml")).unwrap();
    symlink(".", folder.join("mesh/again")).unwrap();
    let read = |name: &str| {
        let answer = common::meshproof(&["verify", folder.join(name).to_str().unwrap(), "--format", "json"]);
        (answer.code, answer.json()["proofs"].clone())
    };
    assert_eq!(read("mesh"), read("real"));
}
