//! The fields that each kind really has, as its API publishes them (`import/schema`), and how a document differs.

mod check;
mod data;
mod misplaced;
mod suggest;

use std::{collections::BTreeMap, sync::OnceLock};

pub(crate) use check::check;
pub(crate) use suggest::{nearest, slip};

/// The fields of an object, by name.
pub(crate) type Fields = BTreeMap<&'static str, FieldType>;

/// What a field takes.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct FieldType {
    pub shape: Shape,
    pub required: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Shape {
    /// Anything at all.
    Any,
    Text,
    Int,
    Number,
    Bool,
    /// A number or a text.
    IntOrText,
    /// One of these words.
    OneOf(Vec<&'static str>),
    List(Box<Shape>),
    /// An object with keys of the user's choice.
    Map(Box<Shape>),
    Object(Fields),
    /// A type that several kinds share.
    Shared(&'static str),
}

/// Every kind's fields, and the shared types.
pub(crate) struct Schemas {
    kinds: BTreeMap<&'static str, Fields>,
}

impl Schemas {
    /// The fields of a kind; the name is that of the data, such as `Gateway` or `gateway.networking.k8s.io/Gateway`.
    pub(crate) fn kind(&self, name: &str) -> Option<&Fields> {
        self.kinds.get(name)
    }

    /// The fields behind a shape, if it is an object.
    pub(crate) fn fields<'s>(&'s self, shape: &'s Shape) -> Option<&'s Fields> {
        match shape {
            Shape::Object(fields) => Some(fields),
            Shape::Shared(name) => self.kinds.get(name),
            Shape::List(inner) | Shape::Map(inner) => self.fields(inner),
            _ => None,
        }
    }
}

/// The data, read once.
pub(crate) fn schemas() -> &'static Schemas {
    static SCHEMAS: OnceLock<Schemas> = OnceLock::new();
    SCHEMAS.get_or_init(|| {
        let mut kinds = BTreeMap::new();
        for (prefix, text) in data::FILES {
            for (name, fields) in parse(text) {
                let name = if prefix.is_empty() { name } else { *prefix };
                kinds.insert(name, fields);
            }
        }
        Schemas { kinds }
    })
}

/// Reads `name type` lines; what is indented below a line are its fields. `import/schema/README.md` has the grammar.
fn parse(text: &'static str) -> Vec<(&'static str, Fields)> {
    let lines: Vec<(usize, &'static str)> = text
        .lines()
        .filter(|line| !line.starts_with('#') && !line.trim().is_empty())
        .map(|line| ((line.len() - line.trim_start().len()) / 2, line.trim()))
        .collect();
    let mut rest = lines.as_slice();
    let mut roots = Vec::new();
    while let [(_, name), tail @ ..] = rest {
        rest = tail;
        roots.push((*name, fields(&mut rest, 1)));
    }
    roots
}

fn fields(rest: &mut &[(usize, &'static str)], depth: usize) -> Fields {
    let mut fields = Fields::new();
    while let [(d, line), tail @ ..] = *rest
        && *d == depth
    {
        *rest = tail;
        let (name, shape) = line.split_once(' ').unwrap_or((line, ""));
        let below = self::fields(rest, depth + 1);
        let field = FieldType { shape: read_shape(shape, &below), required: name.ends_with('!') };
        fields.insert(name.trim_end_matches('!'), field);
    }
    fields
}

fn read_shape(text: &'static str, below: &Fields) -> Shape {
    if let Some(inner) = text.strip_prefix('[').and_then(|t| t.strip_suffix(']')) {
        return Shape::List(Box::new(read_shape(inner, below)));
    }
    if let Some(inner) = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
        return Shape::Map(Box::new(read_shape(inner, below)));
    }
    match text {
        "" => Shape::Object(below.clone()),
        "string" => Shape::Text,
        "int" => Shape::Int,
        "number" => Shape::Number,
        "bool" => Shape::Bool,
        "intstr" | "quantity" => Shape::IntOrText,
        "any" => Shape::Any,
        _ => match text.strip_prefix('@') {
            Some(name) => Shape::Shared(name),
            None => Shape::OneOf(text.split('|').collect()),
        },
    }
}

#[cfg(test)]
mod tests;
