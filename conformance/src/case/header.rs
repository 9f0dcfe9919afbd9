//! Header changes.

use meshproof_proxy::config;
use serde::Deserialize;

/// A header to add.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct HeaderToAdd {
    name: String,
    value: String,
    #[serde(default)]
    action: Append,
}

#[derive(Clone, Copy, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
enum Append {
    #[default]
    Append,
    AddIfAbsent,
    Overwrite,
    OverwriteIfExists,
}

impl HeaderToAdd {
    pub(crate) fn lower_all(headers: &[Self]) -> Vec<config::HeaderToAdd> {
        headers.iter().map(Self::lower).collect()
    }

    fn lower(&self) -> config::HeaderToAdd {
        config::HeaderToAdd {
            name: self.name.to_ascii_lowercase(),
            value: self.value.clone(),
            action: match self.action {
                Append::Append => config::AppendAction::AppendIfExistsOrAdd,
                Append::AddIfAbsent => config::AppendAction::AddIfAbsent,
                Append::Overwrite => config::AppendAction::OverwriteIfExistsOrAdd,
                Append::OverwriteIfExists => config::AppendAction::OverwriteIfExists,
            },
        }
    }
}

/// Header names as the core keeps them.
pub(crate) fn lower_case(names: &[String]) -> Vec<String> {
    names.iter().map(|name| name.to_ascii_lowercase()).collect()
}
