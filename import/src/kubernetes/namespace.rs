//! Kubernetes: v1.Namespace.

use meshproof_model::{Located, Namespace};

use crate::object::Object;

/// A namespace, and those of its labels that decide about injection, with their places.
pub(crate) struct Read {
    pub namespace: Namespace,
    pub labels: Vec<(String, Located<String>)>,
}

/// Reads one.
pub(crate) fn read(object: &Object<'_>) -> Read {
    let labels = object.get("metadata").and_then(|metadata| metadata.get("labels"));
    let labels = labels.into_iter().flat_map(|labels| labels.fields());
    Read {
        namespace: Namespace {
            labels: object.meta.labels.clone(),
            annotations: object.meta.annotations.clone(),
            at: Some(object.meta.at.clone()),
        },
        labels: labels
            .filter(|(name, _)| name.starts_with("istio"))
            .filter_map(|(name, field)| field.text().map(|text| (name.to_owned(), field.located(text))))
            .collect(),
    }
}
