//! Requests and responses as far as decisions read them, borrowed from the driver.

use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
};

use crate::{RequestKey, Token};

/// A request's head and what is known of its sender.
#[derive(Clone, Copy, Debug, Default)]
pub struct RequestHead<'a> {
    /// Keys every draw made for this request.
    pub key: RequestKey,
    /// The method.
    pub method: &'a str,
    /// The authority (`Host`), with its port if it has one. Empty: none was sent, unless `headers` has an empty `host`.
    pub authority: &'a str,
    /// The path with its query.
    pub path: &'a str,
    /// Other headers in order, names in lower case.
    pub headers: &'a [(&'a str, &'a str)],
    /// Tokens that `headers` or `path` may contain, known by their text.
    pub tokens: &'a [Arc<Token>],
    /// Who sends it.
    pub peer: Peer<'a>,
    /// Whether it travels over HTTP/2.
    pub http2: bool,
}

/// The sender of a request, as its connection shows it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Peer<'a> {
    /// Its certificate; `None`: plaintext. One without a signer (`ca` is empty): TLS without a certificate.
    pub identity: Option<&'a crate::config::Identity>,
    /// Its address.
    pub address: Option<IpAddr>,
    /// The address that it dialled.
    pub destination: Option<SocketAddr>,
    /// The name that it asked for over TLS.
    pub server_name: Option<&'a str>,
    /// The connection, for limits per connection.
    pub connection: u64,
}

/// A response's head.
#[derive(Clone, Copy, Debug)]
pub struct ResponseHead<'a> {
    /// HTTP status.
    pub status: u16,
    /// Headers in order, names in lower case.
    pub headers: &'a [(&'a str, &'a str)],
}

/// Why an attempt or a connection ended before its answer did.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ResetReason {
    /// Refused by the host.
    RemoteConnectionFailure,
    /// The TLS handshake failed; for retries and flags the same as [`Self::RemoteConnectionFailure`].
    TlsFailure,
    /// The local socket failed.
    LocalConnectionFailure,
    /// The connection took too long to open.
    ConnectionTimeout,
    /// The peer closed the connection.
    ConnectionTermination,
    /// The peer reset the stream.
    RemoteReset,
    /// The peer refused the stream before it did anything.
    RemoteRefusedStream,
    /// The answer was not HTTP.
    ProtocolError,
    /// A circuit breaker of this proxy.
    Overflow,
    /// This proxy.
    LocalReset,
}

impl ResetReason {
    /// Whether the connection never came to be.
    pub const fn is_connect_failure(self) -> bool {
        matches!(
            self,
            Self::RemoteConnectionFailure | Self::TlsFailure | Self::LocalConnectionFailure | Self::ConnectionTimeout
        )
    }
}
