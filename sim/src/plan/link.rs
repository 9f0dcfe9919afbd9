//! What becomes of a connection: plaintext, TLS with an identity, or nothing at all.

use meshproof_proxy::{
    config::{Cluster, DownstreamTls, Host, Identity, UpstreamTls},
    tls::{Opening, choose_transport, handshake},
};

use super::Link;

/// Certificates that clients show, by number.
#[derive(Debug, Default)]
pub(super) struct Identities(pub(super) Vec<Identity>);

impl Identities {
    pub(super) fn id(&mut self, identity: &Identity) -> u32 {
        let at = self.0.iter().position(|known| known == identity).unwrap_or_else(|| {
            self.0.push(identity.clone());
            self.0.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }
}

/// What a connection of a cluster to one of its hosts becomes; `server`: what listens there, `None` for a plain socket;
/// `id`: the number of a certificate that a client shows.
pub(crate) fn link(
    cluster: &Cluster,
    host: &Host,
    server: Option<&DownstreamTls>,
    id: impl FnOnce(&Identity) -> u32,
) -> Link {
    open(choose_transport(cluster, host), server, id)
}

/// What a connection becomes of a client that speaks no TLS.
pub(crate) fn plain_link(server: Option<&DownstreamTls>) -> Link {
    // Nothing is shown, so nothing needs a number.
    open(None, server, |_| u32::MAX)
}

fn open(client: Option<&UpstreamTls>, server: Option<&DownstreamTls>, id: impl FnOnce(&Identity) -> u32) -> Link {
    let plain = DownstreamTls::default();
    let shake = handshake(client, server.unwrap_or(&plain));
    match (shake.opening, shake.peer()) {
        (Opening::Open, None) => Link::Plaintext,
        (Opening::Open, Some(peer)) => {
            let is_mutual = !peer.ca.is_empty();
            let is_http2 = shake.alpn.map(|protocol| protocol == "h2");
            Link::Tls { identity: id(&peer), is_mutual, is_http2 }
        }
        (Opening::Doomed, _) => Link::Doomed,
        (Opening::Failed(_), _) => Link::Refused,
    }
}
