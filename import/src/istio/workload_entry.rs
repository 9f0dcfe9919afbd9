//! Istio: networking.v1: `WorkloadEntry` and `WorkloadGroup`.

use meshproof_model::{Mesh, Unmodelled, Workload, is_subset};

use super::endpoint;
use crate::{cx::Cx, object::Object};

/// Reads a `WorkloadEntry` (`WE-1`).
pub(crate) fn read(object: &Object<'_>, cx: &mut Cx) -> Option<Workload> {
    Some(endpoint::read(&object.get("spec")?, object.meta.clone(), cx))
}

/// Reads a `WorkloadGroup`: what its members have in common when they register. They run a proxy of the mesh.
pub(crate) fn group(object: &Object<'_>, cx: &mut Cx) -> Option<Workload> {
    let spec = object.get("spec")?;
    let mut member = endpoint::read(&spec.get("template")?, object.meta.clone(), cx);
    let metadata = spec.get("metadata");
    member.labels.extend(metadata.as_ref().map(|own| own.labels_at("labels")).unwrap_or_default());
    member.annotations = metadata.map(|own| own.labels_at("annotations")).unwrap_or_default();
    member.proxy = meshproof_model::ProxyMode::Sidecar;
    Some(member)
}

/// Adds the groups whose members the manifests do not list: one stands in for those that register.
pub(crate) fn add_groups(mesh: &mut Mesh, groups: Vec<Workload>) {
    for group in groups {
        let is_member = |known: &&Workload| {
            known.meta.resource.kind == "WorkloadEntry"
                && known.meta.namespace() == group.meta.namespace()
                && is_subset(&group.labels, &known.labels)
        };
        if mesh.workloads.iter().find(is_member).is_some() {
            continue;
        }
        mesh.unmodelled.push(Unmodelled {
            resource: group.meta.resource.clone(),
            at: group.meta.at.clone(),
            reason: "its members register when they start; one of them stands in for all".to_owned(),
            matters: true,
        });
        mesh.workloads.push(group);
    }
}
