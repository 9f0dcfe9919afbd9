//! The mesh that questions are put to: the manifests' own, with what stands in for pods that they leave out.

use meshproof_model::{
    Behaviour, ContainerPort, Labels, Located, Location, Mesh, Meta, ProxyMode, ResourceRef, Service, Sources,
    TargetPort, Workload, WorkloadId, istio,
};

/// A mesh in which every service has pods, and in which there is a client outside of the mesh.
#[derive(Debug)]
pub struct Prepared {
    /// The mesh; workloads of the manifests keep their numbers.
    pub mesh: Mesh,
    /// A client without a proxy and without a namespace.
    pub outside: WorkloadId,
    /// The first workload that stands in for pods that the manifests do not describe.
    pub first_stand_in: WorkloadId,
}

impl Prepared {
    /// Prepares a mesh. Pods behind a service have at least the labels of its selector.
    pub fn new(mesh: &Mesh) -> Self {
        let mut prepared = mesh.clone();
        let id = |workloads: &[Workload]| WorkloadId(u32::try_from(workloads.len()).unwrap_or(u32::MAX));
        // Where pods run does not matter here, nor how many of them do.
        prepared.behaviour = Behaviour::default();
        let outside = id(&prepared.workloads);
        prepared.workloads.push(workload("", "", Labels::new(), ProxyMode::None, nowhere()));
        let first_stand_in = id(&prepared.workloads);
        for service in mesh.service_ids() {
            let served = mesh.workloads_of(service).next().is_some();
            let service = mesh.service(service);
            if !served && !service.selector.is_empty() {
                prepared.workloads.push(stand_in(mesh, service));
            }
        }
        Self { mesh: prepared, outside, first_stand_in }
    }

    /// Whether a workload is not one of the manifests.
    pub fn is_stand_in(&self, workload: WorkloadId) -> bool {
        workload >= self.first_stand_in
    }

    /// A gateway's workload, by the gateway's own name or the workload's.
    pub fn gateway(&self, name: &str) -> Option<WorkloadId> {
        let (namespace, bare) = name.split_once('/')?;
        let is_named = |gateway: &&istio::Gateway| gateway.meta.namespace() == namespace && gateway.meta.name() == bare;
        if let Some(gateway) = self.mesh.gateways.iter().find(is_named) {
            return self.mesh.workload_ids().find(|id| self.mesh.selects(gateway, *id));
        }
        let mut of_api = self.mesh.gateway_api.gateways.iter();
        if let Some(gateway) =
            of_api.find(|gateway| gateway.meta.namespace() == namespace && gateway.meta.name() == bare)
        {
            return self.mesh.workload_ids().find(|id| self.mesh.serves(gateway, *id));
        }
        self.mesh.find_workload(namespace, bare).filter(|id| self.mesh.workload(*id).proxy == ProxyMode::Gateway)
    }

    /// A workload by its name; a service's name means its pods.
    pub fn workload(&self, name: &str) -> Option<WorkloadId> {
        let (namespace, bare) = name.split_once('/')?;
        self.mesh.find_workload(namespace, bare).or_else(|| {
            let service = self.mesh.find_service(namespace, bare)?;
            self.mesh.workloads_of(service).next()
        })
    }
}

fn stand_in(mesh: &Mesh, service: &Service) -> Workload {
    let (namespace, name) = (service.meta.namespace(), service.meta.name());
    let at = service.meta.at.clone();
    let mut workload = workload(namespace, name, service.selector.clone(), proxy_of(mesh, namespace), at);
    // A port that only has a name gets the number that clients dial.
    workload.ports.extend(service.ports.iter().filter_map(|port| match &port.target {
        TargetPort::Name(name) => Some(ContainerPort { name: name.clone(), number: port.number.value }),
        TargetPort::Number(_) => None,
    }));
    workload
}

fn nowhere() -> Location {
    let file = Sources::default().add("", "");
    Location { file, line: 0, column: 0, offset: 0, length: 0, path: "".into() }
}

/// What pods of a namespace get (`IJ-1`); of one that is not defined, a sidecar.
fn proxy_of(mesh: &Mesh, namespace: &str) -> ProxyMode {
    let Some(defined) = mesh.namespaces.get(namespace).filter(|namespace| namespace.at.is_some()) else {
        return ProxyMode::Sidecar;
    };
    let label = |key: &str| defined.labels.get(key).map(String::as_str);
    match (label("istio-injection"), label("istio.io/rev"), label("istio.io/dataplane-mode")) {
        (Some("enabled"), _, _) | (None, Some(_), _) => ProxyMode::Sidecar,
        (None, None, Some("ambient")) => ProxyMode::Ambient,
        _ => ProxyMode::None,
    }
}

fn workload(namespace: &str, name: &str, labels: Labels, proxy: ProxyMode, at: Location) -> Workload {
    let resource = ResourceRef { kind: "Workload".to_owned(), namespace: namespace.to_owned(), name: name.to_owned() };
    let meta = Meta { resource, labels: Labels::new(), annotations: Labels::new(), created: None, at: at.clone() };
    Workload {
        meta,
        labels,
        annotations: Labels::new(),
        service_account: Located::new("default".to_owned(), at.clone()),
        replicas: Located::new(1, at.clone()),
        ports: Vec::new(),
        env: Vec::new(),
        proxy,
        proxy_at: at,
        host_network: false,
        life: meshproof_model::kubernetes::PodLife::default(),
        linkerd: meshproof_model::linkerd::ProxyOptions::default(),
    }
}
