//! Runs the command line as a user would.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    dead_code,
    unreachable_pub,
    reason = "a test stops where something is missing"
)]

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

/// What a run of the command line gave.
pub struct Answer {
    pub code: i32,
    pub out: String,
    pub err: String,
}

impl Answer {
    /// Standard output as JSON.
    pub fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.out).unwrap_or_else(|e| panic!("{e}: {}\n{}", self.out, self.err))
    }
}

/// `meshproof ARGS`, in the root of the project.
pub fn meshproof(args: &[&str]) -> Answer {
    meshproof_with_input(args, "")
}

/// The commands that `--help` lists.
pub fn commands() -> Vec<String> {
    let help = meshproof(&["--help"]).out;
    let list = help.split("Commands:").nth(1).unwrap().split("Options:").next().unwrap();
    let names = list.lines().filter_map(|line| line.strip_prefix("  ")?.split_whitespace().next().map(str::to_owned));
    names.filter(|name| name != "help").collect()
}

/// `meshproof ARGS` with a text on standard input.
pub fn meshproof_with_input(args: &[&str], input: &str) -> Answer {
    use std::io::Write as _;
    let mut child = Command::new(env!("CARGO_BIN_EXE_meshproof"))
        .args(args)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
    let output = child.wait_with_output().unwrap();
    Answer {
        code: output.status.code().unwrap(),
        out: String::from_utf8(output.stdout).unwrap(),
        err: String::from_utf8(output.stderr).unwrap(),
    }
}

/// Manifests come from standard input; with other files beside them, all stand in a folder.
pub fn judged(args: &[&str], input: &str) -> Answer {
    let mut parts = input.split("# file: ");
    let manifests = parts.next().unwrap();
    let files: Vec<(&str, &str)> = parts.map(|part| part.split_once('\n').unwrap()).collect();
    if files.is_empty() {
        return meshproof_with_input(args, input);
    }
    let folder = scratch(&format!("judged-{:?}", std::thread::current().id()));
    fs::write(folder.join("mesh.yaml"), manifests).unwrap();
    for (name, text) in files {
        let file = folder.join(name);
        fs::create_dir_all(file.parent().unwrap()).unwrap();
        fs::write(file, text).unwrap();
    }
    let path = folder.display().to_string();
    let args: Vec<&str> = args.iter().map(|arg| if *arg == "-" { path.as_str() } else { arg }).collect();
    meshproof(&args)
}

/// A folder of this test alone, emptied.
pub fn scratch(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    let _ = fs::remove_dir_all(&folder);
    fs::create_dir_all(&folder).unwrap();
    folder
}

/// A copy of a shipped mesh with changes: (file, what stands there once, what stands there then).
pub fn copy_of(topology: &str, name: &str, changes: &[(&str, &str, &str)]) -> PathBuf {
    let target = scratch(name);
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("topologies").join(topology), &target);
    for (file, from, to) in changes {
        let path = target.join(file);
        let text = fs::read_to_string(&path).unwrap();
        assert!(text.contains(from), "{file} does not hold {from:?}");
        fs::write(&path, text.replace(from, to)).unwrap();
    }
    target
}

/// A folder with everything in it.
pub fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.file_type().unwrap().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// The line of a shipped mesh's file that holds a text, counted from 1.
pub fn line_of(topology: &str, file: &str, text: &str) -> u64 {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("topologies").join(topology).join(file);
    let content = fs::read_to_string(path).unwrap();
    let index = content.lines().position(|line| line.contains(text)).unwrap_or_else(|| panic!("{file}: no {text:?}"));
    index as u64 + 1
}
