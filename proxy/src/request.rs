//! The effective request: what the connection manager makes of a request's head before filters and routes read it
//! (Envoy: `ConnectionManagerImpl::decodeHeaders`, `ConnectionManagerUtility::mutateRequestHeaders`).

mod names;
mod trust;

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use crate::{
    Metadata, RequestHead, Token,
    codec::{self, Framing},
    config::EscapedSlashes,
    grpc,
    header_list::HeaderList,
    jwt::Found,
    path,
    rewrite::PathRewrite,
    table::{HeaderMatch, ListenerTable, ManagerOptions, PathMatch},
};
use names::ONE_LINE;

/// The effective request. A stream slot keeps one and loads it anew, so its buffers are allocated once.
#[derive(Debug, Default)]
pub(crate) struct Request {
    method: String,
    authority: String,
    path: String,
    /// `http` or `https`: what `x-forwarded-proto` says over HTTP/1.1, if it says one of them, or else the connection.
    scheme: &'static str,
    /// `authority` in lower case, as domains are matched.
    host: String,
    pub(crate) headers: HeaderList,
    pub(crate) peer: PeerFacts,
    /// The tokens that the driver knows; a request refers to one by its text.
    pub(crate) tokens: Vec<Arc<Token>>,
    /// Verified tokens by their metadata keys.
    pub(crate) payloads: Vec<(Arc<str>, Arc<Token>)>,
    /// What a filter for tokens found and has not judged yet; kept for its room.
    pub(crate) found: Vec<Found>,
    /// What other filters have left behind.
    pub(crate) metadata: Option<Arc<Metadata>>,
    pub(crate) http2: bool,
    pub(crate) is_internal: bool,
    is_grpc: bool,
    pub(crate) framing: Framing,
    has_framing: bool,
    /// Whether it came with `x-envoy-*` headers or a `grpc-timeout`; most requests do not.
    may_control: bool,
    /// The client's address as far as it is trusted.
    pub(crate) trusted_address: Option<IpAddr>,
}

/// What the request's connection shows of its sender.
#[derive(Debug, Default)]
pub(crate) struct PeerFacts {
    pub(crate) address: Option<IpAddr>,
    pub(crate) connection: u64,
    pub(crate) destination: Option<SocketAddr>,
    pub(crate) is_tls: bool,
    has_certificate: bool,
    /// Names of its certificate, as `uri` and `dns`.
    pub(crate) sans: HeaderList,
    pub(crate) server_name: String,
}

impl PeerFacts {
    /// Whether the peer has shown a certificate.
    pub(crate) fn has_certificate(&self) -> bool {
        self.has_certificate
    }
}

/// An answer of the connection manager before any route is looked for. It has no response flag and no route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct EarlyReply {
    /// 307, 400 or 404.
    pub(crate) status: u16,
    /// Details for the access log; empty: the codec answers, and there is no log entry.
    pub(crate) details: &'static str,
    /// The `location` header of a redirect.
    pub(crate) location: Option<String>,
}

impl Clone for Request {
    fn clone(&self) -> Self {
        let mut copy = Self::default();
        copy.clone_from(self);
        copy
    }

    /// Keeps the allocations.
    fn clone_from(&mut self, other: &Self) {
        for (to, from) in [
            (&mut self.method, &other.method),
            (&mut self.authority, &other.authority),
            (&mut self.path, &other.path),
            (&mut self.host, &other.host),
            (&mut self.peer.server_name, &other.peer.server_name),
        ] {
            to.clone_from(from);
        }
        self.headers.copy_from(&other.headers);
        self.tokens.clone_from(&other.tokens);
        self.payloads.clone_from(&other.payloads);
        self.metadata.clone_from(&other.metadata);
        self.peer.sans.copy_from(&other.peer.sans);
        self.peer.address = other.peer.address;
        self.peer.connection = other.peer.connection;
        self.peer.destination = other.peer.destination;
        self.peer.is_tls = other.peer.is_tls;
        self.peer.has_certificate = other.peer.has_certificate;
        self.scheme = other.scheme;
        self.http2 = other.http2;
        self.is_internal = other.is_internal;
        self.is_grpc = other.is_grpc;
        self.framing = other.framing;
        self.may_control = other.may_control;
        self.trusted_address = other.trusted_address;
    }
}

impl EarlyReply {
    const fn new(status: u16, details: &'static str) -> Self {
        Self { status, details, location: None }
    }
}

impl Request {
    /// Loads a request's head.
    ///
    /// # Errors
    /// The answer, if the request does not get as far as the routes: an unknown method, no host, a target that is no
    /// path, a path that is refused or redirected.
    pub(crate) fn load(&mut self, listener: &ListenerTable, head: &RequestHead<'_>) -> Result<(), EarlyReply> {
        let manager = &listener.manager;
        self.copy_head(head);
        if !head.http2 {
            if !codec::takes(head.method, head.path) {
                return Err(EarlyReply::new(400, ""));
            }
            self.split_target();
        }
        self.framing = if self.has_framing { self.take_framing() } else { Framing::default() };
        let has_host = !self.authority.is_empty() || self.headers.remove("host");
        if !has_host {
            return Err(EarlyReply::new(400, "missing_host_header"));
        }
        if self.method == "QUERY" && !self.headers.contains("content-type") {
            return Err(EarlyReply::new(400, "query_missing_content_type"));
        }
        if !self.path.starts_with('/') && !self.path.is_empty() {
            return Err(EarlyReply::new(404, "absolute_path_rejected"));
        }
        self.trust(manager);
        manager.client_certificates.apply(&self.peer, &mut self.headers);
        self.sanitize_path(manager)?;
        if manager.strip_any_host_port {
            self.strip_port();
        }
        self.host_changed();
        Ok(())
    }

    pub(crate) fn method(&self) -> &str {
        &self.method
    }

    pub(crate) fn authority(&self) -> &str {
        &self.authority
    }

    pub(crate) fn is_grpc(&self) -> bool {
        self.is_grpc
    }

    /// Whether it has headers by which it may control the router.
    pub(crate) fn may_control(&self) -> bool {
        self.may_control
    }

    pub(crate) fn headers_mut(&mut self) -> &mut HeaderList {
        &mut self.headers
    }

    /// Whether the request satisfies the matcher.
    pub(crate) fn matches(&self, matcher: &HeaderMatch) -> bool {
        matcher.matches(self.header(matcher.name()))
    }

    /// The client's address for hashes.
    pub(crate) fn peer_or_trusted(&self) -> Option<IpAddr> {
        self.trusted_address.or(self.peer.address)
    }

    /// The path with its query.
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// The path without its query.
    pub(crate) fn path_only(&self) -> &str {
        path::without_query(&self.path)
    }

    pub(crate) fn query(&self) -> &str {
        path::query(&self.path)
    }

    /// `http` or `https`.
    pub(crate) fn scheme(&self) -> &str {
        self.scheme
    }

    /// `x-forwarded-proto` as it is.
    pub(crate) fn forwarded_proto(&self) -> &str {
        self.headers.get("x-forwarded-proto").unwrap_or_default()
    }

    /// The authority in lower case.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    pub(crate) fn set_method(&mut self, method: &str) {
        replace(&mut self.method, method);
    }

    pub(crate) fn set_authority(&mut self, authority: &str) {
        replace(&mut self.authority, authority);
        self.host_changed();
    }

    /// Appends to the host, before its port: for mirrors.
    pub(crate) fn add_host_suffix(&mut self, suffix: &str) {
        let at = without_port(&self.authority).len();
        self.authority.insert_str(at, suffix);
        self.host_changed();
    }

    pub(crate) fn set_path(&mut self, path: &str) {
        replace(&mut self.path, path);
    }

    /// Gives the request a new authority and notes the old one.
    pub(crate) fn rewrite_authority(&mut self, authority: &str, keeps_original: bool, append_forwarded_host: bool) {
        if append_forwarded_host {
            let list = self.headers.values("x-forwarded-host").chain([self.authority.as_str()]);
            let list = list.collect::<Vec<_>>().join(",");
            self.headers.set("x-forwarded-host", &list);
        }
        if keeps_original {
            self.headers.set("x-envoy-original-host", &self.authority);
        }
        self.set_authority(authority);
    }

    /// Gives the request a new path and notes the old one. `matched`: what the route matched.
    pub(crate) fn rewrite_path(&mut self, rewrite: &PathRewrite, matched: &PathMatch, keeps_original: bool) {
        let mut path = String::new();
        rewrite.write(matched, &self.path, &mut path);
        if keeps_original {
            self.headers.set("x-envoy-original-path", &self.path);
        }
        self.path = path;
    }

    /// Takes the request for one of this scheme, whatever its connection is.
    pub(crate) fn set_scheme(&mut self, scheme: &str) {
        self.scheme = if scheme.eq_ignore_ascii_case("https") { "https" } else { "http" };
        self.headers.set("x-forwarded-proto", scheme);
    }

    /// The values of a header or pseudo-header, by its lower-case name.
    pub(crate) fn header<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> + Clone {
        let pseudo = if name.starts_with(':') || name == "host" { self.pseudo_header(name) } else { None };
        pseudo.into_iter().chain(self.headers.values(name))
    }

    /// The first value of a header or pseudo-header, by its lower-case name.
    pub(crate) fn first(&self, name: &str) -> Option<&str> {
        if name.starts_with(':') || name == "host" { self.pseudo_header(name) } else { self.headers.get(name) }
    }

    fn pseudo_header(&self, name: &str) -> Option<&str> {
        match name {
            ":method" => Some(&self.method),
            ":authority" | "host" => Some(&self.authority),
            ":path" => Some(&self.path),
            ":scheme" => Some(self.scheme),
            _ => None,
        }
    }

    fn copy_head(&mut self, head: &RequestHead<'_>) {
        replace(&mut self.method, head.method);
        replace(&mut self.authority, head.authority);
        replace(&mut self.path, head.path);
        self.headers.clear();
        self.may_control = false;
        self.has_framing = false;
        for (name, value) in head.headers {
            let value = trimmed(value);
            if *name == "host" && !self.authority.is_empty() {
                self.authority.extend([",", value]);
                continue;
            }
            self.add_header(name, value);
        }
        self.http2 = head.http2;
        self.is_grpc = self.headers.get("content-type").is_some_and(grpc::is_content_type);
        self.payloads.clear();
        self.metadata = None;
        self.tokens.clear();
        self.tokens.extend_from_slice(head.tokens);
        let peer = &mut self.peer;
        peer.address = head.peer.address;
        peer.connection = head.peer.connection;
        peer.destination = head.peer.destination;
        peer.is_tls = head.peer.identity.is_some();
        peer.has_certificate = head.peer.identity.is_some_and(|identity| !identity.ca.is_empty());
        peer.sans.clear();
        if let Some(identity) = head.peer.identity {
            identity.uri_sans.iter().for_each(|name| peer.sans.push("uri", name));
            identity.dns_sans.iter().for_each(|name| peer.sans.push("dns", name));
        }
        replace(&mut peer.server_name, head.peer.server_name.unwrap_or_default());
    }

    /// Adds a received header. Some headers have one line only: repeated values are joined, and matched as one.
    fn add_header(&mut self, name: &str, value: &str) {
        if name == "te" && !value.split(',').any(|part| part.trim().eq_ignore_ascii_case("trailers"))
            || name == "expect" && value.eq_ignore_ascii_case("100-continue")
        {
            return;
        }
        self.has_framing |= codec::is_hop_by_hop(name);
        self.may_control |= name.starts_with("x-envoy-") || name == "grpc-timeout";
        if self.headers.contains(name)
            && ONE_LINE.binary_search(&name).is_ok()
            && let Some(first) = self.headers.get(name).map(str::to_owned)
        {
            let separator = if first.is_empty() { "" } else { "," };
            return self.headers.set_fmt(name, format_args!("{first}{separator}{value}"));
        }
        self.headers.push(name, value);
    }

    fn sanitize_path(&mut self, manager: &ManagerOptions) -> Result<(), EarlyReply> {
        let refused = EarlyReply::new(400, "path_normalization_failed");
        if self.path.contains('#') {
            return Err(refused);
        }
        let action = manager.escaped_slashes;
        let found = action != EscapedSlashes::KeepUnchanged && path::unescape_slashes(&mut self.path);
        if found && action == EscapedSlashes::RejectRequest {
            return Err(refused);
        }
        if manager.normalize_path && !path::normalize(&mut self.path) {
            return Err(refused);
        }
        if manager.merge_slashes {
            path::merge_slashes(&mut self.path);
        }
        if found && action == EscapedSlashes::UnescapeAndRedirect {
            return Err(EarlyReply { status: 307, location: Some(self.path.clone()), ..refused });
        }
        Ok(())
    }

    fn strip_port(&mut self) {
        let without = without_port(&self.authority);
        let port = self.authority.get(without.len() + 1..);
        if port.is_some_and(|port| port.parse::<u32>().is_ok()) {
            self.authority.truncate(without.len());
        }
    }

    fn host_changed(&mut self) {
        self.host.clone_from(&self.authority);
        self.host.make_ascii_lowercase();
    }
}

/// An authority up to its last colon outside brackets, whatever follows it.
pub(crate) fn without_port(authority: &str) -> &str {
    match authority.rfind(':') {
        Some(colon) if authority.rfind(']').is_none_or(|bracket| bracket < colon) => &authority[..colon],
        _ => authority,
    }
}

/// A value without the blanks around it, which few values have.
fn trimmed(value: &str) -> &str {
    let is_blank = |byte: Option<&u8>| matches!(byte, Some(b' ' | b'\t'));
    let bytes = value.as_bytes();
    if is_blank(bytes.first()) || is_blank(bytes.last()) { value.trim_matches([' ', '\t']) } else { value }
}

fn replace(text: &mut String, with: &str) {
    text.clear();
    text.push_str(with);
}

#[cfg(test)]
mod tests;
