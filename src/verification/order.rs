//! Results that depend on the age of objects, which manifests seldom say (`0.4`): both orders are judged.

use std::collections::BTreeMap;

use meshproof_model::{Finding, Mesh, Meta, ORDER_DEPENDENT, Severity, Subject};
use meshproof_verifier::Report;

use super::{InternalError, prove};
use crate::Project;

/// A finding for each verdict that the other order changes.
pub(super) fn differences(project: &Project, report: &Report, threads: usize) -> Result<Vec<Finding>, InternalError> {
    let mesh = &project.imported.mesh;
    let Some(reversed) = reversed(mesh) else { return Ok(Vec::new()) };
    let other = prove(&reversed, &project.settings, threads)?;
    let (own, other) = (verdicts(report), verdicts(&other));
    let mut found = Vec::new();
    for key in own.keys().chain(other.keys().filter(|key| !own.contains_key(*key))) {
        let (first, second) = (own.get(key), other.get(key));
        if first.map(|f| f.severity) != second.map(|f| f.severity)
            && let Some(shown) = first.or(second)
        {
            let when = if first.is_some() { "the first by name" } else { "the last by name" };
            let message = format!(
                "winner depends on creation time: {} is reported only where {when} of several objects is the older: {}",
                shown.rule.code, shown.message
            );
            let mut finding = Finding::new(&ORDER_DEPENDENT, shown.subject.clone(), message)
                .help("merge the objects, or say their ages in `metadata.creationTimestamp`");
            finding.location.clone_from(&shown.location);
            finding.related.clone_from(&shown.related);
            found.push(finding);
        }
    }
    Ok(found)
}

/// What is worse than news, by rule and subject.
fn verdicts(report: &Report) -> BTreeMap<(&'static str, Subject), &Finding> {
    let worse = report.findings.iter().filter(|finding| finding.severity > Severity::Info);
    worse.map(|finding| ((finding.rule.code, finding.subject.clone()), finding)).collect()
}

/// The mesh in which the last object by name is the oldest; `None`: no order is open.
fn reversed(mesh: &Mesh) -> Option<Mesh> {
    let mut reversed = mesh.clone();
    let mut open = false;
    {
        let Mesh { virtual_services, destination_rules, peer_authentications, .. } = &mut reversed;
        open |= turn(virtual_services.iter_mut().map(|object| &mut object.meta));
        open |= turn(destination_rules.iter_mut().map(|object| &mut object.meta));
        open |= turn(peer_authentications.iter_mut().map(|object| &mut object.meta));
    }
    open.then_some(reversed)
}

/// Gives objects without an age ages against the order of their names.
fn turn<'m>(metas: impl Iterator<Item = &'m mut Meta>) -> bool {
    let mut unknown: Vec<&mut Meta> = metas.filter(|meta| meta.created.is_none()).collect();
    unknown.sort_by(|a, b| (a.name(), a.namespace()).cmp(&(b.name(), b.namespace())));
    let count = unknown.len();
    for (i, meta) in unknown.into_iter().enumerate() {
        // Texts of years compare as they should; a year that nobody writes is later than all that are written.
        meta.created = Some(format!("9999-01-01T00:00:00.{:09}Z", count - i));
    }
    count > 1
}
