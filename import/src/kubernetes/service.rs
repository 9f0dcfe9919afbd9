//! Kubernetes: v1.Service.

use meshproof_model::{Resolution, Service, ServicePort, TargetPort};

use super::protocol;
use crate::{cx::Cx, field::Field, linkerd::annotations, object::Object, yaml::Plain};

/// Reads one.
pub(crate) fn read(object: &Object<'_>, cluster_domain: &str, cx: &mut Cx) -> Option<Service> {
    let spec = object.get("spec")?;
    let headless = spec.text_at("clusterIP").is_some_and(|ip| ip == "None");
    let host = format!("{}.{}.svc.{cluster_domain}", object.meta.name(), object.meta.namespace());
    Some(Service {
        host,
        external: false,
        resolution: if headless { Resolution::Passthrough } else { Resolution::Balanced },
        ports: spec.list("ports").filter_map(|entry| port(&entry, cx)).collect(),
        selector: spec.labels_at("selector"),
        export_to: exported(object),
        linkerd: annotations::options(object.get("metadata").as_ref(), cx),
        meta: object.meta.clone(),
    })
}

/// Annotation `networking.istio.io/exportTo`.
fn exported(object: &Object<'_>) -> Vec<String> {
    let written = object.meta.annotations.get("networking.istio.io/exportTo");
    let names = written.map(String::as_str).unwrap_or_default().split(',');
    names.map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

fn port(field: &Field<'_>, cx: &mut Cx) -> Option<ServicePort> {
    let number = cx.port(field, "port")?;
    let name = field.text_at("name").unwrap_or_default();
    let transport = field.text_at("protocol").unwrap_or_else(|| "TCP".to_owned());
    let app_protocol = field.text_at("appProtocol");
    let target = match field.get("targetPort") {
        None => TargetPort::Number(number.value),
        Some(target) => match target.node().plain() {
            Some(Plain::Text(name)) => TargetPort::Name(name.to_owned()),
            _ => TargetPort::Number(cx.port_value(&target).map_or(number.value, |port| port.value)),
        },
    };
    let protocol = protocol::select(&transport, app_protocol.as_deref(), &name, number.value);
    Some(ServicePort { name, number, target, protocol })
}
