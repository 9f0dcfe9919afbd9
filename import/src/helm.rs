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

/// The hooks of an object that belongs to a chart's tests, deletion or rollback only (`GO-3`).
pub(crate) fn unapplied_hook<'o>(object: &'o Object<'_>) -> Option<&'o str> {
    let hooks = object.meta.annotations.get("helm.sh/hook")?;
    let elsewhere =
        ["test", "test-success", "test-failure", "pre-delete", "post-delete", "pre-rollback", "post-rollback"];
    hooks.split(',').all(|hook| elsewhere.contains(&hook.trim())).then_some(hooks)
}

fn find(node: &Node<'_>) -> Option<yaml::Mark> {
    match &node.value {
        Value::Scalar { text, .. } => yaml::template_in_scalar(text).then_some(node.mark),
        Value::Sequence(items) => items.iter().find_map(find),
        Value::Mapping(entries) => entries.iter().find_map(|entry| find(&entry.value)),
    }
}
