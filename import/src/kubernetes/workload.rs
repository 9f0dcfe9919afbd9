//! Kubernetes: what runs pods. Deployment, `StatefulSet`, `DaemonSet`, `ReplicaSet`, Job, `CronJob`, Pod, and
//! Argo's Rollout, which has a Deployment's template.

use meshproof_model::{ContainerPort, Labels, Located, Location, ProxyMode, Workload};

use super::life;
use crate::{cx::Cx, field::Field, linkerd::annotations, object::Object};

/// A workload before it is known who gets a proxy.
pub(crate) struct Read {
    pub workload: Workload,
    /// `sidecar.istio.io/inject`, label before annotation.
    pub inject: Option<Located<String>>,
    /// `istio.io/rev` of the pods.
    pub revision: Option<Located<String>>,
    /// `istio.io/dataplane-mode` of the pods.
    pub dataplane: Option<Located<String>>,
    /// What says that the pods are a gateway's proxies: a template, or a container named `istio-proxy`.
    pub gateway: Option<Location>,
    /// A container named `istio-proxy`: the manifest was injected by hand.
    pub proxy_container: Option<Location>,
    /// A container named `linkerd-proxy`: the manifest was injected by hand.
    pub linkerd_container: Option<Location>,
}

/// Whether it says what its pods are; a fragment for a kustomization need not.
pub(crate) fn has_template(object: &Object<'_>) -> bool {
    let Some(spec) = object.root.entry("spec") else { return false };
    match object.meta.resource.kind.as_str() {
        "Pod" => spec.value.entry("containers").is_some(),
        "CronJob" => spec.value.entry("jobTemplate").is_some(),
        // A Rollout may take the template of a Deployment.
        "Rollout" => true,
        _ => spec.value.entry("template").is_some_and(|template| template.value.entry("spec").is_some()),
    }
}

/// Reads one; without a template it runs nothing.
pub(crate) fn read(object: &Object<'_>, cx: &mut Cx) -> Option<Read> {
    let spec = object.get("spec");
    let (template, replicas) = match object.meta.resource.kind.as_str() {
        "Pod" => (Field::root(object.file, object.root, object.path.clone()), None),
        "CronJob" => {
            let job = spec.as_ref()?.get("jobTemplate")?.get("spec")?;
            (job.get("template")?, cx.count(&job, "parallelism"))
        }
        "Job" => (spec.as_ref()?.get("template")?, cx.count(spec.as_ref()?, "parallelism")),
        _ => (spec.as_ref()?.get("template")?, cx.count(spec.as_ref()?, "replicas")),
    };
    if let Some(spec) = &spec {
        // Says which pods the object owns; the template's labels are what counts for others.
        spec.get("selector").map(|selector| selector.labels_at("matchLabels"));
    }
    let at = object.meta.at.clone();
    let metadata = template.get("metadata");
    let pod = template.get("spec")?;
    let containers: Vec<Field<'_>> = pod.list("containers").chain(native_sidecars(&pod)).collect();
    let mark = |kind: &'static str, key: &'static str| metadata.as_ref()?.get(kind)?.located_text(key);
    let template_of_gateway = mark("annotations", "inject.istio.io/templates").filter(|t| t.value.contains("gateway"));
    let named = |name: &str| containers.iter().find(|c| c.text_at("name").as_deref() == Some(name)).map(Field::at);
    let (named_proxy, linkerd_container) = (named("istio-proxy"), named("linkerd-proxy"));
    let inject = mark("labels", "sidecar.istio.io/inject").or_else(|| mark("annotations", "sidecar.istio.io/inject"));
    let revision = mark("labels", "istio.io/rev");
    let dataplane = mark("labels", "istio.io/dataplane-mode");
    let labels = |key: &'static str| metadata.as_ref().map(|m| m.labels_at(key)).unwrap_or_default();
    let only_proxy = containers.len() == 1 && named_proxy.is_some();
    let workload = Workload {
        meta: object.meta.clone(),
        labels: labels("labels"),
        annotations: labels("annotations"),
        service_account: service_account(&pod, &at),
        replicas: replicas.unwrap_or_else(|| Located::new(1, at.clone())),
        ports: containers.iter().flat_map(|container| ports(container, cx)).collect(),
        env: containers.iter().flat_map(env).collect(),
        proxy: ProxyMode::None,
        proxy_at: at,
        life: life::read(spec.as_ref(), &pod, cx),
        istio_version: None,
        host_network: pod.bool_at("hostNetwork").unwrap_or(false),
        linkerd: annotations::options(metadata.as_ref(), cx),
        endpoint: meshproof_model::EndpointOptions::default(),
    };
    Some(Read {
        workload,
        inject,
        revision,
        dataplane,
        gateway: template_of_gateway.map(|t| t.at).or_else(|| named_proxy.clone().filter(|_| only_proxy)),
        proxy_container: named_proxy,
        linkerd_container,
    })
}

/// Init containers that keep running.
fn native_sidecars<'a>(pod: &Field<'a>) -> impl Iterator<Item = Field<'a>> + use<'a> {
    pod.list("initContainers").filter(|container| container.text_at("restartPolicy").as_deref() == Some("Always"))
}

fn service_account(pod: &Field<'_>, at: &Location) -> Located<String> {
    let name = pod.located_text("serviceAccountName").or_else(|| pod.located_text("serviceAccount"));
    name.filter(|name| !name.value.is_empty()).unwrap_or_else(|| Located::new("default".to_owned(), at.clone()))
}

fn ports(container: &Field<'_>, cx: &mut Cx) -> Vec<ContainerPort> {
    let mut ports = Vec::new();
    for port in container.list("ports") {
        if let Some(number) = cx.port(&port, "containerPort") {
            ports.push(ContainerPort { name: port.text_at("name").unwrap_or_default(), number: number.value });
        }
    }
    ports
}

/// Variables with a plain value; what comes from secrets and fields of the pod is not in the manifest.
fn env(container: &Field<'_>) -> Vec<(String, Located<String>)> {
    let pair = |entry: Field<'_>| Some((entry.text_at("name")?, entry.located_text("value")?));
    container.list("env").filter_map(pair).collect()
}

/// Whether all of the selector is among the labels; an empty selector selects nothing here.
pub(crate) fn selects(selector: &Labels, labels: &Labels) -> bool {
    !selector.is_empty() && meshproof_model::is_subset(selector, labels)
}
