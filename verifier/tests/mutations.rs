//! The list of mutations names what stands in the sources, and tests that are there.
#![allow(clippy::unwrap_used)]

use std::{fs, path::Path};

#[test]
fn every_mutation_is_of_a_line_that_stands_there_once_and_names_a_test() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let list = fs::read_to_string(root.join("mutations.txt")).unwrap();
    let mut tests = String::new();
    collect(root, &mut tests);
    let mut entries = 0;
    for entry in list.split("\n\n").filter(|entry| entry.contains("file: ")) {
        let field = |name: &str| entry.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let text = fs::read_to_string(root.join(field("file: "))).unwrap();
        assert_eq!(text.matches(field("from: ")).count(), 1, "{entry}");
        assert_ne!(field("from: "), field("to: "));
        assert!(tests.contains(field("test: ")), "{entry}");
        entries += 1;
    }
    assert!(entries >= 14, "{entries} entries");
}

/// Names of tests, with those of the files that they stand in.
fn collect(folder: &Path, tests: &mut String) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, tests);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).unwrap();
            tests.push_str(path.to_str().unwrap());
            let names = text.split("#[test]").skip(1).filter_map(|rest| rest.split("fn ").nth(1)?.split('(').next());
            tests.extend(names.flat_map(|name| ["\n", name]));
            tests.push('\n');
        }
    }
}
