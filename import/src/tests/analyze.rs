//! What `--profile istio-analyze` says of meshes of our own, as multisets of message and object.
//!
//! Each file of `analyze` holds cases: a line `# case:`, the messages line by line, then the manifests. Every
//! message that Istio's analysis can give from files is there, and beside it manifests of which it says nothing.

use std::{collections::BTreeSet, fs, path::Path};

use meshproof_model::{Sources, Subject};

use crate::{ImportOptions, Profile, import};

/// Messages about files; the others are about clusters, upgrades or the installation.
const TOLD: &str = "0002 0101 0102 0103 0106 0107 0108 0109 0110 0111 0112 0116 0118 0123 0125 0126 0127 0128 0129 \
                    0130 0131 0132 0133 0134 0135 0137 0138 0139 0140 0144 0145 0146 0147 0148 0149 0150 0151 0152 \
                    0153 0154 0155 0157 0158 0159 0160 0161 0162 0163 0164 0165 0166 0167 0171 0173 0174 0175 0176 \
                    0177";

/// Messages as `IST0101 Kind namespace/name`, sorted.
fn analyze(files: &[&str]) -> Vec<String> {
    let mut sources = Sources::default();
    for (i, text) in files.iter().enumerate() {
        sources.add(format!("{i}.yaml"), *text);
    }
    let options = ImportOptions { profile: Profile::IstioAnalyze, ..ImportOptions::default() };
    let told = import(&sources, &options).findings.into_iter().map(|finding| {
        let Subject::Resource(resource) = &finding.subject else { return finding.message };
        let place = if resource.namespace.is_empty() { String::new() } else { format!("{}/", resource.namespace) };
        format!("{} {} {place}{}", finding.istio.unwrap_or_default(), resource.kind, resource.name)
    });
    let mut told: Vec<String> = told.collect();
    told.sort();
    told
}

#[test]
fn istios_messages_are_given_where_istio_gives_them() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src/tests/analyze");
    let mut files: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut faults, mut covered, mut silent) = (Vec::new(), BTreeSet::new(), 0);
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        for case in text.split("# case: ").skip(1) {
            let (title, rest) = case.split_once('\n').unwrap();
            let messages = rest.lines().take_while(|line| line.starts_with("# IST"));
            let mut wanted: Vec<String> = messages.map(|line| line[2..].to_owned()).collect();
            wanted.sort();
            covered.extend(wanted.iter().map(|message| message[3..7].to_owned()));
            silent += usize::from(wanted.is_empty());
            let told = analyze(&[rest]);
            if told != wanted {
                faults.push(format!("{title}\n  wanted {wanted:#?}\n  told {told:#?}"));
            }
            // One file or several, in whatever order: the same is told.
            let documents: Vec<&str> = rest.split("\n---\n").collect();
            let ordered = title.contains("another patches for a version");
            let backwards: Vec<&str> = documents.iter().rev().copied().collect();
            if !ordered && analyze(&backwards) != told {
                faults.push(format!("{title}: depends on the order of files"));
            }
        }
    }
    assert!(faults.is_empty(), "{}", faults.join("\n"));
    let missing: Vec<&str> = TOLD.split(' ').filter(|code| !covered.contains(*code)).collect();
    assert!(missing.is_empty() && silent > 25, "not covered: {missing:?}, {silent} silent cases");
}
