//! Kubernetes: networking.v1.Ingress, and the older `extensions/v1beta1` and `networking.k8s.io/v1beta1`.

use meshproof_model::{
    Located,
    gateway_api::{Ingress, IngressBackend, IngressPath, IngressPort, IngressRule, IngressTls},
};

use crate::{cx::Cx, field::Field, object::Object, yaml::Plain};

/// Reads one.
pub(crate) fn read(object: &Object<'_>, cx: &mut Cx) -> Option<Ingress> {
    let spec = object.get("spec")?;
    let annotation = object.get("metadata").and_then(|metadata| metadata.get("annotations"));
    let annotation = annotation.and_then(|annotations| annotations.located_text("kubernetes.io/ingress.class"));
    let default = spec.get("defaultBackend").or_else(|| spec.get("backend"));
    Some(Ingress {
        meta: object.meta.clone(),
        class: annotation.or_else(|| spec.located_text("ingressClassName")),
        default_backend: default.map(|field| backend(&field, cx)),
        rules: spec.list("rules").map(|field| rule(&field, cx)).collect(),
        tls: spec.list("tls").map(|field| tls(&field)).collect(),
    })
}

fn rule(field: &Field<'_>, cx: &mut Cx) -> IngressRule {
    let http = field.get("http");
    let paths = http.iter().flat_map(|http| http.list("paths")).filter_map(|path| {
        Some(IngressPath {
            at: path.at(),
            path: path.located_text("path").filter(|path| !path.value.is_empty()),
            path_type: path.located_text("pathType"),
            backend: backend(&path.get("backend")?, cx),
        })
    });
    let paths = paths.collect();
    IngressRule { at: field.at(), host: field.located_text("host").filter(|host| !host.value.is_empty()), paths }
}

fn backend(field: &Field<'_>, cx: &mut Cx) -> IngressBackend {
    if let Some(service) = field.get("service") {
        let port = service.get("port").and_then(|port| {
            let number = cx.port(&port, "number").map(|number| number.map(IngressPort::Number));
            number.or_else(|| port.located_text("name").map(|name| name.map(IngressPort::Name)))
        });
        return IngressBackend { at: field.at(), service: service.located_text("name"), port };
    }
    let port = field.get("servicePort").and_then(|port| old_port(&port, cx));
    IngressBackend { at: field.at(), service: field.located_text("serviceName"), port }
}

/// The older version's port: a number or a name.
fn old_port(field: &Field<'_>, cx: &mut Cx) -> Option<Located<IngressPort>> {
    match field.node().plain()? {
        Plain::Text(name) => Some(field.located(IngressPort::Name(name.to_owned()))),
        _ => cx.port_value(field).map(|port| port.map(IngressPort::Number)),
    }
}

fn tls(field: &Field<'_>) -> IngressTls {
    IngressTls { at: field.at(), hosts: field.texts("hosts"), secret: field.located_text("secretName") }
}
