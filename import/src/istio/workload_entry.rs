//! Istio: networking.v1.WorkloadEntry.

use meshproof_model::{ContainerPort, Located, ProxyMode, Workload, kubernetes::PodLife, linkerd::ProxyOptions};

use crate::{cx::Cx, object::Object};

/// Reads one as a workload with one pod. It takes mutual TLS if its label says so, else if it has an account (`WE-1`).
pub(crate) fn read(object: &Object<'_>, cx: &mut Cx) -> Option<Workload> {
    let spec = object.get("spec")?;
    let at = object.meta.at.clone();
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
    Some(Workload {
        labels,
        annotations: object.meta.annotations.clone(),
        ports: ports.collect(),
        service_account: account.unwrap_or_else(|| Located::new("default".to_owned(), at.clone())),
        replicas: Located::new(1, at.clone()),
        env: Vec::new(),
        proxy: if takes_tls { ProxyMode::Sidecar } else { ProxyMode::None },
        proxy_at: at,
        host_network: false,
        linkerd: ProxyOptions::default(),
        life: PodLife::default(),
        meta: object.meta.clone(),
    })
}
