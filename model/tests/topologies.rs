//! The shipped meshes read without fault: behaviour, scenarios and every proxy's configuration.
#![allow(clippy::unwrap_used, clippy::panic, reason = "a test fails by panicking")]

use std::{
    fs,
    path::{Path, PathBuf},
};

use meshproof_import::{ImportOptions, import};
use meshproof_model::{Lowering, Mesh, RonKind, Sources, read_behaviour, read_scenario, ron_kind};
use meshproof_proxy::Table;

/// Files below a folder, by path.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut entries: Vec<PathBuf> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    entries.sort();
    entries.into_iter().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path] }).collect()
}

fn read(folder: &Path) -> (Mesh, Vec<(PathBuf, String)>) {
    let (mut sources, mut rons) = (Sources::default(), Vec::new());
    for path in files(folder) {
        match path.extension().and_then(|extension| extension.to_str()) {
            // What stands beside scenarios is applied by them.
            Some("yaml") if !path.parent().unwrap().ends_with("scenarios") => {
                sources.add(path.display().to_string(), fs::read_to_string(&path).unwrap());
            }
            Some("ron") => rons.push((path.clone(), fs::read_to_string(&path).unwrap())),
            _ => {}
        }
    }
    (import(&sources, &ImportOptions::default()).mesh, rons)
}

#[test]
fn shipped_meshes_and_scenarios_have_no_fault() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../topologies");
    let folders: Vec<PathBuf> =
        fs::read_dir(&root).unwrap().map(|entry| entry.unwrap().path()).filter(|path| path.is_dir()).collect();
    assert!(!folders.is_empty());
    for folder in folders {
        let (mut mesh, rons) = read(&folder);
        let of_kind = |kind| rons.iter().filter(move |(_, text)| ron_kind(text) == Ok(kind));
        for (path, text) in of_kind(RonKind::Mesh) {
            mesh.behaviour = read_behaviour(text).unwrap_or_else(|error| panic!("{}:{error}", path.display()));
        }
        assert_eq!(mesh.check_behaviour(), [], "{}", folder.display());
        for (path, text) in of_kind(RonKind::Scenario) {
            let scenario = read_scenario(text).unwrap_or_else(|error| panic!("{}:{error}", path.display()));
            assert_eq!(mesh.check_scenario(&scenario), [], "{}", path.display());
        }
        let everything: Vec<_> = mesh
            .service_ids()
            .flat_map(|id| mesh.service(id).ports.iter().map(move |port| (id, port.number.value)))
            .collect();
        let lowering = Lowering::new(&mesh);
        for id in mesh.workload_ids() {
            for lowered in [lowering.outbound(id, 0, &everything), lowering.inbound(id), lowering.gateway(id, 0)] {
                let name = mesh.workload(id).full_name();
                Table::compile(&lowered.config).unwrap_or_else(|errors| panic!("{name}: {errors:?}"));
            }
        }
    }
}
