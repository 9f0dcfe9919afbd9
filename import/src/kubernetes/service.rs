//! Kubernetes: v1.Service.

use meshproof_model::{
    Located, Nanos, Resolution, Service, ServicePort, TargetPort,
    kubernetes::{ServiceOptions, TrafficDistribution},
};

use super::protocol;
use crate::{cx::Cx, field::Field, linkerd::annotations, object::Object, yaml::Plain};

/// Reads one.
pub(crate) fn read(object: &Object<'_>, cluster_domain: &str, cx: &mut Cx) -> Option<Service> {
    let spec = object.get("spec")?;
    // An alias of a host elsewhere (`EN-1`); where it leads to is read with the options.
    let is_alias = spec.text_at("type").is_some_and(|kind| kind == "ExternalName");
    let _ = (spec.get("externalName"), spec.get("trafficDistribution"));
    let headless = spec.text_at("clusterIP").is_some_and(|ip| ip == "None");
    let host = format!("{}.{}.svc.{cluster_domain}", object.meta.name(), object.meta.namespace());
    Some(Service {
        host,
        external: is_alias,
        resolution: match (is_alias, headless) {
            (true, _) => Resolution::Dns,
            (false, true) => Resolution::Passthrough,
            (false, false) => Resolution::Balanced,
        },
        ports: spec.read_list("ports", |entry| port(&entry, cx)),
        selector: spec.labels_at("selector"),
        export_to: exported(object),
        options: options(&spec.quietly(), cx),
        linkerd: annotations::options(object.get("metadata").as_ref(), cx),
        meta: object.meta.clone(),
    })
}

/// What chooses endpoints beside readiness. Verdicts do not see it: it stays among what is not modelled.
fn options(spec: &Field<'_>, cx: &mut Cx) -> ServiceOptions {
    let local = |key: &'static str| Cx::word(spec, key, &[("Local", true), ("Cluster", false)]);
    let distribution = [
        ("PreferClose", TrafficDistribution::SameZone),
        ("PreferSameZone", TrafficDistribution::SameZone),
        ("PreferSameNode", TrafficDistribution::SameNode),
    ];
    let affinity = Cx::word(spec, "sessionAffinity", &[("ClientIP", ())]).map(|affinity| {
        let client = spec.get("sessionAffinityConfig").and_then(|config| config.get("clientIP"));
        let seconds = client.and_then(|client| cx.count(&client, "timeoutSeconds"));
        let default = Located::new(10_800, affinity.at);
        seconds.unwrap_or(default).map(|seconds| Nanos::from_secs(seconds.into()))
    });
    let external = spec.text_at("type").is_some_and(|kind| kind == "ExternalName");
    ServiceOptions {
        external_name: spec.located_text("externalName").filter(|_| external),
        traffic_distribution: Cx::word(spec, "trafficDistribution", &distribution),
        internal_local: local("internalTrafficPolicy"),
        external_local: local("externalTrafficPolicy"),
        client_affinity: affinity,
        publish_not_ready: spec.get("publishNotReadyAddresses").and_then(|on| Some(on.located(on.bool()?))),
    }
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
