//! New paths of redirects and rewrites (`G-8`), in Envoy's terms.

use meshproof_proxy::config::{Redirect as ProxyRedirect, RegexRewrite};

use crate::{
    gateway_api::{PathMatch, PathModifier, Redirect, Rewrite, RouteMatch},
    istio::HttpRewrite,
};

/// A prefix without the slash that does not count (`G-4`).
pub(super) fn prefix(path: &str) -> &str {
    match path.trim_end_matches('/') {
        "" => "/",
        path => path,
    }
}

/// How a path is changed.
enum Change {
    Prefix(String),
    Pattern(RegexRewrite),
    Nothing,
}

/// The elements that matched, replaced; what follows them keeps its slash.
fn replace_prefix(matched: &str, new: &str) -> Change {
    match (prefix(matched), prefix(new)) {
        ("/", "/") => Change::Nothing,
        // Every path begins with a slash, which is all that matched: it must stay between the new path and the rest.
        ("/", new) => Change::Prefix(format!("{new}/")),
        // What matched goes away, and the path still begins with one slash.
        (matched, "/") => {
            let pattern = format!("^{}/?", escape(matched));
            Change::Pattern(RegexRewrite { pattern, substitution: "/".to_owned() })
        }
        (_, new) => Change::Prefix(new.to_owned()),
    }
}

fn matched(block: Option<&RouteMatch>) -> &str {
    match block.and_then(|block| block.path.as_ref()).map(|path| &path.value) {
        Some(PathMatch::Prefix(path) | PathMatch::Exact(path)) => path,
        Some(PathMatch::Regex(_)) | None => "/",
    }
}

/// A rewrite as Istio says it.
pub(super) fn rewrite(written: &Rewrite, block: Option<&RouteMatch>, at: &crate::Location) -> HttpRewrite {
    let mut made = HttpRewrite { at: at.clone(), uri: None, authority: written.hostname.clone(), uri_regex: None };
    match &written.path {
        Some(PathModifier::Full(path)) => made.uri_regex = Some(("^/.*".to_owned(), path.replace('\\', "\\\\"))),
        Some(PathModifier::Prefix(new)) => match replace_prefix(matched(block), new) {
            Change::Prefix(path) => made.uri = Some(path),
            Change::Pattern(RegexRewrite { pattern, substitution }) => made.uri_regex = Some((pattern, substitution)),
            Change::Nothing => {}
        },
        None => {}
    }
    made
}

/// A redirect in Envoy's terms, but for the port.
#[derive(Clone, Debug)]
pub(in crate::lower) struct Answer {
    redirect: ProxyRedirect,
    /// Whether the port is the listener's.
    own_port: bool,
}

impl Answer {
    /// A redirect of a rule.
    pub(super) fn new(written: &Redirect, block: Option<&RouteMatch>) -> Self {
        let of_scheme = written.scheme.as_deref().map(|scheme| if scheme == "https" { 443 } else { 80 });
        let mut redirect = ProxyRedirect {
            scheme: written.scheme.clone(),
            host: written.hostname.clone(),
            port: written.port.or(of_scheme),
            status: Some(written.status.unwrap_or(302)),
            ..ProxyRedirect::default()
        };
        match &written.path {
            Some(PathModifier::Full(path)) => redirect.path = Some(path.clone()),
            Some(PathModifier::Prefix(new)) => match replace_prefix(matched(block), new) {
                Change::Prefix(path) => redirect.prefix_rewrite = Some(path),
                Change::Pattern(pattern) => redirect.regex_rewrite = Some(pattern),
                Change::Nothing => {}
            },
            None => {}
        }
        Self { own_port: redirect.port.is_none(), redirect }
    }

    /// The redirect on a listener: without a port or a scheme of its own, to the port of the listener, which is left
    /// out where schemes have it by default.
    pub(in crate::lower) fn on_port(&self, port: u16) -> ProxyRedirect {
        let mut redirect = self.redirect.clone();
        if self.own_port && !matches!(port, 80 | 443) {
            redirect.port = Some(port);
        }
        redirect
    }
}

/// A text as a regular expression (RE2) that means it.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() && !c.is_ascii_alphanumeric() && !matches!(c, '/' | '_' | '-') {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
