//! Objects whose status says that something is false (`IST0171`). Istio: `analyzers/conditions`.

use super::{
    message::NEGATIVE_CONDITION,
    report::Report,
    world::{AUTHORIZATION_POLICY, SERVICE, SERVICE_ENTRY, World},
};

pub(super) fn check(world: &World<'_>, report: &mut Report) {
    for resource in [SERVICE, SERVICE_ENTRY, AUTHORIZATION_POLICY].into_iter().flat_map(|kind| world.all(kind)) {
        for (i, condition) in resource.root.get("status").list("conditions").enumerate() {
            if condition.get("status").text() == "False" {
                let field = |key| condition.get(key).text();
                let text =
                    format!("the condition `{}` is false: {} ({})", field("type"), field("message"), field("reason"));
                report.say(&NEGATIVE_CONDITION, resource, &format!("status.conditions[{i}]"), text);
            }
        }
    }
}
