//! Deprecated fields and kinds (`IST0002`). Istio: `analyzers/deprecation`.

use super::{
    message::DEPRECATED,
    report::Report,
    world::{CUSTOM_RESOURCE_DEFINITION, SIDECAR, VIRTUAL_SERVICE, World},
};

const REMOVED: &[&str] = &["ClusterRbacConfig", "RbacConfig", "ServiceRole", "ServiceRoleBinding"];

pub(super) fn check(world: &World<'_>, report: &mut Report) {
    for service in world.all(VIRTUAL_SERVICE) {
        let uses = |rule: super::tree::Tree<'_>| rule.at("fault.delay.percent").int() > 0;
        if let Some(rule) = service.spec.list("http").position(uses) {
            let text = "`percent` of a delay is deprecated";
            let path = format!("spec.http[{rule}].fault.delay");
            report.advise(&DEPRECATED, service, &path, text, "write `percentage: {value: ...}`");
        }
    }
    for sidecar in world.all(SIDECAR) {
        if sidecar.spec.at("outboundTrafficPolicy.egressProxy").is_set() {
            let path = "spec.outboundTrafficPolicy.egressProxy";
            report.say(&DEPRECATED, sidecar, path, "`outboundTrafficPolicy.egressProxy` is ignored");
        }
    }
    for definition in world.all(CUSTOM_RESOURCE_DEFINITION) {
        let kind = definition.spec.at("names.kind").text();
        if definition.spec.get("group").text() == "rbac.istio.io" && REMOVED.contains(&kind) {
            let text = format!("the kind `{kind}` of rbac.istio.io was removed from Istio");
            report.say(&DEPRECATED, definition, "spec.names.kind", text);
        }
    }
}
