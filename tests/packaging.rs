//! What is packed beside the program: man pages and completions.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod common;

use std::{fs, path::Path, process::Command};

use common::{commands, meshproof, scratch};

#[test]
fn every_command_has_a_man_page_with_its_flags() {
    let folder = scratch("man").join("man1");
    let path = folder.to_str().unwrap();
    assert_eq!(meshproof(&["man", path]).code, 0);
    assert!(commands().len() > 10, "{:?}", commands());
    for command in commands() {
        let page = fs::read_to_string(folder.join(format!("meshproof-{command}.1"))).unwrap();
        let help = meshproof(&[&command, "--help"]).out;
        for flag in help.lines().filter_map(|line| line.trim().strip_prefix("--")?.split_whitespace().next()) {
            assert!(page.contains(&flag.replace('-', "\\-")), "{command}: --{flag}");
        }
    }
    let page = fs::read_to_string(folder.join("meshproof.1")).unwrap();
    assert!(page.contains("Exit codes"), "{page}");
}

#[test]
fn completions_know_every_command() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = meshproof(&["completions", shell]).out;
        for command in commands() {
            assert!(script.contains(&command), "{shell}: {command}");
        }
    }
}

/// What `make dist` packs, of the program under test: unpacked elsewhere, run without an environment.
#[test]
fn the_archive_runs_where_it_is_unpacked() {
    if std::env::var_os("MESHPROOF_SLOW").is_none() || !cfg!(target_os = "linux") {
        return;
    }
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (packed, elsewhere) = (scratch("dist"), scratch("dist-elsewhere"));
    let script = root.join("tools/dist.sh");
    let output = Command::new("sh")
        .args([script.to_str().unwrap(), env!("CARGO_BIN_EXE_meshproof")])
        .env("DIST", &packed)
        .output();
    let output = output.unwrap();
    let archive = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let run = |program: &str, args: &[&str], folder: &Path| {
        let lib = elsewhere.join("m/lib");
        let path = format!("{}:/usr/bin:/bin", elsewhere.join("m/bin").display());
        let mut command = Command::new(program);
        command.args(args).current_dir(folder).env_clear().env("LD_LIBRARY_PATH", lib).env("PATH", path);
        let output = command.output().unwrap();
        (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(run("sha256sum", &["--check", "SHA256SUMS"], &packed).0, 0);
    fs::create_dir(elsewhere.join("m")).unwrap();
    assert_eq!(run("tar", &["-xzf", archive.trim(), "-C", "m", "--strip-components=1"], &elsewhere).0, 0);
    fs::remove_dir_all(&packed).unwrap();
    common::copy(&root.join("topologies/bookinfo"), &elsewhere.join("mesh"));
    let version = format!("meshproof {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(run("meshproof", &["--version"], &elsewhere), (0, version));
    // As kubectl calls a plugin.
    let (code, out) = run("kubectl-meshproof", &["verify", "mesh", "--format", "concise"], &elsewhere);
    assert!(code == 0 && out.starts_with("holds: "), "{out}");
    for file in ["man/man1/meshproof-verify.1", "completions/meshproof.bash", "lib/LICENSE-z3", "LICENSE"] {
        assert!(fs::metadata(elsewhere.join("m").join(file)).unwrap().len() > 0, "{file}");
    }
    assert!(run("meshproof", &["doctor"], &elsewhere).1.contains("beside the program"));
}
