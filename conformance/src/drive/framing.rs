//! What the HTTP/1.1 codec adds to say where a message ends (Envoy: `StreamEncoderImpl::encodeHeadersBase`).

use meshproof_proxy::StreamEnd;

/// Methods whose requests have no body unless they say so.
const BODILESS: [&str; 5] = ["GET", "HEAD", "DELETE", "TRACE", "CONNECT"];

type Header = (String, String);

/// What is added to a request.
pub(crate) fn request(method: &str, headers: &[Header], has_body: bool) -> Option<Header> {
    if has_length(headers) || BODILESS.contains(&method) {
        return None;
    }
    Some(if has_body { header("transfer-encoding", "chunked") } else { header("content-length", "0") })
}

/// What is added to a response.
pub(crate) fn response(
    method: &str,
    status: u16,
    headers: &[Header],
    body_bytes: u64,
    how: StreamEnd,
) -> Option<Header> {
    if has_length(headers) || method == "HEAD" || status < 200 || matches!(status, 204 | 304) {
        return None;
    }
    if body_bytes > 0 || how != StreamEnd::Complete {
        return Some(header("transfer-encoding", "chunked"));
    }
    Some(header("content-length", "0"))
}

/// The status with which the codec refuses a head that is no HTTP/1.1 at all; `None`: the proxy decides.
pub(crate) fn refusal(version: Option<&str>, authority: &str, path: &str, headers: &[Header]) -> Option<u16> {
    let is_encoded = |(name, value): &Header| name == "transfer-encoding" && !value.eq_ignore_ascii_case("chunked");
    if version.is_some_and(|version| version != "1.1") {
        Some(426)
    } else if !path.bytes().all(|byte| byte.is_ascii_graphic())
        || !is_host(authority)
        || headers.iter().any(|(name, _)| !is_token(name))
    {
        Some(400)
    } else {
        headers.iter().any(is_encoded).then_some(501)
    }
}

/// The codec's own answer: its body and headers.
pub(crate) fn refuse(status: u16) -> (&'static str, Vec<Header>) {
    let body = match status {
        426 => "Upgrade Required",
        501 => "Not Implemented",
        _ => "Bad Request",
    };
    let length = body.len().to_string();
    let headers =
        [("content-length", &*length), ("content-type", "text/plain"), ("connection", "close"), ("server", "envoy")];
    (body, headers.map(|(name, value)| header(name, value)).into())
}

/// The characters of RFC 3986's authority.
fn is_host(host: &str) -> bool {
    host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._~%!$&'()*+,;=:@[]".contains(&byte))
}

/// RFC 9110, 5.6.2.
fn is_token(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

fn has_length(headers: &[Header]) -> bool {
    headers.iter().any(|(name, _)| name == "content-length" || name == "transfer-encoding")
}

fn header(name: &str, value: &str) -> Header {
    (name.to_owned(), value.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codec_refuses_what_is_no_head() {
        let plain = header("x_a", "1");
        let table = [
            (None, "svc.test", "/", plain.clone(), None),
            (Some("1.1"), "[::1]:80", "/a%20b", header("transfer-encoding", "Chunked"), None),
            (Some("1.0"), "svc.test", "/", plain.clone(), Some(426)),
            (Some("1.2"), "svc.test", "/", plain.clone(), Some(426)),
            (None, "a b", "/", plain.clone(), Some(400)),
            (None, "svc.test", "/a b", plain.clone(), Some(400)),
            (None, "svc.test", "/\u{e9}", plain, Some(400)),
            (None, "svc.test", "/", header("x a", "1"), Some(400)),
            (None, "svc.test", "/", header("transfer-encoding", "gzip"), Some(501)),
        ];
        for (version, authority, path, header, expect) in table {
            let got = refusal(version, authority, path, std::slice::from_ref(&header));
            assert_eq!(got, expect, "{version:?} {authority} {path} {header:?}");
        }
    }

    #[test]
    fn a_message_says_where_it_ends() {
        let known = [header("content-length", "5")];
        let value = |added: Option<Header>| added.map_or_else(String::new, |(_, value)| value);
        for (method, headers, has_body, expect) in [
            ("GET", &[][..], false, ""),
            ("POST", &[], false, "0"),
            ("POST", &[], true, "chunked"),
            ("POST", &known, true, ""),
        ] {
            assert_eq!(value(request(method, headers, has_body)), expect, "{method} {has_body}");
        }
        for (status, body, how, expect) in [
            (200, 0, StreamEnd::Complete, "0"),
            (200, 3, StreamEnd::Complete, "chunked"),
            (200, 0, StreamEnd::Reset, "chunked"),
            (204, 0, StreamEnd::Complete, ""),
        ] {
            assert_eq!(value(response("GET", status, &[], body, how)), expect, "{status} {body}");
        }
    }
}
