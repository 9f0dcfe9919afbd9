//! The transport between two proxies: what their configurations make of a connection.

use meshproof_proxy::{
    config::{self, TlsVersion, UpstreamProtocol},
    tls::{self, Opening},
};

use super::world::Node;

/// What becomes of a connection, and what both sides count.
pub(crate) struct Outcome {
    /// The class of a failure.
    pub(crate) failure: Option<&'static str>,
    /// Open, but the server will cut it.
    pub(crate) is_doomed: bool,
    /// What ALPN agreed on, where it decides.
    pub(crate) http2: Option<bool>,
    /// What the listener reads, where ALPN tells it, whatever the client speaks (Envoy:
    /// `Http::Utility::determineNextProtocol`).
    pub(crate) read_as_http2: Option<bool>,
    pub(crate) facts: Facts,
    pub(crate) client_counters: Vec<&'static str>,
    pub(crate) server_counters: Vec<&'static str>,
}

/// What a listener learns of a connection.
#[derive(Clone, Default)]
pub(crate) struct Facts {
    /// Names in the client's certificate; `None`: plaintext.
    pub(crate) identity: Option<config::Identity>,
    pub(crate) server_name: Option<String>,
    pub(crate) tls_version: Option<&'static str>,
}

/// Opens a connection from a proxy to a listener.
pub(crate) fn open(cluster: &config::Cluster, host: &config::Host, server: &Node) -> Outcome {
    let plaintext = config::DownstreamTls::default();
    let server = server.config.listeners.first().map_or(&plaintext, |listener| &listener.tls);
    let client = tls::choose_transport(cluster, host);
    let shake = tls::handshake(client, server);
    Outcome {
        failure: match shake.opening {
            Opening::Failed(failure) => Some(failure.name()),
            Opening::Open | Opening::Doomed => None,
        },
        is_doomed: shake.opening == Opening::Doomed,
        http2: (cluster.protocol == UpstreamProtocol::Auto).then_some(shake.alpn == Some("h2")),
        read_as_http2: match shake.alpn {
            Some("h2") => Some(true),
            Some("http/1.1") => Some(false),
            _ => None,
        },
        facts: Facts {
            identity: shake.peer(),
            server_name: shake.server_name.map(str::to_owned),
            tls_version: shake.version.map(|version| match version {
                TlsVersion::V1_2 => "TLSv1.2",
                TlsVersion::V1_3 => "TLSv1.3",
            }),
        },
        client_counters: shake.client_counters.iter().map(|counter| counter.name()).collect(),
        server_counters: shake.server_counters.iter().map(|counter| counter.name()).collect(),
    }
}

/// Whether a proxy speaks TLS to a host.
pub(crate) fn is_tls(cluster: &config::Cluster, host: &config::Host) -> bool {
    tls::choose_transport(cluster, host).is_some()
}
