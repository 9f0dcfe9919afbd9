//! Ingresses in the terms of Istio (`IN-1`): paths of one host together, the longest first.

use std::{borrow::Cow, collections::BTreeMap, collections::BTreeSet};

use super::{Bound, Owner, Precedence, Resolved, Rule, rewrite, rule::Beyond};
use crate::{
    Located, Mesh, Meta,
    gateway_api::{Ingress, IngressBackend, IngressPath, age},
    istio::{Destination, Headers, HttpMatch, HttpRoute, Server, ServerTls, StringMatch},
};

/// A rule, and where it stands among those of its host.
type Placed<'m> = (Precedence<'m>, Rule<'m>);

/// What the routes of a class bind to.
fn name(class: &str) -> String {
    format!("#ingress/{class}")
}

fn by_age(mesh: &Mesh) -> Vec<&Ingress> {
    let mut ingresses: Vec<&Ingress> = mesh.gateway_api.ingresses.iter().collect();
    ingresses.sort_by_key(|ingress| age(&ingress.meta));
    ingresses
}

/// The rules of every host of every class.
pub(super) fn resolve<'m>(mesh: &'m Mesh) -> Vec<Resolved<'m>> {
    let mut hosts: BTreeMap<(&str, String), (&'m Meta, Vec<Placed<'m>>)> = BTreeMap::new();
    for ingress in by_age(mesh) {
        let class = ingress.class_name();
        let mut add = |host: String, rule: Placed<'m>| {
            hosts.entry((class, host)).or_insert_with(|| (&ingress.meta, Vec::new())).1.push(rule);
        };
        let mut known = BTreeSet::from(["*".to_owned()]);
        for (number, rule) in ingress.rules.iter().enumerate() {
            let host = rule.host.as_ref().map_or_else(|| "*".to_owned(), |host| host.value.to_ascii_lowercase());
            known.insert(host.clone());
            for (index, path) in rule.paths.iter().enumerate() {
                add(host.clone(), path_rule(mesh, ingress, path, number, index));
            }
        }
        // Istio takes no default backend: it would take every other route's requests.
        if let Some(backend) = ingress.default_backend.as_ref().filter(|_| class != "istio") {
            for host in known {
                add(host, default_rule(mesh, ingress, backend));
            }
        }
    }
    let resolved = |((class, host), (meta, mut rules)): ((&str, String), (&'m Meta, Vec<Placed<'m>>))| {
        rules.sort_by(|(a, _), (b, _)| a.cmp(b));
        Resolved {
            meta,
            hosts: vec![host],
            gateways: vec![name(class)],
            export: BTreeSet::from(["*"]),
            rules: rules.into_iter().map(|(_, rule)| rule).collect(),
            tls: Vec::new(),
            tcp: Vec::new(),
        }
    };
    hosts.into_iter().map(resolved).collect()
}

/// The ports of every class: 80, and 443 for hosts with a certificate.
pub(super) fn entries(mesh: &Mesh) -> Vec<Bound<'_>> {
    let mut servers: Vec<Bound<'_>> = Vec::new();
    for ingress in by_age(mesh) {
        let class = ingress.class_name();
        let mut add = |server: Server| {
            servers.push(Bound { name: name(class), owner: Owner::Ingress(&ingress.meta, class), server });
        };
        let at = &ingress.meta.at;
        let server = |number: u16, protocol: &str, hosts: Vec<Located<String>>, tls: Option<ServerTls>| Server {
            at: at.clone(),
            port: Located::new(number, at.clone()),
            port_name: protocol.to_ascii_lowercase(),
            protocol: Located::new(protocol.to_owned(), at.clone()),
            hosts,
            tls,
        };
        let all = || vec![Located::new("*".to_owned(), at.clone())];
        add(server(80, "HTTP", all(), None));
        for tls in &ingress.tls {
            let hosts = if tls.hosts.is_empty() { all() } else { tls.hosts.clone() };
            let simple = ServerTls {
                at: tls.at.clone(),
                mode: Some(Located::new("SIMPLE".to_owned(), tls.at.clone())),
                credential_name: tls.secret.clone(),
                https_redirect: false,
            };
            add(server(443, "HTTPS", hosts, Some(simple)));
        }
    }
    servers
}

fn path_rule<'m>(
    mesh: &'m Mesh,
    ingress: &'m Ingress,
    path: &'m IngressPath,
    number: usize,
    index: usize,
) -> Placed<'m> {
    let compared = compared(ingress, path);
    let asks = match &compared {
        Some(StringMatch::Exact(path)) => [path.len(), 1, 0, 0, 0],
        Some(StringMatch::Prefix(path)) => [path.len(), 0, 0, 0, 0],
        _ => [0; 5],
    };
    let at = path.path.as_ref().map_or(&path.at, |path| &path.at);
    let block = HttpMatch {
        at: Some(path.at.clone()),
        uri: compared.map(|compared| Located::new(compared, at.clone())),
        ..HttpMatch::default()
    };
    let rule = rule(mesh, ingress, &path.backend, vec![block], number, Some(index));
    (Precedence::of(&ingress.meta, asks, number, index), rule)
}

/// What requests get that no path of the Ingress takes.
fn default_rule<'m>(mesh: &'m Mesh, ingress: &'m Ingress, backend: &IngressBackend) -> Placed<'m> {
    let number = ingress.rules.len();
    (Precedence::of(&ingress.meta, [0; 5], number, 0), rule(mesh, ingress, backend, Vec::new(), number, None))
}

/// How a path is compared: element by element, but for a type that is the implementation's own, which Istio takes to be
/// exact unless the path ends in a wildcard.
fn compared(ingress: &Ingress, path: &IngressPath) -> Option<StringMatch> {
    let written = path.path.as_ref()?.value.as_str();
    let prefix = |path: &str| StringMatch::Prefix(rewrite::prefix(path).to_owned());
    Some(match path.path_type.as_ref().map(|kind| kind.value.as_str()) {
        Some("Exact") => StringMatch::Exact(written.to_owned()),
        Some("Prefix") => prefix(written),
        _ => match written.strip_suffix(".*").or_else(|| written.strip_suffix("/*")) {
            Some(stem) => prefix(stem),
            None if ingress.class_name() == "istio" => StringMatch::Exact(written.to_owned()),
            None => prefix(written),
        },
    })
}

fn rule<'m>(
    mesh: &'m Mesh,
    ingress: &'m Ingress,
    backend: &IngressBackend,
    matches: Vec<HttpMatch>,
    number: usize,
    block: Option<usize>,
) -> Rule<'m> {
    let namespace = ingress.meta.namespace();
    let found = mesh.ingress_backend(backend, namespace);
    let at = backend.service.as_ref().map_or(&backend.at, |service| &service.at);
    let service = backend.service.as_ref().map_or("resource", |service| service.value.as_str());
    let port_at = backend.port.as_ref().map_or(at, |port| &port.at);
    let destination = Destination {
        at: backend.at.clone(),
        host: Located::new(format!("{service}.{namespace}.svc.{}", mesh.domain()), at.clone()),
        subset: None,
        port: found.ok().map(|(_, number)| Located::new(number, port_at.clone())),
        weight: None,
        headers: Headers::default(),
    };
    let written = HttpRoute {
        at: matches.first().and_then(|block| block.at.clone()).unwrap_or_else(|| backend.at.clone()),
        name: None,
        matches,
        route: vec![destination],
        redirect: None,
        direct_response: None,
        delegate: None,
        rewrite: None,
        timeout: None,
        retries: None,
        fault: None,
        mirrors: Vec::new(),
        headers: Headers::default(),
    };
    let beyond = Beyond::of_ingress(block, found.err(), ingress.class_name() == "istio");
    Rule { written: Cow::Owned(written), resource: &ingress.meta.resource, number, beyond: Some(beyond) }
}
