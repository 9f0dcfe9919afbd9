//! What Linkerd's proxies do: the same configuration as Istio's, made by Linkerd's rules (`L-1` to `L-10`).

mod access;
mod cluster;
mod inbound;
mod mtls;
mod outbound;
mod profile;
mod retry;
mod routes;

use super::{Lowering, index::age};
use crate::{
    Service, ServiceId, TargetPort, Workload,
    linkerd::{RoutePolicy, Server, ServiceProfile},
};

impl<'m> Lowering<'m> {
    /// The profile that decides for clients of a namespace: theirs before the service's own (`L-4`, `L-6`).
    pub(super) fn profile_of(&self, namespace: &str, service: ServiceId) -> Option<&'m ServiceProfile> {
        let target = self.mesh.service(service);
        let of = |namespace: &str| {
            let named =
                |profile: &&ServiceProfile| profile.meta.name() == target.host && profile.meta.namespace() == namespace;
            self.mesh.linkerd.profiles.iter().find(named)
        };
        of(namespace).or_else(|| of(target.meta.namespace()))
    }

    /// What annotations of a service ask for (`L-5`, `L-7`).
    pub(super) fn annotated(&self, service: &Service) -> RoutePolicy {
        let policies = &self.mesh.linkerd.policies;
        let found = policies.iter().find(|policy| policy.resource == service.meta.resource && policy.group.is_empty());
        found.map(|found| found.policy.clone()).unwrap_or_default()
    }

    /// The Server of a port of some pods; of several the oldest (`L-9`).
    pub(super) fn server_of(&self, workload: &Workload, port: u16) -> Option<&'m Server> {
        let selects = |server: &&'m Server| {
            server.meta.namespace() == workload.meta.namespace()
                && server.pods.as_ref().is_some_and(|pods| pods.matches(&workload.labels))
                && match &server.port.value {
                    TargetPort::Number(number) => *number == port,
                    TargetPort::Name(name) => {
                        workload.ports.iter().any(|known| known.name == *name && known.number == port)
                    }
                }
        };
        self.mesh.linkerd.servers.iter().filter(selects).min_by_key(|server| age(&server.meta))
    }

    /// The name in the certificate of a workload's proxy.
    pub(super) fn linkerd_name(&self, workload: &Workload) -> String {
        account_name(&workload.service_account.value, workload.meta.namespace(), self.mesh.domain())
    }
}

/// The name in the certificates of a ServiceAccount's proxies.
fn account_name(account: &str, namespace: &str, domain: &str) -> String {
    format!("{account}.{namespace}.serviceaccount.identity.linkerd.{domain}")
}
