//! Istio: networking.v1.ServiceEntry.

use meshproof_model::{
    Resolution, Service, ServicePort, TargetPort, kubernetes::ServiceOptions, linkerd::ProxyOptions,
};

use crate::{cx::Cx, field::Field, kubernetes::protocol, object::Object};

/// Reads one: a service for each of its hosts (`SE-1`).
pub(crate) fn read(object: &Object<'_>, cx: &mut Cx) -> Vec<Service> {
    const RESOLUTIONS: &[(&str, Resolution)] = &[
        ("NONE", Resolution::Passthrough),
        ("STATIC", Resolution::Balanced),
        ("DNS", Resolution::Dns),
        ("DNS_ROUND_ROBIN", Resolution::Dns),
        ("DYNAMIC_DNS", Resolution::Dns),
    ];
    let Some(spec) = object.get("spec") else { return Vec::new() };
    let resolution = Cx::word(&spec, "resolution", RESOLUTIONS).map_or(Resolution::Passthrough, |r| r.value);
    let external = Cx::word(&spec, "location", &[("MESH_INTERNAL", false), ("MESH_EXTERNAL", true)]);
    let external = external.is_none_or(|external| external.value);
    let selector = spec.get("workloadSelector").map(|selector| selector.labels_at("labels")).unwrap_or_default();
    let ports: Vec<ServicePort> = spec.list("ports").filter_map(|entry| port(&entry, cx)).collect();
    let export_to: Vec<String> = spec.texts("exportTo").into_iter().map(|namespace| namespace.value).collect();
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
    spec.texts("hosts").into_iter().map(|host| service(host.value)).collect()
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
