//! What changes from one mesh to another, over all requests: who may newly call whom or no longer, which requests go
//! elsewhere, which links change their encryption (`P4`, `P5`: difference).
//!
//! Access and routes of both meshes are formulas on one set of patterns; a class of requests that differs is a formula
//! that holds of some request, and that request is its example. Where both formulas are the same, nothing is searched.

mod routing;

use std::collections::BTreeMap;

use meshproof_model::{Location, Mesh, RequestExample, WorkloadId};

use crate::{
    access::{Access, Arrival, Atoms, Client, Fields, Outcome, Peer, deciding_lines, request_example, search},
    orders::{changed, unplaced},
    term::Bool,
};

pub use routing::{Rerouted, RouteExample, Routed, Via};

/// Which of the two meshes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Side {
    /// As it was.
    Base,
    /// As it is.
    Head,
}

/// What differs.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Difference {
    /// Requests that pass now and did not before.
    pub newly_allowed: Vec<AccessChange>,
    /// Requests that passed before and do not now.
    pub newly_denied: Vec<AccessChange>,
    /// Requests that go elsewhere.
    pub rerouted: Vec<Rerouted>,
    /// Links whose encryption changes.
    pub links: Vec<LinkChange>,
    /// What was not decided, in words.
    pub undecided: Vec<String>,
}

/// A class of requests of one client to one port whose access changes.
#[derive(Clone, Debug, PartialEq)]
pub struct AccessChange {
    /// The client as `namespace/name` of a workload; empty: somebody outside of the mesh.
    pub from: String,
    /// The server as `namespace/name` of a workload.
    pub to: String,
    /// The port of its pods.
    pub port: u16,
    /// One of them.
    pub request: RequestExample,
    /// Whether a proxy's access control alone decides about the example, in both meshes.
    pub by_proxies: bool,
    /// The lines because of which it passes, or did.
    pub because: Vec<(Side, Location)>,
}

/// A link whose encryption changes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct LinkChange {
    /// The client.
    pub from: String,
    /// The server.
    pub to: String,
    /// The port of its pods.
    pub port: u16,
    /// `mutual`, `plaintext` or `fails`.
    pub before: &'static str,
    /// The same.
    pub after: &'static str,
}

/// What changes from `base` to `head`.
pub fn difference(base: &Mesh, head: &Mesh) -> Difference {
    let mut found = Difference::default();
    let (before, after) = (Access::new(base), Access::new(head));
    let numbers: BTreeMap<(String, u16), usize> = (0..after.servers.len())
        .map(|number| {
            let server = &after.servers[number];
            ((head.workload(server.workload).full_name(), server.port), number)
        })
        .collect();
    let links_stay = links_stay(base, head);
    for (number, server) in before.servers.iter().enumerate() {
        let to = base.workload(server.workload).full_name();
        let Some(new) = numbers.get(&(to.clone(), server.port)) else { continue };
        if links_stay && before.inbound(number).config == after.inbound(*new).config {
            continue;
        }
        for (from, old_client, new_client) in clients(base, head) {
            if from == to {
                continue;
            }
            let pair = Pair { from, to: to.clone(), clients: (old_client, new_client), servers: (number, *new) };
            pair.compare(&before, &after, &mut found);
        }
    }
    routing::compare(base, head, &mut found);
    found
}

/// Whether nothing changes that decides who reaches whom, and how it speaks: only what servers do with requests may.
fn links_stay(base: &Mesh, head: &Mesh) -> bool {
    const OF_SERVERS: [&str; 4] = ["AuthorizationPolicy", "RequestAuthentication", "VirtualService", "Gateway"];
    changed(base, head).iter().all(|object| OF_SERVERS.contains(&object.kind.as_str()))
        && unplaced(&base.kubernetes.network_policies) == unplaced(&head.kubernetes.network_policies)
        && unplaced(&base.namespaces) == unplaced(&head.namespaces)
        && unplaced(&base.settings) == unplaced(&head.settings)
        && unplaced(&base.linkerd) == unplaced(&head.linkerd)
}

/// Clients of the new mesh, with what they were in the old one, and whoever is outside.
fn clients(base: &Mesh, head: &Mesh) -> Vec<(String, Option<Client>, Client)> {
    let known = |id: WorkloadId| {
        let name = head.workload(id).full_name();
        let old = base.named_workload(&name).map(Client::Workload);
        (name, old, Client::Workload(id))
    };
    head.workload_ids().map(known).chain([(String::new(), Some(Client::Outside), Client::Outside)]).collect()
}

/// A client and a port of a server, in both meshes.
struct Pair {
    from: String,
    to: String,
    clients: (Option<Client>, Client),
    servers: (usize, usize),
}

impl Pair {
    fn compare(&self, before: &Access<'_>, after: &Access<'_>, found: &mut Difference) {
        let mut atoms = Atoms::default();
        let old = self.clients.0.map(|client| before.arrival(client, self.servers.0, &mut atoms));
        let new = after.arrival(self.clients.1, self.servers.1, &mut atoms);
        if let Some(old) = &old {
            let modes = (mode(old), mode(&new));
            if modes.0 != modes.1 && self.clients.1 != Client::Outside {
                found.links.push(LinkChange {
                    from: self.from.clone(),
                    to: self.to.clone(),
                    port: after.servers[self.servers.1].port,
                    before: modes.0,
                    after: modes.1,
                });
            }
        }
        let passed = old.as_ref().map_or(Bool::Const(false), |old| old.decision.may.clone());
        let passes = new.decision.may.clone();
        if passed == passes {
            return;
        }
        let (gained, lost) = (Bool::And(vec![passes.clone(), !passed.clone()]), Bool::And(vec![passed, !passes]));
        for (formula, is_gain) in [(gained, true), (lost, false)] {
            match search(&formula, &atoms) {
                Outcome::Request(fields) => {
                    let change = self.change(before, after, &fields, is_gain);
                    if is_gain { found.newly_allowed.push(change) } else { found.newly_denied.push(change) }
                }
                Outcome::Nothing => {}
                Outcome::Unknown(why) => {
                    found.undecided.push(format!("access of `{}` to `{}`: {why}", self.from, self.to));
                }
            }
        }
    }

    fn change(&self, before: &Access<'_>, after: &Access<'_>, fields: &Fields, is_gain: bool) -> AccessChange {
        let (request, by_new) = request_example(after, self.clients.1, self.servers.1, fields);
        let by_old = self.clients.0.map(|client| request_example(before, client, self.servers.0, fields).1);
        let because = if is_gain {
            deciding_lines(after, self.clients.1, self.servers.1, fields)
        } else {
            self.clients.0.map_or_else(Vec::new, |client| deciding_lines(before, client, self.servers.0, fields))
        };
        let side = if is_gain { Side::Head } else { Side::Base };
        AccessChange {
            from: self.from.clone(),
            to: self.to.clone(),
            port: after.servers[self.servers.1].port,
            request,
            by_proxies: by_new.is_some() && by_old.is_some_and(|expected| expected.is_some()),
            because: because.into_iter().map(|(at, _)| (side, at)).collect(),
        }
    }
}

/// How a link is spoken.
const fn mode(arrival: &Arrival) -> &'static str {
    match &arrival.peer {
        None => "fails",
        Some(Peer::Plaintext) => "plaintext",
        Some(Peer::Named(_) | Peer::Anyone) => "mutual",
    }
}
