//! What Flagger makes of a Canary in a mesh of Istio before a new version comes: a primary beside the target, services
//! for both, and the routes (`FL-1`).

use meshproof_model::{
    Labels, Located, Mesh, Meta, Resolution, ResourceRef, Service, ServicePort, TargetPort, Unmodelled, WorkloadId,
    delivery::Canary,
    istio::{Destination, DestinationRule, Headers, HttpRoute, VirtualService},
    kubernetes::ServiceOptions,
    linkerd::ProxyOptions,
};

use crate::kubernetes::protocol;

/// Labels by which Flagger tells the target's pods from the primary's; the first that they have.
const SELECTORS: [&str; 3] = ["app", "name", "app.kubernetes.io/name"];

/// Adds what Flagger would make, for canaries whose target the manifests hold.
pub(crate) fn add(mesh: &mut Mesh, has_istio: bool) {
    for canary in mesh.delivery.canaries.clone() {
        let is_istio = canary.provider.as_ref().map_or(has_istio, |provider| provider.value == "istio");
        let (kind, name) = &canary.target.value;
        let target = mesh.workload_ids().find(|id| {
            let meta = &mesh.workload(*id).meta;
            meta.resource.kind == *kind && meta.name() == name && meta.namespace() == canary.meta.namespace()
        });
        if let Some(target) = target.filter(|_| is_istio) {
            of_canary(mesh, &canary, target);
        }
    }
}

fn of_canary(mesh: &mut Mesh, canary: &Canary, target: WorkloadId) {
    let name = canary.target.value.1.clone();
    let apex = canary.service.name.as_ref().map_or(name.clone(), |name| name.value.clone());
    let labels = &mesh.workload(target).labels;
    let Some(key) = SELECTORS.iter().find(|key| labels.contains_key(**key)) else { return };
    let own = labels[*key].clone();
    let selects = |value: &str| Labels::from([((*key).to_owned(), value.to_owned())]);
    let primary_value = format!("{own}-primary");
    primary(mesh, canary, target, &name, (key, &primary_value));
    let (canary_name, primary_name) = (format!("{apex}-canary"), format!("{apex}-primary"));
    for (service, value) in [(&apex, &primary_value), (&primary_name, &primary_value), (&canary_name, &own)] {
        add_service(mesh, canary, service, selects(value));
    }
    let is_known =
        |known: &VirtualService| known.meta.name() == apex && known.meta.namespace() == canary.meta.namespace();
    // Routes that stand in the manifests are those that Flagger made.
    if !mesh.virtual_services.iter().any(is_known) {
        mesh.virtual_services.push(routes(canary, &apex));
    }
    for host in [&primary_name, &canary_name] {
        if let Some(policy) = &canary.service.traffic_policy {
            mesh.destination_rules.push(DestinationRule {
                meta: meta(canary, "DestinationRule", host),
                host: Located::new(host.clone(), canary.target.at.clone()),
                traffic_policy: Some(policy.clone()),
                subsets: Vec::new(),
                export_to: Vec::new(),
                workload_selector: Labels::new(),
            });
        }
    }
    let reason = format!(
        "Flagger makes `{name}-primary`, the services and the routes of `{apex}` from it: they are taken as they are \
         before a new version comes, with all requests for the primary"
    );
    let resource = canary.meta.resource.clone();
    mesh.unmodelled.push(Unmodelled { resource, at: canary.meta.at.clone(), reason, matters: true });
}

/// The primary runs what the target describes, and the target nothing.
fn primary(mesh: &mut Mesh, canary: &Canary, target: WorkloadId, name: &str, (key, value): (&str, &str)) {
    let name = format!("{name}-primary");
    if mesh.find_workload(canary.meta.namespace(), &name).is_some() {
        return;
    }
    let mut primary = mesh.workload(target).clone();
    primary.meta.resource.name = name;
    primary.labels.insert(key.to_owned(), value.to_owned());
    if let Some(target) = mesh.workloads.get_mut(target.index()) {
        target.replicas = Located::new(0, canary.target.at.clone());
    }
    mesh.workloads.push(primary);
}

/// A service; one of that name in the manifests gets Flagger's selector.
fn add_service(mesh: &mut Mesh, canary: &Canary, name: &str, selector: Labels) {
    if let Some(known) = mesh.find_service(canary.meta.namespace(), name) {
        if let Some(service) = mesh.services.get_mut(known.index()) {
            service.selector = selector;
        }
        return;
    }
    let Some(number) = canary.service.port.clone() else { return };
    let port_name = canary.service.port_name.clone().unwrap_or_else(|| "http".to_owned());
    let service = Service {
        meta: meta(canary, "Service", name),
        host: format!("{name}.{}.svc.{}", canary.meta.namespace(), mesh.domain()),
        external: false,
        resolution: Resolution::Balanced,
        ports: vec![ServicePort {
            protocol: protocol::select("TCP", canary.service.app_protocol.as_deref(), &port_name, number.value),
            name: port_name,
            target: canary.service.target_port.clone().unwrap_or(TargetPort::Number(number.value)),
            number,
        }],
        selector,
        export_to: Vec::new(),
        options: ServiceOptions::default(),
        linkerd: ProxyOptions::default(),
    };
    mesh.services.push(service);
}

/// The routes: all requests go to the primary, none to the canary.
fn routes(canary: &Canary, apex: &str) -> VirtualService {
    let at = &canary.target.at;
    let written = &canary.service;
    let mut hosts = written.hosts.clone();
    if !hosts.iter().any(|host| host.value == apex || host.value == "*") {
        hosts.push(Located::new(apex.to_owned(), at.clone()));
    }
    let destination = |suffix: &str, weight: u32| Destination {
        at: at.clone(),
        host: Located::new(format!("{apex}-{suffix}"), at.clone()),
        subset: None,
        port: written.port.clone(),
        weight: Some(Located::new(weight, at.clone())),
        headers: Headers::default(),
    };
    let rule = written.rule.clone().map(|rule| HttpRoute {
        route: vec![destination("primary", 100), destination("canary", 0)],
        redirect: None,
        direct_response: None,
        delegate: None,
        ..rule
    });
    VirtualService {
        meta: meta(canary, "VirtualService", apex),
        hosts,
        gateways: written.gateways.clone(),
        export_to: Vec::new(),
        http: rule.into_iter().collect(),
        tls: Vec::new(),
        tcp: Vec::new(),
    }
}

fn meta(canary: &Canary, kind: &str, name: &str) -> Meta {
    let namespace = canary.meta.namespace().to_owned();
    Meta {
        resource: ResourceRef { kind: kind.to_owned(), namespace, name: name.to_owned() },
        labels: Labels::new(),
        annotations: Labels::new(),
        created: None,
        at: canary.meta.at.clone(),
    }
}
