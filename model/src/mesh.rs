//! The mesh: what exists, as the manifests say it.

use std::collections::BTreeMap;

use crate::{
    Behaviour, IstioVersion, Located, Location, ResourceRef, delivery::Delivery, gateway_api::GatewayApi, istio,
    kubernetes, kubernetes::Kubernetes, linkerd, linkerd::Linkerd,
};

/// Everything that was read, typed, with the place of each fact. What it means for a caller: [`Mesh::outbound`].
#[derive(Clone, Debug, Default)]
pub struct Mesh {
    /// Mesh-wide settings.
    pub settings: istio::MeshConfig,
    /// Namespaces by name; one that is only mentioned has no labels.
    pub namespaces: BTreeMap<String, Namespace>,
    /// Services of Kubernetes and hosts of ServiceEntries; a [`ServiceId`] indexes this list.
    pub services: Vec<Service>,
    /// What runs; a [`WorkloadId`] indexes this list.
    pub workloads: Vec<Workload>,
    /// Routes, by path and place of their document.
    pub virtual_services: Vec<istio::VirtualService>,
    /// Policies of clients for hosts.
    pub destination_rules: Vec<istio::DestinationRule>,
    /// Entries into the mesh.
    pub gateways: Vec<istio::Gateway>,
    /// Gateways, routes and policies of Gateway API, and Ingresses.
    pub gateway_api: GatewayApi,
    /// What servers accept.
    pub peer_authentications: Vec<istio::PeerAuthentication>,
    /// What sidecars know.
    pub sidecars: Vec<istio::Sidecar>,
    /// Which tokens servers accept.
    pub request_authentications: Vec<istio::RequestAuthentication>,
    /// Who may call what.
    pub authorization_policies: Vec<istio::AuthorizationPolicy>,
    /// Patches of proxies' configurations, in the order in which they are applied.
    pub envoy_filters: Vec<istio::EnvoyFilter>,
    /// Limits that rate limit services keep.
    pub rate_limit_services: Vec<istio::RateLimitService>,
    /// Settings of proxies' processes.
    pub proxy_configs: Vec<istio::ProxyConfig>,
    /// What is recorded.
    pub telemetries: Vec<istio::Telemetry>,
    /// What proxies had when they were asked.
    pub envoy_dumps: Vec<crate::envoy::EnvoyDump>,
    /// Linkerd's objects.
    pub linkerd: Linkerd,
    /// Kubernetes' objects that are neither services nor workloads.
    pub kubernetes: Kubernetes,
    /// What changes the mesh step by step.
    pub delivery: Delivery,
    /// What manifests cannot say.
    pub behaviour: Behaviour,
    /// Calls that were inferred from the manifests, for workloads whose behaviour does not list theirs.
    pub inferred_calls: Vec<InferredCall>,
    /// What exists in the manifests and is not part of the model.
    pub unmodelled: Vec<Unmodelled>,
    /// Addresses that are set aside for the pods of each workload, where there can be more pods in the course of a run than
    /// there are now: a pod keeps its address. Absent: as many as there are pods.
    pub pod_blocks: Vec<u32>,
}

/// One of a mesh's services.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ServiceId(pub u32);

/// One of a mesh's workloads.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct WorkloadId(pub u32);

impl ServiceId {
    /// The index into [`Mesh::services`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

impl WorkloadId {
    /// The index into [`Mesh::workloads`].
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Labels or annotations.
pub type Labels = BTreeMap<String, String>;

/// The name of an object and where it stands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Meta {
    /// Kind, namespace and name.
    pub resource: ResourceRef,
    /// Of the object itself.
    pub labels: Labels,
    /// Of the object itself.
    pub annotations: Labels,
    /// When it was made, as Kubernetes writes it (RFC 3339), where the manifest says so.
    pub created: Option<String>,
    /// Its first line.
    pub at: Location,
}

impl Meta {
    /// The namespace.
    pub fn namespace(&self) -> &str {
        &self.resource.namespace
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.resource.name
    }
}

/// A namespace.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Namespace {
    /// Its labels, those for injection among them.
    pub labels: Labels,
    /// Its annotations.
    pub annotations: Labels,
    /// Where it stands; `None`: it is only mentioned.
    pub at: Option<Location>,
}

/// A host that can be called.
#[derive(Clone, Debug, PartialEq)]
pub struct Service {
    /// The object that defines it; `kind` is `Service` or `ServiceEntry`.
    pub meta: Meta,
    /// The full host name, such as `reviews.default.svc.cluster.local`.
    pub host: String,
    /// Whether it is outside the mesh (`location: MESH_EXTERNAL`).
    pub external: bool,
    /// How the host's endpoints are found.
    pub resolution: Resolution,
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// Pods with all these labels serve it; empty: none are known.
    pub selector: Labels,
    /// Namespaces that see it; empty: all.
    pub export_to: Vec<String>,
    /// How its endpoints are chosen beside readiness.
    pub options: kubernetes::ServiceOptions,
    /// What Linkerd's annotations say, its namespace's where it says nothing.
    pub linkerd: linkerd::ProxyOptions,
}

impl Service {
    /// `namespace/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.meta.namespace(), self.meta.name())
    }

    /// The port of that number.
    pub fn port(&self, number: u16) -> Option<&ServicePort> {
        self.ports.iter().find(|port| port.number.value == number)
    }
}

/// How a host's endpoints are found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Resolution {
    /// The balancer chooses among the endpoints.
    #[default]
    Balanced,
    /// The address that was dialled is used (headless services, `resolution: NONE`).
    Passthrough,
    /// By name, at call time.
    Dns,
}

/// A port of a service.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// Its name; empty where it has none.
    pub name: String,
    /// The number that clients dial.
    pub number: Located<u16>,
    /// The port of the pods.
    pub target: TargetPort,
    /// What is spoken (`PR-1`).
    pub protocol: Protocol,
}

/// The port of the pods behind a service's port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TargetPort {
    /// That number.
    Number(u16),
    /// The container port of that name.
    Name(String),
}

/// What is spoken on a port (`PR-1`).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Protocol {
    /// HTTP/1.1.
    Http,
    /// HTTP/2.
    Http2,
    /// gRPC over HTTP/2.
    Grpc,
    /// gRPC-Web.
    GrpcWeb,
    /// TLS that is passed through.
    Tls,
    /// HTTPS that is passed through.
    Https,
    /// Bytes.
    Tcp,
    /// Found out at run time.
    Auto,
    /// Not part of the mesh.
    Udp,
}

impl Protocol {
    /// Whether routes, retries and timeouts of HTTP apply; a detected protocol counts as HTTP.
    pub const fn is_http(self) -> bool {
        matches!(self, Self::Http | Self::Http2 | Self::Grpc | Self::GrpcWeb | Self::Auto)
    }

    /// Whether requests are declared to be gRPC.
    pub const fn is_grpc(self) -> bool {
        matches!(self, Self::Grpc | Self::GrpcWeb)
    }
}

/// Something that runs: the pods of one template.
#[derive(Clone, Debug, PartialEq)]
pub struct Workload {
    /// The object that defines it, such as a Deployment.
    pub meta: Meta,
    /// Labels of its pods.
    pub labels: Labels,
    /// Annotations of its pods.
    pub annotations: Labels,
    /// The name of its ServiceAccount; `default` where none is given.
    pub service_account: Located<String>,
    /// How many pods.
    pub replicas: Located<u32>,
    /// Ports that its containers declare.
    pub ports: Vec<ContainerPort>,
    /// Environment variables of its containers with a plain value.
    pub env: Vec<(String, Located<String>)>,
    /// What carries its requests, and the place that decides it.
    pub proxy: ProxyMode,
    /// Where the proxy mode is decided: a label, an annotation, the namespace.
    pub proxy_at: Location,
    /// The version of Istio that gives its proxy a configuration, where the name of the control plane's revision tells
    /// it (`istio.io/rev: 1-23-4`); absent: that of the mesh.
    pub istio_version: Option<IstioVersion>,
    /// Whether the pods share the node's network.
    pub host_network: bool,
    /// Probes, hooks, and how pods are replaced.
    pub life: kubernetes::PodLife,
    /// What Linkerd's annotations say, its namespace's where it says nothing.
    pub linkerd: linkerd::ProxyOptions,
    /// What is said of endpoints that are no pods.
    pub endpoint: EndpointOptions,
}

/// What endpoints that are no pods say of themselves beside their ports (`WE-1`).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointOptions {
    /// Its share among the endpoints; absent: 1.
    pub weight: Option<Located<u32>>,
    /// `region/zone/subzone`; absent: where the placement puts it.
    pub locality: Option<Located<String>>,
    /// Its network.
    pub network: Option<Located<String>>,
}

impl Workload {
    /// `namespace/name`.
    pub fn full_name(&self) -> String {
        format!("{}/{}", self.meta.namespace(), self.meta.name())
    }
}

/// A port that a container declares.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerPort {
    /// Its name; empty where it has none.
    pub name: String,
    /// Its number.
    pub number: u16,
}

/// What carries a workload's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ProxyMode {
    /// An injected sidecar.
    Sidecar,
    /// The workload is itself a gateway's proxy.
    Gateway,
    /// No proxy.
    None,
    /// The node's ztunnel.
    Ambient,
    /// An injected proxy of Linkerd.
    Linkerd,
}

/// A call that the manifests suggest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InferredCall {
    /// Who calls.
    pub from: WorkloadId,
    /// What is called.
    pub to: ServiceId,
    /// On which port.
    pub port: u16,
    /// What suggests it, such as an environment variable.
    pub because: String,
    /// Where that stands.
    pub at: Location,
}

/// Something that exists in the manifests and is not part of the model.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unmodelled {
    /// The object.
    pub resource: ResourceRef,
    /// The field, or the object's first line.
    pub at: Location,
    /// What is not modelled, and what that means for verdicts.
    pub reason: String,
    /// Whether a verdict may be another one because of it.
    pub matters: bool,
}

impl Mesh {
    /// The service of that id.
    ///
    /// # Panics
    /// If the id is of another mesh.
    pub fn service(&self, id: ServiceId) -> &Service {
        &self.services[id.index()]
    }

    /// The workload of that id.
    ///
    /// # Panics
    /// If the id is of another mesh.
    pub fn workload(&self, id: WorkloadId) -> &Workload {
        &self.workloads[id.index()]
    }

    /// Every service with its id.
    pub fn service_ids(&self) -> impl Iterator<Item = ServiceId> + use<> {
        (0..u32::try_from(self.services.len()).unwrap_or(u32::MAX)).map(ServiceId)
    }

    /// Every workload with its id.
    pub fn workload_ids(&self) -> impl Iterator<Item = WorkloadId> + use<> {
        (0..u32::try_from(self.workloads.len()).unwrap_or(u32::MAX)).map(WorkloadId)
    }

    /// The service `namespace/name`.
    pub fn find_service(&self, namespace: &str, name: &str) -> Option<ServiceId> {
        self.service_ids().find(|id| {
            let meta = &self.service(*id).meta;
            meta.namespace() == namespace && meta.name() == name
        })
    }

    /// The workload `namespace/name`.
    pub fn find_workload(&self, namespace: &str, name: &str) -> Option<WorkloadId> {
        self.workload_ids().find(|id| {
            let meta = &self.workload(*id).meta;
            meta.namespace() == namespace && meta.name() == name
        })
    }

    /// The service whose full host name that is.
    pub fn find_host(&self, host: &str) -> Option<ServiceId> {
        self.service_ids().find(|id| self.service(*id).host == host)
    }

    /// The workloads whose pods serve a service (`K-1`).
    pub fn workloads_of(&self, service: ServiceId) -> impl Iterator<Item = WorkloadId> {
        let service = self.service(service);
        self.workload_ids().filter(move |id| {
            let workload = self.workload(*id);
            !service.selector.is_empty()
                && workload.meta.namespace() == service.meta.namespace()
                && is_subset(&service.selector, &workload.labels)
        })
    }
}

/// Whether all of `selector` is among `labels`.
pub fn is_subset(selector: &Labels, labels: &Labels) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}
