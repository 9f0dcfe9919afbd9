//! Telemetries: providers (`IST0157`, `IST0002`), selectors (`IST0101`, `IST0159`, `IST0160`). Istio:
//! `analyzers/telemetry`.

use std::collections::BTreeMap;

use super::{
    message::{
        CONFLICTING_TELEMETRIES, DEPRECATED, SELECTOR_NOT_FOUND, TELEMETRIES_WITHOUT_SELECTORS, TELEMETRY_PROVIDER,
    },
    report::Report,
    selectors::{distinct, names},
    tree::Tree,
    world::{Pod, Resource, TELEMETRY, World, selector_text},
};

pub(super) fn check(world: &World<'_>, report: &mut Report) {
    providers(world, report);
    selectors(world, report);
}

fn providers(world: &World<'_>, report: &mut Report) {
    let mesh = world.mesh;
    let has_default = mesh.get("defaultProviders").count("accessLogging") > 0;
    // An installation may have a default that the manifests do not show.
    let judged = world.closed || mesh.is_set();
    let lightstep: Vec<&str> = (mesh.list("extensionProviders"))
        .filter(|provider| provider.get("lightstep").is_set())
        .map(|provider| provider.get("name").text())
        .collect();
    for telemetry in world.all(TELEMETRY) {
        let lacks = |logging: Tree<'_>| !logging.get("disabled").bool() && logging.count("providers") == 0;
        if let Some(i) = telemetry.spec.list("accessLogging").position(lacks).filter(|_| judged && !has_default) {
            let text =
                format!("access logging of `{}` names no provider, and the mesh has no default", telemetry.full_name());
            report.say(&TELEMETRY_PROVIDER, telemetry, &format!("spec.accessLogging[{i}]"), text);
        }
        for provider in telemetry.spec.list("tracing").flat_map(|tracing| tracing.list("providers")) {
            let name = provider.get("name").text();
            if lightstep.contains(&name) {
                let text = format!("the provider `{name}` is of Lightstep's own kind, which is deprecated");
                report.advise(&DEPRECATED, telemetry, "spec.tracing", text, "use an OpenTelemetry provider");
            }
        }
    }
}

fn selectors(world: &World<'_>, report: &mut Report) {
    let mut by_pod: BTreeMap<(&str, &str, &str), (&Pod<'_>, Vec<&Resource<'_>>)> = BTreeMap::new();
    let mut by_namespace: BTreeMap<&str, Vec<&Resource<'_>>> = BTreeMap::new();
    for telemetry in world.all(TELEMETRY) {
        // Istio takes one that is bound to a gateway for a default too.
        if !telemetry.spec.get("selector").is_set() && (world.closed || !is_bound(telemetry.spec)) {
            by_namespace.entry(telemetry.namespace()).or_default().push(telemetry);
        }
        let selector = telemetry.spec.at("selector.matchLabels").labels();
        if selector.is_empty() {
            continue;
        }
        let pods = distinct(world, telemetry.namespace(), &selector);
        for pod in &pods {
            let resource = &pod.resource.meta().resource;
            let key = (resource.namespace.as_str(), resource.name.as_str(), resource.kind.as_str());
            by_pod.entry(key).or_insert_with(|| (*pod, Vec::new())).1.push(telemetry);
        }
        let judged = world.closed || world.selectable().any(|pod| pod.namespace() == telemetry.namespace());
        if pods.is_empty() && judged {
            let first = selector.keys().next().map(String::as_str).unwrap_or_default();
            let text = format!("no pod has the labels `{}` of the selector", selector_text(&selector));
            report.say(&SELECTOR_NOT_FOUND, telemetry, &format!("spec.selector.matchLabels.{first}"), text);
        }
    }
    for (pod, telemetries) in by_pod.values().filter(|(_, telemetries)| telemetries.len() > 1) {
        for telemetry in telemetries {
            let text = format!("{} select the same pod `{}`", names(telemetries), pod.resource.name());
            report.say(&CONFLICTING_TELEMETRIES, telemetry, "metadata.name", text);
        }
    }
    for (namespace, telemetries) in by_namespace.iter().filter(|(_, telemetries)| telemetries.len() > 1) {
        for telemetry in telemetries {
            let text = format!("{} have no selector, and `{namespace}` can have one default", names(telemetries));
            report.say(&TELEMETRIES_WITHOUT_SELECTORS, telemetry, "metadata", text);
        }
    }
}

fn is_bound(spec: Tree<'_>) -> bool {
    spec.get("targetRef").is_set() || spec.count("targetRefs") > 0
}
