//! Objects that are exported to namespaces which nobody knows. Istio takes any name.

use meshproof_model::UNDEFINED_NAMESPACE;

use super::{
    authorization::is_known,
    report::Report,
    world::{DESTINATION_RULE, Resource, SERVICE, SERVICE_ENTRY, VIRTUAL_SERVICE, World},
};

const ANNOTATION: &str = "networking.istio.io/exportTo";

pub(super) fn check(world: &World<'_>, report: &mut Report) {
    for kind in [VIRTUAL_SERVICE, DESTINATION_RULE, SERVICE_ENTRY] {
        for resource in world.all(kind) {
            for (i, name) in resource.spec.texts("exportTo").into_iter().enumerate() {
                judge(world, resource, name, &format!("spec.exportTo[{i}]"), report);
            }
        }
    }
    for service in world.all(SERVICE) {
        for name in service.annotation(ANNOTATION).into_iter().flat_map(|names| names.split(',')) {
            judge(world, service, name.trim(), &format!("metadata.annotations.{ANNOTATION}"), report);
        }
    }
}

fn judge(world: &World<'_>, about: &Resource<'_>, name: &str, path: &str, report: &mut Report) {
    if !matches!(name, "" | "." | "*" | "~") && !is_known(world, name) {
        let text = format!("it is exported to `{name}`, and no namespace has that name");
        report.ours(&UNDEFINED_NAMESPACE, about, path, text, "name a namespace, `.` for its own or `*` for all");
    }
}
