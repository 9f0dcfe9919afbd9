//! Patches of `EnvoyFilters` whose operation does not do what it says (`IST0151` to `IST0155`). Istio:
//! `analyzers/envoyfilter`.

use super::{
    message::{ADD_PATCH, Message, RELATIVE_PATCH, RELATIVE_PATCH_OF_VERSION, REMOVE_PATCH, REPLACE_PATCH},
    report::Report,
    tree::Tree,
    world::{ENVOY_FILTER, Resource, World},
};

pub(super) fn check(world: &World<'_>, report: &mut Report) {
    // Names of filters in patches for a version of the proxy, so far.
    let mut versioned: Vec<String> = Vec::new();
    for filter in world.all(ENVOY_FILTER) {
        for (i, patch) in filter.spec.list("configPatches").enumerate() {
            if !patch.get("patch").is_set() {
                break;
            }
            let name = filter_name(patch);
            if let Some((message, text)) = judge(filter, patch, versioned.contains(&name)) {
                report.say(message, filter, &format!("spec.configPatches[{i}].patch.value"), text);
            }
            if !patch.at("match.proxy.proxyVersion").text().is_empty() {
                versioned.push(name);
            }
        }
    }
}

fn judge(filter: &Resource<'_>, patch: Tree<'_>, versioned: bool) -> Option<(&'static Message, &'static str)> {
    let routes = matches!(patch.get("applyTo").text(), "ROUTE_CONFIGURATION" | "HTTP_ROUTE");
    let filters = matches!(patch.get("applyTo").text(), "NETWORK_FILTER" | "HTTP_FILTER");
    match patch.at("patch.operation").text() {
        "ADD" if routes => Some((&ADD_PATCH, "`ADD` is ignored for route configurations and HTTP routes")),
        "REMOVE" if routes => Some((&REMOVE_PATCH, "`REMOVE` is ignored for route configurations and HTTP routes")),
        "REPLACE" if !filters => Some((&REPLACE_PATCH, "`REPLACE` is for HTTP filters and network filters only")),
        "REMOVE" | "REPLACE" | "INSERT_BEFORE" | "INSERT_AFTER" if filter.spec.get("priority").int() == 0 => {
            Some(if versioned {
                let text = "the patch depends on the order of filters, has no `priority`, and another is for a version";
                (&RELATIVE_PATCH_OF_VERSION, text)
            } else {
                (&RELATIVE_PATCH, "the patch depends on the order of filters, and the EnvoyFilter has no `priority`")
            })
        }
        _ => None,
    }
}

/// The name that a patch is about; Istio keeps names of values and of matches apart.
fn filter_name(patch: Tree<'_>) -> String {
    let value = patch.at("patch.value");
    if !value.is_set() {
        String::new()
    } else if value.get("name").is_set() {
        format!("value {}", value.get("name").text())
    } else {
        patch.at("match.listener.filterChain.filter.name").text().to_owned()
    }
}
