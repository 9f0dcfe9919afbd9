//! `x-forwarded-client-cert` (Envoy: `ConnectionManagerUtility::mutateXfccRequestHeader`).

use std::fmt::Write;

use crate::{
    config::{DownstreamTls, ForwardClientCert},
    header_list::HeaderList,
    request::PeerFacts,
};

const NAME: &str = "x-forwarded-client-cert";

/// Certificates have no bytes here, so every certificate's hash is this text.
const HASH: &str = "<sha256>";

/// What a listener does with the header.
#[derive(Debug, Default)]
pub(crate) struct ClientCertificates {
    forward: ForwardClientCert,
    /// `By=` for each URI of the listener's own certificate.
    by: Box<str>,
}

impl ClientCertificates {
    pub(crate) fn new(tls: &DownstreamTls) -> Self {
        let uris = tls.identity.iter().flat_map(|identity| &identity.uri_sans);
        let by = uris.fold(String::new(), |by, uri| by + "By=" + uri + ";");
        Self { forward: tls.forward_client_cert, by: by.into() }
    }

    /// Removes, keeps or sets the header. Only mutual TLS lets anything pass, unless the listener always forwards.
    pub(crate) fn apply(&self, peer: &PeerFacts, headers: &mut HeaderList) {
        use ForwardClientCert::{AlwaysForwardOnly, AppendForward, ForwardOnly, Sanitize, SanitizeSet};
        match self.forward {
            AlwaysForwardOnly => {}
            ForwardOnly if peer.has_certificate() => {}
            SanitizeSet if peer.has_certificate() => {
                let element = self.element(peer);
                headers.set(NAME, &element);
            }
            AppendForward if peer.has_certificate() => {
                let list = headers.values(NAME).collect::<Vec<_>>().join(",");
                let separator = if list.is_empty() { "" } else { "," };
                let element = self.element(peer);
                headers.set_fmt(NAME, format_args!("{list}{separator}{element}"));
            }
            Sanitize | SanitizeSet | ForwardOnly | AppendForward => _ = headers.remove(NAME),
        }
    }

    fn element(&self, peer: &PeerFacts) -> String {
        let mut element = format!("{}Hash={HASH}", self.by);
        for uri in peer.sans.values("uri") {
            // Writing to a string does not fail.
            _ = write!(element, ";URI={uri}");
        }
        element
    }
}
