//! Telemetries, `WasmPlugins`, `ProxyConfigs`. Istio: `ValidateTelemetry`, `ValidateWasmPlugin`, `ValidateProxyConfig`.

use super::{
    Found,
    common::{attachment, match_labels},
};
use crate::analysis::{tree::Tree, world::Resource};

pub(super) fn telemetry(telemetry: &Resource<'_>, found: &mut Found) {
    let spec = telemetry.spec;
    attachment(spec, found);
    for (i, metrics) in spec.list("metrics").enumerate() {
        check_metrics(metrics, &format!("spec.metrics[{i}]"), found);
    }
    if spec.count("tracing") > 1 {
        found.warning("spec.tracing", "only one `tracing` counts");
    }
    for (i, tracing) in spec.list("tracing").enumerate() {
        check_tracing(tracing, &format!("spec.tracing[{i}]"), found);
    }
    for (i, logging) in spec.list("accessLogging").enumerate() {
        providers(logging, &format!("spec.accessLogging[{i}]"), found);
    }
}

fn providers(tree: Tree<'_>, path: &str, found: &mut Found) {
    let unnamed = tree.list("providers").any(|provider| provider.get("name").text().is_empty());
    found.error_if(unnamed, path, "a provider needs a name");
}

fn check_metrics(metrics: Tree<'_>, path: &str, found: &mut Found) {
    providers(metrics, path, found);
    for change in metrics.list("overrides") {
        for (name, tag) in change.get("tagOverrides").fields() {
            if name.is_empty() {
                found.warning(path, "a tag needs a name");
            }
            let (operation, value) = (tag.get("operation").text(), tag.get("value").text());
            if !tag.is_set() {
                found.error(path, "a tag may not be null");
            } else if operation == "REMOVE" {
                found.error_if(!value.is_empty(), path, "the value of a tag is for UPSERT");
            } else {
                found.error_if(value.is_empty(), path, "UPSERT of a tag needs a value");
            }
        }
        let custom = change.at("match.customMetric");
        found.error_if(custom.is_set() && custom.text().is_empty(), path, "`customMetric` must not be empty");
    }
}

fn check_tracing(tracing: Tree<'_>, path: &str, found: &mut Found) {
    if tracing.count("providers") > 1 {
        found.warning(path, "only one provider of `tracing` counts");
    }
    providers(tracing, path, found);
    let share = tracing.get("randomSamplingPercentage").number();
    let text = "`randomSamplingPercentage` is in the range [0, 100]";
    found.error_if(!(0.0..=100.0).contains(&share), path, text);
    for (name, tag) in tracing.get("customTags").fields() {
        found.error_if(name.is_empty(), path, "a tag needs a name");
        found.error_if(!tag.is_set(), path, format_args!("the tag `{name}` may not be null"));
        for (kind, key) in [("literal", "value"), ("header", "name"), ("environment", "name")] {
            let empty = tag.get(kind).is_set() && tag.get(kind).get(key).text().is_empty();
            found.error_if(empty, path, format_args!("the {kind} of a tag must not be empty"));
        }
    }
}

/// Only the first thing that is wrong with each field is told.
pub(super) fn wasm_plugin(plugin: &Resource<'_>, found: &mut Found) {
    let spec = plugin.spec;
    attachment(spec, found);
    let url = spec.get("url").text();
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    if url.is_empty() {
        found.error("spec", "a WasmPlugin needs a `url`");
    } else if !matches!(scheme, "" | "file" | "http" | "https" | "oci") {
        found.error("spec.url", format!("modules are not fetched over `{scheme}`"));
    }
    let hash = spec.get("sha256").text();
    if !hash.is_empty() && hash.len() != 64 {
        found.error("spec.sha256", "`sha256` has 64 digits");
    } else if !hash.bytes().all(|byte| matches!(byte, b'a'..=b'f' | b'0'..=b'9')) {
        found.error("spec.sha256", "`sha256` has the digits 0 to 9 and a to f");
    }
    let long = |key: &str, most: usize| spec.get(key).text().len() > most;
    found.error_if(long("imagePullSecret", 253), "spec.imagePullSecret", "`imagePullSecret` is too long");
    found.error_if(long("pluginName", 256), "spec.pluginName", "`pluginName` is too long");
    let unnamed = spec.at("vmConfig").list("env").any(|variable| variable.get("name").text().is_empty());
    found.error_if(unnamed, "spec.vmConfig", "a variable needs a name");
}

pub(super) fn proxy_config(config: &Resource<'_>, found: &mut Found) {
    match_labels(config.spec.get("selector"), "spec.selector", found);
    let negative = config.spec.get("concurrency").int() < 0;
    found.error_if(negative, "spec.concurrency", "`concurrency` must not be negative");
}
