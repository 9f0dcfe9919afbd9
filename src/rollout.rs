//! What manifests become in the course of a scenario: each step's files on top of what stands there before it.

use std::{collections::BTreeMap, sync::Arc};

use meshproof_import::{ImportOptions, apply, delete, import, set};
use meshproof_model::{Mesh, ResourceRef, RolloutStep, Scenario, Sources, UNREADABLE_INPUT};
use meshproof_sim::Stages;

use crate::project::InputError;

/// The mesh after each step of a scenario that changes manifests. `read`: the path and the text of a file that a step
/// names.
///
/// # Errors
/// The number of the step that cannot be done, and why.
pub(crate) fn stages(
    mesh: &Mesh,
    sources: &Sources,
    options: &ImportOptions,
    scenario: &Scenario,
    read: impl Fn(&str) -> Result<(String, String), InputError>,
) -> Result<Stages, (usize, String)> {
    let mut sources = sources.clone();
    let mut stages = BTreeMap::new();
    for (number, step) in scenario.steps().into_iter().filter(|(_, step)| step.changes_manifests()) {
        let wrong = |message: String| (number, message);
        let mut objects: Vec<ResourceRef> = Vec::new();
        match step {
            RolloutStep::Apply { files, .. } => {
                for file in files {
                    let (path, text) = read(file).map_err(|error| wrong(error.to_string()))?;
                    let (next, names) = apply(&sources, options, &path, &text);
                    if names.is_empty() {
                        return Err(wrong(format!("`{path}` holds no object")));
                    }
                    sources = next;
                    objects.extend(names);
                }
            }
            RolloutStep::Delete { objects: names, .. } => {
                (sources, objects) = delete(&sources, options, names).map_err(|error| wrong(error.to_string()))?;
            }
            RolloutStep::Set { value, .. } => {
                sources = set(&sources, options, value).map_err(|error| wrong(error.to_string()))?;
                objects.extend(named(value));
            }
            RolloutStep::Weight { .. }
            | RolloutStep::Release { .. }
            | RolloutStep::Restart { .. }
            | RolloutStep::Drain { .. } => {}
        }
        let imported = import(&sources, options);
        if imported.unreadable {
            let is_it = |finding: &&meshproof_model::Finding| finding.rule == &UNREADABLE_INPUT;
            let broken = imported.findings.iter().find(is_it).map(|finding| match &finding.location {
                Some(at) => format!("{}: {}", at.display(&sources), finding.message),
                None => finding.message.clone(),
            });
            return Err(wrong(broken.unwrap_or_else(|| "a document cannot be read".to_owned())));
        }
        let stage = mesh.stage(imported.mesh, objects).map_err(|all| {
            let lines = all.iter().map(|one| format!("{}: {}", one.at.display(&sources), one.message));
            wrong(lines.collect::<Vec<_>>().join("; "))
        })?;
        stages.insert(number, Arc::new(stage));
    }
    Ok(stages)
}

/// The object of `KIND/NAMESPACE/NAME PATH=VALUE`.
fn named(value: &str) -> Option<ResourceRef> {
    let [kind, namespace, name] = value.trim().split(char::is_whitespace).next()?.split('/').collect::<Vec<_>>()[..]
    else {
        return None;
    };
    Some(ResourceRef { kind: kind.into(), namespace: namespace.into(), name: name.into() })
}
