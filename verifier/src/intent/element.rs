//! Elements of a mesh, and which of them a set holds.

use std::collections::BTreeSet;

use meshproof_model::{Location, Protocol, ProxyMode, ResourceRef, ServiceId, Subject, WorkloadId};

use super::{
    IntentError,
    ast::{Join, Set, SetKind, Word},
    release::Version,
    world::World,
};
use crate::{
    access::Client,
    failures::{Failure, up_to},
    graph::{Arm, Call, Way},
};

/// Something that a variable stands for.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Element {
    /// A service.
    Service(ServiceId),
    /// A workload.
    Workload(WorkloadId),
    /// A node of the graph of calls: a client, an entry.
    Node(usize),
    /// Somebody outside of the mesh.
    Outside,
    /// Anybody with a certificate of the mesh.
    Anyone,
    /// A call over one route to one destination: its node and its places in there.
    Edge(EdgeRef),
    /// A client's workload, and which port of a server.
    Link(WorkloadId, usize),
    /// A `VirtualService` and one of its rules.
    Route(usize, usize),
    /// A service and one of its ports.
    Port(ServiceId, usize),
    /// An object's host.
    Host(Named),
    /// An object.
    Object(Named),
    /// A namespace.
    Namespace(String),
    /// All requests of a client at a port of a server.
    Request(Client, usize),
    /// A chain of calls: its edges.
    Path(Vec<EdgeRef>),
    /// What has failed.
    Failures(Vec<Failure>),
    /// An object that changes.
    Change(ResourceRef),
    /// A Rollout or a Canary.
    Rollout(ResourceRef),
    /// Its new version.
    Version(Version),
}

/// A call of a node over one route to one destination.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct EdgeRef {
    /// Who calls.
    pub node: usize,
    /// Which of its calls.
    pub call: usize,
    /// Which route of the call.
    pub way: usize,
    /// Which destination of the route.
    pub arm: usize,
}

/// An object, or a host that it names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Named {
    /// Which object.
    pub resource: ResourceRef,
    /// A host that it names; empty for the object itself.
    pub host: String,
    /// Where it says so.
    pub at: Location,
    /// Whether every namespace sees it.
    pub public: bool,
}

impl World<'_> {
    /// The elements of a set, each once, in a fixed order.
    ///
    /// # Errors
    /// A name of which there is nothing.
    pub(crate) fn elements(&self, set: &Set) -> Result<Vec<Element>, IntentError> {
        match &set.kind {
            SetKind::Named(name) => match self.lets.iter().rev().find(|(known, _)| known.text == *name) {
                Some((_, set)) => self.elements(set),
                None => Ok(self.named(name)),
            },
            SetKind::Listed(names) => {
                let mut found = Vec::new();
                for name in names {
                    found.extend(self.find(name)?);
                }
                Ok(distinct(found))
            }
            SetKind::Labels(labels) => {
                let has = |id: &WorkloadId| {
                    let own = &self.mesh.workload(*id).labels;
                    labels.iter().all(|(key, value)| own.get(key) == Some(value))
                };
                Ok(self.mesh.workload_ids().filter(has).map(Element::Workload).collect())
            }
            SetKind::Between { what, from, to } => self.between(what, from.as_deref(), to.as_deref()),
            SetKind::Failures(kinds) => self.failures(kinds, set.span),
            SetKind::Joined(first, join, second) => {
                let (first, second) = (self.elements(first)?, self.elements(second)?);
                Ok(match join {
                    Join::Union => distinct(first.into_iter().chain(second).collect()),
                    Join::Minus => first.into_iter().filter(|one| !self.is_among(one, &second)).collect(),
                    Join::Intersect => first.into_iter().filter(|one| self.is_among(one, &second)).collect(),
                })
            }
        }
    }

    fn named(&self, name: &str) -> Vec<Element> {
        let mesh = self.mesh;
        match name {
            "services" => mesh.service_ids().map(Element::Service).collect(),
            "workloads" => {
                let is_own = |id: &WorkloadId| mesh.workload(*id).proxy != ProxyMode::Gateway;
                mesh.workload_ids().filter(is_own).map(Element::Workload).collect()
            }
            "gateways" => self.gateways().collect(),
            "entries" => self.graph.entries.iter().copied().map(Element::Node).collect(),
            "namespaces" => {
                let used = mesh.workloads.iter().map(|workload| workload.meta.namespace().to_owned());
                let defined = mesh.namespaces.iter().filter(|(_, namespace)| namespace.at.is_some());
                let names: BTreeSet<String> = defined.map(|(name, _)| name.clone()).chain(used).collect();
                names.into_iter().map(Element::Namespace).collect()
            }
            "routes" => {
                let rules = mesh.virtual_services.iter().map(|service| service.http.len()).enumerate();
                rules.flat_map(|(service, count)| (0..count).map(move |rule| Element::Route(service, rule))).collect()
            }
            "ports" => {
                let of = |id: ServiceId| {
                    let ports = mesh.service(id).ports.iter().enumerate();
                    let counted = ports.filter(|(_, port)| port.protocol != Protocol::Udp);
                    counted.map(move |(number, _)| Element::Port(id, number)).collect::<Vec<_>>()
                };
                mesh.service_ids().flat_map(of).collect()
            }
            "changes" => self
                .orders()
                .map_or_else(Vec::new, |orders| orders.objects.clone())
                .into_iter()
                .map(Element::Change)
                .collect(),
            "rollouts" => {
                let rollouts = mesh.delivery.rollouts.iter().map(|rollout| &rollout.meta.resource);
                let canaries = mesh.delivery.canaries.iter().map(|canary| &canary.meta.resource);
                rollouts.chain(canaries).cloned().map(Element::Rollout).collect()
            }
            "hosts" => self.hosts().map(Element::Host).collect(),
            "objects" => self.objects().map(Element::Object).collect(),
            other => self.between(other, None, None).unwrap_or_default(),
        }
    }

    fn gateways(&self) -> impl Iterator<Item = Element> {
        let mesh = self.mesh;
        mesh.workload_ids().filter(|id| mesh.workload(*id).proxy == ProxyMode::Gateway).map(Element::Workload)
    }

    /// What a name stands for: a service, else a workload, else one of a few words.
    fn find(&self, name: &Word) -> Result<Vec<Element>, IntentError> {
        let mesh = self.mesh;
        let (namespace, bare) = match name.text.split_once('/') {
            Some((namespace, bare)) => (Some(namespace), bare),
            None => (None, name.text.as_str()),
        };
        let is_meant = |meta: &meshproof_model::Meta| {
            meta.name() == bare && namespace.is_none_or(|namespace| meta.namespace() == namespace)
        };
        let services = mesh.service_ids().filter(|id| is_meant(&mesh.service(*id).meta)).map(Element::Service);
        let workloads = mesh.workload_ids().filter(|id| is_meant(&mesh.workload(*id).meta)).map(Element::Workload);
        let mut found: Vec<Element> = services.collect();
        if found.is_empty() {
            found = workloads.collect();
        }
        if found.is_empty() && namespace.is_none() {
            let client = |node: &usize| self.graph.nodes[*node].name == bare;
            found = self.graph.entries.iter().copied().filter(client).map(Element::Node).collect();
        }
        if !found.is_empty() {
            return Ok(found);
        }
        match name.text.as_str() {
            "outside" => Ok(vec![Element::Outside]),
            "anyone" => Ok(vec![Element::Anyone]),
            "ingress" => {
                let gateways: Vec<Element> = self.gateways().collect();
                let entries = || self.graph.entries.iter().copied().map(Element::Node).collect();
                Ok(if gateways.is_empty() { entries() } else { gateways })
            }
            _ => {
                let services = mesh.services.iter().map(|service| &service.meta);
                let metas = services.chain(mesh.workloads.iter().map(|workload| &workload.meta));
                let names: Vec<String> = metas
                    .map(|meta| match namespace {
                        Some(_) => format!("{}/{}", meta.namespace(), meta.name()),
                        None => meta.name().to_owned(),
                    })
                    .chain(["outside", "anyone", "ingress"].map(str::to_owned))
                    .collect();
                let meant = meshproof_model::did_you_mean(&name.text, names.iter().map(String::as_str));
                Err(IntentError {
                    span: name.span,
                    message: format!("the mesh has no service or workload `{}`", name.text),
                    help: meant.map(|meant| format!("did you mean `{meant}`?")),
                })
            }
        }
    }

    fn between(&self, what: &str, from: Option<&Set>, to: Option<&Set>) -> Result<Vec<Element>, IntentError> {
        let from = from.map(|set| self.elements(set)).transpose()?;
        let to = to.map(|set| self.elements(set)).transpose()?;
        Ok(match what {
            "requests" => self.requests(from.as_deref(), to.as_deref()),
            "links" => self.links(from.as_deref(), to.as_deref()),
            "edges" => {
                // Entries that are assumed call nobody: they only say where requests may begin.
                let is_known = |edge: &EdgeRef| self.graph.nodes[edge.node].kind != crate::graph::NodeKind::Entry;
                let leads = |edge: &EdgeRef| {
                    is_known(edge)
                        && from.as_deref().is_none_or(|set| self.is_among(&Element::Node(edge.node), set))
                        && to.as_deref().is_none_or(|set| self.callee(*edge).iter().any(|to| self.is_among(to, set)))
                };
                self.edges().filter(leads).map(Element::Edge).collect()
            }
            "paths" => self.paths(from.as_deref(), to.as_deref()),
            _ => Vec::new(),
        })
    }

    /// Every call over every route to every destination.
    pub(crate) fn edges(&self) -> impl Iterator<Item = EdgeRef> {
        (0..self.graph.nodes.len()).flat_map(move |node| {
            let calls = self.graph.calls(node).enumerate();
            calls.flat_map(move |(call, found)| {
                let ways = found.ways.iter().enumerate();
                ways.flat_map(move |(way, route)| {
                    (0..route.arms.len()).map(move |arm| EdgeRef { node, call, way, arm })
                })
            })
        })
    }

    /// The call, route and destination of an edge.
    pub(crate) fn edge(&self, edge: EdgeRef) -> Option<(&Call, &Way, &Arm)> {
        let call = self.graph.calls(edge.node).nth(edge.call)?;
        let way = call.ways.get(edge.way)?;
        Some((call, way, way.arms.get(edge.arm)?))
    }

    /// Whom an edge leads to: the service, else whoever answers.
    pub(crate) fn callee(&self, edge: EdgeRef) -> Vec<Element> {
        let Some((_, _, arm)) = self.edge(edge) else { return Vec::new() };
        match arm.service {
            Some(service) => vec![Element::Service(ServiceId(u32::try_from(service).unwrap_or(u32::MAX)))],
            None => arm.targets.iter().map(|target| Element::Node(target.node)).collect(),
        }
    }

    /// Clients of a set; without one, every workload and whoever is outside.
    fn clients(&self, from: Option<&[Element]>) -> Vec<Client> {
        let everyone = || {
            let workloads = self.mesh.workload_ids().map(Client::Workload);
            workloads.chain([Client::Outside]).collect()
        };
        let Some(from) = from else { return everyone() };
        let of = |element: &Element| match element {
            Element::Outside => vec![Client::Outside],
            Element::Anyone => vec![Client::Anyone],
            Element::Node(node) if self.workload_of(*node).is_none() => vec![Client::Outside],
            other => self.workloads(other).into_iter().map(Client::Workload).collect(),
        };
        distinct(from.iter().flat_map(of).collect())
    }

    fn requests(&self, from: Option<&[Element]>, to: Option<&[Element]>) -> Vec<Element> {
        let clients = self.clients(from);
        let mut found = Vec::new();
        for (number, server) in self.access.servers.iter().enumerate() {
            let own = Element::Workload(server.workload);
            // A service is meant with those of its pods' ports that it leads to.
            let is_meant = |element: &Element| match element {
                Element::Service(id) => server.services.iter().any(|(service, _, _)| service == id),
                _ => *element == own,
            };
            if to.is_some_and(|to| !to.iter().any(is_meant)) {
                continue;
            }
            let others = clients.iter().filter(|client| **client != Client::Workload(server.workload));
            found.extend(others.map(|client| Element::Request(*client, number)));
        }
        found
    }

    fn links(&self, from: Option<&[Element]>, to: Option<&[Element]>) -> Vec<Element> {
        let requests = self.requests(from, to).into_iter();
        requests
            .filter_map(|request| match request {
                Element::Request(Client::Workload(id), server) => Some(Element::Link(id, server)),
                _ => None,
            })
            .collect()
    }

    /// Chains of calls without a cycle, from some to others.
    fn paths(&self, from: Option<&[Element]>, to: Option<&[Element]>) -> Vec<Element> {
        // BOUND: paths of one set; more are too many to read.
        const PATHS_MAX: usize = 10_000;
        let edges: Vec<EdgeRef> = self.edges().collect();
        let mut found = Vec::new();
        let starts = |edge: &&EdgeRef| match from {
            Some(set) => self.is_among(&Element::Node(edge.node), set),
            None => self.graph.entries.contains(&edge.node),
        };
        let mut open: Vec<Vec<EdgeRef>> = edges.iter().filter(starts).map(|edge| vec![*edge]).collect();
        open.reverse();
        while let Some(path) = open.pop() {
            let Some(last) = path.last() else { continue };
            let ends = match to {
                Some(set) => self.callee(*last).iter().any(|callee| self.is_among(callee, set)),
                None => true,
            };
            if ends {
                found.push(Element::Path(path.clone()));
            }
            if found.len() >= PATHS_MAX {
                break;
            }
            let targets: Vec<usize> = self
                .edge(*last)
                .map_or_else(Vec::new, |(_, _, arm)| arm.targets.iter().map(|target| target.node).collect());
            let further = edges.iter().filter(|edge| targets.contains(&edge.node));
            let new = further.filter(|edge| path.iter().all(|known| known.node != edge.node));
            open.extend(new.map(|edge| path.iter().copied().chain([*edge]).collect()));
        }
        found
    }

    /// Sets of failures of each kind, put together; smaller ones first.
    fn failures(&self, kinds: &[(u32, Word)], span: super::ast::Span) -> Result<Vec<Element>, IntentError> {
        // BOUND: sets that are gone through one by one.
        const SETS_MAX: usize = 200_000;
        let mut all: Vec<Vec<Failure>> = vec![Vec::new()];
        for (most, kind) in kinds {
            let sets = up_to(&self.that_fail(&kind.text, *most), *most);
            if all.len().saturating_mul(sets.len()) > SETS_MAX {
                let message = format!("these are more than {SETS_MAX} sets of failures");
                return Err(IntentError { span, message, help: Some("ask for fewer of them at once".to_owned()) });
            }
            let with = |set: &Vec<Failure>| {
                sets.iter().map(|other| set.iter().chain(other).cloned().collect::<Vec<_>>()).collect::<Vec<_>>()
            };
            all = all.iter().flat_map(with).collect();
        }
        let mut all: Vec<Vec<Failure>> = all.into_iter().map(counted).collect();
        all.sort_by_key(Vec::len);
        Ok(distinct(all.into_iter().map(Element::Failures).collect()))
    }

    /// What can fail of a kind; pods one by one.
    fn that_fail(&self, kind: &str, most: u32) -> Vec<Failure> {
        let mesh = self.mesh;
        match kind {
            "zones" => (0..mesh.behaviour.placement.zones.len()).map(Failure::Zone).collect(),
            "services" => {
                let has_pods = |id: &ServiceId| !self.access.lowering.workloads_of(*id).is_empty();
                mesh.service_ids().filter(has_pods).map(Failure::Service).collect()
            }
            "pods" => {
                let copies = |id: WorkloadId| (0..mesh.workload(id).replicas.value.min(most)).map(move |_| id);
                mesh.workload_ids().flat_map(copies).map(|id| Failure::Pods(id, 1)).collect()
            }
            _ => vec![Failure::ControlPlane],
        }
    }

    fn failure(&self, failure: &Failure) -> String {
        match failure {
            Failure::Zone(zone) => {
                let name = self.mesh.behaviour.placement.zones.get(*zone).map_or("?", String::as_str);
                format!("zone `{name}`")
            }
            Failure::Service(id) => format!("service `{}`", self.mesh.service(*id).full_name()),
            Failure::Pods(id, count) => {
                let name = self.mesh.workload(*id).full_name();
                if *count == 1 { format!("a pod of `{name}`") } else { format!("{count} pods of `{name}`") }
            }
            Failure::ControlPlane => "the control plane".to_owned(),
        }
    }

    /// The workload of a node, if it is one.
    pub(crate) fn workload_of(&self, node: usize) -> Option<WorkloadId> {
        let node = &self.graph.nodes[node];
        match node.kind {
            crate::graph::NodeKind::Workload | crate::graph::NodeKind::Gateway => self.mesh.named_workload(&node.name),
            crate::graph::NodeKind::Client => {
                let client = self.mesh.behaviour.clients.get_index_of(&node.name)?;
                self.mesh.client_workload(client)
            }
            crate::graph::NodeKind::Entry => None,
        }
    }

    /// The workloads that an element stands for.
    pub(crate) fn workloads(&self, element: &Element) -> Vec<WorkloadId> {
        match element {
            Element::Service(id) => self.access.lowering.workloads_of(*id),
            Element::Workload(id) => vec![*id],
            Element::Node(node) => self.workload_of(*node).into_iter().collect(),
            Element::Namespace(name) => {
                let mesh = self.mesh;
                mesh.workload_ids().filter(|id| mesh.workload(*id).meta.namespace() == *name).collect()
            }
            _ => Vec::new(),
        }
    }

    /// Whether a set holds an element, or all that it stands for.
    pub(crate) fn is_among(&self, element: &Element, set: &[Element]) -> bool {
        if set.contains(element) {
            return true;
        }
        let own = self.workloads(element);
        let held: BTreeSet<WorkloadId> = set.iter().flat_map(|one| self.workloads(one)).collect();
        !own.is_empty() && own.iter().all(|id| held.contains(id))
    }

    /// As a message names it.
    pub(crate) fn shown(&self, element: &Element) -> String {
        match element {
            Element::Outside => "a client outside of the mesh".to_owned(),
            Element::Anyone => "anybody in the mesh".to_owned(),
            Element::Version(version) => version.told.clone(),
            Element::Host(named) => format!("`{}` of {}", named.host, named.resource),
            Element::Port(id, number) => {
                let service = self.mesh.service(*id);
                format!("port {} of `{}`", service.ports[*number].number.value, service.full_name())
            }
            Element::Request(client, server) => {
                let client = match client {
                    Client::Workload(id) => format!("`{}`", self.mesh.workload(*id).full_name()),
                    Client::Outside => self.shown(&Element::Outside),
                    Client::Anyone => self.shown(&Element::Anyone),
                };
                let server = &self.access.servers[*server];
                format!("{client} and `{}` on port {}", self.mesh.workload(server.workload).full_name(), server.port)
            }
            Element::Failures(failures) if failures.is_empty() => "no failure".to_owned(),
            Element::Failures(failures) => {
                let all: Vec<String> = failures.iter().map(|failure| self.failure(failure)).collect();
                format!("the failure of {}", crate::property::listed(&all))
            }
            Element::Path(edges) => {
                let first = edges.first().map(|edge| self.graph.nodes[edge.node].name.clone());
                let rest = edges.iter().flat_map(|edge| self.callee(*edge)).map(|callee| self.name(&callee));
                format!("`{}`", first.into_iter().chain(rest).collect::<Vec<_>>().join(" -> "))
            }
            other => {
                self.subject(other).map_or_else(|| format!("`{}`", self.name(other)), |subject| subject.to_string())
            }
        }
    }

    /// `namespace/name` of a party, and what comes nearest to it of others.
    pub(crate) fn name(&self, element: &Element) -> String {
        match element {
            Element::Service(id) => self.mesh.service(*id).full_name(),
            Element::Workload(id) => self.mesh.workload(*id).full_name(),
            Element::Node(node) => self.graph.nodes[*node].name.clone(),
            Element::Namespace(name) => name.clone(),
            Element::Host(named) | Element::Object(named) => named.resource.name.clone(),
            Element::Outside => "outside".to_owned(),
            Element::Anyone => "anyone".to_owned(),
            _ => String::new(),
        }
    }

    /// What a finding about an element is about.
    pub(crate) fn subject(&self, element: &Element) -> Option<Subject> {
        Some(match element {
            Element::Service(id) | Element::Port(id, _) => Subject::Service(self.mesh.service(*id).full_name()),
            Element::Workload(id) => Subject::Workload(self.mesh.workload(*id).full_name()),
            Element::Node(node) => Subject::Workload(self.graph.nodes[*node].name.clone()),
            Element::Edge(edge) => {
                let to = self.callee(*edge).first().map(|callee| self.name(callee))?;
                Subject::Call { from: self.graph.nodes[edge.node].name.clone(), to }
            }
            Element::Link(client, server) => Subject::Call {
                from: self.mesh.workload(*client).full_name(),
                to: self.mesh.workload(self.access.servers[*server].workload).full_name(),
            },
            Element::Request(_, server) => {
                Subject::Workload(self.mesh.workload(self.access.servers[*server].workload).full_name())
            }
            Element::Route(service, rule) => {
                crate::property::route_subject(&self.mesh.virtual_services[*service], *rule)
            }
            Element::Namespace(name) => Subject::Namespace(name.clone()),
            Element::Host(named) | Element::Object(named) => Subject::Resource(named.resource.clone()),
            Element::Change(resource) | Element::Rollout(resource) => Subject::Resource(resource.clone()),
            Element::Version(version) => Subject::Resource(version.of.clone()),
            Element::Outside | Element::Anyone | Element::Path(_) | Element::Failures(_) => return None,
        })
    }

    fn objects(&self) -> impl Iterator<Item = Named> {
        let mesh = self.mesh;
        let default = |written: &[meshproof_model::Located<String>], default: &[String], own: &str| {
            let own_default = || default.iter().any(|to| to == "*");
            if written.is_empty() { own_default() } else { written.iter().any(|to| to.value == "*" && own != "*") }
        };
        let settings = &mesh.settings;
        let routes = mesh.virtual_services.iter().map(move |object| {
            let public =
                default(&object.export_to, &settings.default_virtual_service_export_to, object.meta.namespace());
            named(&object.meta, public)
        });
        let rules = mesh.destination_rules.iter().map(move |object| {
            let public =
                default(&object.export_to, &settings.default_destination_rule_export_to, object.meta.namespace());
            named(&object.meta, public)
        });
        let services = mesh.services.iter().map(|service| {
            let public = service.export_to.is_empty() || service.export_to.iter().any(|to| to == "*");
            named(&service.meta, public)
        });
        routes.chain(rules).chain(services)
    }

    /// Hosts of Gateways and `VirtualServices`.
    fn hosts(&self) -> impl Iterator<Item = Named> {
        let mesh = self.mesh;
        let of_gateways = mesh.gateways.iter().flat_map(|gateway| {
            let hosts = gateway.servers.iter().flat_map(|server| &server.hosts);
            hosts.map(|host| Named { host: host.value.clone(), at: host.at.clone(), ..named(&gateway.meta, true) })
        });
        let of_routes = mesh.virtual_services.iter().flat_map(|service| {
            let hosts = service.hosts.iter();
            hosts.map(|host| Named { host: host.value.clone(), at: host.at.clone(), ..named(&service.meta, true) })
        });
        of_gateways.chain(of_routes)
    }
}

/// Failures with the pods of each workload added up.
fn counted(failures: Vec<Failure>) -> Vec<Failure> {
    let mut all: Vec<Failure> = Vec::new();
    for failure in failures {
        if let Failure::Pods(id, count) = failure
            && let Some(Failure::Pods(_, known)) =
                all.iter_mut().find(|known| matches!(known, Failure::Pods(other, _) if *other == id))
        {
            *known += count;
        } else {
            all.push(failure);
        }
    }
    all
}

fn named(meta: &meshproof_model::Meta, public: bool) -> Named {
    Named { resource: meta.resource.clone(), host: String::new(), at: meta.at.clone(), public }
}

fn distinct<T: Ord + Clone>(elements: Vec<T>) -> Vec<T> {
    let mut seen = BTreeSet::new();
    elements.into_iter().filter(|element| seen.insert(element.clone())).collect()
}
