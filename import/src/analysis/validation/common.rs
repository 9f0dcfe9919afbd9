//! What several kinds share: selectors, `exportTo`, durations, destinations, references.

use super::{Found, names};
use crate::analysis::{tree::Tree, world::Resource};

/// A duration of whole milliseconds, at least one.
pub(super) fn duration(tree: Tree<'_>, path: &str, found: &mut Found) {
    if !tree.is_set() {
        return;
    }
    let nanos = tree.duration().unwrap_or(0);
    if nanos < 1_000_000 {
        found.error(path, "a duration must be at least 1ms");
    } else if !nanos.is_multiple_of(1_000_000) {
        found.error(path, "only durations of whole milliseconds are supported");
    }
}

pub(super) fn percent(tree: Tree<'_>, path: &str, found: &mut Found) {
    let value = tree.int();
    found.error_if(
        !(0..=100).contains(&value),
        path,
        format_args!("the percentage {value} is not in the range 0..100"),
    );
}

/// `labels` of the networking API's selectors. Errors end the whole check.
pub(super) fn workload_selector(spec: Tree<'_>, who: &str, found: &mut Found) -> bool {
    let selector = spec.get("workloadSelector");
    if !selector.is_set() {
        return true;
    }
    let labels = selector.get("labels").labels();
    let before = found.errors.len();
    wildcards(&labels, "spec.workloadSelector.labels", found);
    if found.errors.len() > before {
        return false;
    }
    if labels.is_empty() {
        let text = format!("{who}: the workload selector has no labels, and applies to the whole namespace");
        found.warning("spec.workloadSelector", text);
    }
    true
}

/// `matchLabels` of the security API's selectors.
pub(super) fn match_labels(selector: Tree<'_>, path: &str, found: &mut Found) {
    if selector.is_set() {
        let labels = selector.get("matchLabels").labels();
        wildcards(&labels, path, found);
        if labels.is_empty() {
            found.warning(path, "the workload selector has no labels");
        }
    }
}

fn wildcards(labels: &meshproof_model::Labels, path: &str, found: &mut Found) {
    for (key, value) in labels {
        found.error_if(
            key.is_empty(),
            path,
            format_args!("an empty key is not supported in a selector: `{key}={value}`"),
        );
        let wild = key.contains('*') || value.contains('*');
        found.error_if(wild, path, format_args!("a wildcard is not supported in a selector: `{key}={value}`"));
    }
}

/// At most one of `selector`, `targetRef` and `targetRefs`, and references to what policies attach to.
pub(super) fn attachment(spec: Tree<'_>, found: &mut Found) {
    const ALLOWED: &[(&str, &str)] = &[
        ("", "Service"),
        ("core", "Service"),
        ("networking.istio.io", "ServiceEntry"),
        ("gateway.networking.k8s.io", "Gateway"),
        ("gateway.networking.k8s.io", "GatewayClass"),
        ("gateway.networking.k8s.io", "HTTPRoute"),
    ];
    let single = spec.get("targetRef");
    let set = [spec.get("selector").is_set(), single.is_set(), spec.count("targetRefs") > 0];
    let several = set.into_iter().filter(|set| *set).count() > 1;
    found.error_if(several, "spec.targetRefs", "only one of `targetRefs` and `selector` can be set");
    match_labels(spec.get("selector"), "spec.selector", found);
    let all = spec.list("targetRefs").enumerate().map(|(i, tree)| (format!("spec.targetRefs[{i}]"), tree));
    for (path, reference) in std::iter::once(("spec.targetRef".to_owned(), single)).chain(all) {
        if !reference.is_set() {
            continue;
        }
        let (group, kind) = (reference.get("group").text(), reference.get("kind").text());
        found.error_if(reference.get("name").text().is_empty(), &path, "a reference must have a name");
        let elsewhere = !reference.get("namespace").text().is_empty();
        found.error_if(elsewhere, &path, "a reference must not have a namespace");
        let allowed = ALLOWED.contains(&(group, kind));
        found.error_if(!allowed, &path, format_args!("policies do not attach to `{group}/{kind}`"));
    }
}

/// `exportTo`. Istio: validateExportTo.
pub(super) fn export_to(resource: &Resource<'_>, entry: bool, selecting_rule: bool, found: &mut Found) {
    let (list, home, path) = (resource.spec.texts("exportTo"), resource.namespace(), "spec.exportTo");
    let mut set: Vec<&str> = Vec::new();
    for name in &list {
        let key = if *name == "." { home } else { name };
        if set.contains(&key) {
            found.error(path, format!("`exportTo` names `{key}` twice"));
        } else if (entry && *name == "~") || matches!(key, "*" | "." | "~") || names::is_label(key) {
            let refused = !entry && key == "~";
            if refused {
                found.error(path, "`~` is not allowed in `exportTo` here");
            } else {
                set.push(key);
            }
        } else {
            found.error(path, format!("`{key}` of `exportTo` is no namespace"));
        }
    }
    if selecting_rule && !set.is_empty() {
        if !set.contains(&home) {
            found.error(path, "a DestinationRule with a selector cannot be exported beyond its namespace");
        } else if set.len() > 1 {
            found.error(path, "a DestinationRule with a selector cannot have several entries in `exportTo`");
        }
    }
    found.error_if(set.contains(&"*") && list.len() > 1, path, "`exportTo` cannot have `*` and others");
    found.error_if(set.contains(&"~") && list.len() > 1, path, "`exportTo` cannot have `~` and others");
}

/// A destination of a route.
pub(super) fn destination(tree: Tree<'_>, path: &str, found: &mut Found) {
    if !tree.is_set() {
        return;
    }
    let host = tree.get("host").text();
    if host == "*" {
        found.error(path, "the destination host `*` is not allowed");
    } else {
        found.check(path, names::wildcard_domain(host));
    }
    let subset = tree.get("subset").text();
    if !subset.is_empty() {
        found.check(path, subset_name(subset));
    }
    if tree.get("port").is_set() {
        found.check(path, names::port(tree.at("port.number").int()));
    }
}

pub(super) fn subset_name(name: &str) -> Result<(), String> {
    match name {
        "" => Err("the name of a subset must not be empty".to_owned()),
        _ if names::is_label(name) => Ok(()),
        _ => Err(format!("`{name}` is not the name of a subset")),
    }
}

/// Gateways that routes are bound to.
pub(super) fn gateway_names(list: &[&str], path: &str, found: &mut Found) {
    for name in list {
        let Some((namespace, gateway)) = name.split_once('/') else {
            if name.contains('.') {
                found.warning(path, format!("`{name}` is a legacy name of a Gateway: write `namespace/name`"));
            }
            found.check(path, names::fqdn(name));
            // What comes after a short name is not looked at.
            return;
        };
        let empty = namespace.is_empty() || gateway.is_empty();
        found.error_if(empty, path, "namespace and name of a Gateway must not be empty");
        found.error_if(!names::is_label(namespace), path, format_args!("`{namespace}` is not the name of a namespace"));
        found.error_if(!names::is_label(gateway), path, format_args!("`{gateway}` is not the name of a Gateway"));
    }
}

/// Changes of headers.
pub(super) fn header_changes(headers: Tree<'_>, path: &str, found: &mut Found) {
    let internal = |name: &str| name.starts_with(':') || name.eq_ignore_ascii_case("host");
    let authority = |name: &str| name.eq_ignore_ascii_case(":authority") || name.eq_ignore_ascii_case("host");
    let named = |name: &str, sets_request: bool| {
        if name.is_empty() {
            Err("the name of a header must not be empty".to_owned())
        } else if internal(name) && !(sets_request && authority(name)) {
            Err(format!("the header `{name}` cannot be changed"))
        } else {
            Ok(())
        }
    };
    for side in ["request", "response"] {
        let tree = headers.get(side);
        for (name, value) in ["add", "set"].into_iter().flat_map(|action| tree.get(action).fields()) {
            found.check(path, named(name, side == "request"));
            found.check(path, header_value(value.text()));
        }
        for name in tree.texts("remove") {
            found.check(path, named(name, false));
        }
    }
}

/// A value with `%COMMAND%` in it. Istio: `header_value_validator.go`.
fn header_value(value: &str) -> Result<(), String> {
    let plain = value.bytes().all(|byte| byte >= 0x20 && byte != 0x7f || byte == b'\t');
    let mut percents = 0;
    let mut rest = value;
    while let Some((_, after)) = rest.split_once('%') {
        percents += 1;
        rest = after;
    }
    if plain && percents % 2 == 0 { Ok(()) } else { Err(format!("the value `{value}` of a header is not valid")) }
}
