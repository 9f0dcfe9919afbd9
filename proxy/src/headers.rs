//! Changes to headers, as routes and their parents order them (Envoy: `HeaderParser`), and the values in `%...%`.

use std::{borrow::Cow, fmt::Write};

use smallvec::SmallVec;

use crate::{
    config::{AppendAction, HeaderToAdd},
    course::{Course, Fact},
    error::CompileFault,
    header_list::HeaderList,
    request::Request,
};

/// The changes of one level: removals, then overwritten headers, then added ones. All values and conditions of a level
/// see the headers as they are after its removals (Envoy: `HeaderParser::evaluateHeaders`).
#[derive(Debug, Default)]
pub(crate) struct Mutations {
    remove: Box<[Box<str>]>,
    add: Box<[Addition]>,
}

#[derive(Debug)]
struct Addition {
    name: Box<str>,
    value: Format,
    action: AppendAction,
}

impl Mutations {
    pub(crate) fn new(add: &[HeaderToAdd], remove: &[String]) -> Result<Self, CompileFault> {
        let addition = |header: &HeaderToAdd| {
            let name = header.name.to_ascii_lowercase();
            if name.is_empty() || name.starts_with(':') || name == "host" {
                return Err(CompileFault::HeaderName { name });
            }
            Ok(Addition { name: name.into(), value: Format::new(&header.value)?, action: header.action })
        };
        Ok(Self {
            remove: remove.iter().map(|name| name.to_ascii_lowercase().into()).collect(),
            add: add.iter().map(addition).collect::<Result<_, _>>()?,
        })
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.remove.is_empty() && self.add.is_empty()
    }

    /// Changes a request's own headers.
    pub(crate) fn apply_to_request(&self, request: &mut Request, course: &Course<'_>) {
        self.remove.iter().for_each(|name| _ = request.headers.remove(name));
        if self.add.is_empty() {
            return;
        }
        let changes = self.changes(&request.headers, &Facts { request, response: None, course });
        changes.apply(&mut request.headers);
    }

    /// Changes a response's headers.
    pub(crate) fn apply_to_response(&self, request: &Request, headers: &mut HeaderList, course: &Course<'_>) {
        self.remove.iter().for_each(|name| _ = headers.remove(name));
        if self.add.is_empty() {
            return;
        }
        let changes = self.changes(headers, &Facts { request, response: Some(headers), course });
        changes.apply(headers);
    }

    /// Changes the headers of an answer that a filter gives itself; formats do not see these (Envoy: the filter's parser
    /// gets no response headers).
    pub(crate) fn apply_to_reply(&self, request: &Request, headers: &mut HeaderList, course: &Course<'_>) {
        self.remove.iter().for_each(|name| _ = headers.remove(name));
        self.changes(headers, &Facts { request, response: None, course }).apply(headers);
    }

    /// What is to be set and added. An empty value is not added.
    fn changes<'m>(&'m self, headers: &HeaderList, facts: &Facts<'_>) -> Changes<'m> {
        let mut changes = Changes::default();
        for addition in &self.add {
            let is_present = headers.contains(&addition.name);
            let list = match addition.action {
                AppendAction::AddIfAbsent if is_present => continue,
                AppendAction::OverwriteIfExists if !is_present => continue,
                AppendAction::AppendIfExistsOrAdd | AppendAction::AddIfAbsent => &mut changes.add,
                AppendAction::OverwriteIfExists | AppendAction::OverwriteIfExistsOrAdd => &mut changes.overwrite,
            };
            let value = addition.value.fixed().map_or_else(|| addition.value.text(facts).into(), Cow::Borrowed);
            if !value.is_empty() {
                list.push((&*addition.name, value));
            }
        }
        changes
    }
}

/// The changes of one level to one request or response, values filled in.
#[derive(Default)]
struct Changes<'m> {
    overwrite: SmallVec<[(&'m str, Cow<'m, str>); 2]>,
    add: SmallVec<[(&'m str, Cow<'m, str>); 2]>,
}

impl Changes<'_> {
    fn apply(&self, headers: &mut HeaderList) {
        self.overwrite.iter().for_each(|(name, value)| headers.set(name, value));
        self.add.iter().for_each(|(name, value)| headers.push(name, value));
    }
}

struct Facts<'a> {
    request: &'a Request,
    response: Option<&'a HeaderList>,
    course: &'a Course<'a>,
}

/// A value with commands in `%...%` (Envoy: substitution formatter).
#[derive(Debug)]
struct Format(Box<[Part]>);

#[derive(Debug)]
enum Part {
    Text(Box<str>),
    /// A request header, or the second one if the first is absent; at most so many bytes.
    RequestHeader(Box<str>, Option<Box<str>>, usize),
    ResponseHeader(Box<str>, Option<Box<str>>, usize),
    ClientAddress,
    PeerAddress,
    Protocol,
    Scheme,
    RouteName,
    ServerName,
    /// Names in the client's certificate: `uri` or `dns`.
    PeerSans(&'static str),
    /// What is known of the request's course.
    Course(Fact, usize),
}

impl Format {
    fn new(value: &str) -> Result<Self, CompileFault> {
        let fault = || CompileFault::HeaderFormat { value: value.to_owned() };
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut rest = value;
        while let Some(at) = rest.find('%') {
            text.push_str(&rest[..at]);
            rest = &rest[at + 1..];
            let (command, after) = rest.split_at_checked(command_len(rest)).ok_or_else(fault)?;
            rest = after.strip_prefix('%').ok_or_else(fault)?;
            if command.is_empty() {
                text.push('%');
                continue;
            }
            if !text.is_empty() {
                parts.push(Part::Text(std::mem::take(&mut text).into()));
            }
            parts.push(part(command).ok_or_else(fault)?);
        }
        text.push_str(rest);
        if !text.is_empty() {
            parts.push(Part::Text(text.into()));
        }
        Ok(Self(parts.into()))
    }

    /// The value, if it is the same for every request.
    fn fixed(&self) -> Option<&str> {
        match &*self.0 {
            [] => Some(""),
            [Part::Text(text)] => Some(text),
            _ => None,
        }
    }

    fn text(&self, facts: &Facts<'_>) -> String {
        let mut out = String::new();
        for part in &self.0 {
            part.write(facts, &mut out);
        }
        out
    }
}

/// How far a command reaches, its closing percent sign left out; arguments may contain percent signs.
fn command_len(text: &str) -> usize {
    let end = |from: usize| text[from..].find('%').map_or(text.len(), |at| from + at);
    match (text.find('('), text.find(')')) {
        (Some(open), Some(close)) if open < end(0) && open < close => end(close),
        _ => end(0),
    }
}

/// Reads `NAME`, `NAME(arguments)` or `NAME(arguments):length`.
fn part(command: &str) -> Option<Part> {
    let name_end = command.find(['(', ':']).unwrap_or(command.len());
    let (name, rest) = command.split_at(name_end);
    if name.is_empty() || !name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_') {
        return None;
    }
    let (arguments, length) = match rest.strip_prefix('(') {
        Some(rest) => rest.rsplit_once(')')?,
        None => ("", rest),
    };
    let length = match length.strip_prefix(':') {
        Some(length) => length.parse().ok()?,
        None if length.is_empty() => usize::MAX,
        None => return None,
    };
    let header = || {
        let (first, second) = arguments.split_once('?').map_or((arguments, None), |(a, b)| (a, Some(b)));
        let lower = |name: &str| name.to_ascii_lowercase().into_boxed_str();
        (lower(first), second.map(lower))
    };
    Some(match name {
        "REQ" | "REQUEST_HEADER" => {
            let (first, second) = header();
            Part::RequestHeader(first, second, length)
        }
        "RESP" | "RESPONSE_HEADER" => {
            let (first, second) = header();
            Part::ResponseHeader(first, second, length)
        }
        "DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => Part::ClientAddress,
        "DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT" => Part::PeerAddress,
        "PROTOCOL" => Part::Protocol,
        "SCHEME" => Part::Scheme,
        "ROUTE_NAME" => Part::RouteName,
        "REQUESTED_SERVER_NAME" => Part::ServerName,
        "DOWNSTREAM_PEER_URI_SAN" => Part::PeerSans("uri"),
        "DOWNSTREAM_PEER_DNS_SAN" => Part::PeerSans("dns"),
        _ => Part::Course(Fact::new(name, arguments)?, length),
    })
}

impl Part {
    fn write(&self, facts: &Facts<'_>, out: &mut String) {
        let request = facts.request;
        let mut address = |address: Option<std::net::IpAddr>| {
            if let Some(address) = address {
                // Writing to a string does not fail.
                _ = write!(out, "{address}");
            }
        };
        match self {
            Self::ClientAddress => address(request.trusted_address),
            Self::PeerAddress => address(request.peer.address),
            Self::Text(text) => out.push_str(text),
            Self::RequestHeader(first, second, length) => {
                let value = request.first(first).or_else(|| request.first(second.as_deref()?));
                out.push_str(cut(value.unwrap_or_default(), *length));
            }
            Self::ResponseHeader(first, second, length) => {
                if !facts.response_header(first, *length, out)
                    && let Some(second) = second
                {
                    facts.response_header(second, *length, out);
                }
            }
            Self::Protocol => out.push_str(if request.http2 { "HTTP/2" } else { "HTTP/1.1" }),
            Self::Scheme => out.push_str(request.scheme()),
            Self::RouteName => out.push_str(facts.course.route),
            Self::ServerName => out.push_str(&request.peer.server_name),
            Self::PeerSans(kind) => {
                for (index, san) in request.peer.sans.values(kind).enumerate() {
                    out.push_str(if index == 0 { "" } else { "," });
                    out.push_str(san);
                }
            }
            Self::Course(fact, length) => fact.write(*length, request, facts.course, out),
        }
    }
}

impl Facts<'_> {
    /// Writes a header of the response, `:status` among them, and says whether there is one.
    fn response_header(&self, name: &str, length: usize, out: &mut String) -> bool {
        let Some(headers) = self.response else { return false };
        if name == ":status" {
            // Writing to a string does not fail.
            _ = write!(out, "{}", self.course.status);
            return true;
        }
        let value = headers.get(name);
        out.push_str(cut(value.unwrap_or_default(), length));
        value.is_some()
    }
}

/// At most so many bytes, less what would cut a character.
pub(crate) fn cut(value: &str, length: usize) -> &str {
    if value.len() <= length { value } else { &value[..value.floor_char_boundary(length)] }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::{ResponseFlag, ResponseFlags};

    /// Of a request that was tried twice, and whose answer is that of the proxy.
    fn course() -> Course<'static> {
        let mut flags = ResponseFlags::NONE;
        flags.insert(ResponseFlag::UpstreamRequestTimeout);
        flags.insert(ResponseFlag::UpstreamRetryLimitExceeded);
        let upstream = Some(false);
        let (route, cluster, details) = ("r1", "c", "response_timeout");
        Course {
            route,
            cluster,
            details,
            status: 504,
            code: 0,
            flags,
            attempts: 2,
            bytes_received: 7,
            upstream,
            ..Course::default()
        }
    }

    fn add(name: &str, value: &str, action: AppendAction) -> HeaderToAdd {
        HeaderToAdd { name: name.to_owned(), value: value.to_owned(), action }
    }

    fn request() -> Request {
        let mut request = Request::default();
        request.set_method("GET");
        request.set_authority("svc.test");
        request.set_path("/a?b");
        request.set_scheme("http");
        request.trusted_address = Some([10, 0, 0, 1].into());
        request.peer.address = Some([127, 0, 0, 1].into());
        request.peer.sans.push("uri", "spiffe://a");
        request.peer.sans.push("uri", "spiffe://b");
        request.headers.push("x-a", "abcdef");
        request
    }

    #[test]
    fn actions_say_what_happens_to_a_header_that_is_there() {
        use AppendAction::{AddIfAbsent, AppendIfExistsOrAdd, OverwriteIfExists, OverwriteIfExistsOrAdd};
        // action, values before and after where the header was absent, and where it was "old"
        let table = [
            (AppendIfExistsOrAdd, "n", "old|n"),
            (AddIfAbsent, "n", "old"),
            (OverwriteIfExistsOrAdd, "n", "n"),
            (OverwriteIfExists, "", "n"),
        ];
        for (action, absent, present) in table {
            let mutations = Mutations::new(&[add("X-N", "n", action)], &["X-Gone".to_owned()]).unwrap();
            for (old, expect) in [(None, absent), (Some("old"), present)] {
                let mut request = request();
                request.headers.push("x-gone", "1");
                if let Some(old) = old {
                    request.headers.push("x-n", old);
                }
                mutations.apply_to_request(&mut request, &course());
                let got: Vec<_> = request.headers.values("x-n").collect();
                assert_eq!(got.join("|"), expect, "{action:?}");
                assert!(!request.headers.contains("x-gone"));
            }
        }
    }

    #[test]
    fn a_level_sees_the_headers_as_they_were_before_it() {
        use AppendAction::{AddIfAbsent, AppendIfExistsOrAdd, OverwriteIfExists, OverwriteIfExistsOrAdd};
        // two additions to x-a, which is absent, or "old"; what becomes of it
        let table = [
            ([("1", AddIfAbsent), ("2", AddIfAbsent)], "1|2", "old"),
            ([("1", AppendIfExistsOrAdd), ("<%REQ(x-a)%>", AppendIfExistsOrAdd)], "1|<>", "old|1|<old>"),
            ([("1", AppendIfExistsOrAdd), ("2", OverwriteIfExistsOrAdd)], "2|1", "2|1"),
            ([("1", AppendIfExistsOrAdd), ("2", OverwriteIfExists)], "1", "2|1"),
            ([("1", OverwriteIfExistsOrAdd), ("2", OverwriteIfExistsOrAdd)], "2", "2"),
        ];
        for (additions, absent, present) in table {
            let additions = additions.map(|(value, action)| add("x-a", value, action));
            let mutations = Mutations::new(&additions, &[]).unwrap();
            for (old, expect) in [(None, absent), (Some("old"), present)] {
                let mut request = request();
                request.headers.remove("x-a");
                if let Some(old) = old {
                    request.headers.push("x-a", old);
                }
                mutations.apply_to_request(&mut request, &course());
                assert_eq!(request.headers.values("x-a").collect::<Vec<_>>().join("|"), expect, "{additions:?}");
            }
        }
    }

    #[test]
    fn commands_are_filled_in() {
        let table = [
            ("100%%", "100%"),
            ("%REQ(x-a)%", "abcdef"),
            ("<%REQ(X-A):3%>", "<abc>"),
            ("%REQ(x-none?:path)%", "/a?b"),
            ("%REQ(:authority)% %REQ(:method)%", "svc.test GET"),
            ("%REQ(x-none)%", ""),
            ("%RESP(x-r)%", ""),
            ("%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%", "10.0.0.1"),
            ("%DOWNSTREAM_DIRECT_REMOTE_ADDRESS_WITHOUT_PORT%", "127.0.0.1"),
            ("%PROTOCOL% %SCHEME%", "HTTP/1.1 http"),
            ("<%ROUTE_NAME%>", "<r1>"),
            ("%DOWNSTREAM_PEER_URI_SAN%", "spiffe://a,spiffe://b"),
            ("a%START_TIME(%s.%3f)%b", "ab"),
            ("%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%", "0 URX,UT response_timeout"),
            ("%RESPONSE_FLAGS_LONG%", "UpstreamRetryLimitExceeded,UpstreamRequestTimeout"),
            ("%UPSTREAM_CLUSTER%|%UPSTREAM_PROTOCOL%|%UPSTREAM_REQUEST_ATTEMPT_COUNT%", "c|HTTP/1.1|2"),
            ("%BYTES_RECEIVED% %BYTES_SENT%", "7 0"),
            ("%PATH% %PATH(NQ)% %PATH(NQ:PATH):1%<%PATH(WQ:ORIG)%>", "/a?b /a /<>"),
            ("<%QUERY_PARAM(b)%%QUERY_PARAM(c)%> %QUERY_PARAMS%", "<> b"),
            ("%GRPC_STATUS%", ""),
        ];
        for (value, expect) in table {
            let mutations = Mutations::new(&[add("x-n", value, AppendAction::AppendIfExistsOrAdd)], &[]);
            let mut request = request();
            mutations.unwrap().apply_to_request(&mut request, &course());
            // An empty value is not added at all.
            assert_eq!(request.headers.get("x-n"), (!expect.is_empty()).then_some(expect), "{value}");
        }
        let mut headers = HeaderList::default();
        headers.push("x-r", "7");
        let mutations = Mutations::new(&[add("x-n", "%RESP(x-r)%", AppendAction::AddIfAbsent)], &[]).unwrap();
        mutations.apply_to_response(&request(), &mut headers, &course());
        assert_eq!(headers.get("x-n"), Some("7"));
        let mutations =
            Mutations::new(&[add("x-s", "%RESP(x-none?:status)%", AppendAction::AddIfAbsent)], &[]).unwrap();
        mutations.apply_to_response(&request(), &mut headers, &course());
        assert_eq!(headers.get("x-s"), Some("504"));
    }

    #[test]
    fn malformed_values_and_names_are_refused() {
        for value in [
            "%",
            "%REQ(x",
            "%REQ(x)",
            "%req(x)%",
            "%REQ(x):y%",
            "% %",
            "%PATH(X)%",
            "%GRPC_STATUS(x)%",
            "%QUERY_PARAM%",
        ] {
            let fault = CompileFault::HeaderFormat { value: value.to_owned() };
            assert_eq!(Mutations::new(&[add("x", value, AppendAction::AddIfAbsent)], &[]).unwrap_err(), fault);
        }
        for name in ["", ":path", "Host"] {
            assert!(Mutations::new(&[add(name, "1", AppendAction::AddIfAbsent)], &[]).is_err(), "{name}");
        }
    }
}
