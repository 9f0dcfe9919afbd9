//! What servers accept (`11.6`) and how clients reach them (`11.5`).

use meshproof_proxy::config::{Identity, SanMatcher, StringMatcher, UpstreamTls, Validity};

use super::{Transport, client::Client, destination_rule::written_tls, index::Lowering};
use crate::{
    ProxyMode, Resolution, ServiceId, Sourced, WorkloadId, is_subset,
    istio::{ClientTlsMode, MtlsMode, PeerAuthentication},
};

/// Who signs the mesh's certificates, as far as decisions read it.
pub(super) const MESH_CA: &str = "mesh";

/// Protocols that Istio's clients offer over mutual TLS, and servers recognise it by (`PA-5`).
pub(super) const ISTIO_ALPN: [&str; 2] = ["istio-peer-exchange", "istio"];

impl Lowering<'_> {
    /// What a workload accepts on a port of its pods (`11.6`, `PA-3`, `PA-4`). A workload without a proxy accepts what
    /// its application does: plaintext.
    pub fn server_mode(&self, server: WorkloadId, port: u16) -> Sourced<MtlsMode> {
        let workload = self.mesh.workload(server);
        if self.skips_inbound(server, port) {
            return Sourced::default(MtlsMode::Disable, "PA-6");
        }
        match workload.proxy {
            ProxyMode::Sidecar | ProxyMode::Gateway => self.peer_mode(server, port),
            // The ztunnel takes plaintext too where it is told to disable TLS (`AB-2`).
            ProxyMode::Ambient => self.peer_mode(server, port).map(|mode| mode.max(MtlsMode::Permissive)),
            ProxyMode::Linkerd => self.linkerd_mode(server, port),
            ProxyMode::None => Sourced::written(MtlsMode::Disable, workload.proxy_at.clone()),
        }
    }

    /// How a client reaches an endpoint of a service's port (`11.5`); `None` is a client outside the mesh.
    pub fn client_transport(
        &self,
        client: Option<WorkloadId>,
        service: ServiceId,
        port: u16,
        endpoint: WorkloadId,
    ) -> Sourced<Transport> {
        let Some(workload) = client.map(|id| self.mesh.workload(id)) else {
            return Sourced::default(Transport::Plaintext, "2.2");
        };
        if client.is_some_and(|client| self.skips_outbound(client, port)) {
            return Sourced::default(Transport::Plaintext, "PA-6");
        }
        match workload.proxy {
            ProxyMode::None => return Sourced::written(Transport::Plaintext, workload.proxy_at.clone()),
            _ if workload.is_foreign_ingress() => return Sourced::default(Transport::Plaintext, "IN-1"),
            ProxyMode::Ambient => return self.automatic(service, port, endpoint),
            ProxyMode::Linkerd => return self.linkerd_transport(workload, service, port, endpoint),
            ProxyMode::Sidecar | ProxyMode::Gateway => {}
        }
        let namespace = workload.meta.namespace();
        let rule = self.rule_for(namespace, Some(&workload.labels), self.mesh.service(service));
        let policy = rule.map(|rule| rule.policy(None, port)).unwrap_or_default();
        self.transport(&policy, service, port, endpoint, workload.proxy == ProxyMode::Gateway)
    }

    /// The same with the policy known.
    pub(super) fn transport(
        &self,
        policy: &super::destination_rule::Policy<'_>,
        service: ServiceId,
        port: u16,
        endpoint: WorkloadId,
        from_gateway: bool,
    ) -> Sourced<Transport> {
        let Some((tls, mode)) = written_tls(policy) else {
            return match self.whole_cluster(policy, service, from_gateway) {
                Some(decided) => decided,
                None => self.automatic(service, port, endpoint),
            };
        };
        let transport = match mode {
            ClientTlsMode::Disable => Transport::Plaintext,
            ClientTlsMode::IstioMutual => Transport::IstioMutual,
            // At a sidecar, `credentialName` needs a rule that is bound to workloads; without, TLS is not originated
            // at all (`DR-17`).
            ClientTlsMode::Simple | ClientTlsMode::Mutual
                if tls.credential_name.is_some() && !policy.is_selected && !from_gateway =>
            {
                Transport::Plaintext
            }
            ClientTlsMode::Simple | ClientTlsMode::Mutual => Transport::Tls,
        };
        Sourced::written(transport, tls.mode.at.clone())
    }

    /// What is decided for all endpoints alike, where no DestinationRule speaks of TLS (`11.5`).
    pub(super) fn whole_cluster(
        &self,
        policy: &super::destination_rule::Policy<'_>,
        service: ServiceId,
        from_gateway: bool,
    ) -> Option<Sourced<Transport>> {
        let plain = |origin| Some(Sourced { value: Transport::Plaintext, origin });
        let auto = &self.mesh.settings.enable_auto_mtls;
        let target = self.mesh.service(service);
        if target.external {
            return plain(crate::Origin::Written(target.meta.at.clone()));
        }
        if !auto.value {
            return plain(auto.origin.clone());
        }
        let passthrough = policy.load_balancer.and_then(|lb| lb.simple.as_ref()).map(|simple| simple.value)
            == Some(crate::istio::SimpleLb::Passthrough);
        let passes = passthrough || (target.resolution == Resolution::Passthrough && !from_gateway);
        if passes {
            let workloads = self.servers(service);
            let first_without = workloads.iter().map(|id| self.mesh.workload(*id)).find(|w| !has_istio_label(w.proxy));
            match first_without {
                _ if workloads.is_empty() => return plain(crate::Origin::Default("HS-1")),
                Some(workload) => return plain(crate::Origin::Written(workload.proxy_at.clone())),
                None => {}
            }
        }
        let namespace_mode = self.namespace_mode(target.meta.namespace());
        if namespace_mode.value == MtlsMode::Disable {
            return plain(namespace_mode.origin);
        }
        passes.then(|| Sourced::default(Transport::IstioMutual, "HS-1"))
    }

    /// Istio's own choice for one endpoint: mutual TLS where its pods have a proxy that accepts it.
    fn automatic(&self, service: ServiceId, port: u16, endpoint: WorkloadId) -> Sourced<Transport> {
        let workload = self.mesh.workload(endpoint);
        if !has_istio_label(workload.proxy) {
            return Sourced::written(Transport::Plaintext, workload.proxy_at.clone());
        }
        let target = self.mesh.service(service).port(port).and_then(|p| super::index::container_port(workload, p));
        let mode = self.peer_mode(endpoint, target.unwrap_or(port));
        match mode.value {
            MtlsMode::Disable => mode.map(|_| Transport::Plaintext),
            MtlsMode::Permissive | MtlsMode::Strict => Sourced::default(Transport::IstioMutual, "2.2"),
        }
    }

    /// The mode of PeerAuthentications for a pod's port (`11.6`).
    pub(super) fn peer_mode(&self, server: WorkloadId, port: u16) -> Sourced<MtlsMode> {
        let workload = self.mesh.workload(server);
        let namespace = workload.meta.namespace();
        let mut mode = self.namespace_mode(namespace);
        // A policy of the root namespace with a selector is ignored (`PA-1`).
        if namespace == self.mesh.settings.root_namespace.value {
            return mode;
        }
        let is_bound =
            |policy: &PeerAuthentication| !policy.selector.is_empty() && is_subset(&policy.selector, &workload.labels);
        let Some(policy) = self.peer_policies(namespace).find(|policy| is_bound(policy)) else { return mode };
        if let Some(written) = &policy.mode {
            mode = written.clone().into();
        }
        // Keys are ports of the pods; `UNSET` inherits (`PA-4`).
        match policy.port_level.iter().find(|(number, _)| number.value == port) {
            Some((number, Some(own))) => Sourced::written(*own, number.at.clone()),
            Some((_, None)) | None => mode,
        }
    }

    /// The mode of a namespace: its own policy's, else the mesh's, else PERMISSIVE (`PA-3`).
    pub fn namespace_mode(&self, namespace: &str) -> Sourced<MtlsMode> {
        let root = self.mesh.settings.root_namespace.value.as_str();
        // The oldest policy of a scope counts as a whole (`PA-2`).
        let of = |scope| self.peer_policies(scope).find(|policy| policy.selector.is_empty());
        let own = if namespace == root { None } else { of(namespace) };
        let written = own.and_then(|policy| policy.mode.clone());
        let written = written.or_else(|| of(root).and_then(|policy| policy.mode.clone()));
        written.map_or(Sourced::default(MtlsMode::Permissive, "PA-3"), Sourced::from)
    }

    /// The identity of a workload's pods.
    pub(super) fn identity(&self, workload: WorkloadId) -> Identity {
        signed(self.spiffe(workload))
    }

    /// The name in a workload's certificate.
    pub fn spiffe(&self, workload: WorkloadId) -> String {
        let domain = &self.mesh.settings.trust_domain.value;
        let workload = self.mesh.workload(workload);
        format!("spiffe://{domain}/ns/{}/sa/{}", workload.meta.namespace(), workload.service_account.value)
    }

    /// Istio's mutual TLS of a client towards a service: its servers' accounts are expected (`AM-1`).
    pub(super) fn istio_tls(&self, client: &Client<'_>, service: ServiceId, port: u16, subset: &str) -> UpstreamTls {
        let mut names: Vec<String> = self.servers(service).iter().map(|id| self.spiffe(*id)).collect();
        names.sort();
        names.dedup();
        UpstreamTls {
            identity: Some(match client.waypoint() {
                None => self.identity(client.workload()),
                Some(waypoint) => signed(self.spiffe_of_waypoint(waypoint)),
            }),
            trusted_ca: Some(MESH_CA.to_owned()),
            server_sans: names
                .into_iter()
                .map(|name| SanMatcher { value: StringMatcher::exact(name), dns: false })
                .collect(),
            sni: Some(format!("outbound_.{port}_.{subset}_.{}", self.mesh.service(service).host)),
            alpn: ISTIO_ALPN.map(str::to_owned).to_vec(),
            min_version: None,
            max_version: None,
        }
    }
}

/// A certificate of the mesh.
fn signed(name: String) -> Identity {
    Identity { ca: MESH_CA.to_owned(), uri_sans: vec![name], dns_sans: Vec::new(), validity: Validity::Valid }
}

/// Whether injection labels the pods as able to take Istio's mutual TLS (`security.istio.io/tlsMode: istio`). A
/// gateway's pods are not labelled: its servers say what they accept. An ambient pod takes it over its tunnel.
pub(super) const fn has_istio_label(proxy: ProxyMode) -> bool {
    matches!(proxy, ProxyMode::Sidecar | ProxyMode::Ambient)
}
