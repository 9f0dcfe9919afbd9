//! What each side of a connection shows and asks for. No key material: identities are names.

use serde::{Deserialize, Serialize};

use super::StringMatcher;

/// What a listener accepts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DownstreamTls {
    /// Which connections.
    pub mode: TlsMode,
    /// The certificate that the listener shows.
    pub identity: Option<Identity>,
    /// The authority whose certificates are accepted of clients; `None`: they are not verified.
    pub trusted_ca: Option<String>,
    /// One of these must match a name of the client's certificate; empty: any name.
    pub client_sans: Vec<SanMatcher>,
    /// Protocols that the listener offers.
    pub alpn: Vec<String>,
    /// `None`: 1.2.
    pub min_version: Option<TlsVersion>,
    /// `None`: 1.3.
    pub max_version: Option<TlsVersion>,
    /// The TLS chain serves only connections that offer one of these; empty: all.
    pub chain_alpn: Vec<String>,
    /// The TLS chain serves only connections that name one of these; empty: all.
    pub chain_sni: Vec<String>,
    /// Whether certificates out of their time are accepted.
    pub allow_expired_certificate: bool,
    /// What happens to `x-forwarded-client-cert`.
    pub forward_client_cert: ForwardClientCert,
}

/// Which connections a listener accepts (Istio: `PeerAuthentication.MutualTLS.Mode`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TlsMode {
    /// Plaintext only.
    #[default]
    Plaintext,
    /// TLS with a client certificate, and plaintext.
    Permissive,
    /// TLS with a client certificate only.
    Strict,
    /// TLS, no client certificate asked for.
    Simple,
}

/// What happens to `x-forwarded-client-cert` (Envoy: `ForwardClientCertDetails`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ForwardClientCert {
    /// Removed.
    #[default]
    Sanitize,
    /// Replaced by this hop's.
    SanitizeSet,
    /// Passed on over mutual TLS.
    ForwardOnly,
    /// This hop's is added.
    AppendForward,
    /// Passed on always.
    AlwaysForwardOnly,
}

/// TLS to a host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpstreamTls {
    /// The client certificate; `None`: none is shown.
    pub identity: Option<Identity>,
    /// The authority whose certificates are accepted; `None`: the server is not verified.
    pub trusted_ca: Option<String>,
    /// One of these must match a name of the server's certificate; empty: any name.
    pub server_sans: Vec<SanMatcher>,
    /// The name that is asked for.
    pub sni: Option<String>,
    /// Protocols that are offered.
    pub alpn: Vec<String>,
    /// `None`: 1.2.
    pub min_version: Option<TlsVersion>,
    /// `None`: 1.2.
    pub max_version: Option<TlsVersion>,
}

/// Which transport for hosts with these labels (Envoy: `Cluster.TransportSocketMatch`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransportMatch {
    /// A name for people.
    pub name: String,
    /// All of them must be among the host's `transport_metadata`.
    pub matches: Vec<(String, String)>,
    /// `None`: plaintext.
    pub tls: Option<UpstreamTls>,
}

/// A certificate, as far as decisions read it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Identity {
    /// Who signed it.
    pub ca: String,
    /// URI names, such as `spiffe://cluster.local/ns/default/sa/reviews`.
    pub uri_sans: Vec<String>,
    /// DNS names.
    pub dns_sans: Vec<String>,
    /// Whether it is in its time.
    pub validity: Validity,
}

/// Whether a certificate is in its time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Validity {
    /// It is.
    #[default]
    Valid,
    /// No longer.
    Expired,
    /// Not yet.
    NotYetValid,
}

/// A condition on a name of the peer's certificate.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SanMatcher {
    /// On the name.
    pub value: StringMatcher,
    /// Whether DNS names are meant rather than URIs.
    pub dns: bool,
}

/// A version of TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum TlsVersion {
    /// 1.2.
    V1_2,
    /// 1.3.
    V1_3,
}
