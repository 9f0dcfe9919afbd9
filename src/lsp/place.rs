//! Places: the editor's `file:` addresses and UTF-16 positions, ours in paths and bytes.

use std::{
    fmt::Write as _,
    path::{Path, PathBuf},
    str::FromStr as _,
};

use lsp_types::{InitializeParams, Position, Range, Uri};
use meshproof_model::Location;

/// The folder that the editor has open; of several, the first.
pub(super) fn folder(params: &InitializeParams) -> Option<PathBuf> {
    let folders = params.workspace_folders.iter().flatten().map(|folder| &folder.uri);
    #[allow(deprecated, reason = "editors that know no workspace folders send it")]
    let root = params.root_uri.iter();
    folders.chain(root).find_map(path)
}

/// The path of a `file:` address.
pub(super) fn path(uri: &Uri) -> Option<PathBuf> {
    if !uri.scheme().is_some_and(|scheme| scheme.as_str().eq_ignore_ascii_case("file")) {
        return None;
    }
    let path = uri.path().as_estr().decode().into_string().ok()?;
    Some(PathBuf::from(path.into_owned()))
}

/// The `file:` address of a path.
pub(super) fn uri(path: &Path) -> Option<Uri> {
    let mut text = "file://".to_owned();
    for byte in path.to_str()?.bytes() {
        if byte.is_ascii_alphanumeric() || b"/-._~".contains(&byte) {
            text.push(char::from(byte));
        } else {
            let _ = write!(text, "%{byte:02X}");
        }
    }
    Uri::from_str(&text).ok()
}

/// From the first to the last byte of a place; to the end of its line where it has several.
pub(super) fn range(text: &str, at: &Location) -> Range {
    let start = (at.offset as usize).min(text.len());
    let end = (start + at.length as usize).min(text.len());
    let line_end = text.get(start..).and_then(|rest| rest.find('\n')).map_or(text.len(), |length| start + length);
    Range { start: position(text, start), end: position(text, end.min(line_end)) }
}

/// A whole line, from 1.
pub(super) fn line(number: u32) -> Range {
    let line = number.saturating_sub(1);
    Range { start: Position { line, character: 0 }, end: Position { line: line.saturating_add(1), character: 0 } }
}

fn position(text: &str, offset: usize) -> Position {
    let before = text.get(..offset).unwrap_or(text);
    let line_start = before.rfind('\n').map_or(0, |at| at + 1);
    let narrow = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    Position {
        line: narrow(before.matches('\n').count()),
        character: narrow(before[line_start..].encode_utf16().count()),
    }
}

/// Whether two stretches have a place in common.
pub(super) fn touch(a: Range, b: Range) -> bool {
    a.start <= b.end && b.start <= a.end
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn addresses_and_paths_are_inverse() {
        for written in ["/a/b.yaml", "/with space/ä#?%.yaml"] {
            let there = uri(Path::new(written)).unwrap();
            assert_eq!(path(&there).unwrap(), Path::new(written), "{}", there.as_str());
        }
        assert_eq!(path(&Uri::from_str("https://example.org/a").unwrap()), None);
    }

    #[test]
    fn columns_count_utf16_units() {
        let text = "a: 1\nkey: \"\u{1f600}x\"\n";
        let at = text.find('x').unwrap();
        assert_eq!(position(text, at), Position { line: 1, character: 8 });
    }
}
