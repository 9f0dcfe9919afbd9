//! Istio: networking.v1.ServiceEntry.

use meshproof_model::{
    Labels, Resolution, Service, ServicePort, TargetPort, Workload, kubernetes::ServiceOptions, linkerd::ProxyOptions,
};

use super::endpoint;
use crate::{cx::Cx, field::Field, kubernetes::protocol, object::Object};

/// The label by which an entry's own endpoints serve it: no label of a manifest has a slash in its value.
const OWN_ENDPOINT: &str = "meshproof/service-entry";

/// Reads one: a service for each of its hosts, and a workload for each of its own endpoints (`SE-1`).
pub(crate) fn read(object: &Object<'_>, cx: &mut Cx) -> (Vec<Service>, Vec<Workload>) {
    const RESOLUTIONS: &[(&str, Resolution)] = &[
        ("NONE", Resolution::Passthrough),
        ("STATIC", Resolution::Balanced),
        ("DNS", Resolution::Dns),
        ("DNS_ROUND_ROBIN", Resolution::Dns),
        ("DYNAMIC_DNS", Resolution::Dns),
    ];
    let Some(spec) = object.get("spec") else { return (Vec::new(), Vec::new()) };
    let resolution = Cx::word(&spec, "resolution", RESOLUTIONS).map_or(Resolution::Passthrough, |r| r.value);
    let external = Cx::word(&spec, "location", &[("MESH_INTERNAL", false), ("MESH_EXTERNAL", true)]);
    let external = external.is_none_or(|external| external.value);
    let mut selector = spec.get("workloadSelector").map(|selector| selector.labels_at("labels")).unwrap_or_default();
    let ports: Vec<ServicePort> = spec.read_list("ports", |entry| port(&entry, cx));
    let export_to: Vec<String> = spec.texts("exportTo").into_iter().map(|namespace| namespace.value).collect();
    // What is outside of the mesh answers behind its name, as it does without endpoints; a selector excludes them.
    let endpoints = if external || !selector.is_empty() { Vec::new() } else { endpoints(object, &spec, cx) };
    if !endpoints.is_empty() {
        selector = own_label(object);
    }
    let service = |host: String| Service {
        meta: object.meta.clone(),
        host,
        external,
        resolution,
        ports: ports.clone(),
        selector: selector.clone(),
        export_to: export_to.clone(),
        options: ServiceOptions::default(),
        linkerd: ProxyOptions::default(),
    };
    (spec.texts("hosts").into_iter().map(|host| service(host.value)).collect(), endpoints)
}

/// Endpoints that stand in the entry itself.
fn endpoints(object: &Object<'_>, spec: &Field<'_>, cx: &mut Cx) -> Vec<Workload> {
    let mut endpoints = Vec::new();
    for (number, entry) in spec.list("endpoints").enumerate() {
        let mut meta = object.meta.clone();
        meta.resource.name = format!("{}[{number}]", meta.resource.name);
        let mut workload = endpoint::read(&entry, meta, cx);
        workload.labels.extend(own_label(object));
        endpoints.push(workload);
    }
    endpoints
}

fn own_label(object: &Object<'_>) -> Labels {
    let name = format!("{}/{}", object.meta.namespace(), object.meta.name());
    Labels::from([(OWN_ENDPOINT.to_owned(), name)])
}

fn port(field: &Field<'_>, cx: &mut Cx) -> Option<ServicePort> {
    let number = cx.port(field, "number")?;
    let target = cx.port(field, "targetPort").map_or(number.value, |target| target.value);
    let written = field.text_at("protocol").unwrap_or_default();
    Some(ServicePort {
        name: field.text_at("name").unwrap_or_default(),
        protocol: protocol::named(&written.to_lowercase()).unwrap_or(meshproof_model::Protocol::Auto),
        target: TargetPort::Number(target),
        number,
    })
}
