//! Networks of the mesh with registries that are not known (`IST0126`). Istio: `analyzers/multicluster`.

use std::collections::BTreeSet;

use super::{
    message::UNKNOWN_REGISTRY,
    report::Report,
    world::{SECRET, World, reference},
};

pub(super) fn check(world: &World<'_>, report: &mut Report) {
    let mut known = BTreeSet::from(["Mock", "Kubernetes", "External"]);
    for secret in world.all(SECRET).iter().filter(|s| s.label("istio/multiCluster") == Some("true")) {
        known.extend(secret.root.get("data").fields().map(|(cluster, _)| cluster));
    }
    for (at, networks) in &world.networks {
        for (name, network) in networks.get("networks").fields() {
            for endpoint in network.list("endpoints") {
                let registry = endpoint.get("fromRegistry").text();
                if endpoint.get("fromRegistry").is_set() && !known.contains(registry) {
                    let text = format!("the network `{name}` is of the registry `{registry}`, which is not known");
                    // Istio gives the settings a name of their own, wherever they come from.
                    let subject = reference("MeshNetworks", "istio-system", "meshnetworks");
                    report.say_of(&UNKNOWN_REGISTRY, subject, at.clone(), text);
                }
            }
        }
    }
}
