//! Charts that were not rendered, though they are YAML: actions inside of quotes.

use meshproof_model::Location;

use crate::{
    object::Object,
    yaml::{self, Node, Value},
};

/// A Helm action in a value that a chart would have filled in; quoted ones are YAML.
pub(crate) fn action(object: &Object<'_>) -> Option<Location> {
    let meta = &object.meta;
    if yaml::template_in_scalar(meta.name()) || yaml::template_in_scalar(meta.namespace()) {
        return Some(meta.at.clone());
    }
    if matches!(meta.resource.kind.as_str(), "ConfigMap" | "Secret" | "PrometheusRule" | "CustomResourceDefinition") {
        return None;
    }
    let spec = object.root.entry("spec")?;
    find(&spec.value).map(|mark| object.location(mark, "spec"))
}

fn find(node: &Node<'_>) -> Option<yaml::Mark> {
    match &node.value {
        Value::Scalar { text, .. } => yaml::template_in_scalar(text).then_some(node.mark),
        Value::Sequence(items) => items.iter().find_map(find),
        Value::Mapping(entries) => entries.iter().find_map(|entry| find(&entry.value)),
    }
}
