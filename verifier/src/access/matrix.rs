//! Who can call whom: for each client and each port whether some request passes, and whether every one does.

use std::collections::BTreeMap;

use meshproof_model::Mesh;
use serde::Serialize;

use super::{Access, Atoms, Client, Decision, Outcome, search};
use crate::term::Bool;

/// A client and a port of a workload.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct Pair {
    /// The client as `namespace/name` of a workload; empty: somebody outside of the mesh.
    pub from: String,
    /// The server as `namespace/name` of a workload.
    pub to: String,
    /// The port of its pods.
    pub port: u16,
}

/// Which requests pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Passing {
    /// None.
    None,
    /// Some, but not all.
    Some,
    /// All.
    All,
    /// It is not decided.
    Unknown,
}

/// Who can call whom (`P4`: the matrix). Where an authorizer is asked, it counts as agreeing.
pub fn access_matrix(mesh: &Mesh) -> BTreeMap<Pair, Passing> {
    let access = Access::new(mesh);
    let clients: Vec<Client> = mesh.workload_ids().map(Client::Workload).chain([Client::Outside]).collect();
    let mut matrix = BTreeMap::new();
    for (number, server) in access.servers.iter().enumerate() {
        // Clients that nothing tells apart ask the same.
        let mut known: BTreeMap<Bool, Passing> = BTreeMap::new();
        for client in clients.iter().filter(|client| **client != Client::Workload(server.workload)) {
            let mut atoms = Atoms::default();
            let decision = access.arrival(*client, number, &mut atoms).decision;
            let passing = *known.entry(decision.may.clone()).or_insert_with(|| passing(&decision, &atoms));
            let pair = Pair {
                from: match client {
                    Client::Workload(id) => mesh.workload(*id).full_name(),
                    Client::Outside | Client::Anyone => String::new(),
                },
                to: mesh.workload(server.workload).full_name(),
                port: server.port,
            };
            matrix.insert(pair, passing);
        }
    }
    matrix
}

fn passing(decision: &Decision, atoms: &Atoms) -> Passing {
    let found = [decision.may.clone(), !decision.may.clone()].map(|formula| search(&formula, atoms));
    match found {
        [Outcome::Nothing, _] => Passing::None,
        [Outcome::Request(_), Outcome::Nothing] => Passing::All,
        [Outcome::Request(_), Outcome::Request(_)] => Passing::Some,
        _ => Passing::Unknown,
    }
}
