//! Webhooks of Istio's injection that overlap or call nobody (`IST0139`, `IST0163`, `IST0164`). Istio:
//! `analyzers/webhook`, `analyzers/externalcontrolplane`.

use std::{
    collections::{BTreeMap, BTreeSet},
    net::IpAddr,
};

use meshproof_model::Labels;

use super::{
    message::{CONTROL_PLANE_ADDRESS, EXTERNAL_CONTROL_PLANE, INVALID_WEBHOOK},
    report::Report,
    tree::Tree,
    world::{MUTATING_WEBHOOKS, Resource, SERVICE, VALIDATING_WEBHOOKS, World},
};

const REVISION: &str = "istio.io/rev";

pub(super) fn check(world: &World<'_>, report: &mut Report) {
    let istios: Vec<&Resource<'_>> = world.all(MUTATING_WEBHOOKS).iter().filter(|c| is_istios(c)).collect();
    overlaps(&istios, report);
    services(world, &istios, report);
    external(world, report);
}

fn is_istios(configuration: &Resource<'_>) -> bool {
    let mut names = configuration.root.list("webhooks").map(|webhook| webhook.get("name").text());
    !revisions(configuration).is_empty() || names.any(|name| name.ends_with("istio.io"))
}

/// Revisions that a configuration names.
fn revisions(configuration: &Resource<'_>) -> BTreeSet<String> {
    let mut found: BTreeSet<String> = configuration.label(REVISION).map(str::to_owned).into_iter().collect();
    for webhook in configuration.root.list("webhooks") {
        for selector in ["namespaceSelector", "objectSelector"].map(|key| webhook.get(key)) {
            found.extend(selector.get("matchLabels").labels().remove(REVISION));
            let named = selector.list("matchExpressions").filter(|e| e.get("key").text() == REVISION);
            found.extend(named.flat_map(|expression| expression.texts("values")).map(str::to_owned));
        }
    }
    found
}

fn overlaps(istios: &[&Resource<'_>], report: &mut Report) {
    let revisions: BTreeSet<String> = istios.iter().flat_map(|configuration| revisions(configuration)).collect();
    let combinations = |key: &str, values: [&str; 2]| {
        let mut all = vec![Labels::new()];
        all.extend(values.map(|value| Labels::from([(key.to_owned(), value.to_owned())])));
        let base = all.clone();
        for revision in &revisions {
            all.extend(base.iter().cloned().map(|mut labels| {
                labels.insert(REVISION.to_owned(), revision.clone());
                labels
            }));
        }
        all
    };
    let namespaces = combinations("istio-injection", ["enabled", "disabled"]);
    let objects = combinations("sidecar.istio.io/inject", ["true", "false"]);
    for namespace in &namespaces {
        for object in &objects {
            let mut matches: BTreeMap<String, &Resource<'_>> = BTreeMap::new();
            for configuration in istios {
                for webhook in configuration.root.list("webhooks") {
                    if selects(webhook.get("namespaceSelector"), namespace)
                        && selects(webhook.get("objectSelector"), object)
                    {
                        let name = format!("{}/{}", configuration.full_name(), webhook.get("name").text());
                        matches.insert(name, configuration);
                    }
                }
            }
            for (name, configuration) in matches.iter().filter(|_| matches.len() > 1) {
                let others: Vec<&str> = matches.keys().filter(|other| *other != name).map(String::as_str).collect();
                let text = format!("it injects pods that `{}` injects too", others.join("`, `"));
                report.say(&INVALID_WEBHOOK, configuration, "metadata", text);
            }
        }
    }
}

fn services(world: &World<'_>, istios: &[&Resource<'_>], report: &mut Report) {
    for configuration in istios {
        for webhook in configuration.root.list("webhooks") {
            let service = webhook.at("clientConfig.service");
            let (namespace, name) = (service.get("namespace").text(), service.get("name").text());
            let judged = world.closed || world.all(SERVICE).iter().any(|service| service.namespace() == namespace);
            if service.is_set() && judged && world.find(SERVICE, namespace, name).is_none() {
                let text = format!("it calls the service `{namespace}/{name}`, which does not exist");
                report.say(&INVALID_WEBHOOK, configuration, "metadata", text);
            }
        }
    }
}

/// Names of hosts are not looked up: what a name means is not in the manifests, except that some mean nothing.
fn external(world: &World<'_>, report: &mut Report) {
    let is_ours = |resource: &&Resource<'_>| {
        let name = resource.name();
        name == "istiod-default-validator" || name.starts_with("istio-validator")
    };
    let validating = world.all(VALIDATING_WEBHOOKS).iter().filter(is_ours);
    let injector = |resource: &&Resource<'_>| resource.name().starts_with("istio-sidecar-injector");
    for configuration in validating.chain(world.all(MUTATING_WEBHOOKS).iter().filter(injector)) {
        for webhook in configuration.root.list("webhooks") {
            let name = webhook.get("name").text();
            let client = webhook.get("clientConfig");
            let url = client.get("url");
            match host_of(url.text()) {
                _ if !url.is_set() && client.get("service").is_set() => {}
                _ if !url.is_set() => {
                    let text = format!("the webhook `{name}` names neither an address nor a service");
                    report.say(&EXTERNAL_CONTROL_PLANE, configuration, "metadata", text);
                }
                None => {
                    let text = format!("the webhook `{name}` has an address that is no URL: `{}`", url.text());
                    report.say(&EXTERNAL_CONTROL_PLANE, configuration, "metadata", text);
                }
                Some(host) if host.parse::<IpAddr>().is_ok() => {
                    let text = format!("the webhook `{name}` calls an IP address: `{}`", url.text());
                    report.say(&CONTROL_PLANE_ADDRESS, configuration, "metadata", text);
                }
                Some(host) if resolves_nowhere(host) => {
                    let text = format!("the webhook `{name}` calls a name that means nothing: `{}`", url.text());
                    report.say(&EXTERNAL_CONTROL_PLANE, configuration, "metadata", text);
                }
                Some(_) => {}
            }
        }
    }
}

/// Whether no resolver knows a name, whatever the day: it is a single label, or of a top level that stands for nobody
/// (RFC 6761).
fn resolves_nowhere(host: &str) -> bool {
    const NOBODY: &[&str] = &["invalid", "test", "example", "local"];
    let host = host.trim_end_matches('.').to_ascii_lowercase();
    host.rsplit_once('.').map_or(host != "localhost", |(_, top)| NOBODY.contains(&top))
}

/// The host of a URL; `None`: it is none.
fn host_of(url: &str) -> Option<&str> {
    let (scheme, rest) = url.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let authority = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    let host = match authority.strip_prefix('[') {
        Some(inside) => inside.split_once(']')?.0,
        None => authority.split_once(':').map_or(authority, |(host, _)| host),
    };
    let valid = scheme.chars().all(|c| c.is_ascii_alphanumeric()) && !host.is_empty() && !host.contains(' ');
    valid.then_some(host)
}

/// Whether a label selector of Kubernetes matches; an absent one matches everything.
pub(super) fn selects(selector: Tree<'_>, labels: &Labels) -> bool {
    let exact = selector.get("matchLabels").labels();
    meshproof_model::is_subset(&exact, labels)
        && selector.list("matchExpressions").all(|expression| {
            let value = labels.get(expression.get("key").text()).map(String::as_str);
            let listed = value.is_some_and(|value| expression.texts("values").contains(&value));
            match expression.get("operator").text() {
                "In" => listed,
                "NotIn" => !listed,
                "Exists" => value.is_some(),
                "DoesNotExist" => value.is_none(),
                _ => false,
            }
        })
}
