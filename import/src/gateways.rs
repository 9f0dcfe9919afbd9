//! Which workloads are gateways, and what stands in for those that the manifests leave out (`GW-1`).

use std::collections::BTreeMap;

use meshproof_model::{Labels, Mesh, ProxyMode, Service, ServicePort, TargetPort, Unmodelled, Workload, istio};

use crate::{
    kubernetes::{protocol, workload::selects},
    stand_in::StandIn,
};

/// Pods that a Gateway selects are proxies themselves where their labels or containers say so: an `istio` label is what
/// Istio's own gateways are told apart by.
pub(crate) fn promote(mesh: &mut Mesh) {
    let Mesh { gateways, workloads, .. } = mesh;
    for workload in workloads.iter_mut().filter(|w| w.labels.contains_key("istio")) {
        if workload.proxy != ProxyMode::Gateway
            && let Some(gateway) = gateways.iter().find(|gateway| selects(&gateway.selector, &workload.labels))
        {
            workload.proxy = ProxyMode::Gateway;
            workload.proxy_at = gateway.meta.at.clone();
        }
    }
}

/// Adds a workload and a service for every selector of a Gateway that no pod of the manifests has.
pub(crate) fn stand_in(mesh: &mut Mesh, cluster_domain: &str) {
    let mut missing: BTreeMap<Labels, Vec<&istio::Gateway>> = BTreeMap::new();
    for gateway in &mesh.gateways {
        let served =
            |w: &Workload| meshproof_model::is_subset(&gateway.selector, &w.labels) && w.proxy == ProxyMode::Gateway;
        if !mesh.workloads.iter().any(served) {
            missing.entry(gateway.selector.clone()).or_default().push(gateway);
        }
    }
    let mut added = Vec::new();
    for (selector, gateways) in missing {
        added.push(stand_in_for(&selector, &gateways, mesh, cluster_domain));
    }
    for (workload, service, note) in added {
        mesh.workloads.push(workload);
        mesh.services.extend(service);
        mesh.unmodelled.push(note);
    }
}

fn stand_in_for(
    selector: &Labels,
    gateways: &[&istio::Gateway],
    mesh: &Mesh,
    cluster_domain: &str,
) -> (Workload, Option<Service>, Unmodelled) {
    // `istio: ingressgateway` selects the gateway that Istio's installation brings, under these names.
    let installed = selector.get("istio").filter(|name| matches!(name.as_str(), "ingressgateway" | "egressgateway"));
    let first = &gateways[0].meta;
    let (namespace, name) = if let Some(name) = installed {
        (mesh.settings.root_namespace.value.clone(), format!("istio-{name}"))
    } else {
        let name = ["istio", "app"].iter().find_map(|key| selector.get(*key)).map_or(first.name(), String::as_str);
        (first.namespace().to_owned(), name.to_owned())
    };
    let account = if installed.is_some() { format!("{name}-service-account") } else { name.clone() };
    let at = first.at.clone();
    let (workload, service) = StandIn {
        host: format!("{name}.{namespace}.svc.{cluster_domain}"),
        ports: server_ports(gateways),
        labels: selector.clone(),
        selector: selector.clone(),
        at: at.clone(),
        namespace: namespace.clone(),
        name: name.clone(),
        account,
    }
    .make();
    let service = mesh.find_service(&namespace, &name).is_none().then_some(service);
    let labels: Vec<String> = selector.iter().map(|(key, value)| format!("{key}={value}")).collect();
    let reason = format!(
        "no pod of the manifests has the labels that it selects ({}); one replica of `{namespace}/{name}` stands in \
         for them",
        labels.join(", "),
    );
    (workload, service, Unmodelled { resource: first.resource.clone(), at, reason, matters: true })
}

/// One port for each number that the servers listen to.
fn server_ports(gateways: &[&istio::Gateway]) -> Vec<ServicePort> {
    let mut ports: BTreeMap<u16, ServicePort> = BTreeMap::new();
    for server in gateways.iter().flat_map(|gateway| &gateway.servers) {
        ports.entry(server.port.value).or_insert_with(|| ServicePort {
            name: server.port_name.clone(),
            number: server.port.clone(),
            target: TargetPort::Number(server.port.value),
            protocol: protocol::named(&server.protocol.value.to_lowercase()).unwrap_or(meshproof_model::Protocol::Tcp),
        });
    }
    ports.into_values().collect()
}
