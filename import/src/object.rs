//! One object of the manifests: its kind, its name, and the tree that says the rest.

use meshproof_model::{FieldPath, FileId, Labels, Location, Meta, ResourceRef};

use crate::{
    field::Field,
    yaml::{Entry, Mark, Node, Plain, Value},
};

/// An object, before its fields are read.
#[derive(Clone, Debug)]
pub(crate) struct Object<'a> {
    pub file: FileId,
    pub root: &'a Node<'a>,
    /// The way to it inside its document: empty, or `items[3]`.
    pub path: FieldPath,
    /// The API's group; empty for Kubernetes' core.
    pub group: String,
    /// The API's version.
    pub version: String,
    pub meta: Meta,
}

/// What a tree without a kind or name is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum NoObject {
    /// It is none and need not be: a values file, a list of patches.
    Other,
    /// It lacks this field, and has the others.
    Lacks(&'static str),
}

impl<'a> Object<'a> {
    /// The object of a tree.
    ///
    /// # Errors
    /// If it has no `apiVersion` or `kind`; its name may be empty.
    pub(crate) fn new(
        file: FileId,
        root: &'a Node<'a>,
        path: FieldPath,
        default_namespace: &str,
    ) -> Result<Self, NoObject> {
        let text = |node: &'a Node<'a>, key: &str| node.entry(key).and_then(|entry| text_of(&entry.value));
        let (api, kind) = match (text(root, "apiVersion"), text(root, "kind")) {
            (Some(api), Some(kind)) => (api, kind),
            (None, Some(_)) if root.entry("metadata").is_some() => return Err(NoObject::Lacks("apiVersion")),
            (Some(_), None) if root.entry("metadata").is_some() => return Err(NoObject::Lacks("kind")),
            _ => return Err(NoObject::Other),
        };
        let (group, version) = api.split_once('/').unwrap_or(("", &api));
        let empty = Labels::new();
        let mut meta = Meta {
            resource: ResourceRef { kind, namespace: default_namespace.to_owned(), name: String::new() },
            labels: empty.clone(),
            annotations: empty,
            created: None,
            at: locate(file, head(root), path.clone()),
        };
        if let Some(metadata) = root.entry("metadata") {
            let node = &metadata.value;
            meta.resource.name = text(node, "name").or_else(|| text(node, "generateName")).unwrap_or_default();
            meta.resource.namespace = text(node, "namespace").unwrap_or(meta.resource.namespace);
            meta.labels = node.entry("labels").map(|e| labels(&e.value)).unwrap_or_default();
            meta.annotations = node.entry("annotations").map(|e| labels(&e.value)).unwrap_or_default();
            meta.created = text(node, "creationTimestamp");
        }
        Ok(Self { file, root, path, group: group.to_owned(), version: version.to_owned(), meta })
    }

    /// Where a stretch of the text stands.
    pub(crate) fn location(&self, mark: Mark, path: impl Into<FieldPath>) -> Location {
        locate(self.file, mark, path)
    }

    /// Where a field stands: its key, and its value if that is on the same line.
    pub(crate) fn entry_location(&self, entry: &Entry<'_>, path: impl Into<FieldPath>) -> Location {
        locate(self.file, entry_mark(entry), path)
    }

    /// Its field of that name, to be read.
    pub(crate) fn get(&self, key: &'static str) -> Option<Field<'a>> {
        Field::root(self.file, self.root, self.path.clone()).get(key)
    }
}

/// A place in a file.
pub(crate) fn locate(file: FileId, mark: Mark, path: impl Into<FieldPath>) -> Location {
    Location {
        file,
        line: mark.line,
        column: mark.column,
        offset: mark.offset,
        length: mark.length.max(1),
        path: path.into(),
    }
}

/// The stretch of a key, with its value where that is on the same line.
pub(crate) fn entry_mark(entry: &Entry<'_>) -> Mark {
    let value = entry.value.mark;
    let end = value.offset.saturating_add(value.length);
    match entry.value.value {
        Value::Scalar { .. } if value.line == entry.mark.line && end > entry.mark.offset => {
            Mark { length: end - entry.mark.offset, ..entry.mark }
        }
        _ => entry.mark,
    }
}

/// The stretch that names an item of a list: its first key, or itself.
pub(crate) fn head(node: &Node<'_>) -> Mark {
    match &node.value {
        Value::Mapping(entries) => entries.iter().map(entry_mark).min_by_key(|mark| mark.offset).unwrap_or(node.mark),
        _ => node.mark,
    }
}

/// A text, also where quotes are missing: what it says is what its author meant, and the missing quotes are a finding.
pub(crate) fn text_of(node: &Node<'_>) -> Option<String> {
    match (&node.value, node.plain()) {
        (_, Some(Plain::Null) | None) => None,
        (Value::Scalar { text, .. }, _) => Some(text.to_string()),
        _ => None,
    }
}

/// A mapping of texts.
pub(crate) fn labels(node: &Node<'_>) -> Labels {
    node.entries().iter().map(|entry| (entry.key.to_string(), text_of(&entry.value).unwrap_or_default())).collect()
}

/// Adds `[i]` to a path.
pub(crate) fn push_index(path: &mut String, i: usize) {
    path.push('[');
    path.push_str(&i.to_string());
    path.push(']');
}
