//! Reading a tree without marking it as read: an analysis looks at fields that the model does not take in.

use meshproof_model::Labels;

use crate::{
    object::{labels, text_of},
    yaml::{Node, Plain, Value},
};

/// A value, or none; null counts as none.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tree<'a>(Option<&'a Node<'a>>);

impl<'a> Tree<'a> {
    pub(super) fn new(node: &'a Node<'a>) -> Self {
        Self(Some(node).filter(|node| !node.is_null()))
    }

    /// The field of that name.
    pub(super) fn get(self, key: &str) -> Self {
        self.0.and_then(|node| node.entry(key)).map_or(Self(None), |entry| Self::new(&entry.value))
    }

    /// The field at the end of a way of names, such as `trafficPolicy.tls.mode`.
    pub(super) fn at(self, path: &str) -> Self {
        path.split('.').fold(self, Self::get)
    }

    /// Whether it is written, be it empty.
    pub(super) fn is_set(self) -> bool {
        self.0.is_some()
    }

    /// Whether the field of that name is written, be it null.
    pub(super) fn has(self, key: &str) -> bool {
        self.0.is_some_and(|node| node.entry(key).is_some())
    }

    /// Its text; empty where there is none, as protobuf reads it.
    pub(super) fn text(self) -> &'a str {
        match self.0.map(|node| &node.value) {
            Some(Value::Scalar { text, .. }) => text,
            _ => "",
        }
    }

    /// Its whole number; 0 where there is none.
    pub(super) fn int(self) -> i64 {
        match self.0.and_then(Node::plain) {
            Some(Plain::Int(value)) => value,
            #[expect(clippy::cast_possible_truncation, reason = "whole numbers far from the limits")]
            Some(Plain::Float(value)) => value as i64,
            Some(Plain::Text(text)) => text.parse().unwrap_or(0),
            _ => 0,
        }
    }

    /// Its number; 0 where there is none.
    pub(super) fn number(self) -> f64 {
        match self.0.and_then(Node::plain) {
            #[expect(clippy::cast_precision_loss, reason = "percentages")]
            Some(Plain::Int(value)) => value as f64,
            Some(Plain::Float(value)) => value,
            _ => 0.0,
        }
    }

    /// Its yes or no; no where there is none.
    pub(super) fn bool(self) -> bool {
        matches!(self.0.and_then(Node::plain), Some(Plain::Bool(true)))
    }

    /// Its items, null ones too.
    pub(super) fn items(self) -> impl DoubleEndedIterator<Item = Self> + ExactSizeIterator {
        self.0.map_or(&[][..], Node::items).iter().map(Self::new)
    }

    /// The items of the list of that name.
    pub(super) fn list(self, key: &str) -> impl DoubleEndedIterator<Item = Self> + ExactSizeIterator {
        self.get(key).items()
    }

    /// How many items the list of that name has.
    pub(super) fn count(self, key: &str) -> usize {
        self.list(key).len()
    }

    /// The texts of the list of that name.
    pub(super) fn texts(self, key: &str) -> Vec<&'a str> {
        self.list(key).map(Self::text).collect()
    }

    /// Its fields; null values too.
    pub(super) fn fields(self) -> impl Iterator<Item = (&'a str, Self)> {
        self.0.map_or(&[][..], Node::entries).iter().map(|entry| (entry.key.as_ref(), Self::new(&entry.value)))
    }

    /// It as labels.
    pub(super) fn labels(self) -> Labels {
        self.0.map(labels).unwrap_or_default()
    }

    /// Its duration in nanoseconds, if it is one.
    pub(super) fn duration(self) -> Option<u64> {
        crate::duration::go_duration(self.text()).map(meshproof_model::Nanos::get)
    }

    /// One text for everything below, the same for trees that say the same; order of fields does not count.
    pub(super) fn canonical(self) -> String {
        let Some(node) = self.0 else { return "null".to_owned() };
        match &node.value {
            Value::Scalar { .. } => format!("{:?}", text_of(node).unwrap_or_default()),
            Value::Sequence(items) => {
                let items: Vec<String> = items.iter().map(|item| Self::new(item).canonical()).collect();
                format!("[{}]", items.join(","))
            }
            Value::Mapping(entries) => {
                let mut fields: Vec<String> = (entries.iter())
                    .filter(|entry| !entry.value.is_null())
                    .map(|entry| format!("{:?}:{}", entry.key, Self::new(&entry.value).canonical()))
                    .collect();
                fields.sort();
                format!("{{{}}}", fields.join(","))
            }
        }
    }
}
