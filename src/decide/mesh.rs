//! The mesh that questions are put to: the manifests' own, with what stands in for pods that they leave out.

use std::collections::BTreeSet;

use super::Question;
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
    /// The first workload of which questions speak and the manifests do not.
    pub first_asked: WorkloadId,
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
        let first_asked = id(&prepared.workloads);
        Self { mesh: prepared, outside, first_stand_in, first_asked }
    }

    /// The same, with workloads and gateways that questions name, of namespaces of which the manifests describe nothing
    /// that runs: files that hold nothing but policies are asked about as well.
    pub fn with_questions<'q>(mesh: &Mesh, questions: impl IntoIterator<Item = &'q Question>) -> Self {
        let mut prepared = Self::new(mesh);
        let (mut workloads, mut gateways) = (BTreeSet::new(), BTreeSet::new());
        for question in questions {
            workloads.extend(question.from.workload.as_deref().into_iter().chain(question.to.workload.as_deref()));
            gateways.extend(question.from.gateway.as_deref());
        }
        let missing = |found: Option<WorkloadId>, name: &&str| {
            found.is_none() && name.split_once('/').is_some_and(|(namespace, _)| is_bare(mesh, namespace))
        };
        let mut asked: Vec<Workload> = Vec::new();
        for name in workloads.into_iter().filter(|name| missing(prepared.workload(name), name)) {
            asked.push(asked_for(mesh, name, false));
        }
        for name in gateways.into_iter().filter(|name| missing(prepared.gateway(name), name)) {
            asked.push(asked_for(mesh, name, true));
        }
        prepared.mesh.workloads.extend(asked);
        prepared
    }

    /// Whether only questions speak of a workload.
    pub fn is_asked_for(&self, workload: WorkloadId) -> bool {
        workload >= self.first_asked
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

/// Whether a namespace has policies or is defined, and nothing that runs is described: there, or anywhere.
fn is_bare(mesh: &Mesh, namespace: &str) -> bool {
    let runs = |meta: &Meta| meta.namespace() == namespace;
    let nothing = mesh.workloads.is_empty() && mesh.services.is_empty();
    let used = mesh.namespaces.get(namespace).is_some_and(|known| known.at.is_some())
        || mesh.authorization_policies.iter().any(|policy| policy.meta.namespace() == namespace)
        || mesh.peer_authentications.iter().any(|policy| policy.meta.namespace() == namespace);
    let described = mesh.workloads.iter().map(|workload| &workload.meta);
    let described = described.chain(mesh.services.iter().map(|service| &service.meta)).any(runs);
    nothing || (used && !described)
}

/// A workload of which nothing is known but its name: it has the labels that pods of that name have as a rule.
fn asked_for(mesh: &Mesh, name: &str, gateway: bool) -> Workload {
    const BY_NAME: [&str; 3] = ["app", "app.kubernetes.io/name", "k8s-app"];
    let (namespace, bare) = name.split_once('/').unwrap_or_default();
    let mut labels: Labels = BY_NAME.map(|key| (key.to_owned(), bare.to_owned())).into();
    let installed = bare.strip_prefix("istio-");
    labels.extend(installed.map(|short| ("istio".to_owned(), short.to_owned())));
    let proxy = if gateway { ProxyMode::Gateway } else { proxy_of(mesh, namespace) };
    let mut workload = workload(namespace, bare, labels, proxy, nowhere());
    if gateway {
        workload.service_account.value =
            if installed.is_some() { format!("{bare}-service-account") } else { bare.to_owned() };
    }
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
        istio_version: None,
        host_network: false,
        life: meshproof_model::kubernetes::PodLife::default(),
        linkerd: meshproof_model::linkerd::ProxyOptions::default(),
        endpoint: meshproof_model::EndpointOptions::default(),
    }
}
