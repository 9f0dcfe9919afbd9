//! Path templates (Envoy: `extensions.path.match.uri_template.v3.UriTemplateMatchConfig`).

use crate::{error::CompileFault, regex::FullMatch};

/// One character of a segment: RFC 3986's `pchar`, the wildcard left out.
const SEGMENT_CHAR: &str = r"[a-zA-Z0-9\-._~%!$&'()+,;:@=]";
/// Characters of any rest.
const REST_CHAR: &str = r"[a-zA-Z0-9\-._~%!$&'()+,;:@=/]";

/// A template over a whole path: literals, `*` and `{name}` for one segment, `**` for any rest. As in Envoy it becomes a
/// regular expression into which literals go as they are, so that their `.`, `+` and `*` keep their meaning there.
#[derive(Clone, Debug)]
pub(crate) struct Template(FullMatch);

impl Template {
    pub(crate) fn new(template: &str) -> Result<Self, CompileFault> {
        let fault = || CompileFault::UriTemplate { template: template.to_owned() };
        FullMatch::new(&pattern(template).ok_or_else(fault)?).map(Self).map_err(|_| fault())
    }

    pub(crate) fn matches(&self, path: &str) -> bool {
        self.0.matches(path)
    }
}

/// A wildcard begins a segment; an asterisk elsewhere is a literal. Only literals may follow `**`.
fn pattern(template: &str) -> Option<String> {
    let template = expand(template).filter(|template| template.starts_with('/'))?;
    let mut out = String::new();
    let mut has_rest = false;
    for segment in template[1..].split('/') {
        let (wildcard, literal) = match segment.strip_prefix('*') {
            None => (String::new(), segment),
            Some(_) if has_rest => return None,
            Some(after) => match after.strip_prefix('*') {
                Some(after) => {
                    has_rest = true;
                    (format!("{REST_CHAR}*"), after)
                }
                None => (format!("{SEGMENT_CHAR}+"), after),
            },
        };
        out.extend(["/", &wildcard, literal]);
    }
    Some(out)
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
            ("/a/b*", "/a/b", true),
            ("/a/b*", "/a/bc", false),
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
