//! Requests that go elsewhere: for each virtual host of each kind of client, and of each gateway, route against route.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
};

use meshproof_model::{Location, Lowered, Lowering, Mesh, ProxyMode, ServiceId, WorkloadId};
use meshproof_proxy::config::{Action, ClusterSpecifier, VirtualHost};

use super::{Difference, Side};
use crate::{
    access::{Atoms, Fields, Outcome, search},
    patterns::Attribute,
    route_formula::taken,
    term::Bool,
};

/// A class of requests that go elsewhere.
#[derive(Clone, Debug, PartialEq)]
pub struct Rerouted {
    /// One of them.
    pub request: RouteExample,
    /// Where they went.
    pub before: Routed,
    /// Where they go.
    pub after: Routed,
    /// The rules that take them.
    pub because: Vec<(Side, Location)>,
}

/// A request as a client sends it.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RouteExample {
    /// Who sends it.
    pub via: Via,
    /// The authority.
    pub host: String,
    /// The port that is dialled.
    pub port: u16,
    /// The method.
    pub method: String,
    /// The path with its query.
    pub path: String,
    /// Lines of headers.
    pub headers: BTreeMap<String, Vec<String>>,
}

/// Through whose proxy a request goes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Via {
    /// Pods of this workload, `namespace/name`, and others that nothing tells apart from them.
    Workload(String),
    /// A gateway, `namespace/name` of its workload.
    Gateway(String),
}

/// What becomes of a request.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Routed {
    /// The rule that takes it, as `Kind namespace/name/rule`; absent: the default one, or none.
    pub route: Option<String>,
    /// Clusters with their weights; one alone has 100.
    pub weights: Vec<(String, u32)>,
    /// The status that the proxy answers itself.
    pub status: Option<u16>,
    /// Where a redirect or rewrite leads, in words.
    pub changed: Option<String>,
    at: Option<Location>,
}

pub(super) fn compare(base: &Mesh, head: &Mesh, found: &mut Difference) {
    let (before, after) = (Lowering::new(base), Lowering::new(head));
    let mut seen = BTreeSet::new();
    for id in head.workload_ids() {
        let name = head.workload(id).full_name();
        let Some(old) = base.named_workload(&name) else { continue };
        let is_gateway = head.workload(id).proxy == ProxyMode::Gateway;
        let via = if is_gateway { Via::Gateway(name) } else { Via::Workload(name) };
        if is_gateway {
            let pair = (before.gateway(old, 0), after.gateway(id, 0));
            hosts(&via, &pair.0, &pair.1, &mut seen, found);
        }
    }
    for (old, new) in kinds(base, head) {
        let via = Via::Workload(head.workload(new).full_name());
        let (from, to) = ports(base, head);
        let pair = (before.outbound(old, 0, &from), after.outbound(new, 0, &to));
        hosts(&via, &pair.0, &pair.1, &mut seen, found);
    }
}

/// Clients with a sidecar that routes tell apart, the first of each kind: by namespace, and by labels where those count.
fn kinds(base: &Mesh, head: &Mesh) -> Vec<(WorkloadId, WorkloadId)> {
    let by_labels = [base, head].iter().any(|mesh| {
        let blocks = mesh.virtual_services.iter().flat_map(|service| &service.http).flat_map(|rule| &rule.matches);
        mesh.destination_rules.iter().any(|rule| !rule.workload_selector.is_empty())
            || blocks.into_iter().any(|block| !block.source_labels.is_empty())
            || mesh.sidecars.len() > 1
    });
    let mut kinds = BTreeMap::new();
    for id in head.workload_ids() {
        let workload = head.workload(id);
        let Some(old) = base.named_workload(&workload.full_name()) else { continue };
        if workload.proxy == ProxyMode::Sidecar && base.workload(old).proxy == ProxyMode::Sidecar {
            let labels = by_labels.then_some((&workload.labels, &base.workload(old).labels));
            kinds.entry((workload.meta.namespace(), labels)).or_insert((old, id));
        }
    }
    kinds.into_values().collect()
}

type Ports = Vec<(ServiceId, u16)>;

/// HTTP ports of services that both meshes have.
fn ports(base: &Mesh, head: &Mesh) -> (Ports, Ports) {
    let of = |mesh: &Mesh, other: &Mesh| {
        let all = mesh.service_ids().flat_map(|id| {
            let service = mesh.service(id);
            let known = other.find_host(&service.host);
            let ports = service.ports.iter().filter(|port| port.protocol.is_http()).map(|port| port.number.value);
            let in_both = ports.filter(|number| {
                known.is_some_and(|id| other.service(id).port(*number).is_some_and(|port| port.protocol.is_http()))
            });
            in_both.map(|number| (id, number)).collect::<Vec<_>>()
        });
        all.collect::<Ports>()
    };
    (of(base, head), of(head, base))
}

/// A virtual host with where its routes come from.
struct Host<'l> {
    config: &'l VirtualHost,
    lowered: &'l Lowered,
    listener: usize,
    /// The number of its first route among those of the listener.
    first: usize,
}

/// Virtual hosts by the port and their name.
fn by_name(lowered: &Lowered) -> BTreeMap<(u16, &str), Host<'_>> {
    let mut all = BTreeMap::new();
    for (listener, config) in lowered.config.listeners.iter().enumerate() {
        let port = lowered.provenance.listeners[listener].port;
        let mut first = 0;
        for host in &config.route_config.virtual_hosts {
            all.insert((port, host.name.as_str()), Host { config: host, lowered, listener, first });
            first += host.routes.len();
        }
    }
    all
}

fn hosts(
    via: &Via,
    before: &Lowered,
    after: &Lowered,
    seen: &mut BTreeSet<(u16, String, Routed, Routed)>,
    found: &mut Difference,
) {
    let (old, new) = (by_name(before), by_name(after));
    let names: BTreeSet<&(u16, &str)> = old.keys().chain(new.keys()).collect();
    for name in names {
        let (old, new) = (old.get(name), new.get(name));
        // What a client does with a host that it does not know is not about routes.
        if matches!(via, Via::Workload(_)) && (old.is_none() || new.is_none()) {
            continue;
        }
        if old.map(|host| &host.config.routes) == new.map(|host| &host.config.routes) {
            continue;
        }
        virtual_host(via, name.0, (old, new), seen, found);
    }
}

fn virtual_host(
    via: &Via,
    port: u16,
    (old, new): (Option<&Host<'_>>, Option<&Host<'_>>),
    seen: &mut BTreeSet<(u16, String, Routed, Routed)>,
    found: &mut Difference,
) {
    let mut atoms = Atoms::default();
    let of = |host: Option<&Host<'_>>, atoms: &mut Atoms| -> Vec<(Bool, Routed)> {
        let nothing = || Routed { status: Some(404), ..Routed::default() };
        match host {
            None => vec![(Bool::Const(true), nothing())],
            Some(host) => {
                let does = (0..host.config.routes.len()).map(|number| host.routed(number)).chain([nothing()]);
                taken(host.config, atoms).into_iter().zip(does).collect()
            }
        }
    };
    let (before, after) = (of(old, &mut atoms), of(new, &mut atoms));
    let Some(domain) = old.or(new).and_then(|host| host.config.domains.first()) else { return };
    let authority = domain.replace('*', "a");
    for (takes, was) in &before {
        for (took, is) in &after {
            let class = |routed: &Routed| Routed { at: None, ..routed.clone() };
            let key = (port, authority.clone(), class(was), class(is));
            if was.same(is) || seen.contains(&key) {
                continue;
            }
            match search(&Bool::And(vec![takes.clone(), took.clone()]), &atoms) {
                Outcome::Request(fields) => {
                    seen.insert(key);
                    let sides = [(Side::Base, &was.at), (Side::Head, &is.at)];
                    found.rerouted.push(Rerouted {
                        request: example(via, &authority, port, &fields),
                        before: was.clone(),
                        after: is.clone(),
                        because: sides.into_iter().filter_map(|(side, at)| Some((side, at.clone()?))).collect(),
                    });
                }
                Outcome::Nothing => {}
                Outcome::Unknown(why) => found.undecided.push(format!("routes of `{authority}` on port {port}: {why}")),
            }
        }
    }
}

impl Host<'_> {
    fn routed(&self, number: usize) -> Routed {
        let route = &self.config.routes[number];
        let origin = self.lowered.provenance.listeners[self.listener].routes.get(self.first + number);
        let mut routed = Routed {
            route: origin.and_then(|origin| {
                let name = origin.name.clone().unwrap_or_else(|| format!("http[{}]", origin.rule));
                Some(format!("{}/{name}", origin.resource.as_ref()?))
            }),
            at: origin.and_then(|origin| origin.route.location().cloned()),
            ..Routed::default()
        };
        match &route.action {
            Action::Forward(action) => {
                routed.weights = match &action.cluster {
                    ClusterSpecifier::Cluster(name) => vec![(name.clone(), 100)],
                    ClusterSpecifier::Weighted(several) => {
                        let used = several.iter().filter(|one| one.weight > 0);
                        used.map(|one| (one.name.clone(), one.weight)).collect()
                    }
                    ClusterSpecifier::Header(name) => vec![(format!("header {name}"), 100)],
                };
                routed.weights.sort();
                if let [(_, weight)] = routed.weights.as_mut_slice() {
                    *weight = 100;
                }
                let rewrites = [&action.prefix_rewrite, &action.host_rewrite];
                let mut changed: Vec<String> = rewrites.into_iter().flatten().cloned().collect();
                changed.extend(action.regex_rewrite.iter().map(|by| format!("{} -> {}", by.pattern, by.substitution)));
                routed.changed = (!changed.is_empty()).then(|| changed.join(" "));
            }
            Action::Redirect(redirect) => {
                routed.status = Some(redirect.status.unwrap_or(301));
                let mut leads = redirect.clone();
                leads.status = None;
                routed.changed = Some(shown(&leads));
            }
            Action::DirectResponse(answer) => routed.status = Some(answer.status),
        }
        routed
    }
}

fn shown(redirect: &meshproof_proxy::config::Redirect) -> String {
    let scheme = if redirect.https { "https" } else { redirect.scheme.as_deref().unwrap_or("") };
    let host = redirect.host.as_deref().unwrap_or("");
    let port = redirect.port.map_or_else(String::new, |port| format!(":{port}"));
    let path = redirect.path.as_deref().or(redirect.prefix_rewrite.as_deref()).unwrap_or("");
    format!("{scheme}://{host}{port}{path}")
}

impl Routed {
    /// Whether the same becomes of a request, whatever the rule is called.
    fn same(&self, other: &Self) -> bool {
        (&self.weights, self.status, &self.changed) == (&other.weights, other.status, &other.changed)
    }
}

fn example(via: &Via, authority: &str, port: u16, fields: &Fields) -> RouteExample {
    let first = |attribute: &Attribute| fields.get(attribute).and_then(|values| values.first()).cloned();
    let mut path = first(&Attribute::Path).unwrap_or_else(|| "/".to_owned());
    let mut headers = BTreeMap::new();
    let mut mark = '?';
    for (attribute, values) in fields {
        match attribute {
            Attribute::Query(name) => {
                // Writing to a string does not fail.
                let _ = write!(path, "{mark}{name}={}", values.first().map_or("", String::as_str));
                mark = '&';
            }
            Attribute::HeaderLine(name) => {
                headers.insert(name.clone(), values.clone());
            }
            _ => {}
        }
    }
    RouteExample {
        via: via.clone(),
        host: first(&Attribute::Authority).unwrap_or_else(|| authority.to_owned()),
        port,
        method: first(&Attribute::Method).unwrap_or_else(|| "GET".to_owned()),
        path,
        headers,
    }
}
