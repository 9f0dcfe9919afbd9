//! Gateway API in the terms of Istio: listeners as servers, routes as rules, in the order in which they decide (`G-3`).

mod ingress;
mod listener;
mod order;
mod rewrite;
mod rule;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet},
};

use listener::Owner;
pub(super) use listener::{Bound, entries};
use order::Precedence;
pub(super) use rule::Beyond;

use super::delegate::{ConnectionRule, Resolved, Rule};
use crate::{
    Mesh, Meta,
    gateway_api::{AnyRoute, Attachment, Entry, Place, is_taken_by_another},
    istio::{L4Match, L4Route},
};

/// The routes of one host, on one listener or for the clients of one namespace.
struct Group<'m> {
    meta: &'m Meta,
    export: &'m str,
    rules: Vec<(Precedence<'m>, Rule<'m>)>,
    tls: Vec<ConnectionRule<'m>>,
    tcp: Vec<ConnectionRule<'m>>,
    /// Routes that are in it already, with the port they are for.
    known: BTreeSet<(&'m str, &'m str, &'m str, Option<u16>)>,
}

/// Every route that holds somewhere: those of one host on one listener together, the oldest object first; those for a
/// service apart for its producer and for each namespace of consumers (`G-10`).
pub(super) fn resolve(mesh: &Mesh) -> Vec<Resolved<'_>> {
    let mut groups: BTreeMap<(String, String, &str), Group<'_>> = BTreeMap::new();
    for attachment in mesh.attachments() {
        for (gateway, host, export) in places(mesh, &attachment) {
            let group = groups.entry((gateway, host.clone(), export)).or_insert_with(|| Group {
                meta: attachment.route.meta(),
                export,
                rules: Vec::new(),
                tls: Vec::new(),
                tcp: Vec::new(),
                known: BTreeSet::new(),
            });
            group.add(mesh, &attachment, &host);
        }
    }
    let routes = groups.into_iter().map(|((gateway, host, _), group)| group.finish(gateway, host));
    routes.chain(ingress::resolve(mesh)).collect()
}

/// Where a route holds: what it binds to, the host, and who sees it.
fn places<'m>(mesh: &'m Mesh, attachment: &Attachment<'m>) -> Vec<(String, String, &'m str)> {
    match &attachment.outcome {
        Ok(Place::Listeners(listeners)) => {
            let hosts = |(entry, hosts): &(Entry<'m>, Vec<String>)| {
                let all = mesh.listeners(entry.gateway);
                let own = hosts.iter().filter(|host| !is_taken_by_another(entry, host, &all));
                own.map(|host| (entry.name(), host.clone(), "*")).collect::<Vec<_>>()
            };
            listeners.iter().flat_map(hosts).collect()
        }
        Ok(Place::Service { service, producer }) => {
            let export = if *producer { "*" } else { attachment.route.meta().namespace() };
            vec![("mesh".to_owned(), mesh.service(*service).host.clone(), export)]
        }
        Err(_) => Vec::new(),
    }
}

impl<'m> Group<'m> {
    fn add(&mut self, mesh: &'m Mesh, attachment: &Attachment<'m>, host: &str) {
        let is_mesh = matches!(attachment.outcome, Ok(Place::Service { .. }));
        let port = if is_mesh { attachment.parent.port.as_ref() } else { None };
        let meta = attachment.route.meta();
        let key = (attachment.route.kind(), meta.namespace(), meta.name(), port.map(|port| port.value));
        if !self.known.insert(key) {
            return;
        }
        match attachment.route {
            AnyRoute::Http(route) => self.rules.extend(rule::http(mesh, route, is_mesh, port)),
            AnyRoute::Connection(route) => {
                // Connections are told apart by the name that they ask for only; the first rule decides.
                let Some((rule, beyond)) = rule::connection(mesh, route, is_mesh) else { return };
                let is_tls = attachment.route.kind() == "TLSRoute";
                // For a service, the route's own names count: what is dialled does not say what is asked for.
                let names: Vec<&str> = match (is_tls, is_mesh) {
                    (false, _) => Vec::new(),
                    (true, false) => vec![host],
                    (true, true) if route.hostnames.is_empty() => vec!["*"],
                    (true, true) => route.hostnames.iter().map(|host| host.value.as_str()).collect(),
                };
                let located = |name: &str| crate::Located::new(name.to_owned(), rule.at.clone());
                let sni_hosts = names.into_iter().map(located).collect();
                let matches = vec![L4Match { sni_hosts, port: port.cloned(), ..L4Match::default() }];
                let written = Cow::Owned(L4Route { matches, ..rule });
                let rules = if is_tls { &mut self.tls } else { &mut self.tcp };
                rules.push(ConnectionRule { written, resource: &meta.resource, number: 0, beyond: Some(beyond) });
            }
        }
    }

    fn finish(mut self, gateway: String, host: String) -> Resolved<'m> {
        self.rules.sort_by(|(a, _), (b, _)| a.cmp(b));
        Resolved {
            meta: self.meta,
            hosts: vec![host],
            gateways: vec![gateway],
            export: BTreeSet::from([self.export]),
            rules: self.rules.into_iter().map(|(_, rule)| rule).collect(),
            tls: self.tls,
            tcp: self.tcp,
        }
    }
}
