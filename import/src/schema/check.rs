//! What a document says that its kind does not have, and values that its fields do not take.

use meshproof_model::{Finding, INVALID_VALUE, MISPLACED_FIELD, Subject, UNKNOWN_FIELD};

use super::{FieldType, Fields, Schemas, Shape, misplaced, nearest, schemas, slip};
use crate::{
    object::{Object, push_index},
    yaml::{Entry, Node, Plain, Value},
};

/// Compares an object with its kind's fields; fields that are not known count as read.
pub(crate) fn check(object: &Object<'_>, schema: &'static str) -> Vec<Finding> {
    let schemas = schemas();
    let Some(fields) = schemas.kind(schema) else { return Vec::new() };
    let mut check =
        Check { object, schema, schemas, path: object.path.to_string(), names: Vec::new(), findings: Vec::new() };
    check.fields(object.root, fields);
    check.findings
}

struct Check<'a, 'o> {
    object: &'o Object<'a>,
    schema: &'static str,
    schemas: &'static Schemas,
    path: String,
    names: Vec<&'o str>,
    findings: Vec<Finding>,
}

impl<'a, 'o> Check<'a, 'o> {
    fn fields(&mut self, node: &'o Node<'a>, fields: &Fields) {
        for entry in node.entries() {
            let length = self.path.len();
            if !self.path.is_empty() {
                self.path.push('.');
            }
            self.path.push_str(&entry.key);
            match fields.get(entry.key.as_ref()) {
                Some(FieldType { shape, .. }) => {
                    self.names.push(&entry.key);
                    self.value(&entry.value, Some(entry), shape);
                    self.names.pop();
                }
                None => self.unknown(entry, fields),
            }
            self.path.truncate(length);
        }
        for (name, field) in fields {
            if field.required && node.entry(name).is_none() {
                self.missing(node, name);
            }
        }
    }

    fn value(&mut self, node: &'o Node<'a>, entry: Option<&'o Entry<'a>>, shape: &Shape) {
        if node.is_null() || *shape == Shape::Any {
            return;
        }
        match (shape, &node.value) {
            (Shape::Shared(name), _) => {
                if let Some(fields) = self.schemas.kind(name) {
                    self.object_value(node, entry, fields);
                }
            }
            (Shape::Object(fields), _) => self.object_value(node, entry, fields),
            (Shape::List(inner), Value::Sequence(items)) => {
                for (i, item) in items.iter().enumerate() {
                    let length = self.path.len();
                    push_index(&mut self.path, i);
                    self.value(item, None, inner);
                    self.path.truncate(length);
                }
            }
            (Shape::Map(inner), Value::Mapping(entries)) => {
                for entry in entries {
                    let length = self.path.len();
                    self.path.push('.');
                    self.path.push_str(&entry.key);
                    self.value(&entry.value, Some(entry), inner);
                    self.path.truncate(length);
                }
            }
            (Shape::List(_), _) => self.wrong(node, entry, "a list"),
            (Shape::Map(_), _) => self.wrong(node, entry, "an object"),
            (scalar, _) => self.scalar(node, entry, scalar),
        }
    }

    fn object_value(&mut self, node: &'o Node<'a>, entry: Option<&'o Entry<'a>>, fields: &Fields) {
        match &node.value {
            Value::Mapping(_) => self.fields(node, fields),
            _ => self.wrong(node, entry, "an object"),
        }
    }

    fn scalar(&mut self, node: &'o Node<'a>, entry: Option<&'o Entry<'a>>, shape: &Shape) {
        let plain = node.plain();
        match shape {
            Shape::Text if !matches!(plain, Some(Plain::Text(_))) => self.wrong(node, entry, "a text"),
            Shape::Int if !is_whole(plain) => self.wrong(node, entry, "a whole number"),
            // Beyond 64 bits; what single fields hold is less.
            Shape::Int if matches!(plain, Some(Plain::Float(value)) if value.abs() >= 9.0e15) => {
                let message = format!("`{}` holds no number as large as that", self.path);
                self.invalid(node, entry, message, None);
            }
            Shape::Number if !matches!(plain, Some(Plain::Int(_) | Plain::Float(_))) => {
                self.wrong(node, entry, "a number");
            }
            Shape::Bool if !matches!(plain, Some(Plain::Bool(_))) => self.wrong(node, entry, "`true` or `false`"),
            Shape::IntOrText if !matches!(plain, Some(Plain::Int(_) | Plain::Float(_) | Plain::Text(_))) => {
                self.wrong(node, entry, "a number or a text");
            }
            Shape::OneOf(words) => match plain {
                Some(Plain::Text(text)) if words.contains(&text) => {}
                Some(Plain::Text(text)) => self.not_one_of(node, entry, text, words),
                _ => self.wrong(node, entry, "one of its words"),
            },
            _ => {}
        }
    }

    fn unknown(&mut self, entry: &'o Entry<'a>, fields: &Fields) {
        mark_read(entry);
        let names = || fields.keys().copied();
        let kind = &self.object.meta.resource.kind;
        let place = if self.names.as_slice().is_empty() {
            kind.clone()
        } else {
            let parent = self.path.strip_suffix(entry.key.as_ref()).unwrap_or(&self.path).trim_end_matches('.');
            format!("{kind} `{parent}`")
        };
        let message = format!("`{}` is not a field of {place}", entry.key);
        let at = self.object.entry_location(entry, self.path.as_str());
        let finding = if let Some(belongs) = misplaced::place(self.schemas, self.schema, &self.names, &entry.key) {
            self.finding(&MISPLACED_FIELD, format!("{message}; it belongs to {belongs}"))
                .help(format!("move it to {belongs}"))
        } else if let Some(meant) = slip(&entry.key, names()) {
            self.finding(&MISPLACED_FIELD, message).help(format!("did you mean `{meant}`?"))
        } else {
            let finding = self.finding(&UNKNOWN_FIELD, message);
            match nearest(&entry.key, names()) {
                Some(meant) => finding.help(format!("did you mean `{meant}`?")),
                None => finding.help(known_fields(fields)),
            }
        };
        self.findings.push(finding.at(at));
    }

    fn missing(&mut self, node: &'o Node<'a>, name: &str) {
        // Fragments that a kustomization merges lack fields of Kubernetes' own kinds on purpose.
        let group = self.object.group.as_str();
        if !(group.ends_with("istio.io") || group.starts_with("gateway.networking")) || self.names.is_empty() {
            return;
        }
        let message = format!("`{}` lacks `{name}`, which is required", self.path);
        let at = self.object.location(node.mark, self.path.as_str());
        self.findings.push(self.finding(&INVALID_VALUE, message).at(at));
    }

    fn wrong(&mut self, node: &'o Node<'a>, entry: Option<&'o Entry<'a>>, wanted: &str) {
        let written = match &node.value {
            Value::Scalar { text, .. } => format!("`{text}` is {}", node.kind()),
            _ => format!("it is {}", node.kind()),
        };
        let message = format!("`{}` takes {wanted}, and {written}", self.path);
        let help = match (wanted, &node.value) {
            ("a text", Value::Scalar { text, .. }) => Some(format!("put it in quotes: `\"{text}\"`")),
            ("a whole number" | "a number" | "`true` or `false`", Value::Scalar { plain: false, text }) => {
                Some(format!("leave the quotes out: `{text}`"))
            }
            ("a list", _) => Some("begin each item with `- `".to_owned()),
            _ => None,
        };
        self.invalid(node, entry, message, help);
    }

    fn not_one_of(&mut self, node: &'o Node<'a>, entry: Option<&'o Entry<'a>>, text: &str, words: &[&'static str]) {
        let message = format!("`{}` does not take `{text}`", self.path);
        let list = words.iter().map(|w| format!("`{w}`")).collect::<Vec<_>>().join(", ");
        let help = match nearest(text, words.iter().copied()) {
            Some(meant) => format!("did you mean `{meant}`?"),
            None => format!("it takes {list}"),
        };
        self.invalid(node, entry, message, Some(help));
    }

    fn invalid(&mut self, node: &'o Node<'a>, entry: Option<&'o Entry<'a>>, message: String, help: Option<String>) {
        let at = match entry {
            Some(entry) => self.object.entry_location(entry, self.path.as_str()),
            None => self.object.location(node.mark, self.path.as_str()),
        };
        let mut finding = self.finding(&INVALID_VALUE, message).at(at);
        finding.help = help;
        self.findings.push(finding);
    }

    fn finding(&self, rule: &'static meshproof_model::Rule, message: String) -> Finding {
        Finding::new(rule, Subject::Resource(self.object.meta.resource.clone()), message)
    }
}

/// What is unknown is a finding, and not also unmodelled.
fn mark_read(entry: &Entry<'_>) {
    entry.read.set();
    mark_below(&entry.value);
}

fn mark_below(node: &Node<'_>) {
    node.entries().iter().for_each(mark_read);
    node.items().iter().for_each(mark_below);
}

fn is_whole(plain: Option<Plain<'_>>) -> bool {
    match plain {
        Some(Plain::Int(_)) => true,
        Some(Plain::Float(value)) => value.fract() == 0.0,
        _ => false,
    }
}

fn known_fields(fields: &Fields) -> String {
    let names: Vec<String> = fields.keys().map(|name| format!("`{name}`")).collect();
    match names.len() {
        0 => "it has no fields".to_owned(),
        1..=12 => format!("its fields are {}", names.join(", ")),
        _ => format!("its fields are {} and {} more", names[..11].join(", "), names.len() - 11),
    }
}
