//! Who gets a proxy: namespaces (`IST0102`, `IST0123`, `IST0148`), pods (`IST0103`), the proxy's image (`IST0146`,
//! `IST0147`, `IST0158`). Istio: `analyzers/injection`.

use std::collections::BTreeMap;

use meshproof_model::is_subset;

use super::{
    message::{
        IMAGE_AUTO_POD, IMAGE_AUTO_TEMPLATE, INJECTED_BY_DEFAULT, MULTIPLE_INJECTION_LABELS, NAMESPACE_NOT_INJECTED,
        POD_MISSING_PROXY, PROXY_IMAGE,
    },
    report::Report,
    tree::Tree,
    webhooks,
    world::{CONFIG_MAP, DEPLOYMENT, INJECT, MUTATING_WEBHOOKS, NAMESPACE, PROXY_CONFIG, Pod, Resource, World},
};

const LABEL: &str = "istio-injection";
const REVISION: &str = "istio.io/rev";
const DATA_PLANE: &str = "istio.io/dataplane-mode";

pub(super) fn check(world: &World<'_>, report: &mut Report) {
    let mut by_default = false;
    let judged = world.has_istio();
    for namespace in world.all(NAMESPACE).iter().filter(|namespace| judged && namespace.name() != "istio-system") {
        of_namespace(world, namespace, &mut by_default, report);
    }
    for pod in world.pods.iter().filter(|pod| !pod.template && !pod.installed) {
        of_pod(world, pod, report);
    }
    images(world, report);
    auto_images(world, report);
}

fn of_namespace(world: &World<'_>, namespace: &Resource<'_>, by_default: &mut bool, report: &mut Report) {
    let injection = namespace.label(LABEL);
    let mut chosen: Vec<String> = injection.iter().map(|value| format!("{LABEL}={value}")).collect();
    for key in [REVISION, DATA_PLANE] {
        let counts = injection.is_none_or(|value| value == "enabled");
        chosen.extend(namespace.label(key).filter(|_| counts).map(|value| format!("{key}={value}")));
    }
    if chosen.len() > 1 {
        let text = format!("the labels `{}` contradict each other", chosen.join("`, `"));
        report.advise(&MULTIPLE_INJECTION_LABELS, namespace, "metadata.labels", text, "keep one of them");
    }
    if namespace.label(DATA_PLANE) == Some("ambient") {
        return;
    }
    if let Some(values) = injector(world, namespace.label(REVISION)) {
        *by_default = values.at("sidecarInjectorWebhook.enableNamespacesByDefault");
    }
    if injection.unwrap_or_default().is_empty() && namespace.label(REVISION).is_none() {
        let name = namespace.name();
        if *by_default {
            let text = format!("pods of `{name}` get a proxy, since the installation says so for every namespace");
            report.say(&INJECTED_BY_DEFAULT, namespace, "metadata", text);
        } else {
            let text = format!("the namespace `{name}` does not say whether its pods get a proxy");
            let help = "label it `istio-injection: enabled` or `istio-injection: disabled`";
            report.advise(&NAMESPACE_NOT_INJECTED, namespace, "metadata.name", text, help);
        }
    }
}

/// The values of an installation's injector.
struct Values(String);

impl Values {
    fn read<T>(&self, path: &str, read: impl Fn(Tree<'_>) -> T) -> Option<T> {
        let parsed = crate::yaml::parse(&self.0);
        parsed.documents.first().map(|document| read(Tree::new(&document.root).at(path)))
    }

    fn at(&self, path: &str) -> bool {
        self.read(path, |tree| tree.is_set() && tree.bool()).unwrap_or_default()
    }

    /// The proxy's image.
    fn image(&self) -> String {
        let text = |path: &str| self.read(path, |tree| tree.text().to_owned()).unwrap_or_default();
        let image = text("global.proxy.image");
        if image.contains('/') { image } else { format!("{}/{image}:{}", text("global.hub"), text("global.tag")) }
    }
}

fn injector_name(revision: &str) -> String {
    const NAME: &str = "istio-sidecar-injector";
    if matches!(revision, "" | "default") { NAME.to_owned() } else { format!("{NAME}-{revision}") }
}

fn injector(world: &World<'_>, revision: Option<&str>) -> Option<Values> {
    let name = injector_name(revision.unwrap_or_default());
    let map = world.all(CONFIG_MAP).iter().find(|map| map.name() == name)?;
    Some(Values(map.root.at("data.values").text().to_owned()))
}

fn of_pod(world: &World<'_>, pod: &Pod<'_>, report: &mut Report) {
    let namespace = world.find(NAMESPACE, "", pod.namespace());
    let injected = namespace.is_some_and(|namespace| {
        namespace.name() != "istio-system"
            && namespace.label(DATA_PLANE) != Some("ambient")
            && namespace.label(LABEL) == Some("enabled")
    });
    let chosen = pod.labels.get(INJECT).or_else(|| pod.annotations.get(INJECT));
    let refused = chosen.is_some_and(|value| value.eq_ignore_ascii_case("false"));
    if injected && !refused && !pod.spec.get("hostNetwork").bool() && !pod.has_proxy() {
        let text = format!("the pod `{}` has no proxy", pod.resource.full_name());
        report.advise(&POD_MISSING_PROXY, &pod.resource, "metadata", text, "restart or redeploy it");
    }
}

fn images(world: &World<'_>, report: &mut Report) {
    let mut differ: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for pod in
        world.pods.iter().filter(|pod| !pod.template && !pod.annotations.contains_key("sidecar.istio.io/proxyImage"))
    {
        let label = |key| world.namespace_label(pod.namespace(), key);
        let revision = match (label(REVISION), label(LABEL)) {
            (Some(revision), _) => revision,
            (None, Some("enabled")) => "default",
            _ => continue,
        };
        let Some(values) = injector(world, Some(revision)) else { continue };
        let wanted = values.image();
        let variant = image_type(world, pod);
        let fits = |image: &str| image == wanted || image == format!("{wanted}-{variant}");
        let mut proxies = pod.containers().filter(|c| c.get("name").text() == "istio-proxy");
        if proxies.any(|proxy| !fits(proxy.get("image").text())) {
            differ.entry(pod.namespace()).or_default().push(pod.resource.name());
        }
    }
    for (name, pods) in differ {
        if let Some(namespace) = world.find(NAMESPACE, "", name) {
            let text = format!("the proxies of `{}` have another image than injection gives", pods.join("`, `"));
            report.say(&PROXY_IMAGE, namespace, "metadata", text);
        }
    }
}

/// The variant of the proxy's image that a pod gets. Istio: `analyzers/util/proxyconfig.go`.
fn image_type(world: &World<'_>, pod: &Pod<'_>) -> String {
    let of = |tree: Tree<'_>| Some(tree.at("image.imageType").text().to_owned()).filter(|text| !text.is_empty());
    let configs = || world.all(PROXY_CONFIG).iter();
    let here = || configs().filter(|c| c.namespace() == pod.namespace() && c.namespace() != world.root_namespace());
    let selector = |config: &Resource<'_>| config.spec.at("selector.matchLabels").labels();
    let own = pod.annotations.get("proxy.istio.io/config").map(|text| crate::yaml::parse(text));
    let own = own.as_ref().and_then(|parsed| parsed.documents.first());
    let found = (own.and_then(|document| of(Tree::new(&document.root))))
        .or_else(|| {
            let mut chosen = here().filter(|c| c.spec.get("selector").is_set() && is_subset(&selector(c), &pod.labels));
            chosen.find_map(|config| of(config.spec))
        })
        .or_else(|| here().filter(|config| !config.spec.get("selector").is_set()).find_map(|config| of(config.spec)))
        .or_else(|| configs().filter(|c| c.namespace() == world.root_namespace()).find_map(|config| of(config.spec)))
        .or_else(|| of(world.mesh.get("defaultConfig")));
    found.filter(|variant| variant != "default").unwrap_or_default()
}

fn auto_images(world: &World<'_>, report: &mut Report) {
    let is_auto = |spec: Tree<'_>| {
        let mut containers = spec.list("containers");
        containers.any(|c| c.get("name").text() == "istio-proxy" && c.get("image").text() == "auto")
    };
    for pod in world.pods.iter().filter(|pod| !pod.template && is_auto(pod.spec)) {
        let text = format!("the pod `{}` has `image: auto`, and nobody fills it in", pod.resource.name());
        report.say(&IMAGE_AUTO_POD, &pod.resource, "spec.containers", text);
    }
    let webhooks: Vec<Tree<'_>> = (world.all(MUTATING_WEBHOOKS).iter())
        .flat_map(|configuration| configuration.root.list("webhooks"))
        .filter(|webhook| webhook.get("name").text().ends_with("istio.io"))
        .collect();
    // Without the installation nobody knows its webhooks.
    if webhooks.is_empty() && !world.closed {
        return;
    }
    for deployment in world.all(DEPLOYMENT).iter().filter(|d| is_auto(d.spec.at("template.spec"))) {
        let home = if deployment.namespace().is_empty() { "default" } else { deployment.namespace() };
        let labels = world.find(NAMESPACE, "", home).map(|n| n.meta().labels.clone()).unwrap_or_default();
        let pods = deployment.spec.at("template.metadata.labels").labels();
        let injects = |webhook: &Tree<'_>| {
            webhooks::selects(webhook.get("namespaceSelector"), &labels)
                && webhooks::selects(webhook.get("objectSelector"), &pods)
        };
        if !webhooks.iter().any(injects) {
            let text = format!("`{}` has `image: auto`, and no injection webhook matches it", deployment.name());
            report.say(&IMAGE_AUTO_TEMPLATE, deployment, "spec.template", text);
        }
    }
}
