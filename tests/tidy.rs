//! What no compiler checks of the texts of this project.

#![allow(clippy::unwrap_used, reason = "a test stops where something is missing")]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// One idea a file: longer ones are taken apart.
const LINES_MAX: usize = 600;

/// Every text of the project, with its path from the root.
fn texts(extensions: &[&str]) -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut found = Vec::new();
    let mut folders = vec![PathBuf::new()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(root.join(&folder)).unwrap() {
            let path = folder.join(entry.unwrap().file_name());
            let name = path.file_name().unwrap().to_str().unwrap();
            if root.join(&path).is_dir() {
                if !name.starts_with('.') && !["target", "dist"].contains(&name) {
                    folders.push(path);
                }
            } else if extensions.iter().any(|extension| name.ends_with(extension)) {
                found.push((path.display().to_string(), fs::read_to_string(root.join(&path)).unwrap()));
            }
        }
    }
    found.sort();
    assert!(found.len() > 20, "{}", found.len());
    found
}

#[test]
fn source_files_are_short_and_finished() {
    let unfinished = [["TO", "DO"].concat(), ["FIX", "ME"].concat()];
    for (path, text) in texts(&[".rs"]) {
        assert!(text.lines().count() <= LINES_MAX, "{path} has {} lines", text.lines().count());
        for (number, line) in (1..).zip(text.lines()) {
            let word = unfinished.iter().find(|word| line.contains(word.as_str()));
            assert_eq!(word, None, "{path}:{number}");
        }
    }
}

#[test]
fn texts_end_with_a_line_and_no_line_with_blanks() {
    for (path, text) in texts(&[".rs", ".md", ".toml", ".ron", ".intent", ".sh", "Makefile"]) {
        assert!(text.ends_with('\n') && !text.ends_with("\n\n"), "{path}");
        let trailing = (1..).zip(text.lines()).find(|(_, line)| line.ends_with([' ', '\t']));
        assert_eq!(trailing, None, "{path}");
    }
}

/// Pages refer to pages, files and folders that exist.
#[test]
fn links_of_pages_lead_somewhere() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    for (path, text) in texts(&[".md"]) {
        let folder = root.join(&path).parent().unwrap().to_path_buf();
        let code = text.split("```").step_by(2).collect::<Vec<_>>().concat();
        for link in code.split("](").skip(1).filter_map(|rest| rest.split([')', ' ']).next()) {
            let target = link.split('#').next().unwrap();
            if !target.is_empty() && !target.contains("://") {
                assert!(folder.join(target).exists(), "{path}: {link}");
            }
        }
    }
}
