//! Policies that select pods of a Kubernetes Gateway by labels, and Sidecars that select the same pods or none
//! (`IST0101`, `IST0110`, `IST0111`, `IST0166`, `IST0167`). Istio: `analyzers/k8sgateway`, `analyzers/sidecar`.

use std::collections::BTreeMap;

use meshproof_model::is_subset;

use super::{
    message::{
        CONFLICTING_SIDECARS, INEFFECTIVE_POLICY, INEFFECTIVE_SELECTOR, SELECTOR_NOT_FOUND, SIDECARS_WITHOUT_SELECTORS,
    },
    report::Report,
    world::{
        AUTHORIZATION_POLICY, Pod, REQUEST_AUTHENTICATION, Resource, SIDECAR, TELEMETRY, WASM_PLUGIN, World,
        selector_text,
    },
};

const GATEWAY_NAME: &str = "gateway.networking.k8s.io/gateway-name";

pub(super) fn check(world: &World<'_>, report: &mut Report) {
    let of_gateway: Vec<&Pod<'_>> = world.selectable().filter(|pod| pod.labels.contains_key(GATEWAY_NAME)).collect();
    for policy in
        [AUTHORIZATION_POLICY, REQUEST_AUTHENTICATION, TELEMETRY, WASM_PLUGIN].into_iter().flat_map(|k| world.all(k))
    {
        of_gateways(&of_gateway, policy, report);
    }
    sidecars(world, report);
}

fn of_gateways(pods: &[&Pod<'_>], policy: &Resource<'_>, report: &mut Report) {
    let spec = policy.spec;
    if spec.get("targetRef").is_set() || spec.count("targetRefs") > 0 || !spec.get("selector").is_set() {
        return;
    }
    let selector = spec.at("selector.matchLabels").labels();
    for pod in pods.iter().filter(|pod| pod.namespace() == policy.namespace()) {
        if let Some(gateway) = pod.labels.get(GATEWAY_NAME).filter(|_| is_subset(&selector, &pod.labels)) {
            let text = format!("the pods of the Gateway `{gateway}` do not read policies by labels");
            let help = format!(
                "attach it with `targetRefs: [{{group: gateway.networking.k8s.io, kind: Gateway, name: {gateway}}}]`"
            );
            report.advise(&INEFFECTIVE_SELECTOR, policy, "spec.selector", text, help);
        }
    }
}

fn sidecars(world: &World<'_>, report: &mut Report) {
    let mut by_pod: BTreeMap<(&str, &str, &str), (&Pod<'_>, Vec<&Resource<'_>>)> = BTreeMap::new();
    let mut by_namespace: BTreeMap<&str, Vec<&Resource<'_>>> = BTreeMap::new();
    for sidecar in world.all(SIDECAR) {
        let selector = sidecar.spec.at("workloadSelector.labels").labels();
        if selector.is_empty() {
            by_namespace.entry(sidecar.namespace()).or_default().push(sidecar);
            continue;
        }
        let mut found = false;
        for pod in distinct(world, sidecar.namespace(), &selector) {
            found = true;
            let resource = &pod.resource.meta().resource;
            let key = (resource.namespace.as_str(), resource.name.as_str(), resource.kind.as_str());
            by_pod.entry(key).or_insert_with(|| (pod, Vec::new())).1.push(sidecar);
        }
        let judged = world.closed || world.selectable().any(|pod| pod.namespace() == sidecar.namespace());
        if !found && judged {
            let first = selector.keys().next().map(String::as_str).unwrap_or_default();
            let text = format!("no pod has the labels `{}` of the selector", selector_text(&selector));
            report.say(&SELECTOR_NOT_FOUND, sidecar, &format!("spec.workloadSelector.labels.{first}"), text);
        }
    }
    let mut said = Vec::new();
    for (pod, sidecars) in by_pod.values() {
        for sidecar in sidecars {
            if pod.is_ambient() {
                if !said.contains(&sidecar.full_name()) {
                    said.push(sidecar.full_name());
                    let text = "the workload that it selects is ambient, where Sidecars have no effect";
                    report.say(&INEFFECTIVE_POLICY, sidecar, "spec", text);
                }
            } else if sidecars.len() > 1 {
                let text = format!("{} select the same pod `{}`", names(sidecars), pod.resource.name());
                report.say(&CONFLICTING_SIDECARS, sidecar, "metadata.name", text);
            }
        }
    }
    for (namespace, sidecars) in by_namespace {
        let ambient = is_ambient(world, namespace);
        for sidecar in &sidecars {
            if ambient && !said.contains(&sidecar.full_name()) {
                said.push(sidecar.full_name());
                let text = "its namespace is ambient, where Sidecars have no effect";
                report.say(&INEFFECTIVE_POLICY, sidecar, "spec", text);
            } else if !ambient && sidecars.len() > 1 {
                let text = format!("{} have no selector, and `{namespace}` can have one default", names(&sidecars));
                report.say(&SIDECARS_WITHOUT_SELECTORS, sidecar, "metadata", text);
            }
        }
    }
}

fn is_ambient(world: &World<'_>, namespace: &str) -> bool {
    let label = |key| world.namespace_label(namespace, key).unwrap_or_default();
    label("istio-injection") != "enabled"
        && label("istio.io/rev").is_empty()
        && label("istio.io/dataplane-mode") == "ambient"
}

/// Pods of a namespace that a selector matches; a template counts where its pods are not there themselves.
pub(super) fn distinct<'w, 'a>(
    world: &'w World<'a>,
    namespace: &str,
    selector: &meshproof_model::Labels,
) -> Vec<&'w Pod<'a>> {
    let here = world.selectable().filter(|pod| pod.namespace() == namespace);
    let selected: Vec<&'w Pod<'a>> = here.filter(|pod| is_subset(selector, &pod.labels)).collect();
    let is_there = |template: &Pod<'_>| {
        let mut pods = selected.iter().filter(|pod| !pod.template);
        pods.any(|pod| is_subset(&template.labels, &pod.labels))
    };
    selected.iter().copied().filter(|pod| !pod.template || !is_there(pod)).collect()
}

/// `a`, `b`.
pub(super) fn names(resources: &[&Resource<'_>]) -> String {
    resources.iter().map(|resource| format!("`{}`", resource.name())).collect::<Vec<_>>().join(", ")
}
