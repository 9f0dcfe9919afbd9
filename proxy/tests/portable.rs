//! The core runs wherever Rust does: it asks the machine for nothing, and its floats stay in a few leaf files.
#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

use std::{
    fs,
    io::{self, Write as _},
    path::{Path, PathBuf},
    process::Command,
};

const TARGET: &str = "wasm32-unknown-unknown";

/// Every file that computes in floats, and why: Envoy or Linkerd does so itself, and the rounding decides.
const FLOATS: &[&str] = &[
    "filter/admission.rs",           // the chance to reject
    "filter/concurrency.rs",         // the gradient
    "hosts/balance/edf.rs",          // deadlines
    "hosts/balance/hash_weights.rs", // normalised weights
    "hosts/balance/locality.rs",     // effective weights
    "hosts/balance/maglev.rs",       // shares of the table
    "hosts/balance/mod.rs",          // hands out a cost
    "hosts/balance/peak_ewma.rs",    // moving average (Linkerd)
    "hosts/balance/ring_hash.rs",    // shares of the ring
    "hosts/balance/slow_start.rs",   // the ramp
    "hosts/balance/source.rs",       // hands out a weight
    "hosts/success_rate.rs",         // mean and deviation
];

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            sources(&path, found);
        } else {
            found.push(path);
        }
    }
}

#[test]
fn floats_stay_in_the_leaf_files() {
    let root = Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/src"));
    let mut files = Vec::new();
    sources(root, &mut files);
    let mut computing: Vec<_> = files
        .iter()
        .filter(|path| !path.components().any(|part| part.as_os_str() == "tests"))
        .filter(|path| fs::read_to_string(path).unwrap().split(|c: char| !c.is_alphanumeric()).any(is_float))
        .map(|path| path.strip_prefix(root).unwrap().to_str().unwrap().replace('\\', "/"))
        .collect();
    computing.sort();
    assert_eq!(computing, FLOATS, "a further file with floats is a reviewed change to this table");
}

fn is_float(word: &str) -> bool {
    word == "f64" || word == "f32"
}

/// Part of the slow suite, since it compiles the crate once more.
#[test]
fn the_crate_builds_where_there_is_no_machine() {
    if std::env::var_os("MESHPROOF_SLOW").is_none() {
        return;
    }
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let libraries = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output().unwrap();
    if !Path::new(String::from_utf8(libraries.stdout).unwrap().trim()).is_dir() {
        // Written past the test harness, which would keep it to itself.
        return writeln!(io::stderr(), "skipped: `rustup target add {TARGET}` installs what this needs").unwrap();
    }
    let folder = concat!(env!("CARGO_TARGET_TMPDIR"), "/wasm");
    let build = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--package", "meshproof-proxy", "--target", TARGET, "--target-dir", folder])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .unwrap();
    assert!(build.status.success(), "{}", String::from_utf8_lossy(&build.stderr));
}
