//! Endpoints that are no pods: of a `WorkloadEntry`, of a `WorkloadGroup`, and of a `ServiceEntry` itself.

use meshproof_model::{
    ContainerPort, EndpointOptions, Located, Meta, ProxyMode, Workload, kubernetes::PodLife, linkerd::ProxyOptions,
};

use crate::{cx::Cx, field::Field};

/// Reads one as a workload with one pod. It takes mutual TLS if its label says so, else if it has an account (`WE-1`).
/// Its ports go by the names of the ports of the services that it serves.
pub(super) fn read(spec: &Field<'_>, meta: Meta, cx: &mut Cx) -> Workload {
    let at = spec.at();
    // Where it answers does not change what is decided.
    let _ = spec.get("address");
    let labels = spec.labels_at("labels");
    let account = spec.located_text("serviceAccount").filter(|account| !account.value.is_empty());
    let takes_tls = match labels.get("security.istio.io/tlsMode") {
        Some(mode) => mode == "istio",
        None => account.is_some(),
    };
    let ports = spec.get("ports").into_iter().flat_map(|ports| ports.fields());
    let ports = ports.filter_map(|(name, field)| {
        Some(ContainerPort { name: name.to_owned(), number: cx.port_value(&field)?.value })
    });
    let text = |key: &'static str| spec.located_text(key).filter(|text| !text.value.is_empty());
    Workload {
        labels,
        annotations: meta.annotations.clone(),
        ports: ports.collect(),
        service_account: account.unwrap_or_else(|| Located::new("default".to_owned(), at.clone())),
        replicas: Located::new(1, at.clone()),
        env: Vec::new(),
        proxy: if takes_tls { ProxyMode::Sidecar } else { ProxyMode::None },
        proxy_at: at,
        istio_version: None,
        host_network: false,
        linkerd: ProxyOptions::default(),
        life: PodLife::default(),
        endpoint: EndpointOptions {
            weight: cx.count(spec, "weight"),
            locality: text("locality"),
            // All of one network, or reached through a gateway that only forwards.
            network: spec.quietly().located_text("network").filter(|name| !name.value.is_empty()),
        },
        meta,
    }
}
