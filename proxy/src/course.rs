//! What formats in header changes may tell of a request's course so far (Envoy: `StreamInfo`, and the command parsers of
//! its substitution formatter).

use std::fmt::Write;

use crate::{
    ResponseFlag, ResponseFlags, grpc,
    headers::cut,
    machine::ClusterState,
    path,
    request::Request,
    stream::{Outcome, Router},
    table::query_parameter,
};

/// What is known of a request while headers are changed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Course<'a> {
    pub(crate) route: &'a str,
    /// Empty: none yet.
    pub(crate) cluster: &'a str,
    /// What goes downstream, and `:status` of response headers.
    pub(crate) status: u16,
    /// The upstream's; 0: none has answered, as in an answer of the proxy itself.
    pub(crate) code: u16,
    pub(crate) flags: ResponseFlags,
    pub(crate) details: &'a str,
    pub(crate) attempts: u32,
    /// Of the request's body.
    pub(crate) bytes_received: u64,
    /// Of an answer to a gRPC request.
    pub(crate) grpc_status: Option<u32>,
    /// Whether the last attempt's connection speaks HTTP/2; `None`: it got none.
    pub(crate) upstream: Option<bool>,
    /// Address and port of the host picked last; empty: none.
    pub(crate) host: &'a str,
}

impl<'a> Course<'a> {
    /// What a stream remembers. The route is known where its changes are applied.
    pub(crate) fn new(
        outcome: &'a Outcome,
        router: &Router,
        bytes_received: u64,
        cluster: Option<&'a ClusterState>,
    ) -> Self {
        Self {
            route: "",
            cluster: cluster.map_or("", |cluster| &cluster.table.name),
            status: outcome.status,
            code: outcome.status,
            flags: outcome.flags,
            details: if outcome.details.is_empty() { &outcome.details_text } else { outcome.details },
            attempts: router.attempt_count,
            bytes_received,
            grpc_status: outcome.grpc_status.filter(|_| outcome.status != 0),
            upstream: router.upstream,
            host: cluster.zip(router.host).map_or("", |(cluster, host)| cluster.hosts.address(host)),
        }
    }
}

/// One thing that a format asks for.
#[derive(Clone, Debug)]
pub(crate) enum Fact {
    Code,
    Flags,
    FlagsInWords,
    Details,
    Cluster,
    Attempts,
    BytesReceived,
    BytesSent,
    UpstreamProtocol,
    /// The host picked last, and whether with its port.
    Host {
        port: bool,
    },
    /// The peer of the last attempt's connection.
    UpstreamAddress {
        port: bool,
    },
    GrpcStatus(GrpcForm),
    Path {
        source: PathSource,
        query: bool,
    },
    QueryParameter(Box<str>),
    Query,
    /// Not modelled; it is empty, as an absent value is.
    Unknown,
}

/// Which path is meant: that of the client, or the one that goes upstream.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PathSource {
    Original,
    Present,
    OriginalOrPresent,
}

/// How a gRPC status is written.
#[derive(Clone, Copy, Debug)]
pub(crate) enum GrpcForm {
    Camel,
    Snake,
    Number,
}

impl Fact {
    /// The fact of a command, or that of none. `None`: malformed.
    pub(crate) fn new(name: &str, arguments: &str) -> Option<Self> {
        Some(match name {
            "RESPONSE_CODE" => Self::Code,
            "RESPONSE_FLAGS" => Self::Flags,
            "RESPONSE_FLAGS_LONG" => Self::FlagsInWords,
            "RESPONSE_CODE_DETAILS" => Self::Details,
            "UPSTREAM_CLUSTER" | "UPSTREAM_CLUSTER_RAW" => Self::Cluster,
            "UPSTREAM_REQUEST_ATTEMPT_COUNT" => Self::Attempts,
            "BYTES_RECEIVED" => Self::BytesReceived,
            "BYTES_SENT" => Self::BytesSent,
            "UPSTREAM_PROTOCOL" => Self::UpstreamProtocol,
            "UPSTREAM_HOST" | "UPSTREAM_HOST_NAME" => Self::Host { port: true },
            "UPSTREAM_HOST_NAME_WITHOUT_PORT" => Self::Host { port: false },
            "UPSTREAM_REMOTE_ADDRESS" => Self::UpstreamAddress { port: true },
            "UPSTREAM_REMOTE_ADDRESS_WITHOUT_PORT" => Self::UpstreamAddress { port: false },
            "GRPC_STATUS_NUMBER" => Self::GrpcStatus(GrpcForm::Number),
            "GRPC_STATUS" => Self::GrpcStatus(match arguments {
                "" | "CAMEL_STRING" => GrpcForm::Camel,
                "SNAKE_STRING" => GrpcForm::Snake,
                "NUMBER" => GrpcForm::Number,
                _ => return None,
            }),
            "PATH" => {
                let (query, source) = arguments.split_once(':').unwrap_or((arguments, ""));
                let query = match query {
                    "" | "WQ" => true,
                    "NQ" => false,
                    _ => return None,
                };
                let source = match source {
                    "" | "ORIG_OR_PATH" => PathSource::OriginalOrPresent,
                    "ORIG" => PathSource::Original,
                    "PATH" => PathSource::Present,
                    _ => return None,
                };
                Self::Path { source, query }
            }
            "QUERY_PARAM" if arguments.is_empty() => return None,
            "QUERY_PARAM" => Self::QueryParameter(arguments.into()),
            "QUERY_PARAMS" => Self::Query,
            _ => Self::Unknown,
        })
    }

    /// Appends the fact, at most so many bytes of it; nothing if it is not known.
    pub(crate) fn write(&self, length: usize, request: &Request, course: &Course<'_>, out: &mut String) {
        let start = out.len();
        // Writing to a string does not fail.
        match self {
            Self::Code => _ = write!(out, "{}", course.code),
            Self::Flags => write_flags(course.flags, out, |flag, out| out.push_str(flag.code())),
            Self::FlagsInWords => write_flags(course.flags, out, |flag, out| _ = write!(out, "{flag:?}")),
            Self::Details => out.push_str(course.details),
            Self::Cluster => out.push_str(course.cluster),
            Self::Attempts => _ = write!(out, "{}", course.attempts),
            Self::BytesReceived => _ = write!(out, "{}", course.bytes_received),
            // Headers are written before any of the answer's body.
            Self::BytesSent => out.push('0'),
            Self::UpstreamProtocol => {
                let protocol = course.upstream.map(|http2| if http2 { "HTTP/2" } else { "HTTP/1.1" });
                out.push_str(protocol.unwrap_or_default());
            }
            Self::Unknown => {}
            Self::UpstreamAddress { .. } if course.upstream.is_none() => {}
            Self::Host { port: true } | Self::UpstreamAddress { port: true } => out.push_str(course.host),
            Self::Host { port: false } | Self::UpstreamAddress { port: false } => {
                out.push_str(course.host.rsplit_once(':').map_or(course.host, |(address, _)| address));
            }
            Self::GrpcStatus(form) => write_grpc(*form, request, course, out),
            Self::Path { source, query } => {
                let original = request.first("x-envoy-original-path");
                let path = match source {
                    PathSource::Original => original.unwrap_or_default(),
                    PathSource::Present => request.path(),
                    PathSource::OriginalOrPresent => original.unwrap_or_else(|| request.path()),
                };
                out.push_str(if *query { path } else { path::without_query(path) });
            }
            Self::QueryParameter(name) => {
                path::percent_decode(query_parameter(request.query(), name).unwrap_or_default(), out);
            }
            Self::Query => out.push_str(request.query()),
        }
        let end = start + cut(&out[start..], length).len();
        out.truncate(end);
    }
}

/// Flags in the order in which the router sets them; a minus sign for none.
fn write_flags(flags: ResponseFlags, out: &mut String, write: impl Fn(ResponseFlag, &mut String)) {
    use ResponseFlag::{DelayInjected, UpstreamOverflow, UpstreamRetryLimitExceeded};
    const FIRST: [ResponseFlag; 3] = [DelayInjected, UpstreamRetryLimitExceeded, UpstreamOverflow];
    if flags.is_empty() {
        return out.push('-');
    }
    let early = FIRST.into_iter().filter(|flag| flags.contains(*flag));
    let others = flags.iter().filter(|flag| !FIRST.contains(flag));
    for (index, flag) in early.chain(others).enumerate() {
        out.push_str(if index == 0 { "" } else { "," });
        write(flag, out);
    }
}

/// The answer's status, or what the upstream's HTTP status stands for.
fn write_grpc(form: GrpcForm, request: &Request, course: &Course<'_>, out: &mut String) {
    let from_http = || (course.code != 0).then(|| grpc::status_of_http(course.code));
    let Some(status) = course.grpc_status.or_else(from_http).filter(|_| request.is_grpc()) else { return };
    let name = match form {
        GrpcForm::Number => None,
        GrpcForm::Camel => grpc::name(status).map(|(camel, _)| camel),
        GrpcForm::Snake => grpc::name(status).map(|(_, snake)| snake),
    };
    match name {
        Some(name) => out.push_str(name),
        // Writing to a string does not fail.
        None => _ = write!(out, "{status}"),
    }
}
