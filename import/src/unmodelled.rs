//! Names what exists in the manifests and was not read.

use std::collections::BTreeSet;

use meshproof_model::{Located, Unmodelled};

use crate::{
    object::{Object, push_index},
    yaml::{Node, Value},
};

/// Fields of Kubernetes' own kinds whose absence from the model can change a verdict: each is named with its place.
/// The others are named together, one entry an object.
const NOTABLE: &[&str] = &[
    "readinessProbe",
    "livenessProbe",
    "startupProbe",
    "lifecycle",
    "terminationGracePeriodSeconds",
    "minReadySeconds",
    "strategy",
    "updateStrategy",
    "sessionAffinity",
    "sessionAffinityConfig",
    "internalTrafficPolicy",
    "externalTrafficPolicy",
    "trafficDistribution",
    "externalName",
    "publishNotReadyAddresses",
    "dnsConfig",
    "hostAliases",
    "topologyKeys",
];

/// What nobody read in an object that was read.
pub(crate) fn fields(object: &Object<'_>) -> Vec<Unmodelled> {
    let mut walk = Walk { object, is_mesh: is_of_mesh(&object.group), notable: Vec::new(), other: BTreeSet::new() };
    let mut path = object.path.to_string();
    for entry in object.root.entries() {
        if !matches!(entry.key.as_ref(), "apiVersion" | "kind" | "metadata" | "status") {
            walk.entry(entry, &mut path, &mut String::new());
        }
    }
    let Walk { mut notable, other, .. } = walk;
    if !other.is_empty() {
        let names: Vec<String> = other.iter().map(|name| format!("`{name}`")).collect();
        let reason = format!("not modelled, and taken to change no verdict: {}", names.join(", "));
        notable.push(Unmodelled { matters: false, ..whole(object, reason) });
    }
    notable
}

/// The object as a whole.
pub(crate) fn whole(object: &Object<'_>, reason: impl Into<String>) -> Unmodelled {
    Unmodelled {
        resource: object.meta.resource.clone(),
        at: object.meta.at.clone(),
        reason: reason.into(),
        matters: true,
    }
}

/// Whether every field of a group's kinds is about requests.
fn is_of_mesh(group: &str) -> bool {
    ["istio.io", "linkerd.io", "smi-spec.io"].iter().any(|end| group.ends_with(end))
        || group.starts_with("gateway.networking")
}

struct Walk<'a, 'o> {
    object: &'o Object<'a>,
    is_mesh: bool,
    notable: Vec<Unmodelled>,
    other: BTreeSet<String>,
}

impl<'a> Walk<'a, '_> {
    fn entry(&mut self, entry: &crate::yaml::Entry<'a>, path: &mut String, general: &mut String) {
        let lengths = (path.len(), general.len());
        for text in [&mut *path, &mut *general] {
            if !text.is_empty() {
                text.push('.');
            }
            text.push_str(&entry.key);
        }
        if entry.read.get() {
            self.node(&entry.value, path, general);
        } else if !is_empty(&entry.value) {
            if self.is_mesh || NOTABLE.contains(&entry.key.as_ref()) {
                let at = self.object.entry_location(entry, path.as_str());
                let Located { value: reason, at } = Located::new(format!("`{general}` is not modelled"), at);
                let resource = self.object.meta.resource.clone();
                self.notable.push(Unmodelled { resource, at, reason, matters: true });
            } else {
                self.other.insert(general.clone());
            }
        }
        path.truncate(lengths.0);
        general.truncate(lengths.1);
    }

    fn node(&mut self, node: &Node<'a>, path: &mut String, general: &mut String) {
        match &node.value {
            Value::Mapping(entries) => {
                for entry in entries {
                    self.entry(entry, path, general);
                }
            }
            Value::Sequence(items) => {
                let lengths = (path.len(), general.len());
                general.push_str("[]");
                for (i, item) in items.iter().enumerate() {
                    push_index(path, i);
                    self.node(item, path, general);
                    path.truncate(lengths.0);
                }
                general.truncate(lengths.1);
            }
            Value::Scalar { .. } => {}
        }
    }
}

/// Nothing is written there: null, `{}` or `[]`.
fn is_empty(node: &Node<'_>) -> bool {
    match &node.value {
        Value::Mapping(entries) => entries.is_empty(),
        Value::Sequence(items) => items.is_empty(),
        Value::Scalar { .. } => node.is_null(),
    }
}
