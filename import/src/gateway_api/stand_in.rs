//! The proxies of Gateways of Gateway API: Istio makes them itself, so manifests seldom hold them.

use std::collections::BTreeMap;

use meshproof_model::{
    GATEWAY_NAME, Labels, Mesh, ProxyMode, ServicePort, TargetPort, Unmodelled, complete_host,
    gateway_api::{Address, Gateway},
};

use crate::{kubernetes::protocol, stand_in::StandIn};

/// Pods with a Gateway's name in their label, or behind the Service that a Gateway names as its address, are its
/// proxies.
pub(crate) fn promote(mesh: &mut Mesh) {
    let mut proxies = Vec::new();
    for gateway in &mesh.gateway_api.gateways {
        let host = address(gateway, mesh.domain());
        let service = host.and_then(|host| mesh.find_host(&host));
        let behind = service.into_iter().flat_map(|service| mesh.workloads_of(service));
        proxies.extend(behind.map(|id| (id, gateway.meta.at.clone())));
    }
    for (id, at) in proxies {
        if let Some(workload) = mesh.workloads.get_mut(id.index()).filter(|w| w.proxy != ProxyMode::Gateway) {
            workload.proxy = ProxyMode::Gateway;
            workload.proxy_at = at;
        }
    }
    for workload in mesh.workloads.iter_mut().filter(|w| w.labels.contains_key(GATEWAY_NAME)) {
        workload.proxy = ProxyMode::Gateway;
    }
}

/// Adds a workload and a service for every Gateway that no pod of the manifests serves.
pub(crate) fn add(mesh: &mut Mesh) {
    let served = |gateway: &Gateway| mesh.workload_ids().any(|id| mesh.serves(gateway, id));
    let missing: Vec<Gateway> = mesh.gateway_api.gateways.iter().filter(|gateway| !served(gateway)).cloned().collect();
    for gateway in missing {
        if is_waypoint(mesh, &gateway) {
            let reason = "a waypoint stands beside each of its clients: its limits count for every client by itself, \
                          and a simulation does not ask its access rules"
                .to_owned();
            mesh.unmodelled.push(note(&gateway, reason, true));
            continue;
        }
        add_for(&gateway, mesh);
    }
}

/// Whether a Gateway is a proxy in front of services, not an entry: by its class.
fn is_waypoint(mesh: &Mesh, gateway: &Gateway) -> bool {
    let class = gateway.class.value.as_str();
    let classes = &mesh.gateway_api.classes;
    let controller =
        classes.iter().find(|known| known.meta.name() == class).and_then(|known| known.controller.as_ref());
    controller.map_or(class == "istio-waypoint", |controller| controller.value == "istio.io/mesh-controller")
}

fn add_for(gateway: &Gateway, mesh: &mut Mesh) {
    let class = gateway.class.value.as_str();
    let host = address(gateway, mesh.domain());
    let addressed = host.as_deref().and_then(|host| host.split_once('.'));
    // Istio deploys it beside the Gateway under this name; an address says that somebody else deploys it.
    let deployed = gateway.meta.annotations.get("gateway.istio.io/name-override").cloned();
    let (name, namespace) = addressed.map_or_else(
        || {
            let name = deployed.unwrap_or_else(|| format!("{}-{class}", gateway.meta.name()));
            (name, gateway.meta.namespace().to_owned())
        },
        |(name, rest)| (name.to_owned(), rest.split('.').next().unwrap_or(rest).to_owned()),
    );
    let account = gateway.meta.annotations.get("gateway.istio.io/service-account").unwrap_or(&name).clone();
    let selector = Labels::from([(GATEWAY_NAME.to_owned(), gateway.meta.name().to_owned())]);
    let mut labels = gateway.infrastructure_labels.clone();
    labels.extend(selector.clone());
    let (workload, service) = StandIn {
        host: host.clone().unwrap_or_else(|| format!("{name}.{namespace}.svc.{}", mesh.domain())),
        ports: ports(gateway, mesh),
        labels,
        selector,
        at: gateway.meta.at.clone(),
        namespace: namespace.clone(),
        name: name.clone(),
        account,
    }
    .make();
    let is_known = mesh.find_host(&service.host).is_some();
    let is_istio = class.starts_with("istio");
    let mut reason =
        format!("no pod of the manifests serves it; one replica of `{namespace}/{name}` stands in for them");
    if !is_istio {
        reason += ", and does what Istio's would do";
    }
    mesh.unmodelled.push(note(gateway, reason, !is_istio || addressed.is_some()));
    mesh.workloads.push(workload);
    if !is_known {
        mesh.services.push(service);
    }
}

fn note(gateway: &Gateway, reason: String, matters: bool) -> Unmodelled {
    Unmodelled { resource: gateway.meta.resource.clone(), at: gateway.meta.at.clone(), reason, matters }
}

/// The full name of the Service that a Gateway names as its address.
fn address(gateway: &Gateway, domain: &str) -> Option<String> {
    gateway.addresses.iter().find_map(|address| match &address.value {
        Address::Hostname(host) => Some(complete_host(host, gateway.meta.namespace(), domain)),
        _ => None,
    })
}

/// One port for each number that it listens to.
fn ports(gateway: &Gateway, mesh: &Mesh) -> Vec<ServicePort> {
    let mut ports: BTreeMap<u16, ServicePort> = BTreeMap::new();
    for entry in mesh.listeners(gateway) {
        let listener = entry.listener;
        let spoken = protocol::named(&listener.protocol.value.to_lowercase());
        ports.entry(listener.port.value).or_insert_with(|| ServicePort {
            name: listener.name.value.clone(),
            number: listener.port.clone(),
            target: TargetPort::Number(listener.port.value),
            protocol: spoken.unwrap_or(meshproof_model::Protocol::Tcp),
        });
    }
    ports.into_values().collect()
}
