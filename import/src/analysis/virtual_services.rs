//! `VirtualServices`: hosts of several (`IST0109`), destinations (`IST0101`, `IST0112`, `IST0140`), gateways (`IST0101`,
//! `IST0132`, `IST0165`), claims of tokens (`IST0149`). Istio: `analyzers/virtualservice`.

use std::collections::{BTreeMap, BTreeSet};

use meshproof_model::{Labels, is_subset};

use super::{
    hosts::{Host, Hosts, full_host, is_public, overlap, resource_of},
    message::{
        CONFLICTING_HOSTS, GATEWAY_NOT_FOUND, GENERATED_GATEWAY, HOST_NOT_FOUND, HOST_NOT_IN_GATEWAY,
        INGRESS_NOT_AFFECTED, Message, PORT_REQUIRED, SUBSET_NOT_FOUND, UNVERIFIED_CLAIM,
    },
    report::Report,
    tree::Tree,
    world::{
        DESTINATION_RULE, GATEWAY, KUBERNETES_GATEWAY, Pod, REQUEST_AUTHENTICATION, Resource, VIRTUAL_SERVICE, World,
    },
};

pub(super) fn check(world: &World<'_>, report: &mut Report) {
    let hosts = Hosts::new(world);
    let subsets = subsets(world);
    let routed = routed_to_subsets(world);
    for service in world.all(VIRTUAL_SERVICE) {
        for destination in destinations(service) {
            destination_host(&hosts, service, &destination, report);
            destination_subset(&subsets, service, &destination, report);
        }
        ingress(&routed, service, report);
        gateways(world, service, report);
        claims(world, service, report);
    }
    same_host(world, report);
}

/// Where a route or mirror sends requests, and the place of its host.
struct Destination<'a> {
    tree: Tree<'a>,
    path: String,
    /// Whether Istio shows the line.
    lined: bool,
}

impl Destination<'_> {
    fn say(
        &self,
        message: &'static Message,
        about: &Resource<'_>,
        text: String,
        help: Option<&str>,
        report: &mut Report,
    ) {
        match help {
            _ if !self.lined => report.say_of_object(message, about, &self.path, text),
            Some(help) => report.advise(message, about, &self.path, text, help),
            None => report.say(message, about, &self.path, text),
        }
    }
}

fn destinations<'a>(service: &Resource<'a>) -> Vec<Destination<'a>> {
    let mut all = Vec::new();
    for kind in ["tcp", "tls", "http"] {
        for (i, rule) in service.spec.list(kind).enumerate() {
            for (j, route) in rule.list("route").enumerate() {
                let path = format!("spec.{kind}[{i}].route[{j}].destination.host");
                all.push(Destination { tree: route.get("destination"), path, lined: true });
            }
        }
    }
    for (i, rule) in service.spec.list("http").enumerate() {
        if rule.get("mirror").is_set() {
            let path = format!("spec.http[{i}].mirror.host");
            all.push(Destination { tree: rule.get("mirror"), path, lined: true });
        }
        for (j, mirror) in rule.list("mirrors").enumerate() {
            let path = format!("spec.http[{i}].mirrors[{j}].destination.host");
            all.push(Destination { tree: mirror.get("destination"), path, lined: false });
        }
    }
    all
}

fn destination_host(hosts: &Hosts, service: &Resource<'_>, destination: &Destination<'_>, report: &mut Report) {
    let host = destination.tree.get("host").text();
    let export_to = service.spec.texts("exportTo");
    let Some(Host { ports, .. }) = hosts.find(service.namespace(), &export_to, host) else {
        let text = format!("no service has the host `{host}`");
        return destination.say(&HOST_NOT_FOUND, service, text, None, report);
    };
    let port = destination.tree.get("port");
    if port.is_set() {
        let number = port.get("number").int();
        if !ports.contains(&number) {
            let text = format!("`{host}` has no port {number}");
            destination.say(&HOST_NOT_FOUND, service, text, None, report);
        }
    } else if ports.len() > 1 {
        let list = ports.iter().map(i64::to_string).collect::<Vec<_>>().join(", ");
        let text = format!("`{host}` has the ports {list}, and the route does not say which");
        let help = "add `port: {number: ...}` to the destination";
        destination.say(&PORT_REQUIRED, service, text, Some(help), report);
    }
}

/// Namespace, name and subset of every `DestinationRule`'s subsets.
type Subsets<'a> = BTreeSet<(&'a str, &'a str, &'a str)>;

fn subsets<'a>(world: &World<'a>) -> Subsets<'a> {
    let rules = world.all(DESTINATION_RULE).iter();
    let named = rules.flat_map(|rule| {
        let (namespace, name) = resource_of(rule.spec.get("host").text(), rule.namespace());
        rule.spec.list("subsets").map(move |subset| (namespace, name, subset.get("name").text()))
    });
    named.collect()
}

fn destination_subset(
    subsets: &Subsets<'_>,
    service: &Resource<'_>,
    destination: &Destination<'_>,
    report: &mut Report,
) {
    let (host, subset) = (destination.tree.get("host").text(), destination.tree.get("subset").text());
    let (namespace, name) = resource_of(host, service.namespace());
    if !subset.is_empty() && !subsets.contains(&(namespace, name, subset)) {
        let text = format!("no DestinationRule of `{host}` defines the subset `{subset}`");
        destination.say(&SUBSET_NOT_FOUND, service, text, None, report);
    }
}

/// `VirtualServices` that route one of their own hosts to subsets, with those hosts.
fn routed_to_subsets<'a>(world: &World<'a>) -> Vec<(&'a str, String)> {
    let mut routed = Vec::new();
    for service in world.all(VIRTUAL_SERVICE) {
        let own = service.spec.texts("hosts");
        for route in service.spec.list("http").flat_map(|rule| rule.list("route")) {
            let host = route.at("destination.host").text();
            if !route.at("destination.subset").text().is_empty() && own.contains(&host) {
                routed.push((host, service.full_name()));
            }
        }
    }
    routed
}

fn ingress(routed: &[(&str, String)], service: &Resource<'_>, report: &mut Report) {
    if service.spec.count("gateways") == 0 {
        return;
    }
    for route in service.spec.list("http").flat_map(|rule| rule.list("route")) {
        let destination = route.get("destination");
        for (host, other) in routed.iter().filter(|_| destination.get("subset").text().is_empty()) {
            if *host == destination.get("host").text() {
                let text = format!("the routes of `{other}` to subsets do not count for its gateways");
                report.say(&INGRESS_NOT_AFFECTED, service, "spec", text);
            }
        }
    }
}

fn gateways(world: &World<'_>, service: &Resource<'_>, report: &mut Report) {
    let hosts = service.spec.texts("hosts");
    for (i, name) in service.spec.texts("gateways").into_iter().enumerate().filter(|(_, name)| *name != "mesh") {
        let path = format!("spec.gateways[{i}]");
        if name.rsplit('/').next().is_some_and(|name| name.contains("~istio-autogenerated-k8s-gateway~")) {
            let text = format!("`{name}` is the Gateway that Istio makes for one of Kubernetes");
            report.advise(&GENERATED_GATEWAY, service, &path, text, "attach an HTTPRoute to that Gateway");
            continue;
        }
        let (istio, kubernetes) = (
            world.find_named(GATEWAY, service.namespace(), name),
            world.find_named(KUBERNETES_GATEWAY, service.namespace(), name),
        );
        if istio.is_none() && kubernetes.is_none() {
            report.say(&GATEWAY_NOT_FOUND, service, &path, format!("no Gateway is named `{name}`"));
            if !world.closed {
                continue;
            }
        }
        let served = match (istio, kubernetes) {
            (Some(gateway), _) => served(gateway, service.namespace()),
            (None, Some(gateway)) => listened(gateway),
            (None, None) => Vec::new(),
        };
        if !hosts.iter().any(|host| served.iter().any(|server| overlap(server, host))) {
            let text = format!("the Gateway `{name}` serves none of the hosts `{}`", hosts.join("`, `"));
            report.say(&HOST_NOT_IN_GATEWAY, service, &path, text);
        }
    }
}

/// The hosts of a Gateway for `VirtualServices` of a namespace (`VS-9`).
fn served<'a>(gateway: &Resource<'a>, namespace: &str) -> Vec<&'a str> {
    let mut all = Vec::new();
    for server in gateway.spec.list("servers") {
        let hosts = server.texts("hosts");
        if hosts.contains(&"*/*") {
            all.push("*");
            continue;
        }
        all.extend(hosts.into_iter().filter_map(|host| match host.split_once('/') {
            None => Some(host),
            Some((".", name)) => (gateway.namespace() == namespace).then_some(name),
            Some((home, name)) => (home == "*" || home == namespace).then_some(name),
        }));
    }
    all
}

/// The hosts of a Gateway of Kubernetes.
fn listened<'a>(gateway: &Resource<'a>) -> Vec<&'a str> {
    let names: Vec<&str> = gateway.spec.list("listeners").map(|listener| listener.get("hostname").text()).collect();
    if names.contains(&"") { vec!["*"] } else { names }
}

const CLAIMS: &str = "@request.auth.claims";

fn claims(world: &World<'_>, service: &Resource<'_>, report: &mut Report) {
    let matches = service.spec.list("http").flat_map(|rule| rule.list("match"));
    let mut names = matches.flat_map(|block| [block.get("headers"), block.get("withoutHeaders")]);
    let Some(claim) = names.find_map(|headers| headers.fields().map(|(name, _)| name).find(|n| n.starts_with(CLAIMS)))
    else {
        return;
    };
    for name in service.spec.texts("gateways").into_iter().filter(|name| *name != "mesh") {
        let Some(gateway) = world.find_named(GATEWAY, service.namespace(), name) else { continue };
        let selector = gateway.spec.get("selector").labels();
        for pod in world.selected(&selector).filter(|pod| !verifies_tokens(world, pod)) {
            let pod = pod.resource.name();
            let text = format!(
                "routes depend on `{claim}`, and no RequestAuthentication is for the pod `{pod}` of the gateway `{name}`"
            );
            report.say(&UNVERIFIED_CLAIM, service, "spec", text);
        }
    }
}

/// Whether a `RequestAuthentication` applies to a pod.
fn verifies_tokens(world: &World<'_>, pod: &Pod<'_>) -> bool {
    world.all(REQUEST_AUTHENTICATION).iter().any(|policy| {
        let home = policy.namespace() == "istio-system" || policy.namespace() == pod.namespace();
        let selector: Labels = policy.spec.at("selector.matchLabels").labels();
        // Labels of a gateway that is installed elsewhere are not known.
        home && (is_subset(&selector, &pod.labels) || (pod.installed && !world.closed))
    })
}

/// A namespace that sees a host, or `*`, and the host.
type Scoped<'a> = (&'a str, String);

fn same_host(world: &World<'_>, report: &mut Report) {
    let mut by_host: BTreeMap<Scoped<'_>, Vec<&Resource<'_>>> = BTreeMap::new();
    for service in world.all(VIRTUAL_SERVICE) {
        let gateways = service.spec.texts("gateways");
        if !gateways.is_empty() && !gateways.contains(&"mesh") {
            continue;
        }
        let export_to = service.spec.texts("exportTo");
        let scopes: BTreeSet<&str> = if is_public(&export_to) {
            BTreeSet::from(["*"])
        } else {
            export_to.iter().map(|scope| if *scope == "." { service.namespace() } else { scope }).collect()
        };
        for scope in scopes {
            for host in service.spec.texts("hosts") {
                by_host.entry((scope, full_host(host, service.namespace()))).or_default().push(service);
            }
        }
    }
    let mut said = BTreeSet::new();
    for ((scope, host), own) in &by_host {
        let public = by_host.iter().filter(|((other, name), _)| *scope != "*" && *other == "*" && overlap(host, name));
        let all: Vec<_> = own.iter().chain(public.flat_map(|(_, services)| services)).copied().collect();
        for service in all.iter().filter(|_| all.len() > 1) {
            if said.insert(service.full_name()) {
                let names = super::selectors::names(&all);
                let text = format!("{names} have routes for `{host}`, and the mesh takes those of one");
                report.say(&CONFLICTING_HOSTS, service, "metadata.name", text);
            }
        }
    }
}
