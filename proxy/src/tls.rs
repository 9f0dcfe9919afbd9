//! What becomes of a connection between two proxies, or a proxy and a plaintext application: which transport a host
//! gets, and how the handshake ends. No bytes and no keys; drivers ask when a connection is opened.
//!
//! With TLS 1.2 a client learns within the handshake that its certificate is refused. With TLS 1.3 its own side is
//! finished by then: the connection looks open, takes a request, and is cut.

use crate::config::{Cluster, DownstreamTls, Host, Identity, SanMatcher, TlsMode, TlsVersion, UpstreamTls, Validity};
use crate::table::StringMatch;

/// How a connection comes out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Opening {
    /// It is open.
    Open,
    /// The client takes it for open, and the server closes it as soon as it has looked.
    Doomed,
    /// It fails while it is being opened.
    Failed(TransportFailure),
}

/// Why a client's connection fails (Envoy: `%UPSTREAM_TRANSPORT_FAILURE_REASON%`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum TransportFailure {
    /// The client does not accept the server's certificate.
    PeerCertificateNotAccepted,
    /// No name of the server's certificate is one that the client accepts.
    PeerNameMismatch,
    /// The server does not speak TLS.
    PeerDoesNotSpeakTls,
    /// The server wants a certificate, and the client has none.
    AlertHandshakeFailure,
    /// The server does not know who signed the client's certificate.
    AlertUnknownCa,
    /// The client's certificate is not in its time.
    AlertCertificateExpired,
    /// No name of the client's certificate is one that the server accepts.
    AlertCertificateUnknown,
    /// There is no version that both sides speak.
    AlertProtocolVersion,
    /// The server closes the connection: it serves nothing that the client asks for.
    Closed,
}

impl TransportFailure {
    /// The class in words, as in `alert_unknown_ca`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PeerCertificateNotAccepted => "peer_certificate_not_accepted",
            Self::PeerNameMismatch => "peer_name_mismatch",
            Self::PeerDoesNotSpeakTls => "peer_does_not_speak_tls",
            Self::AlertHandshakeFailure => "alert_handshake_failure",
            Self::AlertUnknownCa => "alert_unknown_ca",
            Self::AlertCertificateExpired => "alert_certificate_expired",
            Self::AlertCertificateUnknown => "alert_certificate_unknown",
            Self::AlertProtocolVersion => "alert_protocol_version",
            Self::Closed => "closed",
        }
    }
}

/// A counter of one side (Envoy: `cluster.<name>.<counter>` for the client, `listener.<address>.<counter>` for the
/// server).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TlsCounter {
    /// This side has finished a handshake.
    Handshake,
    /// The connection failed for a reason that is not this side's verification.
    ConnectionError,
    /// A handshake was finished with a client that showed no certificate.
    NoCertificate,
    /// The client showed no certificate, and one is required.
    FailVerifyNoCert,
    /// The peer's certificate was refused.
    FailVerifyError,
    /// The names in the peer's certificate were refused.
    FailVerifySan,
    /// The listener serves nothing that the client asks for.
    NoFilterChainMatch,
}

impl TlsCounter {
    /// Envoy's name, as in `ssl.handshake`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Handshake => "ssl.handshake",
            Self::ConnectionError => "ssl.connection_error",
            Self::NoCertificate => "ssl.no_certificate",
            Self::FailVerifyNoCert => "ssl.fail_verify_no_cert",
            Self::FailVerifyError => "ssl.fail_verify_error",
            Self::FailVerifySan => "ssl.fail_verify_san",
            Self::NoFilterChainMatch => "no_filter_chain_match",
        }
    }
}

/// The end of a handshake.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake<'a> {
    /// What becomes of the connection.
    pub opening: Opening,
    /// The version of an open connection; `None`: plaintext.
    pub version: Option<TlsVersion>,
    /// The protocol of an open connection (`h2`, `http/1.1`); `None`: none was agreed on.
    pub alpn: Option<&'a str>,
    /// The name that the client asked for.
    pub server_name: Option<&'a str>,
    /// The client's certificate, if the server of an open connection asked for it.
    pub client: Option<&'a Identity>,
    /// What the client counts.
    pub client_counters: &'static [TlsCounter],
    /// What the server counts.
    pub server_counters: &'static [TlsCounter],
}

impl Handshake<'_> {
    /// The client as the server's filters see it, for [`Peer::identity`](crate::Peer::identity).
    pub fn peer(&self) -> Option<Identity> {
        let anonymous =
            || Identity { ca: String::new(), uri_sans: Vec::new(), dns_sans: Vec::new(), validity: Validity::Valid };
        self.version.map(|_| self.client.cloned().unwrap_or_else(anonymous))
    }
}

/// The transport to a host: that of the first entry whose labels the host has, or else the cluster's own. `None`:
/// plaintext (Envoy: `Cluster.transport_socket_matches`).
pub fn choose_transport<'c>(cluster: &'c Cluster, host: &Host) -> Option<&'c UpstreamTls> {
    let has = |label| host.transport_metadata.contains(label);
    let chosen = cluster.transport_matches.iter().find(|entry| entry.matches.iter().all(has));
    chosen.map_or(cluster.tls.as_ref(), |entry| entry.tls.as_ref())
}

/// Opens a connection. `client`: what the client speaks, `None` for plaintext; `server`: what listens there, the default
/// for an application without TLS.
pub fn handshake<'a>(client: Option<&'a UpstreamTls>, server: &'a DownstreamTls) -> Handshake<'a> {
    use TlsCounter::{ConnectionError, NoFilterChainMatch};
    let closed = |opening, client_counters, server_counters| Handshake {
        opening,
        version: None,
        alpn: None,
        server_name: None,
        client: None,
        client_counters,
        server_counters,
    };
    let has_conditions = !server.chain_alpn.is_empty() || !server.chain_sni.is_empty();
    match (client, server.mode) {
        (None, TlsMode::Plaintext | TlsMode::Permissive) => closed(Opening::Open, &[], &[]),
        (None, _) if has_conditions => closed(Opening::Doomed, &[], &[NoFilterChainMatch]),
        (None, _) => closed(Opening::Doomed, &[], &[ConnectionError]),
        (Some(_), TlsMode::Plaintext) => {
            closed(Opening::Failed(TransportFailure::PeerDoesNotSpeakTls), &[ConnectionError], &[])
        }
        (Some(client), _) if !is_served(client, server) => {
            closed(Opening::Failed(TransportFailure::Closed), &[], &[NoFilterChainMatch])
        }
        (Some(client), _) => secure(client, server, closed),
    }
}

/// A handshake between two sides that both speak TLS: versions, then the server's certificate, then the client's.
fn secure<'a>(
    client: &'a UpstreamTls,
    server: &'a DownstreamTls,
    closed: impl Fn(Opening, &'static [TlsCounter], &'static [TlsCounter]) -> Handshake<'a>,
) -> Handshake<'a> {
    use TlsCounter::{ConnectionError, FailVerifyError, FailVerifySan, Handshake as Done, NoCertificate};
    let Some(version) = version(client, server) else {
        let opening = Opening::Failed(TransportFailure::AlertProtocolVersion);
        return closed(opening, &[ConnectionError], &[ConnectionError]);
    };
    match verify(client.trusted_ca.as_deref(), &client.server_sans, false, server.identity.as_ref()) {
        Ok(()) => {}
        Err(Refusal::San) => {
            let opening = Opening::Failed(TransportFailure::PeerNameMismatch);
            return closed(opening, &[FailVerifySan], &[ConnectionError]);
        }
        Err(_) => {
            let opening = Opening::Failed(TransportFailure::PeerCertificateNotAccepted);
            return closed(opening, &[FailVerifyError], &[ConnectionError]);
        }
    }
    // A server that trusts nobody asks for no certificate, whatever it requires.
    let shown = client.identity.as_ref().filter(|_| server.trusted_ca.is_some());
    if let Err(refusal) = verify_client(server, shown) {
        let (opening, counters): (_, &'static [TlsCounter]) = match version {
            TlsVersion::V1_2 => (Opening::Failed(refusal.alert()), &[ConnectionError]),
            TlsVersion::V1_3 => (Opening::Doomed, &[Done, ConnectionError]),
        };
        return closed(opening, counters, refusal.counters());
    }
    Handshake {
        version: Some(version),
        alpn: server.alpn.iter().find(|protocol| client.alpn.contains(protocol)).map(String::as_str),
        server_name: client.sni.as_deref(),
        client: shown,
        ..closed(Opening::Open, &[Done], if shown.is_some() { &[Done] } else { &[Done, NoCertificate] })
    }
}

/// Whether the listener's TLS chain is meant for what the client offers and names.
fn is_served(client: &UpstreamTls, server: &DownstreamTls) -> bool {
    let is_named = |pattern: &String| {
        client.sni.as_deref().is_some_and(|name| match pattern.strip_prefix('*') {
            Some(suffix) => name.len() > suffix.len() && name.to_ascii_lowercase().ends_with(suffix),
            None => name.eq_ignore_ascii_case(pattern),
        })
    };
    let is_offered = |protocol: &String| client.alpn.contains(protocol);
    (server.chain_alpn.is_empty() || server.chain_alpn.iter().any(is_offered))
        && (server.chain_sni.is_empty() || server.chain_sni.iter().any(is_named))
}

/// The newest version that both sides speak.
fn version(client: &UpstreamTls, server: &DownstreamTls) -> Option<TlsVersion> {
    let newest = client.max_version.unwrap_or(TlsVersion::V1_2).min(server.max_version.unwrap_or(TlsVersion::V1_3));
    let oldest = client.min_version.unwrap_or(TlsVersion::V1_2).max(server.min_version.unwrap_or(TlsVersion::V1_2));
    (oldest <= newest).then_some(newest)
}

/// Why one side refuses the other's certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Refusal {
    Missing,
    Signer,
    Time,
    San,
}

impl Refusal {
    const fn alert(self) -> TransportFailure {
        match self {
            Self::Missing => TransportFailure::AlertHandshakeFailure,
            Self::Signer => TransportFailure::AlertUnknownCa,
            Self::Time => TransportFailure::AlertCertificateExpired,
            Self::San => TransportFailure::AlertCertificateUnknown,
        }
    }

    const fn counters(self) -> &'static [TlsCounter] {
        match self {
            Self::Missing => &[TlsCounter::FailVerifyNoCert],
            Self::Signer | Self::Time => &[TlsCounter::FailVerifyError],
            Self::San => &[TlsCounter::FailVerifySan],
        }
    }
}

/// A certificate that is shown is verified, even where none is required. Who asks for names requires one (Envoy:
/// `DefaultCertValidator::initializeSslContexts`).
fn verify_client(server: &DownstreamTls, shown: Option<&Identity>) -> Result<(), Refusal> {
    if shown.is_none() && server.mode == TlsMode::Simple && server.client_sans.is_empty() {
        return Ok(());
    }
    verify(server.trusted_ca.as_deref(), &server.client_sans, server.allow_expired_certificate, shown)
}

/// Without a trusted authority nothing is verified, names included.
fn verify(
    trusted_ca: Option<&str>,
    sans: &[SanMatcher],
    allow_expired: bool,
    shown: Option<&Identity>,
) -> Result<(), Refusal> {
    let Some(trusted_ca) = trusted_ca else { return Ok(()) };
    let identity = shown.ok_or(Refusal::Missing)?;
    if identity.ca != trusted_ca {
        return Err(Refusal::Signer);
    }
    if identity.validity != Validity::Valid && !allow_expired {
        return Err(Refusal::Time);
    }
    if sans.is_empty() || sans.iter().any(|matcher| names(matcher, identity)) { Ok(()) } else { Err(Refusal::San) }
}

fn names(matcher: &SanMatcher, identity: &Identity) -> bool {
    let names = if matcher.dns { &identity.dns_sans } else { &identity.uri_sans };
    StringMatch::new(&matcher.value).is_ok_and(|value| names.iter().any(|name| value.matches(name)))
}

#[cfg(test)]
mod tests;
