//! A request as far as match conditions see it, and which of them it meets.

use std::{collections::BTreeMap, fmt};

use super::Block;
use crate::patterns::{Attribute, Pattern};

/// What a request has; the path stands under [`Attribute::Path`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Request(BTreeMap<Attribute, String>);

impl Request {
    /// Gives it a value.
    pub(super) fn set(&mut self, attribute: Attribute, value: String) {
        self.0.insert(attribute, value);
    }

    /// Whether it meets all conditions of a block; `None`: a regular expression is not understood.
    pub(super) fn meets(&self, block: &Block) -> Option<bool> {
        for condition in block {
            let value = match &condition.attribute {
                Attribute::FoldedPath => self.0.get(&Attribute::Path).map(|path| path.to_ascii_lowercase()),
                attribute => self.0.get(attribute).cloned(),
            };
            // A header that is absent counts as empty where it must not match, but for the mere question whether it
            // is there (`RT-3`).
            let value =
                value.or_else(|| condition.negated.then(String::new).filter(|_| !asks_presence(&condition.any)));
            let mut meets = false;
            if let Some(value) = value {
                for pattern in &condition.any {
                    meets |= pattern.contains(&value)?;
                }
            }
            if meets == condition.negated {
                return Some(false);
            }
        }
        Some(true)
    }
}

fn asks_presence(patterns: &[Pattern]) -> bool {
    patterns.contains(&Pattern::Present)
}

/// As a person writes it: `GET /a?q=1 x-user: ~`.
impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = |attribute: Attribute| self.0.get(&attribute).map_or("", String::as_str);
        write!(f, "{} {}", text(Attribute::Method), text(Attribute::Path))?;
        let mut mark = '?';
        for (attribute, value) in &self.0 {
            if let Attribute::Query(name) = attribute {
                write!(f, "{mark}{name}={value}")?;
                mark = '&';
            }
        }
        for (attribute, value) in &self.0 {
            match attribute {
                Attribute::Header(name) => write!(f, " {name}: {value}")?,
                Attribute::Authority => write!(f, " :authority: {value}")?,
                Attribute::Scheme => write!(f, " :scheme: {value}")?,
                Attribute::Label(name) => write!(f, " (client label {name}={value})")?,
                Attribute::Namespace => write!(f, " (client in {value})")?,
                Attribute::Port => write!(f, " (port {value})")?,
                Attribute::Gateway if value != "mesh" => write!(f, " (gateway {value})")?,
                _ => {}
            }
        }
        Ok(())
    }
}
