//! Who gets a proxy (`IJ-1`, `AB-1`, `L-1`).

use std::collections::BTreeMap;

use meshproof_model::{IstioVersion, Located, Location, ProxyMode, linkerd::Inject};

use super::workload;

/// Labels of the namespaces that the manifests define, those for injection.
pub(crate) type NamespaceLabels = BTreeMap<String, Vec<(String, Located<String>)>>;

/// A namespace that the manifests do not define, and what is assumed about it.
pub(crate) struct Assumed {
    pub namespace: String,
    pub mode: ProxyMode,
    pub at: Location,
}

const NEVER: &[&str] = &["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

/// Decides for one workload; says so if it rests on an assumption.
///
/// A namespace that the manifests define follows `IJ-1`. One that they do not define may well be labelled in the
/// cluster: it counts as injected if and only if the manifests hold objects of a mesh, which would be pointless without;
/// `mesh` is its proxy.
pub(crate) fn decide(read: &mut workload::Read, namespaces: &NamespaceLabels, mesh: ProxyMode) -> Option<Assumed> {
    let namespace = read.workload.meta.namespace().to_owned();
    let labels = namespaces.get(&namespace);
    let mut assumed = None;
    let (mode, at) = match by_pod(read, mesh) {
        Some(decision) => decision,
        None => {
            if let Some(labels) = labels {
                by_namespace(labels, read)
            } else {
                let at = read.workload.meta.at.clone();
                assumed = Some(Assumed { namespace, mode: mesh, at: at.clone() });
                (mesh, at)
            }
        }
    };
    if mode == ProxyMode::Sidecar {
        let of_namespace =
            labels.into_iter().flatten().find(|(name, _)| name == "istio.io/rev").map(|(_, value)| value);
        let revision = of_namespace.or(read.revision.as_ref());
        read.workload.istio_version = revision.and_then(|revision| IstioVersion::of_revision(&revision.value));
    }
    read.workload.proxy = match mode {
        ProxyMode::Sidecar if read.gateway.is_some() => ProxyMode::Gateway,
        mode => mode,
    };
    read.workload.proxy_at = at;
    assumed
}

/// What the pods themselves decide.
fn by_pod(read: &workload::Read, mesh: ProxyMode) -> Option<(ProxyMode, Location)> {
    if let Some(at) = &read.linkerd_container {
        return Some((ProxyMode::Linkerd, at.clone()));
    }
    if let Some(at) = &read.proxy_container {
        return Some((ProxyMode::Sidecar, at.clone()));
    }
    if read.workload.host_network || NEVER.contains(&read.workload.meta.namespace()) {
        return Some((ProxyMode::None, read.workload.meta.at.clone()));
    }
    if let Some(inject) = &read.workload.linkerd.inject {
        match inject.value {
            Inject::Enabled => return Some((ProxyMode::Linkerd, inject.at.clone())),
            // It may have a proxy of another mesh.
            Inject::Disabled if mesh == ProxyMode::Linkerd => return Some((ProxyMode::None, inject.at.clone())),
            Inject::Disabled => {}
        }
    }
    if let Some(inject) = &read.inject {
        let mode = if inject.value == "true" { ProxyMode::Sidecar } else { ProxyMode::None };
        return Some((mode, inject.at.clone()));
    }
    let ambient = read.dataplane.as_ref().filter(|mode| mode.value == "ambient")?;
    Some((ProxyMode::Ambient, ambient.at.clone()))
}

/// What a defined namespace decides: `istio-injection` before `istio.io/rev`, the pods' own revision if it has neither.
fn by_namespace(labels: &[(String, Located<String>)], read: &workload::Read) -> (ProxyMode, Location) {
    let label = |key: &str| labels.iter().find(|(name, _)| name == key).map(|(_, value)| value);
    if let Some(injection) = label("istio-injection") {
        let mode = if injection.value == "enabled" { ProxyMode::Sidecar } else { ProxyMode::None };
        return (mode, injection.at.clone());
    }
    if let Some(revision) = label("istio.io/rev").or(read.revision.as_ref()) {
        return (ProxyMode::Sidecar, revision.at.clone());
    }
    let opted_out = read.dataplane.as_ref().is_some_and(|mode| mode.value == "none");
    if let Some(mode) = label("istio.io/dataplane-mode").filter(|mode| mode.value == "ambient" && !opted_out) {
        return (ProxyMode::Ambient, mode.at.clone());
    }
    (ProxyMode::None, read.workload.meta.at.clone())
}
