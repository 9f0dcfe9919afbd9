//! What an analysis sees of the manifests: every object by kind, pods beside templates, the mesh's settings.

use std::collections::BTreeMap;

use meshproof_model::{Labels, Location, Meta, ResourceRef, is_subset};

use super::tree::Tree;
use crate::{
    object::{Object, locate},
    yaml::{Node, Value},
};

/// Group and kind.
pub(super) type Kind = (&'static str, &'static str);

const NETWORKING: &str = "networking.istio.io";
const SECURITY: &str = "security.istio.io";
const ADMISSION: &str = "admissionregistration.k8s.io";
pub(super) const VIRTUAL_SERVICE: Kind = (NETWORKING, "VirtualService");
pub(super) const DESTINATION_RULE: Kind = (NETWORKING, "DestinationRule");
pub(super) const GATEWAY: Kind = (NETWORKING, "Gateway");
pub(super) const SERVICE_ENTRY: Kind = (NETWORKING, "ServiceEntry");
pub(super) const SIDECAR: Kind = (NETWORKING, "Sidecar");
pub(super) const ENVOY_FILTER: Kind = (NETWORKING, "EnvoyFilter");
pub(super) const WORKLOAD_ENTRY: Kind = (NETWORKING, "WorkloadEntry");
pub(super) const WORKLOAD_GROUP: Kind = (NETWORKING, "WorkloadGroup");
pub(super) const PROXY_CONFIG: Kind = (NETWORKING, "ProxyConfig");
pub(super) const AUTHORIZATION_POLICY: Kind = (SECURITY, "AuthorizationPolicy");
pub(super) const REQUEST_AUTHENTICATION: Kind = (SECURITY, "RequestAuthentication");
pub(super) const PEER_AUTHENTICATION: Kind = (SECURITY, "PeerAuthentication");
pub(super) const TELEMETRY: Kind = ("telemetry.istio.io", "Telemetry");
pub(super) const WASM_PLUGIN: Kind = ("extensions.istio.io", "WasmPlugin");
pub(super) const KUBERNETES_GATEWAY: Kind = ("gateway.networking.k8s.io", "Gateway");
pub(super) const HTTP_ROUTE: Kind = ("gateway.networking.k8s.io", "HTTPRoute");
pub(super) const GRPC_ROUTE: Kind = ("gateway.networking.k8s.io", "GRPCRoute");
pub(super) const NAMESPACE: Kind = ("", "Namespace");
pub(super) const SERVICE: Kind = ("", "Service");
pub(super) const SECRET: Kind = ("", "Secret");
pub(super) const CONFIG_MAP: Kind = ("", "ConfigMap");
pub(super) const NODE: Kind = ("", "Node");
pub(super) const DEPLOYMENT: Kind = ("apps", "Deployment");
pub(super) const CUSTOM_RESOURCE_DEFINITION: Kind = ("apiextensions.k8s.io", "CustomResourceDefinition");
pub(super) const MUTATING_WEBHOOKS: Kind = (ADMISSION, "MutatingWebhookConfiguration");
pub(super) const VALIDATING_WEBHOOKS: Kind = (ADMISSION, "ValidatingWebhookConfiguration");

/// Kinds with a template of pods, and where it is.
pub(super) const TEMPLATES: &[(&str, &str, &str)] = &[
    ("apps", "Deployment", "spec.template"),
    ("apps", "StatefulSet", "spec.template"),
    ("apps", "DaemonSet", "spec.template"),
    ("apps", "ReplicaSet", "spec.template"),
    ("", "ReplicationController", "spec.template"),
    ("batch", "Job", "spec.template"),
    ("batch", "CronJob", "spec.jobTemplate.spec.template"),
    ("argoproj.io", "Rollout", "spec.template"),
];

/// Namespaces that Istio leaves alone.
const IGNORED: &[&str] = &["kube-system", "kube-public", "kube-node-lease", "local-path-storage"];

const ENTRY: &str = "istio-ingressgateway";

/// Every mesh has one entry; manifests seldom hold it, since it comes with the installation. Istio:
/// `pkg/config/analysis/local/defaults.go`.
pub(super) fn installed(mesh: Tree<'_>) -> String {
    match (mesh.get("ingressControllerMode").text(), mesh.get("ingressService").text()) {
        ("OFF", _) => String::new(),
        (_, "") => INSTALLED.to_owned(),
        (_, name) => INSTALLED.replace(ENTRY, name),
    }
}

const INSTALLED: &str = "apiVersion: v1
kind: Pod
metadata: {name: istio-ingressgateway-dummypod, namespace: istio-system, labels: {istio: ingressgateway}}
spec: {containers: [{name: istio-proxy}]}
---
apiVersion: v1
kind: Service
metadata: {name: istio-ingressgateway, namespace: istio-system}
spec:
  ports:
    - {name: http2, port: 80, protocol: TCP, targetPort: 80}
    - {name: https, port: 443, protocol: TCP, targetPort: 443}
    - {name: tcp, port: 31400, protocol: TCP, targetPort: 31400}
    - {name: tls, port: 15443, protocol: TCP, targetPort: 15443}
  selector: {istio: ingressgateway}
";

/// One object.
#[derive(Clone, Copy)]
pub(super) struct Resource<'a> {
    pub object: &'a Object<'a>,
    pub root: Tree<'a>,
    pub spec: Tree<'a>,
}

impl<'a> Resource<'a> {
    fn new(object: &'a Object<'a>) -> Self {
        let root = Tree::new(object.root);
        Self { object, root, spec: root.get("spec") }
    }

    pub(super) fn meta(&self) -> &'a Meta {
        &self.object.meta
    }

    pub(super) fn name(&self) -> &'a str {
        self.meta().name()
    }

    pub(super) fn namespace(&self) -> &'a str {
        self.meta().namespace()
    }

    /// `namespace/name`, or the name of what has no namespace.
    pub(super) fn full_name(&self) -> String {
        full_name(self.namespace(), self.name())
    }

    pub(super) fn label(&self, key: &str) -> Option<&'a str> {
        self.meta().labels.get(key).map(String::as_str)
    }

    pub(super) fn annotation(&self, key: &str) -> Option<&'a str> {
        self.meta().annotations.get(key).map(String::as_str)
    }

    /// Whether it is part of Istio's own installation.
    pub(super) fn is_control_plane(&self) -> bool {
        self.label("istio").is_some() || self.label("release") == Some("istio")
    }

    /// Where a field stands; the object itself where the field does not.
    pub(super) fn place(&self, path: &str) -> Location {
        find(self.object.root, path).map_or_else(
            || self.meta().at.clone(),
            |(node, entry)| {
                let mark = entry.map_or_else(|| crate::object::head(node), crate::object::entry_mark);
                let path =
                    if self.object.path.is_empty() { path.to_owned() } else { format!("{}.{path}", self.object.path) };
                locate(self.object.file, mark, path)
            },
        )
    }

    /// The line of a field that holds a plain value; others have none in Istio's reports.
    pub(super) fn line(&self, path: &str) -> Option<u32> {
        let (node, _) = find(self.object.root, path)?;
        matches!(node.value, Value::Scalar { .. }).then_some(node.mark.line)
    }
}

/// `namespace/name`, or the name of what has no namespace.
pub(super) fn full_name(namespace: &str, name: &str) -> String {
    if namespace.is_empty() { name.to_owned() } else { format!("{namespace}/{name}") }
}

/// The value at the end of `spec.http[0].match`, with its key. A key may contain dots: the longest that exists counts.
fn find<'a>(root: &'a Node<'a>, path: &str) -> Option<(&'a Node<'a>, Option<&'a crate::yaml::Entry<'a>>)> {
    let (mut node, mut entry, mut rest) = (root, None, path);
    while !rest.is_empty() {
        if let Some(index) = rest.strip_prefix('[') {
            let (index, after) = index.split_once(']')?;
            (node, entry) = (node.items().get(index.parse::<usize>().ok()?)?, None);
            rest = after.trim_start_matches('.');
            continue;
        }
        let fits =
            |key: &str| rest.strip_prefix(key).is_some_and(|after| after.is_empty() || after.starts_with(['.', '[']));
        let next = node.entries().iter().filter(|e| fits(&e.key)).max_by_key(|e| e.key.len())?;
        rest = rest[next.key.len()..].trim_start_matches('.');
        (node, entry) = (&next.value, Some(next));
    }
    Some((node, entry))
}

/// A pod, or what a template makes.
pub(super) struct Pod<'a> {
    pub resource: Resource<'a>,
    /// Whether it is a template.
    pub template: bool,
    /// Whether it is the one that every installation has.
    pub installed: bool,
    pub labels: Labels,
    pub annotations: Labels,
    /// The way to its metadata.
    pub metadata: &'static str,
    pub spec: Tree<'a>,
}

impl<'a> Pod<'a> {
    pub(super) fn namespace(&self) -> &'a str {
        self.resource.namespace()
    }

    /// Containers, then init containers.
    pub(super) fn containers(&self) -> impl Iterator<Item = Tree<'a>> {
        self.spec.list("containers").chain(self.spec.list("initContainers"))
    }

    pub(super) fn has_proxy(&self) -> bool {
        // Istio looks through the init containers of pods only.
        if self.template { has_proxy(self.spec.list("containers")) } else { has_proxy(self.containers()) }
    }

    /// Whether ztunnel takes its traffic.
    pub(super) fn is_ambient(&self) -> bool {
        self.annotations.get("ambient.istio.io/redirection").is_some_and(|value| value == "enabled")
    }
}

fn has_proxy<'a>(mut containers: impl Iterator<Item = Tree<'a>>) -> bool {
    containers
        .find(|c| c.get("name").text() == "istio-proxy")
        .is_some_and(|proxy| !proxy.get("image").text().is_empty())
}

/// Everything.
pub(super) struct World<'a> {
    /// Whether what the manifests do not hold does not exist, as Istio's analysis takes it.
    pub closed: bool,
    resources: BTreeMap<(&'a str, &'a str), Vec<Resource<'a>>>,
    /// Pods and templates.
    pub pods: Vec<Pod<'a>>,
    /// Whether a selector that no pod matches may match a template.
    templates_count: bool,
    /// `MeshConfig`.
    pub mesh: Tree<'a>,
    /// `MeshNetworks`, and where they stand.
    pub networks: Vec<(Location, Tree<'a>)>,
}

impl<'a> World<'a> {
    pub(super) fn new(
        closed: bool,
        installed: &'a [Object<'a>],
        objects: &[&'a Object<'a>],
        mesh: Tree<'a>,
        networks: Vec<(Location, Tree<'a>)>,
    ) -> Self {
        let mut world =
            Self { closed, resources: BTreeMap::new(), pods: Vec::new(), templates_count: true, mesh, networks };
        let is_theirs =
            |own: &Object<'_>| objects.iter().any(|o| o.group == own.group && o.meta.resource == own.meta.resource);
        for object in installed.iter().filter(|own| !is_theirs(own)) {
            world.add(object, true);
        }
        for object in objects {
            world.add(object, false);
        }
        // Istio's analysis sees pods, as a cluster has them. Where manifests hold none, templates stand for them.
        world.templates_count = !closed || world.pods.iter().all(|pod| pod.template || pod.installed);
        world
    }

    fn add(&mut self, object: &'a Object<'a>, installed: bool) {
        let kind = object.meta.resource.kind.as_str();
        let home = if kind == "Namespace" { object.meta.name() } else { object.meta.namespace() };
        if IGNORED.contains(&home) {
            return;
        }
        let resource = Resource::new(object);
        self.resources.entry((object.group.as_str(), kind)).or_default().push(resource);
        let of_template = TEMPLATES.iter().find(|(group, name, _)| object.group == *group && kind == *name);
        let (template, metadata, way) = match (object.group.as_str(), kind) {
            ("", "Pod") => (resource.root, "metadata", false),
            _ => match of_template {
                Some((_, name, path)) if resource.root.at(path).is_set() => {
                    let cron = "spec.jobTemplate.spec.template.metadata";
                    (resource.root.at(path), if *name == "CronJob" { cron } else { "spec.template.metadata" }, true)
                }
                _ => return,
            },
        };
        self.pods.push(Pod {
            resource,
            template: way,
            installed,
            labels: template.at("metadata.labels").labels(),
            annotations: template.at("metadata.annotations").labels(),
            metadata,
            spec: template.get("spec"),
        });
    }

    /// Every object of a kind, by path and place.
    pub(super) fn all(&self, kind: Kind) -> &[Resource<'a>] {
        self.resources.get(&kind).map_or(&[], Vec::as_slice)
    }

    /// Every object.
    pub(super) fn everything(&self) -> impl Iterator<Item = &Resource<'a>> {
        self.resources.values().flatten()
    }

    /// Whether the manifests are Istio's business: they hold an object of its own.
    pub(super) fn has_istio(&self) -> bool {
        self.closed || self.mesh.is_set() || self.resources.keys().any(|(group, _)| group.ends_with("istio.io"))
    }

    pub(super) fn find(&self, kind: Kind, namespace: &str, name: &str) -> Option<&Resource<'a>> {
        self.all(kind).iter().find(|resource| resource.namespace() == namespace && resource.name() == name)
    }

    /// `name`, or `namespace/name`.
    pub(super) fn find_named(&self, kind: Kind, home: &str, name: &str) -> Option<&Resource<'a>> {
        let (namespace, name) = name.split_once('/').unwrap_or((home, name));
        self.find(kind, namespace, name)
    }

    pub(super) fn namespace_label(&self, namespace: &str, label: &str) -> Option<&'a str> {
        self.find(NAMESPACE, "", namespace)?.label(label)
    }

    pub(super) fn root_namespace(&self) -> &'a str {
        match self.mesh.get("rootNamespace").text() {
            "" => "istio-system",
            name => name,
        }
    }

    /// Whether pods with these labels, annotations and containers get a sidecar.
    pub(super) fn in_mesh(&self, pod: &Pod<'_>) -> bool {
        if pod.has_proxy() {
            return true;
        }
        let chosen = pod.labels.get(INJECT).or_else(|| pod.annotations.get(INJECT));
        match chosen {
            Some(value) => value == "true",
            None => self.namespace_label(pod.namespace(), "istio-injection") == Some("enabled"),
        }
    }

    /// Pods that a selector may match, with templates where these stand for pods.
    pub(super) fn selectable(&self) -> impl Iterator<Item = &Pod<'a>> {
        self.pods.iter().filter(|pod| self.templates_count || !pod.template)
    }

    /// Pods that a selector matches, in any namespace.
    pub(super) fn selected(&self, selector: &Labels) -> impl Iterator<Item = &Pod<'a>> {
        self.selectable().filter(move |pod| is_subset(selector, &pod.labels))
    }
}

pub(super) const INJECT: &str = "sidecar.istio.io/inject";

/// `a=1,b=2`, as Kubernetes writes a selector.
pub(super) fn selector_text(labels: &Labels) -> String {
    labels.iter().map(|(key, value)| format!("{key}={value}")).collect::<Vec<_>>().join(",")
}

/// The reference of an object.
pub(super) fn reference(kind: &str, namespace: &str, name: &str) -> ResourceRef {
    ResourceRef { kind: kind.to_owned(), namespace: namespace.to_owned(), name: name.to_owned() }
}
