//! What is packed beside the program: man pages and completions.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

mod common;

use std::fs;

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
