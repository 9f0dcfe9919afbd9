//! Policies of servers name ports of pods; people write ports of services.

use std::collections::BTreeSet;

use meshproof_model::{Labels, Mesh, TargetPort, is_subset};

/// The pods' ports that a policy probably meant by `port`; `None`: the port is one of the pods', or nobody knows it.
pub(super) fn meant(mesh: &Mesh, namespace: &str, selector: &Labels, port: u16) -> Option<BTreeSet<u16>> {
    let mut meant = BTreeSet::new();
    let pods = mesh.workloads.iter().filter(|w| w.meta.namespace() == namespace && is_subset(selector, &w.labels));
    for workload in pods {
        if workload.ports.iter().any(|declared| declared.number == port) {
            return None;
        }
        let serves = |s: &&meshproof_model::Service| {
            s.meta.namespace() == namespace && !s.selector.is_empty() && is_subset(&s.selector, &workload.labels)
        };
        for published in mesh.services.iter().filter(serves).flat_map(|service| &service.ports) {
            let target = match &published.target {
                TargetPort::Number(number) => Some(*number),
                TargetPort::Name(name) => workload.ports.iter().find(|p| p.name == *name).map(|p| p.number),
            };
            if target == Some(port) {
                return None;
            }
            if published.number.value == port {
                meant.extend(target);
            }
        }
    }
    (!meant.is_empty()).then_some(meant)
}

/// `8080`, or `8080 and 9090`.
pub(super) fn list(ports: &BTreeSet<u16>) -> String {
    ports.iter().map(u16::to_string).collect::<Vec<_>>().join(" and ")
}
