//! What the connection manager does to a path before any decision reads it (Envoy: `PathUtil`). The query is never
//! touched.

/// The path without its query.
pub(crate) fn without_query(path: &str) -> &str {
    let end = path.bytes().position(|byte| matches!(byte, b'?' | b'#'));
    &path[..end.unwrap_or(path.len())]
}

/// The query without its `?`; empty if there is none.
pub(crate) fn query(path: &str) -> &str {
    path.split_once('?').map_or("", |(_, query)| query)
}

/// Replaces `%2F` and `%5C` by what they stand for; `false` if there was none.
pub(crate) fn unescape_slashes(path: &mut String) -> bool {
    rewrite(path, |part, out| {
        let mut rest = part;
        while let Some(at) = rest.find('%') {
            out.push_str(&rest[..at]);
            let slash = match rest.as_bytes().get(at + 1..at + 3) {
                Some([b'2', b'f' | b'F']) => Some('/'),
                Some([b'5', b'c' | b'C']) => Some('\\'),
                _ => None,
            };
            match slash {
                Some(slash) => out.push(slash),
                None => out.push('%'),
            }
            rest = &rest[at + if slash.is_some() { 3 } else { 1 }..];
        }
        out.push_str(rest);
    })
}

/// Collapses runs of slashes. A path of nothing else keeps its first and its last one.
pub(crate) fn merge_slashes(path: &mut String) {
    let part = without_query(path);
    if part.contains("//") {
        let is_all_slashes = part.bytes().all(|byte| byte == b'/');
        rewrite(path, |part, out| {
            if is_all_slashes {
                out.push_str("//");
                return;
            }
            for c in part.chars() {
                if c != '/' || !out.ends_with('/') {
                    out.push(c);
                }
            }
        });
    }
}

/// Normalises as RFC 3986 and Chromium do: backslashes become slashes, escapes of unreserved characters are decoded,
/// unsafe characters are escaped, then dot segments are resolved. `false` if the path cannot be normalised.
pub(crate) fn normalize(path: &mut String) -> bool {
    let part = without_query(path);
    if part.contains("%00") {
        return false;
    }
    let is_normal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'/' | b'-' | b'_' | b'~');
    if part.bytes().all(is_normal) {
        return true;
    }
    rewrite(path, decode_unreserved);
    rewrite(path, resolve_dots);
    true
}

fn decode_unreserved(part: &str, out: &mut String) {
    let bytes = part.as_bytes();
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        let decoded = (*byte == b'%').then(|| hex(*bytes.get(at + 1)?, *bytes.get(at + 2)?)).flatten();
        match (byte, decoded) {
            (b'%', Some(decoded)) if decoded.is_ascii_alphanumeric() || b"-._~".contains(&decoded) => {
                out.push(char::from(decoded));
                at += 2;
            }
            (b'\\', _) => out.push('/'),
            (byte, _) if *byte <= b' ' || *byte >= 0x7f || b"\"<>^`{|}".contains(byte) => {
                out.push('%');
                for digit in [byte >> 4, byte & 15] {
                    out.push(char::from(b"0123456789ABCDEF"[usize::from(digit)]));
                }
            }
            (byte, _) => out.push(char::from(*byte)),
        }
        at += 1;
    }
}

/// Appends a text with every valid `%XX` replaced by its byte (Envoy: `PercentEncoding::decode`).
pub(crate) fn percent_decode(text: &str, out: &mut String) {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&first, after)) = rest.split_first() {
        match (first, after) {
            (b'%', [high, low, after @ ..]) if hex(*high, *low).is_some() => {
                bytes.extend(hex(*high, *low));
                rest = after;
            }
            _ => {
                bytes.push(first);
                rest = after;
            }
        }
    }
    out.push_str(&String::from_utf8_lossy(&bytes));
}

fn hex(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    Some(digit(high)? << 4 | digit(low)?)
}

fn resolve_dots(part: &str, out: &mut String) {
    let start = out.len();
    let mut segments = part.split('/').skip(1).peekable();
    while let Some(segment) = segments.next() {
        let is_last = segments.peek().is_none();
        match segment {
            "." | ".." => {
                if segment == ".." {
                    out.truncate(out.rfind('/').unwrap_or(start).max(start));
                }
                if is_last {
                    out.push('/');
                }
            }
            _ => {
                out.push('/');
                out.push_str(segment);
            }
        }
    }
}

/// Rewrites the part before the query; `false` if nothing changed.
fn rewrite(path: &mut String, change: impl FnOnce(&str, &mut String)) -> bool {
    let part = without_query(path);
    let mut out = String::with_capacity(path.len());
    change(part, &mut out);
    if out == part {
        return false;
    }
    out.push_str(&path[part.len()..]);
    *path = out;
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn normalized(path: &str) -> Option<String> {
        let mut path = path.to_owned();
        normalize(&mut path).then_some(path)
    }

    #[test]
    fn paths_are_normalised_in_chromiums_order() {
        let table = [
            ("/a/./b", "/a/b"),
            ("/a/../b", "/b"),
            ("/a/b/..", "/a/"),
            ("/a/b/.", "/a/b/"),
            ("/..", "/"),
            ("/../../x", "/x"),
            ("/b/.%2e/x", "/x"),
            ("/b/%2E%2e/x", "/x"),
            ("/b//../c", "/b/c"),
            ("/b//c", "/b//c"),
            ("/b/...", "/b/..."),
            ("/.b", "/.b"),
            ("/%62", "/b"),
            ("/%7Ea%2D", "/~a-"),
            ("/a%2Fb%5C", "/a%2Fb%5C"),
            ("/%c3%a9%20", "/%c3%a9%20"),
            ("/%zz/%", "/%zz/%"),
            (r"/a\..\b", "/b"),
            ("/a?b/../c", "/a?b/../c"),
            ("/a/../b?x=%62", "/b?x=%62"),
            ("/a{b}", "/a%7Bb%7D"),
            ("/caf\u{e9}", "/caf%C3%A9"),
        ];
        for (path, expect) in table {
            assert_eq!(normalized(path).as_deref(), Some(expect), "{path}");
        }
        assert_eq!(normalized("/a%00"), None);
        assert_eq!(normalized("/a?%00").as_deref(), Some("/a?%00"));
    }

    #[test]
    fn slashes_are_unescaped_and_merged_before_the_query_only() {
        let table = [
            ("/b%2fc", true, "/b/c"),
            ("/b%5Cc%2F", true, r"/b\c/"),
            ("/b?%2f", false, "/b?%2f"),
            ("/b%2", false, "/b%2"),
            ("/%25", false, "/%25"),
        ];
        for (path, found, expect) in table {
            let mut out = path.to_owned();
            assert_eq!((unescape_slashes(&mut out), out.as_str()), (found, expect), "{path}");
        }
        for (path, expect) in
            [("//b", "/b"), ("/b///c//", "/b/c/"), ("/b?x=//y", "/b?x=//y"), ("/b", "/b"), ("///?//", "//?//")]
        {
            let mut out = path.to_owned();
            merge_slashes(&mut out);
            assert_eq!(out, expect, "{path}");
        }
    }

    #[test]
    fn the_query_begins_at_the_first_question_mark() {
        for (path, part, rest) in [("/a?b?c", "/a", "b?c"), ("/a", "/a", ""), ("/a?", "/a", "")] {
            assert_eq!((without_query(path), query(path)), (part, rest));
        }
    }
}
