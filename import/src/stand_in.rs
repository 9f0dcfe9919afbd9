//! A gateway's proxy that the manifests leave out: one replica, and the service in front of it.

use meshproof_model::{
    ContainerPort, EndpointOptions, Labels, Located, Location, Meta, ProxyMode, Resolution, ResourceRef, Service,
    ServicePort, Workload,
    kubernetes::{PodLife, ServiceOptions},
    linkerd::ProxyOptions,
};

/// What is known of it.
pub(crate) struct StandIn {
    pub namespace: String,
    pub name: String,
    /// The name of its service account.
    pub account: String,
    pub labels: Labels,
    /// Which of the labels the service selects.
    pub selector: Labels,
    /// The service's full name.
    pub host: String,
    pub ports: Vec<ServicePort>,
    /// What asks for it.
    pub at: Location,
}

impl StandIn {
    /// The pods and their service.
    pub(crate) fn make(self) -> (Workload, Service) {
        let meta = |kind: &str| Meta {
            resource: ResourceRef { kind: kind.to_owned(), namespace: self.namespace.clone(), name: self.name.clone() },
            labels: self.labels.clone(),
            annotations: Labels::new(),
            created: None,
            at: self.at.clone(),
        };
        let port = |port: &ServicePort| ContainerPort { name: port.name.clone(), number: port.number.value };
        let workload = Workload {
            meta: meta("Gateway"),
            labels: self.labels.clone(),
            annotations: Labels::new(),
            service_account: Located::new(self.account, self.at.clone()),
            replicas: Located::new(1, self.at.clone()),
            ports: self.ports.iter().map(port).collect(),
            env: Vec::new(),
            proxy: ProxyMode::Gateway,
            proxy_at: self.at.clone(),
            istio_version: None,
            host_network: false,
            life: PodLife::default(),
            linkerd: ProxyOptions::default(),
            endpoint: EndpointOptions::default(),
        };
        let service = Service {
            meta: meta("Service"),
            host: self.host,
            external: false,
            resolution: Resolution::Balanced,
            ports: self.ports,
            selector: self.selector,
            export_to: Vec::new(),
            options: ServiceOptions::default(),
            linkerd: ProxyOptions::default(),
        };
        (workload, service)
    }
}
