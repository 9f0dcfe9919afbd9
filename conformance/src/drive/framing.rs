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
