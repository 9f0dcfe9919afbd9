//! `NetworkPolicies` as a formula: which addresses outside of the cluster may connect.

use meshproof_model::{
    Mesh, WorkloadId,
    kubernetes::{PolicyPeer, PolicyPort, PolicyRule, PortMatch},
};

use super::formula::Atoms;
use crate::{
    patterns::{Attribute, block},
    term::Bool,
};

/// Whether an address outside of the cluster may connect to a port of a workload's pods (`11.9`).
pub(crate) fn from_outside(mesh: &Mesh, to: WorkloadId, port: u16, atoms: &mut Atoms) -> Bool {
    let workload = mesh.workload(to);
    let isolating: Vec<_> = mesh
        .kubernetes
        .network_policies
        .iter()
        .filter(|policy| policy.isolates_ingress && policy.meta.namespace() == workload.meta.namespace())
        .filter(|policy| policy.pods.matches(&workload.labels))
        .collect();
    if isolating.is_empty() || workload.host_network {
        return Bool::Const(true);
    }
    let leads_here =
        |ports: &[PolicyPort]| ports.is_empty() || ports.iter().any(|known| is_port(mesh, known, to, port));
    let rules = isolating.iter().flat_map(|policy| &policy.ingress).filter(|rule| leads_here(&rule.ports));
    Bool::Or(rules.map(|rule| admits(rule, atoms)).collect())
}

fn admits(rule: &PolicyRule, atoms: &mut Atoms) -> Bool {
    if rule.peers.is_empty() {
        return Bool::Const(true);
    }
    let mut any = Vec::new();
    for peer in &rule.peers {
        let PolicyPeer::Block { cidr, except } = peer else { continue };
        let mut within = |cidr: &String| {
            block(cidr).map_or(Bool::Const(false), |pattern| atoms.term(Attribute::PeerAddress, pattern))
        };
        let mut all = vec![within(cidr)];
        all.extend(except.iter().map(|block| !within(block)));
        any.push(Bool::And(all));
    }
    Bool::Or(any)
}

fn is_port(mesh: &Mesh, known: &PolicyPort, to: WorkloadId, number: u16) -> bool {
    let named = |name: &String| mesh.workload(to).ports.iter().any(|own| own.name == *name && own.number == number);
    known.protocol == "TCP"
        && match known.port.as_ref().map(|port| &port.value) {
            None => true,
            Some(PortMatch::Range(first, last)) => (*first..=*last).contains(&number),
            Some(PortMatch::Name(name)) => named(name),
        }
}
