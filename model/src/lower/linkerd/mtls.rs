//! Mutual TLS of Linkerd: by itself between its proxies, never to others (`L-2`).

use meshproof_proxy::config::{
    DownstreamTls, ForwardClientCert, Identity, SanMatcher, StringMatcher, TlsMode, UpstreamTls, Validity,
};

use super::super::{Lowering, Transport, index::container_port};
use crate::{Origin, ProxyMode, ServiceId, Sourced, Workload, WorkloadId, istio::MtlsMode};

/// Who signs Linkerd's certificates, as far as decisions read it.
const LINKERD_CA: &str = "linkerd";

impl Lowering<'_> {
    /// What a port accepts: both, unless every client that is authorized shows an identity (`L-9`); plaintext only
    /// where connections go past the proxy.
    pub(in super::super) fn linkerd_mode(&self, server: WorkloadId, port: u16) -> Sourced<MtlsMode> {
        let workload = self.mesh.workload(server);
        if let Some(at) = workload.linkerd.skips_inbound(port) {
            return Sourced::written(MtlsMode::Disable, at.clone());
        }
        let access = self.linkerd_access(server, port);
        match access.admits_unauthenticated() {
            Some(origin) => Sourced { value: MtlsMode::Permissive, origin },
            None => Sourced { value: MtlsMode::Strict, origin: access.origin },
        }
    }

    /// How a Linkerd client reaches an endpoint of a service's port.
    pub(in super::super) fn linkerd_transport(
        &self,
        client: &Workload,
        service: ServiceId,
        port: u16,
        endpoint: WorkloadId,
    ) -> Sourced<Transport> {
        let target = self.mesh.workload(endpoint);
        let number = self.mesh.service(service).port(port).and_then(|port| container_port(target, port));
        let number = number.unwrap_or(port);
        if let Some(at) = client.linkerd.skips_outbound(port).or_else(|| client.linkerd.skips_outbound(number)) {
            return Sourced::written(Transport::Plaintext, at.clone());
        }
        if target.proxy != ProxyMode::Linkerd {
            return Sourced::written(Transport::Plaintext, target.proxy_at.clone());
        }
        match target.linkerd.skips_inbound(number) {
            Some(at) => Sourced::written(Transport::Plaintext, at.clone()),
            None => Sourced { value: Transport::IstioMutual, origin: Origin::Default("L-2") },
        }
    }

    fn linkerd_identity(&self, workload: &Workload) -> Identity {
        Identity {
            ca: LINKERD_CA.to_owned(),
            uri_sans: Vec::new(),
            dns_sans: vec![self.linkerd_name(workload)],
            validity: Validity::Valid,
        }
    }

    /// TLS of a client towards pods of one account, whose name it expects.
    pub(super) fn linkerd_tls(&self, client: &Workload, server: &str) -> UpstreamTls {
        UpstreamTls {
            identity: Some(self.linkerd_identity(client)),
            trusted_ca: Some(LINKERD_CA.to_owned()),
            server_sans: vec![SanMatcher { value: StringMatcher::exact(server), dns: true }],
            sni: Some(server.to_owned()),
            alpn: Vec::new(),
            min_version: None,
            max_version: None,
        }
    }

    /// What a listener accepts: TLS that names the proxy itself is the mesh's, all else passes as it is.
    pub(super) fn linkerd_downstream(&self, server: &Workload, mode: MtlsMode) -> DownstreamTls {
        if mode == MtlsMode::Disable {
            return DownstreamTls::default();
        }
        DownstreamTls {
            mode: TlsMode::Permissive,
            identity: Some(self.linkerd_identity(server)),
            trusted_ca: Some(LINKERD_CA.to_owned()),
            chain_sni: vec![self.linkerd_name(server)],
            forward_client_cert: ForwardClientCert::Sanitize,
            ..DownstreamTls::default()
        }
    }
}
