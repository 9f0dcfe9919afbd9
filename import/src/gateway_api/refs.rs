//! References between objects: parents, backends, targets of policies.

use meshproof_model::gateway_api::{BackendRef, ParentRef, PolicyTarget};

use super::filter;
use crate::{cx::Cx, field::Field};

/// `parentRefs[]`, or the parent of a set of listeners.
pub(crate) fn parent(field: &Field<'_>, cx: &mut Cx) -> Option<ParentRef> {
    Some(ParentRef {
        at: field.at(),
        group: field.located_text("group"),
        kind: field.located_text("kind"),
        namespace: field.located_text("namespace"),
        name: field.located_text("name")?,
        section: field.located_text("sectionName"),
        port: cx.port(field, "port"),
    })
}

/// Every one of `parentRefs`.
pub(crate) fn parents(spec: &Field<'_>, cx: &mut Cx) -> Vec<ParentRef> {
    spec.list("parentRefs").filter_map(|field| parent(&field, cx)).collect()
}

/// A backend, without filters.
pub(crate) fn backend(field: &Field<'_>, cx: &mut Cx) -> Option<BackendRef> {
    Some(BackendRef {
        at: field.at(),
        group: field.located_text("group"),
        kind: field.located_text("kind"),
        namespace: field.located_text("namespace"),
        name: field.located_text("name")?,
        port: cx.port(field, "port"),
        weight: cx.count(field, "weight"),
        filters: Vec::new(),
    })
}

/// Every one of `backendRefs`, with filters.
pub(crate) fn backends(rule: &Field<'_>, cx: &mut Cx) -> Vec<BackendRef> {
    let read = |field: Field<'_>| {
        let filters = field.list("filters").map(|f| filter::read(&f, cx)).collect();
        Some(BackendRef { filters, ..backend(&field, cx)? })
    };
    rule.list("backendRefs").filter_map(read).collect()
}

/// `targetRefs[]`, or the older `targetRef`.
pub(crate) fn targets(spec: &Field<'_>) -> Vec<PolicyTarget> {
    let target = |field: Field<'_>| {
        Some(PolicyTarget {
            at: field.at(),
            group: field.text_at("group").unwrap_or_default(),
            kind: field.text_at("kind").unwrap_or_default(),
            name: field.located_text("name")?,
            section: field.located_text("sectionName"),
        })
    };
    spec.list("targetRefs").chain(spec.get("targetRef")).filter_map(target).collect()
}
