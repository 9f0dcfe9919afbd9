//! What the HTTP/1.1 codec makes of a request's head (Envoy: `Http1::ServerConnectionImpl`, `BalsaParser`).

use crate::request::Request;

/// Methods that Envoy's HTTP/1 codec knows; it refuses all others.
const METHODS: &[&str] = &[
    "ACL",
    "BIND",
    "CHECKOUT",
    "CONNECT",
    "COPY",
    "DELETE",
    "GET",
    "HEAD",
    "LINK",
    "LOCK",
    "MERGE",
    "MKACTIVITY",
    "MKCALENDAR",
    "MKCOL",
    "MOVE",
    "NOTIFY",
    "OPTIONS",
    "PATCH",
    "POST",
    "PROPFIND",
    "PROPPATCH",
    "PURGE",
    "PUT",
    "QUERY",
    "REBIND",
    "REPORT",
    "SEARCH",
    "SOURCE",
    "SUBSCRIBE",
    "TRACE",
    "UNBIND",
    "UNLINK",
    "UNLOCK",
    "UNSUBSCRIBE",
];

/// Headers that belong to one connection.
const HOP_BY_HOP: &[&str] = &["connection", "keep-alive", "proxy-connection", "transfer-encoding", "upgrade"];

/// Options of `connection` that name no header to remove.
const OPTIONS: &[&str] = &["close", "keep-alive", "te", "upgrade", "http2-settings"];

/// What `connection` says of a request.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Framing {
    /// The answer is the last one on the connection.
    pub(crate) closes: bool,
    /// The client wants another protocol.
    pub(crate) is_upgrade: bool,
}

/// Whether the codec takes a request with this method and target: a path, `*` of OPTIONS, the host of CONNECT, or an
/// absolute address over HTTP. It answers others with 400, without a stream and without a log entry.
pub(crate) fn takes(method: &str, target: &str) -> bool {
    METHODS.contains(&method)
        && match method {
            "CONNECT" => !target.is_empty() && !target.starts_with('/'),
            "OPTIONS" if target == "*" => true,
            _ => target.starts_with('/') || absolute(target).is_some_and(|(host, _)| !host.is_empty()),
        }
}

/// Whether the header belongs to the connection.
pub(crate) fn is_hop_by_hop(name: &str) -> bool {
    HOP_BY_HOP.contains(&name)
}

/// Host and path of an absolute address.
fn absolute(target: &str) -> Option<(&str, &str)> {
    let (scheme, rest) = target.split_once("://")?;
    if !scheme.eq_ignore_ascii_case("http") && !scheme.eq_ignore_ascii_case("https") {
        return None;
    }
    let (authority, path) = rest.split_at(rest.find(['/', '?']).unwrap_or(rest.len()));
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    if host.contains('#') {
        return None;
    }
    Some((host, if path.is_empty() { "/" } else { path }))
}

impl Request {
    /// `GET http://host/path` carries its own authority, and so does `CONNECT host:port`, which has no path.
    pub(crate) fn split_target(&mut self) {
        if self.path().starts_with('/') {
            return;
        }
        let target = self.path().to_owned();
        if self.method() == "CONNECT" {
            self.set_authority(&target);
            self.set_path("");
        } else if let Some((host, path)) = absolute(&target) {
            self.set_authority(host);
            self.set_path(path);
        }
    }

    /// Takes out what concerns the connection only.
    pub(crate) fn take_framing(&mut self) -> Framing {
        let mut framing = Framing::default();
        let connection = self.headers.get("connection").map(str::to_ascii_lowercase).unwrap_or_default();
        for option in connection.split(',').map(str::trim) {
            framing.closes |= option == "close";
            let protocol = self.headers.get("upgrade").filter(|_| option == "upgrade");
            framing.is_upgrade |= protocol.is_some_and(|protocol| !protocol.eq_ignore_ascii_case("h2c"));
            if !OPTIONS.contains(&option) {
                self.headers.remove(option);
            }
        }
        self.headers.remove_if(|name, _| is_hop_by_hop(name));
        framing
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codec_takes_requests_only() {
        let table = [
            ("GET", "/", true),
            ("GET", "http://svc.test?q=1", true),
            ("GET", "HTTPS://svc.test:80/a", true),
            ("OPTIONS", "*", true),
            ("CONNECT", "svc.test:80", true),
            ("CONNECT", "/x", false),
            ("M-SEARCH", "/", false),
            ("get", "/", false),
            ("GET", "*", false),
            ("GET", "", false),
            ("GET", "?q", false),
            ("GET", "a/b", false),
            ("GET", "ftp://svc.test/a", false),
            ("GET", "http:///a", false),
        ];
        for (method, target, expect) in table {
            assert_eq!(takes(method, target), expect, "{method} {target}");
        }
    }

    #[test]
    fn an_absolute_target_carries_its_host() {
        let table = [
            ("GET", "http://u@other/a?b", "other", "/a?b"),
            ("GET", "http://other?b", "other", "?b"),
            ("GET", "http://other", "other", "/"),
            ("CONNECT", "other:80", "other:80", ""),
            ("GET", "/a", "svc.test", "/a"),
        ];
        for (method, target, authority, path) in table {
            let mut request = Request::default();
            request.set_method(method);
            request.set_authority("svc.test");
            request.set_path(target);
            request.split_target();
            assert_eq!((request.authority(), request.path()), (authority, path), "{target}");
        }
    }

    #[test]
    fn connection_options_are_taken_out() {
        let table: [(&[(&str, &str)], (bool, bool), &str); 5] = [
            (&[("connection", "close")], (true, false), ""),
            (&[("connection", "x-a, Keep-Alive"), ("x-a", "1"), ("x-b", "2")], (false, false), "x-b"),
            (&[("connection", "Upgrade"), ("upgrade", "websocket")], (false, true), ""),
            (&[("connection", "Upgrade"), ("upgrade", "h2c")], (false, false), ""),
            (&[("upgrade", "websocket")], (false, false), ""),
        ];
        for (headers, (closes, is_upgrade), left) in table {
            let mut request = Request::default();
            for (name, value) in headers {
                request.headers.push(name, value);
            }
            let framing = request.take_framing();
            assert_eq!((framing.closes, framing.is_upgrade), (closes, is_upgrade), "{headers:?}");
            assert_eq!(request.headers.iter().map(|(name, _)| name).collect::<Vec<_>>().join(" "), left);
        }
    }
}
