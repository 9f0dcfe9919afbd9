//! Kubernetes: `networking.v1.NetworkPolicy`, and whether a connection passes (`K-7`, `11.9`).

use std::net::IpAddr;

use super::LabelSelector;
use crate::{Located, Location, Mesh, Meta, ResourceRef, Workload, WorkloadId};

/// Who may connect to some pods, and where these may connect to.
#[derive(Clone, Debug, PartialEq)]
pub struct NetworkPolicy {
    /// Its name and place.
    pub meta: Meta,
    /// Pods of its namespace; an empty selector is all.
    pub pods: LabelSelector,
    /// Whether it isolates its pods against what comes in.
    pub isolates_ingress: bool,
    /// Whether it isolates its pods against what they open.
    pub isolates_egress: bool,
    /// What may come in.
    pub ingress: Vec<PolicyRule>,
    /// What they may open.
    pub egress: Vec<PolicyRule>,
}

/// Some peer on some port.
#[derive(Clone, Debug, PartialEq)]
pub struct PolicyRule {
    /// Where it begins.
    pub at: Location,
    /// Any of these; empty: everyone.
    pub peers: Vec<PolicyPeer>,
    /// Any of these; empty: every port.
    pub ports: Vec<PolicyPort>,
}

/// Who is at the other end.
#[derive(Clone, Debug, PartialEq)]
pub enum PolicyPeer {
    /// Pods.
    Pods {
        /// Of these namespaces; absent: the policy's own.
        namespaces: Option<LabelSelector>,
        /// With these labels; absent: all.
        pods: Option<LabelSelector>,
    },
    /// Addresses.
    Block {
        /// A CIDR block.
        cidr: String,
        /// Blocks that are left out.
        except: Vec<String>,
    },
}

/// A port of the pods that are connected to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyPort {
    /// `TCP`, `UDP` or `SCTP`.
    pub protocol: String,
    /// Which; absent: all of the protocol.
    pub port: Option<Located<PortMatch>>,
}

/// Which ports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PortMatch {
    /// From the first to the last.
    Range(u16, u16),
    /// The container's port of that name.
    Name(String),
}

/// Whether a connection passes, and because of which policies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Passage {
    /// Whether it passes.
    pub allowed: bool,
    /// The side that decides: where it does not pass, the side that refuses it.
    pub refused_by: Option<Direction>,
    /// The rules that allow it, or the policies that isolate and do not; empty: nothing isolates.
    pub policies: Vec<(ResourceRef, Location)>,
}

/// A side of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Direction {
    /// The pod that is connected to.
    Ingress,
    /// The pod that connects.
    Egress,
}

/// One end of a connection.
#[derive(Clone, Copy, Debug)]
enum End<'m> {
    Pod(&'m Workload),
    Address(IpAddr),
}

impl Mesh {
    /// Whether pods of `from` may open TCP connections to a port of pods of `to` (`11.9`): what isolates the source
    /// lets it out, and what isolates the destination lets it in. The port is one of the pods.
    pub fn connection_allowed(&self, from: WorkloadId, to: WorkloadId, port: u16) -> Passage {
        let (from, to) = (self.workload(from), self.workload(to));
        let out = self.passes(from, Direction::Egress, End::Pod(to), (to, port));
        if !out.allowed {
            return out;
        }
        let mut passage = self.passes(to, Direction::Ingress, End::Pod(from), (to, port));
        if passage.allowed {
            passage.policies.splice(0..0, out.policies);
        }
        passage
    }

    /// Whether an address outside the cluster may open TCP connections to a port of a workload's pods.
    pub fn outside_allowed(&self, from: IpAddr, to: WorkloadId, port: u16) -> Passage {
        let to = self.workload(to);
        self.passes(to, Direction::Ingress, End::Address(from), (to, port))
    }

    fn passes(&self, pod: &Workload, direction: Direction, peer: End<'_>, to: (&Workload, u16)) -> Passage {
        let isolates = |policy: &&NetworkPolicy| {
            let is_isolated = match direction {
                Direction::Ingress => policy.isolates_ingress,
                Direction::Egress => policy.isolates_egress,
            };
            is_isolated && policy.meta.namespace() == pod.meta.namespace() && policy.pods.matches(&pod.labels)
        };
        // A pod of the node's own network is past the rules of the cluster's network.
        let isolating: Vec<&NetworkPolicy> =
            self.kubernetes.network_policies.iter().filter(isolates).filter(|_| !pod.host_network).collect();
        if isolating.is_empty() {
            return Passage { allowed: true, refused_by: None, policies: Vec::new() };
        }
        let mut allowing = Vec::new();
        for policy in &isolating {
            let rules = match direction {
                Direction::Ingress => &policy.ingress,
                Direction::Egress => &policy.egress,
            };
            let allows = |rule: &&PolicyRule| {
                (rule.peers.is_empty() || rule.peers.iter().any(|end| self.is_peer(end, peer, policy.meta.namespace())))
                    && (rule.ports.is_empty() || rule.ports.iter().any(|port| is_port(port, to)))
            };
            allowing.extend(rules.iter().find(allows).map(|rule| (policy.meta.resource.clone(), rule.at.clone())));
        }
        if !allowing.is_empty() {
            return Passage { allowed: true, refused_by: None, policies: allowing };
        }
        let refusing = isolating.iter().map(|policy| (policy.meta.resource.clone(), policy.meta.at.clone()));
        Passage { allowed: false, refused_by: Some(direction), policies: refusing.collect() }
    }

    fn is_peer(&self, peer: &PolicyPeer, end: End<'_>, own: &str) -> bool {
        match (peer, end) {
            (PolicyPeer::Pods { namespaces, pods }, End::Pod(workload)) => {
                let namespace = workload.meta.namespace();
                let in_namespace = match namespaces {
                    None => namespace == own,
                    Some(selector) => selector.matches(&self.labels_of_namespace(namespace)),
                };
                in_namespace && pods.as_ref().is_none_or(|pods| pods.matches(&workload.labels))
            }
            (PolicyPeer::Block { cidr, except }, End::Address(address)) => {
                within(cidr, address) && !except.iter().any(|block| within(block, address))
            }
            // Addresses of pods are not known before they run; a block of all addresses holds them too.
            (PolicyPeer::Block { cidr, except }, End::Pod(_)) => {
                matches!(cidr.as_str(), "0.0.0.0/0" | "::/0") && except.is_empty()
            }
            (PolicyPeer::Pods { .. }, End::Address(_)) => false,
        }
    }

    /// A namespace's labels, with the one that Kubernetes sets to its name.
    fn labels_of_namespace(&self, name: &str) -> crate::Labels {
        let mut labels = self.namespaces.get(name).map(|namespace| namespace.labels.clone()).unwrap_or_default();
        labels.insert("kubernetes.io/metadata.name".to_owned(), name.to_owned());
        labels
    }
}

fn is_port(port: &PolicyPort, (workload, number): (&Workload, u16)) -> bool {
    port.protocol == "TCP"
        && match port.port.as_ref().map(|port| &port.value) {
            None => true,
            Some(PortMatch::Range(first, last)) => (*first..=*last).contains(&number),
            Some(PortMatch::Name(name)) => {
                workload.ports.iter().any(|known| known.name == *name && known.number == number)
            }
        }
}

/// Whether a CIDR block holds an address; a block that is none holds nothing.
fn within(block: &str, address: IpAddr) -> bool {
    let Some((base, length)) = block.split_once('/') else { return false };
    let (Ok(base), Ok(length)) = (base.parse::<IpAddr>(), length.parse::<u32>()) else { return false };
    match (base, address) {
        (IpAddr::V4(base), IpAddr::V4(address)) if length <= 32 => {
            let mask = u32::MAX.checked_shl(32 - length).unwrap_or(0);
            base.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(base), IpAddr::V6(address)) if length <= 128 => {
            let mask = u128::MAX.checked_shl(128 - length).unwrap_or(0);
            base.to_bits() & mask == address.to_bits() & mask
        }
        _ => false,
    }
}
