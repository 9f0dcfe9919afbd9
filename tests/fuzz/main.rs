//! Whatever a file of ours or an input holds, it is read or refused with a place; nothing panics, and what is read can be
//! written. `MESHPROOF_SLOW=1` tries many more cases, `PROPTEST_CASES=N` as many as you like.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

#[path = "../common/mod.rs"]
mod common;
mod files;
mod inputs;

use std::{fs, sync::LazyLock};

use meshproof::Project;
use meshproof_import::ImportOptions;
use meshproof_model::Mesh;
use proptest::{prelude::*, sample::Index};

/// How many cases are tried: quickly, and in the slow suite.
fn cases(few: u32, many: u32) -> ProptestConfig {
    let asked = std::env::var("PROPTEST_CASES").ok().and_then(|number| number.parse().ok());
    let usual = if std::env::var_os("MESHPROOF_SLOW").is_some() { many } else { few };
    ProptestConfig::with_cases(asked.unwrap_or(usual))
}

fn shipped(path: &str) -> String {
    fs::read_to_string(format!("{}/{path}", env!("CARGO_MANIFEST_DIR"))).unwrap()
}

static BOOKINFO: LazyLock<Mesh> = LazyLock::new(|| {
    let path = format!("{}/topologies/bookinfo", env!("CARGO_MANIFEST_DIR"));
    Project::read(&[path], &ImportOptions::default()).unwrap().imported.mesh
});

/// What stands where something else stood.
fn splices() -> impl Strategy<Value = Vec<(Index, usize, String)>> {
    let words = [
        "",
        "(",
        ")",
        "[",
        "]",
        "{",
        "}",
        "\"",
        "'",
        ",",
        ":",
        ";",
        "-1",
        "0",
        "1e999",
        "NaN",
        "inf",
        "99999999999999999999",
        "\"5%\"",
        "\"-5ms\"",
        "\"1e30h\"",
        "Some(",
        "None",
        "//",
        "/*",
        "*/",
        "r#\"",
        "\\",
        "é",
        "\u{feff}",
        "\0",
        "for all ",
        "not ",
        "and ",
        "(((((((((((((((((((((((((",
        "[[[[[[[[[[[[[[[[[[[[[[[[[[[",
        "\n",
    ];
    let text = prop_oneof![prop::sample::select(words.to_vec()).prop_map(str::to_owned), "\\PC{0,6}"];
    prop::collection::vec((any::<Index>(), 0_usize..12, text), 1..8)
}

fn spliced(text: &str, splices: Vec<(Index, usize, String)>) -> String {
    let mut text: Vec<char> = text.chars().collect();
    for (at, length, with) in splices {
        let at = at.index(text.len().max(1)).min(text.len());
        let end = (at + length).min(text.len());
        text.splice(at..end, with.chars());
    }
    text.into_iter().collect()
}
