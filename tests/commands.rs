//! Every command that README and the book show is run, in a copy of the shipped meshes, page by page.
//!
//! A line of a block ```` ```sh ```` is run by `sh`. It must end with exit code 0, or with the one that `# exit N` names at
//! its end. `# slow` leaves a line to the slow suite. Tools that are the user's are stood in for by programs that print a
//! manifest. A block of plain output behind a block of one command must be what that command prints, but for lines
//! of `...`, which stand for any lines. A block ```` ```yaml shop/app.yaml ```` is that file, from its place on.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test stops where something is missing")]

mod common;

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::Command,
};

const ROOT: &str = env!("CARGO_MANIFEST_DIR");
/// Tools that are the user's.
const OTHERS: [&str; 3] = ["helm", "kubectl", "terraform"];

/// A fenced block of a page.
struct Block {
    language: String,
    text: String,
}

fn blocks(page: &str) -> Vec<Block> {
    let mut blocks = Vec::new();
    let mut open: Option<Block> = None;
    for line in page.lines() {
        match (line.strip_prefix("```"), open.as_mut()) {
            (Some(_), Some(_)) => blocks.extend(open.take()),
            (Some(language), None) => open = Some(Block { language: language.trim().to_owned(), text: String::new() }),
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {}
        }
    }
    blocks
}

/// The command of a line, and the exit code that it must have.
fn command(line: &str) -> (&str, i32, bool) {
    let (command, comment) = line.split_once(" #").unwrap_or((line, ""));
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    let exit = comment.split("exit ").nth(1).and_then(|rest| digits(rest).parse().ok());
    (command.trim(), exit.unwrap_or(0), comment.contains("slow"))
}

fn run(folder: &Path, command: &str) -> (i32, String, String) {
    let program = Path::new(env!("CARGO_BIN_EXE_meshproof"));
    let (own, others) = (program.parent().unwrap(), folder.join("bin"));
    let path = format!("{}:{}:{}", own.display(), others.display(), std::env::var("PATH").unwrap());
    let output = Command::new("sh").args(["-c", command]).current_dir(folder).env("PATH", path).output().unwrap();
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (output.status.code().unwrap(), text(&output.stdout), text(&output.stderr))
}

/// A folder with what the pages speak of.
fn workplace(name: &str) -> PathBuf {
    let folder = common::scratch(name);
    for part in ["topologies", "ci", "tests/gate"] {
        common::copy(&Path::new(ROOT).join(part), &folder.join(part));
    }
    fs::create_dir_all(folder.join("bin")).unwrap();
    for tool in OTHERS {
        let program = folder.join("bin").join(tool);
        fs::write(&program, format!("#!/bin/sh\ncat '{ROOT}/tests/gate/reviews.yaml'\n")).unwrap();
        fs::set_permissions(program, fs::Permissions::from_mode(0o755)).unwrap();
    }
    folder
}

fn check_page(name: &str, page: &str) {
    let folder = workplace(&format!("page-{}", name.replace(['/', '.'], "-")));
    let makefile = fs::read_to_string(Path::new(ROOT).join("Makefile")).unwrap();
    let slow = std::env::var_os("MESHPROOF_SLOW").is_some();
    let mut printed: Option<String> = None;
    for block in blocks(page) {
        if block.language.is_empty() {
            if let Some(out) = printed.take() {
                assert!(is_shown(&block.text, &out), "{name} shows\n{}\nand the command prints\n{out}", block.text);
            }
            continue;
        }
        printed = None;
        if let Some((_, file)) = block.language.split_once(' ') {
            let file = folder.join(file);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, &block.text).unwrap();
        }
        if block.language != "sh" {
            continue;
        }
        let text = block.text.replace("\\\n", " ");
        let lines: Vec<&str> = text.lines().filter(|line| !line.trim().is_empty() && !line.starts_with('#')).collect();
        for line in &lines {
            let (command, expect, is_slow) = command(line);
            if let Some(target) = command.strip_prefix("make ") {
                let target = target.split_whitespace().next().unwrap();
                assert!(makefile.contains(&format!("\n{target}:")), "{name}: no target {target}");
                continue;
            }
            if command.starts_with("cargo ") || is_slow && !slow {
                continue;
            }
            let (code, out, err) = run(&folder, command);
            assert_eq!(code, expect, "{name}: {command}\n{out}\n{err}");
            printed = (lines.len() == 1).then_some(out);
        }
    }
}

/// Whether a text is what was printed; a line `...` of it stands for any lines.
fn is_shown(shown: &str, printed: &str) -> bool {
    fits(&shown.lines().collect::<Vec<_>>(), &printed.lines().collect::<Vec<_>>())
}

fn fits(shown: &[&str], printed: &[&str]) -> bool {
    match shown.split_first() {
        None => printed.is_empty(),
        Some((&"...", rest)) => (0..=printed.len()).any(|skip| fits(rest, &printed[skip..])),
        Some((line, rest)) => {
            printed.first().is_some_and(|first| first.trim_end() == line.trim_end()) && fits(rest, &printed[1..])
        }
    }
}

#[test]
fn the_readme_can_be_followed() {
    check_page("README.md", &fs::read_to_string(Path::new(ROOT).join("README.md")).unwrap());
}

#[test]
fn the_book_can_be_followed() {
    let mut pages: Vec<PathBuf> =
        fs::read_dir(Path::new(ROOT).join("book/src")).unwrap().map(|entry| entry.unwrap().path()).collect();
    pages.sort();
    let summary = fs::read_to_string(Path::new(ROOT).join("book/src/SUMMARY.md")).unwrap();
    for page in pages {
        let name = page.file_name().unwrap().to_str().unwrap().to_owned();
        assert!(name == "SUMMARY.md" || summary.contains(&format!("({name})")), "{name} is not in the summary");
        check_page(&name, &fs::read_to_string(&page).unwrap());
    }
}

#[test]
fn what_is_shown_is_compared() {
    assert!(is_shown("a\n...\nd\n", "a\nb\nc\nd\n"));
    assert!(!is_shown("a\nd\n", "a\nb\nd\n"));
    assert_eq!(command("meshproof verify a # exit 1, slow"), ("meshproof verify a", 1, true));
    let page = "```sh\nx\n```\n\n```\ny\n```\n";
    assert_eq!(blocks(page).iter().map(|block| block.language.as_str()).collect::<Vec<_>>(), ["sh", ""]);
}
