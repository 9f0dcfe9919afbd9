//! Every link that can be: each client, or kind of client, to each port of each workload.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_model::{
    Location, Lowering, Mesh, Origin, Protocol, ProxyMode, ServiceId, Sourced, TargetPort, Transport, Workload,
    WorkloadId, istio::MtlsMode,
};

use super::{Facts, speaks_http};

/// A port of a workload, and what it accepts.
pub(crate) struct Server {
    /// Whose.
    pub workload: WorkloadId,
    /// The container's port.
    pub port: u16,
    /// Services and their ports that lead to it.
    pub services: Vec<(ServiceId, u16, Protocol)>,
    /// What it accepts; `None`: it has no proxy, or the port goes round it.
    pub mode: Option<MtlsMode>,
    /// Why.
    pub origin: Origin,
}

/// Clients of one kind towards a [`Server`].
#[derive(Clone, Debug)]
pub(crate) struct Link<'a> {
    /// Who calls.
    pub clients: &'a [WorkloadId],
    /// Over which service.
    pub service: ServiceId,
    /// What decides the outcome.
    pub facts: Facts,
    /// Why the client speaks as it does.
    pub origin: Origin,
}

/// Every port of every workload that is not a gateway: those that a Service leads to, and those that are declared.
pub(crate) fn servers(mesh: &Mesh, lowering: &Lowering<'_>) -> Vec<Server> {
    let mut ports: BTreeMap<(WorkloadId, u16), Vec<(ServiceId, u16, Protocol)>> = BTreeMap::new();
    for service in mesh.service_ids() {
        for workload in lowering.workloads_of(service) {
            for port in mesh.service(service).ports.iter().filter(|port| port.protocol != Protocol::Udp) {
                let Some(number) = container_port(mesh.workload(workload), &port.target) else { continue };
                let leading = ports.entry((workload, number)).or_default();
                leading.push((service, port.number.value, port.protocol));
            }
        }
    }
    for workload in mesh.workload_ids() {
        for port in &mesh.workload(workload).ports {
            ports.entry((workload, port.number)).or_default();
        }
    }
    let serves = |id: WorkloadId| mesh.workload(id).proxy != ProxyMode::Gateway;
    let server = |((workload, port), services)| {
        let (mode, origin) = accepts(mesh, lowering, workload, port);
        Server { workload, port, services, mode, origin }
    };
    ports.into_iter().filter(|((workload, _), _)| serves(*workload)).map(server).collect()
}

fn accepts(mesh: &Mesh, lowering: &Lowering<'_>, id: WorkloadId, port: u16) -> (Option<MtlsMode>, Origin) {
    let workload = mesh.workload(id);
    if workload.proxy == ProxyMode::None || workload.host_network {
        return (None, Origin::Written(workload.proxy_at.clone()));
    }
    if excludes(workload, "traffic.sidecar.istio.io/excludeInboundPorts", port) {
        return (None, Origin::Written(workload.meta.at.clone()));
    }
    let Sourced { value, origin } = lowering.server_mode(id, port);
    (Some(value), origin)
}

/// Whether an annotation takes a port away from the sidecar (`PA-6`).
pub(crate) fn excludes(workload: &Workload, annotation: &str, port: u16) -> bool {
    let listed = workload.annotations.get(annotation).map_or("", String::as_str);
    listed.split(',').any(|number| number.trim().parse() == Ok(port))
}

fn container_port(workload: &Workload, target: &TargetPort) -> Option<u16> {
    match target {
        TargetPort::Number(number) => Some(*number),
        TargetPort::Name(name) => workload.ports.iter().find(|port| port.name == *name).map(|port| port.number),
    }
}

/// Clients that nothing tells apart: the first of them stands for all.
pub(crate) struct ClientKinds {
    kinds: Vec<Vec<WorkloadId>>,
}

impl ClientKinds {
    /// Of a mesh: by namespace, proxy, annotations on ports, and labels where a `DestinationRule` selects by them.
    pub(crate) fn of(mesh: &Mesh) -> Self {
        let by_labels = mesh.destination_rules.iter().any(|rule| !rule.workload_selector.is_empty());
        let mut kinds: BTreeMap<_, Vec<WorkloadId>> = BTreeMap::new();
        for id in mesh.workload_ids() {
            let workload = mesh.workload(id);
            let own: Option<&Location> = (workload.proxy == ProxyMode::None).then_some(&workload.proxy_at);
            let excluded = workload.annotations.get(EXCLUDE_OUTBOUND);
            let labels = by_labels.then_some(&workload.labels);
            kinds.entry((workload.meta.namespace(), workload.proxy, own, excluded, labels)).or_default().push(id);
        }
        Self { kinds: kinds.into_values().collect() }
    }

    /// Every kind of client towards a server; not the server itself.
    pub(crate) fn links<'a>(
        &'a self,
        mesh: &'a Mesh,
        lowering: &'a Lowering<'_>,
        server: &'a Server,
    ) -> impl Iterator<Item = Link<'a>> + 'a {
        server.services.iter().flat_map(move |(service, port, protocol)| {
            let others = |kind: &&Vec<WorkloadId>| kind.as_slice() != [server.workload];
            self.kinds.iter().filter(others).map(move |kind| {
                let (transport, origin) = speaks(mesh, lowering, kind[0], (*service, *port), server.workload);
                let facts = Facts { transport, mode: server.mode, is_http: speaks_http(*protocol) };
                Link { clients: kind, service: *service, facts, origin }
            })
        })
    }
}

const EXCLUDE_OUTBOUND: &str = "traffic.sidecar.istio.io/excludeOutboundPorts";

/// How a client speaks to an endpoint of a service's port, and why.
pub(crate) fn speaks(
    mesh: &Mesh,
    lowering: &Lowering<'_>,
    client: WorkloadId,
    (service, port): (ServiceId, u16),
    endpoint: WorkloadId,
) -> (Transport, Origin) {
    let workload = mesh.workload(client);
    if workload.proxy != ProxyMode::None && excludes(workload, EXCLUDE_OUTBOUND, port) {
        return (Transport::Plaintext, Origin::Written(workload.meta.at.clone()));
    }
    let Sourced { value, origin } = lowering.client_transport(Some(client), service, port, endpoint);
    (value, origin)
}

/// Who is known to call whom: as workloads, over services.
pub(crate) fn known_calls(mesh: &Mesh) -> BTreeSet<(WorkloadId, ServiceId)> {
    let calls = mesh.calls();
    let known = calls.calls.iter().filter_map(|call| {
        let from = match call.from {
            meshproof_model::Caller::Workload(id) => Some(id),
            meshproof_model::Caller::Client(client) => mesh.client_workload(client),
        };
        Some((from?, call.to))
    });
    known.collect()
}
