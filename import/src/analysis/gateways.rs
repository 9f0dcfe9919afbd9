//! Gateways: selectors, ports, credentials, hosts that another Gateway has too (`IST0101`, `IST0138`, `IST0145`,
//! `IST0161`, `IST0162`). Istio: `analyzers/gateway`.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_model::{Labels, is_subset};

use super::{
    message::{
        CONFLICTING_GATEWAYS, CREDENTIAL_NOT_FOUND, INVALID_CREDENTIAL, PORT_NOT_ON_SERVICE, SELECTOR_NOT_FOUND,
        SHARED_CERTIFICATE,
    },
    report::Report,
    tree::Tree,
    world::{GATEWAY, Pod, Resource, SECRET, SERVICE, World, selector_text},
};

pub(super) fn check(world: &World<'_>, report: &mut Report) {
    for gateway in world.all(GATEWAY) {
        let selector = gateway.spec.get("selector").labels();
        let pods: Vec<&Pod<'_>> = world.selected(&selector).collect();
        if pods.is_empty() {
            // An entry of another name is installed beside the manifests more often than not.
            if world.closed {
                unmatched(gateway, &selector, report);
            }
        } else {
            ports(world, gateway, &selector, &pods, report);
            credentials(world, gateway, &selector, &pods, report);
        }
        certificates(world, gateway, &selector, report);
    }
    conflicts(world, report);
}

fn unmatched(gateway: &Resource<'_>, selector: &Labels, report: &mut Report) {
    let text = format!("no pod has the labels `{}` of the selector", selector_text(selector));
    report.say(&SELECTOR_NOT_FOUND, gateway, &selector_path(selector), text);
}

/// The place that Istio shows for a selector.
fn selector_path(selector: &Labels) -> String {
    selector.keys().next().map_or_else(|| "spec.selector".to_owned(), |key| format!("spec.selector.{key}"))
}

fn ports(world: &World<'_>, gateway: &Resource<'_>, selector: &Labels, pods: &[&Pod<'_>], report: &mut Report) {
    let mut exposed = BTreeSet::new();
    for service in world.all(SERVICE) {
        let selects = service.spec.get("selector").labels();
        let serves = |pod: &&Pod<'_>| pod.namespace() == service.namespace() && is_subset(&selects, &pod.labels);
        if pods.iter().any(serves) {
            let tcp = |port: &Tree<'_>| {
                let protocol = port.get("protocol").text();
                // The API server fills in what is left out.
                protocol == "TCP" || (protocol.is_empty() && !world.closed)
            };
            // Istiod finds the port by either number; Istio's analysis knows the one that the proxy listens on.
            for port in service.spec.list("ports").filter(tcp) {
                let (number, target) = (port.get("port").int(), port.get("targetPort").int());
                exposed.extend(Some(number).filter(|_| target == 0 || !world.closed));
                exposed.extend(Some(target).filter(|target| *target != 0));
            }
        }
    }
    if !world.closed && (exposed.is_empty() || pods.iter().all(|pod| pod.installed)) {
        return;
    }
    for server in gateway.spec.list("servers").filter(|server| server.get("port").is_set()) {
        let number = server.at("port.number").int();
        if !exposed.contains(&number) {
            let text = format!("no Service of the pods `{}` exposes port {number}", selector_text(selector));
            report.say(&PORT_NOT_ON_SERVICE, gateway, &selector_path(selector), text);
        }
    }
}

fn credentials(world: &World<'_>, gateway: &Resource<'_>, selector: &Labels, pods: &[&Pod<'_>], report: &mut Report) {
    let Some(namespace) = pods.first().map(|pod| pod.namespace()) else { return };
    if namespace.is_empty() && world.closed {
        // Istio takes a pod without a namespace for none.
        return unmatched(gateway, selector, report);
    }
    for (i, server) in gateway.spec.list("servers").enumerate() {
        let name = server.at("tls.credentialName").text();
        if name.is_empty() {
            continue;
        }
        let path = format!("spec.servers[{i}].tls.credentialName");
        let Some(secret) = world.find_named(SECRET, namespace, name) else {
            let judged = world.closed || world.all(SECRET).iter().any(|secret| secret.namespace() == namespace);
            if judged {
                let text = format!("no Secret `{name}` is in `{namespace}`, where the gateway's pods are");
                report.say(&CREDENTIAL_NOT_FOUND, gateway, &path, text);
            }
            continue;
        };
        if !holds_certificate(secret) {
            let text = format!("the Secret `{}` holds no certificate that can be read", secret.full_name());
            report.say(&INVALID_CREDENTIAL, gateway, &path, text);
        }
    }
}

/// Whether a Secret has a certificate and its key. Istio: `pilot/pkg/credentials/kube.ExtractCertInfo`.
fn holds_certificate(secret: &Resource<'_>) -> bool {
    let data = |key: &str| match secret.root.get("stringData").get(key).text() {
        "" => super::validation::base64(secret.root.get("data").get(key).text()),
        text => Some(text.as_bytes().to_vec()),
    };
    let pair = [("cert", "key"), ("tls.crt", "tls.key")].into_iter().find_map(|(certificate, key)| {
        let (certificate, key) = (data(certificate)?, data(key)?);
        (!certificate.is_empty() && !key.is_empty()).then_some(certificate)
    });
    pair.is_some_and(|certificate| super::validation::is_certificate(&certificate))
}

fn certificates(world: &World<'_>, gateway: &Resource<'_>, selector: &Labels, report: &mut Report) {
    for other in world.all(GATEWAY).iter().filter(|other| other.meta().resource != gateway.meta().resource) {
        if !is_subset(selector, &other.spec.get("selector").labels()) {
            continue;
        }
        for own in gateway.spec.list("servers") {
            if other.spec.list("servers").any(|server| is_same_certificate(own.get("tls"), server.get("tls"))) {
                let text = format!("`{}` serves the same certificate to the same clients", other.full_name());
                let help = "put the hosts of one certificate into one Gateway";
                report.advise(&SHARED_CERTIFICATE, gateway, "metadata.name", text, help);
            }
        }
    }
}

fn is_same_certificate(a: Tree<'_>, b: Tree<'_>) -> bool {
    let same = |key: &str| !a.get(key).text().is_empty() && a.get(key).text() == b.get(key).text();
    let local = |tls: Tree<'_>| tls.get("credentialName").text().is_empty();
    same("credentialName") || (local(a) && local(b) && same("serverCertificate") && same("privateKey"))
}

/// Hosts and binds of a Gateway at a port.
type Served<'a> = BTreeMap<&'a str, &'a str>;

fn conflicts(world: &World<'_>, report: &mut Report) {
    // By selector and port, then by Gateway: of several servers at a port the last one counts.
    let mut served: BTreeMap<(String, i64), BTreeMap<String, Served<'_>>> = BTreeMap::new();
    let of = |gateway: &Resource<'_>| gateway.spec.get("selector").labels();
    let mut selectors: BTreeMap<String, Labels> = BTreeMap::new();
    for gateway in world.all(GATEWAY) {
        let selector = of(gateway);
        for server in gateway.spec.list("servers") {
            let bind = server.get("bind").text();
            let by_host = server.texts("hosts").into_iter().map(|host| (host, bind)).collect();
            let key = (selector_text(&selector), server.at("port.number").int());
            served.entry(key).or_default().insert(gateway.full_name(), by_host);
        }
        selectors.insert(selector_text(&selector), selector);
    }
    for gateway in world.all(GATEWAY) {
        let (selector, name) = (of(gateway), gateway.full_name());
        let text = selector_text(&selector);
        let meets = |other: &String| {
            let nested = other.contains(&text) || text.contains(other.as_str());
            let both = |pod: &Pod<'_>| {
                is_subset(&selector, &pod.labels) && selectors.get(other).is_some_and(|o| is_subset(o, &pod.labels))
            };
            *other == text || (nested && world.selectable().any(both))
        };
        let met: BTreeSet<&str> = selectors.keys().filter(|other| meets(other)).map(String::as_str).collect();
        for (i, server) in gateway.spec.list("servers").enumerate() {
            let (port, bind, hosts) =
                (server.at("port.number").int(), server.get("bind").text(), server.texts("hosts"));
            let mut others = BTreeSet::new();
            let at_port = served.iter_mut().filter(|((s, number), _)| *number == port && met.contains(s.as_str()));
            for (other, by_host) in at_port.flat_map(|(_, gateways)| gateways).filter(|(other, _)| **other != name) {
                if hosts.iter().any(|host| by_host.get(host) == Some(&bind)) {
                    others.insert(other.as_str());
                } else if world.closed {
                    // Istio notes the hosts that it compared, so that it meets them again in the same Gateway.
                    by_host.extend(hosts.iter().map(|host| (*host, bind)));
                }
            }
            if !others.is_empty() {
                let others = others.into_iter().collect::<Vec<_>>().join("`, `");
                let list = hosts.join(", ");
                let text = format!("`{others}` selects the same pods and serves `{list}` on port {port} too");
                report.say(&CONFLICTING_GATEWAYS, gateway, &format!("spec.servers[{i}]"), text);
            }
        }
    }
}
