//! What backends refer to, and whether they may (`G-5`).

use super::{BackendRef, GROUP, IngressBackend, IngressPort, LabelSelector};
use super::{FromNamespaces, ReferenceGrant};
use crate::{Labels, Mesh, Missing, ServiceId};

/// The group of Istio's own kinds, of which `Hostname` stands for any host of the registry.
pub(crate) const ISTIO_GROUP: &str = "networking.istio.io";

impl ReferenceGrant {
    /// Whether an object of `kind` in `namespace` may refer to the `Service` of that name in the grant's namespace.
    pub fn admits(&self, kind: &str, namespace: &str, service: &str) -> bool {
        let from =
            |(group, known, from): &(String, String, String)| group == GROUP && known == kind && from == namespace;
        let to = |(group, known, name): &(String, String, Option<String>)| {
            group.is_empty() && known == "Service" && name.as_deref().is_none_or(|name| name == service)
        };
        self.from.iter().any(|entry| from(&entry.value)) && self.to.iter().any(|entry| to(&entry.value))
    }
}

impl Mesh {
    /// The service and port behind a backend of a route of `kind` in `namespace`.
    ///
    /// # Errors
    /// Why the backend is invalid: its share of the requests is answered 500. Routes that attach to a Service need no
    /// grant (`G-5`): `granted`.
    pub fn backend(
        &self,
        backend: &BackendRef,
        kind: &str,
        namespace: &str,
        granted: bool,
    ) -> Result<(ServiceId, u16), Missing> {
        let own = backend.namespace(namespace);
        let service = match (backend.group(), backend.kind()) {
            ("", "Service") | ("multicluster.x-k8s.io", "ServiceImport") => self.find_service(own, &backend.name.value),
            (ISTIO_GROUP, "Hostname") => self.find_host(&backend.name.value),
            _ => return Err(Missing::Kind),
        };
        if own != namespace && !granted && !self.is_granted(kind, namespace, own, &backend.name.value) {
            return Err(Missing::Grant);
        }
        let service = service.ok_or(Missing::Host)?;
        let port =
            backend.port.as_ref().map(|port| port.value).filter(|port| self.service(service).port(*port).is_some());
        Ok((service, port.ok_or(Missing::Port)?))
    }

    /// Whether some ReferenceGrant of `target` lets a route of `kind` in `namespace` refer to a Service there.
    fn is_granted(&self, kind: &str, namespace: &str, target: &str, service: &str) -> bool {
        let grants = self.gateway_api.grants.iter().filter(|grant| grant.meta.namespace() == target);
        grants.into_iter().any(|grant| grant.admits(kind, namespace, service))
    }

    /// The service and port behind a backend of an Ingress in `namespace`.
    ///
    /// # Errors
    /// Why there is none.
    pub fn ingress_backend(&self, backend: &IngressBackend, namespace: &str) -> Result<(ServiceId, u16), Missing> {
        let name = backend.service.as_ref().ok_or(Missing::Kind)?;
        let service = self.find_service(namespace, &name.value).ok_or(Missing::Host)?;
        let ports = &self.service(service).ports;
        let found = match backend.port.as_ref().map(|port| &port.value) {
            Some(IngressPort::Number(number)) => ports.iter().find(|port| port.number.value == *number),
            Some(IngressPort::Name(name)) => ports.iter().find(|port| port.name == *name),
            None => None,
        };
        found.map(|port| (service, port.number.value)).ok_or(Missing::Port)
    }

    /// Whether objects of a namespace are meant, said by an object in `own` (`G-1`).
    pub(super) fn admits_namespace(&self, from: &FromNamespaces, own: &str, namespace: &str) -> bool {
        match from {
            FromNamespaces::Same => own == namespace,
            FromNamespaces::All => true,
            FromNamespaces::None => false,
            FromNamespaces::Selector(selector) => self.selects_namespace(selector, namespace),
        }
    }

    /// Kubernetes labels every namespace with its name.
    fn selects_namespace(&self, selector: &LabelSelector, namespace: &str) -> bool {
        let mut labels = self.namespaces.get(namespace).map_or_else(Labels::new, |known| known.labels.clone());
        labels.insert("kubernetes.io/metadata.name".to_owned(), namespace.to_owned());
        selector.selects(&labels)
    }
}
