//! VirtualServices made ready: hosts completed, visibility known, delegates' rules put in their place (`VS-11`).

use std::{borrow::Cow, collections::BTreeSet};

use super::{
    gateway_api::Beyond,
    index::{age, export_to},
};
use crate::{
    Mesh, Meta, ResourceRef, complete_gateway, complete_host,
    istio::{HttpMatch, HttpRoute, L4Route, StringMatch, VirtualService},
};

/// A VirtualService, or routes of Gateway API for one host, ready for lowering.
#[derive(Debug)]
pub(super) struct Resolved<'m> {
    /// The object; of several the oldest.
    pub(super) meta: &'m Meta,
    pub(super) hosts: Vec<String>,
    pub(super) gateways: Vec<String>,
    pub(super) export: BTreeSet<&'m str>,
    pub(super) rules: Vec<Rule<'m>>,
    /// Rules for connections with TLS that is passed through.
    pub(super) tls: Vec<ConnectionRule<'m>>,
    /// Rules for other connections.
    pub(super) tcp: Vec<ConnectionRule<'m>>,
}

/// One rule and the object that it is written in.
#[derive(Debug)]
pub(super) struct Rule<'m> {
    pub(super) written: Cow<'m, HttpRoute>,
    pub(super) resource: &'m ResourceRef,
    pub(super) number: usize,
    /// What Gateway API says of it, where it is a rule of that; its match blocks are rules of their own.
    pub(super) beyond: Option<Beyond<'m>>,
}

/// One rule for connections and the object that it is written in.
#[derive(Debug)]
pub(super) struct ConnectionRule<'m> {
    pub(super) written: Cow<'m, L4Route>,
    pub(super) resource: &'m ResourceRef,
    pub(super) number: usize,
    pub(super) beyond: Option<Beyond<'m>>,
}

impl Resolved<'_> {
    /// Whether clients of a namespace see it, and how early it is taken (`VS-2`, `VS-3`): 0 private to the namespace,
    /// 1 exported to it by name, 2 public.
    pub(super) fn visibility(&self, namespace: &str) -> Option<u8> {
        let own = self.meta.namespace();
        if self.export.contains("*") {
            Some(2)
        } else if self.export.contains("~") || !self.export.contains(namespace) {
            None
        } else {
            Some(u8::from(own != namespace))
        }
    }
}

/// Every VirtualService with hosts, in Istio's order (0.4).
pub(super) fn resolve(mesh: &Mesh) -> Vec<Resolved<'_>> {
    let mut sorted: Vec<&VirtualService> =
        mesh.virtual_services.iter().filter(|service| !service.hosts.is_empty()).collect();
    sorted.sort_by_key(|service| age(&service.meta));
    sorted.into_iter().map(|service| resolve_one(mesh, service)).collect()
}

fn resolve_one<'m>(mesh: &'m Mesh, service: &'m VirtualService) -> Resolved<'m> {
    let namespace = service.meta.namespace();
    let mut rules = Vec::new();
    for (number, rule) in service.http.iter().enumerate() {
        match &rule.delegate {
            None => {
                let written = Cow::Borrowed(rule);
                rules.push(Rule { written, resource: &service.meta.resource, number, beyond: None });
            }
            Some(_) => rules.extend(delegated(mesh, service, rule)),
        }
    }
    // Without gateways the mesh's sidecars are meant (`VS-1`).
    let mut gateways: Vec<String> =
        service.gateways.iter().map(|gateway| complete_gateway(&gateway.value, namespace)).collect();
    if gateways.is_empty() {
        gateways.push("mesh".to_owned());
    }
    let default = &mesh.settings.default_virtual_service_export_to;
    let connections = |rules: &'m [L4Route]| {
        let rule = |(number, rule): (usize, &'m L4Route)| ConnectionRule {
            written: Cow::Borrowed(rule),
            resource: &service.meta.resource,
            number,
            beyond: None,
        };
        rules.iter().enumerate().map(rule).collect()
    };
    Resolved {
        meta: &service.meta,
        tls: connections(&service.tls),
        tcp: connections(&service.tcp),
        hosts: service.hosts.iter().map(|host| complete_host(&host.value, namespace, mesh.domain())).collect(),
        gateways,
        export: export_to(&service.export_to, default, namespace),
        rules,
    }
}

/// The delegate's rules in the place of the root's; none if the delegate is missing or not exported to the root.
fn delegated<'m>(mesh: &'m Mesh, root: &VirtualService, rule: &HttpRoute) -> Vec<Rule<'m>> {
    let Some(delegate) = &rule.delegate else { return Vec::new() };
    let own = root.meta.namespace();
    let namespace = delegate.namespace.as_ref().map_or(own, |namespace| namespace.value.as_str());
    let found = mesh.virtual_services.iter().find(|service| {
        service.hosts.is_empty() && service.meta.name() == delegate.name.value && service.meta.namespace() == namespace
    });
    let Some(found) = found else { return Vec::new() };
    let default = &mesh.settings.default_virtual_service_export_to;
    let export = export_to(&found.export_to, default, namespace);
    if !export.contains("*") && !export.contains(own) {
        return Vec::new();
    }
    found
        .http
        .iter()
        .enumerate()
        // One level only: a delegate's own delegates are not followed.
        .filter(|(_, leaf)| leaf.delegate.is_none())
        .filter_map(|(number, leaf)| {
            let merged = merge(rule, leaf)?;
            Some(Rule { written: Cow::Owned(merged), resource: &found.meta.resource, number, beyond: None })
        })
        .collect()
}

/// A delegate's rule under a root's: the delegate's value where it has one, else the root's; `None` if the matches
/// exclude each other.
fn merge(root: &HttpRoute, leaf: &HttpRoute) -> Option<HttpRoute> {
    let mut merged = leaf.clone();
    merged.matches = merge_matches(&root.matches, &leaf.matches)?;
    merged.name = match (&root.name, &leaf.name) {
        (Some(root), Some(leaf)) => {
            Some(crate::Located::new(format!("{}-{}", root.value, leaf.value), leaf.at.clone()))
        }
        (root, leaf) => leaf.clone().or_else(|| root.clone()),
    };
    merged.rewrite = leaf.rewrite.clone().or_else(|| root.rewrite.clone());
    merged.direct_response = leaf.direct_response.clone().or_else(|| root.direct_response.clone());
    merged.timeout = leaf.timeout.clone().or_else(|| root.timeout.clone());
    merged.retries = leaf.retries.clone().or_else(|| root.retries.clone());
    merged.fault = leaf.fault.clone().or_else(|| root.fault.clone());
    if merged.mirrors.is_empty() {
        merged.mirrors.clone_from(&root.mirrors);
    }
    if merged.headers == crate::istio::Headers::default() {
        merged.headers = root.headers.clone();
    }
    Some(merged)
}

/// Each block of the delegate with each of the root's that it does not contradict; `None` if there is no such pair.
fn merge_matches(root: &[HttpMatch], leaf: &[HttpMatch]) -> Option<Vec<HttpMatch>> {
    if root.is_empty() || leaf.is_empty() {
        return Some(if root.is_empty() { leaf } else { root }.to_vec());
    }
    let mut merged = Vec::new();
    for leaf in leaf {
        let before = merged.len();
        merged.extend(root.iter().filter(|root| !conflict(root, leaf)).map(|root| merge_match(root, leaf)));
        if merged.len() == before {
            return None;
        }
    }
    Some(merged)
}

fn merge_match(root: &HttpMatch, leaf: &HttpMatch) -> HttpMatch {
    let missing = |root: &[(String, crate::Located<StringMatch>)], leaf: &[(String, crate::Located<StringMatch>)]| {
        let of_root = root.iter().filter(|(name, _)| !leaf.iter().any(|(other, _)| other == name));
        leaf.iter().chain(of_root).cloned().collect::<Vec<_>>()
    };
    let mut source_labels = root.source_labels.clone();
    source_labels.extend(leaf.source_labels.clone());
    HttpMatch {
        at: leaf.at.clone(),
        name: leaf.name.clone().or_else(|| root.name.clone()),
        uri: leaf.uri.clone().or_else(|| root.uri.clone()),
        ignore_uri_case: leaf.ignore_uri_case || root.ignore_uri_case,
        scheme: leaf.scheme.clone().or_else(|| root.scheme.clone()),
        method: leaf.method.clone().or_else(|| root.method.clone()),
        authority: leaf.authority.clone().or_else(|| root.authority.clone()),
        headers: missing(&root.headers, &leaf.headers),
        without_headers: missing(&root.without_headers, &leaf.without_headers),
        query_params: missing(&root.query_params, &leaf.query_params),
        port: leaf.port.clone().or_else(|| root.port.clone()),
        source_labels,
        source_namespace: leaf.source_namespace.clone().or_else(|| root.source_namespace.clone()),
        gateways: if leaf.gateways.is_empty() { root.gateways.clone() } else { leaf.gateways.clone() },
    }
}

/// Whether a delegate's match block asks for something that the root's excludes.
fn conflict(root: &HttpMatch, leaf: &HttpMatch) -> bool {
    let texts = [
        (&root.uri, &leaf.uri),
        (&root.scheme, &leaf.scheme),
        (&root.method, &leaf.method),
        (&root.authority, &leaf.authority),
    ];
    let text = |root: Option<&StringMatch>, leaf: Option<&StringMatch>| {
        root.zip(leaf).is_some_and(|(root, leaf)| contradicts(root, leaf))
    };
    let pairs = |root: &[(String, crate::Located<StringMatch>)], leaf: &[(String, crate::Located<StringMatch>)]| {
        root.iter().any(|(name, root)| {
            let leaf = leaf.iter().find(|(other, _)| other == name).map(|(_, leaf)| &leaf.value);
            text(Some(&root.value), leaf)
        })
    };
    let differ = |root: Option<&str>, leaf: Option<&str>| root.zip(leaf).is_some_and(|(root, leaf)| root != leaf);
    let value = |text: &Option<crate::Located<String>>| text.as_ref().map(|text| text.value.clone());
    texts.iter().any(|(root, leaf)| text(root.as_ref().map(|r| &r.value), leaf.as_ref().map(|l| &l.value)))
        || pairs(&root.headers, &leaf.headers)
        || pairs(&root.without_headers, &leaf.without_headers)
        || pairs(&root.query_params, &leaf.query_params)
        || root.port.as_ref().zip(leaf.port.as_ref()).is_some_and(|(root, leaf)| root.value != leaf.value)
        || root.source_labels.iter().any(|(key, root)| leaf.source_labels.get(key).is_some_and(|leaf| leaf != root))
        || differ(value(&root.source_namespace).as_deref(), value(&leaf.source_namespace).as_deref())
        || (!root.gateways.is_empty()
            && leaf.gateways.iter().any(|leaf| !root.gateways.iter().any(|root| root.value == leaf.value)))
}

/// Whether no narrower match than `root` is meant by `leaf`; regular expressions are never compared.
fn contradicts(root: &StringMatch, leaf: &StringMatch) -> bool {
    match (root, leaf) {
        (StringMatch::Present, _) | (_, StringMatch::Present) => false,
        (StringMatch::Regex(_), _) | (_, StringMatch::Regex(_)) | (StringMatch::Exact(_), StringMatch::Prefix(_)) => {
            true
        }
        (StringMatch::Exact(root), StringMatch::Exact(leaf)) => root != leaf,
        (StringMatch::Prefix(root), StringMatch::Exact(leaf) | StringMatch::Prefix(leaf)) => !leaf.starts_with(root),
    }
}
