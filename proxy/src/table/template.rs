//! Path templates (Envoy: `extensions.path.match.uri_template.v3.UriTemplateMatchConfig`).

use crate::error::CompileFault;

/// A template over a whole path: literals, `*` and `{name}` for one segment, `**` for any rest.
#[derive(Clone, Debug)]
pub(crate) struct Template(Box<[Part]>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(Box<str>),
    /// One segment that is not empty.
    Segment,
    /// Anything, possibly nothing.
    Rest,
}

impl Template {
    pub(crate) fn new(template: &str) -> Result<Self, CompileFault> {
        parse(template)
            .map(|parts| Self(parts.into()))
            .ok_or_else(|| CompileFault::UriTemplate { template: template.to_owned() })
    }

    pub(crate) fn matches(&self, path: &str) -> bool {
        matches(&self.0, path)
    }
}

fn parse(template: &str) -> Option<Vec<Part>> {
    let template = expand(template).filter(|template| template.starts_with('/'))?;
    let mut parts = Vec::new();
    let mut rest = template.as_str();
    while let Some(at) = rest.find('*') {
        if at > 0 {
            parts.push(Part::Text(rest[..at].into()));
        }
        rest = &rest[at + 1..];
        match rest.strip_prefix('*') {
            Some(after) => {
                parts.push(Part::Rest);
                rest = after;
            }
            None => parts.push(Part::Segment),
        }
    }
    if !rest.is_empty() {
        parts.push(Part::Text(rest.into()));
    }
    // `**` takes any rest, so only text may follow it.
    let any_rest = parts.iter().position(|part| *part == Part::Rest).unwrap_or(parts.len());
    parts.iter().skip(any_rest + 1).all(|part| matches!(part, Part::Text(_))).then_some(parts)
}

/// Leaves out names: `{name}` is `*`, `{name=pattern}` and Istio's `{*}` and `{**}` are what is inside.
fn expand(template: &str) -> Option<String> {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find(['{', '}']) {
        let (inside, after) = rest[at..].strip_prefix('{')?.split_once('}')?;
        out.push_str(&rest[..at]);
        out.push_str(match inside.split_once('=') {
            Some((_, pattern)) => pattern,
            None if inside.starts_with('*') => inside,
            None => "*",
        });
        rest = after;
    }
    out.push_str(rest);
    Some(out)
}

/// The characters of RFC 3986's `pchar`, the wildcard left out; others match no wildcard.
fn is_segment_char(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~%!$&'()+,;:@=".contains(c)
}

fn matches(parts: &[Part], path: &str) -> bool {
    match parts {
        [] => path.is_empty(),
        [Part::Text(text), rest @ ..] => path.strip_prefix(&**text).is_some_and(|path| matches(rest, path)),
        [Part::Segment, rest @ ..] => {
            let end = path.find(|c| !is_segment_char(c)).unwrap_or(path.len());
            // Text may follow a wildcard within a segment, so every length counts, the longest first.
            (1..=end).rev().any(|len| path.is_char_boundary(len) && matches(rest, &path[len..]))
        }
        [Part::Rest, rest @ ..] => {
            let end = path.find(|c| c != '/' && !is_segment_char(c)).unwrap_or(path.len());
            (0..=end).rev().any(|len| path.is_char_boundary(len) && matches(rest, &path[len..]))
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;

    #[test]
    fn templates_match_whole_paths() {
        let table = [
            ("/users/{id}/posts/*", "/users/1/posts/2", true),
            ("/users/{id}/posts/*", "/users/1/posts", false),
            ("/users/{id}/posts/*", "/users/1/2/posts/3", false),
            ("/users/{id}/posts/*", "/users/1/posts/", false),
            ("/files/**", "/files/a/b/c", true),
            ("/files/**", "/files/", true),
            ("/files/**", "/files", false),
            ("/files/**", "/file", false),
            ("/a/*.png", "/a/b.png", true),
            ("/a/*.png", "/a/.png", false),
            ("/a/**/z", "/a/b/c/z", true),
            ("/a/**/z", "/a/b/c", false),
            ("/{a=*}/{b=v1/**}", "/x/v1/z", true),
            ("/{a=*}/{b=v1/**}", "/x/v2/z", false),
            ("/{*}/b/{**}", "/x/b/z/z", true),
            ("/a/*", "/a/b:c%20", true),
            ("/a/*", "/a/b{c", false),
            ("/**", "/a/[b", false),
            ("/", "/", true),
        ];
        for (template, path, expect) in table {
            assert_eq!(Template::new(template).unwrap().matches(path), expect, "{template} {path}");
        }
        for template in ["", "a", "/{a", "/a}", "/**/*", "/**/**"] {
            assert!(Template::new(template).is_err(), "{template}");
        }
    }
}
