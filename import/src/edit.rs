//! Manifests as leaves: what differs between two folders, and one value set in place of another.

use std::{collections::BTreeMap, fmt::Write as _};

use meshproof_model::{ResourceRef, Sources};

use crate::{
    ImportOptions,
    yaml::{self, Node, Plain, Value},
};

/// Why a value cannot be set.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SetError {
    /// It is not `KIND/NAMESPACE/NAME PATH=VALUE`.
    Form(String),
    /// It is not `KIND/NAMESPACE/NAME`.
    Object(String),
    /// No object has that name.
    NoSuchObject(String),
    /// The way leads through a value that has no parts, or past the end of a list.
    NoSuchPlace {
        /// As written.
        path: String,
        /// As far as it is known.
        known: String,
    },
    /// The value is no YAML.
    Value(String),
}

impl std::fmt::Display for SetError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Form(text) => write!(
                f,
                "`{text}`: write `KIND/NAMESPACE/NAME PATH=VALUE`, such as \
                `VirtualService/default/reviews spec.http[0].retries.attempts=3`"
            ),
            Self::Object(text) => write!(f, "`{text}`: write `KIND/NAMESPACE/NAME`"),
            Self::NoSuchObject(name) => write!(f, "there is no object `{name}`"),
            Self::NoSuchPlace { path, known } => write!(f, "there is no place `{path}`: known is `{known}`"),
            Self::Value(text) => write!(f, "`{text}` is no YAML value"),
        }
    }
}

impl std::error::Error for SetError {}

/// Every scalar of every object: `KIND NAMESPACE/NAME PATH` and what is written there. Of an object that is written
/// twice the last one counts, as everywhere.
pub fn leaves(sources: &Sources, options: &ImportOptions) -> BTreeMap<String, String> {
    let mut out = BTreeMap::new();
    for (id, source) in sources.iter() {
        if crate::registry::is_other(sources.path(id)) {
            continue;
        }
        for document in &yaml::parse(&source.text).documents {
            for object in objects(&document.root) {
                let Some(name) = name_of(object, options) else { continue };
                let prefix = format!("{name} ");
                out.retain(|known: &String, _| !known.starts_with(&prefix));
                let mut path = String::new();
                walk(object, &mut path, &mut |path, value| {
                    out.insert(format!("{prefix}{path}"), value);
                });
            }
        }
    }
    out
}

/// The same sources with one value set: `KIND/NAMESPACE/NAME PATH=VALUE`. What is missing on the way is made; the
/// value is YAML, `null` takes the place away. The object's document becomes JSON, which is YAML too.
///
/// # Errors
/// If the text has another form, the object does not exist, or the way cannot be gone.
pub fn set(sources: &Sources, options: &ImportOptions, text: &str) -> Result<Sources, SetError> {
    let form = || SetError::Form(text.to_owned());
    let (object, rest) = text.trim().split_once(char::is_whitespace).ok_or_else(form)?;
    let (path, value) = rest.trim().split_once('=').ok_or_else(form)?;
    let [kind, namespace, name] = object.split('/').collect::<Vec<_>>()[..] else { return Err(form()) };
    let wanted = shown(kind, namespace, name);
    let steps = steps(path.trim()).ok_or_else(form)?;
    let parsed = yaml::parse(value.trim());
    let value = match (parsed.broken.is_empty(), parsed.documents.as_slice()) {
        (true, [document]) => tree(&document.root),
        // A document of nothing is none.
        (true, []) => Tree::Scalar(NULL.to_owned()),
        _ => return Err(SetError::Value(value.trim().to_owned())),
    };
    let mut out = Sources::default();
    let mut is_found = false;
    for (id, source) in sources.iter() {
        let mut written = String::new();
        let is_manifest = !crate::registry::is_other(sources.path(id));
        for part in if is_manifest { yaml::document_texts(&source.text) } else { vec![source.text.as_str()] } {
            let document = yaml::parse(part).documents.into_iter().next().filter(|_| is_manifest);
            let found = document.filter(|document| {
                objects(&document.root).iter().any(|object| name_of(object, options).as_deref() == Some(&wanted))
            });
            let Some(document) = found else {
                written.push_str(part);
                continue;
            };
            is_found = true;
            let mut root = tree(&document.root);
            let object = if is_list(&document.root) {
                let at = document.root.entry("items").and_then(|items| {
                    items.value.items().iter().position(|item| name_of(item, options).as_deref() == Some(&wanted))
                });
                root.child("items").and_then(|items| items.item(at?))
            } else {
                Some(&mut root)
            };
            if let Some(object) = object {
                put(object, &steps, value.clone(), path)?;
            }
            written.push_str("---\n");
            root.write(&mut written, 0);
            written.push('\n');
        }
        out.add(sources.path(id), written);
    }
    if is_found { Ok(out) } else { Err(SetError::NoSuchObject(object.to_owned())) }
}

/// A step of a way.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step {
    Key(String),
    Index(usize),
}

/// `spec.http[0].retries`; a key with dots stands in brackets: `metadata.annotations[linkerd.io/inject]`.
fn steps(path: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(inside) = rest.strip_prefix('[') {
            let (inside, after) = inside.split_once(']')?;
            steps.push(inside.parse().map_or_else(|_| Step::Key(inside.to_owned()), Step::Index));
            rest = after.strip_prefix('.').unwrap_or(after);
        } else {
            let end = rest.find(['.', '[']).unwrap_or(rest.len());
            steps.push(Step::Key(rest[..end].to_owned()));
            rest = rest[end..].strip_prefix('.').unwrap_or(&rest[end..]);
        }
    }
    let is_good = |step: &Step| *step != Step::Key(String::new());
    (!steps.is_empty() && steps.iter().all(is_good)).then_some(steps)
}

/// A value without its place.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Tree {
    /// In JSON.
    Scalar(String),
    List(Vec<Tree>),
    Map(Vec<(String, Tree)>),
}

const NULL: &str = "null";

impl Tree {
    pub(crate) fn child(&mut self, key: &str) -> Option<&mut Self> {
        match self {
            Self::Map(entries) => entries.iter_mut().find(|(known, _)| known == key).map(|(_, value)| value),
            _ => None,
        }
    }

    fn item(&mut self, at: usize) -> Option<&mut Self> {
        match self {
            Self::List(items) => items.get_mut(at),
            _ => None,
        }
    }

    /// JSON, each entry on a line of its own.
    pub(crate) fn write(&self, out: &mut String, depth: usize) {
        let indent = "  ".repeat(depth + 1);
        let parts: Vec<(String, &Self)> = match self {
            Self::Scalar(text) => return out.push_str(text),
            Self::List(items) => items.iter().map(|item| (String::new(), item)).collect(),
            Self::Map(entries) => entries.iter().map(|(key, value)| (format!("{}: ", quoted(key)), value)).collect(),
        };
        let [open, close] = if matches!(self, Self::List(_)) { ['[', ']'] } else { ['{', '}'] };
        out.push(open);
        for (number, (key, value)) in parts.iter().enumerate() {
            let comma = if number > 0 { "," } else { "" };
            let _ = write!(out, "{comma}\n{indent}{key}");
            value.write(out, depth + 1);
        }
        if !parts.is_empty() {
            let _ = write!(out, "\n{}", "  ".repeat(depth));
        }
        out.push(close);
    }
}

fn put(object: &mut Tree, steps: &[Step], value: Tree, path: &str) -> Result<(), SetError> {
    let Some((step, rest)) = steps.split_first() else {
        *object = value;
        return Ok(());
    };
    let is_nothing = matches!(object, Tree::Scalar(text) if text == NULL);
    if is_nothing {
        *object = if matches!(step, Step::Index(_)) { Tree::List(Vec::new()) } else { Tree::Map(Vec::new()) };
    }
    let takes_away = rest.is_empty() && value == Tree::Scalar(NULL.to_owned());
    let nothing = Tree::Scalar(NULL.to_owned());
    let next = match (step, object) {
        (Step::Key(key), Tree::Map(entries)) => {
            if takes_away {
                entries.retain(|(known, _)| known != key);
                return Ok(());
            }
            let at = entries.iter().position(|(known, _)| known == key).unwrap_or_else(|| {
                entries.push((key.clone(), nothing));
                entries.len() - 1
            });
            entries.get_mut(at).map(|(_, value)| value)
        }
        (Step::Index(at), Tree::List(items)) => {
            if takes_away && *at < items.len() {
                items.remove(*at);
                return Ok(());
            }
            if *at == items.len() {
                items.push(nothing);
            }
            items.get_mut(*at)
        }
        _ => None,
    };
    let unknown = || SetError::NoSuchPlace { path: path.to_owned(), known: known_part(path, rest.len() + 1) };
    put(next.ok_or_else(unknown)?, rest, value, path)
}

/// A path without its last steps.
fn known_part(path: &str, unknown: usize) -> String {
    let steps = steps(path).unwrap_or_default();
    let mut out = String::new();
    for step in steps.iter().take(steps.len().saturating_sub(unknown)) {
        match step {
            Step::Key(key) => {
                let dot = if out.is_empty() { "" } else { "." };
                let _ = write!(out, "{dot}{key}");
            }
            Step::Index(at) => {
                let _ = write!(out, "[{at}]");
            }
        }
    }
    out
}

pub(crate) fn tree(node: &Node<'_>) -> Tree {
    match &node.value {
        Value::Sequence(items) => Tree::List(items.iter().map(tree).collect()),
        Value::Mapping(entries) => {
            let mut out: Vec<(String, Tree)> = Vec::new();
            for entry in entries {
                out.retain(|(known, _)| *known != entry.key);
                out.push((entry.key.to_string(), tree(&entry.value)));
            }
            Tree::Map(out)
        }
        Value::Scalar { text, .. } => Tree::Scalar(match node.plain() {
            None | Some(Plain::Null) => NULL.to_owned(),
            // As written: where a text is meant, `n` is a name and not a yes or no.
            Some(Plain::Bool(_) | Plain::Int(_)) => text.to_string(),
            Some(Plain::Float(value)) if value.is_finite() => text.to_string(),
            Some(Plain::Float(value)) => quoted(&value.to_string()),
            Some(Plain::Text(text)) => quoted(text),
        }),
    }
}

fn quoted(text: &str) -> String {
    let mut out = "\"".to_owned();
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            '\r' => out.push_str("\\r"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

pub(crate) fn is_list(root: &Node<'_>) -> bool {
    root.entry("items").is_some_and(|items| !items.value.items().is_empty())
        && root.entry("kind").and_then(|kind| text(&kind.value)).is_some_and(|kind| kind.ends_with("List"))
}

/// The object of a document, or those of a list.
pub(crate) fn objects<'n, 'a>(root: &'n Node<'a>) -> Vec<&'n Node<'a>> {
    match root.entry("items") {
        Some(items) if is_list(root) => items.value.items().iter().collect(),
        _ => vec![root],
    }
}

fn name_of(object: &Node<'_>, options: &ImportOptions) -> Option<String> {
    resource_of(object, options).map(|resource| resource.to_string())
}

/// Kind, namespace and name of an object, the default namespace where it names none.
pub(crate) fn resource_of(object: &Node<'_>, options: &ImportOptions) -> Option<ResourceRef> {
    let kind = text(&object.entry("kind")?.value)?;
    let meta = &object.entry("metadata")?.value;
    let name = text(&meta.entry("name")?.value)?;
    let namespace = meta.entry("namespace").and_then(|entry| text(&entry.value));
    Some(ResourceRef { kind, namespace: namespace.unwrap_or_else(|| options.default_namespace.clone()), name })
}

/// The group of an object's API; empty for that of Kubernetes itself.
pub(crate) fn group_of(object: &Node<'_>) -> String {
    let version = object.entry("apiVersion").and_then(|entry| text(&entry.value)).unwrap_or_default();
    version.split_once('/').map_or_else(String::new, |(group, _)| group.to_owned())
}

fn shown(kind: impl Into<String>, namespace: impl Into<String>, name: impl Into<String>) -> String {
    ResourceRef { kind: kind.into(), namespace: namespace.into(), name: name.into() }.to_string()
}

fn text(node: &Node<'_>) -> Option<String> {
    match &node.value {
        Value::Scalar { text, .. } if !node.is_null() => Some(text.to_string()),
        _ => None,
    }
}

fn walk(node: &Node<'_>, path: &mut String, leaf: &mut impl FnMut(&str, String)) {
    let length = path.len();
    match &node.value {
        Value::Scalar { text, .. } => leaf(path, text.to_string()),
        Value::Sequence(items) => {
            for (at, item) in items.iter().enumerate() {
                crate::object::push_index(path, at);
                walk(item, path, leaf);
                path.truncate(length);
            }
        }
        Value::Mapping(entries) => {
            for entry in entries {
                if !path.is_empty() {
                    path.push('.');
                }
                path.push_str(&entry.key);
                walk(&entry.value, path, leaf);
                path.truncate(length);
            }
        }
    }
}

#[cfg(test)]
#[allow(clippy::expect_used, reason = "a test may stop")]
mod tests {
    use super::*;

    const TWO: &str = "apiVersion: v1\nkind: Service\nmetadata: {name: a}\nspec: {ports: [{port: 80}]}\n---
apiVersion: networking.istio.io/v1\nkind: VirtualService\nmetadata: {name: r, namespace: n}
spec:\n  hosts: [a]\n  http:\n  - timeout: 2s # long\n    retries: {attempts: 2}\n";

    fn sources() -> Sources {
        let mut sources = Sources::default();
        sources.add("two.yaml", TWO);
        sources.add("mesh.ron", "Mesh(version: 1)");
        sources
    }

    fn after(set_text: &str) -> Vec<(String, String)> {
        let options = ImportOptions::default();
        let before = leaves(&sources(), &options);
        let after = leaves(&set(&sources(), &options, set_text).expect("a value that can be set"), &options);
        after.into_iter().filter(|(leaf, value)| before.get(leaf) != Some(value)).collect()
    }

    #[test]
    fn one_value_changes_and_nothing_else() {
        let leaf = |path: &str, value: &str| vec![(format!("VirtualService n/r {path}"), value.to_owned())];
        assert_eq!(
            after("VirtualService/n/r spec.http[0].retries.attempts=5"),
            leaf("spec.http[0].retries.attempts", "5")
        );
        assert_eq!(after("VirtualService/n/r spec.http[0].timeout=500ms"), leaf("spec.http[0].timeout", "500ms"));
        let made = leaf("spec.http[0].fault.abort.httpStatus", "503");
        assert_eq!(after("VirtualService/n/r spec.http[0].fault={abort: {httpStatus: 503}}"), made);
        assert_eq!(after("VirtualService/n/r spec.http[0].fault.abort.httpStatus = 503"), made);
        assert_eq!(
            after("Service/default/a spec.ports[1].port=81"),
            [("Service default/a spec.ports[1].port".to_owned(), "81".to_owned())]
        );
        let key = after("Service/default/a metadata.annotations[linkerd.io/inject]=enabled");
        assert_eq!(
            key,
            [("Service default/a metadata.annotations.linkerd.io/inject".to_owned(), "enabled".to_owned())]
        );
        let gone = set(&sources(), &ImportOptions::default(), "VirtualService/n/r spec.http[0].retries=null");
        let gone = leaves(&gone.expect("a place"), &ImportOptions::default());
        assert!(!gone.keys().any(|leaf| leaf.contains("retries")) && gone.len() == 10, "{gone:?}");
    }

    #[test]
    fn what_cannot_be_set_is_told() {
        let table = [
            ("VirtualService/n/r", "write `KIND/NAMESPACE/NAME PATH=VALUE`"),
            ("VirtualService/n/x spec.a=1", "there is no object `VirtualService/n/x`"),
            ("VirtualService/n/r spec.http[7].timeout=1s", "known is `spec.http`"),
            ("VirtualService/n/r spec.http[0].timeout.x=1s", "known is `spec.http[0].timeout`"),
            ("VirtualService/n/r spec.a={", "no YAML value"),
        ];
        for (text, expected) in table {
            let error = set(&sources(), &ImportOptions::default(), text).expect_err("an error").to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
