//! Objects whose status says that something is false (`IST0171`). Istio: `analyzers/conditions`.

use super::{
    message::NEGATIVE_CONDITION,
    report::Report,
    tree::Tree,
    world::{
        AUTHORIZATION_POLICY, GRPC_ROUTE, HTTP_ROUTE, KUBERNETES_GATEWAY, Kind, Resource, SERVICE, SERVICE_ENTRY, World,
    },
};

const OF_GATEWAYS: &[&str] = &["Accepted", "Programmed", "ResolvedRefs"];

/// Conditions that are bad news when they are false, by kind.
const NEGATIVE: &[(Kind, &[&str])] = &[
    (SERVICE, &["istio.io/WaypointBound"]),
    (SERVICE_ENTRY, &["istio.io/WaypointBound"]),
    (AUTHORIZATION_POLICY, &["ZtunnelAccepted", "WaypointAccepted"]),
    (KUBERNETES_GATEWAY, OF_GATEWAYS),
    (HTTP_ROUTE, OF_GATEWAYS),
    (GRPC_ROUTE, OF_GATEWAYS),
];

pub(super) fn check(world: &World<'_>, report: &mut Report) {
    for (kind, negative) in NEGATIVE {
        for resource in world.all(*kind) {
            for (path, condition) in conditions(resource) {
                let field = |key| condition.get(key).text();
                let is_false = negative.contains(&field("type")) && field("status") == "False";
                // Waypoints say so of a policy that they take in part.
                let in_part = *kind == AUTHORIZATION_POLICY
                    && (field("type"), field("reason")) == ("WaypointAccepted", "PartiallyInvalid");
                if is_false || in_part {
                    let text = format!(
                        "the condition `{}` is negative: {} ({})",
                        field("type"),
                        field("message"),
                        field("reason")
                    );
                    report.say_of_object(&NEGATIVE_CONDITION, resource, &path, text);
                }
            }
        }
    }
}

/// Conditions, of routes those for each parent, with the ways to them.
fn conditions<'a>(resource: &Resource<'a>) -> Vec<(String, Tree<'a>)> {
    let status = resource.root.get("status");
    let of = |tree: Tree<'a>, way: &str| {
        let listed = tree.list("conditions").enumerate();
        listed.map(|(i, condition)| (format!("{way}.conditions[{i}]"), condition)).collect::<Vec<_>>()
    };
    let parents = status.list("parents").enumerate();
    let mut all: Vec<_> = parents.flat_map(|(i, parent)| of(parent, &format!("status.parents[{i}]"))).collect();
    all.extend(of(status, "status"));
    all
}
