//! Where documents begin: at a line that starts with `---`, as kubectl splits them before it parses.

/// A part of the text with one document, and where it begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Chunk<'a> {
    pub text: &'a str,
    /// Bytes before it.
    pub offset: usize,
    /// Line breaks before it.
    pub lines: usize,
}

/// The parts of a text, in order; a byte order mark at its beginning belongs to none.
pub(super) fn chunks(text: &str) -> Vec<Chunk<'_>> {
    let begin = if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 };
    let mut chunks = Vec::new();
    let (mut start, mut start_line, mut position, mut line) = (begin, 0, begin, 0);
    // Directives (`%YAML 1.2`) stand before the `---` of their own document.
    let mut only_directives = false;
    for part in text[begin..].split_inclusive('\n') {
        let opens =
            part.strip_prefix("---").is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\r', '\n']));
        if opens && !only_directives && position > start {
            chunks.push(Chunk { text: &text[start..position], offset: start, lines: start_line });
            (start, start_line) = (position, line);
        }
        let bare = part.trim();
        only_directives = match bare.as_bytes().first() {
            Some(b'%') => true,
            None | Some(b'#') => only_directives,
            Some(_) => false,
        };
        position += part.len();
        line += breaks(part);
    }
    if position > start {
        chunks.push(Chunk { text: &text[start..position], offset: start, lines: start_line });
    }
    chunks
}

/// Line breaks: `\n`, `\r\n` and a lone `\r`.
fn breaks(part: &str) -> usize {
    let lone = part.bytes().zip(part.bytes().skip(1).chain([0])).filter(|(a, b)| *a == b'\r' && *b != b'\n').count();
    lone + usize::from(part.ends_with('\n'))
}
