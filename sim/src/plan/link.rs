//! What becomes of a connection: plaintext, TLS with an identity, or nothing at all.

use meshproof_proxy::config::{Cluster, DownstreamTls, Host, Identity, TlsMode};

use super::Link;

/// Certificates that clients show, by number.
#[derive(Debug, Default)]
pub(super) struct Identities(pub(super) Vec<Identity>);

impl Identities {
    fn id(&mut self, identity: &Identity) -> u32 {
        let at = self.0.iter().position(|known| known == identity).unwrap_or_else(|| {
            self.0.push(identity.clone());
            self.0.len() - 1
        });
        u32::try_from(at).unwrap_or(u32::MAX)
    }
}

/// What a connection of a cluster to one of its hosts becomes; `server`: what listens there, `None` for a plain socket.
pub(super) fn link(
    cluster: &Cluster,
    host: &Host,
    server: Option<&DownstreamTls>,
    identities: &mut Identities,
) -> Link {
    let chosen = cluster
        .transport_matches
        .iter()
        .find(|candidate| candidate.matches.iter().all(|label| host.transport_metadata.contains(label)));
    let client = chosen.map_or(cluster.tls.as_ref(), |chosen| chosen.tls.as_ref());
    let mode = server.map_or(TlsMode::Plaintext, |server| server.mode);
    match (client, mode) {
        (None, TlsMode::Plaintext | TlsMode::Permissive) => Link::Plaintext,
        (None, _) | (Some(_), TlsMode::Plaintext) => Link::Refused,
        (Some(tls), TlsMode::Permissive | TlsMode::Strict) => match &tls.identity {
            Some(identity) => Link::Tls { identity: Some(identities.id(identity)) },
            None => Link::Refused,
        },
        (Some(_), TlsMode::Simple) => Link::Tls { identity: None },
    }
}

/// Whether a client that speaks no TLS gets through.
pub(super) const fn accepts_plaintext(server: Option<&DownstreamTls>) -> bool {
    match server {
        None => true,
        Some(tls) => matches!(tls.mode, TlsMode::Plaintext | TlsMode::Permissive),
    }
}
