//! Which routes hold where, and why others do not (`G-1`, `G-2`, `G-9`, `G-10`).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    ConnectionRoute, FromNamespaces, GROUP, Gateway, HttpRoute, Listener, ListenerSet, ParentRef,
    reference::ISTIO_GROUP,
};
use crate::{Mesh, Meta, ServiceId, host_covers, host_intersection};

/// A route of any kind.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum AnyRoute<'m> {
    /// An HTTPRoute or a GRPCRoute.
    Http(&'m HttpRoute),
    /// A TLSRoute, TCPRoute or UDPRoute.
    Connection(&'m ConnectionRoute),
}

impl<'m> AnyRoute<'m> {
    /// Its name and place.
    pub const fn meta(self) -> &'m Meta {
        match self {
            Self::Http(route) => &route.meta,
            Self::Connection(route) => &route.meta,
        }
    }

    /// Its kind.
    pub fn kind(self) -> &'m str {
        &self.meta().resource.kind
    }

    /// What it attaches to.
    pub fn parents(self) -> &'m [ParentRef] {
        match self {
            Self::Http(route) => &route.parents,
            Self::Connection(route) => &route.parents,
        }
    }

    fn hostnames(self) -> Vec<String> {
        let written = match self {
            Self::Http(route) => &route.hostnames,
            Self::Connection(route) => &route.hostnames,
        };
        written.iter().map(|host| host.value.to_ascii_lowercase()).collect()
    }
}

/// A listener of a Gateway, its own or one that a ListenerSet adds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Entry<'m> {
    /// The Gateway.
    pub gateway: &'m Gateway,
    /// The set that adds it.
    pub set: Option<&'m ListenerSet>,
    /// The listener.
    pub listener: &'m Listener,
}

impl Entry<'_> {
    /// The namespace that `Same` means.
    pub fn namespace(&self) -> &str {
        self.set.map_or(self.gateway.meta.namespace(), |set| set.meta.namespace())
    }

    /// The host that it takes, in lower case; `*` for every host.
    pub fn host(&self) -> String {
        self.listener.hostname.as_ref().map_or_else(|| "*".to_owned(), |host| host.value.to_ascii_lowercase())
    }

    /// A name that no other listener has, nor an Istio Gateway.
    pub fn name(&self) -> String {
        let set = self.set.map(|set| format!("{}/{}#", set.meta.namespace(), set.meta.name())).unwrap_or_default();
        let meta = &self.gateway.meta;
        format!("{}/{}#{set}{}", meta.namespace(), meta.name(), self.listener.name.value)
    }
}

/// Where a route holds.
#[derive(Clone, Debug, PartialEq)]
pub enum Place<'m> {
    /// On these listeners, for these hosts on each (`G-2`).
    Listeners(Vec<(Entry<'m>, Vec<String>)>),
    /// For calls to a service (`G-10`), by all clients, or by those of the route's namespace only.
    Service {
        /// The service.
        service: ServiceId,
        /// Whether the route stands in the service's own namespace.
        producer: bool,
    },
}

/// Why a route does not hold where it wants to: the reason of its condition `Accepted`, and what explains it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// No such object is in the manifests.
    NoParent,
    /// The parent has no such listener, or port.
    NoMatchingParent,
    /// No listener takes routes of this namespace.
    NamespaceNotAllowed,
    /// No listener takes routes of this kind.
    KindNotAllowed,
    /// No host of the route is one of a listener.
    NoMatchingListenerHostname,
    /// Routes of that kind do not attach to such an object.
    UnsupportedParent,
    /// Another route holds there: `Kind namespace/name`.
    Conflicted(String),
}

impl Refusal {
    /// The reason, as the API names it.
    pub const fn reason(&self) -> &'static str {
        match self {
            Self::NoParent | Self::NoMatchingParent => "NoMatchingParent",
            Self::NamespaceNotAllowed | Self::KindNotAllowed => "NotAllowedByListeners",
            Self::NoMatchingListenerHostname => "NoMatchingListenerHostname",
            Self::UnsupportedParent => "UnsupportedValue",
            Self::Conflicted(_) => "Conflicted",
        }
    }
}

/// One reference of a route to a parent, and what becomes of it.
#[derive(Clone, Debug, PartialEq)]
pub struct Attachment<'m> {
    /// The route.
    pub route: AnyRoute<'m>,
    /// The reference.
    pub parent: &'m ParentRef,
    /// Where it holds, or why not.
    pub outcome: Result<Place<'m>, Refusal>,
}

/// The order of age (0.4, `G-3`): the oldest first, then `namespace/name`; those without a time come last.
pub(crate) fn age(meta: &Meta) -> (bool, &str, &str, &str) {
    let created = meta.created.as_deref();
    (created.is_none(), created.unwrap_or(""), meta.namespace(), meta.name())
}

impl Mesh {
    /// The listeners of a Gateway: its own, then those of the ListenerSets that it admits, the oldest first.
    pub fn listeners<'m>(&'m self, gateway: &'m Gateway) -> Vec<Entry<'m>> {
        let mut entries: Vec<Entry<'m>> =
            gateway.listeners.iter().map(|listener| Entry { gateway, set: None, listener }).collect();
        let mut sets: Vec<&ListenerSet> =
            self.gateway_api.listener_sets.iter().filter(|set| self.adds_to(set, gateway)).collect();
        sets.sort_by_key(|set| age(&set.meta));
        for set in sets {
            entries.extend(set.listeners.iter().map(|listener| Entry { gateway, set: Some(set), listener }));
        }
        entries
    }

    /// Whether a Gateway admits the listeners of a set; by default it admits none.
    pub fn adds_to(&self, set: &ListenerSet, gateway: &Gateway) -> bool {
        let (parent, own) = (&set.parent, set.meta.namespace());
        let is_parent = parent.group() == GROUP
            && parent.kind() == "Gateway"
            && parent.name.value == gateway.meta.name()
            && parent.namespace(own) == gateway.meta.namespace();
        let from = gateway.allowed_listeners.as_ref().map_or(&FromNamespaces::None, |from| &from.value);
        is_parent && self.admits_namespace(from, gateway.meta.namespace(), own)
    }

    /// Every reference of every route, the oldest route first, and what becomes of it.
    pub fn attachments(&self) -> Vec<Attachment<'_>> {
        let http = self.gateway_api.http_routes.iter().map(AnyRoute::Http);
        let mut routes: Vec<AnyRoute<'_>> =
            http.chain(self.gateway_api.connection_routes.iter().map(AnyRoute::Connection)).collect();
        routes.sort_by_key(|route| age(route.meta()));
        let mut attachments = Vec::new();
        for route in routes {
            for parent in route.parents() {
                attachments.push(Attachment { route, parent, outcome: self.attach(route, parent) });
            }
        }
        one_kind_a_host(&mut attachments);
        one_kind_a_service(&mut attachments);
        attachments
    }

    fn attach<'m>(&'m self, route: AnyRoute<'m>, parent: &'m ParentRef) -> Result<Place<'m>, Refusal> {
        let own = route.meta().namespace();
        let namespace = parent.namespace(own);
        let named = |meta: &Meta| meta.name() == parent.name.value && meta.namespace() == namespace;
        match (parent.group(), parent.kind()) {
            (GROUP, "Gateway") => {
                let gateway = self.gateway_api.gateways.iter().find(|gateway| named(&gateway.meta));
                let gateway = gateway.ok_or(Refusal::NoParent)?;
                let listeners = gateway.listeners.iter().map(|listener| Entry { gateway, set: None, listener });
                self.attach_to(route, parent, &listeners.collect::<Vec<_>>())
            }
            (_, "ListenerSet" | "XListenerSet") => {
                let set =
                    self.gateway_api.listener_sets.iter().find(|set| named(&set.meta)).ok_or(Refusal::NoParent)?;
                let gateway = self.gateway_api.gateways.iter().find(|gateway| self.adds_to(set, gateway));
                let gateway = gateway.ok_or(Refusal::NoParent)?;
                let listeners = set.listeners.iter().map(|listener| Entry { gateway, set: Some(set), listener });
                self.attach_to(route, parent, &listeners.collect::<Vec<_>>())
            }
            ("", "Service") => self.attach_to_service(parent, own, self.find_service(namespace, &parent.name.value)),
            (ISTIO_GROUP, "ServiceEntry") => {
                let entry = |id: &ServiceId| {
                    let meta = &self.service(*id).meta;
                    meta.resource.kind == "ServiceEntry" && named(meta)
                };
                self.attach_to_service(parent, own, self.service_ids().find(entry))
            }
            _ => Err(Refusal::UnsupportedParent),
        }
    }

    fn attach_to_service<'m>(
        &self,
        parent: &ParentRef,
        own: &str,
        service: Option<ServiceId>,
    ) -> Result<Place<'m>, Refusal> {
        let service = service.ok_or(Refusal::NoParent)?;
        let target = self.service(service);
        let named = |section: &str| target.ports.iter().any(|port| port.name == section);
        let has_port = parent.port.as_ref().is_none_or(|port| target.port(port.value).is_some());
        if !has_port || parent.section.as_ref().is_some_and(|section| !named(&section.value)) {
            return Err(Refusal::NoMatchingParent);
        }
        Ok(Place::Service { service, producer: target.meta.namespace() == own })
    }

    /// The listeners that take a route, each with the hosts that both have.
    fn attach_to<'m>(
        &self,
        route: AnyRoute<'m>,
        parent: &ParentRef,
        listeners: &[Entry<'m>],
    ) -> Result<Place<'m>, Refusal> {
        let meant = |entry: &&Entry<'m>| {
            parent.section.as_ref().is_none_or(|section| section.value == entry.listener.name.value)
                && parent.port.as_ref().is_none_or(|port| port.value == entry.listener.port.value)
        };
        let mut refusal = Refusal::NoMatchingParent;
        let mut taken = Vec::new();
        for entry in listeners.iter().filter(meant) {
            match self.hosts_on(route, entry) {
                Ok(hosts) => taken.push((*entry, hosts)),
                Err(why) => refusal = why,
            }
        }
        if taken.is_empty() { Err(refusal) } else { Ok(Place::Listeners(taken)) }
    }

    /// The hosts of a route on a listener (`G-2`).
    fn hosts_on(&self, route: AnyRoute<'_>, entry: &Entry<'_>) -> Result<Vec<String>, Refusal> {
        if !takes_kind(entry.listener, route.kind()) {
            return Err(Refusal::KindNotAllowed);
        }
        let from = entry.listener.from.as_ref().map_or(&FromNamespaces::Same, |from| &from.value);
        if !self.admits_namespace(from, entry.namespace(), route.meta().namespace()) {
            return Err(Refusal::NamespaceNotAllowed);
        }
        let (own, written) = (entry.host(), route.hostnames());
        if written.is_empty() {
            return Ok(vec![own]);
        }
        let common: BTreeSet<String> =
            written.iter().filter_map(|host| host_intersection(&own, host)).map(str::to_owned).collect();
        if common.is_empty() { Err(Refusal::NoMatchingListenerHostname) } else { Ok(common.into_iter().collect()) }
    }
}

/// Whether routes of a kind fit a listener: those that it names, of those that its protocol carries (`G-1`).
fn takes_kind(listener: &Listener, kind: &str) -> bool {
    let passes =
        listener.tls.as_ref().and_then(|tls| tls.mode.as_ref()).is_some_and(|mode| mode.value == "Passthrough");
    let carried: &[&str] = match listener.protocol.value.as_str() {
        "HTTP" | "HTTPS" => &["HTTPRoute", "GRPCRoute"],
        "TLS" if passes => &["TLSRoute"],
        "TLS" => &["TLSRoute", "TCPRoute"],
        "TCP" => &["TCPRoute"],
        "UDP" => &["UDPRoute"],
        // An implementation's own protocol, such as that of Istio's waypoints.
        _ => &["HTTPRoute", "GRPCRoute", "TLSRoute", "TCPRoute"],
    };
    let named = |(group, known): &(String, String)| group == GROUP && known == kind;
    carried.contains(&kind) && (listener.kinds.is_empty() || listener.kinds.iter().any(|known| named(&known.value)))
}

/// Of HTTPRoutes and GRPCRoutes with common hosts on one listener, those of the older one's kind hold (`G-9`).
fn one_kind_a_host(attachments: &mut [Attachment<'_>]) {
    // By listener and whether they are GRPCRoutes: the hosts that are taken, and by whom.
    let mut accepted: BTreeMap<(String, bool), Vec<(String, String)>> = BTreeMap::new();
    for attachment in attachments.iter_mut().filter(|attachment| matches!(attachment.route, AnyRoute::Http(_))) {
        let is_grpc = attachment.route.kind() == "GRPCRoute";
        let own = attachment.route.meta().resource.to_string();
        let Ok(Place::Listeners(listeners)) = &mut attachment.outcome else { continue };
        let mut conflict = None;
        listeners.retain(|(entry, hosts)| {
            let others = accepted.get(&(entry.name(), !is_grpc)).into_iter().flatten();
            let meets = |host: &str| hosts.iter().any(|own| host_intersection(host, own).is_some());
            let other = others.into_iter().find(|(host, _)| meets(host)).map(|(_, name)| name.clone());
            let holds = other.is_none();
            conflict = conflict.take().or(other);
            if holds {
                let taken = accepted.entry((entry.name(), is_grpc)).or_default();
                taken.extend(hosts.iter().map(|host| (host.clone(), own.clone())));
            }
            holds
        });
        if let Some(other) = conflict.filter(|_| listeners.is_empty()) {
            attachment.outcome = Err(Refusal::Conflicted(other));
        }
    }
}

/// Of the kinds of routes on one port of a service, the most specific one holds (`G-10`); those of its producer, and
/// those of each namespace of consumers, for themselves.
fn one_kind_a_service(attachments: &mut [Attachment<'_>]) {
    const KINDS: [&str; 4] = ["GRPCRoute", "HTTPRoute", "TLSRoute", "TCPRoute"];
    let rank = |kind: &str| KINDS.iter().position(|known| *known == kind).unwrap_or(KINDS.len());
    let mut best: BTreeMap<(ServiceId, String), Vec<(usize, Option<u16>, String)>> = BTreeMap::new();
    let place = |attachment: &Attachment<'_>| {
        let Ok(Place::Service { service, .. }) = attachment.outcome else { return None };
        let port = attachment.parent.port.as_ref().map(|port| port.value);
        Some(((service, attachment.route.meta().namespace().to_owned()), port))
    };
    for attachment in attachments.iter() {
        if let Some((key, port)) = place(attachment) {
            let name = attachment.route.meta().resource.to_string();
            best.entry(key).or_default().push((rank(attachment.route.kind()), port, name));
        }
    }
    for attachment in attachments.iter_mut() {
        let Some((key, port)) = place(attachment) else { continue };
        let own = rank(attachment.route.kind());
        let meets = |other: &Option<u16>| other.is_none() || port.is_none() || *other == port;
        let better = best.get(&key).into_iter().flatten().find(|(rank, other, _)| *rank < own && meets(other));
        if let Some((_, _, name)) = better {
            attachment.outcome = Err(Refusal::Conflicted(name.clone()));
        }
    }
}

/// Whether a more specific listener of the same port takes a host: then the routes of this one do not (`G-2`).
pub(crate) fn is_taken_by_another(entry: &Entry<'_>, host: &str, all: &[Entry<'_>]) -> bool {
    let own = entry.host();
    all.iter().any(|other| {
        let theirs = other.host();
        other.listener.port.value == entry.listener.port.value
            && theirs.len() > own.len()
            && host_covers(&theirs, host)
            && (!host.starts_with('*') || theirs.starts_with('*'))
    })
}
