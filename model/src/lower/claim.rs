//! Claims of tokens in match blocks (`RT-6`).
//!
//! A claim is a header that no client can send: its name is `@request.auth.claims[a][b]`, and its value is every text of
//! the claim, each between commas: `,admin,test,`. Whoever puts a request with a verified token to a gateway's routes
//! sets it.

use meshproof_proxy::config::{HeaderMatcher, HeaderValueMatcher, StringMatcher, StringPattern};

use crate::istio::StringMatch;

const PREFIX: &str = "@request.auth.claims";

/// The header of a claim, by the names on the way to it.
pub fn claim_header<'a>(path: impl IntoIterator<Item = &'a str>) -> String {
    path.into_iter().fold(PREFIX.to_owned(), |name, part| format!("{name}[{part}]"))
}

/// The value of a claim's header.
pub fn claim_value<'a>(texts: impl IntoIterator<Item = &'a str>) -> String {
    texts.into_iter().fold(",".to_owned(), |value, text| format!("{value}{text},"))
}

/// What a match block asks of a claim; `None`: the header is one of requests.
pub(super) fn claim_matcher(name: &str, condition: &StringMatch) -> Option<HeaderMatcher> {
    let rest = name.get(..PREFIX.len()).filter(|start| start.eq_ignore_ascii_case(PREFIX))?;
    let rest = &name[rest.len()..];
    let path: Vec<&str> = match rest.strip_prefix('.') {
        Some(dotted) => dotted.split('.').collect(),
        None => rest.split(['[', ']']).filter(|part| !part.is_empty()).collect(),
    };
    let contains = |text: String| {
        HeaderValueMatcher::Text(StringMatcher { pattern: StringPattern::Contains(text), ignore_case: false })
    };
    let value = match condition {
        StringMatch::Exact(text) => contains(format!(",{text},")),
        StringMatch::Prefix(text) => contains(format!(",{text}")),
        StringMatch::Regex(pattern) if pattern != "*" => {
            HeaderValueMatcher::Text(StringMatcher::regex(format!("(?:.*,)?(?:{pattern})(?:,.*)?")))
        }
        StringMatch::Regex(_) | StringMatch::Present => HeaderValueMatcher::Present(true),
    };
    Some(HeaderMatcher { name: claim_header(path), value, invert: false, treat_missing_as_empty: false })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rt6_names_of_claims() {
        let exact = StringMatch::Exact("x".to_owned());
        for (written, expect) in [
            ("@request.auth.claims.groups", Some("@request.auth.claims[groups]")),
            ("@request.auth.claims.a.b", Some("@request.auth.claims[a][b]")),
            ("@request.auth.claims[a][b.c]", Some("@request.auth.claims[a][b.c]")),
            ("@Request.Auth.Claims[A]", Some("@request.auth.claims[A]")),
            ("x-claims", None),
            ("@", None),
        ] {
            let name = claim_matcher(written, &exact).map(|matcher| matcher.name);
            assert_eq!(name.as_deref(), expect, "{written}");
        }
        assert_eq!(claim_value(["admin", "test"]), ",admin,test,");
    }
}
