//! Where redirects lead: those the proxy answers with, and those it follows itself (Envoy: `Utility::newUri`,
//! `Filter::convertRequestHeadersForInternalRedirect`).

use std::fmt::Write;

use crate::{
    config,
    error::CompileFault,
    path,
    request::{Request, without_port},
    rewrite::PathRewrite,
    table::PathMatch,
};

/// A compiled [`config::Redirect`].
#[derive(Debug)]
pub(crate) struct Redirect {
    pub(crate) status: u16,
    scheme: Option<Box<str>>,
    host: Option<Box<str>>,
    port: Option<u16>,
    path: Option<Box<str>>,
    rewrite: Option<PathRewrite>,
    matched: PathMatch,
    strip_query: bool,
}

impl Redirect {
    pub(crate) fn new(redirect: &config::Redirect, matched: PathMatch) -> Result<Self, CompileFault> {
        let text = |text: &Option<String>| text.as_deref().filter(|text| !text.is_empty()).map(Into::into);
        let (scheme, path) = (text(&redirect.scheme), text(&redirect.path));
        if redirect.https && scheme.is_some() {
            return Err(CompileFault::Conflict { first: "https_redirect", second: "scheme_redirect" });
        }
        let rewrite = PathRewrite::new(redirect.prefix_rewrite.as_deref(), redirect.regex_rewrite.as_ref())?;
        if path.is_some() && rewrite.is_some() {
            return Err(CompileFault::Conflict { first: "path_redirect", second: "prefix_rewrite or regex_rewrite" });
        }
        let status = redirect.status.unwrap_or(301);
        if !matches!(status, 301 | 302 | 303 | 307 | 308) {
            return Err(CompileFault::Status { status });
        }
        Ok(Self {
            status,
            scheme: if redirect.https { Some("https".into()) } else { scheme },
            host: text(&redirect.host),
            port: redirect.port,
            path,
            rewrite,
            matched,
            strip_query: redirect.strip_query,
        })
    }

    /// The value of `location`.
    pub(crate) fn location(&self, request: &Request) -> String {
        let scheme = self.scheme.as_deref().unwrap_or(request.scheme());
        let mut location = format!("{scheme}://");
        self.write_host(request, scheme, &mut location);
        let mut path = String::new();
        match (&self.path, &self.rewrite) {
            (Some(new), _) => {
                path.push_str(new);
                if !new.contains('?') && !self.strip_query {
                    path.push_str(&request.path()[request.path_only().len()..]);
                }
            }
            (None, Some(rewrite)) => rewrite.write(&self.matched, request.path(), &mut path),
            (None, None) => {}
        }
        if path.is_empty() {
            path.push_str(request.path());
        }
        let slash = if path.starts_with('/') { "" } else { "/" };
        let is_stripped = self.strip_query && self.path.is_none();
        let path = if is_stripped { path::without_query(&path) } else { &path };
        location + slash + path
    }

    /// A new host has no port but its own. The old one keeps its port, unless that is the old scheme's default.
    fn write_host(&self, request: &Request, scheme: &str, location: &mut String) {
        let authority = request.authority();
        match (&self.host, self.port) {
            (Some(host), _) => location.push_str(host),
            (None, Some(_)) => location.push_str(without_port(authority)),
            (None, None) => {
                let old = request.forwarded_proto();
                let default = match old.to_ascii_lowercase().as_str() {
                    _ if old == scheme => "",
                    "http" => ":80",
                    "https" => ":443",
                    _ => "",
                };
                location.push_str(authority.strip_suffix(default).unwrap_or(authority));
            }
        }
        if let Some(port) = self.port {
            // Writing to a string does not fail.
            _ = write!(location, ":{port}");
        }
    }
}

impl Request {
    /// Turns the request into the one that a response's `location` asks for, if the proxy may follow it: the address is
    /// absolute, its scheme is the request's own, and `has_route` finds a route for it. `false`: nothing has changed.
    pub(crate) fn redirect_to(&mut self, location: &str, status: u16, has_route: impl Fn(&Self) -> bool) -> bool {
        let Some((scheme, rest)) = location.split_once("://") else { return false };
        let is_own_scheme = scheme.eq_ignore_ascii_case(if self.peer.is_tls { "https" } else { "http" });
        if !is_own_scheme || rest.is_empty() {
            return false;
        }
        let (authority, path) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let path = path.split_once('#').map_or(path, |(path, _)| path);
        let slash = if path.starts_with('/') { "" } else { "/" };
        let original = own_location(self);
        let (old_authority, old_path) = (self.authority().to_owned(), self.path().to_owned());
        self.set_authority(authority);
        self.set_path(&format!("{slash}{path}"));
        if !has_route(self) {
            self.set_authority(&old_authority);
            self.set_path(&old_path);
            return false;
        }
        self.headers.set("x-envoy-original-url", &original);
        if status == 303 && !matches!(self.method(), "GET" | "HEAD") {
            self.set_method("GET");
            self.headers.remove("content-length");
        }
        true
    }
}

/// The request's own address.
pub(crate) fn own_location(request: &Request) -> String {
    format!("{}://{}{}", request.scheme(), request.authority(), request.path())
}

/// The request's own address over TLS, its port unchanged.
pub(crate) fn https_location(request: &Request) -> String {
    format!("https://{}{}", request.authority(), request.path())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::config::{PathMatcher, RegexRewrite};

    fn request(scheme: &str, authority: &str, path: &str) -> Request {
        let mut request = Request::default();
        request.set_method("POST");
        request.set_authority(authority);
        request.set_path(path);
        request.set_scheme(scheme);
        request
    }

    fn of(change: impl FnOnce(&mut config::Redirect)) -> config::Redirect {
        let mut redirect = config::Redirect::default();
        change(&mut redirect);
        redirect
    }

    #[test]
    fn a_redirect_changes_what_it_names() {
        let text = |text: &str| Some(text.to_owned());
        let https = of(|redirect| redirect.https = true);
        let table = [
            (of(|r| r.host = text("h.com")), "http://o.com:8080/old/x?q=1", "http://h.com/old/x?q=1"),
            (of(|r| r.host = text("h.com:9")), "http://o.com/old", "http://h.com:9/old"),
            (https.clone(), "http://o.com:8080/old", "https://o.com:8080/old"),
            (https.clone(), "http://o.com:80/old", "https://o.com/old"),
            (https.clone(), "http://o.com:443/old", "https://o.com:443/old"),
            (https.clone(), "https://o.com:80/old", "https://o.com:80/old"),
            (https, "http://[::1]:80/old", "https://[::1]/old"),
            (of(|r| r.scheme = text("http")), "https://o.com:443/old", "http://o.com/old"),
            (of(|r| r.port = Some(9)), "http://o.com:80/old", "http://o.com:9/old"),
            (of(|r| r.path = text("/new")), "http://o.com/old?q=1", "http://o.com/new?q=1"),
            (of(|r| r.path = text("new")), "http://o.com/old?q=1", "http://o.com/new?q=1"),
            (of(|r| r.prefix_rewrite = text("v2")), "http://o.com/old/x", "http://o.com/v2/x"),
            (of(|r| r.path = text("/new")), "ftp://o.com:80/old", "http://o.com:80/new"),
            (of(|r| r.path = text("/new")), "Http://o.com:80/old", "http://o.com/new"),
            (of(|r| r.path = text("/new?z")), "http://o.com/old?q=1", "http://o.com/new?z"),
            (of(|r| (r.path, r.strip_query) = (text("/new?z"), true)), "http://o.com/old?q=1", "http://o.com/new?z"),
            (of(|r| r.strip_query = true), "http://o.com/old/x?q=1", "http://o.com/old/x"),
            (of(|r| r.prefix_rewrite = text("/v2")), "http://o.com/old/x?q=1", "http://o.com/v2/x?q=1"),
            (
                of(|r| {
                    r.regex_rewrite =
                        Some(RegexRewrite { pattern: "o(.)d".to_owned(), substitution: r"\1".to_owned() });
                }),
                "http://o.com/old/old?old",
                "http://o.com/l/l?old",
            ),
        ];
        let matched = PathMatch::new(&PathMatcher::Prefix("/old".to_owned()), true).unwrap();
        for (redirect, from, expect) in table {
            let (scheme, rest) = from.split_once("://").unwrap();
            let (authority, path) = rest.split_at(rest.find('/').unwrap());
            let compiled = Redirect::new(&redirect, matched.clone()).unwrap();
            assert_eq!(compiled.location(&request(scheme, authority, path)), expect, "{redirect:?}");
            assert_eq!(compiled.status, 301);
        }
    }

    #[test]
    fn a_prefix_rewrite_replaces_what_the_route_matched() {
        let own = str::to_owned;
        let table = [
            (PathMatcher::Prefix(own("/prx")), "/", "/prx/abc", "//abc"),
            (PathMatcher::Prefix(own("/prx")), "/", "/prxabc", "/abc"),
            (PathMatcher::Prefix(own("/prw/")), "/new/", "/prw/x?q", "/new/x?q"),
            (PathMatcher::PathSeparatedPrefix(own("/api")), "/v", "/api?q", "/v?q"),
            (PathMatcher::PathSeparatedPrefix(own("/root")), "/", "/root/x", "//x"),
            (PathMatcher::Path(own("/a")), "/b", "/a?q", "/b?q"),
            (PathMatcher::Regex(own("/x/.*")), "/y", "/x/1/2?q=1", "/y?q=1"),
        ];
        for (matcher, prefix, path, expect) in table {
            let matched = PathMatch::new(&matcher, true).unwrap();
            let mut request = request("http", "svc", path);
            request.rewrite_path(&PathRewrite::new(Some(prefix), None).unwrap().unwrap(), &matched, true);
            assert_eq!((request.path(), request.headers.get("x-envoy-original-path")), (expect, Some(path)));
        }
    }

    #[test]
    fn the_proxy_follows_absolute_addresses_of_its_own_scheme() {
        let table = [
            ("http://b.test/target?x=1", 302, true, Some(("POST", "http://b.test/target?x=1"))),
            ("http://b.test", 307, true, Some(("POST", "http://b.test/"))),
            ("http://b.test/x#frag", 303, true, Some(("GET", "http://b.test/x"))),
            ("https://b.test/x", 302, true, None),
            ("/relative", 302, true, None),
            ("http://b.test/x", 302, false, None),
        ];
        for (location, status, has_route, expect) in table {
            let mut request = request("http", "a.test", "/go");
            assert_eq!(request.redirect_to(location, status, |_| has_route), expect.is_some(), "{location}");
            let (method, address) = expect.unwrap_or(("POST", "http://a.test/go"));
            assert_eq!((request.method(), own_location(&request).as_str()), (method, address));
            let original = request.headers.get("x-envoy-original-url");
            assert_eq!(original, expect.map(|_| "http://a.test/go"));
        }
    }
}
