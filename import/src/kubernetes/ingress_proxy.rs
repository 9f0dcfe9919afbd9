//! The proxies of Ingresses: each class has its own controller, which manifests seldom hold.

use std::collections::BTreeSet;

use meshproof_model::{
    INGRESS_CLASS, Labels, Located, Mesh, Protocol, Service, ServicePort, TargetPort, Unmodelled, Workload,
    gateway_api::Ingress,
};

use crate::stand_in::StandIn;

/// Adds a workload and a service for every class whose controller is not among the manifests.
pub(crate) fn add(mesh: &mut Mesh) {
    let classes: BTreeSet<String> =
        mesh.gateway_api.ingresses.iter().map(|ingress| ingress.class_name().to_owned()).collect();
    for class in classes {
        let served = mesh.workload_ids().any(|id| mesh.serves_ingress(&class, id));
        let of_class = |ingress: &&Ingress| ingress.class_name() == class;
        let Some(first) = mesh.gateway_api.ingresses.iter().find(of_class).filter(|_| !served).cloned() else {
            continue;
        };
        let has_tls = mesh.gateway_api.ingresses.iter().filter(of_class).any(|ingress| !ingress.tls.is_empty());
        let (workload, service) = stand_in(&class, &first, has_tls, mesh);
        let (what, name) = (what(&class), workload.full_name());
        let reason = format!("{what}, and no pod of the manifests is that; one replica of `{name}` stands in for it");
        let (resource, at) = (first.meta.resource.clone(), first.meta.at.clone());
        mesh.unmodelled.push(Unmodelled { resource, at, reason, matters: true });
        if mesh.find_host(&service.host).is_none() {
            mesh.services.push(service);
        }
        mesh.workloads.push(workload);
    }
}

fn what(class: &str) -> String {
    match class {
        "istio" => "Istio's ingress gateway carries out its routes".to_owned(),
        "" => "it names no class, so that the cluster's default controller carries out its routes".to_owned(),
        other => format!("the controller of the class `{other}` carries out its routes, outside of the mesh"),
    }
}

fn stand_in(class: &str, first: &Ingress, has_tls: bool, mesh: &Mesh) -> (Workload, Service) {
    let (namespace, name, account, labels) = if class == "istio" {
        let name = "istio-ingressgateway".to_owned();
        let labels = Labels::from([("istio".to_owned(), "ingressgateway".to_owned())]);
        (mesh.settings.root_namespace.value.clone(), name.clone(), format!("{name}-service-account"), labels)
    } else {
        let name = if class.is_empty() { "ingress".to_owned() } else { format!("ingress-{class}") };
        let labels = Labels::from([(INGRESS_CLASS.to_owned(), class.to_owned())]);
        (name.clone(), name.clone(), name, labels)
    };
    let at = first.meta.at.clone();
    let port = |number: u16, protocol: Protocol| ServicePort {
        name: if number == 443 { "https".to_owned() } else { "http".to_owned() },
        number: Located::new(number, at.clone()),
        target: TargetPort::Number(number),
        protocol,
    };
    let mut ports = vec![port(80, Protocol::Http)];
    ports.extend(has_tls.then(|| port(443, Protocol::Https)));
    StandIn {
        host: format!("{name}.{namespace}.svc.{}", mesh.domain()),
        ports,
        selector: labels.clone(),
        labels,
        at: at.clone(),
        namespace,
        name,
        account,
    }
    .make()
}
