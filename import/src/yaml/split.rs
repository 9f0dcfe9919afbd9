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
    let opens = |line: usize| {
        text[line + "---".len()..].chars().next().is_none_or(|next| matches!(next, ' ' | '\t' | '\r' | '\n'))
            && !after_directives(&text[begin..line])
    };
    let begins = text.match_indices("\n---").map(|(at, _)| at + 1).filter(|line| opens(*line));
    let (mut chunks, mut start, mut lines) = (Vec::new(), begin, 0);
    for end in begins.chain([text.len()]).filter(|end| *end > begin) {
        let part = &text[start..end];
        chunks.push(Chunk { text: part, offset: start, lines });
        (start, lines) = (end, lines + breaks(part));
    }
    chunks
}

/// Whether the last line that says something is a directive (`%YAML 1.2`): it belongs to the document whose `---` is
/// next.
fn after_directives(before: &str) -> bool {
    let said = before.rsplit('\n').map(str::trim).find(|line| !line.is_empty() && !line.starts_with('#'));
    said.is_some_and(|line| line.starts_with('%'))
}

/// Line breaks: `\n`, `\r\n` and a lone `\r`.
fn breaks(part: &str) -> usize {
    let ends = part.bytes().filter(|byte| *byte == b'\n').count();
    if !part.contains('\r') {
        return ends;
    }
    ends + part.bytes().zip(part.bytes().skip(1).chain([0])).filter(|(a, b)| *a == b'\r' && *b != b'\n').count()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The same, a line at a time.
    fn naive(text: &str) -> Vec<(String, usize, usize)> {
        let begin = if text.starts_with('\u{feff}') { 3 } else { 0 };
        let (mut found, mut part, mut start, mut lines, mut line) = (Vec::new(), String::new(), begin, 0, 0);
        let mut directives = false;
        for next in text[begin..].split_inclusive('\n') {
            let words = next.strip_prefix("---").map(|rest| rest.chars().next().is_none_or(char::is_whitespace));
            if words == Some(true) && !directives && !part.is_empty() {
                found.push((std::mem::take(&mut part), start, lines));
                start += found.last().map_or(0, |(text, ..)| text.len());
                lines = line;
            }
            match next.trim().chars().next() {
                None | Some('#') => {}
                first => directives = first == Some('%'),
            }
            part.push_str(next);
            line += next.replace("\r\n", "\n").matches(['\r', '\n']).count();
        }
        if !part.is_empty() {
            found.push((part, start, lines));
        }
        found
    }

    proptest! {
        #[test]
        fn chunks_are_those_found_a_line_at_a_time(text in "(\u{feff})?((---|%YAML 1.2|#|a|--- b|---c| )?(\n|\r\n|\r)){0,12}(---)?") {
            let chunks: Vec<_> = chunks(&text).iter().map(|c| (c.text.to_owned(), c.offset, c.lines)).collect();
            prop_assert_eq!(chunks, naive(&text));
        }
    }
}
