//! Listeners in the terms of Istio: each is a server of its own.

use crate::{
    Located, Mesh, Meta, WorkloadId,
    gateway_api::{Entry, Gateway},
    istio::{Server, ServerTls},
};

/// A listener as a server.
#[derive(Debug)]
pub(in crate::lower) struct Bound<'m> {
    /// What routes bind to.
    pub(in crate::lower) name: String,
    pub(in crate::lower) owner: Owner<'m>,
    pub(in crate::lower) server: Server,
}

/// Whose server it is.
#[derive(Clone, Copy, Debug)]
pub(in crate::lower) enum Owner<'m> {
    Gateway(&'m Gateway),
    /// The object, and the name of its class.
    Ingress(&'m Meta, &'m str),
}

impl<'m> Owner<'m> {
    pub(in crate::lower) fn is_served_by(self, mesh: &Mesh, workload: WorkloadId) -> bool {
        match self {
            Self::Gateway(gateway) => mesh.serves(gateway, workload),
            Self::Ingress(_, class) => mesh.serves_ingress(class, workload),
        }
    }

    pub(in crate::lower) const fn meta(self) -> &'m Meta {
        match self {
            Self::Gateway(gateway) => &gateway.meta,
            Self::Ingress(meta, _) => meta,
        }
    }

    pub(in crate::lower) const fn is_gateway(self) -> bool {
        matches!(self, Self::Gateway(_))
    }
}

/// Every listener of every Gateway, and the ports of Ingresses.
pub(in crate::lower) fn entries(mesh: &Mesh) -> Vec<Bound<'_>> {
    let mut gateways: Vec<&Gateway> = mesh.gateway_api.gateways.iter().collect();
    gateways.sort_by_key(|gateway| crate::gateway_api::age(&gateway.meta));
    let entries = gateways.into_iter().flat_map(|gateway| mesh.listeners(gateway));
    let listeners =
        entries.map(|entry| Bound { name: entry.name(), owner: Owner::Gateway(entry.gateway), server: server(&entry) });
    listeners.chain(super::ingress::entries(mesh)).collect()
}

fn server(entry: &Entry<'_>) -> Server {
    let listener = entry.listener;
    let at = listener.hostname.as_ref().map_or(&listener.at, |host| &host.at);
    Server {
        at: listener.at.clone(),
        port: listener.port.clone(),
        port_name: listener.name.value.clone(),
        protocol: listener.protocol.clone(),
        hosts: vec![Located::new(entry.host(), at.clone())],
        tls: listener.tls.as_ref().map(|tls| {
            let passes = tls.mode.as_ref().is_some_and(|mode| mode.value == "Passthrough");
            let mode = match (passes, tls.istio_mutual, tls.verifies_clients) {
                (true, ..) => "PASSTHROUGH",
                (false, true, _) => "ISTIO_MUTUAL",
                (false, false, true) => "MUTUAL",
                (false, false, false) => "SIMPLE",
            };
            let at = tls.mode.as_ref().map_or(&tls.at, |mode| &mode.at);
            ServerTls {
                at: tls.at.clone(),
                mode: Some(Located::new(mode.to_owned(), at.clone())),
                credential_name: tls.certificates.first().map(|name| name.clone().map(|(_, name)| name)),
                https_redirect: false,
            }
        }),
    }
}
