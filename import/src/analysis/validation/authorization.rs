//! `AuthorizationPolicies` and `PeerAuthentications`. Istio: `ValidateAuthorizationPolicy`, `ValidatePeerAuthentication`.

use super::{
    Found,
    common::{attachment, match_labels},
    names,
};
use crate::analysis::{annotations::is_range, tree::Tree, world::Resource};

const SOURCES: &[&str] = &[
    "principals",
    "requestPrincipals",
    "namespaces",
    "serviceAccounts",
    "ipBlocks",
    "remoteIpBlocks",
    "notPrincipals",
    "notRequestPrincipals",
    "notNamespaces",
    "notServiceAccounts",
    "notIpBlocks",
    "notRemoteIpBlocks",
];
const OPERATIONS: &[&str] = &["ports", "methods", "paths", "hosts", "notPorts", "notMethods", "notPaths", "notHosts"];

pub(super) fn check(policy: &Resource<'_>, found: &mut Found) {
    let spec = policy.spec;
    attachment(spec, found);
    let action = match spec.get("action").text() {
        "" => "ALLOW",
        action => action,
    };
    let (has_rules, provider) = (spec.get("rules").is_set(), spec.get("provider"));
    if action == "CUSTOM" {
        if has_rules {
            let unnamed = provider.get("name").text().is_empty();
            found.error_if(unnamed, "spec.provider", "CUSTOM needs the name of a provider");
        } else {
            found.error("spec", "CUSTOM without `rules` is never asked: add an empty rule `{}`");
        }
        for (i, rule) in spec.list("rules").enumerate() {
            custom(rule, &format!("spec.rules[{i}]"), found);
        }
    }
    let text = format!("`provider` is for CUSTOM, not for {action}");
    found.error_if(provider.is_set() && action != "CUSTOM", "spec.provider", text);
    let silent = action == "DENY" && !has_rules;
    found.error_if(silent, "spec", "DENY without `rules` denies nothing: add an empty rule `{}`");
    for (i, rule) in spec.list("rules").enumerate() {
        check_rule(rule, i, action, found);
    }
}

/// What an external authorizer cannot be asked by.
fn custom(rule: Tree<'_>, path: &str, found: &mut Found) {
    const NOT: &[&str] =
        &["namespaces", "notNamespaces", "principals", "notPrincipals", "requestPrincipals", "notRequestPrincipals"];
    for source in rule.list("from").map(|from| from.get("source")) {
        for key in NOT {
            let text = format!("`{key}` is not supported with CUSTOM");
            found.error_if(source.count(key) > 0, path, text);
        }
    }
    for key in rule.list("when").map(|when| when.get("key").text()) {
        let refused = matches!(key, "source.namespace" | "source.principal") || key.starts_with("request.auth.");
        found.error_if(refused, path, format_args!("`{key}` is not supported with CUSTOM"));
    }
}

fn check_rule(rule: Tree<'_>, i: usize, action: &str, found: &mut Found) {
    let path = format!("spec.rules[{i}]");
    let empty = |key: &str| rule.get(key).is_set() && rule.count(key) == 0;
    found.error_if(empty("from"), &path, format_args!("`from` must not be empty, in rule {i}"));
    let (mut tcp_from, mut tcp_to, mut has_from, mut has_to) = (false, false, false, false);
    for source in rule.list("from").map(|from| from.get("source")) {
        if !source.is_set() {
            found.error(path.clone(), format!("`from.source` must not be null, in rule {i}"));
            continue;
        }
        has_from = true;
        lists(source, SOURCES, "from.source", i, &path, found);
        for key in ["ipBlocks", "notIpBlocks", "remoteIpBlocks", "notRemoteIpBlocks"] {
            ips(&source.texts(key), &path, found);
        }
        tcp_from |= SOURCES.iter().any(|key| !key.ends_with("equestPrincipals") && source.get(key).is_set());
    }
    found.error_if(empty("to"), &path, format_args!("`to` must not be empty, in rule {i}"));
    for operation in rule.list("to").map(|to| to.get("operation")) {
        if !operation.is_set() {
            found.error(path.clone(), format!("`to.operation` must not be null, in rule {i}"));
            continue;
        }
        has_to = true;
        lists(operation, OPERATIONS, "to.operation", i, &path, found);
        for key in ["ports", "notPorts"] {
            ports(&operation.texts(key), &path, found);
        }
        for key in ["paths", "notPaths"] {
            let bad = operation.texts(key).into_iter().any(is_bad_template);
            found.error_if(bad, &path, format_args!("a path template of `{key}` is not supported"));
        }
        tcp_to |= operation.get("ports").is_set() || operation.get("notPorts").is_set();
    }
    for condition in rule.list("when") {
        check_condition(condition, &path, found);
    }
    let http_only = (has_from && !has_to && !tcp_from) || (has_to && !tcp_to);
    if http_only && action == "DENY" {
        let text = "a DENY rule with attributes of HTTP only denies all traffic of TCP ports: name the ports";
        found.warning(path, text);
    }
}

/// Lists of which one must say something, and none an empty text.
fn lists(tree: Tree<'_>, keys: &[&str], name: &str, i: usize, path: &str, found: &mut Found) {
    let none = keys.iter().all(|key| tree.count(key) == 0);
    found.error_if(none, path, format_args!("`{name}` must not be empty, in rule {i}"));
    for key in keys {
        found.error_if(tree.texts(key).contains(&""), path, format_args!("an empty value is not allowed in `{key}`"));
    }
}

fn ips(list: &[&str], path: &str, found: &mut Found) {
    for text in list {
        let valid = if text.contains('/') { is_range(text) } else { names::is_ip(text) };
        found.error_if(!valid, path, format_args!("`{text}` is neither an IP address nor a range"));
    }
}

fn ports(list: &[&str], path: &str, found: &mut Found) {
    for text in list {
        found.error_if(text.parse::<u16>().is_err(), path, format_args!("`{text}` is not a port"));
    }
}

/// A template of paths with parts that are not supported: names, and wildcards outside of braces.
fn is_bad_template(path: &str) -> bool {
    let is_template = path.contains("{*}") || path.contains("{**}");
    let parts = path.split('/').filter(|part| !matches!(*part, "{*}" | "{**}"));
    is_template && parts.into_iter().any(|part| part.contains(['*', '{', '}']))
}

fn check_condition(condition: Tree<'_>, path: &str, found: &mut Found) {
    let key = condition.get("key").text();
    if key.is_empty() {
        return found.error(path, "a condition needs a key");
    }
    if condition.count("values") == 0 && condition.count("notValues") == 0 {
        return found.error(path, format!("the condition on `{key}` needs `values` or `notValues`"));
    }
    for list in ["values", "notValues"] {
        if let Err(text) = attribute(key, &condition.texts(list)) {
            found.error(path, format!("`{list}` of the condition on `{key}`: {text}"));
        }
    }
}

fn attribute(key: &str, values: &[&str]) -> Result<(), String> {
    if values.contains(&"") {
        return Err("an empty value is not allowed".to_owned());
    }
    let bracketed = || {
        let open = key.find('[').unwrap_or(0);
        let valid = key.ends_with(']') && open > 0 && open + 2 < key.len();
        if valid { Ok(()) } else { Err("the key is of the form `a[b]`".to_owned()) }
    };
    let all = |valid: &dyn Fn(&str) -> bool, what: &str| match values.iter().find(|value| !valid(value)) {
        Some(value) => Err(format!("`{value}` is not {what}")),
        None => Ok(()),
    };
    let is_ip = |text: &str| if text.contains('/') { is_range(text) } else { names::is_ip(text) };
    match key {
        "source.ip" | "remote.ip" | "destination.ip" => all(&is_ip, "an IP address"),
        "destination.port" => all(&|text| text.parse::<u16>().is_ok(), "a port"),
        "source.namespace" | "source.principal" | "source.serviceAccount" | "connection.sni" => Ok(()),
        "request.auth.principal" | "request.auth.audiences" | "request.auth.presenter" => Ok(()),
        _ if key.starts_with("request.headers") || key.starts_with("request.auth.claims") => bracketed(),
        _ if key.starts_with("experimental.envoy.filters.") => bracketed(),
        _ => Err("there is no such attribute".to_owned()),
    }
}

pub(super) fn peer_authentication(policy: &Resource<'_>, found: &mut Found) {
    let (spec, ports) = (policy.spec, policy.spec.get("portLevelMtls"));
    let numbers: Vec<&str> = ports.fields().map(|(port, _)| port).collect();
    let everyone = spec.at("selector.matchLabels").fields().next().is_none();
    let path = "spec.portLevelMtls";
    let text = "a policy without a selector cannot have modes of ports";
    found.error_if(everyone && !numbers.is_empty(), path, text);
    found.error_if(ports.is_set() && numbers.is_empty(), path, "`portLevelMtls` needs at least one port");
    for number in numbers {
        let valid = number.parse::<u16>().is_ok_and(|number| number > 0);
        found.error_if(!valid, path, "a port is between 1 and 65535");
    }
    match_labels(spec.get("selector"), "spec.selector", found);
}
